package stored

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"maidian-check/internal/traffic"
)

type sqliteStore struct{ db *sql.DB }

// openSQLite opens the file beside the process that writes it.
func openSQLite(ctx context.Context, file string) (Store, error) {
	dsn := url.URL{Scheme: "file", Opaque: (&url.URL{Path: file}).EscapedPath(), RawQuery: "mode=ro&_pragma=busy_timeout(10000)"}
	db, err := sql.Open("sqlite", dsn.String())
	if err == nil {
		err = db.PingContext(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", file, err)
	}
	return &sqliteStore{db}, nil
}

func (s *sqliteStore) Close() error { return s.db.Close() }

func (s *sqliteStore) Events(ctx context.Context, yield func(*Event) error) error {
	return s.each(ctx, `SELECT project, event_id, batch_id, position, body FROM events`, func(scan func(...any) error) error {
		var e Event
		var body []byte
		err := scan(&e.Project, &e.ID, &e.Batch, &e.Position, &body)
		if err == nil {
			e.Fields, err = traffic.Decode(body)
		}
		if err != nil {
			return fmt.Errorf("event %s of %s: %w", e.ID, e.Project, err)
		}
		return yield(&e)
	})
}

func (s *sqliteStore) Letters(ctx context.Context) (letters []Letter, err error) {
	err = s.each(ctx, `SELECT letter_id, project, reason, payload FROM dead_letters ORDER BY letter_id`, func(scan func(...any) error) error {
		var l Letter
		if err := scan(&l.ID, &l.Project, &l.Reason, &l.Payload); err != nil {
			return err
		}
		letters = append(letters, l)
		return nil
	})
	return letters, err
}

func (s *sqliteStore) Journal(ctx context.Context) (map[string]Entry, error) {
	sums := map[string]Entry{}
	err := s.each(ctx, `SELECT project, sum(stored), sum(duplicates), sum(dead_lettered) FROM batches GROUP BY project`, func(scan func(...any) error) error {
		var project string
		var e Entry
		err := scan(&project, &e.Stored, &e.Duplicates, &e.DeadLettered)
		sums[project] = e
		return err
	})
	return sums, err
}

func (s *sqliteStore) Messages(ctx context.Context) (messages []Message, err error) {
	err = s.each(ctx, `SELECT batch_id, project, written_at FROM batches WHERE stored > 0`, func(scan func(...any) error) error {
		var m Message
		err := scan(&m.Batch, &m.Project, &m.Written)
		messages = append(messages, m)
		return err
	})
	return messages, err
}

func (s *sqliteStore) Records(ctx context.Context, kind string) (records []Record, err error) {
	err = s.each(ctx, `SELECT project, record_id, data FROM records WHERE kind = ?`, func(scan func(...any) error) error {
		var r Record
		err := scan(&r.Project, &r.ID, &r.Data)
		records = append(records, r)
		return err
	}, kind)
	return records, err
}

func (s *sqliteStore) Size(ctx context.Context) (z Size, err error) {
	err = s.db.QueryRowContext(ctx, `SELECT (SELECT count(*) FROM events), (SELECT count(*) FROM batches), (SELECT count(*) FROM dead_letters)`).
		Scan(&z.Events, &z.Batches, &z.Letters)
	return z, err
}

func (s *sqliteStore) each(ctx context.Context, query string, row func(scan func(...any) error) error, args ...any) error {
	rows, err := s.db.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := row(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}
