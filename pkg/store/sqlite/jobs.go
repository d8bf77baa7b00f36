package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/maidian/maidian/pkg/store"
)

const jobFields = `SELECT project, job_id, kind, state, counts, error, created_at, started_at, finished_at, task, holder, held_until, revision FROM jobs `

// CreateJob is described by store.Jobs.
func (s *Store) CreateJob(ctx context.Context, j store.Job) error {
	counts, err := json.Marshal(j.Counts)
	if err != nil {
		return err
	}
	return s.do(ctx, "create job "+j.ID, 1, func(t *transaction) error {
		return created(t.Exec(`INSERT OR IGNORE INTO jobs (project, job_id, kind, state, counts, error, created_at, started_at, finished_at, task, holder, held_until, revision)
			VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)`, j.Project, j.ID, j.Kind, j.State, string(counts), j.Error,
			int64(j.CreatedAt), int64(j.StartedAt), int64(j.FinishedAt), j.Task, j.Holder, int64(j.HeldUntil), j.Revision))
	})
}

// Job is described by store.Jobs.
func (s *Store) Job(ctx context.Context, project, id string) (*store.Job, error) {
	j, err := scanJob(s.read.QueryRowContext(ctx, jobFields+`WHERE project = ? AND job_id = ?`, project, id))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, store.ErrNotFound
	}
	if err != nil {
		return nil, s.kind(ctx, "read job "+id, err)
	}
	return &j, nil
}

func scanJob(row interface{ Scan(...any) error }) (j store.Job, err error) {
	var counts string
	err = row.Scan(&j.Project, &j.ID, &j.Kind, &j.State, &counts, &j.Error, &j.CreatedAt, &j.StartedAt, &j.FinishedAt, &j.Task, &j.Holder, &j.HeldUntil, &j.Revision)
	if err != nil {
		return j, err
	}
	if err := json.Unmarshal([]byte(counts), &j.Counts); err != nil {
		return j, fmt.Errorf("counts of job %s: %w", j.ID, err)
	}
	return j, nil
}

// UnfinishedJobs is described by store.Jobs.
func (s *Store) UnfinishedJobs(ctx context.Context) ([]store.Job, error) {
	jobs, err := s.unfinishedJobs(ctx)
	return jobs, s.kind(ctx, "read unfinished jobs", err)
}

func (s *Store) unfinishedJobs(ctx context.Context) (jobs []store.Job, err error) {
	rows, err := s.read.QueryContext(ctx, jobFields+`WHERE finished_at = 0 ORDER BY created_at, job_id`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		j, err := scanJob(rows)
		if err != nil {
			return nil, err
		}
		jobs = append(jobs, j)
	}
	return jobs, rows.Err()
}

// UpdateJob is described by store.Jobs.
func (s *Store) UpdateJob(ctx context.Context, j store.Job) error {
	counts, err := json.Marshal(j.Counts)
	if err != nil {
		return err
	}
	err = s.do(ctx, "update job "+j.ID, 1, func(t *transaction) error {
		result, err := t.Exec(`UPDATE jobs SET kind = ?, state = ?, counts = ?, error = ?, created_at = ?, started_at = ?, finished_at = ?, task = ?,
			holder = ?, held_until = ?, revision = revision + 1 WHERE project = ? AND job_id = ? AND revision = ?`,
			j.Kind, j.State, string(counts), j.Error, int64(j.CreatedAt), int64(j.StartedAt), int64(j.FinishedAt), j.Task,
			j.Holder, int64(j.HeldUntil), j.Project, j.ID, j.Revision)
		return t.replaced(result, err, `SELECT EXISTS (SELECT 1 FROM jobs WHERE project = ? AND job_id = ?)`, j.Project, j.ID)
	})
	if err == nil && j.FinishedAt != 0 {
		s.emptyLog(ctx)
	}
	return err
}

// replaced says why a document with a revision was not replaced, if it was not.
func (t *transaction) replaced(result sql.Result, err error, exists string, key ...any) error {
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); err != nil || n == 1 {
		return err
	}
	var there bool
	if err := t.QueryRow(exists, key...).Scan(&there); err != nil {
		return err
	}
	if there {
		return store.ErrConflict
	}
	return store.ErrNotFound
}

// emptyLog brings the log back into the file, where deleted content has been
// overwritten. When a reader is in the way, the next usual occasion does it.
func (s *Store) emptyLog(ctx context.Context) {
	_, _ = s.write.ExecContext(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`)
}
