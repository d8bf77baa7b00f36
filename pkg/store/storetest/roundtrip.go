package storetest

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/fault"
	"github.com/maidian/maidian/pkg/store"
)

// texts are strings that something on the way could trip over.
var texts = []string{
	"a", " ", "  two  spaces ", "'", `"`, `\`, "\\u0041", "$", "$set", "a.b", "%", "%00", "\x00", "a\x00b", "\n\r\t", "\x7f", "\u2028",
	"é", "e\u0301", "日本語", "😀", "\ufeff", "\ufffd", "null", "true", "0", "-1", "1e5", "NaN", "{}", "[1]", "SELECT 1; --", "埋点", strings.Repeat("x", 8192),
}

// numbers are digits that must come back as they were.
var numbers = []event.Number{
	"0", "-0", "0.0", "-0.0", "1", "-1", "1.0", "1.50", "0.1", "0.10", "10", "100.00", "1e5", "1E5", "1e+5", "1.5e-7", "1e-7", "0.000001", "0.0000001",
	"2147483647", "2147483648", "-2147483648", "-2147483649", "9007199254740993", "9223372036854775807", "9223372036854775808", "-9223372036854775808",
	"123456789012345678901234567890", "0.1000000000000000055511151231257827", "3.141592653589793", "1e21", "1e20", "100000000000000000000.0",
	"5e-324", "1.7976931348623157e308", "2.2250738585072014e-308", "1e-400", "9999999999999999.0", "1234567.125",
}

// moments are times that must come back to the millisecond.
var moments = []event.Time{1, 999, 1767225600000, 1767225600001, -1, -62135596800000, 253402300799999, 4102444800000}

func everyField(t *testing.T, h Harness) {
	s := h.fresh(t)
	var events []event.Event
	add := func(change func(*event.Event)) {
		e := event.Event{Project: "demo", EventID: fmt.Sprintf("e-%d", len(events)), EventType: "t", BatchID: "b", Position: len(events)}
		change(&e)
		events = append(events, e)
	}
	add(func(*event.Event) {})
	for i := range event.Fields {
		f := &event.Fields[i]
		if f.Name == "project" || f.Name == "event_id" {
			continue
		}
		switch f.Kind {
		case event.Text:
			add(func(e *event.Event) { f.SetText(e, texts[i%len(texts)]) })
		case event.Num:
			add(func(e *event.Event) { f.SetNumber(e, numbers[i%len(numbers)]) })
		case event.Moment:
			add(func(e *event.Event) { f.SetTime(e, moments[i%len(moments)]) })
		case event.Flag:
			add(func(e *event.Event) { f.SetFlag(e, true) })
		case event.Object:
			add(func(e *event.Event) { f.SetText(e, `{}`) })
		}
	}
	for _, text := range texts {
		add(func(e *event.Event) { e.PageTitle, e.EventType = text, text })
	}
	for _, digits := range numbers {
		add(func(e *event.Event) { e.Duration, e.XPosition = digits, digits })
	}
	for _, at := range moments {
		add(func(e *event.Event) { e.Timestamp, e.StoredAt = at, at })
	}
	add(func(e *event.Event) { e.EventID = "AZaz09_:.-" + strings.Repeat("x", 54) })
	insert(t, s, events)
	wantEvents(t, read(t, s, "demo", "b"), events)
}

// keys that documents and queries give a meaning of their own.
var keys = []string{
	"a", "", " ", ".", "..", "a.b", ".a", "a.", "$", "$set", "a$", "$a.b", "$oid", "$date", "$numberLong", "$s", "$k", "%", "%%", "%2E", "%252E", "%24", "%00", "%0", "100%",
	"\x00", "a\x00b", "\n", `"`, `\`, "_id", "0", "1", "-", "é", "e\u0301", "日本語", "😀", "event_id", "properties", "__proto__", "length", strings.Repeat("k", 300),
}

