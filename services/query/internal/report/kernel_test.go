package report

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/services/query/internal/columns"
)

// TestKernelIsTheFinder holds the fast funnel to the general one: its totals,
// its breakdowns, and every user's chain.
func TestKernelIsTheFinder(t *testing.T) {
	taken := 0
	for seed := range uint64(1500) {
		r := rand.New(rand.NewPCG(seed, 4))
		events := randomEvents(r, 1+r.IntN(40))
		steps := []any{"view", map[string]any{"event": "cart", "filters": randomCondition(r)}, "buy", "refund"}[:2+r.IntN(3)]
		if r.IntN(4) == 0 { // as many steps as need more room for a user
			steps = steps[:0]
			kinds := 5 + r.IntN(8)
			for i := range events {
				events[i].EventType = fmt.Sprint("type", r.IntN(kinds))
			}
			for i := range kinds {
				steps = append(steps, fmt.Sprint("type", i))
			}
		}
		parameters, _, _ := randomRange(r, events)
		parameters["window"] = []string{"1s", "30m", "1h", "1d", "14d"}[r.IntN(5)]
		parameters["filters"] = randomCondition(r)
		parameters["entry"] = []string{"any", "first"}[r.IntN(2)]
		parameters["steps"] = steps
		if r.IntN(2) == 0 {
			parameters["breakdown"] = map[string]any{"property": "plan", "attribution": []string{"first_touch", "last_touch"}[r.IntN(2)], "limit": 1 + r.IntN(3)}
		}
		taken += checkKernel(t, columns.FromEvents("demo", events), parameters)
	}
	if taken == 0 {
		t.Fatal("no funnel was entered")
	}
}

// Users beyond one partition, some of them very busy, with many ties.
func TestKernelIsTheFinderForManyUsers(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 11))
	events := make([]event.Event, 40_000)
	for i := range events {
		user := r.IntN(3 * columns.UserBlock)
		if r.IntN(4) == 0 {
			user = r.IntN(3)
		}
		events[i] = event.Event{
			EventID: fmt.Sprint(i), EventType: []string{"view", "cart", "buy", "refund"}[r.IntN(4)], UserID: fmt.Sprint("user", user),
			Timestamp: at("2026-03-01T00:00:00Z") + event.Time(r.IntN(100))*hour, Browser: []string{"", "Chrome", "Firefox"}[r.IntN(3)],
		}
	}
	v := columns.FromEvents("demo", events)
	for _, window := range []string{"1h", "12h", "14d"} {
		taken := checkKernel(t, v, map[string]any{
			"from": "2026-03-01", "to": "2026-03-04", "window": window, "steps": []string{"view", "cart", "buy", "refund"},
			"breakdown": map[string]any{"property": "browser", "attribution": "last_touch"},
		})
		if taken < columns.UserBlock {
			t.Errorf("only %d users entered", taken)
		}
	}
}

// checkKernel returns how many entered.
func checkKernel(t *testing.T, v *columns.View, parameters map[string]any) int {
	t.Helper()
	ctx := context.Background()
	body, err := json.Marshal(parameters)
	if err != nil {
		t.Fatal(err)
	}
	request, err := ReadFunnel(params(t, string(body)), testEnv)
	if err != nil {
		t.Fatal(err)
	}
	f, err := request.open(ctx, v)
	if err != nil {
		t.Fatal(err)
	}
	k := f.kernel()
	if k == nil {
		t.Fatalf("%s is not taken by the kernel", body)
	}
	fast, fastByValue, err := k.totals(ctx)
	if err != nil {
		t.Fatal(err)
	}
	general, byValue, err := f.totals(ctx)
	if err != nil {
		t.Fatal(err)
	}
	same(t, body, f.lines(fast), f.lines(general))
	for value := range byValue {
		if fastByValue[value] == nil {
			fastByValue[value] = &stepTotal{}
		}
		same(t, body, f.lines(fastByValue[value]), f.lines(byValue[value]))
	}
	same(t, body, len(fastByValue), len(byValue))
	same(t, body, chainsOf(t, k.chains), chainsOf(t, (&funnel{
		request: f.request, source: f.source, actors: f.actors, plan: f.plan, stepEvents: f.stepEvents,
	}).found))
	return general.users[0]
}

// found are the general finder's chains.
func (f *funnel) found(ctx context.Context, visit func(worker int, actor uint32, c *chain)) error {
	return f.each(ctx, f.actors.partitions(), func(worker int, find *finder, actor uint32, hits []hit) {
		if c := find.best(hits, anytime); c.depth > 0 {
			visit(worker, actor, &c)
		}
	})
}

// chainsOf are who did which steps when, in the order of users.
func chainsOf(t *testing.T, chains func(ctx context.Context, visit func(worker int, actor uint32, c *chain)) error) []string {
	t.Helper()
	parts := make([][]string, processors())
	if err := chains(context.Background(), func(worker int, actor uint32, c *chain) {
		parts[worker] = append(parts[worker], fmt.Sprintf("%06d %b %v", actor, c.done, c.at[:c.depth]))
	}); err != nil {
		t.Fatal(err)
	}
	all := slices.Concat(parts...)
	slices.Sort(all)
	return all
}

func same(t *testing.T, body []byte, got, want any) {
	t.Helper()
	g, _ := json.Marshal(got)
	w, _ := json.Marshal(want)
	if string(g) != string(w) {
		t.Fatalf("%s\n got %s\nwant %s", body, g, w)
	}
}
