package destination

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/maidian/maidian/pkg/event"
)

// words are few, so that names of fields and of properties meet.
var words = []string{"plan", "email", "a", "b", "a.b", "user_id", "items", "address", "x y", "ü"}

func word(random *rand.Rand) string { return words[random.IntN(len(words))] }

// someValue is any JSON, with few words in it.
func someValue(random *rand.Rand, depth int) any {
	switch random.IntN(6 + depth) {
	case 0:
		return random.IntN(100)
	case 1:
		return random.IntN(2) == 0
	case 2:
		return nil
	case 3, 4, 5:
		return "secret-" + word(random)
	case 6:
		return []any{someValue(random, depth-1), someValue(random, depth-1)}
	}
	object := map[string]any{}
	for range random.IntN(4) {
		object[word(random)] = someValue(random, depth-1)
	}
	return object
}

func anyEvent(t testing.TB, random *rand.Rand) event.Event {
	t.Helper()
	properties := map[string]any{}
	for range random.IntN(6) {
		properties[word(random)] = someValue(random, 3)
	}
	text, err := json.Marshal(properties)
	if err != nil {
		t.Fatal(err)
	}
	e := event.Event{
		Project: "demo", EventID: fmt.Sprint("e", random.Uint32()), EventType: "page_view", EventName: "page_view",
		UserID: "user-" + word(random), IPAddress: "10.1.2.3", UserAgent: "agent", Timestamp: 1767225600000, Properties: string(text),
	}
	if len(properties) == 0 {
		e.Properties = ""
	}
	return e
}

func some(random *rand.Rand, from []string) (chosen []string) {
	for _, s := range from {
		if random.IntN(3) == 0 {
			chosen = append(chosen, s)
		}
	}
	return chosen
}

// TestNothingThatIsRemovedLeaves draws events and definitions and looks for
// anything that ought not to be there, in whatever form it is sent.
func TestNothingThatIsRemovedLeaves(t *testing.T) {
	for seed := range uint64(1000) {
		random := rand.New(rand.NewPCG(seed, 0))
		e := anyEvent(t, random)
		removed, hashed := some(random, append([]string{"ip_address", "user_agent"}, words...)), some(random, words)
		hashed = slices.DeleteFunc(hashed, func(s string) bool { return slices.Contains(removed, s) })
		more, err := json.Marshal(map[string]any{"id": "d", "type": "files", "settings": map[string]any{}, "remove": append(removed, "e"), "hash": append(hashed, "h")})
		if err != nil {
			t.Fatal(err)
		}
		d, err := Read(more)
		if err != nil {
			t.Fatal(err)
		}
		made := e
		d.Make(&made, "salt")
		sent := d.AppendJSON(nil, &made)
		var got map[string]any
		if err := json.Unmarshal(sent, &got); err != nil {
			t.Fatalf("seed %d: %s: %v", seed, sent, err)
		}
		for _, name := range removed {
			if v := event.ValueOf(&made, name); v.Kind != event.Absent {
				t.Fatalf("seed %d: %s is removed, and %s has it still", seed, name, sent)
			}
			if property, _ := got["properties"].(map[string]any); name != "user_id" && property[name] != nil {
				t.Fatalf("seed %d: %s is removed, and %s has it still", seed, name, sent)
			}
		}
		for _, name := range hashed {
			if v := event.ValueOf(&made, name); v.Kind != event.Absent && len(v.Text) != 64 {
				t.Fatalf("seed %d: %s is to be hashed, and is %s in %s", seed, name, v.Text, sent)
			}
		}
		untouched := !slices.ContainsFunc(slices.Concat(removed, hashed), func(name string) bool { return strings.Contains(string(mustMarshal(t, e.Properties)), name) })
		if untouched && made.Properties != e.Properties && !sameJSON(t, made.Properties, e.Properties) {
			t.Fatalf("seed %d: got %s, want %s", seed, made.Properties, e.Properties)
		}
	}
}

func mustMarshal(t testing.TB, v any) []byte {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func sameJSON(t testing.TB, a, b string) bool {
	t.Helper()
	var x, y any
	if json.Unmarshal([]byte(a), &x) != nil || json.Unmarshal([]byte(b), &y) != nil {
		return false
	}
	return string(mustMarshal(t, x)) == string(mustMarshal(t, y))
}

// TestWhatIsNamedIsSentUnderItsName draws fields and other names for them: what
// is sent has them all, each once, with the event's own values.
func TestWhatIsNamedIsSentUnderItsName(t *testing.T) {
	for seed := range uint64(700) {
		random := rand.New(rand.NewPCG(seed, 1))
		e := anyEvent(t, random)
		fields := append(some(random, []string{"event_id", "event_type", "ip_address", "page_url", "timestamp"}), some(random, words)...)
		if len(fields) == 0 {
			fields = []string{"event_id"}
		}
		rename := map[string]string{}
		for i, name := range fields {
			if random.IntN(2) == 0 {
				rename[name] = fmt.Sprint("name", i)
			}
		}
		d, err := Read(mustMarshal(t, map[string]any{"id": "d", "type": "files", "settings": map[string]any{}, "fields": fields, "rename": rename}))
		if err != nil {
			t.Fatal(err)
		}
		var got map[string]json.RawMessage
		if err := json.Unmarshal(d.AppendJSON(nil, &e), &got); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		for _, name := range fields {
			as := name
			if rename[name] != "" {
				as = rename[name]
			}
			want := event.ValueOf(&e, name)
			if sent, there := got[as]; there != (want.Kind != event.Absent) {
				t.Fatalf("seed %d: %s: got %s, want %s", seed, as, sent, want.Text)
			}
			if name != "timestamp" && got[as] != nil && !sameJSON(t, string(got[as]), string(want.AppendJSON(nil))) {
				t.Fatalf("seed %d: %s: got %s, want %s", seed, as, got[as], want.AppendJSON(nil))
			}
			delete(got, as)
		}
		if len(got) > 0 {
			t.Fatalf("seed %d: sent besides: %v", seed, got)
		}
	}
}

// TestFiltersChooseWhatTheySay sends what a condition holds for, nothing else,
// whatever is removed or hashed of it afterwards.
func TestFiltersChooseWhatTheySay(t *testing.T) {
	for seed := range uint64(1000) {
		random := rand.New(rand.NewPCG(seed, 2))
		e, value := anyEvent(t, random), "user-"+word(random)
		definition := map[string]any{
			"id": "d", "type": "files", "settings": map[string]any{}, "filters": []any{map[string]any{"property": "user_id", "value": value}},
			"events": []any{[]string{"page_view", "click", "*"}[random.IntN(3)]}, "hash": []string{"user_id"},
		}
		d, err := Read(mustMarshal(t, definition))
		if err != nil {
			t.Fatal(err)
		}
		if want := e.UserID == value && definition["events"].([]any)[0] != "click"; d.Takes(&e) != want {
			t.Fatalf("seed %d: %s of %s by %v: got %t, want %t", seed, e.EventType, e.UserID, definition, !want, want)
		}
	}
}
