package report

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/services/query/internal/columns"
)

// questions are one request of each kind.
func questions(r *rand.Rand, events []event.Event) map[string][]map[string]any {
	with := func(more map[string]any) map[string]any {
		body, _, _ := randomRange(r, events)
		for name, v := range more {
			body[name] = v
		}
		return body
	}
	steps := []any{"view", "cart", map[string]any{"event": "buy", "optional": true}, "refund"}
	breakdown := func(attribution string) map[string]any {
		b := map[string]any{"property": "plan", "attribution": attribution, "limit": 1 + r.IntN(3)}
		if attribution == "step" {
			b["step_index"] = 1
		}
		return b
	}
	attribution := []string{"first_touch", "last_touch", "all_events", "step"}[r.IntN(4)]
	kind := []string{"ordered", "strict"}[r.IntN(2)]
	return map[string][]map[string]any{
		"funnel": {
			with(map[string]any{"steps": steps, "order": kind, "breakdown": breakdown(attribution)}),
			with(map[string]any{"steps": []any{"view", "cart", "buy"}}),
			with(map[string]any{"steps": []any{"view", "*", "buy"}, "order": "unordered", "unit": "session"}),
			with(map[string]any{"steps": steps, "view": "trend", "order": kind}),
			with(map[string]any{"steps": steps, "view": "time_to_convert", "to_step": 1}),
		},
		"funnel/users":    {with(map[string]any{"steps": steps, "step": 1, "dropped": r.IntN(2) == 0})},
		"retention":       {with(map[string]any{"start_event": "view", "breakdown": breakdown(attribution)}), with(map[string]any{"cohort": "first_ever", "window": "rolling"})},
		"retention/users": {with(map[string]any{"cohort_index": 0})},
		"trends": {with(map[string]any{
			"series":  []any{map[string]any{"event": "view", "metric": "users"}, map[string]any{"event": "buy", "metric": "sum", "property": "amount"}, map[string]any{"event": "*", "metric": "p90", "property": "amount"}},
			"formula": "B/A*100", "compare": "previous", "breakdown": map[string]any{"property": "plan", "limit": 2},
		})},
		"stickiness": {with(map[string]any{"event": "view"})},
		"lifecycle":  {with(map[string]any{"event": "view"})},
		"paths":      {with(map[string]any{"by": "event_type"}), with(map[string]any{"by": "event_type", "end": "buy", "steps": 3})},
	}
}

// answers asks every question and gives each answer under its request.
func answers(t *testing.T, asked map[string][]map[string]any, events []event.Event) map[string]string {
	t.Helper()
	v := columns.FromEvents("demo", events)
	got := map[string]string{}
	for route, bodies := range asked {
		for _, body := range bodies {
			text, err := json.Marshal(body)
			if err != nil {
				t.Fatal(err)
			}
			answer, err := post(v, route, text)
			if err != nil {
				t.Fatalf("%s %s: %v", route, text, err)
			}
			got[route+" "+string(text)] = string(answer)
		}
	}
	return got
}

func compare(t *testing.T, seed uint64, what string, before, after map[string]string) {
	t.Helper()
	for request, want := range before {
		if after[request] != want {
			t.Fatalf("seed %d: %s changes the answer of %s\nfrom %s\n  to %s", seed, what, request, want, after[request])
		}
	}
}

// A user's events of other types stand between steps only in strict order.
func TestOtherEventsChangeNoOrderedFunnel(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 7))
		events := randomEvents(r, 1+r.IntN(30))
		body, _, _ := randomRange(r, events)
		body["steps"], body["order"] = []any{"view", "cart", "buy"}, []string{"ordered", "unordered"}[r.IntN(2)]
		asked := map[string][]map[string]any{"funnel": {body}}
		before := answers(t, asked, events)
		for i := range 10 {
			e := events[r.IntN(len(events))]
			e.EventID, e.EventType, e.Timestamp, e.BatchID, e.Position = fmt.Sprintf("o%d", i), "other", e.Timestamp+event.Time(r.IntN(int(hour))), "other", i
			events = append(events, e)
		}
		compare(t, seed, "an event of another type", before, answers(t, asked, events))
	}
}

func TestEveryReportEndsWithItsContext(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 8))
	events := randomEvents(r, 30)
	v := columns.FromEvents("demo", events)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for route, bodies := range questions(r, events) {
		for _, body := range bodies {
			text, err := json.Marshal(body)
			if err != nil {
				t.Fatal(err)
			}
			if _, _, err := routes[route](ctx, v, params(t, string(text)), testEnv); !errors.Is(err, context.Canceled) {
				t.Errorf("%s %s: got %v, want it cancelled", route, text, err)
			}
		}
	}
}

func TestReportsOfNothing(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 9))
	for request, answer := range answers(t, questions(r, randomEvents(r, 5)), nil) {
		if bytes.Contains([]byte(answer), []byte("NaN")) {
			t.Errorf("%s: %s", request, answer)
		}
	}
}

// FuzzRequests reads strangers' requests: never a panic, and what is taken can
// be answered, and asked again from the answer's own words.
func FuzzRequests(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 10))
	events := randomEvents(r, 12)
	v := columns.FromEvents("demo", events)
	for route, bodies := range questions(r, events) {
		for _, body := range bodies {
			text, err := json.Marshal(body)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(route, text)
		}
	}
	f.Fuzz(func(t *testing.T, route string, body []byte) {
		if routes[route] == nil {
			return
		}
		p, err := ParamsFromJSON(body)
		if err != nil {
			return
		}
		query, answer, err := routes[route](context.Background(), v, p, testEnv)
		if err != nil {
			return
		}
		again, err := json.Marshal(query)
		if err != nil {
			t.Fatal(err)
		}
		p, err = ParamsFromJSON(again)
		if err != nil {
			t.Fatal(err)
		}
		_, repeated, err := routes[route](context.Background(), v, p, testEnv)
		if err != nil {
			t.Fatalf("%s %s\nwas executed as %s\nwhich is refused: %v", route, body, again, err)
		}
		a, _ := json.Marshal(answer)
		b, _ := json.Marshal(repeated)
		if !bytes.Equal(a, b) {
			t.Fatalf("%s %s\nwas executed as %s\nwhich is answered otherwise:\n%s\n%s", route, body, again, a, b)
		}
	})
}
