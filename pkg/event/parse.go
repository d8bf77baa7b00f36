package event

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/maidian/maidian/pkg/fault"
)

// Limits of what a client may send.
const (
	MaxBatch      = 1000     // events in a request
	MaxEvent      = 64 << 10 // bytes of an event's JSON
	MaxProperties = 32 << 10 // bytes of properties' JSON, without white space
	maxDepth      = 8        // of properties, itself included
	maxKeys       = 256      // in one object of properties
)

// Request is what a client sent.
type Request struct {
	APIKey string // from the body, for senders that cannot set headers
	SentAt Time   // by the client's clock
	Events []Parsed
}

// Parsed is one event of a request with the client's fields only; it is good
// when it has no problems.
type Parsed struct {
	Event    Event
	Problems []Problem
}

// Problem says what is wrong with one event.
type Problem struct {
	Index   int    `json:"index"`
	EventID string `json:"event_id,omitempty"`
	Code    string `json:"code"`
	Field   string `json:"field,omitempty"`
	Message string `json:"message"`
}

// Codes of problems.
const (
	codeMissing = "missing_field"
	codeInvalid = "invalid_field"
	codeTooLong = "field_too_long"
	codeTooBig  = "event_too_large"
)

// ParseBatch reads {"events":[…], "sent_at":…, "api_key":…}. The error is about
// the body as a whole; problems of single events stand with them.
func ParseBatch(body string) (Request, error) {
	p := parser{cursor: cursor{s: body}}
	found := false
	err := p.body(func(key string) error {
		if key != "events" {
			return p.envelope(key)
		}
		if found {
			return fault.Field("events", "stands twice in the body")
		}
		found = true
		if p.next() != '[' {
			return fault.Field("events", "must be an array of 1 to %d events, got %s", MaxBatch, p.kindHere())
		}
		// An event is a large struct: growing the slice step by step would cost as much as reading it.
		p.req.Events = make([]Parsed, 0, min(MaxBatch, strings.Count(body, `"event_type"`)))
		return p.array(func(i int) error {
			if i == MaxBatch {
				return fault.Field("events", "must hold at most %d events; send the rest in another request", MaxBatch)
			}
			return p.event(i, "", false)
		})
	})
	if err == nil && len(p.req.Events) == 0 {
		err = fault.Field("events", "must be an array of 1 to %d events", MaxBatch)
	}
	return p.req, err
}

// ParseOne reads a body that is one event. With a kind, that is its
// event_type whatever the body says.
func ParseOne(body, kind string) (Request, error) {
	p := parser{cursor: cursor{s: body}}
	if err := p.check(); err != nil {
		return p.req, err
	}
	if p.next() != '{' {
		return p.req, fault.New(fault.Invalid, "invalid_json", "the body must be a JSON object, got %s", p.kindHere())
	}
	err := p.event(0, kind, true)
	if err == nil {
		err = p.end()
	}
	return p.req, err
}

// parser turns a body into a Request.
type parser struct {
	cursor
	req Request

	// the event being read
	cur   *Parsed
	index int
	parts []part // what becomes its properties
}

// part goes into properties: the members of a whole object, or one member.
type part struct {
	whole    bool
	key, raw string
}

func (p *parser) check() error {
	if i := invalidUTF8(p.s); i >= 0 {
		p.i = i
		return p.fail("the body must be UTF-8")
	}
	return nil
}

func invalidUTF8(s string) int {
	if utf8.ValidString(s) {
		return -1
	}
	for i, r := range s {
		if r == utf8.RuneError {
			if _, n := utf8.DecodeRuneInString(s[i:]); n == 1 {
				return i
			}
		}
	}
	return -1
}

// body reads the outermost object.
func (p *parser) body(member func(key string) error) error {
	if err := p.check(); err != nil {
		return err
	}
	if p.next() != '{' {
		return fault.New(fault.Invalid, "invalid_json", `the body must be a JSON object such as {"events":[…]}, got %s`, p.kindHere())
	}
	if err := p.object(member); err != nil {
		return err
	}
	return p.end()
}

// envelope reads a field of the request that is not an event's.
func (p *parser) envelope(key string) error {
	raw, err := p.value(&shape{})
	if err != nil || raw == "null" {
		return err
	}
	switch key {
	case "api_key":
		if raw[0] != '"' {
			return fault.Field("api_key", "must be a string, got %s", kindOf(raw))
		}
		p.req.APIKey = valueOf(raw).Text
	case "sent_at":
		t, why := momentOf(raw)
		if why != "" {
			return fault.Field("sent_at", "%s", why)
		}
		p.req.SentAt = t
	}
	return nil
}

