package storetest

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/maidian/maidian/pkg/event"
)

func batchesInOrder(t *testing.T, h Harness) {
	s := h.fresh(t)
	var ids []string
	want := map[string][]event.Event{}
	for i := range 40 {
		id := fmt.Sprintf("b%02d", i)
		events := batchOf(id, id, 1+i%5)
		for j := range events {
			events[j].Position = 3 * j // places of others, and of bad events, lie between
		}
		want[id] = slices.Clone(events)
		slices.Reverse(events)
		insert(t, s, events)
		ids = append(ids, id)
	}
	others := batchOf("b03", "other", 4)
	for i := range others {
		others[i].Project = "other"
	}
	insert(t, s, others)

	slices.Reverse(ids)
	ids = append(ids[:5], append([]string{"unknown"}, ids[5:]...)...)
	var all []event.Event
	for _, id := range ids {
		all = append(all, want[id]...)
	}
	wantEvents(t, read(t, s, "demo", ids...), all)
	wantEvents(t, read(t, s, "other", ids...), others)
	wantEvents(t, read(t, s, "demo"), nil)
	wantEvents(t, read(t, s, "demo", "b01", "b01"), append(slices.Clone(want["b01"]), want["b01"]...))
}

func largeBatch(t *testing.T, h Harness) {
	s := h.fresh(t)
	events := batchOf("big", "e", h.size(12000))
	shuffled := slices.Clone(events)
	newGenerator(t).Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	insert(t, s, shuffled)
	wantEvents(t, read(t, s, "demo", "big"), events)
}

func readingStops(t *testing.T, h Harness) {
	s := h.fresh(t)
	insert(t, s, batchOf("a", "a", 5))
	insert(t, s, batchOf("b", "b", 5))
	enough := errors.New("enough")
	n := 0
	err := s.EventsOfBatches(t.Context(), "demo", []string{"a", "b"}, func(e *event.Event) error {
		// The store can be used while it is being read.
		if _, err := s.Event(t.Context(), "demo", e.EventID); err != nil {
			return err
		}
		if _, err := s.InsertEvents(t.Context(), batchOf("c", "c-"+e.EventID, 1)); err != nil {
			return err
		}
		if n++; n == 7 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) || n != 7 {
		t.Errorf("got %v after %d events, want %q after 7", err, n, enough)
	}
}
