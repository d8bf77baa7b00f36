package halves

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/fault"
	"github.com/maidian/maidian/pkg/store"
	"github.com/maidian/maidian/pkg/store/sqlite"
)

// The ways in which a store can be hurt: the words that the file Hurt in its
// directory may hold. The consumer meets them in all that it does.
const (
	Away    = "away"    // nothing is done, and that is the answer
	Slow    = "slow"    // everything takes 2 s longer
	Errors  = "errors"  // every second operation is refused
	Lost    = "lost"    // every second operation is done, and the answer is that the store is away
	Hurt    = "hurt"    // the file
	Wounded = "wounded" // beside it: a byte for each operation that was hurt
)

// hurt is a store to which the file's word is done.
type hurt struct {
	*sqlite.Store
	dir string
	n   atomic.Int64
}

// InsertEvents is one of the consumer's operations.
func (h *hurt) InsertEvents(ctx context.Context, events []event.Event) (outcomes []store.Outcome, err error) {
	err = h.meet(ctx, func() (err error) {
		outcomes, err = h.Store.InsertEvents(ctx, events)
		return err
	})
	return outcomes, err
}

// InsertAndRecord is one of the consumer's operations.
func (h *hurt) InsertAndRecord(ctx context.Context, events []event.Event, entries func([]store.Outcome) []store.Batch) (outcomes []store.Outcome, err error) {
	err = h.meet(ctx, func() (err error) {
		outcomes, err = h.Store.InsertAndRecord(ctx, events, entries)
		return err
	})
	return outcomes, err
}

// RecordBatches is one of the consumer's operations.
func (h *hurt) RecordBatches(ctx context.Context, batches []store.Batch) error {
	return h.meet(ctx, func() error { return h.Store.RecordBatches(ctx, batches) })
}

// PutDeadLetters is one of the consumer's operations.
func (h *hurt) PutDeadLetters(ctx context.Context, letters []store.DeadLetter) error {
	return h.meet(ctx, func() error { return h.Store.PutDeadLetters(ctx, letters) })
}

// RaiseTallies is one of the consumer's operations.
func (h *hurt) RaiseTallies(ctx context.Context, tallies []store.Tally) error {
	return h.meet(ctx, func() error { return h.Store.RaiseTallies(ctx, tallies) })
}

// Ping is one of the consumer's operations.
func (h *hurt) Ping(ctx context.Context) error {
	return h.meet(ctx, func() error { return h.Store.Ping(ctx) })
}

func (h *hurt) meet(ctx context.Context, operation func() error) error {
	word, err := os.ReadFile(filepath.Join(h.dir, Hurt))
	if err != nil { // all is well
		return operation()
	}
	second := h.n.Add(1)%2 == 0
	switch how := strings.TrimSpace(string(word)); {
	case how == Away, how == Errors && second:
		err = fault.New(fault.Unavailable, "store_away", "the store is away, by the test's wish")
	case how == Slow:
		err = slowly(ctx, operation)
	case how == Lost && second:
		_ = operation()
		err = fault.New(fault.Unavailable, "store_away", "the answer was lost, by the test's wish")
	default:
		return operation()
	}
	return h.wound(err)
}

func slowly(ctx context.Context, operation func() error) error {
	select {
	case <-time.After(2 * time.Second):
		return operation()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// wound notes that something was hurt.
func (h *hurt) wound(outcome error) error {
	f, err := os.OpenFile(filepath.Join(h.dir, Wounded), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = f.WriteString(".")
		_ = f.Close()
	}
	if err != nil {
		return fmt.Errorf("note a hurt operation: %w", err)
	}
	return outcome
}
