package prune_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/fault"
	"github.com/maidian/maidian/pkg/store"
	"github.com/maidian/maidian/pkg/store/sqlite"
	"github.com/maidian/maidian/services/query/internal/columns"
	"github.com/maidian/maidian/services/query/internal/follow"
	"github.com/maidian/maidian/services/query/internal/prune"
	"github.com/maidian/maidian/services/query/internal/sealed"
)

const (
	hour = event.Time(3600_000)

	// start is the moment of the first event, the beginning of a day.
	start = event.Time(1767225600000)
)

// fixture is a store with what was ever written to it.
type fixture struct {
	*sqlite.Store
	t       *testing.T
	batches int
	first   []event.Event
	written map[string]event.Event // by id
	now     time.Time              // as pruners see it
}

func newFixture(t *testing.T, retention int) *fixture {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Memory)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	if err := s.CreateProject(t.Context(), store.Project{ID: "shop", RetentionDays: retention, CreatedAt: start}); err != nil {
		t.Fatal(err)
	}
	return &fixture{Store: s, t: t, written: map[string]event.Event{}, now: start.Std().AddDate(0, 0, 12)}
}

// write stores events as the consumer does, and writes the entry again as it does when a message comes twice.
func (f *fixture) write(events ...event.Event) {
	f.t.Helper()
	if f.batches++; f.batches == 1 {
		f.first = events
	}
	f.deliver(fmt.Sprintf("b%04d", f.batches), events...)
}

func (f *fixture) deliver(batch string, events ...event.Event) {
	f.t.Helper()
	entry := store.Batch{ID: batch, Project: "shop", WrittenAt: event.TimeOf(time.Now())}
	for i := range events {
		events[i].BatchID, events[i].Position = entry.ID, i
	}
	outcomes, err := f.InsertEvents(f.t.Context(), events)
	if err != nil {
		f.t.Fatal(err)
	}
	for i := range events {
		entry.Count(&events[i], event.Source{}, outcomes[i])
		f.written[events[i].EventID] = events[i]
	}
	slices.Sort(entry.Days)
	if err := f.RecordBatches(f.t.Context(), []store.Batch{entry}); err != nil {
		f.t.Fatal(err)
	}
}

// happens is an event so many hours after the start.
func happens(id, user, anonymous string, hours int) event.Event {
	at := start + event.Time(hours)*hour
	return event.Event{Project: "shop", EventID: id, EventType: "click", UserID: user, AnonymousID: anonymous, Timestamp: at, ReceivedAt: at}
}

// random writes batches of a few people's events, who share devices.
func (f *fixture) random(r *rand.Rand, batches int) {
	f.t.Helper()
	pick := func(names ...string) string { return names[r.IntN(len(names))] }
	for range batches {
		var events []event.Event
		begin, within := r.IntN(240), 1+r.IntN(60)
		for i := range 1 + r.IntN(8) {
			e := happens(fmt.Sprint("e", f.batches, ".", i), pick("", "", "u1", "u2", "u3"), pick("", "a1", "a2", "a3"), begin+r.IntN(within))
			e.SessionID = pick("", "", "s1", "s2")
			events = append(events, e)
		}
		f.write(events...)
	}
}

// left are the ids of the events that are stored. What the journal says is held against them.
func (f *fixture) left() (ids []string) {
	f.t.Helper()
	entries, err := f.Batches(f.t.Context(), store.Cursor{}, 10_000)
	if err != nil {
		f.t.Fatal(err)
	}
	for _, b := range entries {
		live, days := b.Live(), map[int32]bool{}
		err := f.EventsOfBatches(f.t.Context(), b.Project, []string{b.ID}, func(e *event.Event) error {
			ids, live, days[e.Timestamp.Day()] = append(ids, e.EventID), live-1, true
			return nil
		})
		if err != nil {
			f.t.Fatal(err)
		}
		if got := slices.Sorted(maps.Keys(days)); live != 0 || !slices.Equal(got, b.Days) {
			f.t.Errorf("the entry %+v says %d events too many, and days %v; there are %v", b, live, b.Days, got)
		}
	}
	slices.Sort(ids)
	return ids
}

