package sqlite

import (
	"context"
	"fmt"

	"github.com/maidian/maidian/pkg/store"
)

// PutDeadLetters is described by store.DeadLetters.
func (s *Store) PutDeadLetters(ctx context.Context, letters []store.DeadLetter) error {
	if len(letters) == 0 {
		return nil
	}
	return s.do(ctx, fmt.Sprintf("put %d dead letters", len(letters)), len(letters), func(t *transaction) error {
		for i := range letters {
			if err := t.putDeadLetter(&letters[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

func (t *transaction) putDeadLetter(l *store.DeadLetter) error {
	payload := l.Payload
	if payload == nil {
		payload = []byte{} // nil would be NULL
	}
	_, err := t.Exec(`INSERT INTO dead_letters (letter_id, project, key, hour, batch_id, position, reason, payload, attempts, first_seen)
		VALUES (?,?,?,?,?,?,?,?,?,?) ON CONFLICT DO UPDATE SET project = excluded.project, key = excluded.key, hour = excluded.hour, batch_id = excluded.batch_id,
		position = excluded.position, reason = excluded.reason, payload = excluded.payload, attempts = excluded.attempts`,
		l.ID, l.Project, l.Key, l.Hour, l.BatchID, l.Position, l.Reason, payload, l.Attempts, int64(l.FirstSeen))
	return err
}

// DeadLetters is described by store.DeadLetters.
func (s *Store) DeadLetters(ctx context.Context, project, after string, limit int) ([]store.DeadLetter, error) {
	query, args := letterFields+`WHERE project = ? AND letter_id > ? ORDER BY letter_id LIMIT ?`, []any{project, after, limit}
	if project == "*" {
		query, args = letterFields+`WHERE letter_id > ? ORDER BY letter_id LIMIT ?`, []any{after, limit}
	}
	letters, err := s.deadLetters(ctx, query, args...)
	return letters, s.kind(ctx, "read dead letters", err)
}

// DeadLetter is described by store.DeadLetters.
func (s *Store) DeadLetter(ctx context.Context, id string) (*store.DeadLetter, error) {
	letters, err := s.deadLetters(ctx, letterFields+`WHERE letter_id = ?`, id)
	switch {
	case err != nil:
		return nil, s.kind(ctx, "read dead letter "+id, err)
	case len(letters) == 0:
		return nil, store.ErrNotFound
	}
	return &letters[0], nil
}

const letterFields = `SELECT letter_id, project, key, hour, batch_id, position, reason, payload, attempts, first_seen FROM dead_letters `

func (s *Store) deadLetters(ctx context.Context, query string, args ...any) ([]store.DeadLetter, error) {
	rows, err := s.read.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var letters []store.DeadLetter
	for rows.Next() {
		var l store.DeadLetter
		if err := rows.Scan(&l.ID, &l.Project, &l.Key, &l.Hour, &l.BatchID, &l.Position, &l.Reason, &l.Payload, &l.Attempts, &l.FirstSeen); err != nil {
			return nil, err
		}
		letters = append(letters, l)
	}
	return letters, rows.Err()
}

// DeleteDeadLetters is described by store.DeadLetters.
func (s *Store) DeleteDeadLetters(ctx context.Context, ids []string) (deleted int, err error) {
	if len(ids) == 0 {
		return 0, nil
	}
	gone := 0
	err = s.do(ctx, fmt.Sprintf("delete %d dead letters", len(ids)), len(ids), func(t *transaction) error {
		gone = 0
		for _, id := range ids {
			result, err := t.Exec(`DELETE FROM dead_letters WHERE letter_id = ?`, id)
			if err != nil {
				return err
			}
			n, err := result.RowsAffected()
			if err != nil {
				return err
			}
			gone += int(n)
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return gone, nil
}
