package event

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/maidian/maidian/pkg/fault"
)

// AppendWire writes e as one line of JSON with times as epoch milliseconds:
// how events travel in messages and lie in embedded storage. BatchID and
// Position are not part of it.
func (e *Event) AppendWire(dst []byte) []byte { return e.append(dst, appendMillis, false) }

// AppendJSON writes e as analysts see it: times as RFC 3339, flags always.
func (e *Event) AppendJSON(dst []byte) []byte { return e.append(dst, appendRFC3339, true) }

// MarshalJSON is AppendJSON.
func (e *Event) MarshalJSON() ([]byte, error) { return e.AppendJSON(nil), nil }

func appendMillis(dst []byte, t Time) []byte { return strconv.AppendInt(dst, int64(t), 10) }

func appendRFC3339(dst []byte, t Time) []byte {
	return t.Std().AppendFormat(dst, `"`+TimeFormat+`"`)
}

func (e *Event) append(dst []byte, moment func([]byte, Time) []byte, flags bool) []byte {
	dst = append(dst, '{')
	empty := len(dst)
	for i := range Fields {
		f := &Fields[i]
		if !f.present(e) && !(flags && f.Kind == Flag) {
			continue
		}
		if len(dst) > empty {
			dst = append(dst, ',')
		}
		dst = append(dst, '"')
		dst = append(dst, f.Name...)
		dst = append(dst, '"', ':')
		switch f.Kind {
		case Text:
			dst = appendQuoted(dst, *f.text(e))
		case Num:
			dst = append(dst, *f.num(e)...)
		case Moment:
			dst = moment(dst, *f.time(e))
		case Flag:
			dst = strconv.AppendBool(dst, *f.flag(e))
		case Object:
			dst = append(dst, *f.text(e)...)
		}
	}
	return append(dst, '}')
}

func (f *Field) present(e *Event) bool {
	switch f.Kind {
	case Num:
		return *f.num(e) != ""
	case Moment:
		return *f.time(e) != 0
	case Flag:
		return *f.flag(e)
	}
	return *f.text(e) != ""
}

// DecodeWire reverses AppendWire. The event's strings are substrings of line,
// so whoever keeps one of them for long keeps the whole line. Names it does
// not know, from a newer version, are passed over. The error is fault.Invalid.
func DecodeWire(line string) (Event, error) {
	var e Event
	c := cursor{s: line}
	err := c.object(func(key string) error { return c.wireField(&e, fieldByName[key]) })
	if err == nil {
		err = c.end()
	}
	if err == nil && (e.Project == "" || e.EventID == "" || e.EventType == "") {
		err = fault.New(fault.Invalid, "invalid_event", "an event needs project, event_id and event_type")
	}
	return e, err
}

func (c *cursor) wireField(e *Event, f *Field) (err error) {
	b := c.next()
	if f == nil {
		_, err = c.value(&shape{})
		return err
	}
	switch f.Kind {
	case Text:
		*f.text(e), err = c.text()
	case Num:
		var digits string
		digits, err = c.number()
		*f.num(e) = Number(digits)
	case Moment:
		var digits string
		if digits, err = c.number(); err == nil {
			var n int64
			if n, err = strconv.ParseInt(digits, 10, 64); err != nil {
				return c.fail("%s must be whole milliseconds, got %.40s", f.Name, digits)
			}
			*f.time(e) = Time(n)
		}
	case Flag:
		var word string
		word, err = c.literal()
		*f.flag(e) = word == "true"
	case Object:
		if b != '{' {
			return c.fail("%s must be an object, got %s", f.Name, c.here())
		}
		var s shape
		var raw string
		if raw, err = c.value(&s); s.halved {
			raw = compact(raw)
		}
		*f.text(e) = raw
	}
	return err
}

// Version is the message format that this code writes. It reads 1 to Version.
const Version = 1

// Header is the first line of a message.
type Header struct {
	Version int
	BatchID string
	Events  int
	Sources []Source // of the events, in their order; older writers do not say
	Tallies []Tally  // of the collector that wrote it; older readers pass them over
}

// AppendHeader writes the first line of a message. After it stands one
// AppendWire line for each event, each ending in a newline.
func AppendHeader(dst []byte, h Header) []byte {
	dst = append(dst, `{"maidian":`...)
	dst = strconv.AppendInt(dst, int64(h.Version), 10)
	dst = append(dst, `,"batch":`...)
	dst = appendQuoted(dst, h.BatchID)
	dst = append(dst, `,"events":`...)
	dst = strconv.AppendInt(dst, int64(h.Events), 10)
	dst = appendList(dst, "sources", h.Sources)
	dst = appendList(dst, "tallies", h.Tallies)
	return append(dst, '}', '\n')
}

// Bad is a line of a message that is no event.
type Bad struct {
	Position int
	Payload  string
	Err      error
}

// DecodeMessage reads a message's header and events, in their order, with
// BatchID and Position set. Lines that are no events are returned in bad. An
// error of kind fault.Invalid means that the message as a whole cannot be
// read, one of kind fault.Unsupported that a newer version wrote it.
func DecodeMessage(body []byte) (h Header, events []Event, bad []Bad, err error) {
	first, rest, ok := strings.Cut(string(body), "\n")
	if !ok {
		return h, nil, nil, fault.New(fault.Invalid, "invalid_message", "a message needs a header line, got %.80q", first)
	}
	if h, err = decodeHeader(first); err != nil {
		return h, nil, nil, err
	}
	if h.Version > Version {
		return h, nil, nil, fault.New(fault.Unsupported, "message_version", "message version %d is newer than %d, which this program reads", h.Version, Version)
	}
	events = make([]Event, 0, min(h.Events, strings.Count(rest, "\n")+1))
	lines := 0
	for ; rest != ""; lines++ {
		var line string
		line, rest, _ = strings.Cut(rest, "\n")
		e, err := DecodeWire(line)
		if err != nil {
			bad = append(bad, Bad{lines, line, err})
			continue
		}
		e.BatchID, e.Position = h.BatchID, lines
		events = append(events, e)
	}
	if lines != h.Events {
		err = fault.New(fault.Invalid, "invalid_message", "the header says %d events, the message has %d lines", h.Events, lines)
	}
	return h, events, bad, err
}

func decodeHeader(line string) (h Header, err error) {
	c := cursor{s: line}
	err = c.object(func(key string) (err error) {
		b := c.next()
		switch {
		case key == "batch" && b == '"':
			h.BatchID, err = c.text()
		case key == "maidian" || key == "events":
			var digits string
			if digits, err = c.number(); err != nil {
				return err
			}
			n, err := strconv.ParseUint(digits, 10, 31)
			if err != nil {
				return c.fail("%s must be a whole number, got %.40s", key, digits)
			}
			if key == "maidian" {
				h.Version = int(n)
			} else {
				h.Events = int(n)
			}
		case key == "sources" || key == "tallies":
			var list string
			list, err = c.value(&shape{})
			if key == "sources" {
				h.Sources = listOf[Source](list)
			} else {
				h.Tallies = listOf[Tally](list)
			}
		default:
			_, err = c.value(&shape{})
		}
		return err
	})
	if err == nil {
		err = c.end()
	}
	if err == nil && (h.Version == 0 || h.BatchID == "") {
		err = fmt.Errorf("no version or batch id")
	}
	if err != nil {
		err = fault.New(fault.Invalid, "invalid_message", "the header %.80q cannot be read: %v", line, err)
	}
	return h, err
}
