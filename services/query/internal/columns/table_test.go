package columns

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/store"
)

// traffic makes batches of plain events whose column "n" says where they are.
func traffic(r *rand.Rand, batches, size int) [][]event.Event {
	out := make([][]event.Event, batches)
	for b := range out {
		out[b] = make([]event.Event, size)
		for i := range out[b] {
			out[b][i] = event.Event{
				Project: "p", EventID: fmt.Sprintf("%d.%d", b, i), EventType: []string{"view", "buy"}[r.IntN(2)],
				AnonymousID: fmt.Sprint("visitor", r.IntN(50)), BatchID: fmt.Sprintf("batch%06d", b), Position: i,
				Timestamp:  event.Time(r.Int64N(3 * int64(dayLength))),
				Properties: fmt.Sprintf(`{"n":"%06d/%d","parity":%d}`, b, i, i%2),
			}
			if r.IntN(20) == 0 {
				out[b][i].UserID = fmt.Sprint("user", r.IntN(50))
			}
		}
	}
	return out
}

// checkView holds what a View shows against what its rows say of themselves.
func checkView(v *View) error {
	for _, d := range v.AllDays() {
		got, err := d.Columns(context.Background(), "n", "parity")
		if err != nil {
			return err
		}
		batches, positions := d.Refs()
		for i := range d.Len() {
			if i > 0 && d.Users()[i-1] > d.Users()[i] && d.runAt(i) == d.runAt(i-1) {
				return fmt.Errorf("rows %d and %d are not in order", i-1, i)
			}
			n := fmt.Sprintf("%s/%d", v.BatchID(batches[i])[5:], positions[i])
			if text := got[0].Values[got[0].Codes[i]].Text; text != n {
				return fmt.Errorf("column n of row %d: got %s, want %s", i, text, n)
			}
			if p := got[1].Values[got[1].Codes[i]].Number; int(p) != int(positions[i])%2 {
				return fmt.Errorf("column parity of row %d: got %v", i, p)
			}
			_, _ = v.UserName(d.Users()[i]), v.SessionName(d.Sessions()[i])
		}
	}
	return nil
}

func (d *Day) runAt(row int) int {
	for i, run := range d.runs {
		if row < run.Hi {
			return i
		}
	}
	return -1
}

func TestReadersAreNotDisturbedByWhatComes(t *testing.T) {
	for name, budget := range map[string]int64{"all columns fit": math.MaxInt64, "some fit": 40_000, "none fits": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := &growing{}
			table := NewTables(g, budget, nil).Project("p")
			batches := traffic(rand.New(rand.NewPCG(7, 7)), 200, 20)
			done := make(chan struct{})
			var readers sync.WaitGroup
			for range 4 {
				readers.Go(func() { readUntil(t, table, done) })
			}
			for _, batch := range batches {
				g.put(batch)
				table.Add([]store.Batch{entryOf(batch)}, batch)
			}
			close(done)
			readers.Wait()
			if err := checkView(table.View()); err != nil {
				t.Error(err)
			}
			if got := table.Rows(); got != 4000 {
				t.Errorf("rows: got %d, want 4000", got)
			}
		})
	}
}

func readUntil(t *testing.T, table *Table, done chan struct{}) {
	for {
		if err := checkView(table.View()); err != nil {
			t.Error(err)
			return
		}
		select {
		case <-done:
			return
		default:
		}
	}
}

func TestAColumnIsReadOnceForAllWhoAskAtTheSameTime(t *testing.T) {
	counted := &counting{}
	table := filled(t, counted, 50)
	v := table.View()
	var asking sync.WaitGroup
	for range 8 {
		asking.Go(func() {
			if err := v.Load(context.Background(), v.AllDays(), "n", "parity"); err != nil {
				t.Error(err)
			}
		})
	}
	asking.Wait()
	if counted.events != table.Rows() {
		t.Errorf("events read for 8 askers of 2 columns: got %d, want %d", counted.events, table.Rows())
	}
	batch := traffic(rand.New(rand.NewPCG(9, 9)), 51, 20)[50]
	counted.put(batch)
	table.Add([]store.Batch{entryOf(batch)}, batch)
	if err := checkView(table.View()); err != nil {
		t.Error(err)
	}
	if counted.events != 1000 {
		t.Errorf("fresh rows bring their codes: got %d events read, want 1000 as before", counted.events)
	}
}

// counting counts the events that are read from it.
type counting struct {
	growing
	counts sync.Mutex
	events int
}

func (c *counting) EventsOfBatches(ctx context.Context, project string, ids []string, yield func(*event.Event) error) error {
	return c.growing.EventsOfBatches(ctx, project, ids, func(e *event.Event) error {
		c.counts.Lock()
		c.events++
		c.counts.Unlock()
		return yield(e)
	})
}

