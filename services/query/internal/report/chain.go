package report

import (
	"cmp"
	"context"
	"math/bits"
	"slices"

	"github.com/maidian/maidian/pkg/event"
)

// maxSteps is the most steps of a funnel; a step is a bit in a uint32.
const maxSteps = 20

// order says how a funnel's events must stand.
type order uint8

const (
	ordered order = iota
	strict
	unordered
)

// plan is a funnel's rules, without its events.
type plan struct {
	steps      int
	optional   uint32 // bit n: step n may be skipped; never step 0
	order      order
	window     event.Time // inclusive
	first      bool       // only the first entry counts
	exclusions []stepSpan // exclusion n is bit n of hit.others

	// Rules that other systems have; the zero value is our own. Those of one line
	// below go with steps in order only.
	lastEntry  event.Time // later first steps start no chain; 0: all do
	stops      bool       // an exclusion stops an attempt where it is, in place of voiding it
	sliding    bool       // the window runs anew from each step
	increasing bool       // each step is later than the one before
	reuse      bool       // one event may serve several steps
	grace      event.Time // a step may come so much before the one that it follows
}

// common says that none of the other systems' rules is asked for that matters
// where each event serves one step at most.
func (p *plan) common() bool {
	return p.lastEntry == 0 && !p.sliding && !p.increasing && p.grace == 0
}

// reach is how long after its start a chain may go on.
func (p *plan) reach() event.Time {
	if p.sliding {
		return event.Time(p.steps-1) * p.window
	}
	return p.window
}

// stepSpan is the steps between which an exclusion holds.
type stepSpan struct{ from, to int }

// chain is what became of one actor: which hit filled which step.
type chain struct {
	depth int    // one more than the deepest step that was done; 0: the actor never entered
	done  uint32 // bit n: step n was done
	hit   [maxSteps]int32
	at    [maxSteps]event.Time
}

// beats says which of two chains of an actor counts, by the finder's order.
func (c *chain) beats(o *chain) bool {
	if c.depth != o.depth || c.depth == 0 {
		return c.depth > o.depth
	}
	mine, other := c.inTime(), o.inTime()
	order := cmp.Or(
		cmp.Compare(mine[len(mine)-1], other[len(other)-1]), cmp.Compare(len(other), len(mine)),
		cmp.Compare(other[0], mine[0]), slices.Compare(mine, other),
	)
	differing := c.done ^ o.done
	return order < 0 || order == 0 && c.done&differing&-differing != 0
}

// finder finds chains. It keeps its memory from one actor to the next and is
// used by one goroutine.
//
// A chain takes events of one actor, in the order of time, for steps in their
// order. Every step but the optional ones must be there, no event serves two
// steps, and the last event is at most the window after the first. Events with
// equal times may be taken in any order. Of all chains the actor's is
//
//  1. the one that gets deepest,
//  2. of those, the one that gets there first,
//  3. of those, the one with most optional steps done,
//  4. of those, the one that starts last,
//  5. of those, the one whose events come earliest, step by step.
//
// In strict order no event of the actor stands between those of a chain.
//
// An attempt is a first step and its window, with each step reached as early
// as it can be from that start. It is void when an excluded event comes after
// its from step (or a later one) was reached and before its to step (or a later
// one) is; at the very same time is neither after nor before. Chains do not
// start where the attempt is void.
//
// Without order, depth n means that n different steps were done within the
// window. The chain is that of the first start from which most can be done, and
// takes each step's earliest event. When an excluded event lies between the
// first and the last event of every such chain (or in its window, if the chain
// lacks a step), the actor keeps the first event and goes no further.
//
// The plan may hold other systems' rules, and then:
//
//   - lastEntry: chains start until then; their later steps may follow it.
//   - stops: an attempt that meets an excluded event keeps what it has reached
//     and takes nothing that comes after that event.
//   - sliding: each step is at most the window after the step before it. The
//     fifth choice is then the chain whose events come latest, from the last one.
//   - increasing: events with equal times do not follow each other.
//   - reuse: one event may serve several steps.
//   - grace: the event of a step may be that much older than that of the step
//     before it. Of events that match several steps, the earliest is taken for
//     the first of them that it can serve.
type finder struct {
	plan plan
	ctx  context.Context // ends the search in the middle of an actor; nil: nothing does
	work int             // units since the search began, see stopped
	over bool            // ctx has ended

	hits   []hit
	groups []group
	nodes  []link
	states [maxSteps][]int32 // by position: nodes, the best chains that end there
	fresh  []int32
	void   []bool       // by group: no chain starts there
	ends   []event.Time // by group, when attempts stop: the chains that start there take nothing later
	group  int          // that is being taken

	excluded []event.Time // when there are excluded events

	attempts [maxSteps][]event.Time
	match    matching
}

