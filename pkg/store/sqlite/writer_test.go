package sqlite

import (
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/fault"
	"github.com/maidian/maidian/pkg/store"
)

func openMemory(t *testing.T) *Store {
	t.Helper()
	s, err := Open(t.Context(), Memory)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func someEvents(batch string, n int) []event.Event {
	events := make([]event.Event, n)
	for i := range events {
		events[i] = event.Event{Project: "demo", EventID: fmt.Sprint(batch, "-", i), EventType: "t", BatchID: batch, Position: i, PageTitle: strings.Repeat("x", 400)}
	}
	return events
}

func TestACallerThatFailsDoesNotFailItsNeighbours(t *testing.T) {
	s := openMemory(t)
	w, err := newWriter(s.write)
	if err != nil {
		t.Fatal(err)
	}
	bad := errors.New("bad")
	var outcomes [3][]store.Outcome
	group := make([]*job, 3)
	for i := range group {
		rows, err := rowsOf(someEvents("same", 50))
		if err != nil {
			t.Fatal(err)
		}
		group[i] = &job{rows: 50, done: make(chan error, 1), run: func(tx *transaction) (err error) {
			outcomes[i], err = tx.insertEvents(rows)
			if i == 1 {
				return bad
			}
			return err
		}}
	}
	w.together(group)
	for i, want := range []error{nil, bad, nil} {
		if got := <-group[i].done; got != want {
			t.Errorf("caller %d: got %v, want %v", i, got, want)
		}
	}
	if outcomes[0][0] != store.Stored || outcomes[2][49] != store.Own {
		t.Errorf("outcomes: got %v and %v, want all stored, then all its own", outcomes[0], outcomes[2])
	}
}

func TestCallersInOneTransactionKnowEachOthersEvents(t *testing.T) {
	s := openMemory(t)
	w, err := newWriter(s.write)
	if err != nil {
		t.Fatal(err)
	}
	first, second := someEvents("a", 45), someEvents("a", 45)
	for i := range second {
		second[i].BatchID = "b"
	}
	var outcomes [2][]store.Outcome
	group := make([]*job, 2)
	for i, events := range [][]event.Event{first, second} {
		rows, err := rowsOf(events)
		if err != nil {
			t.Fatal(err)
		}
		group[i] = &job{done: make(chan error, 1), run: func(tx *transaction) (err error) {
			outcomes[i], err = tx.insertEvents(rows)
			return err
		}}
	}
	w.together(group)
	for i, want := range []store.Outcome{store.Stored, store.Duplicate} {
		for j, got := range outcomes[i] {
			if got != want {
				t.Fatalf("caller %d, event %d: got %v, want %v", i, j, got, want)
			}
		}
	}
}

func TestAFullDiskIsUnavailableAndPasses(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	limit := func(pages int) {
		t.Helper()
		if _, err := s.write.Exec(fmt.Sprintf("PRAGMA max_page_count = %d", pages)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.InsertEvents(t.Context(), someEvents("before", 10)); err != nil {
		t.Fatal(err)
	}
	limit(100)
	many := someEvents("many", 5000)
	if _, err := s.InsertEvents(t.Context(), many); fault.KindOf(err) != fault.Unavailable || !strings.Contains(err.Error(), "full") {
		t.Fatalf("got %v, want a fault.Unavailable that says full", err)
	}
	limit(1_000_000)
	outcomes, err := s.InsertEvents(t.Context(), many)
	if err != nil {
		t.Fatal(err)
	}
	for i, o := range outcomes {
		if o != store.Stored {
			t.Fatalf("event %d: got %v, want Stored: what failed was rolled back", i, o)
		}
	}
	if _, err := s.Event(t.Context(), "demo", "before-0"); err != nil {
		t.Error(err)
	}
}

func TestMigrations(t *testing.T) {
	db, err := connect(Memory, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	steps := []string{
		`CREATE TABLE a (x); INSERT INTO a VALUES (1)`,
		`CREATE TABLE b (x); INSERT INTO b SELECT x + 1 FROM a; DROP TABLE a`,
		`CREATE TABLE c (x); this is no SQL`,
	}
	for known, want := range []string{1: "", 2: "", 3: "from version 2 to 3"} {
		if err := migrate(t.Context(), db, steps[:known]); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Fatalf("with %d versions known: got %v, want %q", known, err, want)
		}
	}
	var x, version int
	if err := db.QueryRow(`SELECT x, (SELECT user_version FROM pragma_user_version) FROM b`).Scan(&x, &version); err != nil || x != 2 || version != 2 {
		t.Errorf("got x = %d in version %d, %v; want 2 in version 2", x, version, err)
	}
	if err := db.QueryRow(`SELECT x FROM c`).Scan(&x); err == nil || errors.Is(err, sql.ErrNoRows) {
		t.Errorf("a failed migration left its table: %v", err)
	}
	if err := migrate(t.Context(), db, steps[:1]); err == nil || !strings.Contains(err.Error(), "newer program") {
		t.Errorf("an older program opened a newer schema: %v", err)
	}
}
