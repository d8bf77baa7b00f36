package recent_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/store"
	"github.com/maidian/maidian/pkg/store/sqlite"
	"github.com/maidian/maidian/pkg/store/storetest"
	"github.com/maidian/maidian/services/allinone/internal/recent"
)

func open(ctx context.Context, dir string) (store.Store, error) {
	s, err := sqlite.Open(ctx, dir)
	if err != nil {
		return nil, err
	}
	return recent.Over(s, 1000), nil
}

func TestMain(m *testing.M) { storetest.Main(m, open) }

func TestItIsAStoreLikeAnyOther(t *testing.T) {
	storetest.Run(t, storetest.Harness{Place: func(t testing.TB) string { return t.TempDir() }, Open: open})
}

// counting is a store that counts the batches that are read from it.
type counting struct {
	store.Store
	read int
	fail error
}

func (c *counting) EventsOfBatches(ctx context.Context, project string, ids []string, yield func(*event.Event) error) error {
	c.read += len(ids)
	return c.Store.EventsOfBatches(ctx, project, ids, yield)
}

func (c *counting) InsertEvents(ctx context.Context, events []event.Event) ([]store.Outcome, error) {
	outcomes, err := c.Store.InsertEvents(ctx, events)
	return outcomes, errors.Join(err, c.fail)
}

func fixture(t *testing.T, most int) (*recent.Store, *counting) {
	t.Helper()
	s, err := sqlite.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	below := &counting{Store: s}
	r := recent.Over(below, most)
	t.Cleanup(func() { r.Close() })
	return r, below
}

func events(batch string, ids ...string) (out []event.Event) {
	for i, id := range ids {
		out = append(out, event.Event{Project: "shop", EventID: id, EventType: "x", Timestamp: 1, BatchID: batch, Position: i})
	}
	return out
}

func insert(t *testing.T, s *recent.Store, e []event.Event) (stored int) {
	t.Helper()
	outcomes, err := s.InsertEvents(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range outcomes {
		if o != store.Duplicate {
			stored++
		}
	}
	return stored
}

func record(t *testing.T, s *recent.Store, batch string, stored int) {
	t.Helper()
	if err := s.RecordBatches(t.Context(), []store.Batch{{ID: batch, Project: "shop", Stored: stored, WrittenAt: 1}}); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, s *recent.Store, ids ...string) (text string) {
	t.Helper()
	if err := s.EventsOfBatches(t.Context(), "shop", ids, func(e *event.Event) error {
		text += fmt.Sprintf("%s.%d=%s ", e.BatchID, e.Position, e.EventID)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return text
}

func TestAFreshBatchIsReadFromMemory(t *testing.T) {
	s, below := fixture(t, 40)
	record(t, s, "1", insert(t, s, events("1", "a", "b")))
	record(t, s, "2", insert(t, s, events("2", "b", "c")))
	expect := func(what string, wantBelow int) {
		t.Helper()
		const want = "1.0=a 1.1=b 2.1=c "
		if got := read(t, s, "1", "2"); got != want || below.read != wantBelow {
			t.Errorf("%s: got %q with %d batches from below, want %q and %d", what, got, below.read, want, wantBelow)
		}
	}
	expect("at first", 0)
	expect("again", 0)
	record(t, s, "3", insert(t, s, events("3", "d", "e")))
	read(t, s, "3") // a tenth of 40 are kept of what was read
	expect("what was read before the last", 1)
}

func TestWhatIsNotSureComesFromBelow(t *testing.T) {
	for name, write := range map[string]func(s *recent.Store, below *counting){
		"not in the journal yet": func(s *recent.Store, _ *counting) { insert(t, s, events("1", "a", "b")) },
		"an earlier attempt stored some": func(s *recent.Store, below *counting) {
			if _, err := below.InsertEvents(t.Context(), events("1", "a")); err != nil {
				t.Fatal(err)
			}
			record(t, s, "1", insert(t, s, events("1", "a", "b")))
		},
		"another process stored the rest": func(s *recent.Store, below *counting) {
			all := events("1", "a", "b")
			insert(t, s, all[:1])
			if _, err := below.InsertEvents(t.Context(), all[1:]); err != nil {
				t.Fatal(err)
			}
			record(t, s, "1", 2)
		},
		"the insert failed half-way": func(s *recent.Store, below *counting) {
			below.fail = errors.New("half-way")
			_, _ = s.InsertEvents(t.Context(), events("1", "a", "b"))
			below.fail = nil
			record(t, s, "1", 2)
		},
		"too much to keep": func(s *recent.Store, _ *counting) {
			record(t, s, "1", insert(t, s, events("1", "a", "b")))
			insert(t, s, events("2", "c", "d", "e", "f"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, below := fixture(t, 5)
			write(s, below)
			if got := read(t, s, "1"); got != "1.0=a 1.1=b " || below.read != 1 {
				t.Errorf("got %q with %d batches from below", got, below.read)
			}
		})
	}
}

func TestPartsOfABatchAreOne(t *testing.T) {
	s, below := fixture(t, 100)
	all := events("1", "a", "b", "c")
	insert(t, s, all[:2])
	insert(t, s, all[2:])
	record(t, s, "1", 3)
	if got := read(t, s, "0", "1", "2"); got != "1.0=a 1.1=b 1.2=c " || below.read != 2 {
		t.Errorf("got %q with %d batches from below, want 2", got, below.read)
	}
}