// kept are the ids of all that was written of the days from one on.
func (f *fixture) kept(from int32) (ids []string) {
	for id, e := range f.written {
		if e.Timestamp.Day() >= from {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

func (f *fixture) pruner(s prune.Store) *prune.Pruner {
	return prune.New(s, zap.NewNop(), nil, func() time.Time { return f.now }, prune.Options{Poll: time.Millisecond, Grace: 1, Hold: time.Hour})
}

// run has a pruner at work until done.
func (f *fixture) run(p *prune.Pruner, what string, done func() bool) {
	f.t.Helper()
	ctx, cancel := context.WithCancel(f.t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = p.Run(ctx) })
	f.until(what, done)
	cancel()
	running.Wait()
}

func (f *fixture) until(what string, done func() bool) {
	f.t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(2 * time.Minute); !done(); {
		select {
		case <-tick.C:
		case <-deadline:
			f.t.Fatalf("waited two minutes in vain: %s", what)
		}
	}
}

// finished says so of a job.
func (f *fixture) finished(id string) func() bool {
	return func() bool {
		job, err := f.Job(f.t.Context(), "shop", id)
		return err == nil && job.FinishedAt == event.TimeOf(f.now)
	}
}

// daily is the id of the job of each day.
const daily = "job_retention"

// reader is a replica, which seals what it can.
type reader struct{ tables *columns.Tables }

func (f *fixture) reader() *reader {
	f.t.Helper()
	tables, shelf := columns.NewTables(f, 1<<20, nil), sealed.NewShelf(f, zap.NewNop(), nil)
	tables.SealIn(shelf)
	follower := follow.New(f, tables, zap.NewNop(), nil, follow.Options{
		Every: 3 * time.Millisecond, Retention: 5 * time.Millisecond, Shelf: shelf, Projects: f,
		Rest: columns.Rest{Ended: 1, Still: 1}, SealEvery: 10 * time.Millisecond,
	})
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = follower.Run(ctx) })
	f.t.Cleanup(func() { cancel(); running.Wait() })
	f.until("a replica is ready", func() bool { return follower.Ready() == nil })
	return &reader{tables}
}

// tale is all that a replica shows, written down.
func (r *reader) tale(t *testing.T) string {
	t.Helper()
	v := r.tables.Project("shop").View()
	days, err := v.OpenAll(t.Context(), columns.Needs{Columns: []string{"event_id"}, Sessions: true, Refs: true})
	if fault.KindOf(err) == fault.Unavailable {
		return "a day is being built again"
	}
	if err != nil {
		t.Fatal(err)
	}
	var tale []string
	for _, d := range days {
		for i := range d.Len() {
			ref := d.Ref(uint32(i))
			tale = append(tale, fmt.Sprint(d.Number, " ", d.Times()[i], " ", d.Column("event_id").At(i).Text, " is ", v.UserName(d.Users()[i]),
				" in ", v.SessionName(d.Sessions().At(i)), " of ", v.BatchID(ref.Batch), "/", ref.Position))
		}
	}
	slices.Sort(tale)
	return fmt.Sprint("newest ", v.Newest, " retained from ", v.RetainedFrom, "\n", strings.Join(tale, "\n"))
}

var errStumbled = errors.New("the store stumbled")

// brittle is a store whose changes fail now and then, some after they are made.
type brittle struct {
	*fixture
	r     *rand.Rand
	times *int // it will fail yet
}

func (b brittle) fails(do func() error) error {
	before, after := *b.times > 0 && b.r.IntN(12) == 0, *b.times > 0 && b.r.IntN(12) == 0
	if before {
		*b.times--
		return errStumbled
	}
	err := do()
	if after {
		*b.times--
		return fault.Wrap(fault.Unavailable, "away", errStumbled)
	}
	return err
}

func (b brittle) PruneEvents(ctx context.Context, prunings []store.Pruning) error {
	if *b.times > 0 && b.r.IntN(3) == 0 {
		*b.times--
		return errors.Join(errStumbled, b.fixture.PruneEvents(ctx, prunings[:b.r.IntN(len(prunings))]))
	}
	return b.fixture.PruneEvents(ctx, prunings)
}

func (b brittle) UpdateJob(ctx context.Context, j store.Job) error {
	return b.fails(func() error { return b.fixture.UpdateJob(ctx, j) })
}

func (b brittle) DeleteSegments(ctx context.Context, project string, from, to int32, names []string) (n int, err error) {
	err = b.fails(func() (err error) { n, err = b.fixture.DeleteSegments(ctx, project, from, to, names); return err })
	return n, err
}

