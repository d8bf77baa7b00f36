package event

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

func parseOne(t *testing.T, body, kind string) Parsed {
	t.Helper()
	r, err := ParseOne(body, kind)
	if err != nil {
		t.Fatalf("%.200s: %v", body, err)
	}
	return r.Events[0]
}

func TestEveryProblemOfAnEventIsNamed(t *testing.T) {
	long := func(n int) string { return strings.Repeat("é", n) }
	tests := map[string]struct {
		body string
		want []string // "code field"
	}{
		"good":                         {`{"event_type":"page_view"}`, nil},
		"any printable type":           {`{"event_type":"支付 ✅ (v2)"}`, nil},
		"no type":                      {`{}`, []string{"missing_field event_type"}},
		"empty and null are missing":   {`{"event_type":"","user_id":null}`, []string{"missing_field event_type"}},
		"type is a number":             {`{"event_type":7}`, []string{"invalid_field event_type"}},
		"control character in type":    {`{"event_type":"a\u0007"}`, []string{"invalid_field event_type"}},
		"blank type":                   {`{"event_type":"  "}`, []string{"invalid_field event_type"}},
		"200 characters":               {`{"event_type":"` + long(200) + `"}`, nil},
		"201 characters":               {`{"event_type":"` + long(201) + `"}`, []string{"field_too_long event_type"}},
		"event id alphabet":            {`{"event_type":"x","event_id":"a b"}`, []string{"invalid_field event_id"}},
		"empty event id":               {`{"event_type":"x","event_id":""}`, []string{"invalid_field event_id"}},
		"event id length":              {`{"event_type":"x","event_id":"` + strings.Repeat("a", 65) + `"}`, []string{"field_too_long event_id"}},
		"integer user":                 {`{"event_type":"x","user_id":42}`, nil},
		"fractional user":              {`{"event_type":"x","user_id":4.2}`, []string{"invalid_field user_id"}},
		"anonymous id is a number":     {`{"event_type":"x","anonymous_id":42}`, []string{"invalid_field anonymous_id"}},
		"all at once":                  {`{"event_id":"?","user_id":[],"scroll_depth":101,"duration":-1,"timestamp":"yesterday","properties":[]}`, []string{"invalid_field event_id", "invalid_field user_id", "invalid_field scroll_depth", "invalid_field duration", "invalid_field timestamp", "invalid_field properties", "missing_field event_type"}},
		"number as text":               {`{"event_type":"x","x_position":"5"}`, []string{"invalid_field x_position"}},
		"huge number":                  {`{"event_type":"x","x_position":1e999}`, []string{"invalid_field x_position"}},
		"huge number in properties":    {`{"event_type":"x","properties":{"a":[-1e999]}}`, []string{"invalid_field properties"}},
		"time zone missing":            {`{"event_type":"x","timestamp":"2026-01-01T00:00:00"}`, []string{"invalid_field timestamp"}},
		"depth 8":                      {`{"event_type":"x","properties":` + strings.Repeat(`{"a":`, 7) + `[]` + strings.Repeat(`}`, 7) + `}`, nil},
		"depth 9":                      {`{"event_type":"x","properties":` + strings.Repeat(`{"a":`, 8) + `[]` + strings.Repeat(`}`, 8) + `}`, []string{"invalid_field properties"}},
		"256 keys":                     {`{"event_type":"x","properties":` + keys(256) + `}`, nil},
		"257 keys":                     {`{"event_type":"x","properties":` + keys(257) + `}`, []string{"invalid_field properties"}},
		"a key twice":                  {`{"event_type":"x","properties":{"a":{"b":1,"b":2}}}`, []string{"invalid_field properties"}},
		"32 KiB of properties":         {`{"event_type":"x","properties":{"a":"` + strings.Repeat("x", MaxProperties-8) + `"}}`, nil},
		"more than 32 KiB":             {`{"event_type":"x","properties":{"a":"` + strings.Repeat("x", MaxProperties-7) + `"}}`, []string{"field_too_long properties"}},
		"more than 64 KiB":             {`{"event_type":"x","properties":{` + strings.Repeat(" ", MaxEvent) + `}}`, []string{"event_too_large "}},
		"product without id":           {`{"event_type":"product_view"}`, []string{"missing_field properties.product_id"}},
		"product with a number as id":  {`{"event_type":"cart_add","properties":{"product_id":7,"price":0}}`, nil},
		"wrong product":                {`{"event_type":"cart_remove","properties":{"product_id":"","price":-1,"quantity":"2","category":3}}`, []string{"invalid_field properties.product_id", "invalid_field properties.category", "invalid_field properties.price", "invalid_field properties.quantity"}},
		"wrong purchase":               {`{"event_type":"purchase","properties":{"amount":-1,"currency":"euro","items":[{"price":"1"}]}}`, []string{"invalid_field properties.amount", "invalid_field properties.currency", "invalid_field properties.items[0].price"}},
		"items are no array":           {`{"event_type":"purchase","properties":{"amount":1,"items":{}}}`, []string{"invalid_field properties.items"}},
		"purchase":                     {`{"event_type":"purchase","amount":9.99,"properties":{"currency":"EUR","items":[{"product_id":"p","quantity":1,"price":9.99}]}}`, nil},
		"wrong search":                 {`{"event_type":"search","properties":{"query":1,"results":-1}}`, []string{"invalid_field properties.query", "invalid_field properties.results"}},
		"a custom type is not checked": {`{"event_type":"bought","properties":{"amount":-1}}`, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, p := range parseOne(t, test.body, "").Problems {
				got = append(got, p.Code+" "+p.Field)
				if p.Message == "" {
					t.Errorf("no message for %s", p.Field)
				}
			}
			if fmt.Sprint(got) != fmt.Sprint(test.want) {
				t.Errorf("got  %q\nwant %q", got, test.want)
			}
		})
	}
}

