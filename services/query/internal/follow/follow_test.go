package follow

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/store"
	"github.com/maidian/maidian/services/query/internal/columns"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"
)

// writers is a store into which consumers write.
type writers struct {
	mu      sync.Mutex
	journal []store.Batch
	events  map[string][]event.Event
	erased  map[string][]string
	away    error
	damaged string         // a batch that cannot be read
	reads   map[string]int // of each batch's events
}

func (w *writers) record(entry store.Batch, events []event.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.journal = append(slices.DeleteFunc(w.journal, func(b store.Batch) bool { return b.ID == entry.ID && b.Project == entry.Project }), entry)
	slices.SortFunc(w.journal, func(a, b store.Batch) int {
		return cmp.Or(cmp.Compare(a.WrittenAt, b.WrittenAt), cmp.Compare(a.ID, b.ID), cmp.Compare(a.Project, b.Project))
	})
	if w.events == nil {
		w.events, w.reads = make(map[string][]event.Event), make(map[string]int)
	}
	w.events[entry.Project+"/"+entry.ID] = events
}

func (w *writers) Batches(_ context.Context, after store.Cursor, limit int) ([]store.Batch, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	from, _ := slices.BinarySearchFunc(w.journal, after, func(b store.Batch, c store.Cursor) int {
		if cmp.Or(cmp.Compare(b.WrittenAt, c.WrittenAt), cmp.Compare(b.ID, c.ID), cmp.Compare(b.Project, c.Project)) <= 0 {
			return -1
		}
		return 1
	})
	return slices.Clone(w.journal[from:min(len(w.journal), from+limit)]), w.away
}

func (w *writers) EventsOfBatches(_ context.Context, project string, ids []string, yield func(*event.Event) error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, id := range ids {
		w.reads[id]++
		if id == w.damaged {
			return errors.New("damaged")
		}
		for _, e := range w.events[project+"/"+id] {
			if err := yield(&e); err != nil {
				return err
			}
		}
	}
	return w.away
}

// ErasedEvents are those beyond what is stored, as erase leaves them.
func (w *writers) ErasedEvents(_ context.Context, project string, ids []string) (erased []string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, id := range ids {
		erased = append(erased, w.erased[project+"/"+id]...)
	}
	return erased, w.away
}

// erase leaves the batch's first events only.
func (w *writers) erase(entry store.Batch, left int) {
	events := w.events[entry.Project+"/"+entry.ID]
	if w.erased == nil {
		w.erased = make(map[string][]string)
	}
	for _, e := range events[left:] {
		w.erased[entry.Project+"/"+entry.ID] = append(w.erased[entry.Project+"/"+entry.ID], e.EventID)
	}
	entry.WrittenAt, entry.Erased = event.TimeOf(time.Now()), entry.Stored-left
	w.record(entry, events[:left])
}

func (w *writers) setAway(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.away = err
}

func batch(project, id string, written time.Time, n int) (store.Batch, []event.Event) {
	events := make([]event.Event, n)
	for i := range events {
		events[i] = event.Event{
			Project: project, EventID: fmt.Sprint(id, "-", i), EventType: "view", UserID: "u",
			Timestamp: event.TimeOf(written), BatchID: id, Position: i,
		}
	}
	return store.Batch{ID: id, Project: project, WrittenAt: event.TimeOf(written), ReceivedAt: event.TimeOf(written), Stored: n}, events
}

// following runs f(...) in a bubble of its own time, with a Follower at work.
func following(t *testing.T, w *writers, test func(tables *columns.Tables, f *Follower)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		tables := columns.NewTables(w, 1<<20, nil)
		f := New(w, tables, zap.NewNop(), prometheus.NewRegistry(), Options{})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- f.Run(ctx) }()
		synctest.Wait()
		test(tables, f)
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: got %v, want nil", err)
		}
	})
}

// rowsAfter is how many events are visible after so much time.
func rowsAfter(d time.Duration, tables *columns.Tables, project string) int {
	time.Sleep(d) // of the bubble: no real time passes
	synctest.Wait()
	rows := 0
	days, err := tables.Project(project).View().OpenAll(context.Background(), columns.Needs{})
	if err != nil {
		return -1
	}
	for _, day := range days {
		rows += day.Len()
	}
	return rows
}

func want(t *testing.T, what string, got, want int) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %d, want %d", what, got, want)
	}
}

