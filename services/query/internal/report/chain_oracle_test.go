package report

import (
	"fmt"
	"math/bits"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/maidian/maidian/pkg/event"
)

// The oracle tries every chain there is, one event at a time, and picks by the
// rules as they are written at finder. It knows nothing of the finder's states.

type oracleChain struct {
	steps []int // ascending
	hits  []int
}

func (c oracleChain) at(hits []hit, i int) event.Time { return hits[c.hits[i]].at }

// everyChain lists all chains of an ordered or strict funnel, incomplete ones too.
func everyChain(p *plan, hits []hit) []oracleChain {
	var all []oracleChain
	var extend func(c oracleChain)
	extend = func(c oracleChain) {
		from := -1
		if len(c.steps) > 0 {
			from = c.steps[len(c.steps)-1]
			all = append(all, oracleChain{slices.Clone(c.steps), slices.Clone(c.hits)})
		}
		for q := from + 1; q < p.steps; q++ {
			for i, h := range hits {
				if h.steps&(1<<q) != 0 && oracleFollows(p, hits, c, i) {
					extend(oracleChain{append(slices.Clone(c.steps), q), append(slices.Clone(c.hits), i)})
				}
			}
			if p.optional&(1<<q) == 0 {
				break
			}
		}
	}
	extend(oracleChain{})
	if p.order == strict {
		all = slices.DeleteFunc(all, func(c oracleChain) bool { return interrupted(hits, c) })
	}
	return all
}

// oracleFollows says that hit i may come next in a chain.
func oracleFollows(p *plan, hits []hit, c oracleChain, i int) bool {
	n, at := len(c.hits), hits[i].at
	if n == 0 {
		return p.lastEntry == 0 || at <= p.lastEntry
	}
	before, since := c.at(hits, n-1), c.at(hits, 0)
	if p.sliding {
		since = before
	}
	return (p.reuse || !slices.Contains(c.hits, i)) && at >= before-p.grace && !(p.increasing && at == before) && at-since <= p.window
}

// interrupted says that some event must stand between those of the chain.
func interrupted(hits []hit, c oracleChain) bool {
	first, last := c.at(hits, 0), c.at(hits, len(c.hits)-1)
	for i, h := range hits {
		if first < h.at && h.at < last && !slices.Contains(c.hits, i) {
			return true
		}
	}
	return false
}

// oracleBest is depth, steps done and their times.
func oracleBest(p *plan, hits []hit) (depth int, done uint32, times []event.Time) {
	if p.order == unordered {
		times = oracleUnordered(p, hits)
		return len(times), 0, times
	}
	chains := everyChain(p, hits)
	if p.first {
		chains = slices.DeleteFunc(chains, func(c oracleChain) bool {
			return slices.ContainsFunc(hits, func(h hit) bool { return h.steps&1 != 0 && h.at < c.at(hits, 0) })
		})
	}
	spoiled := map[event.Time]event.Time{}
	for _, c := range chains {
		spoiled[c.at(hits, 0)] = oracleSpoiled(p, hits, chains, c.at(hits, 0))
	}
	var best *oracleChain
	for i := range chains {
		c := &chains[i]
		end := spoiled[c.at(hits, 0)]
		counts := end == forever || p.stops && !slices.ContainsFunc(c.hits, func(i int) bool { return hits[i].at > end })
		if counts && (best == nil || oraclePrefers(p, hits, c, best)) {
			best = c
		}
	}
	if best == nil {
		return 0, 0, nil
	}
	for i, step := range best.steps {
		done |= 1 << step
		times = append(times, best.at(hits, i))
	}
	return best.steps[len(best.steps)-1] + 1, done, times
}

// oracleSpoiled is when the attempt from start first meets an excluded event.
func oracleSpoiled(p *plan, hits []hit, chains []oracleChain, start event.Time) event.Time {
	reached := make([]event.Time, p.steps)
	for k := range reached {
		reached[k] = forever
		for _, c := range chains {
			for i, step := range c.steps {
				if c.at(hits, 0) == start && step >= k {
					reached[k] = min(reached[k], c.at(hits, i))
				}
			}
		}
	}
	first := forever
	for n, x := range p.exclusions {
		for _, h := range hits {
			if h.others&(1<<n) != 0 && reached[x.from] < h.at && h.at < reached[x.to] && h.at-start <= p.window {
				first = min(first, h.at)
			}
		}
	}
	return first
}

func (c oracleChain) completed(hits []hit) event.Time {
	last := c.at(hits, 0)
	for i := range c.hits {
		last = max(last, c.at(hits, i))
	}
	return last
}

func oraclePrefers(p *plan, hits []hit, a, b *oracleChain) bool {
	n, m := len(a.steps)-1, len(b.steps)-1
	switch {
	case a.steps[n] != b.steps[m]:
		return a.steps[n] > b.steps[m]
	case a.completed(hits) != b.completed(hits):
		return a.completed(hits) < b.completed(hits)
	case n != m:
		return n > m
	case a.at(hits, 0) != b.at(hits, 0):
		return a.at(hits, 0) > b.at(hits, 0)
	}
	if p.sliding {
		for i := n; i >= 0; i-- {
			if x, y := a.at(hits, i), b.at(hits, i); x != y {
				return x > y
			}
			if a.steps[i] != b.steps[i] {
				return a.steps[i] > b.steps[i]
			}
		}
		return false
	}
	for i := range a.steps {
		if x, y := a.at(hits, i), b.at(hits, i); x != y {
			return x < y
		}
	}
	return slices.Compare(a.steps, b.steps) < 0
}

