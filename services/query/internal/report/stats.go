package report

import (
	"cmp"
	"context"
	"slices"

	"github.com/maidian/maidian/pkg/ask"
	"github.com/maidian/maidian/pkg/calendar"
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
	buckets, err := r.Calendar.Cut(calendar.Day, r.From, r.To)
	if err != nil {
		return nil, err
	}
	events, err := r.open(ctx, v, columns.Needs{})
	if err != nil {
		return nil, err
	}
	if err := events.prepare(ctx); err != nil {
		return nil, err
	}
	byType, err := events.typeStats(ctx)
	if err != nil {
		return nil, err
	}
	byDay, err := events.dayStats(ctx, buckets)
	if err != nil {
		return nil, err
	}
	answer := &StatsAnswer{ByType: byType, ByDay: byDay, Definition: r.defined(definition{
		"users": "distinct " + r.Unit.words(),
		"date":  "days of the time zone " + r.Timezone + ", days without events included",
	})}
	for _, t := range answer.ByType {
		answer.Total += t.Count
	}
	return answer, nil
}

// typeStats are the types that occur, most frequent first.
func (r *reading) typeStats(ctx context.Context) ([]TypeStat, error) {
	names := r.typeNames()
	stats := make([]TypeStat, len(names))
	pieces := r.pieces(nil)
	err := parallel(ctx, len(names), func(ctx context.Context, i int) error {
		var err error
		stats[i].EventType = names[i]
		stats[i].Count, stats[i].Users, err = r.tally(ctx, selection{event: names[i]}, pieces)
		return err
	})
	stats = slices.DeleteFunc(stats, func(s TypeStat) bool { return s.Count == 0 })
	sortTypes(stats)
	return stats, err
}

// sortTypes puts the most frequent first.
func sortTypes(stats []TypeStat) {
	slices.SortFunc(stats, func(a, b TypeStat) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.EventType, b.EventType))
	})
}

func (s *source) typeNames() []string {
	var names []string
	for _, d := range s.days {
		for _, run := range d.Runs() {
			if !slices.Contains(names, run.Type) {
				names = append(names, run.Type)
			}
		}
	}
	return names
}

// dayStats counts by day of a time zone.
func (r *reading) dayStats(ctx context.Context, b *calendar.Buckets) ([]DayStat, error) {
	stats, pieces := make([]DayStat, b.Len()), r.pieces(b.Starts)
	labels := b.Labels()
	return stats, parallel(ctx, len(stats), func(ctx context.Context, i int) error {
		var err error
		stats[i].Date = labels[i]
		stats[i].Count, stats[i].Users, err = r.tally(ctx, selection{event: ask.AnyEvent}, inBucket(pieces, i))
		return err
	})
}

// tally counts the rows that pass of those that are selected in the pieces, and whose they are.
func (r *reading) tally(ctx context.Context, sel selection, pieces []piece) (rows, users int, err error) {
	if r.unfiltered() {
		rows, users = r.countUsers([]selection{sel}, pieces)
		return rows, users, ctx.Err()
	}
	seen := newTally(r.who.count)
	for _, p := range pieces {
		for _, run := range r.days[p.day].Runs() {
			if ctx.Err() != nil {
				return 0, 0, ctx.Err()
			}
			if sel.reads(run.Type) {
				rows += r.tallyRun(seen, p, run)
			}
		}
	}
	return rows, seen.n, ctx.Err()
}

func (r *reading) tallyRun(seen *tally, p piece, run columns.Run) (rows int) {
	keep, who, times := r.passing(p.day), r.units(p.day), r.days[p.day].Times()
	for row := run.Lo; row < run.Hi; row++ {
		if !keep.has(row) || times[row] < p.lo || times[row] > p.hi {
			continue
		}
		rows++
		if u, ok := who.of(row); ok {
			seen.add(u)
		}
	}
	return rows
}