// group is the hits lo … hi-1 with one time.
type group struct {
	at     event.Time
	lo, hi int
	steps  uint32 // of any of its hits
	others uint32
}

// link is a step of a chain; the steps before it hang on parent.
type link struct {
	parent int32 // -1: it is the first
	hit    int32
	step   int8
	count  int8
	start  event.Time
}

// starts is a stretch of time in which chains may start: since ≤ t < until.
type starts struct{ since, until event.Time }

var anytime = starts{-1 << 63, forever}

// best is the actor's chain among those that start in a stretch of time. Hits
// stand in the order of time.
func (f *finder) best(hits []hit, within starts) chain {
	if !f.prepare(hits) {
		return chain{}
	}
	switch f.plan.order {
	case strict:
		return f.bestStrict(within)
	case unordered:
		return f.bestUnordered(within)
	}
	return f.bestOrdered(within)
}

// entries calls yield with the time of each start that is not void.
func (f *finder) entries(hits []hit, yield func(at event.Time)) {
	if !f.prepare(hits) {
		return
	}
	for i := range f.groups {
		if f.isStart(i, anytime) {
			yield(f.groups[i].at)
		}
	}
}

// stopped says that the search is to end. It is asked at each unit of work, and
// asks ctx at one in 1024.
func (f *finder) stopped() bool {
	if f.work++; f.work%1024 == 0 && f.ctx != nil && f.ctx.Err() != nil {
		f.over = true
	}
	return f.over
}

// prepare groups the hits and finds the void starts; false when there is no first step.
func (f *finder) prepare(hits []hit) bool {
	f.hits, f.groups, f.nodes = hits, f.groups[:0], f.nodes[:0]
	f.excluded = f.excluded[:0]
	all := uint32(0)
	for i := range hits {
		h := &hits[i]
		all |= h.steps
		if h.others != 0 {
			f.excluded = append(f.excluded, h.at)
		}
		if n := len(f.groups); n > 0 && f.groups[n-1].at == h.at {
			g := &f.groups[n-1]
			g.hi, g.steps, g.others = i+1, g.steps|h.steps, g.others|h.others
			continue
		}
		f.groups = append(f.groups, group{h.at, i, i + 1, h.steps, h.others})
	}
	if all == 0 || all&1 == 0 && f.plan.order != unordered {
		return false
	}
	f.void = append(f.void[:0], make([]bool, len(f.groups))...)
	f.ends = f.ends[:0]
	if f.plan.stops {
		f.ends = append(f.ends, slices.Repeat([]event.Time{forever}, len(f.groups))...)
	}
	if f.plan.first {
		f.keepFirstEntry()
	}
	if len(f.excluded) > 0 {
		switch f.plan.order {
		case ordered:
			f.voidOrdered()
		case strict:
			f.voidStrict()
		}
	}
	return true
}

func (f *finder) keepFirstEntry() {
	found := false
	for i := range f.groups {
		f.void[i] = found
		found = found || f.entersAt(i)
	}
}

// entersAt says whether a group has a first step; unordered, any step is one.
func (f *finder) entersAt(i int) bool {
	if f.plan.lastEntry != 0 && f.groups[i].at > f.plan.lastEntry {
		return false
	}
	return f.groups[i].steps&1 != 0 || f.plan.order == unordered && f.groups[i].steps != 0
}

func (f *finder) isStart(i int, within starts) bool {
	g := &f.groups[i]
	return !f.void[i] && f.entersAt(i) && within.since <= g.at && g.at < within.until
}

// lowest is the lowest position from which step q can come next: the steps
// between are optional. -1 is the position before the first step.
func (p *plan) lowest(q int) int {
	for q--; q >= 0 && p.optional&(1<<q) != 0; q-- {
	}
	return q
}

