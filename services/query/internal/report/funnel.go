package report

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/bits"
	"slices"
	"sync"

	"github.com/maidian/maidian/pkg/ask"
	"github.com/maidian/maidian/pkg/calendar"
	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/services/query/internal/columns"
)

// FunnelRequest asks how many get from step to step. What a chain of steps is,
// and which chain of an actor counts, is written at finder.
type FunnelRequest struct {
	Steps []FunnelStep `json:"steps"`
	Order string       `json:"order"`
	Rules
	Exclusions []Exclusion       `json:"exclusions"`
	Breakdown  *Breakdown        `json:"breakdown,omitempty"`
	View       string            `json:"view"`
	FromStep   *int              `json:"from_step,omitempty"` // of the view time_to_convert
	ToStep     *int              `json:"to_step,omitempty"`
	BinCount   int               `json:"bin_count,omitempty"` // 0: by the number of conversions
	Interval   calendar.Interval `json:"interval,omitempty"`  // of the view trend
	WeekStart  string            `json:"week_start,omitempty"`
	Common
}

// FunnelStep is one step: which events do it, and whether it may be skipped.
type FunnelStep struct {
	ask.Selector
	Optional bool
}

// MarshalJSON writes the step as a request has it.
func (s FunnelStep) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Event    string      `json:"event"`
		Name     string      `json:"name,omitempty"`
		Filters  ask.Filters `json:"filters"`
		Optional bool        `json:"optional"`
	}{s.Event, s.Name, s.Filters, s.Optional})
}

// Exclusion is an event that must not come between two steps.
type Exclusion struct {
	ask.Selector
	FromStep int
	ToStep   int
}

// MarshalJSON writes the exclusion as a request has it.
func (x Exclusion) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Event    string      `json:"event"`
		Name     string      `json:"name,omitempty"`
		Filters  ask.Filters `json:"filters"`
		FromStep int         `json:"from_step"`
		ToStep   int         `json:"to_step"`
	}{x.Event, x.Name, x.Filters, x.FromStep, x.ToStep})
}

const maxExclusions = 20

// ReadFunnel reads the request of POST funnel.
func ReadFunnel(p *Params, env Env) (*FunnelRequest, error) {
	r := p.funnel(env)
	r.View = p.OneOf("view", "steps", "steps", "time_to_convert", "trend")
	switch r.View {
	case "steps":
		r.Breakdown = p.breakdown(len(r.Steps))
	case "time_to_convert":
		p.stepsBetween(r)
		r.BinCount = p.Int("bin_count", 0, 1, 1000)
	case "trend":
		if p.Has("from_step") || p.Has("to_step") {
			p.stepsBetween(r)
		}
		r.WeekStart, r.Calendar.WeekStart = p.weekStart()
		r.Interval = p.interval("interval", calendar.Day)
	}
	return r, p.Done()
}

// funnel reads what all funnel routes share.
func (p *Params) funnel(env Env) *FunnelRequest {
	r := &FunnelRequest{Common: p.Common(env)}
	r.Steps = p.funnelSteps(r.Calendar)
	r.Order = p.OneOf("order", "ordered", "ordered", "strict", "unordered")
	r.Rules = p.rules(r.Order)
	r.Exclusions = p.exclusions(r)
	if len(r.Exclusions) > 0 && r.WindowFrom == "previous_step" {
		p.Fail("exclusions", "cannot go with window_from previous_step: an attempt is a first step and its window")
	}
	for i, s := range r.Steps {
		if s.Optional && (i == 0 || r.Order == "unordered") {
			p.Fail("steps["+decimal(i)+"].optional", "must be false: the first step, and steps without order, cannot be skipped")
		}
	}
	return r
}

func (p *Params) funnelSteps(c calendar.Calendar) []FunnelStep {
	items := p.List("steps")
	if len(items) < 2 || len(items) > maxSteps {
		p.Fail("steps", "must be a list of 2 to %d steps, got %d", maxSteps, len(items))
	}
	var steps []FunnelStep
	for i, item := range items {
		var s FunnelStep
		s.Selector = p.SelectorWith("steps["+decimal(i)+"]", item, c, func(o *ask.Params) { s.Optional = o.Bool("optional", false) })
		steps = append(steps, s)
	}
	return steps
}

