package report

import (
	"context"
	"math"
	"math/bits"
	"slices"
	"strconv"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/services/query/internal/columns"
)

// trendSeries is one series' cells: by group, the last one being all groups
// together, and bucket; the last bucket is the whole range.
type trendSeries struct {
	groups, buckets int
	cells           []trendCell
}

// trendCell is one number in the making.
type trendCell struct {
	count  int
	values []float64 // of a percentile
	number numberSum
	seen   *tally // of users and sessions
}

// numberSum adds numbers up without losing the small ones among the large, so
// that the order in which they come does not show.
type numberSum struct {
	n                   int
	sum, rest, min, max float64
}

func (s *numberSum) add(v float64) {
	if s.n == 0 || v < s.min {
		s.min = v
	}
	if s.n == 0 || v > s.max {
		s.max = v
	}
	s.n++
	total := s.sum + v
	if math.Abs(s.sum) >= math.Abs(v) {
		s.rest += (s.sum - total) + v
	} else {
		s.rest += (v - total) + s.sum
	}
	s.sum = total
}

func (s *numberSum) join(o *numberSum) {
	if o.n == 0 {
		return
	}
	n, low, high := s.n+o.n, o.min, o.max
	if s.n > 0 {
		low, high = min(s.min, o.min), max(s.max, o.max)
	}
	s.add(o.sum)
	s.rest += o.rest
	s.n, s.min, s.max = n, low, high
}

// total is the sum to 15 digits, so that 0.1 + 0.2 is 0.3.
func (s *numberSum) total() float64 { return digits15(s.sum + s.rest) }

// digits15 goes by way of digits: a power of ten is no exact number.
func digits15(v float64) float64 {
	rounded, err := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 15, 64), 64)
	if err != nil { // above the largest number
		return v
	}
	return rounded
}

// count fills the cells, each series as it is quickest.
func (t *trends) count(ctx context.Context) error {
	t.cells = make([]trendSeries, len(t.series))
	if err := t.checkSize(); err != nil {
		return err
	}
	for series := range t.series {
		t.cells[series] = t.newCells()
		if err := t.way(series)(ctx, series); err != nil {
			return err
		}
	}
	return nil
}

// way is how a series is counted.
func (t *trends) way(series int) func(ctx context.Context, series int) error {
	metric, byUser := t.request.Series[series].Metric, t.actors.unit.Kind == UserUnit
	known := t.series[series].match == nil && (t.request.Breakdown == nil || t.types != nil)
	switch {
	case known && (metric == "count" || metric == "users" && byUser):
		return t.lookUp
	case metric == "users" && byUser:
		return t.countUsers
	}
	return t.scan
}

// checkSize bounds the memory of the answer in the making.
func (t *trends) checkSize() error {
	cells := len(t.series) * (t.buckets.Len() + 1) * t.groupCount()
	if limit := t.request.Limits.Cells; cells > limit {
		return exceeded("too_many_cells", "series × buckets × breakdown values is %d, the limit is %d; take a longer interval, a shorter range or a lower breakdown.limit", cells, limit)
	}
	sets := 0
	for _, s := range t.request.Series {
		if n := t.numbersOf(s.Metric); n > 0 {
			sets += (t.buckets.Len() + 1) * t.groupCount() * (n/8 + 8)
		}
	}
	sets *= processors() + 1 // each has its own until they are joined
	if limit := t.request.Limits.Sets; sets > limit {
		return exceeded("too_much_memory", "sets of distinct values in that many buckets would take %d KB, the limit is %d; take a longer interval, a shorter range or a lower breakdown.limit", sets>>10, limit>>10)
	}
	return nil
}

// numbersOf is how many different numbers a metric's sets may hold; 0 where none are made.
func (t *trends) numbersOf(metric string) int {
	switch {
	case metric == "users" && t.actors.unit.Kind != UserUnit:
		return t.actors.count
	case metric == "sessions":
		return t.source.sessions
	}
	return 0
}

// groupCount is the groups of a series: the values chosen, the others, all; or all alone.
func (t *trends) groupCount() int {
	if t.request.Breakdown == nil {
		return 1
	}
	return len(t.chosen) + 2
}

