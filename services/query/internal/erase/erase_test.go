package erase_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/fault"
	"github.com/maidian/maidian/pkg/store"
	"github.com/maidian/maidian/pkg/store/sqlite"
	"github.com/maidian/maidian/services/query/internal/columns"
	"github.com/maidian/maidian/services/query/internal/erase"
	"github.com/maidian/maidian/services/query/internal/follow"
)

// start is the moment of the first event.
const start = event.Time(1767225600000)

// fixture is a store with a follower, as a replica has them.
type fixture struct {
	*sqlite.Store
	t       *testing.T
	batches int
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Memory)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return &fixture{Store: s, t: t}
}

// write stores events as the consumer does: event i is received i seconds after the start.
func (f *fixture) write(events ...event.Event) {
	f.t.Helper()
	f.batches++
	entry := store.Batch{ID: fmt.Sprintf("b%04d", f.batches), Project: events[0].Project, WrittenAt: event.TimeOf(time.Now()), Stored: len(events)}
	for i := range events {
		events[i].BatchID, events[i].Position = entry.ID, i
		if day := events[i].Timestamp.Day(); !slices.Contains(entry.Days, day) {
			entry.Days = append(entry.Days, day)
		}
	}
	if _, err := f.InsertEvents(f.t.Context(), events); err != nil {
		f.t.Fatal(err)
	}
	if err := f.RecordBatches(f.t.Context(), []store.Batch{entry}); err != nil {
		f.t.Fatal(err)
	}
}

// left are the ids of the project's events.
func (f *fixture) left(project string) (ids []string) {
	f.t.Helper()
	entries, err := f.Batches(f.t.Context(), store.Cursor{}, 10_000)
	if err != nil {
		f.t.Fatal(err)
	}
	for _, b := range entries {
		stored := b.Stored
		err := f.EventsOfBatches(f.t.Context(), b.Project, []string{b.ID}, func(e *event.Event) error {
			if stored--; e.Project == project {
				ids = append(ids, e.EventID)
			}
			return nil
		})
		if err != nil {
			f.t.Fatal(err)
		}
		if stored != b.Erased {
			f.t.Errorf("batch %s says %d of its events were erased, and lacks %d", b.ID, b.Erased, stored)
		}
	}
	slices.Sort(ids)
	return ids
}

func (f *fixture) wantLeft(want ...string) {
	f.t.Helper()
	slices.Sort(want)
	if got := f.left("shop"); !slices.Equal(got, want) {
		f.t.Errorf("left: got %v, want %v", got, want)
	}
}

// replica does jobs in the store that it is given, until it is stopped.
func (f *fixture) replica(s erase.Store) (e *erase.Eraser, stop func()) {
	f.t.Helper()
	tables := columns.NewTables(f, 1<<20, nil)
	follower := follow.New(f, tables, zap.NewNop(), nil, follow.Options{Every: time.Millisecond})
	e = erase.New(s, views{tables, follower}, zap.NewNop(), time.Now, erase.Options{Poll: time.Millisecond, Hold: 100 * time.Millisecond})
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = follower.Run(ctx) })
	running.Go(func() { _ = e.Run(ctx) })
	stop = func() { cancel(); running.Wait() }
	f.t.Cleanup(stop)
	return e, stop
}

type views struct {
	tables   *columns.Tables
	follower *follow.Follower
}

func (v views) View(_ context.Context, project string) (*columns.View, error) {
	if err := v.follower.Ready(); err != nil {
		return nil, fault.Wrap(fault.Unavailable, "loading", err)
	}
	return v.tables.Project(project).View(), nil
}

// ask makes a job with no replica at work on it yet.
func (f *fixture) ask(who erase.Subject) (id string) {
	f.t.Helper()
	job, err := erase.New(f, nil, nil, time.Now, erase.Options{}).Ask(f.t.Context(), "shop", who)
	if err != nil {
		f.t.Fatal(err)
	}
	for event.TimeOf(time.Now()) == job.CreatedAt { // the next one is to be younger
		runtime.Gosched()
	}
	return job.ID
}

