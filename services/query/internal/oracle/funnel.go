package oracle

import (
	"cmp"
	"math"
	"slices"

	"github.com/maidian/maidian/pkg/event"
)

// funnel is a request's rules.
type funnel struct {
	*question
	names      []string
	steps      []test
	optional   []bool
	order      string
	window     event.Time
	first      bool
	exclusions []exclusion
}

type exclusion struct {
	matches  test
	from, to int
}

// hit is an event that a funnel sees: the steps that it could fill, and the
// exclusions that it is.
type hit struct {
	*record
	steps    map[int]bool
	excluded map[int]bool
}

// chain is which hits fill which steps, ascending.
type chain struct {
	steps []int
	hits  []hit
}

func (c *chain) start() event.Time { return c.hits[0].Timestamp }
func (c *chain) end() event.Time   { return c.hits[len(c.hits)-1].Timestamp }

// at is when a step was done, if it was.
func (c *chain) at(step int) (event.Time, bool) {
	if c == nil || !slices.Contains(c.steps, step) {
		return 0, false
	}
	return c.hits[slices.Index(c.steps, step)].Timestamp, true
}

func (q *question) readFunnel() *funnel {
	f := &funnel{question: q, order: q.text("order", "ordered"), window: q.seconds("window", 14*day), first: q.text("entry", "any") == "first"}
	for _, step := range q.list("steps") {
		s := asSeries(step)
		f.names = append(f.names, cmp.Or(s.text("name", ""), s.text("event", "")))
		f.steps = append(f.steps, q.selected(map[string]any(s)))
		f.optional = append(f.optional, s.flag("optional"))
	}
	for _, x := range q.list("exclusions") {
		e := asSeries(x)
		selector := answer{"event": e["event"], "name": e["name"], "filters": e["filters"]}
		f.exclusions = append(f.exclusions, exclusion{q.selected(selector), e.whole("from_step", 0), e.whole("to_step", len(f.steps)-1)})
	}
	return f
}

// hits of one user: in strict order every event counts, for it may stand between.
func (f *funnel) hits(theirs records) (hits []hit) {
	for _, r := range theirs {
		h := hit{r, map[int]bool{}, map[int]bool{}}
		for i, matches := range f.steps {
			if matches(r) {
				h.steps[i] = true
			}
		}
		for i, x := range f.exclusions {
			if x.matches(r) {
				h.excluded[i] = true
			}
		}
		if f.order == "strict" || len(h.steps)+len(h.excluded) > 0 {
			hits = append(hits, h)
		}
	}
	return hits
}

func anywhere(event.Time) bool { return true }

// best is the chain that counts, among those that start within a stretch of
// time; nil when there is none. Of all it is the one that gets deepest; of those
// the one that gets there first; then the one with most optional steps done,
// the one that starts last, the one whose events come earliest.
func (f *funnel) best(hits []hit, within func(event.Time) bool) *chain {
	if f.order == "unordered" {
		return f.bestUnordered(hits, within)
	}
	chains := f.chains(hits)
	void := map[event.Time]bool{}
	for i := range chains {
		void[chains[i].start()] = f.void(hits, chains, chains[i].start())
	}
	var best *chain
	for i := range chains {
		if c := &chains[i]; !void[c.start()] && within(c.start()) && (best == nil || prefers(c, best)) {
			best = c
		}
	}
	return best
}

// chains are all there are, incomplete ones too.
func (f *funnel) chains(hits []hit) (all []chain) {
	entry := slices.IndexFunc(hits, func(h hit) bool { return h.steps[0] })
	var extend func(c chain)
	extend = func(c chain) {
		from := 0
		if len(c.steps) > 0 {
			from = c.steps[len(c.steps)-1] + 1
			all = append(all, chain{slices.Clone(c.steps), slices.Clone(c.hits)})
		}
		for step := from; step < len(f.steps); step++ {
			for _, h := range hits {
				if h.steps[step] && f.follows(c, h) && (len(c.hits) > 0 || !f.first || h.Timestamp == hits[entry].Timestamp) {
					extend(chain{append(slices.Clone(c.steps), step), append(slices.Clone(c.hits), h)})
				}
			}
			if !f.optional[step] {
				break
			}
		}
	}
	extend(chain{})
	if f.order == "strict" {
		all = slices.DeleteFunc(all, func(c chain) bool { return interrupted(hits, c) })
	}
	return all
}

// follows says whether a hit can come next: one event serves one step, and all
// are in the window, its end included.
func (f *funnel) follows(c chain, h hit) bool {
	return len(c.hits) == 0 || !serves(c, h) && h.Timestamp >= c.end() && h.Timestamp-c.start() <= f.window
}

