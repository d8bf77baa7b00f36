package report

import (
	"context"

	"github.com/maidian/maidian/pkg/ask"
	"github.com/maidian/maidian/pkg/calendar"
	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/services/query/internal/columns"
)

// LifecycleRequest asks where active users come from and where they go. In each
// interval a user is
//
//   - new, when its first matching event ever lies there;
//   - returning, when it was active there and in the interval before;
//   - resurrecting, when it was active there and earlier, but not in the interval before;
//   - dormant, when it was active in the interval before and not there.
//
// The range is widened to whole intervals.
type LifecycleRequest struct {
	Event     ask.Selector      `json:"event"`
	Interval  calendar.Interval `json:"interval"`
	WeekStart string            `json:"week_start"`
	Common
	buckets *calendar.Buckets // with the interval before the range as the first
}

// ReadLifecycle reads the request of POST lifecycle.
func ReadLifecycle(p *Params, env Env) (*LifecycleRequest, error) {
	r := &LifecycleRequest{Common: p.Common(env)}
	r.Event = p.Selector("event", ask.AnyEvent, r.Calendar)
	r.Interval = p.interval("interval", calendar.Day)
	r.WeekStart, r.Calendar.WeekStart = p.weekStart()
	if err := p.Done(); err != nil {
		return nil, err
	}
	r.From = r.Calendar.Floor(r.Interval, r.From)
	var err error
	if r.buckets, err = r.Calendar.Cut(r.Interval, r.Calendar.Back(r.Interval, r.From, 1), r.To); err != nil {
		return nil, err
	}
	r.To = r.buckets.End - 1
	return r, nil
}

// LifecycleAnswer is the answer of POST lifecycle; dormant users are negative numbers.
type LifecycleAnswer struct {
	Buckets      []string   `json:"buckets"`
	Complete     []bool     `json:"complete"`
	New          []int      `json:"new"`
	Returning    []int      `json:"returning"`
	Resurrecting []int      `json:"resurrecting"`
	Dormant      []int      `json:"dormant"`
	Definition   Definition `json:"definition"`
}

// Lifecycle answers POST lifecycle.
func Lifecycle(ctx context.Context, v *columns.View, r *LifecycleRequest) (*LifecycleAnswer, error) {
	src, err := open(ctx, v, ever, r.To, r.Unit.needs(propertiesOf(r.Filters, r.Event)...))
	if err != nil {
		return nil, err
	}
	l := &lifecycle{request: r, source: src, actors: src.actors(r.Unit), event: src.selectWhere(r.Event, r.Filters)}
	count := l.follow
	if r.Unit.Kind == UserUnit && src.fitSets(2*r.buckets.Len()) {
		count = l.compare
	}
	lists, err := count(ctx)
	if err != nil {
		return nil, err
	}
	return r.answer(&lists), nil
}

// lifecycle is a request with what it reads.
type lifecycle struct {
	request *LifecycleRequest
	source  *source
	actors  *actors
	event   selection
}

// states are how many are in each state, by bucket.
type states [4][]int

func (r *LifecycleRequest) newStates() (s states) {
	for state := range s {
		s[state] = make([]int, r.buckets.Len()+1)
	}
	return s
}

// compare compares the sets of users of one interval after the other.
func (l *lifecycle) compare(ctx context.Context) (states, error) {
	sum := l.request.newStates()
	active, older, err := l.source.activeUsers(ctx, &l.event, l.request.buckets.Starts)
	if err != nil {
		return sum, err
	}
	seen := make([]userSet, len(active)) // before and in each interval
	for i, set := range active {
		seen[i] = make(userSet, l.source.setWords())
		seen[i].add(set)
		if i > 0 {
			older = seen[i-1]
		}
		seen[i].add(older)
	}
	return sum, parallel(ctx, len(active)-1, func(ctx context.Context, i int) error {
		before, now := active[i], active[i+1]
		known, stayed := now.shared(seen[i]), now.shared(before)
		sum[isNew][i+1] = now.len() - known
		sum[isReturning][i+1] = stayed
		sum[isResurrecting][i+1] = known - stayed
		sum[isDormant][i+1] = stayed - before.len()
		return ctx.Err()
	})
}

// follow goes through the events of one after the other.
func (l *lifecycle) follow(ctx context.Context) (states, error) {
	r, parts := l.request, l.actors.partitions()
	sums := make([]states, len(parts))
	err := eachPartition(ctx, parts, func(ctx context.Context, i int, p partition) error {
		sums[i] = r.newStates()
		g := gather{source: l.source, actors: l.actors, selections: []selection{l.event}}
		return g.run(ctx, p, func(_ uint32, hits []hit) { r.live(hits, &sums[i]) })
	})
	total := r.newStates()
	for _, sum := range sums {
		for state := range sum {
			total[state] = addUp([][]int{total[state], sum[state]}, r.buckets.Len()+1)
		}
	}
	return total, err
}

// States of a user in an interval.
const (
	isNew = iota
	isReturning
	isResurrecting
	isDormant
)

// live counts one user's states. Bucket 0 is the interval before the range.
func (r *LifecycleRequest) live(hits []hit, sum *states) {
	before := -2 // the bucket of the activity before this one; -2: long ago
	first := true
	for i := range hits {
		bucket := r.bucket(hits[i].at)
		if !first && bucket == before {
			continue
		}
		if bucket >= 0 {
			switch {
			case first:
				sum[isNew][bucket]++
			case before == bucket-1 && before >= 0:
				sum[isReturning][bucket]++
			default:
				sum[isResurrecting][bucket]++
			}
		}
		if before >= 0 && before < bucket-1 {
			sum[isDormant][before+1]--
		}
		before, first = bucket, false
	}
	if before >= 0 {
		sum[isDormant][before+1]--
	}
}

// bucket is -1 for times before all of them.
func (r *LifecycleRequest) bucket(at event.Time) int {
	if at < r.buckets.Starts[0] {
		return -1
	}
	return r.buckets.Index(at)
}

func (r *LifecycleRequest) answer(lists *states) *LifecycleAnswer {
	n := r.buckets.Len()
	for state := range lists {
		lists[state] = lists[state][1:n]
	}
	d := r.definition()
	d.Range = "whole intervals from " + r.From.String() + " to " + r.To.String()
	d.Interval = "one " + string(r.Interval) + " of the calendar; weeks start on " + r.WeekStart
	d.Cohort = "new: the first matching event ever is in the interval; returning: active there and in the one before; resurrecting: active there and earlier, not in the one before; dormant: active in the one before, not there"
	d.Complete = "false while the interval is not over"
	return &LifecycleAnswer{
		Buckets: r.buckets.Labels()[1:], Complete: r.buckets.Complete(r.Now)[1:],
		New: lists[isNew], Returning: lists[isReturning], Resurrecting: lists[isResurrecting], Dormant: lists[isDormant], Definition: d,
	}
}
