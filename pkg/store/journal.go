package store

import (
	"context"
	"fmt"
)

// pageOfBatches is how many entries of the journal are read at a time.
const pageOfBatches = 1000

// EachBatch calls yield for every entry of the journal after a place, those
// of all projects, until yield returns an error, which it returns. Entries
// that are written meanwhile are seen or not.
func EachBatch(ctx context.Context, journal interface {
	Batches(ctx context.Context, after Cursor, limit int) ([]Batch, error)
}, after Cursor, yield func(*Batch) error,
) error {
	for {
		entries, err := journal.Batches(ctx, after, pageOfBatches)
		if err != nil {
			return fmt.Errorf("read the journal: %w", err)
		}
		for i := range entries {
			after = After(entries[i])
			if err := yield(&entries[i]); err != nil {
				return err
			}
		}
		if len(entries) < pageOfBatches {
			return nil
		}
	}
}