func (t *trends) newCells() trendSeries {
	s := trendSeries{groups: t.groupCount(), buckets: t.buckets.Len() + 1}
	s.cells = make([]trendCell, s.groups*s.buckets)
	return s
}

func (s *trendSeries) at(group, bucket int) *trendCell { return &s.cells[group*s.buckets+bucket] }

// needsAll says that the group of all is asked for.
func (t *trends) needsAll() bool { return t.request.Breakdown == nil || t.request.Formula != "" }

// lookUp takes what days know of their types.
func (t *trends) lookUp(ctx context.Context, series int) error {
	pieces, cells := t.source.pieces(t.buckets.Starts), &t.cells[series]
	selections := t.selectionsByGroup(series)
	return parallel(ctx, cells.groups*cells.buckets, func(ctx context.Context, i int) error {
		some := pieces
		if bucket := i % cells.buckets; bucket < t.buckets.Len() {
			some = inBucket(pieces, bucket)
		}
		rows, users := t.source.countUsers(selections[i/cells.buckets], some)
		cells.cells[i] = trendCell{count: rows, seen: &tally{n: users}}
		return ctx.Err()
	})
}

// selectionsByGroup are the types that each group of a series reads.
func (t *trends) selectionsByGroup(series int) [][]selection {
	all := t.groupCount() - 1
	groups := make([][]selection, all+1)
	for name, code := range t.types {
		if sel := t.series[series]; sel.reads(name) {
			group := t.groups[code]
			groups[group] = append(groups[group], selection{event: name})
		}
	}
	if t.needsAll() {
		groups[all] = []selection{t.series[series]}
	}
	return groups
}

// trendRows is what one goroutine uses to go through rows.
type trendRows struct {
	trends *trends
	worker int
	codes  []uint32
}

// frequencies counts one day's rows of a series by value of the breakdown.
func (w *trendRows) frequencies(dayIndex, series int, counts []int) {
	t := w.trends
	t.runs(dayIndex, series, func(run columns.Run) {
		keep := t.source.keep(dayIndex, run.Lo, run.Hi, t.series[series].match)
		if t.types != nil && keep == nil {
			counts[t.types[run.Type]] += run.Hi - run.Lo
			return
		}
		for i, code := range w.codesOf(dayIndex, run, run.Lo, run.Hi) {
			if keep == nil || keep[i] {
				counts[code]++
			}
		}
	})
}

// runs calls visit for each run of a day that a series reads.
func (t *trends) runs(dayIndex, series int, visit func(run columns.Run)) {
	for _, run := range t.source.days[dayIndex].Runs() {
		if t.series[series].reads(run.Type) {
			visit(run)
		}
	}
}

// codesOf are the breakdown's codes of rows of a run; without a breakdown all are 0.
func (w *trendRows) codesOf(dayIndex int, run columns.Run, lo, hi int) []uint32 {
	t := w.trends
	w.codes = w.codes[:0]
	if t.request.Breakdown != nil && t.types == nil {
		w.codes = t.source.columns[t.request.Breakdown.Property][dayIndex].Codes.Unpack(w.codes, lo, hi)
		return w.codes
	}
	w.codes = append(w.codes, make([]uint32, hi-lo)...)
	if code := t.types[run.Type]; code != 0 {
		for i := range w.codes {
			w.codes[i] = code
		}
	}
	return w.codes
}

// groupsOf are the groups of rows of a run.
func (w *trendRows) groupsOf(dayIndex int, run columns.Run, lo, hi int) []uint32 {
	groups := w.codesOf(dayIndex, run, lo, hi)
	if w.trends.request.Breakdown != nil {
		for i, code := range groups {
			groups[i] = w.trends.groups[code]
		}
	}
	return groups
}