// required and skippable are the steps after from and before q that must be done, and need not.
func (p *plan) required(from, q int) uint32 { return ((1<<q - 1) &^ (1<<(from+1) - 1)) &^ p.optional }

func (p *plan) skippable(from, q int) uint32 { return ((1<<q - 1) &^ (1<<(from+1) - 1)) & p.optional }

func (f *finder) bestOrdered(within starts) chain {
	for p := range f.plan.steps {
		f.states[p] = f.states[p][:0]
	}
	best, depth := int32(-1), 0
	var since event.Time // when that depth was reached
	for i := range f.groups {
		if f.stopped() {
			break
		}
		g := &f.groups[i]
		if g.steps == 0 {
			continue
		}
		f.fresh, f.group = f.fresh[:0], i
		f.take(g, f.isStart(i, within))
		for _, n := range f.fresh {
			if reached := int(f.nodes[n].step) + 1; reached > depth {
				depth, best, since = reached, n, g.at
			} else if reached == depth && since == g.at && f.better(n, best) {
				best = n
			}
		}
		if depth == f.plan.steps {
			break
		}
	}
	return f.chain(best)
}

// at is when the node's step was done.
func (n *link) at(f *finder) event.Time { return f.hits[n.hit].at }

// take extends the chains by a group of hits, and starts new ones if it may.
func (f *finder) take(g *group, mayStart bool) {
	if f.plan.grace == 0 && !f.plan.increasing && !f.plan.reuse && !f.singleSteps(g) {
		f.takeAny(g, mayStart)
		return
	}
	// No hit can serve one chain twice here, or it may: so steps in ascending order
	// chain within the group, and in descending order do not.
	for n := range f.plan.steps {
		q := n
		if f.plan.increasing {
			q = f.plan.steps - 1 - n
		}
		if g.steps&(1<<q) == 0 {
			continue
		}
		for i := g.lo; i < g.hi; i++ {
			if f.hits[i].steps&(1<<q) == 0 {
				continue
			}
			f.takeOne(q, int32(i), g.at, mayStart)
			if f.plan.grace == 0 {
				break // the others would do the same
			}
		}
	}
}

// singleSteps says that a group's hits can be taken one after the other: each
// serves one step at most.
func (f *finder) singleSteps(g *group) bool {
	for i := g.lo; i < g.hi; i++ {
		if s := f.hits[i].steps; s&(s-1) != 0 {
			return false
		}
	}
	return true
}

func (f *finder) takeOne(q int, hit int32, at event.Time, mayStart bool) {
	if q == 0 {
		if mayStart {
			f.keep(f.node(-1, hit, 0, at))
		}
		return
	}
	for p := max(0, f.plan.lowest(q)); p < q; p++ {
		for i := 0; i < len(f.states[p]); i++ {
			if parent := f.states[p][i]; f.follows(parent, hit, at) {
				f.keep(f.node(parent, hit, q, f.nodes[parent].start))
			}
		}
	}
}

// follows says that a hit may be the next of a chain.
func (f *finder) follows(n, hit int32, at event.Time) bool {
	before := &f.nodes[n]
	since := before.start
	if f.plan.sliding {
		since = before.at(f)
	}
	return at-since <= f.plan.window && f.goesOn(before.start, at) &&
		!(f.plan.increasing && at <= before.at(f)) &&
		!(f.plan.grace > 0 && (at < before.at(f)-f.plan.grace || f.uses(n, hit)))
}

// goesOn says that chains with this start may still take what happens at a time.
func (f *finder) goesOn(start, at event.Time) bool {
	return len(f.ends) == 0 || at <= f.endOf(start)
}

func (f *finder) endOf(start event.Time) event.Time {
	if len(f.ends) == 0 {
		return forever
	}
	return f.ends[f.groupAt(start)]
}

// uses says that a hit is in a chain; only with grace can it be met again.
func (f *finder) uses(n, hit int32) bool {
	for ; n >= 0; n = f.nodes[n].parent {
		if f.nodes[n].hit == hit && !f.plan.reuse {
			return true
		}
	}
	return false
}

