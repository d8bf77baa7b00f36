// Package storetest holds the conformance suite of the store: what every
// adapter promises, said once.
package storetest

import (
	"context"
	"fmt"
	"testing"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/store"
)

// Harness is how the suite gets at an adapter's stores.
type Harness struct {
	// Place is somewhere for a new, empty store: a directory, a database.
	Place func(t testing.TB) string
	// Open opens the store at a place. Crash tests call it in another process.
	Open func(ctx context.Context, place string) (store.Store, error)

	Volatile   bool               // nothing is left at a place after Close
	MostEvents int                // the server is too slow or too weak for larger tests; 0 is no limit
	OneWriter  bool               // the server loses concurrent writes to one document
	Restart    func(t testing.TB) // kill -9 of the server and its start with the same data; nil when there is none
}

// Run holds an adapter against the suite.
func Run(t *testing.T, h Harness) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, Harness)
	}{
		{"every field comes back", everyField},
		{"every kind of property comes back", everyProperty},
		{"generated events come back", generatedEvents},
		{"an event is found by its id", eventByID},
		{"outcomes", outcomes},
		{"an event that can never be stored is said to be", unstorable},
		{"batches are read in order", batchesInOrder},
		{"a large batch is read in order", largeBatch},
		{"reading stops when told", readingStops},
		{"the journal keeps the latest entry", journalUpserts},
		{"the journal is read page by page", journalPages},
		{"erased events leave tombstones", erasure},
		{"an erasure can be made again", erasedAgain},
		{"writers and erasures", erasedMeanwhile},
		{"pruned events are gone", pruning},
		{"many events are pruned", prunedMany},
		{"dead letters", deadLetters},
		{"the log of discarded letters", discards},
		{"projects", projects},
		{"jobs", jobs},
		{"records", records},
		{"tallies only grow", tallies},
		{"segments", segments},
		{"segments are replaced", segmentsReplaced},
		{"reading segments stops when told", segmentsStop},
		{"each event is stored once whoever writes", concurrentWriters},
		{"one batch delivered to two writers", concurrentRedelivery},
		{"readers and writers do not wait for each other", readersAndWriters},
		{"an ended context ends the call", endedContext},
		{"a closed store says so", closed},
		{"what was acknowledged survives a killed writer", killedWriter},
		{"what was acknowledged survives a killed server", killedServer},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, h) })
	}
}

// fresh is an empty store that is closed with the test.
func (h Harness) fresh(t testing.TB) store.Store {
	t.Helper()
	return h.open(t, h.Place(t))
}

func (h Harness) open(t testing.TB, place string) store.Store {
	t.Helper()
	s, err := h.Open(t.Context(), place)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// size is n, or less where the server cannot take so many events.
func (h Harness) size(n int) int {
	if h.MostEvents > 0 {
		return min(n, h.MostEvents)
	}
	return n
}

// batchOf makes n small events of one batch, with ids that begin with prefix.
func batchOf(batch, prefix string, n int) []event.Event {
	events := make([]event.Event, n)
	for i := range events {
		events[i] = event.Event{
			Project: "demo", EventID: fmt.Sprintf("%s-%05d", prefix, i), EventType: "click", EventName: "click",
			Timestamp: 1767225600000 + event.Time(i), ReceivedAt: 1767225601000, StoredAt: 1767225602000,
			Properties: `{"n":1}`, BatchID: batch, Position: i,
		}
	}
	return events
}

func insert(t testing.TB, s store.Store, events []event.Event) []store.Outcome {
	t.Helper()
	got, err := s.InsertEvents(t.Context(), events)
	if err != nil {
		t.Fatalf("insert %d events: %v", len(events), err)
	}
	if len(got) != len(events) {
		t.Fatalf("inserted %d events, got %d outcomes", len(events), len(got))
	}
	return got
}

func read(t testing.TB, s store.Store, project string, batches ...string) []event.Event {
	t.Helper()
	var events []event.Event
	err := s.EventsOfBatches(t.Context(), project, batches, func(e *event.Event) error {
		events = append(events, *e)
		return nil
	})
	if err != nil {
		t.Fatalf("read batches %v: %v", batches, err)
	}
	return events
}

func wantEvents(t testing.TB, got, want []event.Event) {
	t.Helper()
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			t.Errorf("event %d:\n got %+v\nwant %+v", i, got[i], want[i])
			return
		}
	}
	if len(got) != len(want) {
		t.Errorf("got %d events, want %d", len(got), len(want))
	}
}

func wantOutcomes(t testing.TB, got []store.Outcome, want ...store.Outcome) {
	t.Helper()
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			t.Errorf("outcomes: got %v, want %v (first difference at %d)", got, want, i)
			return
		}
	}
	if len(got) != len(want) {
		t.Errorf("got %d outcomes, want %d", len(got), len(want))
	}
}

func repeat(o store.Outcome, n int) []store.Outcome {
	all := make([]store.Outcome, n)
	for i := range all {
		all[i] = o
	}
	return all
}
