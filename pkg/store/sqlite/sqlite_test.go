package sqlite_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/store"
	"github.com/maidian/maidian/pkg/store/sqlite"
)

func open(t testing.TB, dir string) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestASecondStartFindsEverythingAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "odd? #name%20")
	s := open(t, dir)
	events := make([]event.Event, 101)
	for i := range events {
		events[i] = event.Event{Project: "demo", EventID: fmt.Sprint("e", i), EventType: "click", BatchID: "b1", Position: i}
	}
	if _, err := s.InsertEvents(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	var got []event.Event
	err := s.EventsOfBatches(t.Context(), "demo", []string{"b1"}, func(e *event.Event) error {
		got = append(got, *e)
		return nil
	})
	if err != nil || len(got) != len(events) {
		t.Fatalf("got %d events, %v; want %d", len(got), err, len(events))
	}
	for i := range got {
		if got[i] != events[i] {
			t.Fatalf("event %d: got %+v, want %+v", i, got[i], events[i])
		}
	}
	outcomes, err := s.InsertEvents(t.Context(), events)
	for i, o := range outcomes {
		if err != nil || o != store.Own {
			t.Fatalf("event %d again: got %v, %v; want Own", i, o, err)
		}
	}
}

func TestADirectoryServesOneProcess(t *testing.T) {
	dir := t.TempDir()
	open(t, dir)
	_, err := sqlite.Open(t.Context(), dir)
	if err == nil || !strings.Contains(err.Error(), "another process is using it") || strings.Contains(err.Error(), "\n") {
		t.Fatalf("opened twice: got %v", err)
	}
}

func TestClosedStoreSaysSo(t *testing.T) {
	s := open(t, sqlite.Memory)
	s.Close()
	err := s.RecordBatches(context.Background(), []store.Batch{{ID: "b"}})
	if err == nil || errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
}

func TestWhatCannotBeOpenedIsOneClearLine(t *testing.T) {
	write := func(path, text string) string {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	taken := write(filepath.Join(t.TempDir(), "taken"), "a file")
	for name, test := range map[string]struct{ dir, want string }{
		"a file in its place":      {taken, "not a directory"},
		"a file above it":          {filepath.Join(taken, "data"), "not a directory"},
		"something else as the db": {filepath.Dir(write(filepath.Join(t.TempDir(), "maidian.db"), strings.Repeat("no database ", 1000))), "not a database"},
		"a directory as the db":    {filepath.Dir(filepath.Dir(write(filepath.Join(t.TempDir(), "maidian.db", "x"), ""))), "unable to open"},
	} {
		_, err := sqlite.Open(t.Context(), test.dir)
		if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), test.dir) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: got %v, want one line with %q and the directory", name, err, test.want)
		}
	}
}

func TestStoresInMemoryAreApart(t *testing.T) {
	a, b := open(t, sqlite.Memory), open(t, sqlite.Memory)
	if err := a.CreateProject(t.Context(), store.Project{ID: "demo"}); err != nil {
		t.Fatal(err)
	}
	if projects, err := b.Projects(t.Context()); err != nil || len(projects) != 0 {
		t.Errorf("got %v, %v; want no projects", projects, err)
	}
}

func TestNothingOfWhatWasErasedIsLeftInTheFiles(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	const secret = "ann@shop.example"
	events := make([]event.Event, 400)
	var ids []string
	for i := range events {
		e := event.Event{Project: "demo", EventID: fmt.Sprintf("e%04d", i*7919%10007), EventType: "click", BatchID: fmt.Sprint("b", i/9), Position: i % 9, UserID: "bob", PageTitle: strings.Repeat("x", 10*i)}
		if i%3 == 0 {
			e.UserID, ids = secret, append(ids, e.EventID)
		}
		if i%30 == 0 {
			e.Properties = `{"long":"` + strings.Repeat(secret, 2000) + `"}` // over many pages
		}
		events[i] = e
	}
	for _, err := range []error{
		second(s.InsertEvents(t.Context(), events)),
		s.PutDeadLetters(t.Context(), []store.DeadLetter{{ID: "d", Payload: []byte(strings.Repeat(secret, 3000))}}),
		s.CreateJob(t.Context(), store.Job{ID: "j", Project: "demo", Task: []byte(secret)}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if n := occurrences(t, dir, secret); n < len(ids) {
		t.Fatalf("found it %d times before the erasure, want %d or more", n, len(ids))
	}
	for _, err := range []error{
		s.EraseEvents(t.Context(), "demo", ids, 1),
		second(s.DeleteDeadLetters(t.Context(), []string{"d"})),
		s.UpdateJob(t.Context(), store.Job{ID: "j", Project: "demo", FinishedAt: 1}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if n := occurrences(t, dir, secret); n > 0 {
		t.Errorf("found it %d times after the erasure", n)
	}
}

func second[T any](_ T, err error) error { return err }

// occurrences is how often a text stands in the files of a directory.
func occurrences(t *testing.T, dir, text string) (n int) {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		content, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		n += strings.Count(string(content), text)
	}
	return n
}