// finished waits for a job's end.
func (f *fixture) finished(id string) *store.Job {
	f.t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(30 * time.Second); ; {
		job, err := f.Job(f.t.Context(), "shop", id)
		if err != nil {
			f.t.Fatal(err)
		}
		if job.FinishedAt != 0 {
			if job.Task != nil {
				f.t.Errorf("a finished job still knows whom it was about: %s", job.Task)
			}
			return job
		}
		select {
		case <-tick.C:
		case <-deadline:
			f.t.Fatalf("the job is still %+v", job)
		}
	}
}

func (f *fixture) wantDone(id string, counts map[string]int) {
	f.t.Helper()
	want := map[string]int{"events": 0, "batches": 0, "segments": 0, "dead_letters": 0}
	maps.Copy(want, counts)
	if job := f.finished(id); job.State != store.JobDone || job.Error != "" || !maps.Equal(job.Counts, want) {
		f.t.Errorf("job: got %s %q %v, want done %v", job.State, job.Error, job.Counts, want)
	}
}

// does is an event "id" of a user, of an anonymous id, or of both, so many hours after the start.
func does(id, user, anonymous string, hours int) event.Event {
	at := start + event.Time(hours)*3600_000
	return event.Event{Project: "shop", EventID: id, EventType: "click", UserID: user, AnonymousID: anonymous, Timestamp: at, ReceivedAt: at}
}

func TestAUserGoesWithWhatTheyDidBeforeTheyWereKnown(t *testing.T) {
	f := newFixture(t)
	f.write(does("before", "", "cookie", 1), does("bob", "bob", "", 2))
	f.write(does("sign in", "ann", "cookie", 30), does("other device", "ann", "phone", 31), does("none", "ann", "", 32))
	f.write(does("bob on her device", "bob", "cookie", 40), does("after", "", "cookie", 41), does("stranger", "", "visitor", 42))
	theirs := does("theirs", "ann", "cookie", 1)
	theirs.Project = "blog"
	f.write(theirs)
	id := f.ask(erase.Subject{UserID: "ann"})
	f.replica(f)
	f.wantDone(id, map[string]int{"events": 5, "batches": 3})
	f.wantLeft("bob", "bob on her device", "stranger")
	if got := f.left("blog"); len(got) != 1 {
		t.Errorf("another project's events: got %v", got)
	}
}

func TestAnAnonymousIDGoesWhoeverTheUserIs(t *testing.T) {
	f := newFixture(t)
	f.write(does("alone", "", "cookie", 1), does("with ann", "ann", "cookie", 30), does("with bob", "bob", "cookie", 60), does("ann elsewhere", "ann", "phone", 61))
	id := f.ask(erase.Subject{AnonymousID: "cookie"})
	f.replica(f)
	f.wantDone(id, map[string]int{"events": 3, "batches": 1})
	f.wantLeft("ann elsewhere")
}

func TestWhoIsNotAUserOfTheirOwnIsNotErased(t *testing.T) {
	f := newFixture(t)
	f.write(does("1", "ann", "cookie", 1), does("2", "", "cookie", 2), does("3", "", "guest", 3))
	session := does("4", "", "", 4)
	session.SessionID = "s"
	f.write(session)
	for who, left := range map[string][]string{ // each by themselves, so in any order
		"cookie": {"1", "2", "3", "4"}, // is ann
		"nobody": {"1", "2", "3", "4"},
	} {
		id := f.ask(erase.Subject{UserID: who})
		_, stop := f.replica(f)
		f.finished(id)
		f.wantLeft(left...)
		stop()
	}
	guest, s := f.ask(erase.Subject{UserID: "guest"}), f.ask(erase.Subject{UserID: "s"})
	f.replica(f)
	f.wantDone(guest, map[string]int{"events": 1, "batches": 1})
	f.wantDone(s, map[string]int{"events": 1, "batches": 1})
	f.wantLeft("1", "2")
}

func TestWhatIsSentLaterIsNewData(t *testing.T) {
	f := newFixture(t)
	later := does("later", "ann", "", 1)
	later.ReceivedAt = event.TimeOf(time.Now().Add(10 * time.Minute))
	f.write(does("earlier", "ann", "", 1), later)
	id := f.ask(erase.Subject{UserID: "ann"})
	f.replica(f)
	f.wantDone(id, map[string]int{"events": 1, "batches": 1})
	f.wantLeft("later")
}

