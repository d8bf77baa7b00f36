// Package fault names the kinds of failure that someone acts on, and nothing else.
//
// A kind is turned into a decision in exactly two places: the HTTP edge
// (pkg/httpx, into a status) and the queue edge (the consumer, into
// "dead" or "again").
package fault

import (
	"errors"
	"fmt"
	"time"
)

// Kind says who can do something about a failure.
type Kind uint8

const (
	Unknown      Kind = iota // ours: a bug or something unforeseen
	Invalid                  // the input is wrong and will stay wrong
	Unauthorized             // no key, or a key nobody knows
	Forbidden                // a known key that may not do this
	NotFound                 // no such thing
	Conflict                 // it exists already, or somebody changed it first
	TooLarge                 // more bytes than the limit
	Unsupported              // a content type or encoding that is not understood
	Exceeded                 // a well-formed question past a limit on work
	Limited                  // over the caller's rate or quota
	Slow                     // the input did not come in time: send it again
	Unavailable              // a server we need is away, blocked or full: try again
)

// Error is a failure with a kind and with words for the caller.
type Error struct {
	Kind       Kind
	Code       string        // stable and machine-readable, such as "invalid_field"
	Field      string        // the field of the request it is about, such as "steps[1].event"; may be empty
	Message    string        // what was wrong, where, and what would be right
	RetryAfter time.Duration // with Limited and Unavailable: when to try again
	Err        error         // the cause, for the log; never shown to the caller
}

// New makes an error of a kind with a code and a message for the caller.
func New(kind Kind, code, format string, args ...any) *Error {
	return &Error{Kind: kind, Code: code, Message: fmt.Sprintf(format, args...)}
}

// Field makes an Invalid error about one field of the request.
func Field(field, format string, args ...any) *Error {
	return &Error{Kind: Invalid, Code: "invalid_field", Field: field, Message: fmt.Sprintf(format, args...)}
}

// Wrap gives a cause a kind; the cause's text stays with it for the log.
func Wrap(kind Kind, code string, err error) *Error {
	return &Error{Kind: kind, Code: code, Message: err.Error(), Err: err}
}

func (e *Error) Error() string {
	switch {
	case e.Field != "":
		return e.Field + ": " + e.Message
	case e.Err != nil && e.Message != e.Err.Error():
		return e.Message + ": " + e.Err.Error()
	}
	return e.Message
}

func (e *Error) Unwrap() error { return e.Err }

// KindOf is the kind of the first Error in err's chain, else Unknown.
func KindOf(err error) Kind {
	if e := (*Error)(nil); errors.As(err, &e) {
		return e.Kind
	}
	return Unknown
}