// lookBack goes on from a chain with events that were met before its last one
// and may, by the grace, follow it.
func (f *finder) lookBack(n int32) {
	if f.plan.grace == 0 {
		return
	}
	node := f.nodes[n]
	since := node.at(f) - f.plan.grace
	for i := f.group; i >= 0 && f.groups[i].at >= since; i-- {
		g := &f.groups[i]
		for q := int(node.step) + 1; q < f.plan.steps; q++ {
			for k := g.lo; k < g.hi && g.steps&(1<<q) != 0; k++ {
				if f.hits[k].steps&(1<<q) != 0 && f.follows(n, int32(k), g.at) {
					f.keep(f.node(n, int32(k), q, node.start))
				}
			}
			if f.plan.optional&(1<<q) == 0 {
				break
			}
		}
	}
}

func (f *finder) node(parent, hit int32, step int, start event.Time) int32 {
	count := int8(1)
	if parent >= 0 {
		count += f.nodes[parent].count
	}
	f.nodes = append(f.nodes, link{parent, hit, int8(step), count, start})
	return int32(len(f.nodes) - 1)
}

// keep adds a chain to those that end at its step, unless one there is as good
// in every way; those that it makes needless leave.
func (f *finder) keep(n int32) {
	f.fresh = append(f.fresh, n)
	at := &f.states[f.nodes[n].step]
	for _, old := range *at {
		if f.covers(old, n) {
			if f.nodes[n].at(f) < f.nodes[old].at(f) {
				f.lookBack(n) // what is still to come it would not reach better, but what was may be
			}
			return
		}
	}
	*at = append(slices.DeleteFunc(*at, func(old int32) bool { return f.covers(n, old) }), n)
	f.lookBack(n)
}

// covers says that whatever b may become, a becomes something as good.
func (f *finder) covers(a, b int32) bool {
	x, y := &f.nodes[a], &f.nodes[b]
	if f.plan.sliding && x.at(f) < y.at(f) || f.endOf(x.start) < f.endOf(y.start) {
		return false
	}
	if x.count != y.count || x.start != y.start {
		return x.count >= y.count && x.start >= y.start
	}
	if f.plan.sliding {
		return !f.later(b, a)
	}
	return f.plan.optional == 0 && f.plan.grace == 0 || !f.earlier(b, a)
}

// better is the choice between chains of one depth that end at one time.
func (f *finder) better(a, b int32) bool {
	x, y := &f.nodes[a], &f.nodes[b]
	switch {
	case x.count != y.count:
		return x.count > y.count
	case x.start != y.start:
		return x.start > y.start
	case f.plan.sliding:
		return f.later(a, b)
	}
	return f.earlier(a, b)
}

// later compares two chains by time, from their last steps back, then by step.
func (f *finder) later(a, b int32) bool {
	for ; a >= 0 && b >= 0; a, b = f.nodes[a].parent, f.nodes[b].parent {
		x, y := &f.nodes[a], &f.nodes[b]
		if x.at(f) != y.at(f) {
			return x.at(f) > y.at(f)
		}
		if x.step != y.step {
			return x.step > y.step
		}
	}
	return false
}

// earlier compares two chains with as many steps: by time, step by step, then by step.
func (f *finder) earlier(a, b int32) bool {
	x, y := f.chain(a), f.chain(b)
	stepsX, stepsY := x.done, y.done
	for stepsX != 0 && stepsY != 0 {
		p, q := bits.TrailingZeros32(stepsX), bits.TrailingZeros32(stepsY)
		if x.at[p] != y.at[q] {
			return x.at[p] < y.at[q]
		}
		stepsX, stepsY = stepsX&(stepsX-1), stepsY&(stepsY-1)
	}
	return bits.Reverse32(x.done) > bits.Reverse32(y.done)
}

// chain follows a node back to its start.
func (f *finder) chain(n int32) chain {
	var c chain
	for ; n >= 0; n = f.nodes[n].parent {
		node := &f.nodes[n]
		c.depth = max(c.depth, int(node.step)+1)
		c.done |= 1 << node.step
		c.hit[node.step], c.at[node.step] = node.hit, f.hits[node.hit].at
	}
	return c
}