func TestEventsAreVisibleSoonAfterTheirEntry(t *testing.T) {
	w := &writers{}
	following(t, w, func(tables *columns.Tables, f *Follower) {
		if err := f.Ready(); err != nil {
			t.Errorf("Ready with an empty journal: got %v", err)
		}
		for i := range 50 {
			w.record(batch("a", fmt.Sprintf("a%02d", i), time.Now(), 10))
			want(t, "events of a", rowsAfter(150*time.Millisecond, tables, "a"), 10*(i+1))
		}
		w.record(batch("b", "b1", time.Now(), 7))
		want(t, "events of b", rowsAfter(150*time.Millisecond, tables, "b"), 7)
		want(t, "events of a, still", rowsAfter(5*time.Minute, tables, "a"), 500)
		for id, reads := range w.reads {
			want(t, "reads of batch "+id, reads, 1)
		}
		if v := tables.Project("b").View(); time.Since(v.AsOf.Std()) > time.Second {
			t.Errorf("AsOf is %s old", time.Since(v.AsOf.Std()))
		}
		want(t, "missed events", int(testutil.ToFloat64(f.metrics.missed)), 0)
		want(t, "missing by the audit", int(testutil.ToFloat64(f.metrics.auditMissing)), 0)
	})
}

func TestClocksOfWritersMayDiffer(t *testing.T) {
	tests := map[string]struct {
		behind time.Duration
		within time.Duration
	}{
		"behind by less than a usual look goes back": {900 * time.Millisecond, 150 * time.Millisecond},
		"behind within the overlap":                  {50 * time.Second, 6 * time.Second},
		"behind the overlap, found by the audit":     {2 * time.Hour, 70 * time.Second},
		"ahead":                                      {-3 * time.Hour, 150 * time.Millisecond},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := &writers{}
			following(t, w, func(tables *columns.Tables, _ *Follower) {
				w.record(batch("p", "right", time.Now(), 1))
				want(t, "before", rowsAfter(20*time.Second, tables, "p"), 1)
				w.record(batch("p", "right again", time.Now(), 1))
				want(t, "newest", rowsAfter(150*time.Millisecond, tables, "p"), 2)
				w.record(batch("p", "wrong clock", time.Now().Add(-test.behind), 1))
				want(t, "with the wrong clock's", rowsAfter(test.within, tables, "p"), 3)
				w.record(batch("p", "right still", time.Now(), 1))
				want(t, "after it", rowsAfter(150*time.Millisecond, tables, "p"), 4)
			})
		})
	}
}

func TestAWriterWhoseClockIsBehindIsWaitedForNoLongerThanOthers(t *testing.T) {
	w := &writers{}
	following(t, w, func(tables *columns.Tables, _ *Follower) {
		const behind = 10 * time.Second
		for i := range 100 {
			w.record(batch("p", fmt.Sprintf("right%02d", i), time.Now(), 1))
			w.record(batch("p", fmt.Sprintf("wrong%02d", i), time.Now().Add(-behind), 1))
			got := rowsAfter(200*time.Millisecond, tables, "p")
			if i > 30 { // by then the follower knows
				want(t, fmt.Sprintf("after %d", i), got, 2*(i+1))
			}
		}
	})
}

func TestABatchThatComesShortIsReportedAndReadAgain(t *testing.T) {
	w := &writers{}
	following(t, w, func(tables *columns.Tables, f *Follower) {
		entry, events := batch("p", "b", time.Now(), 10)
		w.record(entry, events[:4])
		want(t, "visible", rowsAfter(150*time.Millisecond, tables, "p"), 4)
		want(t, "short batches", int(testutil.ToFloat64(f.metrics.shortBatches)), 1)
		want(t, "short events", int(testutil.ToFloat64(f.metrics.shortEvents)), 6)
		want(t, "still", rowsAfter(2*time.Minute, tables, "p"), 4)
		want(t, "missing by the audit", int(testutil.ToFloat64(f.metrics.auditMissing)), 6)
		w.record(entry, events)
		want(t, "later", rowsAfter(5*time.Minute, tables, "p"), 10)
		want(t, "short batches then", int(testutil.ToFloat64(f.metrics.shortBatches)), 0)
		want(t, "missing then", int(testutil.ToFloat64(f.metrics.auditMissing)), 0)
		if w.reads["b"] > 15 {
			t.Errorf("the short batch was read %d times in 7 minutes", w.reads["b"])
		}
	})
}

func TestABatchThatCannotBeReadHoldsUpNobody(t *testing.T) {
	w := &writers{damaged: "b07"}
	for i := range 20 {
		w.record(batch("p", fmt.Sprintf("b%02d", i), time.Now(), 5))
	}
	following(t, w, func(tables *columns.Tables, f *Follower) {
		if err := f.Ready(); err != nil {
			t.Errorf("Ready: got %v", err)
		}
		want(t, "all others", rowsAfter(time.Minute, tables, "p"), 95)
		want(t, "short batches", int(testutil.ToFloat64(f.metrics.shortBatches)), 1)
		w.mu.Lock()
		w.damaged = ""
		w.mu.Unlock()
		want(t, "after repair", rowsAfter(10*time.Minute, tables, "p"), 100)
	})
}

