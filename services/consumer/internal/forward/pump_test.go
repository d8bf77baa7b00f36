package forward

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/maidian/maidian/pkg/destination"
	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/fault"
	"github.com/maidian/maidian/pkg/store/storetest"
)

func TestWhatIsStoredArrivesInItsOrder(t *testing.T) {
	s := openStore(t)
	w, target := newWriter(s), newFake(Limits{Events: 40, Bytes: 1 << 20})
	for range 20 {
		w.batch(t, 13, nil)
	}
	define(t, s, toFake, nil)
	defer run(t, s, "one", target.open)()
	target.waitFor(t, 20*13)
	for range 5 {
		w.batch(t, 3, nil)
	}
	target.waitFor(t, len(w.written))
	wantSame(t, target.first(), w.written)
	for id, events := range target.batches {
		if len(events) > 40 {
			t.Errorf("batch %s has %d events, at most 40 are allowed", id, len(events))
		}
	}
}

func TestBatchesHaveNoMoreBytesThanAllowed(t *testing.T) {
	s := openStore(t)
	w, target := newWriter(s), newFake(Limits{Events: 1000, Bytes: 3000})
	target.send = func(_ context.Context, b Batch) error {
		bytes := 0
		for _, i := range b.Items {
			bytes += len(i.Body)
		}
		if bytes > 3000 && len(b.Items) > 1 {
			t.Errorf("%d bytes in a batch, at most 3000 are allowed", bytes)
		}
		return nil
	}
	w.batch(t, 60, func(i int, e *event.Event) { e.PageTitle = strings.Repeat("x", i*60) })
	define(t, s, toFake, nil)
	defer run(t, s, "one", target.open)()
	target.waitFor(t, 60)
	wantSame(t, target.first(), w.written)
}

func TestOnlyWhatIsRefusedBecomesALetter(t *testing.T) {
	s := openStore(t)
	w, target := newWriter(s), newFake(Limits{Events: 50, Bytes: 1 << 20})
	bad := func(e *event.Event) bool { return e.EventType == "bad" }
	target.encode = func(e *event.Event) error {
		if e.EventType == "unspeakable" {
			return errors.New("there is no word for it")
		}
		return nil
	}
	target.send = func(_ context.Context, b Batch) error {
		for _, i := range b.Items {
			switch {
			case bad(i.Event):
				return &fault.Error{Kind: fault.Invalid, Message: "answered 400: one of them is bad"}
			case i.Event.EventType == "named":
				i.Refused("the answer named it")
			}
		}
		return nil
	}
	var want []string
	w.batch(t, 120, func(i int, e *event.Event) {
		switch i {
		case 3, 77, 78:
			e.EventType = "bad"
		case 50:
			e.EventType = "unspeakable"
		case 90:
			e.EventType = "named"
		default:
			want = append(want, e.EventID)
		}
	})
	define(t, s, toFake, nil)
	defer run(t, s, "one", target.open)()
	waitForState(t, s, "fake", func(s *destination.State) bool { return s.Sent == 115 && s.Refused == 5 })
	got := slices.DeleteFunc(target.first(), func(id string) bool { return id == w.written[90] })
	wantSame(t, got, want)
	reasons := letters(t, s)
	for i, reason := range map[int]string{3: "one of them is bad", 77: "one of them is bad", 78: "one of them is bad", 50: "no word", 90: "named it"} {
		if !strings.Contains(reasons[w.written[i]], reason) {
			t.Errorf("event %d: got the letter %q, want one with %q", i, reasons[w.written[i]], reason)
		}
	}
	if len(reasons) != 5 {
		t.Errorf("got %d letters, want 5: %v", len(reasons), reasons)
	}
}

func TestAnAwayDestinationHoldsUpNobodyAndLosesNothing(t *testing.T) {
	s := openStore(t)
	w, away, there := newWriter(s), newFake(Limits{Events: 10, Bytes: 1 << 20}), newFake(Limits{Events: 10, Bytes: 1 << 20})
	var back atomic.Bool
	away.send = func(context.Context, Batch) error {
		if !back.Load() {
			return errors.New("connection refused")
		}
		return nil
	}
	define(t, s, toFake, nil)
	define(t, s, strings.Replace(toFake, `"fake"`, `"there"`, 1), nil)
	open := func(o *opening) (Target, error) {
		if o.definition.ID == "fake" {
			return away, nil
		}
		return there, nil
	}
	defer runWith(t, s, "one", open)()
	for range 30 {
		w.batch(t, 10, nil)
	}
	there.waitFor(t, 300)
	state := waitForState(t, s, "fake", func(s *destination.State) bool { return s.Failures > 1 })
	if state.Sent != 0 || !strings.Contains(state.LastError, "connection refused") || state.WaitingAt == 0 {
		t.Errorf("while it is away: got %+v", state)
	}
	back.Store(true)
	away.waitFor(t, 300)
	wantSame(t, away.first(), w.written)
	waitForState(t, s, "fake", func(s *destination.State) bool { return s.Sent == 300 && s.LastError == "" && s.WaitingAt == 0 })
}