// TestWhatIsLeftIsWhatTheRulesSay holds erasures of random histories against
// the rule of who an event's user is, written down once more.
func TestWhatIsLeftIsWhatTheRulesSay(t *testing.T) {
	for seed := range uint64(15) {
		r := rand.New(rand.NewPCG(seed, 5))
		f := newFixture(t)
		pick := func(names ...string) string { return names[r.IntN(len(names))] }
		var all []event.Event
		for b := range 12 {
			var batch []event.Event
			for i := range 1 + r.IntN(8) {
				e := does(fmt.Sprintf("%d.%d", b, i), pick("", "", "u1", "u2", "a1"), pick("", "a1", "a2", "a3"), r.IntN(200))
				e.SessionID = pick("", "s1", "u1")
				batch = append(batch, e)
			}
			f.write(batch...)
			all = append(all, batch...)
		}
		who := erase.Subject{UserID: pick("u1", "u2", "a1", "a2", "s1", all[0].EventID)}
		if seed%3 == 0 {
			who = erase.Subject{AnonymousID: pick("a1", "a2", "none")}
		}
		var left []string
		gone := map[string]int{}
		for i := range all {
			if isOf(who, &all[i], all) {
				gone[all[i].BatchID]++
			} else {
				left = append(left, all[i].EventID)
			}
		}
		id := f.ask(who)
		_, stop := f.replica(f)
		f.wantDone(id, map[string]int{"events": len(all) - len(left), "batches": len(gone)})
		f.wantLeft(left...)
		stop()
		if t.Failed() {
			t.Fatalf("seed %d, %+v", seed, who)
		}
	}
}

func isOf(who erase.Subject, e *event.Event, all []event.Event) bool {
	if who.AnonymousID != "" {
		return e.AnonymousID == who.AnonymousID
	}
	user := cmp.Or(e.UserID, firstUser(e.AnonymousID, all), e.AnonymousID, e.SessionID, e.EventID)
	return user == who.UserID
}

func firstUser(anonymous string, all []event.Event) string {
	var first *event.Event
	for i := range all {
		e := &all[i]
		if anonymous == "" || e.AnonymousID != anonymous || e.UserID == "" {
			continue
		}
		if first == nil || cmp.Or(cmp.Compare(e.Timestamp, first.Timestamp), cmp.Compare(e.EventID, first.EventID)) < 0 {
			first = e
		}
	}
	if first == nil {
		return ""
	}
	return first.UserID
}

// story is a history in which a user has something in every collection.
func (f *fixture) story() {
	f.t.Helper()
	for i := range 3 {
		n := fmt.Sprint(i)
		f.write(does("guest"+n, "", "cookie", 1+i), does("bob"+n, "bob", "", 2), does("ann"+n, "ann", "cookie", 30+i))
	}
	letter := func(id, project string, payload []byte) store.DeadLetter {
		return store.DeadLetter{ID: id, Project: project, BatchID: "x", Payload: payload, FirstSeen: start}
	}
	ann, guest, bob := does("bad1", "ann", "", 1), does("bad2", "", "cookie", 1), does("bad3", "bob", "", 1)
	whole := append([]byte("no header\n"), bob.AppendWire(nil)...)
	if err := f.PutDeadLetters(f.t.Context(), []store.DeadLetter{
		letter("1", "shop", ann.AppendWire(nil)),
		letter("2", "shop", guest.AppendWire(nil)),
		letter("3", "shop", bob.AppendWire(nil)),
		letter("4", "", append(append(whole, '\n'), ann.AppendWire(nil)...)),
		letter("5", "", whole),
		letter("6", "shop", []byte(`{"user_id":"ann","x":`)),
		letter("7", "", []byte(`{"project":"blog","user_id":"ann","x":`)),
		letter("8", "blog", ann.AppendWire(nil)),
	}); err != nil {
		f.t.Fatal(err)
	}
	var pieces []store.Segment
	for day := start.Day() - 1; day <= start.Day()+2; day++ {
		for _, name := range []string{"base", "column:browser"} {
			pieces = append(pieces, store.Segment{Project: "shop", Day: day, Name: name}, store.Segment{Project: "blog", Day: day, Name: name})
		}
	}
	if err := f.PutSegments(f.t.Context(), pieces); err != nil {
		f.t.Fatal(err)
	}
}

