package store

import (
	"context"

	"github.com/maidian/maidian/pkg/event"
)

// AtOnce is what a store has beside the rest if it can make events and the
// journal's entries for them durable in one step.
type AtOnce interface {
	// InsertAndRecord is InsertEvents and RecordBatches as one: after an error
	// neither is there, or both, which calling again finds out. entries makes
	// the journal's entries of what became of the events. It may be called
	// several times, in other goroutines, even after this call has returned an
	// error: it must change nothing.
	InsertAndRecord(ctx context.Context, events []event.Event, entries func([]Outcome) []Batch) ([]Outcome, error)
}
