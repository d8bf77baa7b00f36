package follow

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/store"
	"github.com/maidian/maidian/services/query/internal/columns"
	"github.com/maidian/maidian/services/query/internal/sealed"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"
)

// keeper is a store of writers that keeps segments of the project p as well.
type keeper struct {
	writers
	lock     sync.Mutex
	segments map[place][]byte
}

type place struct {
	day  int32
	name string
}

func (k *keeper) PutSegments(_ context.Context, segments []store.Segment) error {
	k.lock.Lock()
	defer k.lock.Unlock()
	if k.segments == nil {
		k.segments = make(map[place][]byte)
	}
	for _, s := range segments {
		k.segments[place{s.Day, s.Name}] = slices.Clone(s.Data)
	}
	return nil
}

func (k *keeper) Segments(_ context.Context, project string, from, to int32, names []string, yield func(*store.Segment) error) error {
	k.lock.Lock()
	segments := maps.Clone(k.segments)
	k.lock.Unlock()
	for key, data := range segments { // of one part each: the order does not matter
		if from <= key.day && key.day <= to && (len(names) == 0 || slices.Contains(names, key.name)) {
			if err := yield(&store.Segment{Project: project, Day: key.day, Name: key.name, Data: data}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (k *keeper) DeleteSegments(_ context.Context, _ string, from, to int32, names []string) (int, error) {
	k.lock.Lock()
	defer k.lock.Unlock()
	before := len(k.segments)
	maps.DeleteFunc(k.segments, func(key place, _ []byte) bool {
		return from <= key.day && key.day <= to && (len(names) == 0 || slices.Contains(names, key.name))
	})
	return before - len(k.segments), nil
}

func (k *keeper) Projects(context.Context) ([]store.Project, error) {
	return []store.Project{{ID: "p", CreatedAt: event.TimeOf(time.Now()) - event.Time(30*24*time.Hour/time.Millisecond)}}, nil
}

// past is a batch whose events happened so many days ago.
func past(id string, days, n int) (store.Batch, []event.Event) {
	entry, events := batch("p", id, time.Now(), n)
	for i := range events {
		events[i].Timestamp -= event.Time(days) * event.Time(24*time.Hour/time.Millisecond)
	}
	entry.Days = []int32{events[0].Timestamp.Day()}
	return entry, events
}

// process is a follower with a shelf, at work until its end is called.
type process struct {
	tables *columns.Tables
	*Follower
	end func()
}

func begin(t *testing.T, k *keeper) *process {
	t.Helper()
	shelf := sealed.NewShelf(k, zap.NewNop(), nil)
	tables := columns.NewTables(k, 1<<20, nil)
	tables.SealIn(shelf)
	f := New(k, tables, zap.NewNop(), nil, Options{Shelf: shelf, Projects: k})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- f.Run(ctx) }()
	synctest.Wait()
	return &process{tables, f, func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: got %v, want nil", err)
		}
	}}
}

func (p *process) rows(after time.Duration) int { return rowsAfter(after, p.tables, "p") }

// keeping fills ten days and lets a process seal them.
func keeping(t *testing.T, test func(t *testing.T, k *keeper, p *process)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		k := &keeper{}
		for i := range 50 {
			k.record(past(fmt.Sprintf("b%02d", i), 2+i%10, 4))
		}
		p := begin(t, k)
		want(t, "events", p.rows(10*time.Minute), 200)
		want(t, "sealed days", len(p.tables.Project("p").SealedDays()), 10)
		test(t, k, p)
	})
}

func (k *keeper) readsSince(before map[string]int) (reads int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for id, n := range k.reads {
		reads += n - before[id]
	}
	return reads
}

func TestAStartReadsSealedDaysInPlaceOfEvents(t *testing.T) {
	keeping(t, func(t *testing.T, k *keeper, p *process) {
		k.record(past("today", 0, 3))
		p.rows(11 * time.Minute) // until the manifest is written again
		p.end()
		k.record(past("while nobody looked", 1, 5))
		before := maps.Clone(k.reads)
		next := begin(t, k)
		want(t, "events", next.rows(time.Second), 208)
		want(t, "batches read", k.readsSince(before), 2)
		want(t, "missing by the audit", int(testutil.ToFloat64(next.metrics.auditMissing)), 0)
		want(t, "events after audits", next.rows(5*time.Minute), 208)
		want(t, "days unlike the journal", int(testutil.ToFloat64(next.metrics.auditUnlike)), 0)
		next.end()
	})
}

