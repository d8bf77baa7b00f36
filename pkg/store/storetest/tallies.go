package storetest

import (
	"errors"
	"slices"
	"testing"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/store"
)

func tallies(t *testing.T, h Harness) {
	s := h.fresh(t)
	of := func(hour int32, project, key, collector, outcome string, events int, at event.Time) store.Tally {
		return store.Tally{
			Tally:     event.Tally{Collector: collector, Project: project, Key: key, Hour: hour, Outcome: outcome, Events: events},
			WrittenAt: at,
		}
	}
	raise := func(some ...store.Tally) {
		t.Helper()
		if err := s.RaiseTallies(t.Context(), some); err != nil {
			t.Fatal(err)
		}
	}
	first := of(490896, "demo", "k1", "c1", event.Accepted, 5, 1767225600000)
	others := []store.Tally{ // each differs from the first in one part of what it counts
		of(490897, "demo", "k1", "c1", event.Accepted, 1, 1767225600000),
		of(490898, "demo", "k2", "c1", event.Accepted, 2, 1767225600000),
		of(490899, "demo", "k1", "c2", event.Accepted, 3, 1767225600000),
		of(490900, "demo", "k1", "c1", "invalid_field", 4, 1767225600000),
	}
	raise()
	raise(append(slices.Clone(others), first, of(490896, "shop", "k1", "c1", event.Accepted, 9, 1))...)
	wantTallies(t, s, 490896, 490900, append([]store.Tally{first}, others...)...)

	larger, smaller := first, first
	larger.Events, larger.WrittenAt = 8, 1767225609000
	smaller.Events, smaller.WrittenAt = 2, 1767225601000
	raise(larger, smaller) // whichever comes last
	raise(smaller)
	raise(first, larger)
	wantTallies(t, s, 490896, 490896, larger)
	wantTallies(t, s, 490897, 490898, others[:2]...)
	wantTallies(t, s, 490901, 490999)

	for _, deletion := range []struct {
		tallies []store.Tally
		want    int
	}{
		{nil, 0},
		{[]store.Tally{first, smaller, of(1, "demo", "k1", "c1", event.Accepted, 8, 1)}, 0}, // raised since, or never there
		{others[1:3], 2},
		{others, 2}, // by whoever comes second
	} {
		if n, err := s.DeleteTallies(t.Context(), deletion.tallies); err != nil || n != deletion.want {
			t.Errorf("delete %+v: got %d, %v; want %d", deletion.tallies, n, err, deletion.want)
		}
	}
	wantTallies(t, s, 490896, 490900, larger)
	raise(others[0]) // which comes late
	wantTallies(t, s, 490896, 490900, larger, others[0])
	raise(others...)

	stop, seen := errors.New("enough"), 0
	err := s.Tallies(t.Context(), "demo", 490896, 490900, func(*store.Tally) error { seen++; return stop })
	if !errors.Is(err, stop) || seen != 1 {
		t.Errorf("after %d tallies: got %v, want %v after 1", seen, err, stop)
	}
}

func wantTallies(t *testing.T, s store.Store, from, to int32, want ...store.Tally) {
	t.Helper()
	var got []store.Tally
	err := s.Tallies(t.Context(), "demo", from, to, func(y *store.Tally) error { got = append(got, *y); return nil })
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("tallies of %d to %d:\n got %+v, %v\nwant %+v", from, to, got, err, want)
	}
}
