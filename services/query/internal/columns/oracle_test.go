package columns

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/store"
)

// The oracle says what a View must show, in the slowest and plainest way.

// told is one event as readers of a View see it, numbers replaced by names.
type told struct {
	id, kind, user, session string
	at                      event.Time
	batch                   string
	position                int
	page, amount            event.Value
}

func oracleUser(e *event.Event, all []event.Event) string {
	switch {
	case e.UserID != "":
		return e.UserID
	case e.AnonymousID == "":
		return cmp.Or(e.SessionID, e.EventID)
	}
	var first *event.Event
	for i := range all {
		o := &all[i]
		if o.AnonymousID != e.AnonymousID || o.UserID == "" {
			continue
		}
		if first == nil || o.Timestamp < first.Timestamp || o.Timestamp == first.Timestamp && o.EventID < first.EventID {
			first = o
		}
	}
	if first != nil {
		return first.UserID
	}
	return e.AnonymousID
}

func oracleSession(e *event.Event, all []event.Event) string {
	if e.SessionID != "" {
		return e.SessionID
	}
	user := oracleUser(e, all)
	var times []event.Time
	for i := range all {
		if all[i].SessionID == "" && oracleUser(&all[i], all) == user && all[i].Timestamp <= e.Timestamp {
			times = append(times, all[i].Timestamp)
		}
	}
	slices.Sort(times)
	start := times[0]
	for i := 1; i < len(times); i++ {
		if times[i]-times[i-1] > 30*60*1000 {
			start = times[i]
		}
	}
	return user + "@" + start.String()
}

func oracle(all []event.Event) (tale []told) {
	for i := range all {
		e := &all[i]
		tale = append(tale, told{
			e.EventID, e.EventType, oracleUser(e, all), oracleSession(e, all), e.Timestamp, e.BatchID, e.Position,
			event.ValueOf(e, "page_path"), event.ValueOf(e, "amount"),
		})
	}
	sortTale(tale)
	return tale
}

func sortTale(tale []told) {
	sort.Slice(tale, func(i, j int) bool { return tale[i].id < tale[j].id })
}

// tell reads a View through everything it offers, and checks that it keeps its promises on the way.
func tell(t *testing.T, v *View) (tale []told) {
	t.Helper()
	days := daysOf(t, v, "event_id", "page_path", "properties.amount", "event_type")
	for i, d := range days {
		if i > 0 && days[i-1].Number >= d.Number {
			t.Fatalf("day %d stands behind day %d", d.Number, days[i-1].Number)
		}
		tale = append(tale, tellDay(t, v, d)...)
	}
	sortTale(tale)
	return tale
}

// daysOf are all days with everything that can be asked for.
func daysOf(t testing.TB, v *View, names ...string) []*Day {
	t.Helper()
	days, err := v.OpenAll(context.Background(), Needs{Columns: names, Sessions: true, Refs: true})
	if err != nil {
		t.Fatal(err)
	}
	return days
}

func tellDay(t *testing.T, v *View, d *Day) (tale []told) {
	t.Helper()
	ids, pages, amounts, types := d.Column("event_id"), d.Column("page_path"), d.Column("amount"), d.Column("event_type")
	batches, positions := d.Refs()
	end := 0
	for _, run := range d.Runs() {
		if run.Lo != end || run.Hi <= run.Lo {
			t.Fatalf("run %v does not follow row %d", run, end)
		}
		end = run.Hi
		for i := run.Lo; i < run.Hi; i++ {
			if i > run.Lo && !standsBefore(v, d, i-1, i) {
				t.Fatalf("day %d, %s: rows %d and %d are not in order", d.Number, run.Type, i-1, i)
			}
			if got := types.At(i).Text; got != run.Type {
				t.Fatalf("event_type of row %d: got %q, want %q", i, got, run.Type)
			}
			tale = append(tale, told{
				ids.At(i).Text, run.Type, v.UserName(d.Users()[i]), v.SessionName(d.Sessions().At(i)),
				d.Start() + event.Time(d.Times()[i]), v.BatchID(batches.At(i)), int(positions[i]),
				pages.At(i), amounts.At(i),
			})
		}
	}
	if end != d.Len() {
		t.Fatalf("runs end at row %d of %d", end, d.Len())
	}
	checkOrders(t, v, d)
	return tale
}

