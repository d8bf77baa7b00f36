package storetest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/store"
)

func erase(t testing.TB, s store.Store, project string, at event.Time, ids ...string) {
	t.Helper()
	if err := s.EraseEvents(t.Context(), project, ids, at); err != nil {
		t.Fatal(err)
	}
}

// without is the events at other places than these.
func without(events []event.Event, places ...int) (rest []event.Event) {
	for i := range events {
		if !slices.Contains(places, i) {
			rest = append(rest, events[i])
		}
	}
	return rest
}

func wantErased(t testing.TB, s store.Store, project string, batches []string, want ...string) {
	t.Helper()
	got, err := s.ErasedEvents(t.Context(), project, batches)
	slices.Sort(got)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("erased of %v: got %v, %v; want %v", batches, got, err, want)
	}
}

func erasure(t *testing.T, h Harness) {
	s := h.fresh(t)
	first, second := batchOf("b1", "e", 5), batchOf("b2", "f", 3)
	theirs := batchOf("b1", "e", 5)
	for i := range theirs {
		theirs[i].Project = "other"
	}
	insert(t, s, slices.Concat(first, second, theirs))
	entries := []store.Batch{
		{ID: "b1", Project: "demo", WrittenAt: 1767225600001, Stored: 5, Duplicates: 1, Days: []int32{20454}},
		{ID: "b1", Project: "other", WrittenAt: 1767225600001, Stored: 5, Days: []int32{20454}},
		{ID: "b2", Project: "demo", WrittenAt: 1767225600009, Stored: 3, Days: []int32{20454}},
	}
	record(t, s, entries...)
	erase(t, s, "demo", 1767225600005)
	wantBatches(t, journal(t, s, store.Cursor{}, 10), entries)

	erase(t, s, "demo", 1767225600005, "e-00001", "e-00003", "f-00000", "nobody")
	if _, err := s.Event(t.Context(), "demo", "e-00001"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("an erased event: got %v, want ErrNotFound", err)
	}
	wantEvents(t, read(t, s, "demo", "b1", "b2"), slices.Concat(without(first, 1, 3), second[1:]))
	wantEvents(t, read(t, s, "other", "b1"), theirs)

	wantErased(t, s, "demo", []string{"b1", "b2", "unknown"}, "e-00001", "e-00003", "f-00000")
	wantErased(t, s, "demo", []string{"b2"}, "f-00000")
	wantErased(t, s, "demo", nil)
	wantErased(t, s, "other", []string{"b1"})

	// The entries say so, and come behind what a follower may have seen.
	entries[0].Erased, entries[0].WrittenAt = 2, 1767225600005
	entries[2].Erased = 1 // its own time is later
	inOrder := []store.Batch{entries[1], entries[0], entries[2]}
	wantBatches(t, journal(t, s, store.Cursor{}, 10), inOrder)

	// Every late copy is known for what it is, and brings nothing back.
	wantOutcomes(t, insert(t, s, first), repeat(store.Own, 5)...)
	wantOutcomes(t, insert(t, s, batchOf("late", "e", 5)), repeat(store.Duplicate, 5)...)
	moved := second[0]
	moved.Position = 7
	wantOutcomes(t, insert(t, s, []event.Event{moved, second[0]}), store.Duplicate, store.Own)
	wantEvents(t, read(t, s, "demo", "b1", "b2", "late"), slices.Concat(without(first, 1, 3), second[1:]))

	// A redelivery writes its entry again and does not know of the erasure: it stays where it is.
	again := entries[0]
	again.Erased, again.WrittenAt = 0, 1767225600020
	record(t, s, again)
	wantBatches(t, journal(t, s, store.Cursor{}, 10), inOrder)
	again.Duplicates, entries[0].Duplicates, entries[0].WrittenAt = 2, 2, 1767225600020
	record(t, s, again)
	wantBatches(t, journal(t, s, store.Cursor{WrittenAt: 1767225600010}, 10), entries[:1])
}

// erasedAgain is what follows a crash: the same ids once more, others with them.
func erasedAgain(t *testing.T, h Harness) {
	s := h.fresh(t)
	n := h.size(2500)
	events := batchOf("b", "e", n)
	ids := make([]string, n)
	for i := range events {
		ids[i] = events[i].EventID
		events[i].BatchID = fmt.Sprintf("b%02d", i%40)
	}
	insert(t, s, events)
	var entries []store.Batch
	for i := range 40 {
		entries = append(entries, store.Batch{ID: fmt.Sprintf("b%02d", i), Project: "demo", WrittenAt: 1000, Stored: (n + 39 - i) / 40})
	}
	record(t, s, entries...)
	for round, upTo := range []int{n / 3, n / 2, n, n} {
		at := event.Time(2000 + round)
		erase(t, s, "demo", at, ids[:upTo]...)
		for i := range entries {
			entries[i].Erased, entries[i].WrittenAt = max(0, (upTo+39-i)/40), at
		}
		wantBatches(t, journal(t, s, store.Cursor{}, 100), entries)
		rest := slices.Clone(events[upTo:])
		slices.SortStableFunc(rest, func(a, b event.Event) int { return slices.Compare([]byte(a.BatchID), []byte(b.BatchID)) })
		wantEvents(t, read(t, s, "demo", batchIDs(entries)...), rest)
	}
	wantOutcomes(t, insert(t, s, events), repeat(store.Own, n)...)
	if left := read(t, s, "demo", batchIDs(entries)...); len(left) > 0 {
		t.Errorf("%d events came back", len(left))
	}
}

func batchIDs(entries []store.Batch) (ids []string) {
	for _, b := range entries {
		ids = append(ids, b.ID)
	}
	return ids
}

// erasedMeanwhile has writers repeat their batches while their events are erased.
func erasedMeanwhile(t *testing.T, h Harness) {
	if h.OneWriter {
		t.Skip("skipped: this server loses concurrent writes to one document")
	}
	s := h.fresh(t)
	events := batchOf("b", "e", 60)
	insert(t, s, events)
	entry := store.Batch{ID: "b", Project: "demo", WrittenAt: 1000, Stored: 60}
	record(t, s, entry)
	var running sync.WaitGroup
	for w := range 4 {
		running.Go(func() {
			for range 10 {
				got, err := s.InsertEvents(t.Context(), events)
				if err == nil {
					err = s.RecordBatches(t.Context(), []store.Batch{entry})
				}
				if err != nil || slices.Contains(got, store.Stored) {
					t.Errorf("writer %d: %v, %v; want nothing to be new", w, got, err)
					return
				}
			}
		})
		running.Go(func() {
			for i := w; i < 40; i += 4 {
				if err := s.EraseEvents(t.Context(), "demo", []string{events[i].EventID}, 900); err != nil {
					t.Error(err)
				}
			}
		})
	}
	running.Wait()
	wantEvents(t, read(t, s, "demo", "b"), events[40:])
	erase(t, s, "demo", 900, events[0].EventID)
	entry.Erased = 40
	wantBatches(t, journal(t, s, store.Cursor{}, 10), []store.Batch{entry})
}
