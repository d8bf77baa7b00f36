package storetest

import (
	"slices"
	"testing"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/store"
)

func prune(t testing.TB, s store.Store, prunings ...store.Pruning) {
	t.Helper()
	if err := s.PruneEvents(t.Context(), prunings); err != nil {
		t.Fatal(err)
	}
}

func idsOf(events []event.Event) (ids []string) {
	for i := range events {
		ids = append(ids, events[i].EventID)
	}
	return ids
}

func pruning(t *testing.T, h Harness) {
	s := h.fresh(t)
	first, second := batchOf("b1", "e", 6), batchOf("b2", "f", 3)
	theirs := batchOf("b1", "e", 6)
	for i := range theirs {
		theirs[i].Project = "other"
	}
	insert(t, s, slices.Concat(first, second, theirs))
	entries := []store.Batch{
		{ID: "b1", Project: "demo", WrittenAt: 1000, Stored: 6, Duplicates: 1, Days: []int32{20053, 20454}, Accounts: []store.Account{{Key: "k", Hour: 9, Stored: 6, Duplicates: 1}}},
		{ID: "b1", Project: "other", WrittenAt: 1000, Stored: 6, Days: []int32{20454}},
		{ID: "b2", Project: "demo", WrittenAt: 2000, Stored: 3, Days: []int32{20053}},
	}
	record(t, s, entries...)
	prune(t, s)
	erase(t, s, "demo", 1000, "e-00001", "e-00005")
	entries[0].Erased = 2

	// Half of one batch goes, its tombstones do not; all of the other goes.
	half := store.Pruning{Batch: entries[0], Events: []string{"e-00000", "e-00001", "e-00002", "nobody"}, Days: []int32{20454}}
	whole := store.Pruning{Batch: entries[2], Events: idsOf(second)}
	entries[0].Pruned, entries[0].Days = 2, []int32{20454}
	entries[2].Pruned, entries[2].Days = 3, nil
	for range 2 { // again, as after a crash
		prune(t, s, whole, half)
		wantEvents(t, read(t, s, "demo", "b1", "b2"), first[3:5])
		wantBatches(t, journal(t, s, store.Cursor{}, 10), entries)
	}
	wantErased(t, s, "demo", []string{"b1", "b2"}, "e-00001", "e-00005")
	wantEvents(t, read(t, s, "other", "b1"), theirs)
	if live := entries[0].Live() + entries[2].Live(); live != 2 {
		t.Errorf("the entries say that %d events are left, want 2", live)
	}

	// A redelivery brings back what went, and no erased event; its entry keeps what it counted.
	wantOutcomes(t, insert(t, s, first), store.Stored, store.Own, store.Stored, store.Own, store.Own, store.Own)
	entries[0].WrittenAt, entries[0].Days = 1500, []int32{20053, 20454}
	again := entries[0]
	again.Erased, again.Pruned = 0, 0
	record(t, s, again)
	wantBatches(t, journal(t, s, store.Cursor{WrittenAt: 1400}, 1), entries[:1])

	// Who read the entry before that deletes, but leaves the entry to whoever prunes next.
	prune(t, s, half)
	wantEvents(t, read(t, s, "demo", "b1"), first[3:5])
	wantBatches(t, journal(t, s, store.Cursor{WrittenAt: 1400}, 1), entries[:1])
	half.Batch = entries[0]
	entries[0].Days = []int32{20454}
	prune(t, s, half)
	wantBatches(t, journal(t, s, store.Cursor{WrittenAt: 1400}, 1), entries[:1])
}

// prunedMany goes in several commands, and what is stored meanwhile is told from what was there.
func prunedMany(t *testing.T, h Harness) {
	s := h.fresh(t)
	n := h.size(2500)
	events := batchOf("b", "e", n)
	insert(t, s, events)
	entry := store.Batch{ID: "b", Project: "demo", WrittenAt: 1000, Stored: n, Days: []int32{20454}}
	record(t, s, entry)
	prune(t, s, store.Pruning{Batch: entry, Events: idsOf(events[1:])})
	wantEvents(t, read(t, s, "demo", "b"), events[:1])
	wantOutcomes(t, insert(t, s, append(batchOf("late", "e", n), batchOf("late", "e", n)...)), slices.Concat(
		repeat(store.Duplicate, 1), repeat(store.Stored, n-1), repeat(store.Duplicate, 1), repeat(store.Own, n-1))...)
	entry.Pruned, entry.Days = n-1, nil
	wantBatches(t, journal(t, s, store.Cursor{}, 10), []store.Batch{entry})
}
