package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/maidian/maidian/pkg/event"
)

// A tombstone is a row with the body {}, which no event has. It keeps its
// row number, so what the outcome of an insert is told from stays true.

// EraseEvents is described by store.Events.
func (s *Store) EraseEvents(ctx context.Context, project string, ids []string, at event.Time) error {
	if len(ids) == 0 {
		return nil
	}
	return s.do(ctx, fmt.Sprintf("erase %d events", len(ids)), len(ids), func(t *transaction) error {
		batches := make(map[string]bool)
		for _, id := range ids {
			if err := t.bury(project, id, batches); err != nil {
				return err
			}
		}
		for batch := range batches {
			if err := t.recordErased(project, batch, at); err != nil {
				return err
			}
		}
		return nil
	})
}

// bury makes an event a tombstone and notes its batch.
func (t *transaction) bury(project, id string, batches map[string]bool) error {
	var batch string
	err := t.QueryRow(`UPDATE events SET body = '{}' WHERE project = ? AND event_id = ? RETURNING batch_id`, project, id).Scan(&batch)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	batches[batch] = true
	return err
}

// recordErased counts anew each time, so that entries are right whoever erased before.
func (t *transaction) recordErased(project, batch string, at event.Time) error {
	_, err := t.Exec(`UPDATE batches SET written_at = max(written_at, ?),
		erased = (SELECT count(*) FROM events e WHERE e.batch_id = batches.batch_id AND e.project = batches.project AND e.body = '{}')
		WHERE batch_id = ? AND project = ?`, int64(at), batch, project)
	return err
}

// ErasedEvents is described by store.Events.
func (s *Store) ErasedEvents(ctx context.Context, project string, batches []string) (ids []string, err error) {
	for _, batch := range batches {
		some, err := s.erasedOf(ctx, project, batch)
		if err != nil {
			return nil, s.kind(ctx, "read what was erased of batch "+batch, err)
		}
		ids = append(ids, some...)
	}
	return ids, nil
}

func (s *Store) erasedOf(ctx context.Context, project, batch string) (ids []string, err error) {
	rows, err := s.read.QueryContext(ctx, `SELECT event_id FROM events WHERE batch_id = ? AND project = ? AND body = '{}'`, batch, project)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, rows.Err()
}