func TestWhatTheDefinitionLeavesOutStays(t *testing.T) {
	s := openStore(t)
	w, target := newWriter(s), newFake(Limits{Events: 10, Bytes: 1 << 20})
	define(t, s, strings.Replace(toFake, `"type"`, `"events":["purchase"],"type"`, 1), nil)
	defer run(t, s, "one", target.open)()
	w.batch(t, 10, func(i int, e *event.Event) {
		if i%2 == 0 {
			e.EventType = "purchase"
		}
	})
	target.waitFor(t, 5)
	state := waitForState(t, s, "fake", func(s *destination.State) bool { return s.Sent+s.LeftOut == 10 })
	if state.LeftOut != 5 {
		t.Errorf("got %d left out, want 5", state.LeftOut)
	}
}

func TestErasedEventsAreNotSent(t *testing.T) {
	s := openStore(t)
	w, target := newWriter(s), newFake(Limits{Events: 10, Bytes: 1 << 20})
	w.batch(t, 10, nil)
	if err := s.EraseEvents(t.Context(), "demo", w.written[2:5], event.TimeOf(time.Now())); err != nil {
		t.Fatal(err)
	}
	define(t, s, toFake, nil)
	defer run(t, s, "one", target.open)()
	target.waitFor(t, 7)
	wantSame(t, target.first(), slices.Concat(w.written[:2], w.written[5:]))
}

func TestABackfillSendsItsRangeBesideWhatIsNew(t *testing.T) {
	s := openStore(t)
	w, target := newWriter(s), newFake(Limits{Events: 10, Bytes: 1 << 20})
	begin := w.at
	for range 30 {
		w.batch(t, 4, nil)
	}
	define(t, s, toFake, func(r *destination.Record) {
		r.Start = destination.Start{ID: "a", At: int64(w.at + 1)}
		r.Backfills = []destination.Backfill{{ID: "again", From: int64(begin + 11), To: int64(begin + 20)}}
	})
	defer run(t, s, "one", target.open)()
	waitForState(t, s, "fake/again", func(s *destination.State) bool { return s.Done })
	wantSame(t, target.first(), w.written[40:80])
	w.batch(t, 4, nil)
	target.waitFor(t, 44)
	wantSame(t, target.first()[40:], w.written[120:])
}

func TestAMovedDestinationBeginsThere(t *testing.T) {
	s := openStore(t)
	w, target := newWriter(s), newFake(Limits{Events: 10, Bytes: 1 << 20})
	begin := w.at
	for range 10 {
		w.batch(t, 4, nil)
	}
	define(t, s, toFake, nil)
	defer run(t, s, "one", target.open)()
	waitForState(t, s, "fake", func(s *destination.State) bool { return s.Sent == 40 })
	define(t, s, toFake, func(r *destination.Record) { r.Start = destination.Start{ID: "moved", At: int64(begin + 6)} })
	waitForState(t, s, "fake", func(s *destination.State) bool { return s.Start == "moved" && s.Sent == 60 })
	target.mu.Lock()
	defer target.mu.Unlock()
	wantSame(t, target.took[40:], w.written[20:])
}

// TestNothingIsLostWhateverHappens has a target that is away now and then,
// takes a batch and says that it did not, or takes a part; processes that are
// stopped and killed at any moment, two at a time; and a journal that grows.
// In the end every event was taken, first in the order of the journal, or has
// a letter; and exact batches of the same name are the same.
func TestNothingIsLostWhateverHappens(t *testing.T) {
	for _, exact := range []bool{false, true} {
		for seed := range uint64(6) {
			t.Run(fmt.Sprintf("exact %t, seed %d", exact, seed), func(t *testing.T) {
				t.Parallel()
				suffer(t, seed, exact)
			})
		}
	}
}

