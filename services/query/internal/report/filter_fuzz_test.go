package report

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"math/big"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/maidian/maidian/pkg/ask"
	"github.com/maidian/maidian/pkg/csvcell"
	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/services/query/internal/columns"
)

// FuzzFilters asks for events that pass a filter, and for those that do not,
// and holds both against the rules as analysts read them, on decoded JSON.
func FuzzFilters(f *testing.F) {
	const properties = `{"plan":"pro","n":12.50,"text":"12.5","t":true,"word":"true","list":["a",2,true,null,[1]],"o":{"b":{"c":"x"}},"o.b":"literal","at":"2026-01-01T00:30:00+01:00","nil":null,"big":1e300,"":"empty","user_id":9}`
	for _, filters := range []string{
		`[{"property":"plan","value":"pro"},{"property":"n","op":"gt","value":1e1}]`, `{"or":[{"property":"t","value":true},{"not":{"property":"o.b.c","op":"exists"}}]}`,
		`[{"not":[{"property":"text","op":"in","value":[12.5,"x"]},{"property":"list","op":"contains","value":"a"}]}]`, `[{"property":"at","op":"between","value":["2025-12-31","2026-01-01T00:00:00Z"]}]`,
		`[{"property":"timestamp","value":"2026-01-01"},{"property":"received_at","op":"lt","value":"2026-01-01T00:00:01Z"}]`, `[{"property":"list","op":"not_contains","value":2.0},{"property":"list","op":"contains","value":true}]`,
		`[{"property":"n","op":"starts_with","value":12},{"property":"n","op":"contains","value":".5"},{"property":"n","value":"1250e-2"}]`, `[{"property":"is_bot","value":false},{"property":"word","value":true}]`,
		`[{"property":"properties.user_id","value":9},{"property":"user_id","value":"u"}]`, `[{"and":[{"property":"","op":"exists"},{"property":"nil","op":"not_exists"}]},{"property":"o","op":"contains","value":"{\"b\""}]`,
		`[{"property":"big","op":"gte","value":1e999}]`, `[{"property":"o","value":"{\"b\":{\"c\":\"x\"}}"},{"property":"list","op":"not_in","value":["+12.5",".5e1",false]}]`, `[{"property":"n","op":"lte","value":"2026-01-01"},{"property":"x_position","op":"gte","value":-0.5}]`,
	} {
		f.Add(filters, properties, uint8(0), "")
	}
	for op, value := range []string{`"pro"`, `12.5`, `"+.125e2"`, `[true,"12.50"]`, `"2026-01-01"`, `["2025-12-31",0]`, `""`} {
		for n := range uint8(18) {
			f.Add("", properties, 14*n+uint8(2*op), value)
		}
	}
	f.Fuzz(func(t *testing.T, filters, properties string, which uint8, value string) {
		e, ok := sentEvent(properties)
		if !ok {
			return
		}
		if !json.Valid([]byte(filters)) {
			filters = oneFilter(properties, which, value)
		}
		p, err := ParamsFromJSON([]byte(`{"from":"2026-01-01","to":"2026-01-01","timezone":"Europe/Berlin","filters":` + filters + `}`))
		if err != nil {
			return
		}
		r, err := ReadStats(p, testEnv)
		if err != nil {
			return
		}
		answer, err := Stats(context.Background(), columns.FromEvents("demo", []event.Event{e}), r)
		if err != nil {
			t.Fatalf("%s: %v", filters, err)
		}
		decoded, err := ask.Decode(filters)
		if err != nil {
			t.Fatalf("%s was taken: %v", filters, err)
		}
		if want := passes(&e, decoded); (answer.Total == 1) != want {
			t.Fatalf("%s of %s: got %d events, want it to pass: %v", filters, e.AppendJSON(nil), answer.Total, want)
		}
	})
}

// oneFilter compares one of the properties, or one of the event's fields.
func oneFilter(properties string, which uint8, value string) string {
	names := []string{"timestamp", "x_position", "user_id", "is_bot", "city"}
	event.EachProperty(properties, func(name string, _ event.Value) bool {
		names = append(names, name)
		return true
	})
	ops := ask.Ops()
	name, _ := json.Marshal(names[int(which)/len(ops)%len(names)])
	return `{"property":` + string(name) + `,"op":"` + ops[int(which)%len(ops)] + `","value":` + value + `}`
}

