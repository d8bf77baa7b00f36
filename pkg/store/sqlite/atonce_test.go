package sqlite

import (
	"errors"
	"reflect"
	"testing"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/fault"
	"github.com/maidian/maidian/pkg/store"
)

// outcomesAsEntries makes an entry for each kind of outcome, so that a test sees which it was given.
func outcomesAsEntries(outcomes []store.Outcome) []store.Batch {
	b := store.Batch{ID: "b", Project: "demo", WrittenAt: 5}
	for _, o := range outcomes {
		switch o {
		case store.Stored:
			b.Stored++
		case store.Own:
			b.DeadLettered++
		case store.Duplicate:
			b.Duplicates++
		}
	}
	return []store.Batch{b}
}

func TestEventsAndTheirJournalAtOnce(t *testing.T) {
	s := openMemory(t)
	first, second := someEvents("first", 50), someEvents("second", 50)
	copy(second[40:], first[:10]) // duplicates, and three of the first's own
	for i := range second[43:50] {
		second[43+i].BatchID, second[43+i].Position = "second", 43+i
	}
	for _, step := range []struct {
		events []event.Event
		want   store.Batch
	}{
		{first, store.Batch{ID: "b", Project: "demo", WrittenAt: 5, Stored: 50}},
		{second, store.Batch{ID: "b", Project: "demo", WrittenAt: 5, Stored: 40, DeadLettered: 3, Duplicates: 7}},
	} {
		outcomes, err := s.InsertAndRecord(t.Context(), step.events, outcomesAsEntries)
		if err != nil || len(outcomes) != 50 {
			t.Fatalf("%d outcomes, %v", len(outcomes), err)
		}
		batches, err := s.Batches(t.Context(), store.Cursor{}, 10)
		if err != nil || len(batches) != 1 || !reflect.DeepEqual(batches[0], step.want) {
			t.Errorf("the journal holds %+v, %v, want %+v", batches, err, step.want)
		}
	}
}

func TestWithoutItsJournalNoEventIsStored(t *testing.T) {
	s := openMemory(t)
	if _, err := s.write.ExecContext(t.Context(), `CREATE TRIGGER no BEFORE INSERT ON batches BEGIN SELECT raise(FAIL, 'no'); END`); err != nil {
		t.Fatal(err)
	}
	if _, err := s.InsertAndRecord(t.Context(), someEvents("b", 50), outcomesAsEntries); err == nil {
		t.Error("no error although the journal refuses")
	}
	if _, err := s.Event(t.Context(), "demo", "b-7"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("an event is there although its journal is not: %v", err)
	}
	if _, err := s.InsertAndRecord(t.Context(), []event.Event{{}}, outcomesAsEntries); fault.KindOf(err) != fault.Invalid {
		t.Errorf("an event without its key: got %v, want fault.Invalid", err)
	}
}
