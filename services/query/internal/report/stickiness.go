package report

import (
	"context"
	"math/bits"

	"github.com/maidian/maidian/pkg/ask"
	"github.com/maidian/maidian/pkg/calendar"
	"github.com/maidian/maidian/services/query/internal/columns"
)

// StickinessRequest asks how regular users are: how many were active in exactly
// 1, 2, … of the range's intervals. With interval_count n, n intervals count as
// one, from the first on; the last may be shorter.
type StickinessRequest struct {
	Event         ask.Selector      `json:"event"`
	Interval      calendar.Interval `json:"interval"`
	IntervalCount int               `json:"interval_count"`
	WeekStart     string            `json:"week_start"`
	Common
}

// ReadStickiness reads the request of POST stickiness.
func ReadStickiness(p *Params, env Env) (*StickinessRequest, error) {
	r := &StickinessRequest{Common: p.Common(env)}
	r.Event = p.Selector("event", ask.AnyEvent, r.Calendar)
	r.Interval = p.interval("interval", calendar.Day)
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
	buckets = buckets.Group(r.IntervalCount)
	src, err := open(ctx, v, r.From, r.To, r.Unit.needs(propertiesOf(r.Filters, r.Event)...))
	if err != nil {
		return nil, err
	}
	k := &stickiness{buckets: buckets, source: src, actors: src.actors(r.Unit), event: src.selectWhere(r.Event, r.Filters)}
	count := k.follow
	if r.Unit.Kind == UserUnit && src.fitSets(buckets.Len()) {
		count = k.addUp
	}
	counts, err := count(ctx)
	if err != nil {
		return nil, err
	}
	answer := &StickinessAnswer{Buckets: buckets.Labels(), Definition: r.definition()}
	answer.Definition.Interval = decimal(r.IntervalCount) + " × one " + string(r.Interval) + " of the calendar; weeks start on " + r.WeekStart + "; of the first and the last, what lies in the range"
	answer.Data = counts[1:]
	for _, n := range answer.Data {
		answer.Users += n
	}
	return answer, nil
}

// stickiness is a request with what it reads.
type stickiness struct {
	buckets *calendar.Buckets
	source  *source
	actors  *actors
	event   selection
}

// addUp counts in how many buckets' sets each user is.
func (k *stickiness) addUp(ctx context.Context) ([]int, error) {
	active, _, err := k.source.activeUsers(ctx, &k.event, k.buckets.Starts)
	if err != nil {
		return nil, err
	}
	const words = 512 // of each set at a time
	parts := make([][]int, (k.source.setWords()+words-1)/words)
	err = parallel(ctx, len(parts), func(ctx context.Context, i int) error {
		var times [64 * words]uint16 // by user: there are no more than MaxBuckets
		for _, set := range active {
			for w, word := range set[min(i*words, len(set)):min((i+1)*words, len(set))] {
				for ; word != 0; word &= word - 1 {
					times[w<<6+bits.TrailingZeros64(word)]++
				}
			}
		}
		parts[i] = make([]int, k.buckets.Len()+1)
		for _, n := range times {
			parts[i][n]++
		}
		return ctx.Err()
	})
	return addUp(parts, k.buckets.Len()+1), err
}

// follow goes through the events of one after the other.
func (k *stickiness) follow(ctx context.Context) ([]int, error) {
	parts := k.actors.partitions()
	sums := make([][]int, len(parts))
	err := eachPartition(ctx, parts, func(ctx context.Context, i int, p partition) error {
		sums[i] = make([]int, k.buckets.Len()+1)
		g := gather{source: k.source, actors: k.actors, selections: []selection{k.event}}
		return g.run(ctx, p, func(_ uint32, hits []hit) { sums[i][activeIn(k.buckets, hits)]++ })
	})
	return addUp(sums, k.buckets.Len()+1), err
}

// activeIn is the number of buckets in which the hits fall.
func activeIn(b *calendar.Buckets, hits []hit) int {
	n, last := 0, -1
	for i := range hits {
		if bucket := b.Index(hits[i].at); bucket != last {
			n, last = n+1, bucket
		}
	}
	return n
}
