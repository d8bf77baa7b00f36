package storetest

import (
	"fmt"
	"slices"
	"testing"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/store"
)

func outcomes(t *testing.T, h Harness) {
	t.Run("nothing is nothing", func(t *testing.T) {
		wantOutcomes(t, insert(t, h.fresh(t), nil))
	})
	t.Run("new, again by the same batch, again by another", func(t *testing.T) {
		s := h.fresh(t)
		for _, n := range []int{1, 7, 8, 9, 39, 40, 41, 48, 99, h.size(1000), h.size(1001), h.size(2500)} {
			batch := fmt.Sprintf("b%d", n)
			events := batchOf(batch, batch, n)
			insert(t, s, events)
			wantOutcomes(t, insert(t, s, events), repeat(store.Own, n)...)
			again := batchOf("later", batch, n)
			wantOutcomes(t, insert(t, s, again), repeat(store.Duplicate, n)...)
			if n < 100 {
				wantEvents(t, read(t, s, "demo", batch, "later"), events)
			}
		}
	})
	t.Run("duplicates in every position", func(t *testing.T) { duplicatesAnywhere(t, h) })
	t.Run("an id twice in one call is stored once", func(t *testing.T) { twiceInOneCall(t, h) })
	t.Run("the very same event twice in one call", func(t *testing.T) {
		s := h.fresh(t)
		e := batchOf("b", "e", 1)[0]
		got := insert(t, s, []event.Event{e, e})
		slices.Sort(got)
		wantOutcomes(t, got, store.Stored, store.Own)
		wantEvents(t, read(t, s, "demo", "b"), []event.Event{e})
	})
	t.Run("a second copy changes nothing", func(t *testing.T) {
		s := h.fresh(t)
		first := batchOf("b", "e", 1)
		second := slices.Clone(first)
		second[0].EventType, second[0].BatchID = "other", "c"
		insert(t, s, first)
		wantOutcomes(t, insert(t, s, second), store.Duplicate)
		wantEvents(t, read(t, s, "demo", "b", "c"), first)
	})
	t.Run("the same batch at another place is a duplicate", func(t *testing.T) {
		s := h.fresh(t)
		events := batchOf("b", "e", 2)
		insert(t, s, events[:1])
		moved := events[0]
		moved.Position = 1
		wantOutcomes(t, insert(t, s, []event.Event{moved}), store.Duplicate)
	})
	t.Run("another project's same id is another event", func(t *testing.T) {
		s := h.fresh(t)
		ours, theirs := batchOf("b", "e", 3), batchOf("c", "e", 3)
		for i := range theirs {
			theirs[i].Project = "other"
		}
		insert(t, s, ours)
		wantOutcomes(t, insert(t, s, theirs), repeat(store.Stored, 3)...)
		wantEvents(t, read(t, s, "other", "b", "c"), theirs)
		wantEvents(t, read(t, s, "demo", "b", "c"), ours)
	})
	t.Run("a retry after a part was stored", func(t *testing.T) { retryAfterPart(t, h) })
}

// duplicatesAnywhere has, for each pattern of eight bits, the marked events there before.
func duplicatesAnywhere(t *testing.T, h Harness) {
	s := h.fresh(t)
	step := 1
	if h.MostEvents > 0 {
		step = 7
	}
	for pattern := 0; pattern < 256; pattern += step {
		name := fmt.Sprintf("p%03d", pattern)
		var before []event.Event
		var want []store.Outcome
		for i, e := range batchOf("before-"+name, name, 8) {
			if pattern&(1<<i) != 0 {
				before = append(before, e)
				want = append(want, store.Duplicate)
			} else {
				want = append(want, store.Stored)
			}
		}
		insert(t, s, before)
		wantOutcomes(t, insert(t, s, batchOf("then-"+name, name, 8)), want...)
		if got := len(read(t, s, "demo", "before-"+name, "then-"+name)); got != 8 {
			t.Errorf("pattern %08b: %d events are stored, want 8", pattern, got)
		}
	}
}

// twiceInOneCall repeats ids near and far, in one statement and over several.
func twiceInOneCall(t *testing.T, h Harness) {
	s := h.fresh(t)
	events := batchOf("b", "e", 120)
	for again, first := range map[int]int{1: 0, 39: 5, 40: 6, 41: 38, 90: 2, 119: 118} {
		events[again].EventID = events[first].EventID
	}
	got := insert(t, s, events)
	stored := map[string]int{}
	for i, o := range got {
		switch o {
		case store.Stored:
			stored[events[i].EventID]++
		case store.Own:
			t.Errorf("event %d is called an earlier attempt's", i)
		}
	}
	for id, n := range stored {
		if n != 1 {
			t.Errorf("event %s was stored %d times", id, n)
		}
	}
	if len(stored) != 114 {
		t.Errorf("%d events were stored, want 114", len(stored))
	}
	back := read(t, s, "demo", "b")
	if len(back) != 114 {
		t.Errorf("%d events came back, want 114", len(back))
	}
	for _, e := range back {
		if got[e.Position] != store.Stored {
			t.Errorf("event %d is there but was said to be %v", e.Position, got[e.Position])
		}
	}
	// The second delivery finds its own and knows the copies again.
	for i, o := range insert(t, s, events) {
		want := store.Own
		if got[i] == store.Duplicate {
			want = store.Duplicate
		}
		if o != want {
			t.Errorf("event %d again: got %v, want %v", i, o, want)
		}
	}
}

func retryAfterPart(t *testing.T, h Harness) {
	s := h.fresh(t)
	g := newGenerator(t)
	for round := range 10 {
		name := fmt.Sprintf("r%d", round)
		events := batchOf(name, name, 1+g.IntN(150))
		var part []event.Event
		want := make([]store.Outcome, len(events))
		for i := range events {
			if g.IntN(2) == 0 {
				part = append(part, events[i])
				want[i] = store.Own
			}
		}
		g.Shuffle(len(part), func(i, j int) { part[i], part[j] = part[j], part[i] })
		insert(t, s, part)
		wantOutcomes(t, insert(t, s, events), want...)
		wantEvents(t, read(t, s, "demo", name), events)
	}
}
