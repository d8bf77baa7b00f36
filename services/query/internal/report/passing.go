package report

import (
	"context"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/services/query/internal/columns"
)

// reading is the days of a request with its filters and its unit made ready:
// for reports that look at every event of the range.
type reading struct {
	*source
	match *matcher
	who   *actors
	kept  []passing // by day, once asked for
}

// open reads the days from … to, with what the request and the report look at.
func (c *Common) open(ctx context.Context, v *columns.View, n columns.Needs) (*reading, error) {
	unit := c.Unit.needs(append(propertiesOf(c.Filters), n.Columns...)...)
	n.Columns, n.Sessions = unit.Columns, n.Sessions || unit.Sessions
	s, err := open(ctx, v, c.From, c.To, n)
	if err != nil {
		return nil, err
	}
	return &reading{source: s, match: s.compile(c.Filters), who: s.actors(c.Unit), kept: make([]passing, len(s.days))}, nil
}

// during is the same request for a part of its range.
func (c *Common) during(from, to event.Time) *Common {
	part := *c
	part.From, part.To = max(c.From, from), min(c.To, to)
	return &part
}

// passing says of a day's rows whether they are in the range and the filters
// hold. Nil: of all of them.
type passing []bool

func (p passing) has(row int) bool { return p == nil || p[row] }

func (r *reading) passing(dayIndex int) passing {
	d := r.days[dayIndex]
	lo, hi, whole := r.inRange(d)
	if whole && r.match == nil || r.kept[dayIndex] != nil {
		return r.kept[dayIndex]
	}
	keep := trues(d.Len())
	if !whole {
		for row, at := range d.Times() {
			keep[row] = at >= lo && at <= hi
		}
	}
	r.match.and(dayIndex, 0, keep)
	r.kept[dayIndex] = keep
	return keep
}

// prepare finds out of all days which rows pass, so that several goroutines may ask.
func (r *reading) prepare(ctx context.Context) error {
	return parallel(ctx, len(r.days), func(ctx context.Context, i int) error {
		r.passing(i)
		return ctx.Err()
	})
}

// unfiltered says that all events in the range count, by user: then days know
// how many there are.
func (r *reading) unfiltered() bool { return r.match == nil && r.who.unit.Kind == UserUnit }

// units are those whom a report counts, by row of a day.
type units struct {
	numbers *columns.Codes
	absent  bool // number 0 is nobody
}

func (r *reading) units(dayIndex int) units {
	numbers, absent := r.who.of(dayIndex)
	return units{numbers, absent}
}

// of is the unit of a row, if it has one.
func (u units) of(row int) (n uint32, ok bool) {
	n = u.numbers.At(row)
	return n, n != 0 || !u.absent
}

// column is a column that was opened with the reading.
func (r *reading) column(dayIndex int, name string) *columns.Column { return r.columns[name][dayIndex] }

// time is when a row's event happened.
func timeOf(d *columns.Day, row int) event.Time { return d.Start() + event.Time(d.Times()[row]) }