func TestAnEntryRecordedAgainAddsOnlyWhatIsNew(t *testing.T) {
	w := &writers{}
	following(t, w, func(tables *columns.Tables, _ *Follower) {
		entry, events := batch("p", "b", time.Now(), 10)
		entry.Stored = 4
		w.record(entry, events[:4])
		want(t, "first", rowsAfter(150*time.Millisecond, tables, "p"), 4)
		entry.Stored, entry.WrittenAt = 10, event.TimeOf(time.Now())
		w.record(entry, events)
		want(t, "again", rowsAfter(150*time.Millisecond, tables, "p"), 10)
	})
}

func TestErasedEventsGoAndAreNotMissed(t *testing.T) {
	w := &writers{}
	following(t, w, func(tables *columns.Tables, f *Follower) {
		entry, events := batch("p", "b", time.Now(), 10)
		w.record(entry, events)
		want(t, "before", rowsAfter(150*time.Millisecond, tables, "p"), 10)
		w.erase(entry, 4)
		want(t, "after", rowsAfter(150*time.Millisecond, tables, "p"), 4)
		w.erase(store.Batch{ID: "b", Project: "p", Stored: 10}, 0)
		want(t, "all gone", rowsAfter(5*time.Minute, tables, "p"), 0)
		entry, events = batch("p", "c", time.Now(), 10)
		w.record(entry, events)
		w.erase(entry, 3) // before anybody followed it
		want(t, "the next", rowsAfter(5*time.Minute, tables, "p"), 3)
		want(t, "short batches", int(testutil.ToFloat64(f.metrics.shortBatches)), 0)
		want(t, "missing by the audit", int(testutil.ToFloat64(f.metrics.auditMissing)), 0)
		want(t, "surplus by the audit", int(testutil.ToFloat64(f.metrics.auditSurplus)), 0)
	})
}

func TestAStoreThatIsAwayIsWaitedFor(t *testing.T) {
	w := &writers{}
	w.setAway(errors.New("away"))
	following(t, w, func(tables *columns.Tables, f *Follower) {
		if f.Ready() == nil {
			t.Error("Ready before the journal could be read: got nil")
		}
		w.record(batch("p", "b1", time.Now(), 3))
		want(t, "while away", rowsAfter(time.Minute, tables, "p"), 0)
		w.setAway(nil)
		want(t, "when back", rowsAfter(8*time.Second, tables, "p"), 3)
		if err := f.Ready(); err != nil {
			t.Errorf("Ready: got %v", err)
		}
		w.setAway(errors.New("away again"))
		asOf := tables.Project("p").View().AsOf
		w.record(batch("p", "b2", time.Now(), 3))
		want(t, "keeps what is there", rowsAfter(time.Minute, tables, "p"), 3)
		if got := tables.Project("p").View().AsOf; got > asOf+1000 {
			t.Errorf("AsOf goes on while the store is away: %s, then %s", asOf, got)
		}
		w.setAway(nil)
		want(t, "when back again", rowsAfter(8*time.Second, tables, "p"), 6)
	})
}

// TestAnyHistoryEndsComplete lets writers with wrong clocks record entries
// again and again while the store comes and goes.
func TestAnyHistoryEndsComplete(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 2))
		w := &writers{}
		total := map[string]int{}
		following(t, w, func(tables *columns.Tables, f *Follower) {
			for i := range 300 {
				project := fmt.Sprint("p", r.IntN(3))
				written := time.Now().Add(time.Duration(r.IntN(120)-100) * time.Second)
				entry, events := batch(project, fmt.Sprint("b", i), written, r.IntN(20))
				total[project] += len(events)
				w.record(entry, events)
				if r.IntN(4) == 0 {
					entry.WrittenAt += event.Time(r.IntN(5000))
					w.record(entry, events)
				}
				if r.IntN(20) == 0 {
					w.setAway(errors.New("away"))
				} else if r.IntN(3) == 0 {
					w.setAway(nil)
				}
				time.Sleep(time.Duration(r.IntN(1000)) * time.Millisecond)
			}
			w.setAway(nil)
			for project, events := range total {
				want(t, fmt.Sprintf("seed %d, project %s", seed, project), rowsAfter(5*time.Minute, tables, project), events)
			}
			want(t, "missing by the audit", int(testutil.ToFloat64(f.metrics.auditMissing)), 0)
		})
	}
}

func TestALongJournalIsLoadedInParts(t *testing.T) {
	w := &writers{}
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range 3500 {
		w.record(batch(fmt.Sprint("p", i%2), fmt.Sprintf("b%05d", i), start.Add(time.Duration(i)*time.Minute), 20))
	}
	following(t, w, func(tables *columns.Tables, f *Follower) {
		if err := f.Ready(); err != nil {
			t.Errorf("Ready: got %v", err)
		}
		want(t, "events", tables.Rows(), 70_000)
		for id, reads := range w.reads {
			if reads != 1 {
				t.Fatalf("batch %s was read %d times", id, reads)
			}
		}
	})
}