// event reads the value at the cursor as an event, with all its problems.
func (p *parser) event(index int, kind string, alone bool) error {
	p.req.Events = append(p.req.Events, Parsed{})
	p.cur, p.index, p.parts = &p.req.Events[index], index, p.parts[:0]
	if p.next() != '{' {
		p.problem(codeInvalid, "", "an event must be an object, got %s", p.kindHere())
		_, err := p.value(&shape{})
		return err
	}
	start := p.i
	err := p.object(func(key string) error { return p.member(key, alone) })
	if err != nil {
		return err
	}
	if size := p.i - start; size > MaxEvent {
		p.problem(codeTooBig, "", "an event must be at most %d bytes, got %d", MaxEvent, size)
	}
	p.finish(kind)
	return nil
}

func (p *parser) member(key string, alone bool) error {
	switch key {
	case "api_key":
		if alone {
			return p.envelope(key)
		}
		_, err := p.value(&shape{}) // a secret: never stored
		return err
	case "sent_at":
		if alone {
			return p.envelope(key)
		}
	case "properties", "custom_data":
		return p.propertiesObject(key)
	}
	f := fieldByName[key]
	if f == nil || !f.Client {
		return p.extra(key)
	}
	b := p.next()
	start := p.i
	if b == '"' && f.Kind == Text {
		s, err := p.text()
		if err == nil && (s != "" || f.Name == "event_id") {
			p.setText(f, s)
		}
		return err
	}
	if _, err := p.value(&shape{}); err != nil {
		return err
	}
	if raw := p.s[start:p.i]; raw != "null" {
		p.set(f, raw)
	}
	return nil
}

// set takes a field's value from its JSON, which is valid and not null.
func (p *parser) set(f *Field, raw string) {
	switch f.Kind {
	case Num:
		p.setNumber(f, raw)
	case Moment:
		t, why := momentOf(raw)
		if why != "" {
			p.problem(codeInvalid, f.Name, "%s", why)
		}
		*f.time(&p.cur.Event) = t
	default:
		if f.Name == "user_id" && isInteger(raw) {
			p.setText(f, raw)
			return
		}
		want := "a string"
		if f.Name == "user_id" {
			want = "a string or an integer"
		}
		p.problem(codeInvalid, f.Name, "must be %s, got %s", want, kindOf(raw))
	}
}

func (p *parser) setText(f *Field, s string) {
	*f.text(&p.cur.Event) = s
	if len(s) > f.Max {
		if n := utf8.RuneCountInString(s); n > f.Max {
			p.problem(codeTooLong, f.Name, "must be at most %d characters, got %d", f.Max, n)
		}
	}
	switch f.Name {
	case "event_id":
		if s == "" || !onlyIDBytes(s) {
			p.problem(codeInvalid, f.Name, "must be 1 to 64 of A-Z a-z 0-9 _ : . -, got %.80q", s)
		}
	case "event_type", "event_name":
		if strings.ContainsFunc(s, unicode.IsControl) || strings.TrimSpace(s) == "" {
			p.problem(codeInvalid, f.Name, "must be printable text, got %.80q", s)
		}
	}
}

// idBytes are the characters of an event id.
var idBytes = func() (t [256]bool) {
	for _, b := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_:.-") {
		t[b] = true
	}
	return t
}()

func onlyIDBytes(s string) bool {
	for i := range len(s) {
		if !idBytes[s[i]] {
			return false
		}
	}
	return true
}

func (p *parser) setNumber(f *Field, raw string) {
	n, err := strconv.ParseFloat(raw, 64)
	switch {
	case raw[0] != '-' && raw[0]-'0' >= 10:
		p.problem(codeInvalid, f.Name, "must be a number, got %s", kindOf(raw))
	case err != nil:
		p.problem(codeInvalid, f.Name, "must be within ±%g, got %.40s", math.MaxFloat64, raw)
	case f.Name == "scroll_depth" && (n < 0 || n > 100):
		p.problem(codeInvalid, f.Name, "must be 0 to 100 percent, got %.40s", raw)
	case (f.Name == "duration" || f.Name == "load_time") && n < 0:
		p.problem(codeInvalid, f.Name, "must be 0 or more seconds, got %.40s", raw)
	default:
		*f.num(&p.cur.Event) = Number(raw)
	}
}

// propertiesObject takes the object that properties, or its alias, holds.
func (p *parser) propertiesObject(key string) error {
	var s shape
	raw, err := p.value(&s)
	if err != nil || raw == "null" {
		return err
	}
	if raw[0] != '{' {
		p.problem(codeInvalid, key, "must be an object, got %s", kindOf(raw))
		return nil
	}
	p.part(key, part{whole: true, raw: raw}, s)
	return nil
}

// extra keeps a top-level field that is not the event's own among the
// properties, where the typed ones of a kind belong: nothing sent is lost.
func (p *parser) extra(key string) error {
	var s shape
	raw, err := p.value(&s)
	if err == nil && raw != "null" {
		s.depth++
		p.part(key, part{key: key, raw: raw}, s)
	}
	return err
}

