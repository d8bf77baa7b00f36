package sqlite

import (
	"context"
	"fmt"

	"github.com/maidian/maidian/pkg/store"
)

// PutDiscards is described by store.DeadLetters.
func (s *Store) PutDiscards(ctx context.Context, discards []store.Discard) error {
	if len(discards) == 0 {
		return nil
	}
	return s.do(ctx, fmt.Sprintf("put %d discards", len(discards)), len(discards), func(t *transaction) error {
		for i := range discards {
			d := &discards[i]
			if _, err := t.Exec(`INSERT OR REPLACE INTO discards (discard_id, letter_id, project, batch_id, position, first_seen, at, made_by, address, reason)
				VALUES (?,?,?,?,?,?,?,?,?,?)`,
				d.ID, d.Letter, d.Project, d.BatchID, d.Position, int64(d.FirstSeen), int64(d.At), d.By, d.Address, d.Reason); err != nil {
				return err
			}
		}
		return nil
	})
}

// Discards is described by store.DeadLetters.
func (s *Store) Discards(ctx context.Context, project, after string, limit int) ([]store.Discard, error) {
	discards, err := s.discards(ctx, project, after, limit)
	return discards, s.kind(ctx, "read discards", err)
}

func (s *Store) discards(ctx context.Context, project, after string, limit int) (discards []store.Discard, err error) {
	const fields = `SELECT discard_id, letter_id, project, batch_id, position, first_seen, at, made_by, address, reason FROM discards `
	query, args := fields+`WHERE project = ? AND discard_id > ? ORDER BY discard_id LIMIT ?`, []any{project, after, limit}
	if project == "*" {
		query, args = fields+`WHERE discard_id > ? ORDER BY discard_id LIMIT ?`, []any{after, limit}
	}
	rows, err := s.read.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var d store.Discard
		if err := rows.Scan(&d.ID, &d.Letter, &d.Project, &d.BatchID, &d.Position, &d.FirstSeen, &d.At, &d.By, &d.Address, &d.Reason); err != nil {
			return nil, err
		}
		discards = append(discards, d)
	}
	return discards, rows.Err()
}