func suffer(t *testing.T, seed uint64, exact bool) {
	random := rand.New(rand.NewPCG(seed, 0))
	s := openStore(t)
	w, target := newWriter(s), newFake(Limits{Events: 1 + random.IntN(30), Bytes: 1 << 20, Exact: exact})
	var trouble atomic.Bool
	trouble.Store(true)
	target.send = func(ctx context.Context, b Batch) error { return target.moody(b, exact, trouble.Load()) }
	define(t, s, toFake, nil)
	for range 12 {
		for range random.IntN(8) {
			w.batch(t, 1+random.IntN(25), func(_ int, e *event.Event) {
				if random.IntN(40) == 0 {
					e.EventType = "bad"
				}
			})
		}
		live := &storetest.Line{Store: s}
		stops := []func(){run(t, live, fmt.Sprint("a", w.at), target.open), run(t, s, fmt.Sprint("b", w.at), target.open)}
		target.waitAWhile(random.IntN(6))
		if random.IntN(2) == 0 {
			live.Cut()
		}
		for _, stop := range stops {
			stop()
		}
	}
	trouble.Store(false)
	defer run(t, s, "last", target.open)()
	bad := 0
	for _, id := range w.written {
		if e, err := s.Event(t.Context(), "demo", id); err != nil {
			t.Fatal(err)
		} else if e.EventType == "bad" {
			bad++
		}
	}
	target.waitFor(t, len(w.written)-bad)
	refused := letters(t, s)
	for len(refused) < bad { // the last may follow the last event
		refused = letters(t, s)
	}
	wantSame(t, target.first(), slices.DeleteFunc(slices.Clone(w.written), func(id string) bool { return refused[id] != "" }))
	if len(refused) != bad {
		t.Errorf("got %d letters, want %d", len(refused), bad)
	}
}

// moody is a target's Send: bad events are refused, all else is taken or not.
func (f *fake) moody(b Batch, exact, trouble bool) error {
	for _, i := range b.Items {
		if i.Event.EventType == "bad" {
			return &fault.Error{Kind: fault.Invalid, Message: "bad"}
		}
	}
	if !trouble {
		return nil
	}
	switch rand.IntN(6) {
	case 0:
		return errors.New("away")
	case 1:
		f.take(b.Items...)
		return errors.New("taken, but the answer was lost")
	case 2:
		if exact {
			return &fault.Error{Kind: fault.Limited, Message: "too fast", RetryAfter: 2 * time.Millisecond}
		}
		some := b.Items[:rand.IntN(len(b.Items)+1)]
		f.take(some...)
		for _, i := range some {
			i.Taken()
		}
		return errors.New("taken in part")
	}
	return nil
}

// waitAWhile waits for some more to be taken, but not for long: there may be no more.
func (f *fake) waitAWhile(batches int) {
	for range batches {
		select {
		case <-f.changed:
		case <-time.After(30 * time.Millisecond):
		}
	}
}

func TestExactBatchesAreSentAgainAsTheyWere(t *testing.T) {
	s := openStore(t)
	w, target := newWriter(s), newFake(Limits{Events: 50, Bytes: 1 << 20, Exact: true})
	var times atomic.Int32
	target.send = func(_ context.Context, b Batch) error {
		target.mu.Lock()
		defer target.mu.Unlock()
		var ids []string
		for _, i := range b.Items {
			ids = append(ids, i.Event.EventID)
		}
		if before := target.batches[b.ID]; before != nil && !slices.Equal(before, ids) {
			t.Errorf("%s has %d events, had %d before", b.ID, len(ids), len(before))
		}
		target.batches[b.ID] = nil
		if times.Add(1); times.Load() <= 4 {
			target.batches[b.ID] = ids
			return errors.New("the answer was lost")
		}
		return nil
	}
	define(t, s, toFake, nil)
	for i := range 3 {
		w.batch(t, 20, nil)
		live := &storetest.Line{Store: s}
		stop := run(t, live, fmt.Sprint("process ", i), target.open)
		waitForState(t, s, "fake", func(s *destination.State) bool { return s.Pending != nil && int(times.Load()) > i })
		live.Cut()
		stop()
	}
	defer run(t, s, "last", target.open)()
	target.waitFor(t, 60)
	if first := target.first(); !slices.Equal(first, w.written) {
		t.Errorf("got %d events, want %d in their order", len(first), len(w.written))
	}
}