// sentEvent is a click with these properties, if a collector took it.
func sentEvent(properties string) (event.Event, bool) {
	r, err := event.ParseOne(`{"event_type":"click","timestamp":1767225600000,"properties":`+properties+`}`, "click")
	if err != nil || len(r.Events[0].Problems) > 0 {
		return event.Event{}, false
	}
	e := r.Events[0].Event
	e.Project, e.EventID, e.BatchID, e.UserID, e.SessionID, e.PagePath = "demo", "e", "b", "u", "s", "/a"
	e.ReceivedAt, e.Timestamp, e.XPosition = 1767225600500, 1767225600000, "-0.50"
	return e, true
}

// passes: a list of filters, all of which must hold; a single one may stand alone.
func passes(e *event.Event, filters any) bool {
	switch filters := filters.(type) {
	case []any:
		return !slices.ContainsFunc(filters, func(f any) bool { return !passes(e, f) })
	case map[string]any:
		return passesOne(e, filters)
	}
	return true // null
}

func passesOne(e *event.Event, f map[string]any) bool {
	if list, is := f["and"].([]any); is {
		return passes(e, list)
	}
	if list, is := f["or"].([]any); is {
		return slices.ContainsFunc(list, func(f any) bool { return passes(e, f) })
	}
	if not := f["not"]; not != nil {
		return !passes(e, not)
	}
	name, op := asWritten(f["property"]), "eq"
	if f["op"] != nil {
		op = asWritten(f["op"])
	}
	field := event.FieldNamed(name)
	c := comparison{v: event.ValueOf(e, name), times: field != nil && field.Kind == event.Moment}
	list, _ := f["value"].([]any)
	switch op {
	case "eq":
		return c.is(f["value"])
	case "neq":
		return !c.is(f["value"])
	case "in":
		return slices.ContainsFunc(list, c.is)
	case "not_in":
		return !slices.ContainsFunc(list, c.is)
	case "contains":
		return c.holds(f["value"])
	case "not_contains":
		return !c.holds(f["value"])
	case "starts_with":
		return c.v.Kind != event.Absent && strings.HasPrefix(c.text(), asWritten(f["value"]))
	case "exists":
		return c.v.Kind != event.Absent
	case "not_exists":
		return c.v.Kind == event.Absent
	case "between":
		return c.ordered("gte", list[0]) && c.ordered("lte", list[1])
	}
	return c.ordered(op, f["value"])
}

// asWritten is a value as text: numbers by their digits.
func asWritten(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	}
	text, _ := json.Marshal(v)
	return string(text)
}

// comparison is one stored value that is compared.
type comparison struct {
	v     event.Value
	times bool // it is one of the event's own times
}

func (c comparison) text() string {
	if c.v.Kind == event.Bool {
		return asWritten(c.v.Number != 0)
	}
	return c.v.Text
}

var aNumber = regexp.MustCompile(`^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$`)

// numberOfText reads a number of decimal digits that float64 holds.
func numberOfText(text string) (float64, bool) {
	if !aNumber.MatchString(text) {
		return 0, false
	}
	n, _, err := big.ParseFloat(text, 10, 2000, big.ToNearestEven)
	if err != nil {
		return 0, false
	}
	f, _ := n.Float64()
	return f, !n.IsInf() && f-f == 0
}

func (c comparison) number() (float64, bool) {
	switch c.v.Kind {
	case event.Numeric, event.String:
		return numberOfText(c.v.Text)
	}
	return 0, false
}

// is says whether the value equals an operand.
func (c comparison) is(of any) bool {
	switch of := of.(type) {
	case bool:
		return (c.v.Kind == event.Bool || c.v.Kind == event.String) && c.text() == asWritten(of)
	case json.Number:
		n, ok := numberOfText(of.String())
		got, has := c.number()
		return ok && has && n == got
	case string:
		if first, last, is := momentOfText(of); is && c.times {
			n, has := c.number()
			return has && n >= first && n <= last
		}
		if c.v.Kind == event.Numeric {
			n, ok := numberOfText(of)
			got, _ := c.number()
			return ok && n == got
		}
		return c.v.Kind != event.Absent && c.text() == of
	}
	return false
}