func (p *Params) exclusions(r *FunnelRequest) []Exclusion {
	items := p.List("exclusions")
	if len(items) > maxExclusions {
		p.Fail("exclusions", "must be at most %d, got %d", maxExclusions, len(items))
	}
	exclusions := []Exclusion{}
	last := max(1, len(r.Steps)-1)
	for i, item := range items {
		name := "exclusions[" + decimal(i) + "]"
		x := Exclusion{ToStep: last}
		x.Selector = p.SelectorWith(name, item, r.Calendar, func(o *ask.Params) {
			x.FromStep = o.Int("from_step", 0, 0, last-1)
			x.ToStep = o.Int("to_step", last, 1, last)
		})
		if x.FromStep >= x.ToStep {
			p.Fail(name+".from_step", "must be below to_step, got %d and %d", x.FromStep, x.ToStep)
		}
		if r.Order == "unordered" && (x.FromStep != 0 || x.ToStep != last) {
			p.Fail(name+".from_step", "must be 0 and to_step %d without order: there the whole funnel is excluded", last)
		}
		exclusions = append(exclusions, x)
	}
	return exclusions
}

// stepsBetween reads from which step to which one looks; the whole funnel when neither is said.
func (p *Params) stepsBetween(r *FunnelRequest) {
	last := max(1, len(r.Steps)-1)
	from, to := p.Int("from_step", 0, 0, last-1), p.Int("to_step", last, 1, last)
	if from >= to {
		p.Fail("from_step", "must be below to_step, got %d and %d", from, to)
	}
	r.FromStep, r.ToStep = &from, &to
}

// plan are the rules of the request.
func (r *FunnelRequest) plan() plan {
	p := plan{steps: len(r.Steps)}
	p.order = map[string]order{"ordered": ordered, "strict": strict, "unordered": unordered}[r.Order]
	for i, s := range r.Steps {
		if s.Optional {
			p.optional |= 1 << i
		}
	}
	for _, x := range r.Exclusions {
		p.exclusions = append(p.exclusions, stepSpan{x.FromStep, x.ToStep})
	}
	r.apply(&p, r.To)
	return p
}

// Definition says in words what an answer's numbers mean.
type Definition struct {
	Unit        string `json:"unit"`
	TimeZone    string `json:"time_zone"`
	Range       string `json:"range"`
	Semantics   string `json:"semantics,omitempty"`
	Window      string `json:"window,omitempty"`
	Order       string `json:"order,omitempty"`
	Entry       string `json:"entry,omitempty"`
	Ties        string `json:"ties,omitempty"`
	Choice      string `json:"choice,omitempty"`
	Times       string `json:"times,omitempty"`
	Optional    string `json:"optional,omitempty"`
	Exclusions  string `json:"exclusions,omitempty"`
	Cohort      string `json:"cohort,omitempty"`
	Interval    string `json:"interval,omitempty"`
	Mode        string `json:"mode,omitempty"`
	Attribution string `json:"attribution,omitempty"`
	Complete    string `json:"complete,omitempty"`
}

func (c *Common) definition() Definition {
	return Definition{
		Unit:     c.Unit.words(),
		TimeZone: c.Timezone,
		Range:    "events from " + c.From.String() + " to " + c.To.String() + ", both included",
	}
}

func (r *FunnelRequest) definition() Definition {
	d := r.Common.definition()
	r.define(&d, r.Order)
	d.Order = map[string]string{
		"ordered":   "steps in their order, other events may stand between",
		"strict":    "steps in their order, no other event of the unit that passes the filters between them",
		"unordered": "step n means any n different steps in the window, in whatever order",
	}[r.Order]
	d.Times = "from the required step before to this step, in the chain chosen"
	if slices.ContainsFunc(r.Steps, func(s FunnelStep) bool { return s.Optional }) {
		d.Optional = "optional steps may be skipped; their users did them in place; rates and times of other steps pass over them"
	}
	if len(r.Exclusions) > 0 {
		d.Exclusions = r.exclusions(r.Order)
	}
	if r.Breakdown != nil {
		d.Attribution = r.Breakdown.words()
	}
	if r.View == "trend" {
		d.Complete = "false while the window of a chain that starts in the bucket can still run"
	}
	return d
}

// Complete says whether no event to come can change the funnel.
func (r FunnelRequest) Complete() bool {
	p, last := r.plan(), r.To
	if p.lastEntry != 0 {
		last += p.reach()
	}
	return last < r.Now
}

// FunnelAnswer is the answer of POST funnel; which fields are there depends on the view.
type FunnelAnswer struct {
	Steps      []StepResult      `json:"funnel_steps,omitempty"`
	Breakdowns []FunnelBreakdown `json:"breakdowns,omitzero"` // there whenever a breakdown was asked for
	*Conversion
	Rows       []TrendRow `json:"rows,omitempty"`
	Definition Definition `json:"definition"`
}

