package event

import (
	"encoding/json"
	"math/big"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"
)

// What a batch means, worked out a second time for the fuzzer: with
// encoding/json, maps and big numbers, from the rules as clients are told them.

// told is an event as it must come out.
type told struct {
	texts      map[string]string
	numbers    map[string]string
	at         *big.Int // nil: none was sent
	properties map[string]any
	refused    bool
}

// namedValue is one member of an object, in the order in which they stand.
type namedValue struct {
	name  string
	value json.RawMessage
}

// inOrder are an object's members; nil where it is no object.
func inOrder(object []byte) (list []namedValue) {
	d := json.NewDecoder(strings.NewReader(string(object)))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil
	}
	list = []namedValue{}
	for d.More() {
		name, _ := d.Token()
		var value json.RawMessage
		if d.Decode(&value) != nil {
			return nil
		}
		list = append(list, namedValue{name.(string), value})
	}
	return list
}

// tellBatch is what must come of a body; ok is false when it must be refused as a whole.
func tellBatch(body string) (events []told, ok bool) {
	if !utf8.ValidString(body) || !json.Valid([]byte(body)) {
		return nil, false
	}
	found := false
	for _, m := range inOrder([]byte(body)) {
		switch {
		case m.name == "events" && found:
			return nil, false
		case m.name == "events":
			var list []json.RawMessage
			if m.value[0] != '[' || json.Unmarshal(m.value, &list) != nil || len(list) > MaxBatch {
				return nil, false
			}
			found = true
			for _, e := range list {
				events = append(events, tell(e))
			}
		case string(m.value) == "null":
		case m.name == "api_key" && m.value[0] != '"':
			return nil, false
		case m.name == "sent_at":
			if _, ok := tellTime(m.value); !ok {
				return nil, false
			}
		}
	}
	return events, len(events) > 0
}

var (
	oracleID      = regexp.MustCompile(`^[A-Za-z0-9_:.-]{1,64}$`)
	oracleInteger = regexp.MustCompile(`^-?[0-9]+$`)
	oracleTexts   = []string{"event_id", "event_type", "event_name", "user_id", "anonymous_id", "session_id", "page_url", "page_title", "referrer", "user_agent", "screen_resolution", "viewport_size", "element_id", "element_class", "element_text", "sdk"}
	oracleShort   = []string{"event_type", "event_name", "user_id", "anonymous_id", "session_id", "sdk"}
	oracleNumbers = []string{"x_position", "y_position", "scroll_depth", "duration", "load_time"}
)

func tell(raw json.RawMessage) told {
	t := told{texts: map[string]string{}, numbers: map[string]string{}, properties: map[string]any{}}
	members := inOrder(raw)
	if members == nil {
		return told{refused: true}
	}
	var explicit, beside []namedValue
	for _, m := range members {
		switch isNull := string(m.value) == "null"; {
		case m.name == "api_key" || isNull:
		case slices.Contains(oracleTexts, m.name):
			t.text(m)
		case slices.Contains(oracleNumbers, m.name):
			t.number(m)
		case m.name == "timestamp":
			at, ok := tellTime(m.value)
			t.at, t.refused = at, t.refused || !ok
		case m.name == "properties" || m.name == "custom_data":
			inside := inOrder(m.value)
			t.refused = t.refused || inside == nil || !storable(m.value, 1)
			explicit = append(explicit, inside...)
		default:
			t.refused = t.refused || !storable(m.value, 2)
			beside = append(beside, m)
		}
	}
	for _, m := range append(explicit, beside...) { // the first of a name counts
		if _, there := t.properties[m.name]; !there {
			t.properties[m.name] = plainValue(m.value)
		}
	}
	if t.texts["event_name"] == "" {
		t.texts["event_name"] = t.texts["event_type"]
	}
	t.refused = t.refused || t.texts["event_type"] == "" || len(t.properties) > 256 || len(raw) > MaxEvent
	return t
}

func (t *told) text(m namedValue) {
	var s string
	if json.Unmarshal(m.value, &s) != nil {
		if m.name == "user_id" && oracleInteger.Match(m.value) {
			s = string(m.value)
		} else {
			t.refused = true
			return
		}
	}
	long := slices.Contains(oracleShort, m.name) && utf8.RuneCountInString(s) > 200
	switch {
	case m.name == "event_id" && !oracleID.MatchString(s), long:
		t.refused = true
	case s == "":
	case m.name == "event_type" || m.name == "event_name":
		t.refused = t.refused || strings.TrimSpace(s) == "" || strings.ContainsFunc(s, unicode.IsControl)
		t.texts[m.name] = s
	default:
		t.texts[m.name] = s
	}
}

func (t *told) number(m namedValue) {
	var n json.Number
	if m.value[0] == '"' || json.Unmarshal(m.value, &n) != nil {
		t.refused = true
		return
	}
	f, err := n.Float64()
	if err != nil || m.name == "scroll_depth" && (f < 0 || f > 100) || (m.name == "duration" || m.name == "load_time") && f < 0 {
		t.refused = true
		return
	}
	t.numbers[m.name] = string(m.value)
}

// storable is what a property may hold: at most 8 deep, 256 keys in an object,
// none of them twice, and no number that float64 does not hold.
func storable(raw json.RawMessage, depth int) bool {
	switch raw[0] {
	case '{':
		names := map[string]bool{}
		for _, m := range inOrder(raw) {
			if names[m.name] || !storable(m.value, depth+1) {
				return false
			}
			names[m.name] = true
		}
		return len(names) <= 256 && depth <= 8
	case '[':
		var list []json.RawMessage
		_ = json.Unmarshal(raw, &list)
		return depth <= 8 && !slices.ContainsFunc(list, func(v json.RawMessage) bool { return !storable(v, depth+1) })
	case '"', 't', 'f', 'n':
		return true
	}
	_, err := strconv.ParseFloat(string(raw), 64)
	return err == nil
}