func serves(c chain, h hit) bool {
	return slices.ContainsFunc(c.hits, func(other hit) bool { return other.record == h.record })
}

// interrupted says that another event must stand between those of the chain.
func interrupted(hits []hit, c chain) bool {
	return slices.ContainsFunc(hits, func(h hit) bool { return c.start() < h.Timestamp && h.Timestamp < c.end() && !serves(c, h) })
}

// void says whether the attempt from a start meets an excluded event after its
// from step was reached and before its to step was.
func (f *funnel) void(hits []hit, chains []chain, start event.Time) bool {
	reached := func(step int) event.Time {
		earliest := event.Time(math.MaxInt64)
		for i := range chains {
			for k, s := range chains[i].steps {
				if chains[i].start() == start && s >= step {
					earliest = min(earliest, chains[i].hits[k].Timestamp)
				}
			}
		}
		return earliest
	}
	for n, x := range f.exclusions {
		from, to := reached(x.from), reached(x.to)
		for _, h := range hits {
			if h.excluded[n] && from < h.Timestamp && h.Timestamp < to && h.Timestamp-start <= f.window {
				return true
			}
		}
	}
	return false
}

func prefers(a, b *chain) bool {
	n, m := len(a.steps)-1, len(b.steps)-1
	order := cmp.Or(
		cmp.Compare(b.steps[m], a.steps[n]), cmp.Compare(a.end(), b.end()), cmp.Compare(m, n), cmp.Compare(b.start(), a.start()),
		slices.CompareFunc(a.hits, b.hits, func(x, y hit) int { return cmp.Compare(x.Timestamp, y.Timestamp) }), slices.Compare(a.steps, b.steps),
	)
	return order < 0
}

// bestUnordered: its step n is the n-th of the different steps that were done.
// From the first start from which most can be done; with an excluded event in
// every such chain the user keeps the first step and goes no further.
func (f *funnel) bestUnordered(hits []hit, within func(event.Time) bool) *chain {
	hits = slices.DeleteFunc(slices.Clone(hits), func(h hit) bool { return len(h.steps)+len(h.excluded) == 0 })
	var starts []event.Time
	for _, h := range hits {
		if len(h.steps) > 0 && !slices.Contains(starts, h.Timestamp) && (!f.first || len(starts) == 0) {
			starts = append(starts, h.Timestamp)
		}
	}
	starts = slices.DeleteFunc(starts, func(at event.Time) bool { return !within(at) })
	most := 0
	for _, s := range starts {
		most = max(most, len(f.earliest(hits, s, len(f.steps))))
	}
	var first []hit
	for _, s := range starts {
		done := f.earliest(hits, s, most)
		if len(done) < most {
			continue
		}
		if first == nil {
			first = done
		}
		until := done[most-1].Timestamp
		if most < len(f.steps) {
			until = s + f.window + 1
		}
		if !slices.ContainsFunc(hits, func(h hit) bool { return len(h.excluded) > 0 && s < h.Timestamp && h.Timestamp < until }) {
			return numbered(done)
		}
	}
	if first == nil {
		return nil
	}
	return numbered(first[:1])
}

func numbered(hits []hit) *chain {
	c := &chain{hits: hits}
	for i := range hits {
		c.steps = append(c.steps, i)
	}
	return c
}

// earliest are hits from a start that do different steps, as many as can be, at
// most so many; of those the earliest.
func (f *funnel) earliest(hits []hit, start event.Time, most int) (best []hit) {
	byTime := func(x, y hit) int { return cmp.Compare(x.Timestamp, y.Timestamp) }
	var extend func(from int, served []int, done []hit)
	extend = func(from int, served []int, done []hit) {
		if len(done) > len(best) || len(done) == len(best) && slices.CompareFunc(done, best, byTime) < 0 {
			best = slices.Clone(done)
		}
		for i := from; i < len(hits) && len(done) < most; i++ {
			if hits[i].Timestamp < start || hits[i].Timestamp-start > f.window {
				continue
			}
			for step := range hits[i].steps {
				if !slices.Contains(served, step) {
					extend(i+1, append(slices.Clone(served), step), append(slices.Clone(done), hits[i]))
				}
			}
		}
	}
	extend(0, nil, nil)
	return best
}

// funnel: how many get from step to step, in the view asked for.
func (q *question) funnel() answer {
	f := q.readFunnel()
	people := map[string][]hit{}
	for who, theirs := range q.byUser(q.records()) {
		people[who] = f.hits(theirs)
	}
	switch q.text("view", "steps") {
	case "time_to_convert":
		return f.timeToConvert(people)
	case "trend":
		return f.trend(people)
	}
	var chains []*chain
	for _, hits := range people {
		chains = append(chains, f.best(hits, anywhere))
	}
	a := answer{"funnel_steps": f.lines(chains)}
	if q.Request["breakdown"] != nil {
		a["breakdowns"] = f.breakdowns(people)
	}
	return a
}

