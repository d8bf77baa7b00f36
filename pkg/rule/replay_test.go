package rule

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/store"
)

// TestAReplayTellsWhatWasTold has rules evaluated while events come, by someone
// who is now and then another one, and once more afterwards. What is told is the
// same to the letter, as long as nothing was later than the rules' grace.
func TestAReplayTellsWhatWasTold(t *testing.T) {
	firings := 0
	for seed := range uint64(60) {
		random := rand.New(rand.NewPCG(seed, 5))
		definition := strings.NewReplacer(`"grace": "1s"`, `"grace": "30s"`, `"grace": "10s"`, `"grace": "30s"`).Replace(randomRule(random))
		if seed%4 == 0 {
			definition = []string{`{"id": "r", "kind": "event", "event": "a", "cool_down": "1m"}`, `{"id": "r", "kind": "new_value", "event": "a", "property": "duration", "learn": "5m"}`}[random.IntN(2)]
		}
		rules := []*Rule{read(t, "%s", definition)}
		a := &archive{}
		for i, now := 0, start; now < start+hour; i++ {
			var events []event.Event
			received := now
			for range 1 + random.IntN(4) {
				received += event.Time(random.IntN(200))
				events = append(events, event.Event{
					EventID: fmt.Sprint("e", i, "-", len(events)), EventType: []string{"a", "a", "b"}[random.IntN(3)], Timestamp: received - event.Time(random.IntN(15_000)), ReceivedAt: received,
					UserID: fmt.Sprint("u", random.IntN(6)), Country: []string{"DE", "CN", ""}[random.IntN(3)], Duration: event.Number(fmt.Sprint(1 << random.IntN(6))),
				})
			}
			a.write([]string{"shop", "shop", "blog"}[random.IntN(3)], received+event.Time(random.IntN(10_000)), events...)
			now += event.Time(random.IntN(20_000))
		}
		until := start + 90*minute

		told := map[string]string{}
		tell := func(all []Firing) {
			for i := range all {
				text, err := json.Marshal(all[i])
				if before, twice := told[all[i].ID]; err != nil || twice && before != string(text) {
					t.Fatalf("%s was told differently before: %s", text, before)
				}
				told[all[i].ID] = string(text)
			}
		}
		live(t, random, a, rules, until, tell)
		was := maps.Clone(told)
		clear(told)
		e := New("shop", start)
		e.Use(rules)
		if _, whole, err := e.Replay(t.Context(), a, a, until, 1<<20, tell); err != nil || !whole {
			t.Fatal(whole, err)
		}
		if !maps.Equal(told, was) {
			for _, id := range slices.Sorted(maps.Keys(was)) {
				if told[id] != was[id] {
					t.Fatalf("seed %d, %s: told\n%s\nin the replay\n%s", seed, definition, was[id], told[id])
				}
			}
			t.Fatalf("seed %d, %s: %d were told, %d in the replay", seed, definition, len(was), len(told))
		}
		firings += len(was)
	}
	if firings < 500 {
		t.Errorf("only %d firings: the test shows little", firings)
	}
}

// live evaluates what is in the journal as the clock goes on.
func live(t *testing.T, random *rand.Rand, a *archive, rules []*Rule, until event.Time, tell func([]Firing)) {
	t.Helper()
	e := New("shop", start)
	e.Use(rules)
	kept, taken, done := keep(t, e), 0, 0
	_, _ = a.Batches(t.Context(), store.Cursor{}, 1) // which sorts them
	for now := start; now < until; {
		from, lag := taken, event.Time(0)
		for taken < len(a.entries) && a.entries[taken].WrittenAt <= now {
			lag = a.entries[taken].WrittenAt - a.entries[taken].ReceivedAt
			taken++
		}
		if _, err := e.Take(t.Context(), a, a.entries[from:taken]); err != nil {
			t.Fatal(err)
		}
		e.Advance(now - lag)
		now += event.Time(random.IntN(5000))
		switch random.IntN(30) {
		case 0, 1:
			tell(e.Firings())
			kept, done = keep(t, e), taken
		case 2: // another one goes on
			again, err := Restore("shop", kept, rules)
			if err != nil {
				t.Fatal(err)
			}
			e, taken = again, done
		}
	}
	e.Advance(until)
	tell(e.Firings())
}
