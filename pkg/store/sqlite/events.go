package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/fault"
	"github.com/maidian/maidian/pkg/store"
)

const (
	columns = 5

	// OR IGNORE, not ON CONFLICT DO NOTHING: the second leaves NOT NULL able
	// to abort the statement half-way, for which SQLite then keeps a journal
	// of each statement, at the price of a third of the speed.
	insertSQL = `INSERT OR IGNORE INTO events (project, event_id, batch_id, position, body) VALUES `
	lookSQL   = `SELECT rowid, batch_id, position FROM events WHERE project = ? AND event_id = ?`
	newestSQL = `SELECT coalesce(max(rowid), 0) FROM events`
)

// insertSizes are the numbers of rows that one statement inserts, largest
// first. Measured: fewer than 40 pay for the call, many more for the driver's
// search for each argument.
var insertSizes = [...]int{40, 8, 1}

// row is an event as the table has it.
type row struct {
	project, id, batch string
	position           int
	body               string
}

// InsertEvents is described by store.Events.
func (s *Store) InsertEvents(ctx context.Context, events []event.Event) ([]store.Outcome, error) {
	if len(events) == 0 {
		return nil, nil
	}
	rows, err := rowsOf(events)
	if err != nil {
		return nil, err
	}
	var outcomes []store.Outcome
	err = s.do(ctx, fmt.Sprintf("store %d events", len(rows)), len(rows), func(t *transaction) (err error) {
		outcomes, err = t.insertEvents(rows)
		return err
	})
	if err != nil {
		return nil, err
	}
	return outcomes, nil
}

// rowsOf encodes events in the caller's goroutine, which spares the writer
// the work and lets the caller do with events what it likes afterwards.
func rowsOf(events []event.Event) ([]row, error) {
	rows, ends := make([]row, len(events)), make([]int, len(events))
	var bodies strings.Builder // one piece of memory for all, and no copy of it
	bodies.Grow(640 * len(events))
	var body []byte
	for i := range events {
		e := &events[i]
		if e.Project == "" || e.EventID == "" || e.BatchID == "" {
			return nil, fault.New(fault.Invalid, "unstorable", "event %d needs project, event id and batch id, got %q, %q and %q", i, e.Project, e.EventID, e.BatchID)
		}
		rows[i] = row{project: e.Project, id: e.EventID, batch: e.BatchID, position: e.Position}
		body = e.AppendWire(body[:0])
		bodies.Write(body)
		ends[i] = bodies.Len()
	}
	all, start := bodies.String(), 0
	for i, end := range ends {
		rows[i].body, start = all[start:end], end
	}
	return rows, nil
}

func (t *transaction) insertEvents(rows []row) ([]store.Outcome, error) {
	if !t.started {
		if err := t.Stmt(t.w.newest).QueryRow().Scan(&t.newest); err != nil {
			return nil, err
		}
		t.started = true
	}
	outcomes := make([]store.Outcome, len(rows)) // all Stored
	for done, size := 0, 0; done < len(rows); {
		n := insertSizes[size]
		if n > len(rows)-done {
			size++
			continue
		}
		if err := t.insertSome(t.w.insert[size], rows[done:done+n], outcomes[done:done+n]); err != nil {
			return nil, err
		}
		done += n
	}
	return outcomes, nil
}

func (t *transaction) insertSome(insert *sql.Stmt, rows []row, outcomes []store.Outcome) error {
	args := t.w.args[:0]
	for i := range rows {
		r := &rows[i]
		args = append(args, r.project, r.id, r.batch, int64(r.position), r.body)
	}
	result, err := t.Stmt(insert).Exec(args...)
	if err != nil {
		return err
	}
	n, err := result.RowsAffected()
	if err != nil {
		return err
	}
	if n < int64(len(rows)) {
		if err := t.lookUp(rows, outcomes); err != nil {
			return err
		}
	}
	if n > 0 {
		t.newest, err = result.LastInsertId()
	}
	return err
}

// lookUp tells apart the rows of a statement that refused some: what is there
// under a row's key, is it this very row, and is it newer than the statement?
func (t *transaction) lookUp(rows []row, outcomes []store.Outcome) error {
	look := t.Stmt(t.w.look)
	stored := make(map[int64]bool, len(rows)) // row numbers already counted as stored
	for i := range rows {
		r := &rows[i]
		var number int64
		var batch string
		var position int
		if err := look.QueryRow(r.project, r.id).Scan(&number, &batch, &position); err != nil {
			return fmt.Errorf("look up refused event %s: %w", r.id, err)
		}
		switch {
		case batch != r.batch || position != r.position:
			outcomes[i] = store.Duplicate
		case number > t.newest && !stored[number]:
			stored[number] = true
		default:
			outcomes[i] = store.Own
		}
	}
	return nil
}

// EventsOfBatches is described by store.Events. A batch is small, at most one
// message, so each is read whole before its events are handed on: yield may
// take its time, or use the store, without a reader being held for it.
func (s *Store) EventsOfBatches(ctx context.Context, project string, ids []string, yield func(*event.Event) error) error {
	for _, id := range ids {
		events, err := s.eventsOfBatch(ctx, project, id)
		if err != nil {
			return s.kind(ctx, "read batch "+id, err)
		}
		for i := range events {
			if err := yield(&events[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Store) eventsOfBatch(ctx context.Context, project, id string) ([]event.Event, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT position, body FROM events WHERE batch_id = ? AND project = ? AND body <> '{}' ORDER BY position`, id, project)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var events []event.Event
	for rows.Next() {
		var position int
		var body string
		if err := rows.Scan(&position, &body); err != nil {
			return nil, err
		}
		e, err := decode(body, id, position)
		if err != nil {
			return nil, err
		}
		events = append(events, e)
	}
	return events, rows.Err()
}

// Event is described by store.Events.
func (s *Store) Event(ctx context.Context, project, id string) (*event.Event, error) {
	var batch, body string
	var position int
	err := s.read.QueryRowContext(ctx, `SELECT batch_id, position, body FROM events WHERE project = ? AND event_id = ? AND body <> '{}'`, project, id).
		Scan(&batch, &position, &body)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, store.ErrNotFound
	}
	if err == nil {
		var e event.Event
		if e, err = decode(body, batch, position); err == nil {
			return &e, nil
		}
	}
	return nil, s.kind(ctx, "read event "+id, err)
}

// decode does not pass a fault.Invalid on: what lies in the store unreadable
// is not the caller's mistake.
func decode(body, batch string, position int) (event.Event, error) {
	e, err := event.DecodeWire(body)
	if err != nil {
		return e, fmt.Errorf("stored event %d of batch %s is damaged: %w", position, batch, err)
	}
	e.BatchID, e.Position = batch, position
	return e, nil
}
