package destination

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/maidian/maidian/pkg/event"
)

// read reads a definition of files with more in it.
func read(t testing.TB, more string) *Definition {
	t.Helper()
	d, err := Read([]byte(`{"id":"lake","type":"files","settings":{}` + more + `}`))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func anEvent() event.Event {
	return event.Event{
		Project: "demo", EventID: "e1", EventType: "page_view", EventName: "page_view", UserID: "ann", IPAddress: "10.1.2.3",
		Timestamp:  1767225600000,
		Properties: `{"plan":"pro","email":"ann@example.com","address":{"street":"Elm 1","city":"Ulm"},"items":[{"to":"bob","n":1}],"a.b":2}`,
	}
}

func TestShapes(t *testing.T) {
	tests := map[string]struct{ definition, want string }{
		"everything":                   {``, `{"project":"demo","event_id":"e1","event_type":"page_view","event_name":"page_view","user_id":"ann","timestamp":"2026-01-01T00:00:00.000Z","ip_address":"10.1.2.3","is_bot":false,"properties":{"plan":"pro","email":"ann@example.com","address":{"street":"Elm 1","city":"Ulm"},"items":[{"to":"bob","n":1}],"a.b":2}}`},
		"some fields":                  {`"fields":["event_id","properties.plan","address.city"]`, `{"event_id":"e1","plan":"pro","address.city":"Ulm"}`},
		"other names":                  {`"fields":["event_id","timestamp","plan"],"rename":{"timestamp":"at","plan":"tier"}`, `{"event_id":"e1","at":"2026-01-01T00:00:00.000Z","tier":"pro"}`},
		"another type":                 {`"fields":["event_type","event_name"],"rename_events":{"page_view":"Page Viewed"}`, `{"event_type":"Page Viewed","event_name":"Page Viewed"}`},
		"without a field":              {`"fields":["event_id","ip_address"],"remove":["ip_address"]`, `{"event_id":"e1"}`},
		"without properties":           {`"fields":["properties"],"remove":["email","properties.address.street","items.to","a.b"]`, `{"properties":{"plan":"pro","address":{"city":"Ulm"},"items":[{"n":1}]}}`},
		"what is removed has no name":  {`"fields":["event_id","email"],"rename":{"email":"mail"},"remove":["email"]`, `{"event_id":"e1"}`},
		"without the last property":    {`"fields":["event_id","properties"],"remove":["plan","email","address","items","a.b"]`, `{"event_id":"e1"}`},
		"hashes":                       {`"fields":["user_id","email"],"hash":["user_id","email"],"salt":"s"`, `{"user_id":"` + hash("ann", "s") + `","email":"` + hash("ann@example.com", "s") + `"}`},
		"what is missing is not there": {`"fields":["event_id","page_url","nothing"]`, `{"event_id":"e1"}`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			more := tt.definition
			if more != "" {
				more = "," + more
			}
			d, e := read(t, more), anEvent()
			d.Make(&e, "s")
			if got := string(d.AppendJSON(nil, &e)); got != tt.want || !json.Valid([]byte(got)) {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestTheEventThatIsStoredStaysAsItIs(t *testing.T) {
	d, e := read(t, `,"remove":["ip_address","email"],"hash":["user_id"]`), anEvent()
	copied := e
	d.Make(&copied, "")
	if e != anEvent() {
		t.Errorf("got %+v", e)
	}
}

func TestWhichEventsAreTaken(t *testing.T) {
	tests := map[string]struct {
		definition string
		want       bool
	}{
		"all":               {``, true},
		"by type":           {`,"events":["click","page_view"]`, true},
		"of another type":   {`,"events":["click"]`, false},
		"by a filter":       {`,"filters":[{"property":"plan","value":"pro"}]`, true},
		"against a filter":  {`,"filters":[{"property":"plan","op":"neq","value":"pro"}]`, false},
		"by what is hashed": {`,"filters":[{"property":"user_id","value":"ann"}],"hash":["user_id"]`, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			e := anEvent()
			if got := read(t, tt.definition).Takes(&e); got != tt.want {
				t.Errorf("got %t, want %t", got, tt.want)
			}
		})
	}
}

func TestASampleIsOfUsersAndAlwaysTheSame(t *testing.T) {
	tenth, half := read(t, `,"sample":0.1`), read(t, `,"sample":0.5`)
	in := 0
	for user := range 10_000 {
		e := event.Event{UserID: fmt.Sprint("user-", user), EventID: "a"}
		other := event.Event{UserID: e.UserID, EventID: "b", AnonymousID: "c"}
		if tenth.Takes(&e) != tenth.Takes(&other) {
			t.Fatalf("%s is in and out", e.UserID)
		}
		if tenth.Takes(&e) {
			in++
			if !half.Takes(&e) {
				t.Fatalf("%s is in a tenth, but not in the half", e.UserID)
			}
		}
	}
	if in < 850 || in > 1150 {
		t.Errorf("got %d of 10,000 users, want about 1,000", in)
	}
}

func TestWhatIsWrittenReadsBack(t *testing.T) {
	for _, text := range []string{
		`{"id":"a","type":"webhook","settings":{"url":"https://a.example","secrets":[{"env":"CREDENTIAL_A"},{"file":"b"}]},"sample":0.25,"salt":{"env":"CREDENTIAL_SALT"}}`,
		`{"id":"a","type":"files","settings":{"format":"parquet","every":"90s"},"events":["click",{"event":"purchase","filters":[{"property":"amount","op":"gt","value":1}]}]}`,
		`{"id":"a","type":"s3","settings":{"bucket":"b","access_key":{"env":"CREDENTIAL_A"},"secret_key":{"env":"CREDENTIAL_B"}},"from":"2026-01-01"}`,
		`{"id":"a","type":"ga4","settings":{"measurement_id":"G-1","api_secret":{"env":"CREDENTIAL_A"}},"rename_events":{"a":"b"}}`,
		`{"id":"a","type":"mixpanel","settings":{"project_id":"1","username":"u","password":{"env":"CREDENTIAL_A"}},"filters":[{"not":{"property":"a","value":"b"}}]}`,
		`{"id":"a","type":"clickhouse","settings":{"url":"http://c:8123","table":"t"},"fields":["event_id","plan"],"rename":{"plan":"tier"}}`,
		`{"id":"a","type":"postgres","settings":{"url":{"env":"CREDENTIAL_A"},"table":"t"},"from":"beginning"}`,
		`{"id":"a","type":"kafka","settings":{"brokers":["k:9092"],"topic":"t"},"enabled":false}`,
		`{"id":"a","type":"bigquery","settings":{"project_id":"p","dataset":"d","table":"t","key":{"file":"a"},"every":"5m"},"pause_after":0}`,
		`{"id":"a","type":"snowflake","settings":{"account":"o-a","user":"u","key":{"env":"CREDENTIAL_A"},"warehouse":"W","database":"D","table":"T"}}`,
	} {
		d, err := Read([]byte(text))
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		written, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Read(written)
		if err != nil {
			t.Errorf("%s: %v", written, err)
			continue
		}
		if second, err := json.Marshal(again); err != nil || string(second) != string(written) {
			t.Errorf("got  %s, %v\nwant %s", second, err, written)
		}
	}
}

func FuzzChangedPropertiesStayJSON(f *testing.F) {
	f.Add("a.b", `{"a":{"b":1},"a.b":[{"c":2}]}`)
	f.Fuzz(func(t *testing.T, key, object string) {
		if !strings.HasPrefix(object, "{") || !json.Valid([]byte(object)) {
			return
		}
		got := changed(object, key, func(event.Value) event.Value { return event.Value{} })
		if got != "" && !json.Valid([]byte(got)) {
			t.Errorf("%s without %q: got %s", object, key, got)
		}
		if v := event.Property(got, key); v.Kind != event.Absent {
			t.Errorf("%s without %q: still has %s", object, key, v)
		}
	})
}