func keys(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,"k%d":1`, i)
	}
	return "{" + b.String()[1:] + "}"
}

func TestMessagesOfTheContract(t *testing.T) {
	p := parseOne(t, `{"event_id":"e1","event_type":"purchase","properties":{"amount":-1}}`, "").Problems[0]
	if want := (Problem{EventID: "e1", Code: "invalid_field", Field: "properties.amount", Message: "must be 0 or more, got -1"}); p != want {
		t.Errorf("got %+v, want %+v", p, want)
	}
}

func TestNothingSentIsLost(t *testing.T) {
	tests := map[string]struct{ body, kind, want string }{
		"as sent":                        {`{"event_type":"x","properties":{"$a.b":1.10,"":[{}]}}`, "", `{"$a.b":1.10,"":[{}]}`},
		"white space goes":               {"{\"event_type\":\"x\",\"properties\":{ \"a b\" :\n[ 1 , 2 ] }}", "", `{"a b":[1,2]}`},
		"the alias":                      {`{"event_type":"x","custom_data":{"a":1}}`, "", `{"a":1}`},
		"both":                           {`{"event_type":"x","custom_data":{"a":1,"b":1},"properties":{"b":2}}`, "", `{"a":1,"b":1}`},
		"typed properties on top":        {`{"product_id":"p1","price":3}`, "product_view", `{"product_id":"p1","price":3}`},
		"an explicit property wins":      {`{"product_id":"p1","properties":{"product_id":"p2"}}`, "product_view", `{"product_id":"p2"}`},
		"unknown fields":                 {`{"event_type":"x","colour":"red","nothing":null}`, "", `{"colour":"red"}`},
		"a field without a name":         {`{"event_type":"x","":"y"}`, "", `{"":"y"}`},
		"the server's fields":            {`{"event_type":"x","country":"CN"}`, "", `{"country":"CN"}`},
		"an empty object":                {`{"event_type":"x","properties":{}}`, "", ``},
		"a key to the house is not kept": {`{"event_type":"x","api_key":"wk_1"}`, "", ``},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			p := parseOne(t, test.body, test.kind)
			if len(p.Problems) > 0 || p.Event.Properties != test.want {
				t.Errorf("got %s %v, want %s", p.Event.Properties, p.Problems, test.want)
			}
		})
	}
}

func TestFields(t *testing.T) {
	p := parseOne(t, `{"event_id":"a","event_type":"click","user_id":-7,"timestamp":1767225600123,"x_position":1.50,"load_time":0,"page_url":"https:\/\/a.b\/\u00e9"}`, "")
	want := Event{
		EventID: "a", EventType: "click", EventName: "click", UserID: "-7", Timestamp: 1767225600123,
		ClientTimestamp: 1767225600123, XPosition: "1.50", LoadTime: "0", PageURL: "https://a.b/é",
	}
	if p.Event != want || len(p.Problems) > 0 {
		t.Errorf("got %+v %v", p.Event, p.Problems)
	}
}

func TestTimes(t *testing.T) {
	for raw, want := range map[string]string{
		`"2026-01-31T08:30:00Z"`:           "2026-01-31T08:30:00.000Z",
		`"2026-01-31T08:30:00.123456789Z"`: "2026-01-31T08:30:00.123Z",
		`"2026-01-31T08:30:00+08:00"`:      "2026-01-31T00:30:00.000Z",
		`"2026-01-31t08:30:00z"`:           "2026-01-31T08:30:00.000Z",
		`1769848200000`:                    "2026-01-31T08:30:00.000Z",
		`1769848200000.9`:                  "2026-01-31T08:30:00.000Z",
		`-1000`:                            "1969-12-31T23:59:59.000Z",
	} {
		if got, why := momentOf(raw); why != "" || got.String() != want {
			t.Errorf("%s: got %s %s, want %s", raw, got, why, want)
		}
	}
}

func TestTimesThatNobodyCouldRead(t *testing.T) {
	for _, raw := range []string{`253402300800000`, `-62135596800001`, `"0000-12-31T23:59:59.999Z"`, `"0001-01-01T00:00:00+00:01"`, `"9999-12-31T23:59:59-00:01"`, `1e300`} {
		if at, why := momentOf(raw); why == "" {
			t.Errorf("%s: got %s, want it refused", raw, at)
		}
	}
	for _, raw := range []string{`253402300799999`, `-62135596800000`, `"0001-01-01T00:00:00Z"`, `"9999-12-31T23:59:59.999Z"`} {
		if _, why := momentOf(raw); why != "" {
			t.Errorf("%s: %s", raw, why)
		}
	}
}

// A text that a script cut inside an emoji costs half a character, not the event.
func TestHalvesOfSurrogatePairs(t *testing.T) {
	p := parseOne(t, `{"event_type":"x","page_title":"a\ud83d","element_text":"\ude00\ud83d\ude00","properties":{"\uDBFF":["\ud83d\u0041","\\ud83d"]}}`, "")
	want := Event{EventType: "x", EventName: "x", PageTitle: "a\ufffd", ElementText: "\ufffd😀", Properties: `{"\ufffd":["\ufffdA","\\ud83d"]}`}
	want.Properties = strings.ReplaceAll(want.Properties, `\ufffd`, "\ufffd")
	if p.Event != want || len(p.Problems) > 0 {
		t.Errorf("got %+v %v\nwant %+v", p.Event, p.Problems, want)
	}
}

func TestBatch(t *testing.T) {
	r, err := ParseBatch(`{"api_key":"wk_1","sent_at":1000,"events":[{"event_type":"a"},3,{"event_id":"b"}]}`)
	if err != nil || r.APIKey != "wk_1" || r.SentAt != 1000 || len(r.Events) != 3 {
		t.Fatalf("got %+v, %v", r, err)
	}
	if len(r.Events[0].Problems) != 0 || r.Events[1].Problems[0].Index != 1 || r.Events[2].Problems[0].EventID != "b" {
		t.Errorf("got %+v", r.Events)
	}
	for body, want := range map[string]string{
		`{"events":[]}`:                 "events: must be an array of 1 to 1000 events",
		`{}`:                            "events: must be an array of 1 to 1000 events",
		`{"events":{}}`:                 "events: must be an array of 1 to 1000 events, got an object",
		`{"events":[{}],"events":[{}]}`: "events: stands twice in the body",
		`{"events":[` + strings.Repeat("{},", 1000) + `{}]}`: "events: must hold at most 1000 events; send the rest in another request",
		`{"events":[{}],"sent_at":"now"}`:                    `sent_at: must be RFC 3339 such as "2026-01-31T08:30:00Z" or epoch milliseconds, got "now"`,
		`[{}]`:                                               `the body must be a JSON object such as {"events":[…]}, got an array`,
	} {
		if _, err := ParseBatch(body); err == nil || err.Error() != want {
			t.Errorf("%.60s:\n got %v\nwant %s", body, err, want)
		}
	}
}

// roundTrip checks that a good event survives the wire as it is.
func roundTrip(t *testing.T, e Event) {
	t.Helper()
	e.Project = "p"
	if e.EventID == "" {
		e.EventID = "made-up"
	}
	line := string(e.AppendWire(nil))
	got, err := DecodeWire(line)
	if err != nil || got != e || strings.ContainsAny(line, "\n\r") {
		t.Fatalf("got %+v, %v\nwant %+v\nfrom %s", got, err, e, line)
	}
	if public := e.AppendJSON(nil); !json.Valid(public) {
		t.Fatalf("not JSON: %s", public)
	}
}

func BenchmarkParseBatch20(b *testing.B) {
	body := `{"sent_at":1767225600123,"events":[` + strings.TrimSuffix(strings.Repeat(sample+",", 20), ",") + `]}`
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseBatch(body); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N*20)/b.Elapsed().Seconds(), "events/s")
}

const sample = `{"event_id":"018f3c5a-7b2e-7c31-9d42-0123456789ab","event_type":"page_view","user_id":"user-123456","anonymous_id":"0f8fad5b-d9cb-469f-a165-70867728950e","session_id":"7c9e6679-7425-40de-944b-e07fc1f90ae7","timestamp":1767225600123,"page_url":"https://shop.example/products/42?utm_source=news&utm_medium=email","page_title":"Blue shoes","referrer":"https://www.google.com/","screen_resolution":"1920x1080","viewport_size":"1280x720","load_time":0.84,"properties":{"product_id":"p-42","category":"shoes","price":59.9,"tags":["new","sale"]}}`

// The start of 1970 is a time, not a missing one; it is kept to the millisecond.
func TestTheEpochIsATime(t *testing.T) {
	for _, sent := range []string{`0`, `"1970-01-01T00:00:00Z"`, `1`, `-0.0`} {
		p := parseOne(t, `{"event_type":"click","timestamp":`+sent+`}`, "")
		if p.Event.Timestamp != 1 || p.Event.ClientTimestamp != 1 {
			t.Errorf("%s: got %d, want 1", sent, p.Event.Timestamp)
		}
	}
	if p := parseOne(t, `{"event_type":"click","timestamp":null}`, ""); p.Event.Timestamp != 0 {
		t.Errorf("null: got %d, want none", p.Event.Timestamp)
	}
}
