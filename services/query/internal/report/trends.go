package report

import (
	"cmp"
	"context"
	"encoding/json"
	"math"
	"regexp"
	"slices"

	"github.com/maidian/maidian/pkg/ask"
	"github.com/maidian/maidian/pkg/calendar"
	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/services/query/internal/columns"
)

// TrendsRequest asks for numbers over time: for each series one value a bucket.
type TrendsRequest struct {
	Series    []Series          `json:"series"`
	Interval  calendar.Interval `json:"interval"`
	WeekStart string            `json:"week_start"`
	Breakdown *Breakdown        `json:"breakdown,omitempty"`
	Formula   string            `json:"formula,omitempty"`
	Compare   string            `json:"compare,omitempty"` // "previous"
	Common
	formula formula
}

// Series is a selector and what to compute of its events.
type Series struct {
	ask.Selector
	Metric   string
	Property string // of sum, avg, min, max and the percentiles
	Label    string
}

// MarshalJSON writes the series as a request has it.
func (s Series) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Event    string      `json:"event"`
		Name     string      `json:"name,omitempty"`
		Filters  ask.Filters `json:"filters"`
		Metric   string      `json:"metric"`
		Property string      `json:"property,omitempty"`
		Label    string      `json:"label"`
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
	r.Interval = p.interval("interval", calendar.Day)
	r.WeekStart, r.Calendar.WeekStart = p.weekStart()
	r.Breakdown = p.breakdown(0)
	r.Formula = p.String("formula", "")
	if r.Compare = p.String("compare", ""); r.Compare != "" {
		r.Compare = p.OneOf("compare", "", "previous")
	}
	if r.Formula != "" {
		var err error
		if r.formula, err = parseFormula(r.Formula, r.labels()); err != nil {
			p.Fail("formula", `must compute with labels, such as "B/A*100": %s`, err)
		}
	}
	return r, p.Done()
}

func (p *Params) series(c calendar.Calendar) []Series {
	items := p.List("series")
	if len(items) < 1 || len(items) > maxSeries {
		p.Fail("series", "must be a list of 1 to %d series, got %d", maxSeries, len(items))
	}
	var list []Series
	for i, item := range items {
		s := Series{Metric: "count", Label: string(rune('A' + i%26))}
		name := "series[" + decimal(i) + "]"
		s.Selector = p.SelectorWith(name, item, c, func(o *ask.Params) { (&Params{o}).metric(&s) })
		if slices.ContainsFunc(list, func(other Series) bool { return other.Label == s.Label }) {
			p.Fail(name+".label", "must differ from the other labels, got %q twice", s.Label)
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
		s.Property = p.Property("property")
	case p.Has("property"):
		p.Fail("property", "goes with sum, avg, min, max and percentiles, not with %s", s.Metric)
	}
	if s.Label = p.String("label", s.Label); !seriesLabel.MatchString(s.Label) {
		p.Fail("label", "must be letters, digits and _, a letter first, at most 40, got %q", s.Label)
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
func (r *TrendsRequest) before(b *calendar.Buckets) (from, to event.Time) {
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
	buckets *calendar.Buckets

	chosen []event.Value     // the breakdown's values, most frequent first
	types  map[string]uint32 // codes of event types, when they are the breakdown
	groups []uint32          // by code of the breakdown's property: an index into chosen, or the others
	more   bool              // there are others
	cells  []trendSeries     // by series
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
	if r.Breakdown != nil && r.Breakdown.Property != eventType {
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
		n, ok := ask.Number(v)
		if !ok {
			n = math.NaN()
		}
		numbers[code] = n
	}
	return numbers
}

// choose picks the breakdown's values and gives each code its group.
func (t *trends) choose(ctx context.Context, chosen []event.Value) error {
	values := t.breakdownValues()
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

// breakdownValues are the values of the breakdown's property by code. Types of
// events need no column: rows stand by type.
func (t *trends) breakdownValues() []event.Value {
	if t.request.Breakdown.Property != eventType {
		return t.source.values(t.request.Breakdown.Property)
	}
	t.types = make(map[string]uint32)
	values := []event.Value{{}}
	for _, d := range t.source.days {
		for _, run := range d.Runs() {
			if _, known := t.types[run.Type]; !known {
				t.types[run.Type] = uint32(len(values))
				values = append(values, event.TextValue(run.Type))
			}
		}
	}
	return values
}

// frequencies counts the rows of all series by value of the breakdown.
func (t *trends) frequencies(ctx context.Context, values int) ([]int, error) {
	parts := make([][]int, processors())
	err := parallelWith(ctx, len(t.source.days), func(worker int) *trendRows {
		parts[worker] = make([]int, values)
		return &trendRows{trends: t, worker: worker}
	}, func(ctx context.Context, w *trendRows, day int) error {
		for series := range t.series {
			w.frequencies(day, series, parts[w.worker])
		}
		return ctx.Err()
	})
	return addUp(parts, values), err
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
