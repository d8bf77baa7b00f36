package importer

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/maidian/maidian/pkg/csvcell"
	"github.com/maidian/maidian/pkg/event"
)

// Columns says what the file's columns mean, in the words of the command line.
type Columns struct {
	Map     []string // "column=target": target is an event field, properties.x, or "-" to leave the column out
	Set     []string // "target=value", for every event
	Default []string // "[event_type:]target=value", for the events that have none
	Layout  string   // of times; tried before the known ones
	Zone    string   // of times without a zone
}

// target is where a value goes: an event field, or a property.
type target struct {
	field *event.Field // nil: the property called name
	name  string
	drop  bool
}

// fill is a value for a target that a row left empty, or for every row.
type fill struct {
	target
	eventType string // only for events of this type; empty: for all
	value     string
}

// mapping turns rows into events.
type mapping struct {
	columns  map[string]target
	set      []fill
	defaults []fill
	moments  *moments
	fields   map[string]string // of the row in hand: event fields as JSON
	names    []string          // the fields in the order they came
	props    []property
	whole    string // a whole properties object, as JSON

	first, last int64 // of all timestamps so far, epoch milliseconds
}

type property struct{ name, json string }

// familiar are columns that many files have under another name than the
// contract's, in lower case.
var familiar = map[string]string{
	"event": "event_type", "type": "event_type", "action": "event_type",
	"name": "event_name",
	"time": "timestamp", "ts": "timestamp", "datetime": "timestamp", "date_time": "timestamp",
	"created_at": "timestamp", "occurred_at": "timestamp", "event_time": "timestamp",
	"user": "user_id", "uid": "user_id", "userid": "user_id", "distinct_id": "user_id", "customer_id": "user_id",
	"device_id": "anonymous_id", "visitor_id": "anonymous_id", "client_id": "anonymous_id", "anonymousid": "anonymous_id",
	"session": "session_id", "sessionid": "session_id",
	"uuid": "event_id", "insert_id": "event_id", "$insert_id": "event_id", "message_id": "event_id",
	"url": "page_url", "title": "page_title", "referer": "referrer", "custom_data": "properties",
}

func newMapping(c Columns) (*mapping, error) {
	m := &mapping{columns: map[string]target{}, fields: map[string]string{}}
	for _, text := range c.Map {
		column, name, ok := strings.Cut(text, "=")
		if !ok || column == "" || name == "" {
			return nil, fmt.Errorf("-map must be column=field, got %q", text)
		}
		m.columns[column] = targetNamed(name)
	}
	var err error
	if m.set, err = fills("-set", c.Set); err != nil {
		return nil, err
	}
	if m.defaults, err = fills("-default", c.Default); err != nil {
		return nil, err
	}
	m.moments, err = newMoments(c.Layout, c.Zone)
	return m, err
}

func fills(flag string, texts []string) ([]fill, error) {
	var out []fill
	for _, text := range texts {
		name, value, ok := strings.Cut(text, "=")
		eventType, of, only := strings.Cut(name, ":")
		if !only {
			eventType, of = "", name
		}
		if !ok || of == "" {
			return nil, fmt.Errorf("%s must be field=value or event_type:field=value, got %q", flag, text)
		}
		out = append(out, fill{targetNamed(of), eventType, value})
	}
	return out, nil
}

// targetNamed is the event field of that name if clients may send it, else a property.
func targetNamed(name string) target {
	if name == "-" {
		return target{drop: true}
	}
	if f := event.FieldNamed(name); f != nil && f.Client {
		return target{field: f, name: name}
	}
	return target{name: strings.TrimPrefix(name, "properties.")}
}

// of is a column's target: as mapped, else by its own or a familiar name, else a property.
func (m *mapping) of(column string) target {
	t, ok := m.columns[column]
	if !ok {
		t = targetNamed(column)
		if other, known := familiar[strings.ToLower(column)]; t.field == nil && known {
			t = targetNamed(other)
		} else if lower := targetNamed(strings.ToLower(column)); lower.field != nil {
			t = lower
		}
		m.columns[column] = t
	}
	return t
}

// event appends the row's event as the collector takes it.
func (m *mapping) event(dst []byte, r row) ([]byte, error) {
	m.clear()
	for _, c := range r.cells {
		if !c.json {
			c.text = csvcell.Bare(c.text) // exports put an apostrophe before what looks like a formula
		}
		if err := m.put(m.of(c.column), c); err != nil {
			return dst, err
		}
	}
	if err := m.fill(); err != nil {
		return dst, err
	}
	if m.fields["event_id"] == "" {
		m.field("event_id", quote(eventID(r).String()))
	}
	return m.append(dst), nil
}

