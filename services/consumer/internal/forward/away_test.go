package forward

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/maidian/maidian/pkg/destination"
	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/store/sqlite"
)

// hangs takes nothing and does not answer.
func hangs(ctx context.Context, _ Batch) error {
	<-ctx.Done()
	return ctx.Err()
}

// away refuses connections.
func away(context.Context, Batch) error { return errors.New("connection refused") }

// named has a destination for each way of sending, by its id.
func named(t testing.TB, ways map[string]func(context.Context, Batch) error, define func(definition string)) (map[string]*fake, func(*opening) (Target, error)) {
	t.Helper()
	targets := map[string]*fake{}
	for id, way := range ways {
		targets[id] = newFake(Limits{Events: 100, Bytes: 1 << 20})
		targets[id].send = way
		define(strings.Replace(toFake, `"fake"`, fmt.Sprintf("%q", id), 1))
	}
	return targets, func(o *opening) (Target, error) { return targets[o.definition.ID], nil }
}

// TestWhoHangsHoldsUpNobody has a destination that never answers and one that
// refuses connections beside one that works, while much is stored: it gets all,
// and those that wait hold no more in hand than a group's part, nor more
// goroutines than they had.
func TestWhoHangsHoldsUpNobody(t *testing.T) {
	s := openStore(t)
	w := newWriter(s)
	targets, open := named(t, map[string]func(context.Context, Batch) error{"hangs": hangs, "away": away, "works": nil},
		func(definition string) { define(t, s, definition, nil) })
	var inHand atomic.Int64
	for _, id := range []string{"hangs", "away"} {
		targets[id].encode = func(*event.Event) error {
			inHand.Add(1)
			return nil
		}
	}
	stop := runWith(t, s, "one", open)
	w.batch(t, 50, nil)
	targets["works"].waitFor(t, 50)
	before := runtime.NumGoroutine()
	for range 200 {
		w.batch(t, 20, nil)
	}
	targets["works"].waitFor(t, 50+200*20)
	wantSame(t, targets["works"].first(), w.written)
	for _, id := range []string{"hangs", "away"} {
		if id == "away" {
			waitForState(t, s, id, func(s *destination.State) bool { return s.Failures > 0 && s.WaitingAt != 0 })
		}
		if n := len(targets[id].first()); n > 0 {
			t.Errorf("%s took %d events", id, n)
		}
	}
	// Two of them, with the events that were there first and a part of a group each.
	if n := inHand.Load(); n > 2*(50+together*20) {
		t.Errorf("%d events are held for those that take none", n)
	}
	if after := runtime.NumGoroutine(); after > before+10 {
		t.Errorf("%d goroutines, were %d", after, before)
	}
	stop() // does not wait for who hangs
}

// BenchmarkStoring is how fast events are stored beside destinations that work,
// are away or hang.
func BenchmarkStoring(b *testing.B) {
	for _, beside := range []struct {
		name string
		ways map[string]func(context.Context, Batch) error
	}{
		{"alone", nil},
		{"beside one that hangs and one that is away", map[string]func(context.Context, Batch) error{"hangs": hangs, "away": away}},
		{"beside one that works", map[string]func(context.Context, Batch) error{"works": nil}},
	} {
		b.Run(beside.name, func(b *testing.B) {
			s, err := sqlite.Open(b.Context(), b.TempDir())
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			_, open := named(b, beside.ways, func(definition string) { define(b, s, definition, nil) })
			defer runWith(b, s, "one", open)()
			w := newWriter(s)
			for b.Loop() {
				w.batch(b, 500, nil)
			}
			b.ReportMetric(float64(500*b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}
