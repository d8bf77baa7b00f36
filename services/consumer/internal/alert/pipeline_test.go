package alert

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/pulse"
	"github.com/maidian/maidian/pkg/rule"
	"github.com/maidian/maidian/pkg/store"
)

// line is a queue of some length, or one that does not answer.
type line struct {
	depth int
	err   error
}

func (l line) Depth(context.Context) (int, error) { return l.depth, l.err }

// TestPipelineRulesTell makes of each metric what is to be told, and what is not.
func TestPipelineRulesTell(t *testing.T) {
	late := func(t *testing.T, w *town) {
		entry := store.Batch{ID: "late", Project: "shop", WrittenAt: w.now(), ReceivedAt: w.now() - 120_000, Stored: 1}
		if err := w.RecordBatches(t.Context(), []store.Batch{entry}); err != nil {
			t.Fatal(err)
		}
	}
	letters := func(n int) func(*testing.T, *town) {
		return func(t *testing.T, w *town) {
			for i := range n {
				letter := store.DeadLetter{ID: fmt.Sprint(i), Project: "shop", Reason: "no"}
				if err := w.PutDeadLetters(t.Context(), []store.DeadLetter{letter}); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	tell := func(project, name string, value float64) func(*testing.T, *town) {
		return func(t *testing.T, w *town) {
			if err := pulse.Tell(t.Context(), w.Store, project, name, "somebody", value, w.now()+30_000); err != nil {
				t.Fatal(err)
			}
		}
	}
	none := func(*testing.T, *town) {}
	for name, tt := range map[string]struct {
		metric string
		value  float64
		queue  Queue
		do     func(*testing.T, *town)
		tells  bool
	}{
		"a long queue":                 {"queue_depth", 100, line{depth: 101}, none, true},
		"a short queue":                {"queue_depth", 100, line{depth: 100}, none, false},
		"a queue that does not answer": {"queue_depth", -1, line{err: errors.New("away")}, none, false},
		"no queue":                     {"queue_depth", -1, nil, none, false},
		"what waits and does not move": {"oldest_message_age", 20, line{depth: 3}, none, true},
		"nothing waits":                {"oldest_message_age", 20, line{}, none, false},
		"dead letters":                 {"dead_letters", 2, nil, letters(3), true},
		"few dead letters":             {"dead_letters", 2, nil, letters(2), false},
		"events that are nowhere":      {"unaccounted_events", 0, nil, tell("shop", pulse.Unaccounted, 1), true},
		"all is accounted for":         {"unaccounted_events", 0, nil, tell("shop", pulse.Unaccounted, 0), false},
		"those of another project":     {"unaccounted_events", 0, nil, tell("blog", pulse.Unaccounted, 1), false},
		"nobody keeps accounts":        {"unaccounted_events", -1, nil, none, false},
		"a store that fails":           {"storage_errors", 5, nil, tell("", pulse.StorageErrors, 6), true},
		"a store that does not":        {"storage_errors", 5, nil, none, false},
		"consumers that are behind":    {"consumer_lag", 60, nil, late, true},
		"consumers that are not":       {"consumer_lag", 60, nil, none, false},
		"rules that are behind":        {"alerts_behind", 20, nil, late, true},
		"rules that are not":           {"alerts_behind", 20, nil, none, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newTown(t)
			w.queue = tt.queue
			w.rule(t, "pipeline", fmt.Sprintf(`{"id": "pipeline", "kind": "pipeline", "metric": %q, "op": "gt", "value": %g, "window": "10s", "for": "15s"}`, tt.metric, tt.value))
			w.process(t, "only", w.Store)
			w.settled(t)
			tt.do(t, w)
			for range 12 { // a minute
				w.clock.Add(int64(sampleEvery / time.Millisecond))
				w.saved(t)
			}
			var got []string
			for _, f := range w.firings(t) {
				got = append(got, f.State)
			}
			if len(got) > 0 != tt.tells || tt.tells && got[0] != rule.StateFiring {
				t.Errorf("told %q, want that it tells to be %t", got, tt.tells)
			}
		})
	}
}

// saved waits until a snapshot is of now.
func (w *town) saved(t *testing.T) {
	t.Helper()
	until(t, "a snapshot of now", func() bool {
		s, err := w.status(t)
		return err == nil && s.At >= w.now()
	})
}

// TestTheOldestMessageIsYoungerThanWhatWasStoredLast has a queue from which
// messages are taken, slowly.
func TestTheOldestMessageIsYoungerThanWhatWasStoredLast(t *testing.T) {
	now := event.Time(1_000_000)
	q := &waits{queue: line{depth: 5}, now: func() time.Time { return now.Std() }}
	age := func(received event.Time) event.Time {
		_, empty, err := q.ask(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return oldest(now, received, empty)
	}
	for _, step := range []struct {
		depth          int
		after          event.Time
		received, want event.Time
	}{
		{5, 0, 0, 0}, // nothing is known but that it cannot have been seen waiting before
		{5, 10_000, 0, 10_000},
		{5, 10_000, 1_005_000, 15_000}, // one was stored that came 5 s after the beginning
		{0, 10_000, 1_005_000, 0},
		{2, 10_000, 1_005_000, 10_000}, // what waits has come since it was empty
		{2, 10_000, 1_045_000, 5_000},
		{2, 10_000, 1_900_000, 0}, // by clocks that differ
	} {
		now += step.after
		q.queue = line{depth: step.depth}
		if got := age(step.received); got != step.want {
			t.Errorf("at %d, %d wait, received %d: got %d, want %d", now, step.depth, step.received, got, step.want)
		}
	}
}