// takeAny extends the chains by hits of one time of which some serve several
// steps: from each chain to each step that can be reached with a hit for each
// step taken, all from the chains as they were before.
func (f *finder) takeAny(g *group, mayStart bool) {
	f.match.load(f.hits[g.lo:g.hi])
	before := len(f.nodes)
	var sources []int32
	for p := f.plan.steps - 1; p >= 0; p-- { // the deepest first: its chain to the same end is the earlier one
		sources = append(sources, f.states[p]...)
	}
	var ends []int32
	for _, s := range sources {
		if f.follows(s, -1, g.at) {
			ends = f.leap(ends, s, int(f.nodes[s].step), f.nodes[s].start, g)
		}
	}
	if mayStart {
		ends = f.leap(ends, -1, -1, g.at, g)
	}
	if len(f.nodes) == before {
		return
	}
	for _, n := range ends {
		f.keep(n)
	}
}

// leap makes the chains that go on from position p with the group's hits alone.
func (f *finder) leap(ends []int32, parent int32, p int, start event.Time, g *group) []int32 {
	for q := p + 1; q < f.plan.steps; q++ {
		taken, ok := f.match.choose(f.plan.required(p, q)|1<<q, f.plan.skippable(p, q), maxSteps)
		if ok {
			ends = append(ends, f.hang(parent, taken, start, g))
		} else if f.plan.optional&(1<<q) == 0 {
			break // q cannot be skipped on the way to later ones
		}
	}
	return ends
}

// hang hangs the steps taken, each with the hit it was matched with, on parent.
func (f *finder) hang(parent int32, taken uint32, start event.Time, g *group) int32 {
	for rest := taken; rest != 0; rest &= rest - 1 {
		step := bits.TrailingZeros32(rest)
		parent = f.node(parent, int32(g.lo+f.match.of[step]), step, start)
	}
	return parent
}

// reach is the deepest position that an attempt at position p gets to with a
// group's hits.
func (f *finder) reach(g *group, p int) int {
	best := p
	for q := p + 1; q < f.plan.steps; q++ {
		must := f.plan.required(p, q) | 1<<q
		if g.steps&must != must {
			if f.plan.optional&(1<<q) == 0 {
				break // q cannot be skipped on the way to later ones
			}
			continue
		}
		single := must&(must-1) == 0
		if f.plan.increasing && !single || g.hi-g.lo == 1 && !single && !f.plan.reuse {
			break // more than one step for one time, or one hit
		}
		if g.hi-g.lo == 1 || single || f.plan.reuse {
			best = q
			continue
		}
		if _, ok := f.match.choose(must, 0, maxSteps); ok {
			best = q
		}
	}
	return best
}

// voidOrdered marks the starts whose attempt meets an excluded event. All
// attempts at one position go on together, so each is moved once for each step.
func (f *finder) voidOrdered() {
	for p := range f.plan.steps {
		f.attempts[p] = f.attempts[p][:0]
	}
	for i := range f.groups {
		if f.stopped() {
			break
		}
		g := &f.groups[i]
		f.group = i
		if g.hi-g.lo > 1 {
			f.match.load(f.hits[g.lo:g.hi])
		}
		for p := f.plan.steps - 1; p >= 0; p-- {
			if len(f.attempts[p]) > 0 {
				f.advance(g, p)
			}
		}
		if g.steps&1 != 0 && !f.void[i] {
			p := f.withGrace(f.reach(g, -1))
			f.attempts[p] = append(f.attempts[p], g.at)
		}
	}
}

// advance moves or voids the attempts at position p.
func (f *finder) advance(g *group, p int) {
	to := f.reach(g, p)
	spoiled := f.spoils(g.others, p, to)
	if to == p && !spoiled {
		return
	}
	to = f.withGrace(to)
	for _, start := range f.attempts[p] {
		switch {
		case g.at-start > f.plan.window: // it is over, and stands
		case spoiled:
			f.spoil(f.groupAt(start), g.at)
		default:
			f.attempts[to] = append(f.attempts[to], start)
		}
	}
	f.attempts[p] = f.attempts[p][:0]
}

// withGrace is the position that events which came just before bring an attempt to.
func (f *finder) withGrace(p int) int {
	if f.plan.grace == 0 {
		return p
	}
	since := f.groups[f.group].at - f.plan.grace
	for i := f.group - 1; i >= 0 && p+1 < f.plan.steps && f.groups[i].at >= since; i-- {
		if f.groups[i].steps&(1<<(p+1)) != 0 {
			p++
		}
	}
	return p
}