// TestWhatIsKeptIsWhatWasWrittenSince prunes random histories under replicas
// that have read them, sealed them or started from what was sealed, with a
// store that fails, and with events that come late or again: what is stored,
// what the journal says and what every replica shows is in the end as if
// nothing older had ever been sent.
func TestWhatIsKeptIsWhatWasWrittenSince(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { pruneUnderReplicas(t, seed) })
	}
}

func pruneUnderReplicas(t *testing.T, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 7))
	f := newFixture(t, 1+r.IntN(11))
	f.random(r, 25)
	readers := []*reader{f.reader()}
	if seed%2 == 0 {
		f.until("days are sealed", f.manifest)
		readers = append(readers, f.reader())
	}
	f.random(r, 3)

	times := r.IntN(12)
	unsure := f.pruner(brittle{f, r, &times})
	f.run(unsure, "the first day's job", f.finished(daily))
	late := start.Day() + int32(r.IntN(10))
	f.write(happens("late", "u1", "a1", int(late-start.Day())*24), happens("later", "", "a1", 200))
	f.random(r, 3)
	f.deliver("b0001", f.first...) // a message that was never acknowledged
	f.now = f.now.AddDate(0, 0, 1)
	f.run(f.pruner(f), "the next day's job", f.finished(daily))

	p := f.project()
	if want := prune.Before(f.now, p.RetentionDays); p.PrunedBefore != want {
		t.Errorf("pruned before %d, want %d", p.PrunedBefore, want)
	}
	if got, want := f.left(), f.kept(p.PrunedBefore); !slices.Equal(got, want) {
		t.Errorf("left: got %v, want %v", got, want)
	}
	readers = append(readers, f.reader())
	want := f.afresh(p)
	for i, reader := range readers {
		var got string
		f.until(fmt.Sprintf("replica %d shows what is left", i), func() bool { got = reader.tale(t); return got == want })
	}
	f.until("no segment of an older day is left", func() bool { return len(f.segmentDays(p.PrunedBefore)) == 0 || f.swept() })
}

// afresh is what a replica shows of a store in which nothing older was ever written.
func (f *fixture) afresh(p *store.Project) string {
	other := newFixture(f.t, 0)
	kept := f.kept(p.PrunedBefore)
	byBatch := map[string][]event.Event{}
	for _, id := range kept {
		e := f.written[id]
		byBatch[e.BatchID] = append(byBatch[e.BatchID], e)
	}
	for _, events := range byBatch {
		days := map[int32]bool{}
		for _, e := range events {
			days[e.Timestamp.Day()] = true
		}
		if _, err := other.InsertEvents(f.t.Context(), events); err != nil {
			f.t.Fatal(err)
		}
		entry := store.Batch{ID: events[0].BatchID, Project: "shop", WrittenAt: start, Stored: len(events), Days: slices.Sorted(maps.Keys(days))}
		if err := other.RecordBatches(f.t.Context(), []store.Batch{entry}); err != nil {
			f.t.Fatal(err)
		}
	}
	fresh := other.project()
	fresh.PrunedBefore = p.PrunedBefore
	if err := other.UpdateProject(f.t.Context(), *fresh); err != nil {
		f.t.Fatal(err)
	}
	return other.reader().tale(f.t)
}

func (f *fixture) project() *store.Project {
	f.t.Helper()
	projects, err := f.Projects(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	return &projects[0]
}

// segmentDays are the days before one that have segments.
func (f *fixture) segmentDays(before int32) (days []int32) {
	f.t.Helper()
	err := f.Segments(f.t.Context(), "shop", math.MinInt32+1, before-1, nil, func(s *store.Segment) error { days = append(days, s.Day); return nil })
	if err != nil {
		f.t.Fatal(err)
	}
	return days
}

// swept has the job of another day done, after which what a replica sealed meanwhile is gone as well.
func (f *fixture) swept() bool {
	f.now = f.now.Add(time.Minute)
	job, err := f.pruner(f).Ask(f.t.Context(), "shop", f.project().PrunedBefore, false)
	if err != nil {
		f.t.Fatal(err)
	}
	f.run(f.pruner(f), "a sweep", f.finished(job.ID))
	return len(f.segmentDays(f.project().PrunedBefore)) == 0
}

func (f *fixture) manifest() (found bool) {
	err := f.Segments(f.t.Context(), "shop", math.MinInt32, math.MinInt32, nil, func(*store.Segment) error { found = true; return nil })
	if err != nil {
		f.t.Fatal(err)
	}
	return found
}
