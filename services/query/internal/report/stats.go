package report

import (
	"cmp"
	"context"
	"slices"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/services/query/internal/columns"
)

// StatsRequest asks how many events of which type there were, and when.
type StatsRequest struct{ Common }

// StatsAnswer counts events and who did them.
type StatsAnswer struct {
	Total      int        `json:"total"`
	ByType     []TypeStat `json:"by_type"`
	ByDay      []DayStat  `json:"by_day"`
	Definition definition `json:"definition"`
}

// TypeStat is one event type.
type TypeStat struct {
	EventType string `json:"event_type"`
	Count     int    `json:"count"`
	Users     int    `json:"users"`
}

// DayStat is one day of the request's time zone.
type DayStat struct {
	Date  string `json:"date"`
	Count int    `json:"count"`
	Users int    `json:"users"`
}

// ReadStats reads the request.
func ReadStats(p *Params, env Env) (StatsRequest, error) {
	r := StatsRequest{p.Common(env)}
	return r, p.Done()
}

// Stats counts the events of a range by type, most frequent first, and by day.
func Stats(ctx context.Context, v *columns.View, r StatsRequest) (*StatsAnswer, error) {
	buckets, err := r.Calendar.Cut(Day, r.From, r.To)
	if err != nil {
		return nil, err
	}
	events, err := r.open(ctx, v, columns.Needs{})
	if err != nil {
		return nil, err
	}
	types, byDay := newTypeStats(events.who.count), newDayStats(buckets, events.who.count)
	for i, d := range events.days {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		keep, who := events.passing(i), events.units(i)
		types.add(d, keep, who)
		byDay.add(d, keep, who)
	}
	answer := &StatsAnswer{ByType: types.stats(), ByDay: byDay.stats(), Definition: r.defined(definition{
		"users": "distinct " + r.Unit.words(),
		"date":  "days of the time zone " + r.Timezone + ", days without events included",
	})}
	for _, t := range answer.ByType {
		answer.Total += t.Count
	}
	return answer, nil
}

// typeStats counts by event type. What it keeps is where the rows are; the
// users are counted one type after another in the same memory.
type typeStats struct {
	parts   map[string][]typeRun
	numbers int // of units
}

type typeRun struct {
	run  columns.Run
	keep passing
	who  units
}

func newTypeStats(numbers int) *typeStats { return &typeStats{map[string][]typeRun{}, numbers} }

func (s *typeStats) add(d *columns.Day, keep passing, who units) {
	for _, run := range d.Runs() {
		s.parts[run.Type] = append(s.parts[run.Type], typeRun{run, keep, who})
	}
}

// stats are the types that occur, most frequent first.
func (s *typeStats) stats() []TypeStat {
	stats := make([]TypeStat, 0, len(s.parts))
	users := newTally(s.numbers)
	for name, parts := range s.parts {
		users.clear()
		count := 0
		for _, p := range parts {
			count += p.count(users)
		}
		if count > 0 {
			stats = append(stats, TypeStat{name, count, users.n})
		}
	}
	slices.SortFunc(stats, func(a, b TypeStat) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.EventType, b.EventType))
	})
	return stats
}

func (p *typeRun) count(users *tally) (n int) {
	for row := p.run.Lo; row < p.run.Hi; row++ {
		if !p.keep.has(row) {
			continue
		}
		n++
		if u, ok := p.who.of(row); ok {
			users.add(u)
		}
	}
	return n
}

// dayStats counts by day of a time zone. A UTC day reaches into two or three of
// them, so only those that can still get rows have a set of users.
type dayStats struct {
	buckets *Buckets
	counts  []int
	users   []int
	open    map[int]*tally
	numbers int
}

func newDayStats(b *Buckets, numbers int) *dayStats {
	return &dayStats{b, make([]int, b.Len()), make([]int, b.Len()), map[int]*tally{}, numbers}
}

func (s *dayStats) add(d *columns.Day, keep passing, who units) {
	first := max(0, s.buckets.Index(d.Start()))
	s.close(first)
	for row, at := range d.Times() {
		if !keep.has(row) {
			continue
		}
		bucket := first
		for t := d.Start() + event.Time(at); t >= s.buckets.EndOf(bucket); {
			bucket++
		}
		s.counts[bucket]++
		if u, ok := who.of(row); ok {
			s.set(bucket).add(u)
		}
	}
}

func (s *dayStats) set(bucket int) *tally {
	t := s.open[bucket]
	if t == nil {
		t = newTally(s.numbers)
		s.open[bucket] = t
	}
	return t
}

// close takes the count of users of each bucket before one, which gets no more rows.
func (s *dayStats) close(before int) {
	for bucket, t := range s.open {
		if bucket < before {
			s.users[bucket] = t.n
			delete(s.open, bucket)
		}
	}
}

func (s *dayStats) stats() []DayStat {
	s.close(s.buckets.Len())
	stats := make([]DayStat, s.buckets.Len())
	for i, label := range s.buckets.Labels() {
		stats[i] = DayStat{label, s.counts[i], s.users[i]}
	}
	return stats
}
