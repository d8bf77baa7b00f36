package report

import (
	"context"

	"github.com/maidian/maidian/services/query/internal/columns"
)

// StickinessRequest asks how regular users are: how many were active in exactly
// 1, 2, … of the range's intervals. With interval_count n, n intervals count as
// one, from the first on; the last may be shorter.
type StickinessRequest struct {
	Event         Selector `json:"event"`
	Interval      Interval `json:"interval"`
	IntervalCount int      `json:"interval_count"`
	WeekStart     string   `json:"week_start"`
	Common
}

// ReadStickiness reads the request of POST stickiness.
func ReadStickiness(p *Params, env Env) (*StickinessRequest, error) {
	r := &StickinessRequest{Common: p.Common(env)}
	r.Event = p.Selector("event", AnyEvent, r.Calendar)
	r.Interval = p.interval("interval", Day)
	r.IntervalCount = p.Int("interval_count", 1, 1, 1000)
	r.WeekStart, r.Calendar.WeekStart = p.weekStart()
	return r, p.Done()
}

// StickinessAnswer is the answer of POST stickiness.
type StickinessAnswer struct {
	Data       []int      `json:"data"` // at index n: users active in exactly n+1 intervals
	Users      int        `json:"users"`
	Buckets    []string   `json:"buckets"`
	Definition Definition `json:"definition"`
}

// Stickiness answers POST stickiness.
func Stickiness(ctx context.Context, v *columns.View, r *StickinessRequest) (*StickinessAnswer, error) {
	buckets, err := r.Calendar.Cut(r.Interval, r.From, r.To)
	if err != nil {
		return nil, err
	}
	buckets = buckets.group(r.IntervalCount)
	src, err := open(ctx, v, r.From, r.To, r.Unit.needs(propertiesOf(r.Filters, r.Event)...))
	if err != nil {
		return nil, err
	}
	who := src.actors(r.Unit)
	parts := who.partitions()
	sums := make([][]int, len(parts))
	err = eachPartition(ctx, parts, func(ctx context.Context, i int, p partition) error {
		sums[i] = make([]int, buckets.Len()+1)
		g := gather{source: src, actors: who, selections: []selection{src.selectWhere(r.Event, r.Filters)}}
		return g.run(ctx, p, func(_ uint32, hits []hit) { sums[i][activeIn(buckets, hits)]++ })
	})
	if err != nil {
		return nil, err
	}
	answer := &StickinessAnswer{Buckets: buckets.Labels(), Definition: r.definition()}
	answer.Definition.Interval = decimal(r.IntervalCount) + " × one " + string(r.Interval) + " of the calendar; weeks start on " + r.WeekStart + "; of the first and the last, what lies in the range"
	answer.Data = addUp(sums, buckets.Len()+1)[1:]
	for _, n := range answer.Data {
		answer.Users += n
	}
	return answer, nil
}

// activeIn is the number of buckets in which the hits fall.
func activeIn(b *Buckets, hits []hit) int {
	n, last := 0, -1
	for i := range hits {
		if bucket := b.Index(hits[i].at); bucket != last {
			n, last = n+1, bucket
		}
	}
	return n
}