// spoils says whether excluded events void an attempt that is at position p
// before their time and at position to after it.
func (f *finder) spoils(others uint32, p, to int) bool {
	for ; others != 0; others &= others - 1 {
		if x := f.plan.exclusions[bits.TrailingZeros32(others)]; p >= x.from && to < x.to {
			return true
		}
	}
	return false
}

// spoil voids the attempt that starts in a group, or stops it at a time.
func (f *finder) spoil(i int, at event.Time) {
	if f.plan.stops {
		f.ends[i] = at
	} else {
		f.void[i] = true
	}
}

func (f *finder) groupAt(at event.Time) int {
	i, _ := slices.BinarySearchFunc(f.groups, at, func(g group, at event.Time) int { return cmp.Compare(g.at, at) })
	return i
}

// strictRun is one strict attempt: which positions its chains are at, and when each
// position (or a deeper one) was reached first.
type strictRun struct {
	alive   []int32
	best    int32
	depth   int
	reached [maxSteps]event.Time
}

func (f *finder) bestStrict(within starts) chain {
	best := int32(-1)
	for i := range f.groups {
		if f.stopped() {
			break
		}
		if !f.isStart(i, within) {
			continue
		}
		r := f.runStrict(i)
		if r.best >= 0 && (best < 0 || f.deeper(r.best, best)) {
			best = r.best
		}
	}
	return f.chain(best)
}

// deeper is the choice between the chains of two starts.
func (f *finder) deeper(a, b int32) bool {
	x, y := &f.nodes[a], &f.nodes[b]
	switch {
	case x.step != y.step:
		return x.step > y.step
	case x.at(f) != y.at(f):
		return x.at(f) < y.at(f)
	}
	return f.better(a, b)
}

// runStrict follows the attempt that starts in group i. Of the group in which
// it starts it may take any hits, as the last ones; of each later group all, but
// for the one in which it ends.
func (f *finder) runStrict(i int) strictRun {
	r := strictRun{best: -1}
	for p := range r.reached {
		r.reached[p] = forever
	}
	g := &f.groups[i]
	f.match.load(f.hits[g.lo:g.hi])
	ends := f.leap(nil, -1, -1, g.at, g)
	r.note(f, ends, g.at)
	r.alive = ends
	for i++; i < len(f.groups) && len(r.alive) > 0; i++ {
		if f.stopped() {
			break
		}
		g = &f.groups[i]
		if start := f.nodes[r.alive[0]].start; g.at-start > f.plan.window || !f.goesOn(start, g.at) {
			break
		}
		f.match.load(f.hits[g.lo:g.hi])
		var reached, alive []int32
		for _, n := range r.alive {
			reached = f.leap(reached, n, int(f.nodes[n].step), f.nodes[n].start, g)
			alive = f.consume(alive, n, g)
		}
		r.note(f, reached, g.at)
		r.alive = f.bestByPosition(alive)
	}
	return r
}

// note takes down the positions reached at a time.
func (r *strictRun) note(f *finder, ends []int32, at event.Time) {
	for _, n := range ends {
		depth := int(f.nodes[n].step) + 1
		for p := depth - 1; p >= 0 && r.reached[p] == forever; p-- {
			r.reached[p] = at
		}
		if depth > r.depth || depth == r.depth && f.nodes[r.best].at(f) == at && f.better(n, r.best) {
			r.depth, r.best = depth, n
		}
	}
}

// consume makes the chains that take every hit of a group.
func (f *finder) consume(alive []int32, n int32, g *group) []int32 {
	p, size := int(f.nodes[n].step), g.hi-g.lo
	for q := p + 1; q < f.plan.steps; q++ {
		taken, ok := f.match.choose(f.plan.required(p, q)|1<<q, f.plan.skippable(p, q), size)
		if ok && bits.OnesCount32(taken) == size {
			alive = append(alive, f.hang(n, taken, f.nodes[n].start, g))
		}
	}
	return alive
}