// countUsers counts distinct users, one partition of them after the other: a
// bit for each group says that the user was seen.
func (t *trends) countUsers(ctx context.Context, series int) error {
	parts, pieces, cells := t.actors.partitions(), t.source.pieces(t.buckets.Starts), &t.cells[series]
	sums := make([][]int, processors())
	err := parallelWith(ctx, len(parts), func(worker int) *userMarks {
		sums[worker] = make([]int, len(cells.cells))
		return &userMarks{trendRows: trendRows{trends: t, worker: worker}, series: series, counts: sums[worker], words: (cells.groups + 63) / 64}
	}, func(ctx context.Context, m *userMarks, i int) error { return m.partition(ctx, parts[i], pieces) })
	for i, n := range addUp(sums, len(cells.cells)) {
		cells.cells[i].seen = &tally{n: n}
	}
	return err
}

// userMarks are the groups in which the users of a partition were seen.
type userMarks struct {
	trendRows
	series      int
	words       int      // of a user
	now         []uint64 // in this bucket
	ever        []uint64 // in any
	counts      []int    // by cell
	first, last uint32   // users
}

func (m *userMarks) partition(ctx context.Context, p partition, pieces []piece) error {
	n := int(p.hi-p.lo) * m.words
	m.now = append(m.now[:0], make([]uint64, n)...)
	m.ever = append(m.ever[:0], make([]uint64, n)...)
	m.first, m.last = p.lo, p.hi
	for i, piece := range pieces {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if i > 0 && pieces[i-1].bucket != piece.bucket {
			clear(m.now)
		}
		m.trends.runs(piece.day, m.series, func(run columns.Run) { m.run(piece, run) })
	}
	return nil
}

func (m *userMarks) run(p piece, run columns.Run) {
	t := m.trends
	lo, hi := t.actors.stretch(p.day, run, m.first, m.last)
	if lo == hi {
		return
	}
	d, cells := t.source.days[p.day], &t.cells[m.series]
	keep := t.source.keep(p.day, lo, hi, t.series[m.series].match)
	users, times, groups := d.Users()[lo:hi], d.Times()[lo:hi], m.groupsOf(p.day, run, lo, hi)
	all, needsAll := uint32(cells.groups-1), t.needsAll() && cells.groups > 1
	for i, group := range groups {
		if keep != nil && !keep[i] || times[i] < p.lo || times[i] > p.hi {
			continue
		}
		m.see(int(users[i]-m.first), group, p.bucket, cells.buckets)
		if needsAll {
			m.see(int(users[i]-m.first), all, p.bucket, cells.buckets)
		}
	}
}

func (m *userMarks) see(user int, group uint32, bucket, buckets int) {
	word, bit := user*m.words+int(group>>6), uint64(1)<<(group&63)
	if m.now[word]&bit != 0 {
		return
	}
	m.now[word] |= bit
	m.counts[int(group)*buckets+bucket]++
	if m.ever[word]&bit == 0 {
		m.ever[word] |= bit
		m.counts[int(group)*buckets+buckets-1]++
	}
}