// told is what the job says when ann is erased from the story.
var told = map[string]int{"events": 6, "batches": 3, "segments": 4, "dead_letters": 4}

func (f *fixture) wantNothingOfAnn() {
	f.t.Helper()
	f.wantLeft("bob0", "bob1", "bob2")
	letters, err := f.DeadLetters(f.t.Context(), "*", "", 100)
	if err != nil {
		f.t.Fatal(err)
	}
	var ids []string
	for _, l := range letters {
		ids = append(ids, l.ID)
	}
	if !slices.Equal(ids, []string{"3", "5", "7", "8"}) {
		f.t.Errorf("dead letters: got %v, want those of others", ids)
	}
	for project, want := range map[string]int{"shop": 4, "blog": 8} {
		n := 0
		err := f.Segments(f.t.Context(), project, start.Day()-1, start.Day()+2, nil, func(*store.Segment) error { n++; return nil })
		if err != nil || n != want {
			f.t.Errorf("segments of %s: got %d, %v; want %d", project, n, err, want)
		}
	}
}

func TestEveryCollectionIsCleared(t *testing.T) {
	f := newFixture(t)
	f.story()
	id := f.ask(erase.Subject{UserID: "ann"})
	f.replica(f)
	f.wantDone(id, told)
	f.wantNothingOfAnn()
}

// dying is the store as a process sees it that dies at its n-th change: from
// then on nothing that it does has an effect.
type dying struct {
	*sqlite.Store
	at    int64
	after bool // the change that it dies of is made
	made  atomic.Int64
}

var errDead = errors.New("the process is dead")

func (d *dying) change(do func() error) error {
	n := d.made.Add(1)
	if n < d.at || n == d.at && d.after {
		if err := do(); err != nil {
			return err
		}
	}
	if n >= d.at {
		return errDead
	}
	return nil
}

func (d *dying) UpdateJob(ctx context.Context, j store.Job) error {
	return d.change(func() error { return d.Store.UpdateJob(ctx, j) })
}

func (d *dying) EraseEvents(ctx context.Context, project string, ids []string, at event.Time) error {
	return d.change(func() error { return d.Store.EraseEvents(ctx, project, ids, at) })
}

func (d *dying) DeleteDeadLetters(ctx context.Context, ids []string) (n int, err error) {
	return n, d.change(func() error { n, err = d.Store.DeleteDeadLetters(ctx, ids); return err })
}

func (d *dying) DeleteSegments(ctx context.Context, project string, from, to int32, names []string) (n int, err error) {
	err = d.change(func() error { n, err = d.Store.DeleteSegments(ctx, project, from, to, names); return err })
	return n, err
}

// A process dies at any of its changes, and another one does the rest. Only
// segments may be counted short, because they say nothing of what they were.
func TestACrashAnywhereLeavesNothingAndCountsOnce(t *testing.T) {
	for n := int64(1); ; n++ {
		for _, after := range []bool{false, true} {
			f := newFixture(t)
			f.story()
			id := f.ask(erase.Subject{UserID: "ann"})
			d := &dying{Store: f.Store, at: n, after: after}
			_, stop := f.replica(d)
			f.dead(d, id)
			stop()
			_, stop = f.replica(f)
			job := f.finished(id)
			stop()
			job.Counts["segments"] = told["segments"]
			if job.State != store.JobDone || !maps.Equal(job.Counts, told) {
				t.Errorf("died at change %d (made: %t): got %s %v, want done %v", n, after, job.State, job.Counts, told)
			}
			f.wantNothingOfAnn()
			if t.Failed() {
				return
			}
			if d.made.Load() < n { // it lived
				if n < 10 {
					t.Errorf("the job took only %d changes", n-1)
				}
				return
			}
		}
	}
}

// dead waits until the process is, or its job is finished.
func (f *fixture) dead(d *dying, id string) {
	f.t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(30 * time.Second); d.made.Load() < d.at; {
		if job, err := f.Job(f.t.Context(), "shop", id); err != nil || job.FinishedAt != 0 {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			f.t.Fatal("neither dead nor done")
		}
	}
}