func standsBefore(v *View, d *Day, i, j int) bool {
	batches, positions := d.Refs()
	return cmp.Or(
		cmp.Compare(d.Users()[i], d.Users()[j]),
		cmp.Compare(d.Times()[i], d.Times()[j]),
		cmp.Compare(v.BatchID(batches.At(i)), v.BatchID(batches.At(j))),
		cmp.Compare(positions[i], positions[j]),
	) < 0
}

// checkOrders holds ByTime and RowsOfUser against the rows.
func checkOrders(t *testing.T, v *View, d *Day) {
	t.Helper()
	byTime := d.ByTime()
	byUser := make(map[uint32][]uint32)
	for i, row := range byTime {
		if i > 0 && d.Times()[byTime[i-1]] > d.Times()[row] {
			t.Fatalf("ByTime of day %d: row %d comes before row %d", d.Number, byTime[i-1], row)
		}
		byUser[d.Users()[row]] = append(byUser[d.Users()[row]], row)
	}
	if len(byTime) != d.Len() {
		t.Fatalf("ByTime has %d rows, want %d", len(byTime), d.Len())
	}
	for user, want := range byUser {
		if got := d.RowsOfUser(user); !slices.Equal(got, want) {
			t.Fatalf("rows of %s: got %v, want %v", v.UserName(user), got, want)
		}
		if n, ok := v.UserNumber(v.UserName(user)); !ok || n != user {
			t.Fatalf("UserNumber(%s): got %d, %v, want %d", v.UserName(user), n, ok, user)
		}
	}
}

// history makes events in which everything collides: times, sessions over
// midnight, users and visitors of the same name.
func history(r *rand.Rand, n int) []event.Event {
	pick := func(of ...string) string { return of[r.IntN(len(of))] }
	events := make([]event.Event, n)
	for i := range events {
		e := &events[i]
		e.Project, e.EventID = "p", fmt.Sprintf("e%d-%d", r.IntN(10), i)
		e.EventType = pick("view", "buy", "click")
		e.UserID = pick("", "", "", "ann", "bob", "x")
		e.AnonymousID = pick("", "x", "y", "z", "ann", "0198c5a1-7d3e-7bb2-9c55-0f6a3de1a111")
		e.SessionID = pick("", "", "", "s1", "s2", "bob")
		e.PagePath = pick("", "/", "/a", "/b")
		e.Properties = pick("", `{"amount":1}`, `{"amount":"1"}`, fmt.Sprintf(`{"amount":%d.5}`, i))
		midnight := event.Time(r.IntN(4)) * dayLength
		switch r.IntN(3) {
		case 0: // close to midnight, on either side
			e.Timestamp = midnight + event.Time(r.IntN(5)-2)*29*60*1000
		case 1: // a few moments that come often
			e.Timestamp = midnight + event.Time(r.IntN(4))*30*60*1000 + event.Time(r.IntN(2))
		default:
			e.Timestamp = midnight + event.Time(r.Int64N(int64(dayLength)))
		}
	}
	return events
}

// split puts events into batches of random sizes.
func split(r *rand.Rand, events []event.Event) (batches [][]event.Event) {
	events = slices.Clone(events)
	for len(events) > 0 {
		n := min(len(events), 1+r.IntN(1+r.IntN(8)))
		id := fmt.Sprintf("b%03d", r.IntN(1000))
		if len(batches)%2 == 0 {
			id = fmt.Sprintf("0198c5a1-7d3e-7bb2-9c55-%012d", r.IntN(1000))
		}
		if slices.ContainsFunc(batches, func(b []event.Event) bool { return b[0].BatchID == id }) {
			continue
		}
		for i := range n {
			events[i].BatchID, events[i].Position = id, 2*i
		}
		batches = append(batches, events[:n:n])
		events = events[n:]
	}
	return batches
}

func entryOf(batch []event.Event) store.Batch {
	return store.Batch{ID: batch[0].BatchID, Project: "p", Stored: len(batch)}
}

// growing is a store to which batches come.
type growing struct {
	mu   sync.Mutex
	held memory
	away bool
}