// lines of the steps. The rates and times of a step go from the required step before it.
func (f *funnel) lines(chains []*chain) []answer {
	lines := []answer{}
	before := 0
	users := make([]int, len(f.steps))
	for step := range f.steps {
		var took []float64
		for _, c := range chains {
			at, done := c.at(step)
			if !done {
				continue
			}
			users[step]++
			if from, was := c.at(before); step > 0 && was {
				took = append(took, float64(at-from))
			}
		}
		line := answer{
			"step": f.names[step], "index": step, "users": users[step], "conversion_rate": percent(users[step], users[0]),
			"step_conversion_rate": percent(users[step], users[before]), "drop_off": users[before] - users[step],
			"avg_seconds": nil, "median_seconds": nil,
		}
		if len(took) > 0 {
			slices.Sort(took)
			sum := 0.0
			for _, t := range took {
				sum += t
			}
			line["avg_seconds"] = seconds(sum / float64(len(took)))
			line["median_seconds"] = seconds((took[(len(took)-1)/2] + took[len(took)/2]) / 2)
		}
		lines = append(lines, line)
		if !f.optional[step] {
			before = step
		}
	}
	return lines
}

// seconds to the millisecond.
func seconds(ms float64) float64 { return math.Round(ms) / 1000 }

// breakdowns are the funnels of the values that most entered with, and of the others together.
func (f *funnel) breakdowns(people map[string][]hit) []answer {
	property, limit := f.property()
	b := Request(f.Request["breakdown"].(map[string]any))
	byValue := map[event.Value][]*chain{}
	byUser := map[string]map[event.Value]*chain{}
	for who, hits := range people {
		byUser[who] = map[event.Value]*chain{}
		for v, theirs := range f.attribute(hits, property, b.text("attribution", "first_touch"), b.whole("step_index", 0)) {
			if c := f.best(theirs, anywhere); c != nil {
				byValue[v], byUser[who][v] = append(byValue[v], c), c
			}
		}
	}
	counts := map[event.Value]int{}
	for v, chains := range byValue {
		counts[v] = len(chains)
	}
	order := []event.Value{}
	for v := range counts {
		order = append(order, v)
	}
	slices.SortFunc(order, func(a, b event.Value) int { return cmp.Or(cmp.Compare(counts[b], counts[a]), compareValues(a, b)) })
	list := []answer{}
	for _, v := range order[:min(limit, len(order))] {
		list = append(list, answer{"value": valueJSON(v), "funnel_steps": f.lines(byValue[v])})
	}
	if len(order) <= limit {
		return list
	}
	var others []*chain
	for _, chains := range byUser {
		var deepest *chain
		for _, v := range order[limit:] {
			if c := chains[v]; c != nil && (deepest == nil || prefers(c, deepest)) {
				deepest = c
			}
		}
		if deepest != nil {
			others = append(others, deepest)
		}
	}
	return append(list, answer{"value": other, "funnel_steps": f.lines(others)})
}

// attribute gives a user's hits for each value that the user belongs to.
func (f *funnel) attribute(hits []hit, property, attribution string, step int) map[event.Value][]hit {
	counted := slices.DeleteFunc(slices.Clone(hits), func(h hit) bool { return len(h.steps) == 0 })
	having := map[event.Value][]hit{}
	if len(counted) == 0 {
		return having
	}
	switch attribution {
	case "first_touch", "last_touch":
		having[f.touched(counted, property, attribution)] = hits
	case "all_events":
		for _, h := range counted {
			v := f.value(h.record, property)
			having[v] = slices.DeleteFunc(slices.Clone(hits), func(h hit) bool { return f.value(h.record, property) != v })
		}
	case "step":
		for _, h := range counted {
			if h.steps[step] {
				v := f.value(h.record, property)
				having[v] = f.only(hits, property, v, step)
			}
		}
	}
	return having
}

// touched is the value of the first or last counted event that has one; of
// equal times, the lowest value.
func (f *funnel) touched(counted []hit, property, attribution string) (v event.Value) {
	at := event.Time(0)
	for _, h := range counted {
		of := f.value(h.record, property)
		if of.Kind == event.Absent {
			continue
		}
		earlier := h.Timestamp < at
		if attribution == "last_touch" {
			earlier = h.Timestamp > at
		}
		if v.Kind == event.Absent || earlier || h.Timestamp == at && compareValues(of, v) < 0 {
			v, at = of, h.Timestamp
		}
	}
	return v
}

