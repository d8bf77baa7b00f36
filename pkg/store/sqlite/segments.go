package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/maidian/maidian/pkg/store"
)

// PutSegments is described by store.Segments.
func (s *Store) PutSegments(ctx context.Context, segments []store.Segment) error {
	if len(segments) == 0 {
		return nil
	}
	return s.do(ctx, fmt.Sprintf("put %d segments", len(segments)), len(segments), func(t *transaction) error {
		for i := range segments {
			if err := t.putSegment(&segments[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

func (t *transaction) putSegment(g *store.Segment) error {
	data := g.Data
	if data == nil {
		data = []byte{} // nil would be NULL
	}
	_, err := t.Exec(`INSERT OR REPLACE INTO segments (project, day, name, part, data) VALUES (?,?,?,?,?)`, g.Project, g.Day, g.Name, g.Part, data)
	return err
}

// Segments is described by store.Segments. Keys are read first and then each
// segment for itself: yield may take its time, or use the store, without a
// reader being held for it.
func (s *Store) Segments(ctx context.Context, project string, from, to int32, names []string, yield func(*store.Segment) error) error {
	keys, err := s.segmentKeys(ctx, project, from, to, names)
	for i := 0; i < len(keys) && err == nil; i++ {
		g := &keys[i]
		err = s.read.QueryRowContext(ctx, `SELECT data FROM segments WHERE project = ? AND day = ? AND name = ? AND part = ?`,
			project, g.Day, g.Name, g.Part).Scan(&g.Data)
		if errors.Is(err, sql.ErrNoRows) { // deleted meanwhile
			err = nil
			continue
		}
		if err == nil {
			if err := yield(g); err != nil {
				return err
			}
			g.Data = nil
		}
	}
	return s.kind(ctx, "read segments", err)
}

func (s *Store) segmentKeys(ctx context.Context, project string, from, to int32, names []string) ([]store.Segment, error) {
	where, args := segmentsWhere(project, from, to, names)
	rows, err := s.read.QueryContext(ctx, `SELECT day, name, part FROM segments `+where+` ORDER BY day, name, part`, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var keys []store.Segment
	for rows.Next() {
		g := store.Segment{Project: project}
		if err := rows.Scan(&g.Day, &g.Name, &g.Part); err != nil {
			return nil, err
		}
		keys = append(keys, g)
	}
	return keys, rows.Err()
}

func segmentsWhere(project string, from, to int32, names []string) (where string, args []any) {
	where, args = `WHERE project = ? AND day BETWEEN ? AND ?`, []any{project, from, to}
	if len(names) > 0 {
		where += ` AND name IN (?` + strings.Repeat(",?", len(names)-1) + `)`
	}
	for _, name := range names {
		args = append(args, name)
	}
	return where, args
}

// DeleteSegments is described by store.Segments.
func (s *Store) DeleteSegments(ctx context.Context, project string, from, to int32, names []string) (int, error) {
	where, args := segmentsWhere(project, from, to, names)
	deleted := 0
	err := s.do(ctx, "delete segments", 1, func(t *transaction) error {
		result, err := t.Exec(`DELETE FROM segments `+where, args...)
		if err != nil {
			return err
		}
		n, err := result.RowsAffected()
		deleted = int(n)
		return err
	})
	if err != nil {
		return 0, err
	}
	return deleted, nil
}
