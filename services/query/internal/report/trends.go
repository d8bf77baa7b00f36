package report

import (
	"cmp"
	"context"
	"encoding/json"
	"math"
	"math/bits"
	"regexp"
	"runtime"
	"slices"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/fault"
	"github.com/maidian/maidian/services/query/internal/columns"
)

// TrendsRequest asks for numbers over time: for each series one value a bucket.
type TrendsRequest struct {
	Series    []Series   `json:"series"`
	Interval  Interval   `json:"interval"`
	WeekStart string     `json:"week_start"`
	Breakdown *Breakdown `json:"breakdown,omitempty"`
	Formula   string     `json:"formula,omitempty"`
	Compare   string     `json:"compare,omitempty"` // "previous"
	Common
	formula formula
}

// Series is a selector and what to compute of its events.
type Series struct {
	Selector
	Metric   string
	Property string // of sum, avg, min, max and the percentiles
	Label    string
}

// MarshalJSON writes the series as a request has it.
func (s Series) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Event    string  `json:"event"`
		Name     string  `json:"name,omitempty"`
		Filters  Filters `json:"filters"`
		Metric   string  `json:"metric"`
		Property string  `json:"property,omitempty"`
		Label    string  `json:"label"`
	}{s.Event, s.Name, s.Filters, s.Metric, s.Property, s.Label})
}

// Percentiles by metric: the value below which that part of the values lies,
// between the two nearest in proportion.
var percentiles = map[string]float64{"p50": 0.5, "p90": 0.9, "p99": 0.99}

