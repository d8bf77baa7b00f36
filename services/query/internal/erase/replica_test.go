package erase_test

import (
	"context"
	"fmt"
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
	"github.com/maidian/maidian/services/query/internal/columns"
	"github.com/maidian/maidian/services/query/internal/erase"
	"github.com/maidian/maidian/services/query/internal/follow"
	"github.com/maidian/maidian/services/query/internal/sealed"
)

// reader is a replica that only reads, and seals what it can.
type reader struct {
	tables *columns.Tables
	stop   func()
}

func (f *fixture) reader(seals bool) *reader {
	f.t.Helper()
	tables := columns.NewTables(f, 1<<20, nil)
	o := follow.Options{Every: 3 * time.Millisecond, Rest: columns.Rest{Ended: 1, Still: 1}, SealEvery: 10 * time.Millisecond}
	if seals {
		o.Shelf, o.Projects = sealed.NewShelf(f, zap.NewNop(), nil), f
		tables.SealIn(o.Shelf)
	}
	follower := follow.New(f, tables, zap.NewNop(), nil, o)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = follower.Run(ctx) })
	r := &reader{tables, func() { cancel(); running.Wait() }}
	f.t.Cleanup(r.stop)
	f.until("a replica is ready", func() bool { return follower.Ready() == nil })
	return r
}

func (f *fixture) until(what string, done func() bool) {
	f.t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(10 * time.Second); !done(); {
		select {
		case <-tick.C:
		case <-deadline:
			f.t.Errorf("waited 10 s in vain: %s", what)
			return
		}
	}
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
	return fmt.Sprint("newest ", v.Newest, "\n", strings.Join(tale, "\n"))
}

// TestAReplicaKnowsNoMoreThanOneThatStartsAfterwards lets random histories be
// erased under replicas that have read them, sealed them, or started from what
// was sealed: who belongs to whom is then as if nothing had ever been sent.
func TestAReplicaKnowsNoMoreThanOneThatStartsAfterwards(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { eraseUnderReplicas(t, seed) })
	}
}

func eraseUnderReplicas(t *testing.T, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 9))
	f := newFixture(t)
	if err := f.CreateProject(t.Context(), store.Project{ID: "shop"}); err != nil {
		t.Fatal(err)
	}
	f.random(r, 10)
	readers := []*reader{f.reader(true)}
	if seed%2 == 0 {
		f.until("days are sealed", f.manifest)
		readers = append(readers, f.reader(true))
	}
	f.random(r, 2)

	who := erase.Subject{UserID: []string{"u1", "u2", "a1"}[r.IntN(3)]}
	if seed%3 == 0 {
		who = erase.Subject{AnonymousID: []string{"a1", "a2"}[r.IntN(2)]}
	}
	id := f.ask(who)
	_, stop := f.replica(f)
	if job := f.finished(id); job.State != store.JobDone {
		t.Fatalf("%+v", job)
	}
	stop()
	f.random(r, 2) // they come back, as new events
	readers = append(readers, f.reader(true))
	want := f.reader(false).tale(t)
	for i, reader := range readers {
		var got string
		f.until(fmt.Sprintf("erased %+v: replica %d shows what one shows that starts now", who, i), func() bool {
			got = reader.tale(t)
			return got == want
		})
		if got != want {
			t.Fatalf("it shows\n%s\nnot\n%s", got, want)
		}
	}
}

// manifest says whether a start would find sealed days.
func (f *fixture) manifest() (found bool) {
	err := f.Segments(f.t.Context(), "shop", math.MinInt32, math.MaxInt32, []string{"manifest"}, func(*store.Segment) error { found = true; return nil })
	if err != nil {
		f.t.Fatal(err)
	}
	return found
}

// random writes batches of a few people's events, who share devices. Some of
// them stay when their people are erased.
func (f *fixture) random(r *rand.Rand, batches int) {
	f.t.Helper()
	pick := func(names ...string) string { return names[r.IntN(len(names))] }
	for range batches {
		var events []event.Event
		for i := range 1 + r.IntN(8) {
			e := does(fmt.Sprint("e", f.batches, ".", i), pick("", "", "u1", "u2", "u3"), pick("", "a1", "a2", "a3"), r.IntN(200))
			if e.SessionID = pick("", "", "s1", "s2"); r.IntN(3) == 0 {
				e.ReceivedAt = event.TimeOf(time.Now().Add(10 * time.Minute)) // too late for the erasure
			}
			events = append(events, e)
		}
		f.write(events...)
	}
}
