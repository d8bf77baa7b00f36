package backlog

import (
	"context"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"

	"github.com/maidian/maidian/pkg/bus"
)

// queue says what a test has it say.
type queue struct {
	depth, dead int
	err         error
}

func (q *queue) Depth(context.Context) (int, error)        { return q.depth, q.err }
func (q *queue) DeadLettered(context.Context) (int, error) { return q.dead, q.err }

func madeAt(t *testing.T, at time.Time) bus.Delivery {
	t.Helper()
	id, err := uuid.NewV7()
	if err != nil {
		t.Fatal(err)
	}
	for i, ms := 0, at.UnixMilli(); i < 6; i++ {
		id[i] = byte(ms >> (40 - 8*i))
	}
	return bus.Delivery{Message: bus.Message{ID: id.String()}}
}

func TestAgeOfWhatWaits(t *testing.T) {
	q := &queue{depth: 5}
	b := New(q, prometheus.NewRegistry(), zap.NewNop())
	now := b.begun.Truncate(time.Millisecond)
	b.begun = now
	b.now = func() time.Time { return now }
	expect := func(when string, messages int, age time.Duration) {
		t.Helper()
		b.look(t.Context())
		if n, s := testutil.ToFloat64(b.messages), testutil.ToFloat64(b.oldest); n != float64(messages) || s != age.Seconds() {
			t.Errorf("%s: got %g messages, the oldest %g s; want %d and %g", when, n, s, messages, age.Seconds())
		}
	}
	finish := func(outcome bus.Outcome, ds ...bus.Delivery) {
		b.Over(func(_ context.Context, ds []bus.Delivery) []bus.Outcome {
			return []bus.Outcome{outcome, bus.Again}[:len(ds)]
		})(t.Context(), ds)
	}
	pass := func(d time.Duration) { now = now.Add(d) }

	pass(20 * time.Second)
	expect("while nothing was finished since the start", 5, 20*time.Second)
	finish(bus.Done, madeAt(t, now.Add(-time.Hour)), madeAt(t, now))
	expect("what came before the start is that old", 5, time.Hour)
	finish(bus.Done, madeAt(t, now.Add(-2*time.Hour)))
	expect("an old one that was repeated changes nothing", 5, time.Hour)
	finish(bus.Again, madeAt(t, now))
	expect("nor one that goes back", 5, time.Hour)
	finish(bus.Done, bus.Delivery{Message: bus.Message{ID: "a stranger's"}})
	expect("nor one of which nobody knows when it was made", 5, time.Hour)
	q.depth = 0
	expect("when nothing waits", 0, 0)
	q.depth = 1
	pass(30 * time.Second)
	expect("since it was empty", 1, 30*time.Second)
	pass(30 * time.Second)
	expect("later", 1, time.Minute)
	finish(bus.Done, madeAt(t, now.Add(-time.Second)))
	expect("when consumers keep up", 1, time.Second)
}

func TestABrokerThatDoesNotSay(t *testing.T) {
	q := &queue{depth: 3, dead: 2}
	b := New(q, prometheus.NewRegistry(), zap.NewNop())
	b.look(t.Context())
	if n := testutil.ToFloat64(b.dead); n != 2 {
		t.Errorf("%g are buried, want 2", n)
	}
	q.err = errors.New("away")
	b.look(t.Context())
	for name, g := range map[string]prometheus.Gauge{"messages": b.messages, "oldest": b.oldest, "buried": b.dead} {
		if v := testutil.ToFloat64(g); !math.IsNaN(v) {
			t.Errorf("%s: got %g, want NaN", name, v)
		}
	}
}
