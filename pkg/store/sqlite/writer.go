package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"strings"
)

// errClosed is the answer to a write that came after Close.
var errClosed = errors.New("the store is closed")

// A job is one caller's write. It may be run again, after its transaction
// was rolled back because of a neighbour, so it starts from nothing each time.
type job struct {
	run  func(*transaction) error
	rows int
	done chan error
}

// most rows of callers that share one transaction: beyond that sharing saves
// nothing more and only lets the first of them wait.
const mostRows = 8192

// do has the writer run a job and waits until it is durable, or until ctx
// ends; then it may or may not be done.
func (s *Store) do(ctx context.Context, doing string, rows int, run func(*transaction) error) error {
	j := &job{run: run, rows: rows, done: make(chan error, 1)}
	if err := ctx.Err(); err != nil {
		return s.kind(ctx, doing, err)
	}
	select {
	case s.jobs <- j:
	case <-ctx.Done():
		return s.kind(ctx, doing, ctx.Err())
	case <-s.closing:
		return s.kind(ctx, doing, errClosed)
	}
	select {
	case err := <-j.done:
		return s.kind(ctx, doing, err)
	case <-ctx.Done():
		return s.kind(ctx, doing, ctx.Err())
	}
}

// run is the one goroutine that writes.
func (s *Store) run(w *writer) {
	defer close(s.stopped)
	for {
		select {
		case j := <-s.jobs:
			w.together(s.waiting(j))
		case <-s.closing:
			return
		}
	}
}

// waiting is first and everybody else who is waiting now.
func (s *Store) waiting(first *job) []*job {
	group := []*job{first}
	for rows := first.rows; rows < mostRows; {
		select {
		case j := <-s.jobs:
			group = append(group, j)
			rows += j.rows
		default:
			return group
		}
	}
	return group
}

// writer owns the writing connection and its prepared statements.
type writer struct {
	db     *sql.DB
	insert [len(insertSizes)]*sql.Stmt
	look   *sql.Stmt
	newest *sql.Stmt
	record *sql.Stmt
	args   []any
}

func newWriter(db *sql.DB) (w *writer, err error) {
	w = &writer{db: db, args: make([]any, 0, insertSizes[0]*columns)}
	for i, n := range insertSizes {
		if w.insert[i], err = db.Prepare(insertSQL + strings.Repeat("(?,?,?,?,?),", n-1) + "(?,?,?,?,?)"); err != nil {
			return nil, err
		}
	}
	if w.look, err = db.Prepare(lookSQL); err != nil {
		return nil, err
	}
	if w.newest, err = db.Prepare(newestSQL); err != nil {
		return nil, err
	}
	w.record, err = db.Prepare(recordSQL)
	return w, err
}

// together runs a group in one transaction. When one of them fails, each is
// run in a transaction of its own, so that it fails alone.
func (w *writer) together(group []*job) {
	err := w.commit(group...)
	if err == nil || len(group) == 1 {
		for _, j := range group {
			j.done <- err
		}
		return
	}
	for _, j := range group {
		j.done <- w.commit(j)
	}
}

// commit is not given the callers' contexts: one that ends must not undo the others' work.
func (w *writer) commit(group ...*job) error {
	tx, err := w.db.BeginTx(context.Background(), nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // after a commit it does nothing
	t := &transaction{Tx: tx, w: w}
	for _, j := range group {
		if err := j.run(t); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// transaction is what a job works on.
type transaction struct {
	*sql.Tx
	w       *writer
	newest  int64 // row number of events below which rows were there before the statement
	started bool  // newest is known
}
