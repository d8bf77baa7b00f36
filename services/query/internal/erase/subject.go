package erase

import (
	"bytes"
	"slices"
	"strings"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/store"
)

// Subject is whose events are meant: a user's, with what they did before they
// were known; or all that carry an anonymous id.
type Subject struct {
	UserID      string `json:"user_id,omitempty"`
	AnonymousID string `json:"anonymous_id,omitempty"`
}

// owns says whether the event is the subject's. Aliases are the anonymous ids
// that were first seen with the user: what decides is who an event's user is.
func (s *Subject) owns(e *event.Event, aliases []string) bool {
	switch {
	case s.AnonymousID != "":
		return e.AnonymousID == s.AnonymousID
	case e.UserID != "":
		return e.UserID == s.UserID
	case e.AnonymousID != "":
		return slices.Contains(aliases, e.AnonymousID)
	case e.SessionID != "":
		return e.SessionID == s.UserID
	}
	return e.EventID == s.UserID
}

// in says whether a dead letter of the project, or one of nobody knows whom,
// has anything of the subject in it. What cannot be read is searched for the
// project and the ids as they would be written.
func (s *Subject) in(l *store.DeadLetter, project string, owns func(*event.Event) bool, aliases []string) bool {
	for line := range bytes.Lines(l.Payload) {
		text := strings.TrimSuffix(string(line), "\n")
		e, err := event.DecodeWire(text)
		if err == nil && (e.Project == project && owns(&e)) {
			return true
		}
		if err != nil && (l.Project == project || strings.Contains(text, field("project", project))) && s.named(text, aliases) {
			return true
		}
	}
	return false
}

func (s *Subject) named(text string, aliases []string) bool {
	if s.AnonymousID != "" {
		return strings.Contains(text, field("anonymous_id", s.AnonymousID))
	}
	return strings.Contains(text, field("user_id", s.UserID)) ||
		slices.ContainsFunc(aliases, func(id string) bool { return strings.Contains(text, field("anonymous_id", id)) })
}

// field is a field as the wire format writes it.
func field(name, value string) string {
	return `"` + name + `":` + string(event.TextValue(value).AppendJSON(nil))
}