func TestReplicasDoEachJobOnce(t *testing.T) {
	f := newFixture(t)
	var ids []string
	for u := range 12 {
		user := fmt.Sprintf("u%02d", u)
		for i := range 5 {
			f.write(does(fmt.Sprint(user, "-", i), user, "c"+user, i*20), does(fmt.Sprint("x", user, "-", i), "bob", "", i*20))
		}
		ids = append(ids, f.ask(erase.Subject{UserID: user}))
	}
	for range 3 {
		f.replica(f)
	}
	for _, id := range ids {
		f.wantDone(id, map[string]int{"events": 5, "batches": 5})
	}
}

// away is a store that fails so many times before it works.
type away struct {
	*sqlite.Store
	err   error
	times atomic.Int64
}

func (a *away) EraseEvents(ctx context.Context, project string, ids []string, at event.Time) error {
	if a.times.Add(-1) >= 0 {
		return a.err
	}
	return a.Store.EraseEvents(ctx, project, ids, at)
}

func TestAStoreThatIsAwayIsWaitedFor(t *testing.T) {
	f := newFixture(t)
	f.write(does("1", "ann", "", 1))
	id := f.ask(erase.Subject{UserID: "ann"})
	s := &away{Store: f.Store, err: fault.New(fault.Unavailable, "away", "away")}
	s.times.Store(8)
	f.replica(s)
	f.wantDone(id, map[string]int{"events": 1, "batches": 1})
	f.wantLeft()
}

func TestAJobThatCannotBeDoneIsGivenUpAndHoldsUpNobody(t *testing.T) {
	f := newFixture(t)
	f.write(does("1", "ann", "", 1), does("2", "bob", "", 1))
	id := f.ask(erase.Subject{UserID: "ann"})
	next := f.ask(erase.Subject{UserID: "bob"})
	s := &away{Store: f.Store, err: errors.New("damaged")}
	s.times.Store(5)
	f.replica(s)
	if job := f.finished(id); job.State != store.JobFailed || job.Error == "" {
		t.Errorf("got %s %q, want failed and why", job.State, job.Error)
	}
	f.wantDone(next, map[string]int{"events": 1, "batches": 1})
	again := f.ask(erase.Subject{UserID: "ann"})
	f.wantDone(again, map[string]int{"events": 1, "batches": 1})
	f.wantLeft()
}

func TestAJobThatCannotBeReadHoldsUpNobody(t *testing.T) {
	f := newFixture(t)
	f.write(does("1", "ann", "", 1))
	odd := store.Job{ID: "job_odd", Project: "shop", Kind: erase.Kind, State: store.JobWaiting, CreatedAt: start, Task: []byte("{")}
	if err := f.CreateJob(t.Context(), odd); err != nil {
		t.Fatal(err)
	}
	next := f.ask(erase.Subject{UserID: "ann"})
	f.replica(f.Store)
	if job := f.finished(odd.ID); job.State != store.JobFailed || job.Error == "" {
		t.Errorf("got %s %q, want failed and why", job.State, job.Error)
	}
	f.wantDone(next, map[string]int{"events": 1, "batches": 1})
}

func TestAJobInOtherHandsIsLeftToThem(t *testing.T) {
	f := newFixture(t)
	f.write(does("1", "ann", "", 1))
	id := f.ask(erase.Subject{UserID: "ann"})
	job, err := f.Job(t.Context(), "shop", id)
	if err != nil {
		t.Fatal(err)
	}
	job.Holder, job.HeldUntil = "somebody", event.TimeOf(time.Now().Add(time.Hour))
	if err := f.UpdateJob(t.Context(), *job); err != nil {
		t.Fatal(err)
	}
	counted := &counting{Store: f.Store}
	f.replica(counted)
	for counted.looks.Load() < 20 {
		<-time.After(time.Millisecond) // the effect to wait for is that it looks and does nothing
	}
	f.wantLeft("1")
	job.Revision++
	job.HeldUntil = event.TimeOf(time.Now()) // nobody has heard of them since
	if err := f.UpdateJob(t.Context(), *job); err != nil {
		t.Fatal(err)
	}
	f.wantDone(id, map[string]int{"events": 1, "batches": 1})
}

type counting struct {
	*sqlite.Store
	looks atomic.Int64
}

func (c *counting) UnfinishedJobs(ctx context.Context) ([]store.Job, error) {
	c.looks.Add(1)
	return c.Store.UnfinishedJobs(ctx)
}
