package segment

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/testenv/seeded"
)

// A seen is one event as a day's columns know it.
type seen struct {
	kind, identity string
	anonymous      bool
	time           uint32
	batch          string
	position       uint16
	session        string
	values         []event.Value
}

// A whole is all the parts of a day.
type whole struct {
	base     *Base
	batches  []Batch
	refs     *Refs
	sessions *Sessions
	columns  []*Column
}

// wholeOf brings events into canonical order and puts them into columns.
func wholeOf(project string, day int32, events []seen) *whole {
	events = slices.Clone(events)
	slices.SortFunc(events, func(a, b seen) int {
		return cmp.Or(
			cmp.Compare(a.kind, b.kind), cmp.Compare(truth(a.anonymous), truth(b.anonymous)), cmp.Compare(a.identity, b.identity),
			cmp.Compare(a.time, b.time), cmp.Compare(a.batch, b.batch), cmp.Compare(a.position, b.position),
		)
	})
	w := &whole{base: &Base{Day: Day{Project: project, Number: day, Rows: len(events)}}, refs: &Refs{}, sessions: &Sessions{}}
	w.batches = batchesOf(events)
	w.base.Day.Fingerprint = Fingerprint(w.batches)
	identities := w.identities(events)
	batches := numbers(events, func(e *seen) string { return e.batch })
	ids := numbers(events, func(e *seen) string { return e.session })
	for _, id := range sorted(ids) {
		if id == "" {
			continue
		}
		ids[id] = uint32(w.sessions.IDs.Len())
		w.sessions.IDs.Add(id)
	}
	ids[""] = NoSession
	for i := range events {
		e := &events[i]
		w.base.add(e.kind)
		w.base.Identity = append(w.base.Identity, identities[who{e.anonymous, e.identity}])
		w.base.Times = append(w.base.Times, e.time)
		w.refs.Batches = append(w.refs.Batches, batches[e.batch])
		w.refs.Positions = append(w.refs.Positions, e.position)
		w.sessions.Of = append(w.sessions.Of, ids[e.session])
	}
	if len(events) > 0 {
		for i := range events[0].values {
			w.columns = append(w.columns, columnOf(events, i))
		}
	}
	return w
}