func (m *mapping) clear() {
	clear(m.fields)
	m.names, m.props, m.whole = m.names[:0], m.props[:0], ""
}

// put places one value. An empty cell is no value.
func (m *mapping) put(t target, c cell) (err error) {
	if t.drop || !c.json && c.text == "" {
		return nil
	}
	switch {
	case t.field == nil:
		m.props = append(m.props, property{t.name, c.asProperty(t.name)})
	case t.field.Kind == event.Object && c.json:
		m.whole = c.text
	case t.field.Kind == event.Object:
		if !json.Valid([]byte(c.text)) || c.text[0] != '{' {
			return fmt.Errorf("column %s must hold a JSON object, got %.40q", c.column, c.text)
		}
		m.whole = c.text
	case t.field.Kind == event.Moment:
		var at int64
		if at, err = m.moments.millis(c.plain()); err == nil {
			m.field(t.name, strconv.FormatInt(at, 10))
			m.seen(at)
		}
	case t.field.Kind == event.Num && isNumber(c.text):
		m.field(t.name, c.text)
	case c.json:
		m.field(t.name, c.text) // the collector says what is wrong with it, if anything
	default:
		m.field(t.name, quote(c.text))
	}
	return err
}

func (m *mapping) seen(at int64) {
	if m.last == 0 {
		m.first, m.last = at, at
	}
	m.first, m.last = min(m.first, at), max(m.last, at)
}

func (m *mapping) field(name, value string) {
	if _, there := m.fields[name]; !there {
		m.names = append(m.names, name)
	}
	m.fields[name] = value
}

func (m *mapping) fill() error {
	for _, f := range m.set {
		if err := m.put(f.target, cell{column: f.name, text: f.value}); err != nil {
			return err
		}
	}
	for _, f := range m.defaults {
		if f.eventType != "" && quote(f.eventType) != m.fields["event_type"] || m.has(f.target) {
			continue
		}
		if err := m.put(f.target, cell{column: f.name, text: f.value}); err != nil {
			return err
		}
	}
	return nil
}

func (m *mapping) has(t target) bool {
	if t.field != nil {
		return m.fields[t.name] != ""
	}
	for _, p := range m.props {
		if p.name == t.name {
			return true
		}
	}
	return m.whole != "" && event.Property(m.whole, t.name).Kind != event.Absent
}

func (m *mapping) append(dst []byte) []byte {
	dst = append(dst, '{')
	for _, name := range m.names {
		dst = append(dst, quote(name)...)
		dst = append(dst, ':')
		dst = append(dst, m.fields[name]...)
		dst = append(dst, ',')
	}
	if m.whole != "" || len(m.props) > 0 {
		dst = append(dst, `"properties":`...)
		dst = append(m.properties(dst), ',')
	}
	dst[len(dst)-1] = '}' // an event has an id at least, so there is a comma to replace
	return dst
}

func (m *mapping) properties(dst []byte) []byte {
	if m.whole != "" && len(m.props) == 0 {
		return append(dst, m.whole...)
	}
	dst = append(dst, '{')
	if inner := strings.TrimSpace(m.whole); inner != "" {
		if inner = strings.TrimSpace(inner[1 : len(inner)-1]); inner != "" {
			dst = append(append(dst, inner...), ',')
		}
	}
	for _, p := range m.props {
		dst = append(append(dst, quote(p.name)...), ':')
		dst = append(append(dst, p.json...), ',')
	}
	dst[len(dst)-1] = '}'
	return dst
}

// plain is the cell's value as text.
func (c cell) plain() string {
	var text string
	if c.json && json.Unmarshal([]byte(c.text), &text) == nil {
		return text
	}
	return c.text
}

// asProperty is the cell as JSON. CSV knows only text, so what reads as a
// number or a truth value becomes one, except ids: their digits are a name.
func (c cell) asProperty(name string) string {
	switch {
	case c.json:
		return c.text
	case c.text == "true" || c.text == "false":
		return c.text
	case isNumber(c.text) && !isID(name):
		return c.text
	}
	return quote(c.text)
}

func isID(name string) bool {
	name = strings.ToLower(name)
	return name == "id" || name == "sku" || name == "zip" || name == "phone" || strings.HasSuffix(name, "_id") || strings.HasSuffix(name, "code")
}

// isNumber says whether text is a number as JSON writes it: 007 and +1 are not.
func isNumber(text string) bool {
	if text == "" || text[0] != '-' && (text[0] < '0' || text[0] > '9') {
		return false
	}
	return json.Valid([]byte(text))
}

// quote writes text as JSON.
func quote(text string) string {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			quoted, err := json.Marshal(text)
			if err != nil { // a string always has a JSON form
				panic(err)
			}
			return string(quoted)
		}
	}
	return `"` + text + `"`
}
