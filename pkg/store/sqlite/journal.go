package sqlite

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/maidian/maidian/pkg/store"
)

// RecordBatches is described by store.Journal.
func (s *Store) RecordBatches(ctx context.Context, batches []store.Batch) error {
	if len(batches) == 0 {
		return nil
	}
	return s.do(ctx, fmt.Sprintf("record %d batches", len(batches)), len(batches), func(t *transaction) error {
		for i := range batches {
			if err := t.recordBatch(&batches[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

func (t *transaction) recordBatch(b *store.Batch) error {
	days, err := json.Marshal(append([]int32{}, b.Days...)) // never null
	if err != nil {
		return err
	}
	accounts := []byte{}
	if len(b.Accounts) > 0 {
		if accounts, err = json.Marshal(b.Accounts); err != nil {
			return err
		}
	}
	_, err = t.Exec(`INSERT INTO batches (written_at, batch_id, project, received_at, stored, duplicates, dead_lettered, days, accounts)
		VALUES (?,?,?,?,?,?,?,?,?) ON CONFLICT DO UPDATE SET written_at = excluded.written_at, received_at = excluded.received_at,
		stored = excluded.stored, duplicates = excluded.duplicates, dead_lettered = excluded.dead_lettered, days = excluded.days, accounts = excluded.accounts`, int64(b.WrittenAt), b.ID, b.Project, int64(b.ReceivedAt), b.Stored, b.Duplicates, b.DeadLettered, string(days), string(accounts))
	return err
}

// Batches is described by store.Journal.
func (s *Store) Batches(ctx context.Context, after store.Cursor, limit int) ([]store.Batch, error) {
	batches, err := s.batches(ctx, after, limit)
	return batches, s.kind(ctx, "read the journal", err)
}

func (s *Store) batches(ctx context.Context, after store.Cursor, limit int) ([]store.Batch, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT written_at, batch_id, project, received_at, stored, duplicates, dead_lettered, erased, days, accounts
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
		if err := rows.Scan(&b.WrittenAt, &b.ID, &b.Project, &b.ReceivedAt, &b.Stored, &b.Duplicates, &b.DeadLettered, &b.Erased, &days, &accounts); err != nil {
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
