package forward

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/maidian/maidian/pkg/destination"
	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/fault"
	"github.com/maidian/maidian/pkg/store/mongo"
	"github.com/maidian/maidian/pkg/store/storetest"
	"github.com/maidian/maidian/pkg/testenv"
)

// choosy refuses whole batches with a bad event in it, until it is put right.
func choosy(l Limits) (target *fake, right *atomic.Bool) {
	target, right = newFake(l), &atomic.Bool{}
	target.send = func(_ context.Context, b Batch) error {
		for _, i := range b.Items {
			if i.Event.EventType == "bad" && !right.Load() {
				return &fault.Error{Kind: fault.Invalid, Message: "answered 400: bad"}
			}
		}
		return nil
	}
	return target, right
}

// everyNth makes every nth event bad.
func everyNth(n int) func(int, *event.Event) {
	return func(i int, e *event.Event) {
		if i%n == 0 {
			e.EventType = "bad"
		}
	}
}

func TestRefusedEventsAreSentAgain(t *testing.T) {
	for _, limits := range []Limits{{Events: 7, Bytes: 1 << 20}, {Events: 7, Bytes: 1 << 20, Exact: true}, {Events: 7, Bytes: 1 << 20, Once: true}} {
		s := openStore(t)
		w := newWriter(s)
		target, right := choosy(limits)
		define(t, s, toFake, nil)
		defer run(t, s, "one", target.open)()
		w.batch(t, 100, everyNth(5))
		waitForState(t, s, "fake", func(s *destination.State) bool { return s.Sent == 80 && s.Refused == 20 })
		refused := letters(t, s)

		resend := func(id string, events ...string) {
			define(t, s, toFake, func(r *destination.Record) {
				r.Resends = append(r.Resends, destination.Resend{ID: id, Events: events, Until: int64(event.TimeOf(time.Now()))})
			})
			waitForState(t, s, "fake/"+id, func(s *destination.State) bool { return s.Done })
		}
		resend("too-early")
		if again := letters(t, s); len(again) != len(refused) {
			t.Errorf("still bad: got %d letters, want %d", len(again), len(refused))
		}
		right.Store(true)
		resend("one", w.written[15])
		if left := letters(t, s); len(left) != 19 || left[w.written[15]] != "" {
			t.Errorf("one was sent: got %d letters, want the 19 others", len(left))
		}
		if err := s.EraseEvents(t.Context(), "demo", w.written[20:21], event.TimeOf(time.Now())); err != nil {
			t.Fatal(err)
		}
		resend("all")
		if left := letters(t, s); len(left) != 0 {
			t.Errorf("all were sent: got the letters %v", left)
		}
		want := slices.DeleteFunc(slices.Clone(w.written), func(id string) bool { return id == w.written[20] })
		got := target.first()
		slices.Sort(want)
		slices.Sort(got)
		wantSame(t, got, want)
	}
}

func TestWhatRefusesEverythingIsPausedUntilItIsChanged(t *testing.T) {
	for _, how := range []string{"the answer", "named", "never sent"} {
		t.Run(how, func(t *testing.T) {
			s := openStore(t)
			w, target := newWriter(s), newFake(Limits{Events: 40, Bytes: 1 << 20})
			var right atomic.Bool
			switch how {
			case "the answer":
				target.send = func(context.Context, Batch) error {
					if right.Load() {
						return nil
					}
					return &fault.Error{Kind: fault.Invalid, Message: "answered 400: no such column"}
				}
			case "named":
				target.send = func(_ context.Context, b Batch) error {
					for _, i := range b.Items {
						if !right.Load() {
							i.Refused("no such column")
						}
					}
					return nil
				}
			default:
				target.encode = func(*event.Event) error {
					if right.Load() {
						return nil
					}
					return fmt.Errorf("no such column")
				}
			}
			ten := strings.Replace(toFake, `"type"`, `"pause_after":10,"type"`, 1)
			define(t, s, ten, nil)
			defer run(t, s, "one", target.open)()
			for range 30 {
				w.batch(t, 30, nil)
			}
			state := waitForState(t, s, "fake", func(s *destination.State) bool { return s.Paused != nil && s.Backlog.Entries == 30 })
			if !strings.Contains(state.Paused.Reason, "no such column") || state.Backlog.Events != 900 || state.WaitingAt == 0 {
				t.Errorf("got %+v, %+v", state.Paused, state)
			}
			if n := len(letters(t, s)); n != 10 {
				t.Errorf("got %d letters, want 10", n)
			}
			define(t, s, ten, nil) // resumed, and still wrong
			waitForState(t, s, "fake", func(s *destination.State) bool { return s.Paused != nil && s.Paused.Revision != state.Paused.Revision })
			if n := len(letters(t, s)); n != 10 {
				t.Errorf("once more: got %d letters, want the same 10", n)
			}
			right.Store(true)
			define(t, s, ten, nil)
			waitForState(t, s, "fake", func(s *destination.State) bool {
				return s.Paused == nil && s.WaitingAt == 0 && s.Backlog == destination.Backlog{}
			})
			wantSame(t, target.first(), w.written)
		})
	}
}