// bestByPosition keeps the best of the chains of one start at each position.
func (f *finder) bestByPosition(nodes []int32) []int32 {
	kept := nodes[:0]
	for _, n := range nodes {
		i := slices.IndexFunc(kept, func(k int32) bool { return f.nodes[k].step == f.nodes[n].step })
		if i < 0 {
			kept = append(kept, n)
		} else if f.better(n, kept[i]) {
			kept[i] = n
		}
	}
	return kept
}

// voidStrict marks the starts whose attempt meets an excluded event.
func (f *finder) voidStrict() {
	for i := range f.groups {
		if f.stopped() {
			break
		}
		if f.void[i] || f.groups[i].steps&1 == 0 {
			continue
		}
		r := f.runStrict(i)
		f.nodes = f.nodes[:0]
		f.spoilStrict(i, r.reached[:])
	}
}

func (f *finder) spoilStrict(start int, reached []event.Time) {
	for i := start; i < len(f.groups) && f.groups[i].at-f.groups[start].at <= f.plan.window; i++ {
		if f.stopped() {
			break
		}
		for others := f.groups[i].others; others != 0; others &= others - 1 {
			x := f.plan.exclusions[bits.TrailingZeros32(others)]
			if at := f.groups[i].at; reached[x.from] < at && at < reached[x.to] {
				f.spoil(start, at)
				return
			}
		}
	}
}

// bestUnordered finds the first start from which most steps can be done and no
// excluded event lies between.
func (f *finder) bestUnordered(within starts) chain {
	from, depth := f.mostSteps(within)
	if depth == 0 {
		return chain{}
	}
	kept := f.unorderedFrom(from, depth)
	if len(f.excluded) == 0 || !f.crossed(&kept) {
		return kept
	}
	found := false
	f.eachStart(from, within, func(i int, t *stepTally) bool {
		if t.most() < depth || t.steps(&f.match) < depth {
			return true
		}
		kept = f.unorderedFrom(i, depth)
		found = !f.crossed(&kept)
		return !found
	})
	if !found {
		return f.unorderedFrom(from, 1)
	}
	return kept
}

// mostSteps is the first start from which most steps are done in the window, and how many.
func (f *finder) mostSteps(within starts) (from, depth int) {
	f.eachStart(0, within, func(i int, t *stepTally) bool {
		if t.most() > depth {
			if n := t.steps(&f.match); n > depth {
				from, depth = i, n
			}
		}
		return depth < f.plan.steps
	})
	return from, depth
}

// eachStart calls yield with each start from group i on and the tally of its
// window, until it returns false.
func (f *finder) eachStart(i int, within starts, yield func(i int, t *stepTally) bool) {
	var t stepTally
	for end := i; i < len(f.groups); i++ {
		if f.stopped() {
			break
		}
		g := &f.groups[i]
		for ; end < len(f.groups) && f.groups[end].at-g.at <= f.plan.window; end++ {
			t.count(f.hits[f.groups[end].lo:f.groups[end].hi], 1)
		}
		if f.isStart(i, within) && !yield(i, &t) {
			return
		}
		t.count(f.hits[g.lo:g.hi], -1)
	}
}

// unorderedFrom is the chain of that depth from group i on, with each step's earliest hit.
func (f *finder) unorderedFrom(i, depth int) chain {
	lo := f.groups[i].lo
	f.match.load(f.hits[lo:lo])
	for k := lo; k < len(f.hits) && f.match.size < depth; k++ {
		f.match.add(f.hits[k].steps, k-lo)
	}
	c := chain{depth: depth}
	for step := range f.plan.steps {
		if k := f.match.of[step]; k >= 0 {
			c.done |= 1 << step
			c.hit[step], c.at[step] = int32(lo+k), f.hits[lo+k].at
		}
	}
	return c
}

// crossed says whether an excluded event lies in an unordered chain.
func (f *finder) crossed(c *chain) bool {
	start, end := forever, event.Time(0)
	for rest := c.done; rest != 0; rest &= rest - 1 {
		at := c.at[bits.TrailingZeros32(rest)]
		start, end = min(start, at), max(end, at)
	}
	if c.depth < f.plan.steps {
		end = start + f.plan.window + 1
	}
	i, _ := slices.BinarySearch(f.excluded, start+1)
	return i < len(f.excluded) && f.excluded[i] < end
}