// only lets just events with a value fill a step.
func (f *funnel) only(hits []hit, property string, v event.Value, step int) (kept []hit) {
	for _, h := range hits {
		if f.value(h.record, property) != v {
			steps := map[int]bool{}
			for s := range h.steps {
				if s != step {
					steps[s] = true
				}
			}
			h.steps = steps
		}
		if f.order == "strict" || len(h.steps)+len(h.excluded) > 0 {
			kept = append(kept, h)
		}
	}
	return kept
}

// timeToConvert: bins from the shortest time to the longest, equally wide in
// whole seconds, and a last one from the longest on.
func (f *funnel) timeToConvert(people map[string][]hit) answer {
	var took []float64
	from, to := f.whole("from_step", 0), f.whole("to_step", len(f.steps)-1)
	for _, hits := range people {
		c := f.best(hits, anywhere)
		since, was := c.at(from)
		if at, done := c.at(to); was && done {
			took = append(took, float64(at-since))
		}
	}
	if len(took) == 0 {
		return answer{"bins": []any{}, "average_seconds": nil}
	}
	slices.Sort(took)
	sum := 0.0
	for _, t := range took {
		sum += t
	}
	count := f.whole("bin_count", int(math.Ceil(math.Cbrt(float64(len(took)))-1e-9)))
	shortest := math.Floor(took[0] / 1000)
	width := math.Ceil((took[len(took)-1]/1000 - shortest) / float64(count))
	if width == 0 {
		width = 60
	}
	bins := [][2]int{}
	for i := range count + 1 {
		bins = append(bins, [2]int{int(shortest + float64(i)*width), 0})
	}
	for _, t := range took {
		bins[min(count, int((math.Floor(t/1000)-shortest)/width))][1]++
	}
	return answer{"bins": bins, "average_seconds": seconds(sum / float64(len(took)))}
}

// trend: of those who start in a bucket, how many convert from there.
func (f *funnel) trend(people map[string][]hit) answer {
	rows := []answer{}
	for _, b := range f.clock.buckets(f.text("interval", "day"), f.from, f.to) {
		entered, converted := 0, 0
		for _, hits := range people {
			c := f.best(hits, b.holds)
			if c != nil {
				entered++
			}
			if f.converted(c) {
				converted++
			}
		}
		rows = append(rows, answer{"bucket": b.label, "entered": entered, "converted": converted, "rate": percent(converted, entered), "complete": b.until+f.window <= f.now})
	}
	return answer{"rows": rows}
}

// converted: all steps are done but optional ones.
func (f *funnel) converted(c *chain) bool {
	for step := range f.steps {
		if _, done := c.at(step); !done && !f.optional[step] {
			return false
		}
	}
	return true
}

// funnelUsers: those who did a step, or were lost before it, by name.
func (q *question) funnelUsers() answer {
	f := q.readFunnel()
	list := []answer{}
	step := q.whole("step", 0)
	before := step - 1
	for before > 0 && f.optional[before] {
		before--
	}
	for who, theirs := range q.byUser(q.records()) {
		c := f.best(f.hits(theirs), anywhere)
		at, counts := c.at(step)
		if q.flag("dropped") {
			did := counts
			_, counts = c.at(before)
			counts = counts && !did
			if counts {
				at = c.end()
			}
		}
		if counts {
			list = append(list, answer{"user_id": who, "at": at})
		}
	}
	slices.SortFunc(list, func(a, b answer) int { return cmp.Compare(a["user_id"].(string), b["user_id"].(string)) })
	return answer{"users": list}
}

// funnelExplain: when one user did which step.
func (q *question) funnelExplain() answer {
	f := q.readFunnel()
	user := q.text("user_id", "")
	if q.Request["unit"] == nil || q.Request["unit"] == "user" {
		user = q.called(user)
	}
	theirs := q.byUser(q.records())[user]
	c := f.best(f.hits(theirs), anywhere)
	reached := -1
	steps := []answer{}
	for i, name := range f.names {
		at, done := c.at(i)
		step := answer{"step": name, "index": i, "filled": done, "at": nil, "seconds_since_start": nil}
		if done {
			step["at"], step["seconds_since_start"], reached = at, float64(at-c.start())/1000, i
		}
		steps = append(steps, step)
	}
	a := answer{"user_id": q.text("user_id", ""), "entered": reached >= 0, "converted": f.converted(c), "reached": reached}
	if f.order != "unordered" { // else the n-th step done is not step n
		a["steps"] = steps
	}
	return a
}
