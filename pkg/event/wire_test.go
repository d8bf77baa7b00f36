package event

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/maidian/maidian/pkg/fault"
)

// full is an event with something in every field.
func full() Event {
	e := Event{BatchID: "b", Position: 3}
	for i := range Fields {
		switch f := &Fields[i]; f.Kind {
		case Num:
			f.SetNumber(&e, Number(fmt.Sprintf("%d.50", i)))
		case Moment:
			f.SetTime(&e, Time(1767225600000+i))
		case Flag:
			f.SetFlag(&e, true)
		case Object:
			f.SetText(&e, `{"$a.b":[1.10,"é\"",null],"c":{"d":true}}`)
		default:
			f.SetText(&e, f.Name+"\n\"é")
		}
	}
	return e
}

func TestEveryFieldSurvivesTheWire(t *testing.T) {
	e := full()
	e.BatchID, e.Position = "", 0
	roundTrip(t, Event{EventType: "x", EventID: "y"})
	got, err := DecodeWire(string(e.AppendWire(nil)))
	if err != nil || got != e {
		t.Errorf("got %+v, %v\nwant %+v", got, err, e)
	}
}

func TestPublicShape(t *testing.T) {
	e := Event{Project: "p", EventID: "i", EventType: "t", Timestamp: 1767225600123, XPosition: "1.50", Properties: `{"a":1}`}
	want := `{"project":"p","event_id":"i","event_type":"t","timestamp":"2026-01-01T00:00:00.123Z","x_position":1.50,"is_bot":false,"properties":{"a":1}}`
	if got := string(e.AppendJSON(nil)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func message(h Header, events ...Event) []byte {
	body := AppendHeader(nil, h)
	for i := range events {
		body = append(events[i].AppendWire(body), '\n')
	}
	return body
}

func TestMessage(t *testing.T) {
	e := full()
	body := message(Header{Version: Version, BatchID: "batch-1", Events: 3}, e, e)
	body = append(body, "{\"project\":\n"...)
	h, events, bad, err := DecodeMessage(body)
	if err != nil || h.BatchID != "batch-1" || len(events) != 2 || len(bad) != 1 {
		t.Fatalf("got %+v, %d events, %v, %v", h, len(events), bad, err)
	}
	e.BatchID, e.Position = "batch-1", 1
	if events[1] != e {
		t.Errorf("got %+v\nwant %+v", events[1], e)
	}
	if bad[0].Position != 2 || bad[0].Payload != `{"project":` || fault.KindOf(bad[0].Err) != fault.Invalid {
		t.Errorf("got %+v", bad[0])
	}
}

func TestMessagesThatCannotBeRead(t *testing.T) {
	one := message(Header{Version: Version, BatchID: "b", Events: 1}, full())
	tests := map[string]struct {
		body string
		want fault.Kind
	}{
		"nothing":                  {"", fault.Invalid},
		"no header":                {"hello\nworld\n", fault.Invalid},
		"no batch":                 {"{\"maidian\":1,\"events\":0}\n", fault.Invalid},
		"cut off":                  {string(one[:10]), fault.Invalid},
		"fewer events":             {strings.Replace(string(one), `"events":1`, `"events":2`, 1), fault.Invalid},
		"a newer version":          {strings.Replace(string(one), `"maidian":1`, `"maidian":99`, 1), fault.Unsupported},
		"sources that are no list": {strings.Replace(string(one), `"events":1`, `"events":1,"sources":{"a":1},"tallies":[{"hour":"x"}]`, 1), fault.Unknown},
		"a newer extension":        {strings.Replace(string(one), `"maidian":1`, `"maidian":1,"trace":{"a":[1]}`, 1), fault.Unknown},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, _, _, err := DecodeMessage([]byte(test.body))
			if got := fault.KindOf(err); got != test.want {
				t.Errorf("got %v (%v), want %v", got, err, test.want)
			}
		})
	}
}