func TestAStartAfterAnImportReadsNothingOfItAgain(t *testing.T) {
	keeping(t, func(t *testing.T, k *keeper, p *process) {
		p.rows(11 * time.Minute) // until the manifest is written again
		p.end()
		before := maps.Clone(k.reads)
		next := begin(t, k)
		want(t, "events", next.rows(time.Second), 200)
		want(t, "batches read", k.readsSince(before), 0)
		want(t, "sealed days", len(next.tables.Project("p").SealedDays()), 10)
		next.end()
	})
}

func TestAStartSeesTheEntryOfAWriterWhoseClockIsBehind(t *testing.T) {
	keeping(t, func(t *testing.T, k *keeper, p *process) {
		p.rows(11 * time.Minute)
		p.end()
		entry, events := past("behind", 5, 7)
		entry.WrittenAt -= event.Time(59 * time.Second / time.Millisecond)
		k.record(entry, events)
		next := begin(t, k)
		want(t, "events", next.rows(time.Second), 207)
		next.end()
	})
}

func TestALateEventWakesItsDayAndItIsSealedAgain(t *testing.T) {
	keeping(t, func(t *testing.T, k *keeper, p *process) {
		k.record(past("late", 5, 2))
		want(t, "events", p.rows(300*time.Millisecond), 202)
		want(t, "sealed days", len(p.tables.Project("p").SealedDays()), 9)
		want(t, "events later", p.rows(10*time.Minute), 202)
		want(t, "sealed days later", len(p.tables.Project("p").SealedDays()), 10)
		p.end()
		next := begin(t, k)
		want(t, "events after a start", next.rows(time.Second), 202)
		want(t, "sealed days after a start", len(next.tables.Project("p").SealedDays()), 10)
		next.end()
	})
}

func TestADayWithAShortBatchIsNotSealed(t *testing.T) {
	keeping(t, func(t *testing.T, k *keeper, p *process) {
		entry, events := past("short", 20, 6)
		k.record(entry, events[:4])
		want(t, "events", p.rows(20*time.Minute), 204)
		want(t, "sealed days", len(p.tables.Project("p").SealedDays()), 10)
		p.end()
		next := begin(t, k)
		want(t, "events after a start", next.rows(time.Second), 204)
		k.record(entry, events)
		want(t, "events when they are all there", next.rows(20*time.Minute), 206)
		want(t, "sealed days then", len(next.tables.Project("p").SealedDays()), 11)
		next.end()
	})
}

func TestEventsThatWereErasedGoFromSealedDaysToo(t *testing.T) {
	keeping(t, func(t *testing.T, k *keeper, p *process) {
		entry, events := past("b05", 7, 4)
		entry.Erased = 3
		k.record(entry, events[:1])
		want(t, "events", p.rows(time.Second), 197)
		want(t, "events later", p.rows(10*time.Minute), 197)
		want(t, "sealed days later", len(p.tables.Project("p").SealedDays()), 10)
		p.end()
		next := begin(t, k)
		want(t, "events after a start", next.rows(5*time.Minute), 197)
		next.end()
	})
}

func TestEventsThatWereErasedWhileNobodyLookedGoFromSealedDays(t *testing.T) {
	keeping(t, func(t *testing.T, k *keeper, p *process) {
		p.rows(11 * time.Minute)
		p.end()
		entry, _ := past("b05", 7, 4)
		entry.Erased = 4
		k.record(entry, nil)
		next := begin(t, k)
		want(t, "events", next.rows(time.Second), 196)
		want(t, "events later", next.rows(20*time.Minute), 196)
		want(t, "sealed days later", len(next.tables.Project("p").SealedDays()), 10)
		before := maps.Clone(k.reads)
		next.rows(20 * time.Minute)
		want(t, "batches read when nothing is new", k.readsSince(before), 0)
		next.end()
	})
}

// TestTheAuditFindsWhatSealedDaysLack takes a batch out of everything that is
// in memory or sealed, as if it had never been seen.
func TestTheAuditFindsWhatSealedDaysLack(t *testing.T) {
	keeping(t, func(t *testing.T, k *keeper, p *process) {
		p.rows(11 * time.Minute)
		p.end()
		entry, events := past("unseen", 5, 7)
		entry.WrittenAt -= event.Time(30 * time.Minute / time.Millisecond)
		k.record(entry, events)
		next := begin(t, k)
		want(t, "events at first", next.rows(time.Second), 200)
		want(t, "events after an audit", next.rows(3*time.Minute), 207)
		want(t, "events later", next.rows(20*time.Minute), 207)
		want(t, "sealed days later", len(next.tables.Project("p").SealedDays()), 10)
		want(t, "days unlike the journal", int(testutil.ToFloat64(next.metrics.auditUnlike)), 0)
		next.end()
	})
}