// StepResult is one step's line.
type StepResult struct {
	Step       string   `json:"step"`
	Index      int      `json:"index"`
	Users      int      `json:"users"`
	Rate       float64  `json:"conversion_rate"`      // of those who entered, in percent
	StepRate   float64  `json:"step_conversion_rate"` // of those who did the required step before
	DropOff    int      `json:"drop_off"`             // who did the required step before and not this one
	AvgSeconds *float64 `json:"avg_seconds"`
	Median     *float64 `json:"median_seconds"`
}

// FunnelBreakdown is the funnel of those with one value.
type FunnelBreakdown struct {
	Value any          `json:"value"` // null where the property is missing
	Steps []StepResult `json:"funnel_steps"`
}

// Conversion is how long it takes from one step to another.
type Conversion struct {
	Bins    [][2]int64 `json:"bins"` // seconds from, users
	Average *float64   `json:"average_seconds"`
}

// TrendRow is the funnel of those who started in one bucket.
type TrendRow struct {
	Bucket    string  `json:"bucket"`
	Entered   int     `json:"entered"`
	Converted int     `json:"converted"`
	Rate      float64 `json:"rate"`
	Complete  bool    `json:"complete"`
}

// Funnel answers POST funnel.
func Funnel(ctx context.Context, v *columns.View, r *FunnelRequest) (*FunnelAnswer, error) {
	s, err := r.open(ctx, v)
	if err != nil {
		return nil, err
	}
	answer := &FunnelAnswer{Definition: r.definition()}
	switch r.View {
	case "time_to_convert":
		answer.Conversion, err = s.timeToConvert(ctx)
	case "trend":
		answer.Rows, err = s.trend(ctx)
	default:
		answer.Steps, answer.Breakdowns, err = s.steps(ctx)
	}
	return answer, err
}

// funnel is a request with what it reads.
type funnel struct {
	request    *FunnelRequest
	source     *source
	actors     *actors
	plan       plan
	stepEvents []selection
	exclude    []selection
	between    *selection // strict: what stands in between
	touch      *touch     // with a breakdown
}