var errAway = errors.New("away")

func (g *growing) put(batch []event.Event) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.held.batches == nil {
		g.held.batches = make(map[string][]event.Event)
	}
	g.held.batches[batch[0].BatchID] = batch
}

func (g *growing) EventsOfBatches(ctx context.Context, project string, ids []string, yield func(*event.Event) error) error {
	g.mu.Lock()
	batches := make(map[string][]event.Event)
	for _, id := range ids {
		batches[id] = g.held.batches[id]
	}
	away := g.away
	g.mu.Unlock()
	if away {
		return errAway
	}
	return (&memory{batches}).EventsOfBatches(ctx, project, ids, yield)
}

// TestAViewShowsWhatTheOracleSays adds random histories in random pieces and
// orders, with every kind of disturbance in between, and compares everything
// that can be read with the oracle: so neither the order of arrival, nor the
// batches, nor when a column was asked for or let go, can make a difference.
func TestAViewShowsWhatTheOracleSays(t *testing.T) {
	for seed := range uint64(400) {
		r := rand.New(rand.NewPCG(seed, 1))
		batches := split(r, history(r, 1+r.IntN(40)))
		r.Shuffle(len(batches), func(i, j int) { batches[i], batches[j] = batches[j], batches[i] })
		budget := []int64{math.MaxInt64, 0, 500}[r.IntN(3)]
		g := &growing{}
		tables := NewTables(g, budget, nil)
		table := tables.Project("p")
		var all []event.Event
		var kept []*View
		var tales [][]told
		for _, batch := range batches {
			g.put(batch)
			all = append(all, addDisturbed(t, r, table, entryOf(batch), batch)...)
			if len(kept) > 0 && r.IntN(4) == 0 { // an older View, while rows that no View shows have come
				i := r.IntN(len(kept))
				compareTales(t, seed, "a View of before", tell(t, kept[i]), tales[i])
			}
			if r.IntN(3) == 0 {
				v := table.View()
				kept, tales = append(kept, v), append(tales, oracle(all))
				if r.IntN(2) == 0 {
					compareTales(t, seed, "on the way", tell(t, v), oracle(all))
				}
			}
		}
		compareTales(t, seed, "at the end", tell(t, table.View()), oracle(all))
		for i, v := range kept {
			compareTales(t, seed, "kept View", tell(t, v), tales[i])
		}
		if t.Failed() {
			return
		}
	}
}

// addDisturbed adds a batch as a follower may: twice, or a part of it first.
func addDisturbed(t *testing.T, r *rand.Rand, table *Table, entry store.Batch, batch []event.Event) []event.Event {
	t.Helper()
	if r.IntN(4) == 0 {
		part := slices.DeleteFunc(slices.Clone(batch), func(event.Event) bool { return r.IntN(2) == 0 })
		short := table.Add([]store.Batch{entry}, part)
		if (len(short) == 1) != (len(part) < len(batch)) {
			t.Errorf("%d of %d events came: short is %v", len(part), len(batch), short)
		}
		if got := table.Has(entry); got != len(part) {
			t.Errorf("%d events came: Has is %d", len(part), got)
		}
		if r.IntN(2) == 0 {
			table.View()
		}
	}
	for range 1 + r.IntN(2) {
		if short := table.Add([]store.Batch{entry}, batch); short != nil {
			t.Errorf("all events came: short is %v", short)
		}
	}
	if r.IntN(5) == 0 {
		table.mu.Lock()
		table.merge()
		table.mu.Unlock()
	}
	return batch
}

func compareTales(t *testing.T, seed uint64, when string, got, want []told) {
	t.Helper()
	if slices.Equal(got, want) {
		return
	}
	var lines []string
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(got):
			lines = append(lines, fmt.Sprintf("missing %+v", want[i]))
		case i >= len(want):
			lines = append(lines, fmt.Sprintf("too many %+v", got[i]))
		case got[i] != want[i]:
			lines = append(lines, fmt.Sprintf("got  %+v\nwant %+v", got[i], want[i]))
		}
	}
	t.Errorf("seed %d, %s:\n%s", seed, when, strings.Join(lines, "\n"))
}
