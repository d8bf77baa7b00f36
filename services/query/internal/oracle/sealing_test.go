package oracle_test

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/store"
	"github.com/maidian/maidian/pkg/store/sqlite"
	"github.com/maidian/maidian/services/query/internal/columns"
	"github.com/maidian/maidian/services/query/internal/oracle"
	"github.com/maidian/maidian/services/query/internal/sealed"
)

// replica is a process that has a project of a store in memory.
type replica struct {
	store   *sqlite.Store
	project string
	tables  *columns.Tables
	shelf   *sealed.Shelf
}

// startReplica begins with what is sealed, then reads what the journal names.
func startReplica(t *testing.T, s *sqlite.Store, project string, budget int64) *replica {
	t.Helper()
	r := &replica{store: s, project: project, tables: columns.NewTables(s, budget, nil), shelf: sealed.NewShelf(s, zap.NewNop(), nil)}
	r.tables.SealIn(r.shelf)
	m, err := r.shelf.Manifest(t.Context(), project)
	if err == nil && m != nil {
		if err = r.table().Restore(t.Context(), m); err == nil {
			for _, open := range m.Open {
				r.table().AddOpen(m, r.batch(t, open.ID))
			}
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	r.follow(t)
	return r
}

func (r *replica) table() *columns.Table { return r.tables.Project(r.project) }

func (r *replica) batch(t *testing.T, id string) (events []event.Event) {
	t.Helper()
	err := r.store.EventsOfBatches(t.Context(), r.project, []string{id}, func(e *event.Event) error {
		events = append(events, *e)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return events
}

func (r *replica) follow(t *testing.T) {
	t.Helper()
	entries, err := r.store.Batches(t.Context(), store.Cursor{}, math.MaxInt32)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if entry.Project != r.project || r.table().Has(entry) == entry.Stored {
			continue
		}
		if short := r.table().Add([]store.Batch{entry}, r.batch(t, entry.ID)); len(short) > 0 {
			t.Fatalf("%v came short", short)
		}
	}
}

// view is what is in, with days made whole that something came for.
func (r *replica) view(t *testing.T) *columns.View {
	t.Helper()
	for range 2 { // looking may find another such day
		if err := r.tables.Settle(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.table().View()
	}
	if err := r.tables.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r.table().View()
}

// seal seals all days, notes it for the next start, and tells how many are sealed.
func (r *replica) seal(t *testing.T) (days int) {
	t.Helper()
	r.view(t)
	atRest := time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)
	if _, err := r.table().Seal(t.Context(), atRest, columns.Rest{}, func(int32) bool { return false }); err != nil {
		t.Fatal(err)
	}
	m := r.table().Manifest(event.TimeOf(time.Now()), nil)
	if m == nil {
		return 0
	}
	if err := r.shelf.PutManifest(t.Context(), r.project, m); err != nil {
		t.Fatal(err)
	}
	return len(m.Days)
}

// Whether days are sealed, a process starts again from what is sealed, or
// nearly no memory may be used: every answer is the one of all events at once.
func TestSealingStartingAndEvictingChangeNothing(t *testing.T) {
	s, err := sqlite.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	budgets, days := []int64{0, 1 << 12, math.MaxInt64}, 0
	eachHistory(t, 6, func(t *testing.T, over *service, seed uint64, r oracle.Random, events []event.Event) {
		project := fmt.Sprintf("shop-%d", seed)
		for i := range events {
			events[i].Project, events[i].BatchID = project, project+events[i].BatchID
		}
		here := startReplica(t, s, project, budgets[r.IntN(3)])
		var known []event.Event
		for i, batch := range batches(r, events) {
			known = append(known, keep(t, s, batch, i)...)
			here.follow(t)
			did := "following"
			for range r.IntN(3) {
				switch r.IntN(3) {
				case 0:
					days += here.seal(t)
					did += ", sealing"
				case 1:
					here = startReplica(t, s, project, budgets[r.IntN(3)])
					did += ", starting"
				default:
					over.view = here.view(t)
					over.answers(t, askEverything(r, events))
					did += ", asking"
				}
			}
			all := askEverything(r, events)
			over.view = columns.FromEvents(project, known)
			want := over.answers(t, all)
			over.view = here.view(t)
			mustBeSame(t, seed, did, want, over.answers(t, all))
		}
	})
	if _, n := seeds(t); days == 0 && n > 1 {
		t.Error("no day was ever sealed")
	}
}

// batches are the events of each batch, in a random order.
func batches(r oracle.Random, events []event.Event) (list [][]event.Event) {
	byBatch := map[string][]event.Event{}
	for _, e := range events {
		byBatch[e.BatchID] = append(byBatch[e.BatchID], e)
	}
	for _, id := range slices.Sorted(maps.Keys(byBatch)) {
		list = append(list, byBatch[id])
	}
	r.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list
}

// keep stores a batch and its entry in the journal, as a consumer does.
func keep(t *testing.T, s *sqlite.Store, batch []event.Event, n int) []event.Event {
	t.Helper()
	entry := store.Batch{ID: batch[0].BatchID, Project: batch[0].Project, WrittenAt: event.TimeOf(time.Now()) + event.Time(n), Stored: len(batch)}
	for _, e := range batch {
		entry.Days = append(entry.Days, e.Timestamp.Day())
	}
	slices.Sort(entry.Days)
	entry.Days = slices.Compact(entry.Days)
	if _, err := s.InsertEvents(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	if err := s.RecordBatches(context.WithoutCancel(t.Context()), []store.Batch{entry}); err != nil {
		t.Fatal(err)
	}
	return batch
}
