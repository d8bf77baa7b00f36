package columns

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"sort"
	"testing"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/store"
)

// shop makes traffic like that of a real shop: users of very different
// diligence, sessions of about eight events, a few types and pages that are
// much more frequent than the others. Batches are in the order of time.
func shop(events, users, days int) [][]event.Event {
	r := rand.New(rand.NewPCG(42, 4242))
	types := frequent(r, 12, 1.1)
	pages := frequent(r, 500, 1)
	all := make([]event.Event, 0, events+200)
	weights := make([]float64, users)
	sum := 0.0
	for i := range weights {
		sum += math.Exp(1.2 * r.NormFloat64())
		weights[i] = sum
	}
	for len(all) < events {
		user := sort.SearchFloat64s(weights, r.Float64()*sum)
		session := fmt.Sprintf("%08x-0000-4000-8000-%012x", r.Uint32(), r.Uint64()>>16)
		at := event.Time(1780272000000) + event.Time(r.Int64N(int64(days)*int64(dayLength)))
		for range 1 + int(r.ExpFloat64()*7.8) {
			kind := types()
			e := event.Event{
				Project: "shop", EventType: fmt.Sprintf("type%02d", kind), UserID: fmt.Sprintf("user-%d", user), SessionID: session,
				Timestamp: at, PagePath: fmt.Sprintf("/p/%03d/section", pages()), Browser: []string{"Chrome", "Safari", "Firefox"}[user%3],
			}
			if kind == 9 {
				e.Properties = fmt.Sprintf(`{"amount":%.2f}`, math.Exp(4+r.NormFloat64()))
			}
			all = append(all, e)
			at += event.Time(1000 + r.ExpFloat64()*25000)
		}
	}
	all = all[:events]
	sort.Sort(byTimestamp(all))
	return batched(all, 100)
}

type byTimestamp []event.Event

func (s byTimestamp) Len() int           { return len(s) }
func (s byTimestamp) Less(i, j int) bool { return s[i].Timestamp < s[j].Timestamp }
func (s byTimestamp) Swap(i, j int)      { s[i], s[j] = s[j], s[i] }

func frequent(r *rand.Rand, n int, s float64) func() int {
	sums := make([]float64, n)
	total := 0.0
	for i := range sums {
		total += 1 / math.Pow(float64(i+1), s)
		sums[i] = total
	}
	return func() int { return sort.SearchFloat64s(sums, r.Float64()*total) }
}

func batched(all []event.Event, size int) (batches [][]event.Event) {
	for i := range all {
		all[i].EventID = fmt.Sprintf("%08x-0000-7000-8000-%012x", all[i].Timestamp>>16, i)
		all[i].BatchID = fmt.Sprintf("%08x-ffff-7000-8000-%012x", all[i/size*size].Timestamp>>16, i/size)
		all[i].Position = i % size
	}
	return slices.Collect(slices.Chunk(all, size))
}

// addAll adds batches in groups of 10,000 events, as the follower does.
func addAll(table *Table, batches [][]event.Event) {
	for group := range slices.Chunk(batches, 100) {
		var entries []store.Batch
		for _, batch := range group {
			entries = append(entries, entryOf(batch))
		}
		table.Add(entries, slices.Concat(group...))
	}
}

// BenchmarkAdd is the way of raw events into columns, without the store.
func BenchmarkAdd(b *testing.B) {
	batches := shop(500_000, 20_000, 90)
	b.ResetTimer()
	for b.Loop() {
		table := NewTables(&growing{}, math.MaxInt64, nil).Project("shop")
		addAll(table, batches)
		table.View()
	}
	b.ReportMetric(500_000*float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkViewOfAHotDay is what it costs to see 400 fresh events, the
// news of 200 ms at 2,000 events/s, in a day that has 150,000 already.
func BenchmarkViewOfAHotDay(b *testing.B) {
	for _, columns := range []int{0, 3} {
		b.Run(fmt.Sprintf("%d columns", columns), func(b *testing.B) { benchmarkHotDay(b, columns, true) })
	}
	b.Run("0 columns, sessions to derive", func(b *testing.B) { benchmarkHotDay(b, 0, false) })
}

func benchmarkHotDay(b *testing.B, columns int, withSessions bool) {
	g := &growing{}
	table := NewTables(g, math.MaxInt64, nil).Project("shop")
	batches := shop(150_000, 20_000, 1)
	if !withSessions {
		for _, batch := range batches {
			for i := range batch {
				batch[i].SessionID = ""
			}
		}
	}
	for _, batch := range batches {
		g.put(batch)
	}
	addAll(table, batches)
	v := table.View()
	if _, err := v.OpenAll(context.Background(), Needs{Columns: []string{"page_path", "browser", "amount"}[:columns]}); err != nil {
		b.Fatal(err)
	}
	base := batches[0][0].Timestamp
	n := 0
	for b.Loop() {
		fresh := slices.Concat(batches[n%1000 : n%1000+4]...)
		id := fmt.Sprintf("fresh%09d", n)
		for i := range fresh {
			fresh[i].BatchID, fresh[i].Position = id, i
			fresh[i].Timestamp = base + (fresh[i].Timestamp-base+event.Time(n)*7919)%dayLength
		}
		table.Add([]store.Batch{entryOf(fresh)}, fresh)
		table.View()
		n++
	}
	b.ReportMetric(float64(table.Rows()), "rows")
}

// BenchmarkMemory says how much a million events take.
func BenchmarkMemory(b *testing.B) {
	batches := shop(1_000_000, 20_000, 90)
	for b.Loop() {
		g := &growing{}
		for _, batch := range batches {
			g.put(batch)
		}
		before := heap()
		table := NewTables(g, math.MaxInt64, nil).Project("shop")
		addAll(table, batches)
		v := table.View()
		b.ReportMetric(float64(heap()-before)/1e6, "B/event")
		b.ReportMetric(float64(table.people.identities.bytes()+table.sessions.names.bytes()+table.batches.bytes())/1e6, "B/event-of-names")
		if _, err := v.OpenAll(context.Background(), Needs{Columns: []string{"page_path", "amount"}}); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(heap()-before)/1e6, "B/event-with-2-columns")
		runtime.KeepAlive(table)
	}
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// BenchmarkColumnLoad is the reading of a column of a million events, without the store's part.
func BenchmarkColumnLoad(b *testing.B) {
	g := &growing{}
	batches := shop(1_000_000, 20_000, 90)
	for _, batch := range batches {
		g.put(batch)
	}
	table := NewTables(g, math.MaxInt64, nil).Project("shop")
	addAll(table, batches)
	v := table.View()
	names := []string{"page_path", "browser", "amount", "event_type"}
	for n := 0; b.Loop(); n++ {
		table.tables.cache.budget = 0
		table.tables.cache.shrink()
		table.tables.cache.budget = math.MaxInt64
		if _, err := v.OpenAll(context.Background(), Needs{Columns: names[n%3 : n%3+1]}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(1e6*float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkByTime is the order in which listings and exports read a day.
func BenchmarkByTime(b *testing.B) {
	table := NewTables(&growing{}, math.MaxInt64, nil).Project("shop")
	addAll(table, shop(150_000, 20_000, 1))
	d := daysOf(b, table.View())[0]
	for b.Loop() {
		d.byTime.Store(nil)
		d.ByTime()
	}
}