func TestSomeRefusalsPauseNothing(t *testing.T) {
	s := openStore(t)
	w := newWriter(s)
	target, _ := choosy(Limits{Events: 40, Bytes: 1 << 20})
	define(t, s, strings.Replace(toFake, `"type"`, `"pause_after":5,"type"`, 1), nil)
	defer run(t, s, "one", target.open)()
	for range 10 {
		w.batch(t, 60, everyNth(3))
	}
	state := waitForState(t, s, "fake", func(s *destination.State) bool { return s.Sent == 400 })
	if state.Paused != nil || state.Refused != 200 {
		t.Errorf("got %+v, want 200 refused and no pause", state)
	}
}

// TestOnceMeansNoRepeatsBeyondABatch has a process killed between and within
// batches of a target that knows no event again.
func TestOnceMeansNoRepeatsBeyondABatch(t *testing.T) {
	s := openStore(t)
	w, target := newWriter(s), newFake(Limits{Events: 10, Bytes: 1 << 20, Once: true})
	for range 10 {
		w.batch(t, 23, nil)
	}
	define(t, s, toFake, nil)
	for i := range 6 {
		live, batches := &storetest.Line{Store: s}, 0
		target.send = func(context.Context, Batch) error {
			if batches++; batches > i {
				live.Cut() // and this batch is taken
			}
			return nil
		}
		before := len(target.first())
		stop := run(t, live, fmt.Sprint("process ", i), target.open)
		target.waitFor(t, before+1)
		target.waitUntil(t, live.IsCut)
		stop()
	}
	target.send = nil
	defer run(t, s, "last", target.open)()
	target.waitFor(t, len(w.written))
	wantSame(t, target.first(), w.written)
	target.mu.Lock()
	defer target.mu.Unlock()
	if repeats := len(target.took) - len(w.written); repeats > 6*10 {
		t.Errorf("%d events were sent again, want at most the batch of each of the 6 kills", repeats)
	}
}

func TestAGroupIsSmallEnoughToBeKept(t *testing.T) {
	s := openStore(t)
	w, target := newWriter(s), newFake(Limits{Events: 500_000, Bytes: 64 << 20, Exact: true})
	const entries = mostInTests + 100
	w.entries(t, entries)
	most := 0
	target.send = func(context.Context, Batch) error {
		r, err := s.Record(t.Context(), destination.StateKind, "demo", "fake")
		if err != nil {
			return err
		}
		var state destination.State
		if err := json.Unmarshal(r.Data, &state); err != nil {
			return err
		}
		most = max(most, len(state.Pending.Batches))
		return nil
	}
	define(t, s, toFake, nil)
	stop := run(t, s, "one", target.open)
	target.waitFor(t, entries)
	stop()
	if most > mostInTests {
		t.Errorf("got a group of %d entries, want at most %d", most, mostInTests)
	}
}

// TestForwardingOnAMongoServer goes once through all that records are for, on a
// server that speaks MongoDB's protocol.
func TestForwardingOnAMongoServer(t *testing.T) {
	s, err := mongo.Open(t.Context(), mongo.Config{URI: testenv.StartFerretDB(t).URI(), Database: "forward", Start: 20 * time.Second, Timeout: 20 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	w := newWriter(s)
	target, right := choosy(Limits{Events: 20, Bytes: 1 << 20, Exact: true})
	begin := w.at
	for range 5 {
		w.batch(t, 30, everyNth(10))
	}
	define(t, s, toFake, nil)
	live := &storetest.Line{Store: s}
	stop := run(t, live, "killed", target.open)
	target.waitFor(t, 1)
	live.Cut()
	stop()
	defer run(t, s, "next", target.open)()
	waitForState(t, s, "fake", func(s *destination.State) bool { return s.Sent >= 135 && s.Refused >= 15 && s.WaitingAt == 0 })
	if n := len(letters(t, s)); n != 15 {
		t.Errorf("got %d letters, want 15", n)
	}
	right.Store(true)
	define(t, s, toFake, func(r *destination.Record) {
		r.Resends = []destination.Resend{{ID: "refused", Until: int64(event.TimeOf(time.Now()))}}
		r.Backfills = []destination.Backfill{{ID: "again", From: int64(begin), To: int64(w.at)}}
	})
	waitForState(t, s, "fake/refused", func(s *destination.State) bool { return s.Done && s.Sent >= 15 })
	waitForState(t, s, "fake/again", func(s *destination.State) bool { return s.Done && s.Sent >= 150 })
	got, want := target.first(), slices.Clone(w.written)
	slices.Sort(got)
	slices.Sort(want)
	wantSame(t, got, want)
	if n := len(letters(t, s)); n != 0 {
		t.Errorf("got %d letters, want none", n)
	}
}