func filled(t *testing.T, g interface {
	Reader
	put([]event.Event)
}, batches int,
) *Table {
	t.Helper()
	table := NewTables(g, math.MaxInt64, nil).Project("p")
	for _, batch := range traffic(rand.New(rand.NewPCG(8, 8)), batches, 20) {
		g.put(batch)
		if short := table.Add([]store.Batch{entryOf(batch)}, batch); short != nil {
			t.Fatalf("short: %v", short)
		}
	}
	return table
}

func TestAStoreThatIsAwayIsAnErrorAndNoMore(t *testing.T) {
	g := &growing{}
	table := filled(t, g, 10)
	v := table.View()
	g.away = true
	if _, err := v.AllDays()[0].Column(context.Background(), "n"); !errors.Is(err, errAway) {
		t.Fatalf("column while the store is away: got %v", err)
	}
	if _, err := v.AllDays()[0].Column(context.Background(), "event_type"); err != nil {
		t.Errorf("event_type needs no store: got %v", err)
	}
	g.away = false
	if err := checkView(v); err != nil {
		t.Error(err)
	}
}

func TestAnAskerWhoLeavesDoesNotSpoilItForOthers(t *testing.T) {
	slow := &gated{entered: make(chan struct{}, 10), open: make(chan struct{})}
	table := filled(t, slow, 10)
	d := table.View().AllDays()[0]
	leaving, leave := context.WithCancel(context.Background())
	left := make(chan error)
	go func() {
		_, err := d.Column(leaving, "n")
		left <- err
	}()
	<-slow.entered
	stays := make(chan error)
	go func() {
		_, err := d.Column(context.Background(), "n")
		stays <- err
	}()
	leave()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("who left: got %v, want canceled", err)
	}
	close(slow.open)
	if err := <-stays; err != nil {
		t.Errorf("who stayed: got %v", err)
	}
}

// gated reads nothing before it is opened.
type gated struct {
	growing
	entered, open chan struct{}
}

func (g *gated) EventsOfBatches(ctx context.Context, project string, ids []string, yield func(*event.Event) error) error {
	g.entered <- struct{}{}
	select {
	case <-g.open:
	case <-ctx.Done():
		return ctx.Err()
	}
	return g.growing.EventsOfBatches(ctx, project, ids, yield)
}

func TestColumnsStayWithinTheirBudget(t *testing.T) {
	g := &growing{}
	tables := NewTables(g, 20_000, nil)
	table := tables.Project("p")
	for _, batch := range traffic(rand.New(rand.NewPCG(8, 8)), 100, 20) {
		g.put(batch)
		table.Add([]store.Batch{entryOf(batch)}, batch)
	}
	for range 3 {
		v := table.View()
		for _, name := range []string{"parity", "event_id", "event_type", "anonymous_id"} {
			for _, d := range v.AllDays() {
				if _, err := d.Column(context.Background(), name); err != nil {
					t.Fatal(err)
				}
				if got := tables.cache.total.Load(); got > 20_000 {
					t.Fatalf("after %s of day %d: columns take %d bytes of 20000", name, d.Number, got)
				}
			}
		}
		if err := checkView(v); err != nil {
			t.Fatal(err)
		}
	}
	if got := tables.cache.total.Load(); got < 0 {
		t.Errorf("columns take %d bytes", got)
	}
}

func TestRawEventsComeInTheOrderAsked(t *testing.T) {
	g := &growing{}
	v := filled(t, g, 300).View()
	var refs []Ref
	for _, d := range v.AllDays() {
		for _, row := range d.ByTime() {
			refs = append(refs, d.Ref(row))
		}
	}
	delete(g.held.batches, "batch000007") // erased meanwhile
	next := 0
	err := v.Events(context.Background(), refs, func(e *event.Event) error {
		for v.BatchID(refs[next].Batch) == "batch000007" {
			next++
		}
		if e.BatchID != v.BatchID(refs[next].Batch) || e.Position != int(refs[next].Position) {
			t.Fatalf("event %d: got %s %d", next, e.BatchID, e.Position)
		}
		next++
		return nil
	})
	if err != nil || next < 5900 {
		t.Errorf("got %d events and %v", next, err)
	}
}

func TestAViewSaysHowNewItIs(t *testing.T) {
	tables := NewTables(&growing{}, 0, nil)
	table := tables.Project("p")
	if v := table.View(); v.AsOf != 0 || len(v.AllDays()) != 0 || len(v.Days(0, math.MaxInt64)) != 0 {
		t.Errorf("a project that nobody has heard of: got %+v", v)
	}
	tables.SetAsOf(50)
	if v := table.View(); v.AsOf != 50 {
		t.Errorf("AsOf: got %d, want 50", v.AsOf)
	}
	batch := []event.Event{{EventID: "1", EventType: "view", UserID: "u", BatchID: "b", Timestamp: 40}}
	table.Add([]store.Batch{entryOf(batch)}, batch)
	if v := table.View(); v.AsOf != 50 || v.Newest != 40 || len(v.AllDays()) != 1 {
		t.Errorf("one event: got as of %d, newest %d, %d days", v.AsOf, v.Newest, len(v.AllDays()))
	}
}