func truth(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (b *Base) add(kind string) {
	if n := len(b.Types); n == 0 || b.Types[n-1] != kind {
		b.Types, b.Ends = append(b.Types, kind), append(b.Ends, len(b.Times))
	}
	b.Ends[len(b.Ends)-1]++
}

type who struct {
	anonymous bool
	name      string
}

func (w *whole) identities(events []seen) map[who]uint32 {
	var all []who
	for i := range events {
		all = append(all, who{events[i].anonymous, events[i].identity})
	}
	slices.SortFunc(all, func(a, b who) int {
		return cmp.Or(cmp.Compare(truth(a.anonymous), truth(b.anonymous)), cmp.Compare(a.name, b.name))
	})
	all = slices.Compact(all)
	number := make(map[who]uint32)
	for i, id := range all {
		number[id] = uint32(i)
		w.base.Identities.Add(id.name)
		if !id.anonymous {
			w.base.Anonymous++
		}
	}
	return number
}

func sorted[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// numbers are the texts of events, by their order.
func numbers(events []seen, text func(*seen) string) map[string]uint32 {
	m := make(map[string]uint32)
	for i := range events {
		m[text(&events[i])] = 0
	}
	for i, key := range sorted(m) {
		m[key] = uint32(i)
	}
	return m
}

func batchesOf(events []seen) (batches []Batch) {
	rows := make(map[string]int)
	for i := range events {
		rows[events[i].batch]++
	}
	for _, id := range sorted(rows) {
		batches = append(batches, Batch{id, rows[id]})
	}
	return batches
}

// columnOf numbers values as they come.
func columnOf(events []seen, i int) *Column {
	c := &Column{Values: []event.Value{{}}}
	code := map[event.Value]uint32{{}: 0}
	for j := range events {
		v := events[j].values[i]
		if _, ok := code[v]; !ok {
			code[v] = uint32(len(c.Values))
			c.Values = append(c.Values, v)
		}
		c.Codes = append(c.Codes, code[v])
	}
	return c
}

// seededDays are the days of a seeded set, in batches of a hundred events as they happened.
func seededDays(events, users, days int) []*whole {
	by := make([][]seen, days)
	n := 0
	for row := range seeded.Rows(events, users, days) {
		day := int((row.Timestamp - seeded.Start) / seeded.Day)
		amount := event.Value{}
		if row.Amount != 0 {
			amount = event.NumberValue(row.Amount)
		}
		by[day] = append(by[day], seen{
			kind: row.Type(), identity: seeded.Name(row.User()), time: uint32((row.Timestamp - seeded.Start) % seeded.Day), session: seeded.Name(row.Session()),
			batch:    fmt.Sprintf("%08x-%04x-7000-8000-%012x", uint64(row.Timestamp)>>16, uint64(row.Timestamp)&0xffff, n/100),
			position: uint16(n % 100),
			values:   []event.Value{event.TextValue(row.Page()), event.TextValue(row.Platform()), event.TextValue(row.Country()), amount},
		})
		n++
	}
	wholes := make([]*whole, days)
	for i, events := range by {
		for j := range events { // those of one batch have its first one's id
			if at := int(events[j].position); at > 0 && j > 0 {
				events[j].batch = events[j-1].batch
			}
		}
		wholes[i] = wholeOf("demo", seeded.Start.Day()+int32(i), events)
	}
	return wholes
}

// someDay is a small day in which everything may happen.
func someDay(seed uint64, most int) *whole {
	g := rand.New(rand.NewPCG(seed, 1))
	names := []string{"", "a", "b", "ab", "user 17", "00000000", "0123456789abcdef", "0123456789abcdee", "0198c5a1-7d3e-7bb2-9c55-0f6a3de1a111", "ABCDEF0123456789", "日本", "\x00\xff"}
	name := func(n int) string {
		switch g.IntN(4) {
		case 0:
			return fmt.Sprintf("%016x", uint64(g.IntN(n))*0x9e3779b97f4a7c15)
		case 1:
			return fmt.Sprintf("u%d", g.IntN(n))
		case 2:
			return fmt.Sprintf("%08x-0000-4000-8000-%012x", g.IntN(n)*99991, g.IntN(2))
		}
		return names[1+g.IntN(len(names)-1)]
	}
	values := []event.Value{
		{},
		{Kind: event.Bool},
		{Kind: event.Bool, Number: 1},
		event.NumberValue(1.5), valueOf(numericValue, "1.50"), valueOf(numericValue, "1e999"),
		event.TextValue(""), event.TextValue("x"),
		{Kind: event.Compound, Text: `{"a":[1]}`},
	}
	people, sessions := 1+g.IntN(30), 1+g.IntN(40)
	var events []seen
	for n := g.IntN(most + 1); len(events) < n; {
		e := seen{identity: name(people), anonymous: g.IntN(3) == 0}
		at := g.IntN(dayLength)
		for range 1 + g.IntN(9) {
			e.kind, e.time = names[1+g.IntN(1+g.IntN(5))], uint32(min(at, dayLength-1))
			e.batch, e.position = fmt.Sprintf("b%03d", len(events)/(1+g.IntN(30))), uint16(len(events))
			if e.session = name(sessions); g.IntN(3) == 0 {
				e.session = ""
			}
			e.values = []event.Value{values[g.IntN(len(values))], event.TextValue(name(1000)), event.TextValue(e.identity), {}}
			events = append(events, e)
			at += g.IntN(100_000) * g.IntN(2)
		}
	}
	w := wholeOf("demo", int32(g.Uint32()), events)
	named := w.base.Anonymous
	for i := 0; i < 5 && named > 0 && i < len(events); i++ {
		w.base.Meetings = append(w.base.Meetings, Meeting{fmt.Sprintf("v%d", i), uint32(g.IntN(named)), uint32(g.IntN(dayLength)), name(1000)})
	}
	return w
}