var (
	metrics        = []string{"count", "users", "sessions", "sum", "avg", "min", "max", "p50", "p90", "p99"}
	countedMetrics = metrics[:3]
	seriesLabel    = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,39}$`)
)

const maxSeries = 26

// ReadTrends reads the request of POST trends.
func ReadTrends(p *Params, env Env) (*TrendsRequest, error) {
	r := &TrendsRequest{Common: p.Common(env)}
	r.Series = p.series(r.Calendar)
	r.Interval = p.interval("interval", Day)
	r.WeekStart, r.Calendar.WeekStart = p.weekStart()
	r.Breakdown = p.breakdown(0)
	r.Formula = p.String("formula", "")
	if r.Compare = p.String("compare", ""); r.Compare != "" {
		r.Compare = p.OneOf("compare", "", "previous")
	}
	if r.Formula != "" {
		var err error
		if r.formula, err = parseFormula(r.Formula, r.labels()); err != nil {
			p.fail("formula", `must compute with labels, such as "B/A*100": %s`, err)
		}
	}
	return r, p.Done()
}

func (p *Params) series(c Calendar) []Series {
	items := p.list("series")
	if len(items) < 1 || len(items) > maxSeries {
		p.fail("series", "must be a list of 1 to %d series, got %d", maxSeries, len(items))
	}
	var list []Series
	for i, item := range items {
		s := Series{Metric: "count", Label: string(rune('A' + i%26))}
		name := "series[" + decimal(i) + "]"
		s.Selector = p.selector(name, item, c, func(o *Params) { o.metric(&s) })
		if slices.ContainsFunc(list, func(other Series) bool { return other.Label == s.Label }) {
			p.fail(name+".label", "must differ from the other labels, got %q twice", s.Label)
		}
		list = append(list, s)
	}
	return list
}

func (p *Params) metric(s *Series) {
	s.Metric = p.OneOf("metric", "count", metrics...)
	counted := slices.Contains(countedMetrics, s.Metric)
	switch {
	case !counted:
		s.Property = p.property("property")
	case p.Has("property"):
		p.fail("property", "goes with sum, avg, min, max and percentiles, not with %s", s.Metric)
	}
	if s.Label = p.String("label", s.Label); !seriesLabel.MatchString(s.Label) {
		p.fail("label", "must be letters, digits and _, a letter first, at most 40, got %q", s.Label)
	}
}

func (r *TrendsRequest) labels() []string {
	labels := make([]string, len(r.Series))
	for i, s := range r.Series {
		labels[i] = s.Label
	}
	return labels
}

// TrendsAnswer is the answer of POST trends.
type TrendsAnswer struct {
	Buckets    []string       `json:"buckets"`
	Complete   []bool         `json:"complete"`
	Series     []SeriesResult `json:"series"`
	Formula    *FormulaResult `json:"formula,omitempty"`
	Previous   []SeriesResult `json:"previous,omitzero"`
	PreviousF  *FormulaResult `json:"previous_formula,omitempty"`
	PreviousB  []string       `json:"previous_buckets,omitempty"`
	Definition Definition     `json:"definition"`
}

// SeriesResult is a series for one value of the breakdown; null without one, and where it is missing.
type SeriesResult struct {
	Label  string    `json:"label"`
	Event  string    `json:"event"`
	Metric string    `json:"metric"`
	Value  any       `json:"value"`
	Values []float64 `json:"values"`
	Total  float64   `json:"total"` // of the whole range: of users the distinct ones
}

// FormulaResult is the formula by bucket, and for each value of the breakdown.
type FormulaResult struct {
	Values     []float64          `json:"values"`
	Total      float64            `json:"total"`
	Breakdowns []FormulaBreakdown `json:"breakdowns,omitzero"`
}

// FormulaBreakdown is the formula of those with one value.
type FormulaBreakdown struct {
	Value  any       `json:"value"`
	Values []float64 `json:"values"`
	Total  float64   `json:"total"`
}

func (r *TrendsRequest) definition() Definition {
	d := r.Common.definition()
	d.Interval = "one " + string(r.Interval) + " of the calendar; weeks start on " + r.WeekStart + "; empty ones are 0; the first and the last hold what of them lies in the range"
	d.Complete = "false while the bucket is not over"
	if r.Formula != "" {
		d.Choice = "a division by zero gives 0"
	}
	return d
}

// Trends answers POST trends.
func Trends(ctx context.Context, v *columns.View, r *TrendsRequest) (*TrendsAnswer, error) {
	now, err := r.compute(ctx, v, nil)
	if err != nil {
		return nil, err
	}
	answer := &TrendsAnswer{Buckets: now.buckets.Labels(), Complete: now.buckets.Complete(r.Now), Definition: r.definition()}
	answer.Series, answer.Formula = now.results()
	if r.Compare == "" {
		return answer, nil
	}
	before := *r
	before.From, before.To = r.before(now.buckets)
	then, err := before.compute(ctx, v, now.chosen)
	if err != nil {
		return nil, err
	}
	answer.PreviousB = then.buckets.Labels()
	answer.Previous, answer.PreviousF = then.results()
	return answer, nil
}

// before is the range that ends just before this one: as many buckets when the
// range is whole ones, else as much time.
func (r *TrendsRequest) before(b *Buckets) (from, to event.Time) {
	if b.Len() > 0 && b.Starts[0] == r.From && b.End == r.To+1 {
		return r.Calendar.Back(r.Interval, r.From, b.Len()), r.From - 1
	}
	return r.From - (r.To - r.From + 1), r.From - 1
}

// trends is a request with what it reads and what it found.
type trends struct {
	request *TrendsRequest
	source  *source
	actors  *actors
	series  []selection
	numbers [][]float64 // by series: the property's value by code; NaN is not a number
	buckets *Buckets

	chosen []event.Value // the breakdown's values, most frequent first
	groups []uint32      // by code of the breakdown's column: an index into chosen, or the others
	more   bool          // there are others
	cells  []trendSeries // by series
}

// compute works out all series. The breakdown's values are chosen by how often
// they occur, unless they are given.
func (r *TrendsRequest) compute(ctx context.Context, v *columns.View, chosen []event.Value) (*trends, error) {
	t := &trends{request: r}
	var err error
	if t.buckets, err = r.Calendar.Cut(r.Interval, r.From, r.To); err != nil {
		return nil, err
	}
	if err := t.open(ctx, v); err != nil {
		return nil, err
	}
	if r.Breakdown != nil {
		if err := t.choose(ctx, chosen); err != nil {
			return nil, err
		}
	}
	return t, t.count(ctx)
}

func (t *trends) open(ctx context.Context, v *columns.View) (err error) {
	r := t.request
	needs := r.Unit.needs()
	names := needs.Columns
	for _, s := range r.Series {
		needs.Sessions = needs.Sessions || s.Metric == "sessions"
		names = append(names, propertiesOf(r.Filters, s.Selector)...)
		if s.Property != "" {
			names = append(names, s.Property)
		}
	}
	if r.Breakdown != nil {
		names = append(names, r.Breakdown.Property)
	}
	needs.Columns = names
	if t.source, err = open(ctx, v, r.From, r.To, needs); err != nil {
		return err
	}
	t.actors = t.source.actors(r.Unit)
	for _, s := range r.Series {
		t.series = append(t.series, t.source.selectWhere(s.Selector, r.Filters))
		t.numbers = append(t.numbers, numbersOf(t.source.values(s.Property)))
	}
	return nil
}

// numbersOf are the numbers that values read as.
func numbersOf(values []event.Value) []float64 {
	numbers := make([]float64, len(values))
	for code, v := range values {
		n, ok := numberOf(v)
		if !ok {
			n = math.NaN()
		}
		numbers[code] = n
	}
	return numbers
}

// rows calls visit for each stretch of rows of a day that one series reads; keep is nil when all count.
func (t *trends) rows(dayIndex, series int, visit func(lo, hi int, keep []bool)) {
	d := t.source.days[dayIndex]
	first, last, whole := t.source.inRange(d)
	sel := t.series[series]
	for _, run := range d.Runs() {
		if !sel.reads(run.Type) {
			continue
		}
		var keep []bool
		if sel.match != nil || !whole {
			keep = trues(run.Hi - run.Lo)
			sel.match.and(dayIndex, run.Lo, keep)
			for i, at := range d.Times()[run.Lo:run.Hi] {
				keep[i] = keep[i] && first <= at && at <= last
			}
		}
		visit(run.Lo, run.Hi, keep)
	}
}

// choose picks the breakdown's values and gives each code its group.
func (t *trends) choose(ctx context.Context, chosen []event.Value) error {
	values := t.source.values(t.request.Breakdown.Property)
	counts, err := t.frequencies(ctx, max(1, len(values)))
	if err != nil {
		return err
	}
	order := make([]uint32, 0, len(values))
	for code, n := range counts {
		if n > 0 {
			order = append(order, uint32(code))
		}
	}
	slices.SortFunc(order, func(a, b uint32) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), compareValues(values[a], values[b]))
	})
	t.chosen = chosen
	if chosen == nil {
		for _, code := range order[:min(len(order), t.request.Breakdown.Limit)] {
			t.chosen = append(t.chosen, values[code])
		}
	}
	t.group(values, order)
	return nil
}

func (t *trends) group(values []event.Value, order []uint32) {
	place := make(map[event.Value]int, len(t.chosen))
	for n, v := range t.chosen {
		place[v] = n
	}
	t.groups = make([]uint32, max(1, len(values)))
	for _, code := range order {
		n, ok := place[values[code]]
		if !ok {
			n, t.more = len(t.chosen), true
		}
		t.groups[code] = uint32(n)
	}
}

// frequencies counts the rows of all series by value of the breakdown.
func (t *trends) frequencies(ctx context.Context, values int) ([]int, error) {
	counts := make([]int, values)
	for day := range t.source.days {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		codes := &t.source.columns[t.request.Breakdown.Property][day].Codes
		for series := range t.series {
			t.rows(day, series, func(lo, hi int, keep []bool) {
				for row := lo; row < hi; row++ {
					if keep == nil || keep[row-lo] {
						counts[codes.At(row)]++
					}
				}
			})
		}
	}
	return counts, nil
}

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

func digits15(v float64) float64 {
	if v == 0 || math.IsNaN(v) || math.IsInf(v, 0) {
		return v
	}
	scale := math.Pow(10, 14-math.Floor(math.Log10(math.Abs(v))))
	if rounded := math.Round(v*scale) / scale; !math.IsInf(scale, 0) && scale != 0 && !math.IsNaN(rounded) {
		return rounded
	}
	return v
}

// count fills the cells: the days in order are cut among the processors, and
// what they found of one cell is joined.
func (t *trends) count(ctx context.Context) error {
	t.cells = make([]trendSeries, len(t.series))
	if err := t.checkSize(); err != nil {
		return err
	}
	workers := max(1, min(runtime.GOMAXPROCS(0), len(t.source.days)))
	parts := make([][]trendSeries, workers)
	err := parallel(ctx, workers, func(ctx context.Context, w int) error {
		parts[w] = make([]trendSeries, len(t.series))
		for series := range t.series {
			parts[w][series] = t.newCells()
		}
		n := len(t.source.days)
		for day := n * w / workers; day < n*(w+1)/workers; day++ {
			for series := range t.series {
				if ctx.Err() != nil {
					return ctx.Err()
				}
				t.day(day, series, &parts[w][series])
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	t.cells = parts[0]
	for _, part := range parts[1:] {
		for series := range t.cells {
			t.cells[series].join(&part[series])
		}
	}
	return nil
}

// maxTrendCells and maxTrendSets bound the memory of the answer in the making.
const (
	maxTrendCells = 2_000_000
	maxTrendSets  = 1 << 30 // bytes of sets of users and sessions
)

func (t *trends) checkSize() error {
	cells := len(t.series) * (t.buckets.Len() + 1) * t.groupCount()
	if cells > maxTrendCells {
		return fault.New(fault.Exceeded, "too_many_cells", "series × buckets × breakdown values is %d, the limit is %d; take a longer interval or a lower breakdown.limit", cells, maxTrendCells)
	}
	sets := 0
	for _, s := range t.request.Series {
		if n := t.numbersOf(s.Metric); n > 0 {
			sets += (t.buckets.Len() + 1) * t.groupCount() * (n/8 + 8)
		}
	}
	if sets > maxTrendSets {
		return fault.New(fault.Exceeded, "too_much_memory", "distinct users or sessions in that many buckets and values would take %d MB, the limit is %d; take a longer interval or a lower breakdown.limit", sets>>20, maxTrendSets>>20)
	}
	return nil
}

// numbersOf is how many different numbers a metric's set may hold; 0 without a set.
func (t *trends) numbersOf(metric string) int {
	switch metric {
	case "users":
		return t.actors.count
	case "sessions":
		return t.source.sessions
	}
	return 0
}

// groupCount is the groups of a series: the values chosen, the others, all.
func (t *trends) groupCount() int { return len(t.chosen) + 2 }

func (t *trends) newCells() trendSeries {
	s := trendSeries{groups: t.groupCount(), buckets: t.buckets.Len() + 1}
	s.cells = make([]trendCell, s.groups*s.buckets)
	return s
}

func (s *trendSeries) at(group, bucket int) *trendCell { return &s.cells[group*s.buckets+bucket] }

func (s *trendSeries) join(o *trendSeries) {
	for i := range s.cells {
		s.cells[i].join(&o.cells[i])
	}
}

func (c *trendCell) join(o *trendCell) {
	c.count += o.count
	c.number.join(&o.number)
	c.values = append(c.values, o.values...)
	switch {
	case c.seen == nil:
		c.seen = o.seen
	case o.seen != nil:
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
func (t *trends) day(dayIndex, series int, s *trendSeries) {
	d := t.source.days[dayIndex]
	var codes *columns.Codes
	if t.request.Breakdown != nil {
		codes = &t.source.columns[t.request.Breakdown.Property][dayIndex].Codes
	}
	add := t.adder(dayIndex, series)
	times, all := d.Times(), s.groups-1
	bucket, from, until := 0, event.Time(1), event.Time(0) // the bucket of the row before
	t.rows(dayIndex, series, func(lo, hi int, keep []bool) {
		for row := lo; row < hi; row++ {
			if keep != nil && !keep[row-lo] {
				continue
			}
			if at := d.Start() + event.Time(times[row]); at < from || at >= until {
				bucket = t.buckets.Index(at)
				from, until = t.buckets.Starts[bucket], t.buckets.EndOf(bucket)
			}
			add(s.at(all, bucket), row)
			add(s.at(all, s.buckets-1), row)
			if codes != nil {
				group := int(t.groups[codes.At(row)])
				add(s.at(group, bucket), row)
				add(s.at(group, s.buckets-1), row)
			}
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

// percentile sorts the values.
func percentile(values []float64, part float64) float64 {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	place := part * float64(len(values)-1)
	below := int(place)
	above := min(below+1, len(values)-1)
	return digits15(values[below] + (values[above]-values[below])*(place-float64(below)))
}

// results are the answer's series: for each its values of the breakdown, most
// frequent first, or one without a breakdown.
func (t *trends) results() ([]SeriesResult, *FormulaResult) {
	results := []SeriesResult{}
	all := t.groupCount() - 1
	for n := range t.series {
		if t.request.Breakdown == nil {
			results = append(results, t.result(n, all, nil))
			continue
		}
		for group, v := range t.chosen {
			results = append(results, t.result(n, group, labelOf(v)))
		}
		if t.more {
			results = append(results, t.result(n, all-1, Other))
		}
	}
	if t.request.Formula == "" {
		return results, nil
	}
	return results, t.formula()
}

func labelOf(v event.Value) any {
	if v.Kind == event.Absent {
		return nil
	}
	return v
}

func (t *trends) result(series, group int, value any) SeriesResult {
	s := t.request.Series[series]
	values, total := t.values(series, group)
	return SeriesResult{s.Label, s.Selector.Label(), s.Metric, value, values, total}
}

func (t *trends) values(series, group int) (values []float64, total float64) {
	cells, metric := &t.cells[series], t.request.Series[series].Metric
	values = make([]float64, t.buckets.Len())
	for b := range values {
		values[b] = cells.at(group, b).value(metric)
	}
	return values, cells.at(group, t.buckets.Len()).value(metric)
}

func (t *trends) formula() *FormulaResult {
	all := t.groupCount() - 1
	f := &FormulaResult{}
	f.Values, f.Total = t.computed(all)
	if t.request.Breakdown == nil {
		return f
	}
	f.Breakdowns = make([]FormulaBreakdown, 0, len(t.chosen)+1)
	for group, v := range t.chosen {
		values, total := t.computed(group)
		f.Breakdowns = append(f.Breakdowns, FormulaBreakdown{labelOf(v), values, total})
	}
	if t.more {
		values, total := t.computed(all - 1)
		f.Breakdowns = append(f.Breakdowns, FormulaBreakdown{Other, values, total})
	}
	return f
}

// computed is the formula for one group.
func (t *trends) computed(group int) (values []float64, total float64) {
	inputs := make([]map[string]float64, t.buckets.Len()+1)
	for i := range inputs {
		inputs[i] = map[string]float64{}
	}
	for n, s := range t.request.Series {
		values, total := t.values(n, group)
		for b, v := range append(values, total) {
			inputs[b][s.Label] = v
		}
	}
	for _, input := range inputs {
		values = append(values, digits15(t.request.formula(input)))
	}
	return values[:t.buckets.Len()], values[t.buckets.Len()]
}
