package sqlite

import (
	"context"
	"database/sql"
	"errors"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/store"
)

const recordFields = `SELECT kind, project, record_id, due, data, revision FROM records `

// CreateRecord is described by store.Records.
func (s *Store) CreateRecord(ctx context.Context, r store.Record) error {
	return s.do(ctx, "create record "+r.Key(), 1, func(t *transaction) error {
		return created(t.Exec(`INSERT OR IGNORE INTO records (key, kind, project, record_id, due, data, revision) VALUES (?,?,?,?,?,?,?)`,
			r.Key(), r.Kind, r.Project, r.ID, int64(r.Due), r.Data, r.Revision))
	})
}

// created says whether a document was inserted or its key was taken.
func created(result sql.Result, err error) error {
	if err != nil {
		return err
	}
	n, err := result.RowsAffected()
	if err == nil && n == 0 {
		err = store.ErrConflict
	}
	return err
}

// Record is described by store.Records.
func (s *Store) Record(ctx context.Context, kind, project, id string) (*store.Record, error) {
	r := store.Record{Kind: kind, Project: project, ID: id}
	r, err := scanRecord(s.read.QueryRowContext(ctx, recordFields+`WHERE key = ?`, r.Key()))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, store.ErrNotFound
	}
	if err != nil {
		return nil, s.kind(ctx, "read record "+r.Key(), err)
	}
	return &r, nil
}

func scanRecord(row interface{ Scan(...any) error }) (r store.Record, err error) {
	err = row.Scan(&r.Kind, &r.Project, &r.ID, &r.Due, &r.Data, &r.Revision)
	return r, err
}

// Records is described by store.Records.
func (s *Store) Records(ctx context.Context, kind, project, after string, limit int) ([]store.Record, error) {
	above, below := store.RecordRange(kind, project, after)
	records, err := s.records(ctx, recordFields+`WHERE key > ? AND key < ? ORDER BY key LIMIT ?`, above, below, limit)
	return records, s.kind(ctx, "read records of kind "+kind, err)
}

// DueRecords is described by store.Records.
func (s *Store) DueRecords(ctx context.Context, kind string, at event.Time, limit int) ([]store.Record, error) {
	records, err := s.records(ctx, recordFields+`WHERE kind = ? AND due > 0 AND due <= ? ORDER BY due, key LIMIT ?`, kind, int64(at), limit)
	return records, s.kind(ctx, "read due records of kind "+kind, err)
}

func (s *Store) records(ctx context.Context, query string, args ...any) (records []store.Record, err error) {
	rows, err := s.read.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		r, err := scanRecord(rows)
		if err != nil {
			return nil, err
		}
		records = append(records, r)
	}
	return records, rows.Err()
}

// UpdateRecord is described by store.Records.
func (s *Store) UpdateRecord(ctx context.Context, r store.Record) error {
	return s.do(ctx, "update record "+r.Key(), 1, func(t *transaction) error {
		result, err := t.Exec(`UPDATE records SET due = ?, data = ?, revision = revision + 1 WHERE key = ? AND revision = ?`, int64(r.Due), r.Data, r.Key(), r.Revision)
		return t.replaced(result, err, recordExists, r.Key())
	})
}

// DeleteRecord is described by store.Records.
func (s *Store) DeleteRecord(ctx context.Context, r store.Record) error {
	return s.do(ctx, "delete record "+r.Key(), 1, func(t *transaction) error {
		result, err := t.Exec(`DELETE FROM records WHERE key = ? AND revision = ?`, r.Key(), r.Revision)
		return t.replaced(result, err, recordExists, r.Key())
	})
}

const recordExists = `SELECT EXISTS (SELECT 1 FROM records WHERE key = ?)`