func plainValue(raw json.RawMessage) any {
	d := json.NewDecoder(strings.NewReader(string(raw)))
	d.UseNumber()
	var v any
	_ = d.Decode(&v)
	return v
}

// tellTime is a moment in milliseconds, cut, within the years 1 to 9999.
func tellTime(raw json.RawMessage) (*big.Int, bool) {
	ms := new(big.Int)
	if raw[0] == '"' {
		var s string
		_ = json.Unmarshal(raw, &s)
		at, err := time.Parse(time.RFC3339, strings.ToUpper(s))
		if err != nil {
			return nil, false
		}
		ms.SetInt64(at.UnixMilli())
	} else {
		f, err := strconv.ParseFloat(string(raw), 64)
		if err != nil {
			return nil, false
		}
		if new(big.Float).SetFloat64(f).Cmp(big.NewFloat(253402300799999)) > 0 || new(big.Float).SetFloat64(f).Cmp(big.NewFloat(-62135596800000)) < 0 {
			return nil, false
		}
		new(big.Float).SetFloat64(f).Int(ms)
	}
	first, last := time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)
	if ms.Cmp(big.NewInt(first.UnixMilli())) < 0 || ms.Cmp(big.NewInt(last.UnixMilli())) >= 0 {
		return nil, false
	}
	if ms.Sign() == 0 {
		ms.SetInt64(1) // the epoch is a time, not a missing one
	}
	return ms, true
}

// FuzzParseBatch holds what the collector takes, refuses and keeps of a body
// against the same worked out with encoding/json.
func FuzzParseBatch(f *testing.F) {
	for _, event := range []string{
		`{"event_type":"purchase","amount":1,"properties":{"a":[1]},"x":"y"}`, `{"event_type":"product_view","custom_data":{"product_id":"a"},"timestamp":"2026-01-31T08:30:00Z"},7,[]`,
		`{"event_type":"x","event_id":"a:b","user_id":-7,"x_position":1.50,"scroll_depth":100,"duration":1e-3,"timestamp":1767225600123.9}`,
		`{"event_type":"x","properties":{"a":1},"custom_data":{"a":2,"b":{"c":[null,1e400]}},"a":3,"sent_at":4,"api_key":[]}`,
		`{"event_type":"x","user_id":"","user_id":"u","timestamp":-62135596800000,"n":null,"page_title":"\ud83d\ude00 \ud83d"}`,
		`{"event_type":"x","properties":{"\ud83d":"\udead","s":" \u0041 "},"timestamp":"0001-01-01T00:00:00+00:01"}`,
		sample,
	} {
		f.Add(`{"events":[` + event + `],"sent_at":1}`)
	}
	f.Add(`{"sent_at":"9999-12-31T23:59:59.9999Z","events":[{"event_type":" "},{"event_type":"\u0085"},{}],"more":{"a":1,"a":1}} `)
	f.Fuzz(func(t *testing.T, body string) {
		if len(body) > MaxProperties || strings.Count(body, "[")+strings.Count(body, "{") > maxNesting {
			t.Skip("limits of size have tests of their own")
		}
		r, err := ParseBatch(body)
		want, ok := tellBatch(body)
		if (err == nil) != ok {
			t.Fatalf("%q: got %v, want it taken: %v", body, err, ok)
		}
		if err != nil {
			return
		}
		if len(r.Events) != len(want) {
			t.Fatalf("%q: got %d events, want %d", body, len(r.Events), len(want))
		}
		for i, p := range r.Events {
			compareTold(t, body, p, want[i])
		}
	})
}

func compareTold(t *testing.T, body string, p Parsed, want told) {
	t.Helper()
	e := p.Event
	if knownByType[e.EventType] != nil && len(p.Problems) > 0 && !want.refused {
		return // what kinds ask of their properties has tests of its own
	}
	if refused := len(p.Problems) > 0; refused != want.refused {
		t.Fatalf("%q: got %+v, want it refused: %v", body, p.Problems, want.refused)
	}
	if want.refused {
		return
	}
	for i := range Fields {
		switch f := &Fields[i]; {
		case f.Kind == Text && f.TextOf(&e) != want.texts[f.Name]:
			t.Fatalf("%q: %s is %q, want %q", body, f.Name, f.TextOf(&e), want.texts[f.Name])
		case f.Kind == Num && string(f.NumberOf(&e)) != want.numbers[f.Name]:
			t.Fatalf("%q: %s is %q, want %q", body, f.Name, f.NumberOf(&e), want.numbers[f.Name])
		}
	}
	at := int64(0)
	if want.at != nil {
		at = want.at.Int64()
	}
	if int64(e.Timestamp) != at || e.ClientTimestamp != e.Timestamp {
		t.Fatalf("%q: got %d and %d, want %d", body, e.Timestamp, e.ClientTimestamp, at)
	}
	if got := numbers(t, "{"+strings.TrimSuffix(strings.TrimPrefix(e.Properties, "{"), "}")+"}"); !sameValue(got, want.properties) {
		t.Fatalf("%q: properties are %s, want %v", body, e.Properties, want.properties)
	}
	roundTrip(t, e)
}

func sameValue(a, b any) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && string(x) == string(y)
}