func TestSourcesAndTalliesSurviveTheWire(t *testing.T) {
	h := Header{
		Version: Version, BatchID: "b", Events: 3,
		Sources: []Source{{"shop", "k1", 490896, 2}, {"blog", "k\"2", 490897, 1}},
		Tallies: []Tally{{"c1", "shop", "k1", 490896, Accepted, 7}},
	}
	got, _, _, err := DecodeMessage(message(h, full(), full(), full()))
	if err != nil || !reflect.DeepEqual(got, h) {
		t.Fatalf("got %+v, %v\nwant %+v", got, err, h)
	}
	for position, want := range []string{"shop", "shop", "blog", ""} {
		if got := h.SourceOf(position).Project; got != want {
			t.Errorf("event %d is of %q, want %q", position, got, want)
		}
	}
}

func FuzzDecodeMessage(f *testing.F) {
	f.Add(message(Header{Version: Version, BatchID: "b", Events: 2}, full(), full()))
	f.Add(message(Header{Version: Version, BatchID: "b", Events: 1, Sources: []Source{{"p", "k", 1, 1}}, Tallies: []Tally{{"c", "p", "k", 1, Accepted, 1}}}, full()))
	f.Add([]byte("{\"maidian\":1,\"batch\":\"x\",\"events\":1}\n{}\n"))
	f.Fuzz(func(t *testing.T, body []byte) {
		h, events, bad, err := DecodeMessage(body)
		if err == nil && len(events)+len(bad) != h.Events {
			t.Fatalf("%d events and %d bad of %d", len(events), len(bad), h.Events)
		}
		for _, e := range events {
			again, err := DecodeWire(string(e.AppendWire(nil)))
			again.BatchID, again.Position = e.BatchID, e.Position
			if err != nil || again != e {
				t.Fatalf("%+v came back as %+v, %v", e, again, err)
			}
		}
	})
}

func TestValues(t *testing.T) {
	e := Event{IsBot: true, Duration: "1.50", Browser: "Firefox", Timestamp: 5, Properties: `{"a.b":1,"a":{"b":2,"c":"x"},"n":null,"t":true,"l":[1],"browser":"p"}`}
	for name, want := range map[string]Value{
		"browser":            TextValue("Firefox"),
		"properties.browser": TextValue("p"),
		"is_bot":             {Kind: Bool, Number: 1},
		"duration":           {Kind: Numeric, Number: 1.5, Text: "1.50"},
		"timestamp":          {Kind: Numeric, Number: 5, Text: "5"},
		"a.b":                {Kind: Numeric, Number: 1, Text: "1"},
		"a.c":                TextValue("x"),
		"properties.a.c":     TextValue("x"),
		"n":                  {},
		"t":                  {Kind: Bool, Number: 1},
		"l":                  {Kind: Compound, Text: "[1]"},
		"missing":            {},
		"city":               {},
	} {
		if got := ValueOf(&e, name); got != want {
			t.Errorf("%s: got %+v, want %+v", name, got, want)
		}
	}
}

func TestEachPropertyKeepsOrderAndStops(t *testing.T) {
	var got []string
	EachProperty(`{"b":"x","a":1,"c":2}`, func(key string, v Value) bool {
		got = append(got, key+"="+v.String())
		return key != "a"
	})
	if fmt.Sprint(got) != "[b=x a=1]" {
		t.Errorf("got %v", got)
	}
}

func TestDay(t *testing.T) {
	for at, want := range map[Time]int32{0: 0, 86399999: 0, 86400000: 1, -1: -1, -86400000: -1, -86400001: -2} {
		if got := at.Day(); got != want {
			t.Errorf("%d: got %d, want %d", at, got, want)
		}
	}
}

func BenchmarkDecodeWire(b *testing.B) {
	p, _ := ParseOne(sample, "")
	e := p.Events[0].Event
	e.Project = "demo"
	line := string(e.AppendWire(nil))
	b.SetBytes(int64(len(line)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := DecodeWire(line); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendWire(b *testing.B) {
	p, _ := ParseOne(sample, "")
	e := p.Events[0].Event
	buf := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		buf = e.AppendWire(buf[:0])
	}
}