// values as JSON; each must come back as it was written.
var values = []string{
	`null`, `true`, `false`, `""`, `"a"`, `"\u00e9"`, `"é"`, `"\/"`, `"\n"`, `"\u000a"`, `"\u0000"`, `"a\u0000b"`, `"\ud83d\ude00"`, `"$x"`, `"%2E"`, `"[1]"`, `"{}"`,
	`[]`, `{}`, `[1,2,3]`, `["a",1,true,null]`, `[[]]`, `[[1],[2,[3,[4]]]]`, `[{"a":[1]},{"a":[[1]]}]`, `[{}]`, `{"a":{}}`, `{"a":[]}`, `{"b":1,"a":2}`,
	`{"a":{"b":{"c":{"d":{"e":{"f":{"g":"deep"}}}}}}}`, `{"$a.b":{"":{"%":[{"$":1.50}]}}}`, `[1.5,2]`, `[1.0]`, `[1,1.0,1.50]`, `{"a":1,"b":1.0}`,
}

func everyProperty(t *testing.T, h Harness) {
	s := h.fresh(t)
	var events []event.Event
	add := func(properties string) {
		events = append(events, event.Event{
			Project: "demo", EventID: fmt.Sprintf("e-%d", len(events)), EventType: "t", BatchID: "b", Position: len(events), Properties: properties,
		})
	}
	all := "{"
	for i, key := range keys {
		quoted := string(event.TextValue(key).AppendJSON(nil))
		add(`{` + quoted + `:1}`)
		add(`{"in":{` + quoted + `:{` + quoted + `:"x"}}}`)
		if i > 0 {
			all += ","
		}
		all += quoted + `:` + fmt.Sprint(i)
	}
	add(all + "}")
	for _, value := range values {
		add(`{"v":` + value + `}`)
		add(`{"list":[1,` + value + `]}`)
	}
	for _, digits := range numbers {
		add(`{"n":` + string(digits) + `,"list":[` + string(digits) + `]}`)
	}
	for _, text := range texts {
		add(`{"s":` + string(event.TextValue(text).AppendJSON(nil)) + `}`)
	}
	insert(t, s, events)
	wantEvents(t, read(t, s, "demo", "b"), events)
}

// generatedEvents is a property test: whatever an event holds comes back, by batch and by id.
func generatedEvents(t *testing.T, h Harness) {
	s := h.fresh(t)
	g := newGenerator(t)
	n := h.size(2000)
	for batch := 0; n > 0; batch++ {
		events := make([]event.Event, min(n, 1+g.IntN(300)))
		for i := range events {
			events[i] = g.event()
			events[i].EventID = fmt.Sprintf("g-%d-%d", batch, i)
			events[i].BatchID, events[i].Position = fmt.Sprintf("b%d", batch), i
		}
		insert(t, s, events)
		wantEvents(t, read(t, s, "demo", fmt.Sprintf("b%d", batch)), events)
		some := events[g.IntN(len(events))]
		got, err := s.Event(t.Context(), "demo", some.EventID)
		if err != nil {
			t.Fatal(err)
		}
		wantEvents(t, []event.Event{*got}, []event.Event{some})
		if t.Failed() {
			return
		}
		n -= len(events)
	}
}

func eventByID(t *testing.T, h Harness) {
	s := h.fresh(t)
	events := batchOf("b", "e", 3)
	insert(t, s, events)
	got, err := s.Event(t.Context(), "demo", "e-00001")
	if err != nil {
		t.Fatal(err)
	}
	wantEvents(t, []event.Event{*got}, events[1:2])
	for _, absent := range [][2]string{{"demo", "e-00009"}, {"other", "e-00001"}, {"demo", ""}, {"", "e-00001"}} {
		if _, err := s.Event(t.Context(), absent[0], absent[1]); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("event %q of %q: got %v, want ErrNotFound", absent[1], absent[0], err)
		}
	}
}

func unstorable(t *testing.T, h Harness) {
	s := h.fresh(t)
	for name, spoil := range map[string]func(*event.Event){
		"no event id": func(e *event.Event) { e.EventID = "" },
		"no project":  func(e *event.Event) { e.Project = "" },
		"no batch id": func(e *event.Event) { e.BatchID = "" },
	} {
		events := batchOf("b", "e", 3)
		spoil(&events[1])
		if _, err := s.InsertEvents(t.Context(), events); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s: got %v, want a fault.Invalid", name, err)
		}
	}
}
