package columns

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/store"
	"github.com/maidian/maidian/services/query/internal/sealed"
	"github.com/prometheus/client_golang/prometheus/testutil"
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
	days, err := v.OpenAll(context.Background(), Needs{Columns: []string{"n", "parity"}, Sessions: true, Refs: true})
	if err != nil {
		return err
	}
	for _, d := range days {
		numbers, parity := d.Column("n"), d.Column("parity")
		batches, positions := d.Refs()
		for i := range d.Len() {
			if i > 0 && d.Users()[i-1] > d.Users()[i] && d.runAt(i) == d.runAt(i-1) {
				return fmt.Errorf("rows %d and %d are not in order", i-1, i)
			}
			n := fmt.Sprintf("%s/%d", v.BatchID(batches.At(i))[5:], positions[i])
			if text := numbers.At(i).Text; text != n {
				return fmt.Errorf("column n of row %d: got %s, want %s", i, text, n)
			}
			if p := parity.At(i).Number; int(p) != int(positions[i])%2 {
				return fmt.Errorf("column parity of row %d: got %v", i, p)
			}
			_, _ = v.UserName(d.Users()[i]), v.SessionName(d.Sessions().At(i))
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
		if err := checkView(table.View()); err != nil && !errors.Is(err, sealed.ErrMoved) {
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
			if _, err := v.OpenAll(context.Background(), Needs{Columns: []string{"n", "parity"}}); err != nil {
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
	if _, err := v.OpenAll(context.Background(), Needs{Columns: []string{"n"}}); !errors.Is(err, errAway) {
		t.Fatalf("column while the store is away: got %v", err)
	}
	if _, err := v.OpenAll(context.Background(), Needs{Columns: []string{"event_type"}}); err != nil {
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
	v := table.View()
	leaving, leave := context.WithCancel(context.Background())
	left := make(chan error)
	go func() {
		_, err := v.OpenAll(leaving, Needs{Columns: []string{"n"}})
		left <- err
	}()
	<-slow.entered
	stays := make(chan error)
	go func() {
		_, err := v.OpenAll(context.Background(), Needs{Columns: []string{"n"}})
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
			for _, start := range v.Starts(math.MinInt64, math.MaxInt64) {
				if _, err := v.Open(context.Background(), start, start, Needs{Columns: []string{name}}); err != nil {
					t.Fatal(err)
				}
				if got := tables.cache.total.Load(); got > 20_000 {
					t.Fatalf("after %s of %s: columns take %d bytes of 20000", name, start, got)
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

func TestCodesStayComparableWhileAColumnIsHeld(t *testing.T) {
	g := &growing{}
	table := filled(t, g, 50)
	table.tables.cache.budget = 0 // each column leaves at once
	v := table.View()
	openOne := func(start event.Time) *Column {
		days, err := v.Open(context.Background(), start, start, Needs{Columns: []string{"anonymous_id"}})
		if err != nil {
			t.Fatal(err)
		}
		return days[0].Column("anonymous_id")
	}
	starts := v.Starts(math.MinInt64, math.MaxInt64)
	first := openOne(starts[0])
	runtime.GC()
	second := openOne(starts[1])
	if table.dictionaries["anonymous_id"].held != nil {
		t.Fatal("the column did not leave memory, so this shows nothing")
	}
	for code := range min(len(first.Values), len(second.Values)) {
		if first.Values[code] != second.Values[code] {
			t.Fatalf("code %d: %v in one day, %v in the next", code, first.Values[code], second.Values[code])
		}
	}
	runtime.KeepAlive(first)
}

func TestDerivedSessions(t *testing.T) {
	const minute = event.Time(60_000)
	midnight := 10 * dayLength
	tests := map[string]struct {
		at   []event.Time // of one user's events
		want []event.Time // the start of the session of each
	}{
		"a pause of exactly 30 minutes":      {[]event.Time{0, 30 * minute}, []event.Time{0, 0}},
		"a pause of a little more":           {[]event.Time{0, 30*minute + 1}, []event.Time{0, 30*minute + 1}},
		"exactly 30 minutes up to midnight":  {[]event.Time{-30 * minute, 0}, []event.Time{-30 * minute, -30 * minute}},
		"a little more up to midnight":       {[]event.Time{-30*minute - 1, 0}, []event.Time{-30*minute - 1, 0}},
		"exactly 30 minutes from before it":  {[]event.Time{-1, 30*minute - 1}, []event.Time{-1, -1}},
		"a little more from before it":       {[]event.Time{-1, 30 * minute}, []event.Time{-1, 30 * minute}},
		"nearly all of it after midnight":    {[]event.Time{-minute, 28 * minute}, []event.Time{-minute, -minute}},
		"the one before midnight comes late": {[]event.Time{28 * minute, -minute}, []event.Time{-minute, -minute}},
		"joined over midnight by a late one": {[]event.Time{-20 * minute, 20 * minute, 0}, []event.Time{-20 * minute, -20 * minute, -20 * minute}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			table := NewTables(&growing{}, 0, nil).Project("p")
			for i, at := range test.at {
				batch := []event.Event{{EventID: fmt.Sprint(i), EventType: "view", UserID: "u", BatchID: fmt.Sprint(i), Timestamp: midnight + at}}
				table.Add([]store.Batch{entryOf(batch)}, batch)
				table.View()
			}
			v := table.View()
			for _, d := range daysOf(t, v) {
				for i := range d.Len() {
					n, _ := strconv.Atoi(v.BatchID(d.Ref(uint32(i)).Batch))
					if got, want := v.SessionName(d.Sessions().At(i)), "u@"+(midnight+test.want[n]).String(); got != want {
						t.Errorf("event %d: got %s, want %s", n, got, want)
					}
				}
			}
		})
	}
}

func TestRawEventsComeInTheOrderAsked(t *testing.T) {
	g := &growing{}
	v := filled(t, g, 300).View()
	var refs []Ref
	for _, d := range daysOf(t, v) {
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

func TestImpossibleEventsAreLeftOut(t *testing.T) {
	table := NewTables(&growing{}, 0, nil).Project("p")
	batch := []event.Event{
		{EventID: "far", EventType: "view", Timestamp: math.MaxInt64, BatchID: "b", Position: 0},
		{EventID: "long ago", EventType: "view", Timestamp: math.MinInt64, BatchID: "b", Position: 1},
		{EventID: "place", EventType: "view", BatchID: "b", Position: 1 << 16},
		{EventID: "before 1970", EventType: "view", Timestamp: -1, BatchID: "b", Position: 2},
	}
	if short := table.Add([]store.Batch{entryOf(batch)}, batch); short != nil {
		t.Errorf("they would be read again and again: short is %v", short)
	}
	days := daysOf(t, table.View())
	if len(days) != 1 || days[0].Number != -1 || days[0].Times()[0] != uint32(dayLength)-1 {
		t.Errorf("days: got %d", len(days))
	}
	if got := testutil.ToFloat64(table.tables.metrics.refused); got != 3 {
		t.Errorf("refused: got %v, want 3", got)
	}
}

func TestDaysOfARange(t *testing.T) {
	v := FromEvents("p", []event.Event{
		{EventID: "1", EventType: "view", Timestamp: 0}, {EventID: "2", EventType: "view", Timestamp: dayLength}, {EventID: "3", EventType: "view", Timestamp: 3 * dayLength},
	})
	tests := map[string]struct {
		from, to event.Time
		want     []int32
	}{
		"all time":                 {math.MinInt64, math.MaxInt64, []int32{0, 1, 3}},
		"the last moment of a day": {dayLength - 1, dayLength - 1, []int32{0}},
		"its first moment":         {dayLength, dayLength, []int32{1}},
		"over midnight":            {dayLength - 1, dayLength, []int32{0, 1}},
		"a day without events":     {2 * dayLength, 3*dayLength - 1, nil},
		"turned round":             {3 * dayLength, 0, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var got []int32
			for _, start := range v.Starts(test.from, test.to) {
				got = append(got, start.Day())
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

func TestAViewSaysHowNewItIs(t *testing.T) {
	tables := NewTables(&growing{}, 0, nil)
	table := tables.Project("p")
	if v := table.View(); v.AsOf != 0 || len(daysOf(t, v)) != 0 || len(v.Starts(0, math.MaxInt64)) != 0 {
		t.Errorf("a project that nobody has heard of: got %+v", v)
	}
	tables.SetAsOf(50)
	if v := table.View(); v.AsOf != 50 {
		t.Errorf("AsOf: got %d, want 50", v.AsOf)
	}
	batch := []event.Event{{EventID: "1", EventType: "view", UserID: "u", BatchID: "b", Timestamp: 40}}
	table.Add([]store.Batch{entryOf(batch)}, batch)
	if v := table.View(); v.AsOf != 50 || v.Newest != 40 || len(daysOf(t, v)) != 1 {
		t.Errorf("one event: got as of %d, newest %d, %d days", v.AsOf, v.Newest, len(daysOf(t, v)))
	}
}
