package alert

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/rule"
	"github.com/maidian/maidian/pkg/store"
)

// backlog is a queue that is asked how much waits in it.
type backlog struct {
	depth, asked atomic.Int64
	away         atomic.Bool
}

func (b *backlog) Depth(context.Context) (int, error) {
	b.asked.Add(1)
	if b.away.Load() {
		return 0, errors.New("away")
	}
	return int(b.depth.Load()), nil
}

// click stores one, received at a moment and stored now.
func (w *town) click(t *testing.T, received event.Time) {
	t.Helper()
	id := fmt.Sprint("click", received)
	e := event.Event{Project: "shop", EventID: id, EventType: "click", Timestamp: received, ReceivedAt: received, BatchID: id}
	_, err := w.InsertEvents(t.Context(), []event.Event{e})
	if err == nil {
		err = w.RecordBatches(t.Context(), []store.Batch{{ID: id, Project: "shop", WrittenAt: w.now(), ReceivedAt: received, Stored: 1}})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// asks has time pass until the queue was asked so often again.
func (w *town) asks(t *testing.T, b *backlog, times int64) {
	t.Helper()
	for want := b.asked.Load() + times; b.asked.Load() < want; {
		w.clock.Add(int64(sampleEvery / time.Millisecond))
		before := b.asked.Load()
		until(t, "the queue is asked", func() bool { return b.asked.Load() > before })
	}
}

// TestAnOutageIsNoAbsence has all consumers be down for an hour in which there
// were clicks, the last of them half an hour before they are back: that is the
// silence to tell of, and no other.
func TestAnOutageIsNoAbsence(t *testing.T) {
	for name, unreachable := range map[string]bool{"the broker answers": false, "the broker is away at first": true} {
		t.Run(name, func(t *testing.T) {
			w, b := newTown(t), &backlog{}
			w.queue = b
			w.rule(t, "silent", `{"id": "silent", "kind": "absence", "event": "click", "window": "10m"}`)
			stop := w.process(t, "before", w.Store)
			w.click(t, w.now())
			w.settled(t)
			stop()

			const minute = event.Time(time.Minute / time.Millisecond)
			w.clock.Store(int64(w.began + 60*minute))
			b.depth.Store(7)
			b.away.Store(unreachable)
			w.process(t, "after", w.Store)
			w.asks(t, b, 3)
			b.away.Store(false)
			w.asks(t, b, 3)
			if told := w.firings(t); len(told) > 0 {
				t.Fatalf("%+v is told while clicks are on their way", told[0])
			}

			for received := w.began + 4*minute; received < w.began+30*minute; received += 4 * minute {
				w.clock.Add(100)
				w.click(t, received)
			}
			b.depth.Store(0)
			began := w.now()
			until(t, "the silence since the last click is told", func() bool {
				w.clock.Add(1000)
				return len(w.firings(t)) > 0
			})
			last := w.began + 28*minute
			if f := w.firings(t); f[0].At <= last+10*minute-1000 || f[0].At > last+11*minute || slices.ContainsFunc(f, func(f rule.Firing) bool { return f.State != "firing" }) {
				t.Errorf("told at %s, the last click was at %s", f[0].At, last)
			}
			if waited := w.now() - began; waited > 30*minute {
				t.Errorf("it was told %s after the backlog was gone", waited.Std().UTC().Format("15:04:05"))
			}
		})
	}
}
