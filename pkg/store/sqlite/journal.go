package sqlite

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/store"
)

const recordSQL = `INSERT INTO batches (written_at, batch_id, project, received_at, stored, duplicates, dead_lettered, days, accounts)
	VALUES (?,?,?,?,?,?,?,?,?) ON CONFLICT DO UPDATE SET written_at = excluded.written_at, received_at = excluded.received_at,
	stored = excluded.stored, duplicates = excluded.duplicates, dead_lettered = excluded.dead_lettered, days = excluded.days, accounts = excluded.accounts
	WHERE (received_at, stored, duplicates, dead_lettered, days) IS NOT (excluded.received_at, excluded.stored, excluded.duplicates, excluded.dead_lettered, excluded.days)`

// entry is a batch as the table has it, ready to be written.
type entry [9]any

// RecordBatches is described by store.Journal.
func (s *Store) RecordBatches(ctx context.Context, batches []store.Batch) error {
	if len(batches) == 0 {
		return nil
	}
	entries, err := entriesOf(batches)
	if err != nil {
		return err
	}
	return s.do(ctx, fmt.Sprintf("record %d batches", len(batches)), len(batches), func(t *transaction) error { return t.record(entries) })
}

// InsertAndRecord is described by store.AtOnce. The entries are made before
// the writer's turn, as they are if all events are new: it has enough to do.
func (s *Store) InsertAndRecord(ctx context.Context, events []event.Event, entries func([]store.Outcome) []store.Batch) ([]store.Outcome, error) {
	rows, err := rowsOf(events)
	if err != nil {
		return nil, err
	}
	likely, err := entriesOf(entries(make([]store.Outcome, len(events))))
	if err != nil {
		return nil, err
	}
	var outcomes []store.Outcome
	err = s.do(ctx, fmt.Sprintf("store %d events with their journal", len(rows)), len(rows), func(t *transaction) (err error) {
		if outcomes, err = t.insertEvents(rows); err != nil {
			return err
		}
		journal := likely
		if slices.ContainsFunc(outcomes, func(o store.Outcome) bool { return o != store.Stored }) {
			if journal, err = entriesOf(entries(outcomes)); err != nil {
				return err
			}
		}
		return t.record(journal)
	})
	if err != nil {
		return nil, err
	}
	return outcomes, nil
}

func entriesOf(batches []store.Batch) ([]entry, error) {
	entries := make([]entry, len(batches))
	for i := range batches {
		b := &batches[i]
		days, err := json.Marshal(append([]int32{}, b.Days...)) // never null
		if err != nil {
			return nil, err
		}
		accounts := []byte{}
		if len(b.Accounts) > 0 {
			if accounts, err = json.Marshal(b.Accounts); err != nil {
				return nil, err
			}
		}
		entries[i] = entry{int64(b.WrittenAt), b.ID, b.Project, int64(b.ReceivedAt), int64(b.Stored), int64(b.Duplicates), int64(b.DeadLettered), string(days), string(accounts)}
	}
	return entries, nil
}

func (t *transaction) record(entries []entry) error {
	if len(entries) == 0 {
		return nil
	}
	record := t.Stmt(t.w.record)
	for i := range entries {
		if _, err := record.Exec(entries[i][:]...); err != nil {
			return err
		}
	}
	return nil
}

// Batches is described by store.Journal.
func (s *Store) Batches(ctx context.Context, after store.Cursor, limit int) ([]store.Batch, error) {
	batches, err := s.batches(ctx, after, limit)
	return batches, s.kind(ctx, "read the journal", err)
}

func (s *Store) batches(ctx context.Context, after store.Cursor, limit int) ([]store.Batch, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT written_at, batch_id, project, received_at, stored, duplicates, dead_lettered, erased, pruned, days, accounts
		FROM batches WHERE (written_at, batch_id, project) > (?,?,?)
		ORDER BY written_at, batch_id, project LIMIT ?`, int64(after.WrittenAt), after.ID, after.Project, limit)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var batches []store.Batch
	for rows.Next() {
		var b store.Batch
		var days, accounts string
		if err := rows.Scan(&b.WrittenAt, &b.ID, &b.Project, &b.ReceivedAt, &b.Stored, &b.Duplicates, &b.DeadLettered, &b.Erased, &b.Pruned, &days, &accounts); err != nil {
			return nil, err
		}
		if err := json.Unmarshal([]byte(days), &b.Days); err != nil {
			return nil, fmt.Errorf("days of batch %s: %w", b.ID, err)
		}
		if accounts != "" {
			if err := json.Unmarshal([]byte(accounts), &b.Accounts); err != nil {
				return nil, fmt.Errorf("accounts of batch %s: %w", b.ID, err)
			}
		}
		if len(b.Days) == 0 {
			b.Days = nil
		}
		batches = append(batches, b)
	}
	return batches, rows.Err()
}
