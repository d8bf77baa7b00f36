package sqlite

import (
	"context"
	"fmt"

	"github.com/maidian/maidian/pkg/store"
)

// RaiseTallies is described by store.Tallies.
func (s *Store) RaiseTallies(ctx context.Context, tallies []store.Tally) error {
	if len(tallies) == 0 {
		return nil
	}
	return s.do(ctx, fmt.Sprintf("raise %d tallies", len(tallies)), len(tallies), func(t *transaction) error {
		for i := range tallies {
			y := &tallies[i]
			if _, err := t.Exec(`INSERT INTO tallies (project, hour, key, collector, outcome, events, written_at) VALUES (?,?,?,?,?,?,?)
				ON CONFLICT DO UPDATE SET events = max(events, excluded.events), written_at = max(written_at, excluded.written_at)`,
				y.Project, y.Hour, y.Key, y.Collector, y.Outcome, y.Events, int64(y.WrittenAt)); err != nil {
				return err
			}
		}
		return nil
	})
}

// DeleteTallies is described by store.Tallies.
func (s *Store) DeleteTallies(ctx context.Context, tallies []store.Tally) (deleted int, err error) {
	if len(tallies) == 0 {
		return 0, nil
	}
	err = s.do(ctx, fmt.Sprintf("delete %d tallies", len(tallies)), len(tallies), func(t *transaction) error {
		deleted = 0
		for i := range tallies {
			y := &tallies[i]
			result, err := t.Exec(`DELETE FROM tallies WHERE project = ? AND hour = ? AND key = ? AND collector = ? AND outcome = ? AND events = ? AND written_at = ?`,
				y.Project, y.Hour, y.Key, y.Collector, y.Outcome, y.Events, int64(y.WrittenAt))
			if err != nil {
				return err
			}
			n, err := result.RowsAffected()
			if err != nil {
				return err
			}
			deleted += int(n)
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return deleted, nil
}

// Tallies is described by store.Tallies.
func (s *Store) Tallies(ctx context.Context, project string, from, to int32, yield func(*store.Tally) error) error {
	tallies, err := s.tallies(ctx, project, from, to)
	if err != nil {
		return s.kind(ctx, "read tallies", err)
	}
	for i := range tallies {
		if err := yield(&tallies[i]); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) tallies(ctx context.Context, project string, from, to int32) (tallies []store.Tally, err error) {
	rows, err := s.read.QueryContext(ctx, `SELECT hour, key, collector, outcome, events, written_at FROM tallies
		WHERE project = ? AND hour BETWEEN ? AND ? ORDER BY hour`, project, from, to)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var y store.Tally
		y.Project = project
		if err := rows.Scan(&y.Hour, &y.Key, &y.Collector, &y.Outcome, &y.Events, &y.WrittenAt); err != nil {
			return nil, err
		}
		tallies = append(tallies, y)
	}
	return tallies, rows.Err()
}