// oracleUnordered is the times of the chain chosen, in order.
func oracleUnordered(p *plan, hits []hit) []event.Time {
	var starts []event.Time
	for _, h := range hits {
		inTime := p.lastEntry == 0 || h.at <= p.lastEntry
		if inTime && h.steps != 0 && !slices.Contains(starts, h.at) && (!p.first || len(starts) == 0) {
			starts = append(starts, h.at)
		}
	}
	most := 0
	for _, s := range starts {
		most = max(most, len(earliestSteps(p, hits, s, maxSteps)))
	}
	var first []event.Time
	for _, s := range starts {
		times := earliestSteps(p, hits, s, most)
		if len(times) < most {
			continue
		}
		if first == nil {
			first = times
		}
		last := times[most-1]
		if most < p.steps {
			last = s + p.window + 1
		}
		if !slices.ContainsFunc(hits, func(h hit) bool { return h.others != 0 && s < h.at && h.at < last }) {
			return times
		}
	}
	return first[:min(1, len(first))]
}

// earliestSteps is the longest list of times, most at most, in which different
// events from start on do different steps; of those the earliest.
func earliestSteps(p *plan, hits []hit, start event.Time, most int) []event.Time {
	var best []event.Time
	var extend func(from int, served uint32, times []event.Time)
	extend = func(from int, served uint32, times []event.Time) {
		if len(times) > len(best) || len(times) == len(best) && slices.Compare(times, best) < 0 {
			best = slices.Clone(times)
		}
		for i := from; i < len(hits) && len(times) < most; i++ {
			if hits[i].at < start || hits[i].at-start > p.window {
				continue
			}
			for free := hits[i].steps &^ served; free != 0; free &= free - 1 {
				extend(i+1, served|1<<bits.TrailingZeros32(free), append(slices.Clone(times), hits[i].at))
			}
		}
	}
	extend(0, 0, nil)
	return best
}

// history is a random plan and one actor's events.
type history struct {
	plan plan
	hits []hit
}

func (h history) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%+v\n", h.plan)
	for _, x := range h.hits {
		fmt.Fprintf(&b, "  at %d steps %0*b excluded %b\n", x.at, h.plan.steps, x.steps, x.others)
	}
	return b.String()
}

func randomHistory(r *rand.Rand) history {
	h := history{plan: plan{steps: 2 + r.IntN(3), order: order(r.IntN(3)), window: event.Time(1 + r.IntN(9)), first: r.IntN(4) == 0}}
	if h.plan.order != unordered && r.IntN(2) == 0 {
		h.plan.optional = uint32(r.IntN(1<<h.plan.steps)) &^ 1
	}
	for range r.IntN(3) * r.IntN(2) {
		from := r.IntN(h.plan.steps - 1)
		x := stepSpan{from, from + 1 + r.IntN(h.plan.steps-1-from)}
		if h.plan.order == unordered {
			x = stepSpan{0, h.plan.steps - 1}
		}
		h.plan.exclusions = append(h.plan.exclusions, x)
	}
	overlap := r.IntN(3) == 0 // events that match several steps
	if r.IntN(2) == 0 {
		h.plan.otherRules(r)
		overlap = overlap && (h.plan.grace == 0 || h.plan.reuse)
	}
	at := event.Time(100)
	for range 1 + r.IntN(9) {
		at += event.Time(r.IntN(4))
		x := hit{at: at}
		switch k := r.IntN(10); {
		case k < 7 && overlap:
			x.steps = uint32(r.IntN(1 << h.plan.steps))
		case k < 8:
			x.steps = 1 << r.IntN(h.plan.steps)
		}
		if n := len(h.plan.exclusions); n > 0 && (x.steps == 0 || r.IntN(8) == 0) {
			x.others = 1 << r.IntN(n)
		}
		if x.steps|x.others != 0 || h.plan.order == strict {
			h.hits = append(h.hits, x)
		}
	}
	return h
}

// otherRules are some that other systems have.
func (p *plan) otherRules(r *rand.Rand) {
	if r.IntN(3) == 0 {
		p.lastEntry = event.Time(100 + r.IntN(12))
	}
	p.stops = len(p.exclusions) > 0 && p.order != unordered && r.IntN(2) == 0
	if p.order != ordered {
		return
	}
	p.sliding, p.reuse, p.increasing = len(p.exclusions) == 0 && r.IntN(3) == 0, r.IntN(3) == 0, r.IntN(3) == 0
	if !p.increasing && len(p.exclusions) == 0 && r.IntN(3) == 0 {
		p.grace = event.Time(1 + r.IntN(3))
	}
}

func (h history) wrong() string {
	find := finder{plan: h.plan}
	c := find.best(h.hits, anytime)
	depth, done, times := oracleBest(&h.plan, h.hits)
	slices.Sort(times) // with grace a chain's events are not in order
	if c.depth != depth || h.plan.order != unordered && c.done != done || !slices.Equal(c.inTime(), times) {
		return fmt.Sprintf("got depth %d, steps %b at %v, want depth %d, steps %b at %v", c.depth, c.done, c.inTime(), depth, done, times)
	}
	return ""
}

// shrink leaves out events while the history stays wrong.
func (h history) shrink() history {
	for i := 0; i < len(h.hits); i++ {
		less := history{h.plan, slices.Delete(slices.Clone(h.hits), i, i+1)}
		if less.wrong() != "" {
			return less.shrink()
		}
	}
	return h
}

func TestChainsAreThoseOfTheOracle(t *testing.T) {
	for seed := range uint64(30_000) {
		h := randomHistory(rand.New(rand.NewPCG(seed, 1)))
		if h.wrong() != "" {
			h = h.shrink()
			t.Fatalf("seed %d: %s\n%s", seed, h.wrong(), h)
		}
	}
}