// scan goes through the rows day by day: the days in order are cut among the
// processors, and what they found of one cell is joined.
func (t *trends) scan(ctx context.Context, series int) error {
	n, limit := len(t.source.days), t.request.Limits.Values
	ctx, kept, done := withBudget(ctx, limit, exceeded("too_many_values", "percentiles would be of more than %d values at once; shorten the range or filter further", limit))
	defer done()
	parts := make([]trendSeries, max(1, min(processors(), n)))
	err := parallel(ctx, len(parts), func(ctx context.Context, i int) error {
		parts[i] = t.newCells()
		w := &trendRows{trends: t, worker: i}
		for day := n * i / len(parts); day < n*(i+1)/len(parts); day++ {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			w.day(ctx, day, series, &parts[i], kept)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, part := range parts {
		for i := range part.cells {
			t.cells[series].cells[i].join(&part.cells[i])
			part.cells[i] = trendCell{}
		}
	}
	t.cells[series].close(t.needsAll())
	return nil
}

// close fills the cells of the whole range, and those of all groups.
func (s *trendSeries) close(needsAll bool) {
	whole, all := s.buckets-1, s.groups-1
	for group := range max(1, all) {
		for bucket := range whole {
			s.at(group, whole).join(s.at(group, bucket))
		}
		for bucket := range s.buckets {
			if needsAll && all > 0 {
				s.at(all, bucket).join(s.at(group, bucket))
			}
		}
	}
}

func (c *trendCell) join(o *trendCell) {
	c.count += o.count
	c.number.join(&o.number)
	c.values = append(c.values, o.values...)
	switch {
	case o.seen == nil:
	case c.seen == nil:
		c.seen = &tally{slices.Clone(o.seen.bits), o.seen.n}
	default:
		c.seen.join(o.seen)
	}
}

// join adds what o has counted.
func (t *tally) join(o *tally) {
	t.n = 0
	for i := range t.bits {
		t.bits[i] |= o.bits[i]
		t.n += bits.OnesCount64(t.bits[i])
	}
}

// day counts one day's rows of one series.
func (w *trendRows) day(ctx context.Context, dayIndex, series int, s *trendSeries, kept *budget) {
	t := w.trends
	_, ranked := percentiles[t.request.Series[series].Metric]
	d, add := t.source.days[dayIndex], t.adder(dayIndex, series)
	bucket, from, until := 0, event.Time(1), event.Time(0) // the bucket of the row before
	t.runs(dayIndex, series, func(run columns.Run) {
		keep := t.source.keep(dayIndex, run.Lo, run.Hi, t.series[series].match)
		times := d.Times()[run.Lo:run.Hi]
		for i, group := range w.groupsOf(dayIndex, run, run.Lo, run.Hi) {
			if i%(1<<16) == 0 {
				if kept.spend(count(ranked) * min(1<<16, len(times)-i)); ctx.Err() != nil {
					return
				}
			}
			if keep != nil && !keep[i] {
				continue
			}
			if at := d.Start() + event.Time(times[i]); at < from || at >= until {
				bucket = t.buckets.Index(at)
				from, until = t.buckets.Starts[bucket], t.buckets.EndOf(bucket)
			}
			add(s.at(int(group), bucket), run.Lo+i)
		}
	})
}

// adder is how a metric takes one row of a day.
func (t *trends) adder(dayIndex, series int) func(c *trendCell, row int) {
	metric := t.request.Series[series].Metric
	switch metric {
	case "count":
		return func(c *trendCell, _ int) { c.count++ }
	case "users":
		numbers, absent := t.actors.of(dayIndex)
		return func(c *trendCell, row int) {
			if n := numbers.At(row); n != 0 || !absent {
				c.see(n, t.actors.count)
			}
		}
	case "sessions":
		numbers := t.source.days[dayIndex].Sessions()
		return func(c *trendCell, row int) { c.see(numbers.At(row), t.source.sessions) }
	}
	codes, numbers := &t.source.columns[t.request.Series[series].Property][dayIndex].Codes, t.numbers[series]
	_, ranked := percentiles[metric]
	return func(c *trendCell, row int) {
		switch v := numbers[codes.At(row)]; {
		case math.IsNaN(v):
		case ranked:
			c.values = append(c.values, v)
		default:
			c.number.add(v)
		}
	}
}

func (c *trendCell) see(n uint32, of int) {
	if c.seen == nil {
		c.seen = newTally(of)
	}
	c.seen.add(n)
}

// value is the metric of what the cell has seen; of nothing it is 0.
func (c *trendCell) value(metric string) float64 {
	switch metric {
	case "count":
		return float64(c.count)
	case "users", "sessions":
		if c.seen == nil {
			return 0
		}
		return float64(c.seen.n)
	case "sum":
		return c.number.total()
	case "avg":
		return digits15(c.number.total() / float64(max(1, c.number.n)))
	case "min":
		return c.number.min
	case "max":
		return c.number.max
	}
	return percentile(c.values, percentiles[metric])
}

// percentile brings the values into another order.
func percentile(values []float64, part float64) float64 {
	if len(values) == 0 {
		return 0
	}
	place := part * float64(len(values)-1)
	below := nth(values, int(place))
	if int(place)+1 == len(values) {
		return digits15(below)
	}
	above := slices.Min(values[int(place)+1:])
	return digits15(below + (above-below)*(place-math.Floor(place)))
}