func (r *FunnelRequest) open(ctx context.Context, v *columns.View) (*funnel, error) {
	selectors := make([]ask.Selector, 0, len(r.Steps)+len(r.Exclusions))
	for _, s := range r.Steps {
		selectors = append(selectors, s.Selector)
	}
	for _, x := range r.Exclusions {
		selectors = append(selectors, x.Selector)
	}
	names := propertiesOf(r.Filters, selectors...)
	if r.Breakdown != nil {
		names = append(names, r.Breakdown.Property)
	}
	rules, to := r.plan(), r.To
	if rules.lastEntry != 0 {
		to += rules.reach()
	}
	src, err := open(ctx, v, r.From, to, r.Unit.needs(names...))
	if err != nil {
		return nil, err
	}
	f := &funnel{request: r, source: src, actors: src.actors(r.Unit), plan: rules}
	for i, sel := range selectors {
		if i < len(r.Steps) {
			f.stepEvents = append(f.stepEvents, src.selectWhere(sel, r.Filters))
		} else {
			f.exclude = append(f.exclude, src.selectWhere(sel, r.Filters))
		}
	}
	if f.plan.order == strict {
		all := src.selectWhere(ask.Selector{Event: ask.AnyEvent}, r.Filters)
		f.between = &all
	}
	if r.Breakdown != nil {
		if f.touch, err = newTouch(ctx, src, r.Breakdown); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// each calls visit for every actor with events, in several goroutines; worker
// says in which, so that results need no lock.
func (f *funnel) each(ctx context.Context, parts []partition, visit func(worker int, find *finder, actor uint32, hits []hit)) error {
	find := make([]finder, processors())
	for i := range find {
		find[i].plan, find[i].ctx = f.plan, ctx
	}
	g := gather{source: f.source, actors: f.actors, selections: f.stepEvents, exclusions: f.exclude, all: f.between}
	return g.each(ctx, parts, func(worker int, actor uint32, hits []hit) { visit(worker, &find[worker], actor, hits) })
}

// chains calls visit for every actor that may have entered, with its chain.
func (f *funnel) chains(ctx context.Context, visit func(worker int, actor uint32, c *chain)) error {
	if k := f.kernel(); k != nil {
		return k.chains(ctx, visit)
	}
	return f.each(ctx, f.actors.partitions(), func(worker int, find *finder, actor uint32, hits []hit) {
		c := find.best(hits, anytime)
		visit(worker, actor, &c)
	})
}

// steps is the view of steps, with breakdowns when asked.
func (f *funnel) steps(ctx context.Context) ([]StepResult, []FunnelBreakdown, error) {
	totals := f.totals
	if k := f.kernel(); k != nil {
		totals = k.totals
	}
	total, byValue, err := totals(ctx)
	if err != nil {
		return nil, nil, err
	}
	if f.touch == nil {
		return f.lines(total), nil, nil
	}
	breakdowns, err := f.breakdowns(ctx, byValue)
	return f.lines(total), breakdowns, err
}

// totals adds up every actor's chain, and those by value of the breakdown.
func (f *funnel) totals(ctx context.Context) (*stepTotal, map[uint32]*stepTotal, error) {
	parts := f.actors.partitions()
	totals := make([]stepTotal, processors())
	groups := make([]map[uint32]*stepTotal, processors())
	ctx, kept, done := f.request.groups(ctx)
	defer done()
	err := f.each(ctx, parts, func(worker int, find *finder, _ uint32, hits []hit) {
		c := find.best(hits, anytime)
		totals[worker].add(&f.plan, &c)
		if f.touch == nil {
			return
		}
		if groups[worker] == nil {
			groups[worker] = map[uint32]*stepTotal{}
		}
		f.touch.each(ctx, hits, func(value uint32, hits []hit) {
			if c := find.best(hits, anytime); c.depth > 0 {
				totalOf(groups[worker], value, kept).add(&f.plan, &c)
			}
		})
	})
	if err != nil {
		return nil, nil, err
	}
	return merge(totals), mergeGroups(groups), nil
}

func totalOf(group map[uint32]*stepTotal, value uint32, kept *budget) *stepTotal {
	if group[value] == nil {
		kept.spend(1)
		group[value] = &stepTotal{}
	}
	return group[value]
}

// breakdowns are the funnels of the values most entered with, and of all others together.
func (f *funnel) breakdowns(ctx context.Context, byValue map[uint32]*stepTotal) ([]FunnelBreakdown, error) {
	entered := map[uint32]int{}
	for value, total := range byValue {
		entered[value] = total.users[0]
	}
	ranked := f.touch.rank(entered)
	top := ranked[:min(len(ranked), f.request.Breakdown.Limit)]
	breakdowns := []FunnelBreakdown{}
	for _, value := range top {
		breakdowns = append(breakdowns, FunnelBreakdown{f.touch.label(value), f.lines(byValue[value])})
	}
	if len(top) == len(ranked) {
		return breakdowns, nil
	}
	rest, err := f.others(ctx, ranked[len(top):], byValue)
	if err != nil {
		return nil, err
	}
	return append(breakdowns, FunnelBreakdown{Other, f.lines(rest)}), nil
}

// others is the funnel of the values beyond the limit; an actor that has
// several of them counts once, by the one with which it got deepest.
func (f *funnel) others(ctx context.Context, values []uint32, byValue map[uint32]*stepTotal) (*stepTotal, error) {
	if f.touch.once() {
		rest := &stepTotal{}
		for _, value := range values {
			rest.join(byValue[value])
		}
		return rest, nil
	}
	in := make([]bool, len(f.touch.values))
	for _, value := range values {
		in[value] = true
	}
	parts := f.actors.partitions()
	totals := make([]stepTotal, processors())
	err := f.each(ctx, parts, func(worker int, find *finder, _ uint32, hits []hit) {
		var best chain
		f.touch.each(ctx, hits, func(value uint32, hits []hit) {
			if !in[value] {
				return
			}
			if c := find.best(hits, anytime); c.beats(&best) {
				best = c
			}
		})
		totals[worker].add(&f.plan, &best)
	})
	return merge(totals), err
}

// stepTotal adds up chains.
type stepTotal struct {
	users [maxSteps]int
	times [maxSteps][]event.Time // from the required step before
}

func (t *stepTotal) add(p *plan, c *chain) {
	if p.order == unordered {
		t.addUnordered(c)
		return
	}
	before := 0
	for rest := c.done; rest != 0; rest &= rest - 1 {
		step := bits.TrailingZeros32(rest)
		t.users[step]++
		if step > 0 {
			t.times[step] = append(t.times[step], c.between(before, step))
		}
		if p.optional&(1<<step) == 0 {
			before = step
		}
	}
}

// addUnordered counts by how many steps were done, and times them in the order in which they were.
func (t *stepTotal) addUnordered(c *chain) {
	for n, at := range c.inTime() {
		t.users[n]++
		if n > 0 {
			t.times[n] = append(t.times[n], at-c.inTime()[n-1])
		}
	}
}

// inTime are the times of the steps done, ascending.
func (c *chain) inTime() []event.Time {
	var times []event.Time
	for rest := c.done; rest != 0; rest &= rest - 1 {
		times = append(times, c.at[bits.TrailingZeros32(rest)])
	}
	slices.Sort(times)
	return times
}

// between is how long a chain took from one step to another; by the grace they
// may have come the other way round, which took no time.
func (c *chain) between(from, to int) event.Time { return max(0, c.at[to]-c.at[from]) }

func merge(totals []stepTotal) *stepTotal {
	sum := &stepTotal{}
	for i := range totals {
		sum.join(&totals[i])
	}
	return sum
}

func (t *stepTotal) join(o *stepTotal) {
	for step := range t.users {
		t.users[step] += o.users[step]
		t.times[step] = append(t.times[step], o.times[step]...)
	}
}

func mergeGroups(groups []map[uint32]*stepTotal) map[uint32]*stepTotal {
	merged := map[uint32]*stepTotal{}
	for _, group := range groups {
		for value, total := range group {
			if merged[value] == nil {
				merged[value] = total
			} else {
				merged[value].join(total)
			}
		}
	}
	return merged
}

// lines are the answer's steps.
func (f *funnel) lines(t *stepTotal) []StepResult {
	lines := make([]StepResult, f.plan.steps)
	var timing sync.WaitGroup
	defer timing.Wait()
	before := t.users[0]
	for i := range lines {
		users := t.users[i]
		lines[i] = StepResult{
			Step: f.request.Steps[i].Label(), Index: i, Users: users,
			Rate: percent(users, t.users[0]), StepRate: percent(users, before), DropOff: before - users,
		}
		if len(t.times[i]) > 0 {
			timing.Go(func() { lines[i].time(t.times[i]) })
		}
		if f.plan.optional&(1<<i) == 0 {
			before = users
		}
	}
	return lines
}

func (s *StepResult) time(times []event.Time) {
	s.AvgSeconds, s.Median = ptr(seconds(meanTime(times))), ptr(seconds(medianTime(times)))
}

// seconds is a time in milliseconds as seconds, to the millisecond.
func seconds(ms float64) float64 { return math.Round(ms) / 1000 }

func meanTime(times []event.Time) float64 {
	sum := event.Time(0) // exact: 100 million windows of ten years fit
	for _, t := range times {
		sum += t
	}
	return float64(sum) / float64(len(times))
}

// medianTime brings times into another order.
func medianTime(times []event.Time) float64 {
	n := len(times)
	upper := nth(times, n/2)
	if n%2 == 1 {
		return float64(upper)
	}
	return float64(slices.Max(times[:n/2])+upper) / 2
}

// nth is the value that would stand at place n if times were sorted; no larger
// one is left before it. Sorting all of them would be most of a funnel's work.
func nth[T cmp.Ordered](times []T, n int) T {
	lo, hi := 0, len(times)-1
	for hi-lo > 16 {
		a, b, c := times[lo], times[(lo+hi)/2], times[hi]
		pivot := max(min(a, b), min(max(a, b), c))
		i, j := lo, hi
		for i <= j {
			for times[i] < pivot {
				i++
			}
			for times[j] > pivot {
				j--
			}
			if i <= j {
				times[i], times[j] = times[j], times[i]
				i, j = i+1, j-1
			}
		}
		switch {
		case n <= j:
			hi = j
		case n >= i:
			lo = i
		default:
			return times[n]
		}
	}
	slices.Sort(times[lo : hi+1])
	return times[n]
}

func ptr[T any](v T) *T { return &v }

// timeToConvert is the view time_to_convert: how long the actors that did both
// steps took from one to the other. Bins run from the shortest time to the
// longest, ⌈³√n⌉ of them for n actors unless the request says how many; a last
// one starts at or after the longest time. All are equally wide, in whole
// seconds; where all times are equal, a minute.
func (f *funnel) timeToConvert(ctx context.Context) (*Conversion, error) {
	found := make([][]event.Time, processors())
	from, to := *f.request.FromStep, *f.request.ToStep
	err := f.chains(ctx, func(worker int, _ uint32, c *chain) {
		if f.plan.order == unordered {
			if times := c.inTime(); to < len(times) {
				found[worker] = append(found[worker], times[to]-times[from])
			}
		} else if f.did(c, from) && f.did(c, to) {
			found[worker] = append(found[worker], c.between(from, to))
		}
	})
	if err != nil {
		return nil, err
	}
	times := slices.Concat(found...)
	slices.Sort(times)
	return convert(times, f.request.BinCount), nil
}

const maxAutoBins = 60

func convert(sorted []event.Time, bins int) *Conversion {
	c := &Conversion{Bins: [][2]int64{}}
	if len(sorted) == 0 {
		return c
	}
	c.Average = ptr(seconds(meanTime(sorted)))
	if bins == 0 {
		bins = min(maxAutoBins, int(math.Ceil(math.Cbrt(float64(len(sorted)))-1e-9)))
	}
	shortest := int64(sorted[0] / second)
	longest := float64(sorted[len(sorted)-1]) / 1000
	width := max(0, int64(math.Ceil((longest-float64(shortest))/float64(bins))))
	if width == 0 {
		width = 60
	}
	for i := range bins + 1 {
		c.Bins = append(c.Bins, [2]int64{shortest + int64(i)*width, 0})
	}
	for _, t := range sorted {
		c.Bins[min(int64(bins), (int64(t/second)-shortest)/width)][1]++
	}
	return c
}

// trend is the view trend: of the actors with a first step in a bucket, how
// many converted from one of those; with from_step and to_step, of those that
// got to the one, how many did to the other. An actor counts once in each bucket
// in which it starts, and the range cuts chains as everywhere.
func (f *funnel) trend(ctx context.Context) ([]TrendRow, error) {
	buckets, err := f.request.Calendar.Cut(f.request.Interval, f.request.From, f.request.To)
	if err != nil {
		return nil, err
	}
	parts := f.actors.partitions()
	entered, converted := make([][]int, processors()), make([][]int, processors())
	err = f.each(ctx, parts, func(worker int, find *finder, _ uint32, hits []hit) {
		if entered[worker] == nil {
			entered[worker], converted[worker] = make([]int, buckets.Len()), make([]int, buckets.Len())
		}
		for _, n := range startBuckets(find, hits, buckets) {
			since, until := buckets.Starts[n], buckets.EndOf(n)
			c := find.best(within(hits, since-f.plan.grace, until+f.plan.reach()), starts{since, until})
			in, through := f.passed(&c)
			entered[worker][n] += in
			converted[worker][n] += through
		}
	})
	if err != nil {
		return nil, err
	}
	return f.trendRows(buckets, addUp(entered, buckets.Len()), addUp(converted, buckets.Len())), nil
}

// passed counts a chain that started: whether it got to from_step, and to to_step.
func (f *funnel) passed(c *chain) (in, through int) {
	from, to := f.request.FromStep, f.request.ToStep
	entered, converted := true, c.depth >= bits.Len32((1<<f.plan.steps-1)&^f.plan.optional)
	if from != nil {
		entered = f.did(c, *from)
		converted = entered && f.did(c, *to)
	}
	return count(entered), count(converted)
}

// did says that a chain has a step; without order, so many steps.
func (f *funnel) did(c *chain, step int) bool {
	if f.plan.order == unordered {
		return c.depth > step
	}
	return c.done&(1<<step) != 0
}

func count(is bool) int {
	if is {
		return 1
	}
	return 0
}

func startBuckets(find *finder, hits []hit, buckets *calendar.Buckets) []int {
	var found []int
	find.entries(hits, func(at event.Time) {
		if n := buckets.Index(at); len(found) == 0 || found[len(found)-1] != n {
			found = append(found, n)
		}
	})
	return found
}

func (f *funnel) trendRows(buckets *calendar.Buckets, entered, converted []int) []TrendRow {
	rows := make([]TrendRow, buckets.Len())
	for n, label := range buckets.Labels() {
		over := buckets.EndOf(n)-1+f.plan.reach() < f.request.Now
		rows[n] = TrendRow{label, entered[n], converted[n], percent(converted[n], entered[n]), over}
	}
	return rows
}

func addUp(parts [][]int, n int) []int {
	sums := make([]int, n)
	for _, part := range parts {
		for i, v := range part {
			sums[i] += v
		}
	}
	return sums
}

// FunnelUsersRequest asks who stands behind a number of a funnel.
type FunnelUsersRequest struct {
	*FunnelRequest
	Step    int    `json:"step"`
	Dropped bool   `json:"dropped"`
	Limit   int    `json:"limit"`
	Cursor  string `json:"cursor,omitempty"`
}

// ReadFunnelUsers reads the request of POST funnel/users.
func ReadFunnelUsers(p *Params, env Env) (*FunnelUsersRequest, error) {
	r := &FunnelUsersRequest{FunnelRequest: p.funnel(env)}
	p.shapeOfFunnel(r.FunnelRequest)
	if !p.Has("step") {
		p.Fail("step", "is required: the index of a step, from 0")
	}
	r.Step = p.Int("step", 0, 0, max(1, len(r.Steps)-1))
	r.Dropped = p.Bool("dropped", false)
	if r.Dropped && r.Step == 0 {
		p.Fail("step", "must be 1 or more with dropped: nobody is lost before the first step")
	}
	r.Limit = p.Int("limit", 100, 1, 10_000)
	r.Cursor = p.String("cursor", "")
	return r, p.Done()
}

// shapeOfFunnel lets the parameters stand that only shape the answer of POST
// funnel, so that its body can be sent on as it is.
func (p *Params) shapeOfFunnel(r *FunnelRequest) {
	for _, name := range []string{"view", "breakdown", "from_step", "to_step", "bin_count", "interval", "week_start"} {
		p.Get(name)
	}
	r.View = "steps"
}

// FunnelUsersAnswer is a page of users, in the order of their names.
type FunnelUsersAnswer struct {
	Users      []FunnelUser `json:"users"`
	NextCursor *string      `json:"next_cursor"`
	Definition Definition   `json:"definition"`
}

// FunnelUser is one of those behind a number.
type FunnelUser struct {
	UserID string     `json:"user_id"`
	At     event.Time `json:"at"` // of the step; of those lost, of the last step they did
}

// FunnelUsers answers POST funnel/users.
func FunnelUsers(ctx context.Context, v *columns.View, r *FunnelUsersRequest) (*FunnelUsersAnswer, error) {
	f, err := r.open(ctx, v)
	if err != nil {
		return nil, err
	}
	after, err := readCursor(r.Cursor)
	if err != nil {
		return nil, err
	}
	found := make([]least[FunnelUser], processors())
	for i := range found {
		found[i] = least[FunnelUser]{n: r.Limit + 1, compare: func(a, b FunnelUser) int { return cmp.Compare(a.UserID, b.UserID) }}
	}
	err = f.chains(ctx, func(worker int, actor uint32, c *chain) {
		if at, ok := r.counts(f, c); ok {
			if name := f.actors.name(actor); after == nil || name > *after {
				found[worker].add(FunnelUser{name, at})
			}
		}
	})
	if err != nil {
		return nil, err
	}
	users := leastOf(found)
	answer := &FunnelUsersAnswer{Users: users[:min(len(users), r.Limit)], Definition: r.definition()}
	if len(users) > r.Limit {
		next := cursorAfter(users[r.Limit-1].UserID)
		answer.NextCursor = &next
	}
	if answer.Users == nil {
		answer.Users = []FunnelUser{}
	}
	return answer, nil
}

// counts says whether a chain is one of those asked for, and when.
func (r *FunnelUsersRequest) counts(f *funnel, c *chain) (event.Time, bool) {
	if c.depth == 0 {
		return 0, false
	}
	times := c.inTime()
	did, before, at := c.done&(1<<r.Step) != 0, c.done&(1<<max(0, f.plan.lowest(r.Step))) != 0, c.at[r.Step]
	if f.plan.order == unordered {
		did, before = r.Step < len(times), r.Step <= len(times)
		at = times[min(r.Step, len(times)-1)]
	}
	if r.Dropped {
		return times[len(times)-1], before && !did
	}
	return at, did
}

// FunnelExplainRequest asks how one user went through a funnel.
type FunnelExplainRequest struct {
	*FunnelRequest
	UserID string `json:"user_id"`
}

// ReadFunnelExplain reads the request of POST funnel/explain.
func ReadFunnelExplain(p *Params, env Env) (*FunnelExplainRequest, error) {
	r := &FunnelExplainRequest{FunnelRequest: p.funnel(env), UserID: p.Required("user_id", "the user to explain")}
	p.shapeOfFunnel(r.FunnelRequest)
	return r, p.Done()
}

// FunnelExplainAnswer says which event filled which step, and why it stopped.
type FunnelExplainAnswer struct {
	UserID     string       `json:"user_id"`
	Entered    bool         `json:"entered"`
	Converted  bool         `json:"converted"`
	Reached    int          `json:"reached"` // the deepest step, from 0; -1 when not entered
	Steps      []StepFilled `json:"steps"`
	Stopped    string       `json:"stopped"`
	Void       []event.Time `json:"void_starts"` // starts whose attempt met an excluded event
	Entries    []event.Time `json:"entries"`     // the starts that count
	Definition Definition   `json:"definition"`
}

// StepFilled is a step and the event that filled it.
type StepFilled struct {
	Step    string       `json:"step"`
	Index   int          `json:"index"`
	Filled  bool         `json:"filled"`
	At      event.Time   `json:"at"`
	Seconds *float64     `json:"seconds_since_start"`
	Event   *event.Event `json:"event"`
}

// FunnelExplain answers POST funnel/explain.
func FunnelExplain(ctx context.Context, v *columns.View, r *FunnelExplainRequest) (*FunnelExplainAnswer, error) {
	f, err := r.open(ctx, v)
	if err != nil {
		return nil, err
	}
	answer := &FunnelExplainAnswer{UserID: r.UserID, Reached: -1, Definition: r.definition(), Void: []event.Time{}, Entries: []event.Time{}}
	var found chain
	var hits []hit
	end := forever
	if actor, ok := f.actors.number(r.UserID); ok {
		err = f.each(ctx, []partition{{actor, actor + 1}}, func(_ int, find *finder, _ uint32, theirs []hit) {
			found, hits = find.best(theirs, anytime), slices.Clone(theirs)
			answer.starts(find)
			if found.depth > 0 {
				end = find.endOf(found.at[0])
			}
		})
		if err != nil {
			return nil, err
		}
	}
	answer.Reached = found.depth - 1
	answer.Entered = found.depth > 0
	answer.Converted = found.depth >= bits.Len32((1<<f.plan.steps-1)&^f.plan.optional)
	if err := answer.fill(ctx, f, &found, hits); err != nil {
		return nil, err
	}
	answer.Stopped = f.why(&found, hits, end, answer)
	return answer, nil
}

func (a *FunnelExplainAnswer) starts(find *finder) {
	for i, g := range find.groups {
		switch {
		case !find.entersAt(i):
		case !find.void[i]:
			a.Entries = append(a.Entries, g.at)
		case !find.plan.first || len(a.Entries)+len(a.Void) == 0:
			a.Void = append(a.Void, g.at)
		}
	}
}

// fill puts the raw events to the steps that they filled.
func (a *FunnelExplainAnswer) fill(ctx context.Context, f *funnel, c *chain, hits []hit) error {
	var refs []columns.Ref
	var filled []int
	for i, s := range f.request.Steps {
		a.Steps = append(a.Steps, StepFilled{Step: s.Label(), Index: i})
		if c.done&(1<<i) == 0 {
			continue
		}
		h := hits[c.hit[i]]
		since := seconds(float64(h.at - c.inTime()[0]))
		a.Steps[i] = StepFilled{Step: s.Label(), Index: i, Filled: true, At: h.at, Seconds: &since}
		days, err := f.source.view.Open(ctx, h.at, h.at, columns.Needs{Refs: true})
		if err != nil {
			return err
		}
		refs, filled = append(refs, days[0].Ref(h.row)), append(filled, i)
	}
	k := 0
	return f.source.view.Events(ctx, refs, func(e *event.Event) error {
		kept := *e
		for k < len(filled)-1 && a.Steps[filled[k]].At != kept.Timestamp {
			k++ // the event before this one is not stored any more
		}
		a.Steps[filled[k]].Event = &kept
		k++
		return nil
	})
}

// why says in words what the next step lacked. The attempt was stopped at end by an excluded event.
func (f *funnel) why(c *chain, hits []hit, end event.Time, a *FunnelExplainAnswer) string {
	switch {
	case a.Converted:
		return "did not stop: the last step is done"
	case len(hits) == 0:
		return "no event in the range matches a step"
	case c.depth == 0 && len(a.Void) > 0:
		return "every attempt met an excluded event between its steps"
	case c.depth == 0:
		return "no event in the range matches the first step"
	}
	if end < forever {
		return fmt.Sprintf("an excluded event at %s stopped the attempt", end)
	}
	if f.plan.order == unordered {
		return fmt.Sprintf("no window of %s has more than %d different steps", ask.DurationText(f.plan.window), c.depth)
	}
	return f.whyNotNext(c, hits)
}

func (f *funnel) whyNotNext(c *chain, hits []hit) string {
	next := c.depth
	for next < f.plan.steps-1 && f.plan.optional&(1<<next) != 0 {
		next++
	}
	label, reached := f.request.Steps[next].Label(), c.at[c.depth-1]
	since := c.at[0]
	if f.plan.sliding {
		since = reached
	}
	for _, h := range hits {
		if h.at < reached || h.at == reached && f.plan.increasing || h.steps&(1<<next) == 0 {
			continue
		}
		if f.plan.order == strict {
			return fmt.Sprintf("other events stand between step %d and %q at %s", c.depth-1, label, h.at)
		}
		if h.at-since > f.plan.window {
			return fmt.Sprintf("%q came at %s, after the window ended at %s", label, h.at, since+f.plan.window)
		}
	}
	return fmt.Sprintf("no event matches %q after %s and within the range", label, reached)
}