// holds says whether a list has an element, or a text a part.
func (c comparison) holds(of any) bool {
	if c.v.Kind != event.Compound || c.v.Text[0] != '[' {
		return c.v.Kind != event.Absent && strings.Contains(c.text(), asWritten(of))
	}
	var list []json.RawMessage
	_ = json.Unmarshal([]byte(c.v.Text), &list)
	return slices.ContainsFunc(list, func(raw json.RawMessage) bool {
		element := event.Property(`{"x":`+string(raw)+`}`, "x")
		return element.Kind != event.Compound && comparison{v: element}.is(of)
	})
}

// ordered compares numbers with a number, and moments with a moment, which may be a whole day.
func (c comparison) ordered(op string, of any) bool {
	var first, last, low, high float64
	if n, is := numberOfText(asWritten(of)); is {
		got, has := c.number()
		if !has {
			return false
		}
		first, last, low, high = got, got, n, n
	} else {
		low, high, _ = momentOfText(asWritten(of))
		switch {
		case c.times:
			first, _ = c.number()
			last = first
		case c.v.Kind == event.String:
			if first, last, is = momentOfText(c.v.Text); !is {
				return false
			}
		default:
			return false
		}
	}
	switch op {
	case "gt":
		return first > high
	case "gte":
		return first >= low
	case "lt":
		return last < low
	}
	return last <= high
}

// momentOfText is an RFC 3339 time, or a date in Berlin.
func momentOfText(text string) (first, last float64, is bool) {
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		panic(err)
	}
	if day, err := time.ParseInLocation(time.DateOnly, text, zone); err == nil {
		return float64(day.UnixMilli()), float64(day.AddDate(0, 0, 1).UnixMilli() - 1), true
	}
	at, err := time.Parse(time.RFC3339, text)
	return float64(at.UnixMilli()), float64(at.UnixMilli()), err == nil
}

// FuzzExportedCSV exports what clients send as CSV: no cell starts a formula in
// any spreadsheet program, and encoding/csv reads every field back as it was.
func FuzzExportedCSV(f *testing.F) {
	for _, text := range []string{"=1+1", "'=1", "＝1", "\t@x", "a\r\nb\",;", "''", "-5", "é\u2028", "+"} {
		quoted, _ := json.Marshal(text)
		f.Add(`{"event_type":"x","page_title":`+string(quoted)+`,"properties":{`+string(quoted)+`:1},"x_position":-1.50}`, text, int64(1767225600000))
	}
	f.Add(`{"event_type":"x","timestamp":-62135596800000}`, "", int64(event.Earliest))
	f.Fuzz(func(t *testing.T, sent, country string, received int64) {
		r, err := event.ParseOne(sent, "")
		if err != nil || len(r.Events[0].Problems) > 0 || !utf8.ValidString(country) || received < int64(event.Earliest) || received > int64(event.Latest) {
			return
		}
		e := r.Events[0].Event
		e.Country, e.ReceivedAt, e.IsBot = country, event.Time(received), received%2 == 0
		var file bytes.Buffer
		out, err := newCSVExporter(&file)
		if err == nil {
			err = out.write(&e)
		}
		if err == nil {
			err = out.close()
		}
		rows, wrong := csv.NewReader(&file).ReadAll()
		if err != nil || wrong != nil || len(rows) != 2 {
			t.Fatalf("%s: %v, %v in %d rows", sent, err, wrong, len(rows))
		}
		for i, cell := range rows[1] {
			field := event.FieldNamed(rows[0][i])
			if first, _ := utf8.DecodeRuneInString(cell); cell != "" && strings.ContainsRune("=+-@\t\r\n＝＋－＠", first) {
				t.Fatalf("%s: %s has the cell %q", sent, field.Name, cell)
			}
			if got, want := csvcell.Bare(cell), plainText(field, &e); got != strings.ReplaceAll(want, "\r\n", "\n") { // which is what CSV readers make of it
				t.Fatalf("%s: %s reads back as %q, want %q", sent, field.Name, got, want)
			}
		}
	})
}

// plainText is a field as NDJSON has it, without quotes.
func plainText(field *event.Field, e *event.Event) string {
	switch field.Kind {
	case event.Num:
		return string(field.NumberOf(e))
	case event.Flag:
		return asWritten(field.FlagOf(e))
	case event.Moment:
		if field.TimeOf(e) == 0 {
			return ""
		}
		return time.UnixMilli(int64(field.TimeOf(e))).UTC().Format("2006-01-02T15:04:05.000Z07:00")
	}
	return field.TextOf(e)
}