func (p *parser) part(field string, add part, s shape) {
	if s.spaced || s.halved {
		add.raw = compact(add.raw)
	}
	switch {
	case s.fault != "":
		p.problem(codeInvalid, field, "%s", s.fault)
	case s.depth > maxDepth:
		p.problem(codeInvalid, field, "must be nested at most %d deep, got %d", maxDepth, s.depth)
	default:
		p.parts = append(p.parts, add)
	}
}

// finish checks the event as a whole.
func (p *parser) finish(kind string) {
	e := &p.cur.Event
	if kind != "" {
		e.EventType = kind
	}
	if e.EventType == "" && !p.has("event_type") {
		p.problem(codeMissing, "event_type", "is required: what happened, such as %q", "page_view")
	}
	if e.EventName == "" {
		e.EventName = e.EventType
	}
	e.ClientTimestamp = e.Timestamp
	e.Properties = p.properties()
	if n := len(e.Properties); n > MaxProperties {
		p.problem(codeTooLong, "properties", "must be at most %d bytes of JSON, got %d", MaxProperties, n)
	}
	checkKind(e.EventType, e.Properties, p.problem)
	for i := range p.cur.Problems {
		p.cur.Problems[i].EventID = e.EventID
	}
}

func (p *parser) has(field string) bool {
	for i := range p.cur.Problems {
		if p.cur.Problems[i].Field == field {
			return true
		}
	}
	return false
}

// properties joins the parts into one object; an explicit property wins over
// a top-level field of its name.
func (p *parser) properties() string {
	if len(p.parts) == 0 || len(p.parts) == 1 && p.parts[0].whole {
		if len(p.parts) == 0 || p.parts[0].raw == "{}" {
			return ""
		}
		return p.parts[0].raw
	}
	var out []byte
	var keys keySet
	add := func(key, raw string) bool {
		if keys.add(key) {
			out = append(out, ',')
			out = append(appendQuoted(out, key), ':')
			out = append(out, raw...)
		}
		return true
	}
	for _, explicit := range [...]bool{true, false} {
		for _, part := range p.parts {
			switch {
			case part.whole != explicit:
			case part.whole:
				each(part.raw, add)
			default:
				add(part.key, part.raw)
			}
		}
	}
	if len(out) == 0 {
		return ""
	}
	if keys.len() > maxKeys {
		p.problem(codeInvalid, "properties", "has more than %d keys in one object", maxKeys)
	}
	out[0] = '{'
	return string(append(out, '}'))
}

func (p *parser) problem(code, field, format string, args ...any) {
	p.cur.Problems = append(p.cur.Problems, Problem{
		Index: p.index, Code: code, Field: field, Message: fmt.Sprintf(format, args...),
	})
}

// kindHere names the type of the value at the cursor, for messages.
func (p *parser) kindHere() string {
	p.next()
	return kindOf(p.s[p.i:])
}

func kindOf(raw string) string {
	if raw == "" {
		return "nothing"
	}
	switch b := raw[0]; {
	case b == '"':
		return "a string"
	case b == '{':
		return "an object"
	case b == '[':
		return "an array"
	case strings.HasPrefix(raw, "true") || strings.HasPrefix(raw, "false"):
		return "a boolean"
	case strings.HasPrefix(raw, "null"):
		return "null"
	case b == '-' || b-'0' < 10:
		return "a number"
	}
	return "no JSON value"
}

func isInteger(raw string) bool {
	digits := strings.TrimPrefix(raw, "-")
	return digits != "" && strings.Trim(digits, "0123456789") == ""
}

// momentOf reads RFC 3339 or epoch milliseconds; why says what is wrong. The
// very start of 1970 becomes the millisecond after it: a Time of zero means that
// there is none, and then the event would seem to happen now.
func momentOf(raw string) (t Time, why string) {
	const want = `must be RFC 3339 such as "2026-01-31T08:30:00Z" or epoch milliseconds`
	if raw[0] == '"' {
		s := valueOf(raw).Text
		at, err := time.Parse(time.RFC3339, strings.ToUpper(s))
		if err != nil || !possible(TimeOf(at)) {
			return 0, fmt.Sprintf("%s, got %.80q", want, s)
		}
		return given(TimeOf(at)), ""
	}
	ms, err := strconv.ParseFloat(raw, 64)
	if err != nil || ms < float64(Earliest) || ms > float64(Latest) {
		return 0, fmt.Sprintf("%s, got %.40s", want, raw)
	}
	return given(Time(ms)), ""
}

func possible(t Time) bool { return t >= Earliest && t <= Latest }

func given(t Time) Time {
	if t == 0 {
		return 1
	}
	return t
}
