// Package sqlite keeps the pipeline's data in one SQLite file: the store that
// one machine runs with nothing to install.
//
// What is acknowledged is on disk: write-ahead log, synced at each commit.
// One goroutine writes, and callers that wait at the same time share its
// transactions; readers have connections of their own and never wait for it.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/maidian/maidian/pkg/store"
)

// Memory, as the directory of Open, keeps everything in memory until Close.
const Memory = ":memory:"

// file is the database's name in the data directory.
const file = "maidian.db"

var (
	_ store.Store  = (*Store)(nil)
	_ store.AtOnce = (*Store)(nil)
)

// Store is a store.Store in one directory of this machine.
type Store struct {
	name  string   // for errors: the file
	lock  *os.File // nil in memory
	write *sql.DB  // one connection
	read  *sql.DB  // in memory the same as write: there the connection is the database

	jobs    chan *job
	closing chan struct{}
	once    sync.Once
	stopped chan struct{} // closed by the writer when it has ended
}

// Open opens the store in a directory, which is created when missing and
// belongs to this process until Close; or a fresh one in Memory. The error is
// one line that says what is in the way.
func Open(ctx context.Context, dir string) (*Store, error) {
	s := &Store{
		name:    filepath.Join(dir, file),
		jobs:    make(chan *job),
		closing: make(chan struct{}),
		stopped: make(chan struct{}),
	}
	var err error
	if dir == Memory {
		s.name = "the store in memory"
		err = s.openMemory(ctx)
	} else {
		err = s.openFile(ctx, dir)
	}
	if err != nil {
		_ = s.closeAll()
		return nil, fmt.Errorf("open store %s: %w", dir, err)
	}
	w, err := newWriter(s.write)
	if err != nil {
		_ = s.closeAll()
		return nil, fmt.Errorf("open store %s: %w", dir, err)
	}
	go s.run(w)
	return s, nil
}

func (s *Store) openMemory(ctx context.Context) (err error) {
	if s.write, err = connect(Memory, 1, nil); err != nil {
		return err
	}
	s.read = s.write
	return migrate(ctx, s.write, migrations)
}

func (s *Store) openFile(ctx context.Context, dir string) (err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if s.lock, err = lock(dir); err != nil {
		return err
	}
	if s.write, err = connect(s.name, 1, writing); err != nil {
		return err
	}
	if _, err := s.write.ExecContext(ctx, `PRAGMA journal_mode = WAL`); err != nil {
		return err
	}
	if err := migrate(ctx, s.write, migrations); err != nil {
		return err
	}
	s.read, err = connect(s.name, readers, reading)
	return err
}

// readers is the most connections that read at once.
const readers = 8

var (
	// writing: a commit returns once the log is synced. The log goes back into
	// the database every 32 MiB, so that a page that many commits touch, such
	// as those at the right end of the indexes, is written there once. What is
	// deleted or erased is overwritten.
	writing = []string{"synchronous(FULL)", "wal_autocheckpoint(8192)", "cache_size(-65536)", "temp_store(MEMORY)", "secure_delete(ON)"}
	reading = []string{"query_only(1)", "cache_size(-8192)", "mmap_size(1073741824)", "temp_store(MEMORY)"}
)

func connect(name string, most int, pragmas []string) (*sql.DB, error) {
	q := url.Values{"_pragma": append([]string{"busy_timeout(5000)"}, pragmas...), "_txlock": {"immediate"}}
	dsn := Memory + "?" + q.Encode()
	if name != Memory {
		u := url.URL{Scheme: "file", Path: filepath.ToSlash(name), RawQuery: q.Encode()}
		if !filepath.IsAbs(name) {
			u = url.URL{Scheme: "file", Opaque: (&url.URL{Path: filepath.ToSlash(name)}).EscapedPath(), RawQuery: q.Encode()}
		}
		dsn = u.String()
	}
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(most)
	db.SetMaxIdleConns(most)
	return db, nil
}

// Ping is nil when the database can be read.
func (s *Store) Ping(ctx context.Context) error {
	var one int
	return s.kind(ctx, "ping", s.read.QueryRowContext(ctx, `SELECT 1`).Scan(&one))
}

// Close waits for the write under way, then closes the file.
func (s *Store) Close() error {
	var err error
	s.once.Do(func() {
		close(s.closing)
		<-s.stopped
		err = s.closeAll()
	})
	return err
}

// closeAll closes the readers first: the writer's connection, as the last,
// brings the log back into the file.
func (s *Store) closeAll() error {
	var errs []error
	if s.read != nil && s.read != s.write {
		errs = append(errs, s.read.Close())
	}
	if s.write != nil {
		errs = append(errs, s.write.Close())
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
	}
	return errors.Join(errs...)
}
