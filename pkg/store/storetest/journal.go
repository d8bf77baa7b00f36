package storetest

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/store"
)

func record(t testing.TB, s store.Store, batches ...store.Batch) {
	t.Helper()
	if err := s.RecordBatches(t.Context(), batches); err != nil {
		t.Fatal(err)
	}
}

func journal(t testing.TB, s store.Store, after store.Cursor, limit int) []store.Batch {
	t.Helper()
	batches, err := s.Batches(t.Context(), after, limit)
	if err != nil {
		t.Fatal(err)
	}
	return batches
}

func wantBatches(t testing.TB, got, want []store.Batch) {
	t.Helper()
	if len(got) == 0 && len(want) == 0 {
		return
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("journal:\n got %+v\nwant %+v", got, want)
	}
}

func journalUpserts(t *testing.T, h Harness) {
	s := h.fresh(t)
	first := store.Batch{
		ID: "b1", Project: "demo", WrittenAt: 1767225600123, ReceivedAt: 1767225600001,
		Stored: 3, Duplicates: 2, DeadLettered: 1, Days: []int32{-1, 0, 20454, 20455},
		Accounts: []store.Account{{Key: "k1", Hour: 490896, Stored: 3, Dropped: map[string]int{"full": 7, "too_large": 1}}, {Hour: 490897, Duplicates: 2, DeadLettered: 1}},
	}
	other := store.Batch{ID: "b1", Project: "other", WrittenAt: 1767225600124}
	wantBatches(t, journal(t, s, store.Cursor{}, 10), nil)
	record(t, s)
	record(t, s, first, other)
	again := first
	again.WrittenAt = 1767225600500
	record(t, s, again)
	wantBatches(t, journal(t, s, store.Cursor{}, 10), []store.Batch{first, other})

	later := first
	later.WrittenAt, later.Stored, later.Days, later.Accounts = 1767225600999, 5, nil, nil
	record(t, s, later)
	wantBatches(t, journal(t, s, store.Cursor{}, 10), []store.Batch{other, later})

	// Twice in one call: the later one stays.
	last := later
	last.Stored = 6
	record(t, s, later, last)
	wantBatches(t, journal(t, s, store.After(other), 10), []store.Batch{last})
}

// journalPages reads entries with many equal times through small pages.
func journalPages(t *testing.T, h Harness) {
	s := h.fresh(t)
	g := newGenerator(t)
	var all []store.Batch
	for i := range 150 {
		all = append(all, store.Batch{
			ID: fmt.Sprintf("b%03d", i/2), Project: []string{"demo", "shop", "a-b", "a"}[i%2+2*g.IntN(2)],
			WrittenAt: 1767225600000 + event.Time(g.IntN(4)), Stored: i, Days: []int32{20454},
		})
	}
	slices.SortFunc(all, func(a, b store.Batch) int { return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Project, b.Project)) })
	all = slices.CompactFunc(all, func(a, b store.Batch) bool { return a.ID == b.ID && a.Project == b.Project })
	g.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	record(t, s, all...)
	slices.SortFunc(all, func(a, b store.Batch) int {
		return cmp.Or(cmp.Compare(a.WrittenAt, b.WrittenAt), cmp.Compare(a.ID, b.ID), cmp.Compare(a.Project, b.Project))
	})
	for _, limit := range []int{1, 7, 50, 149, 1000} {
		var got []store.Batch
		after := store.Cursor{}
		for {
			page := journal(t, s, after, limit)
			if len(page) > limit {
				t.Fatalf("got %d entries, limit %d", len(page), limit)
			}
			if len(page) == 0 {
				break
			}
			got = append(got, page...)
			after = store.After(page[len(page)-1])
		}
		wantBatches(t, got, all)
	}
	wantBatches(t, journal(t, s, store.Cursor{}, 0), nil)
	// A cursor need not be an entry: followers re-read an overlap by time.
	wantBatches(t, journal(t, s, store.Cursor{WrittenAt: 1767225600000 - 1000}, 1000), all)
	from := slices.IndexFunc(all, func(b store.Batch) bool { return b.WrittenAt >= 1767225600002 })
	wantBatches(t, journal(t, s, store.Cursor{WrittenAt: 1767225600002}, 1000), all[from:])
}
