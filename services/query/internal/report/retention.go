package report

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/maidian/maidian/pkg/ask"
	"github.com/maidian/maidian/pkg/calendar"
	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/fault"
	"github.com/maidian/maidian/services/query/internal/columns"
)

// RetentionRequest asks who comes back. A cohort is the actors with a start
// event in one period; its value for interval n is how many of them have a
// return event n periods later.
//
// The range is widened to whole periods: a "to" in the middle of a day, or a
// "from", still means the whole day.
type RetentionRequest struct {
	StartEvent     ask.Selector      `json:"start_event"`
	ReturnEvent    ask.Selector      `json:"return_event"`
	StartFilters   ask.Filters       `json:"start_filters"`
	ReturnFilters  ask.Filters       `json:"return_filters"`
	Period         calendar.Interval `json:"period"`
	Intervals      int               `json:"intervals"`
	Cohort         string            `json:"cohort"`
	Mode           string            `json:"mode"`
	Window         string            `json:"window"`
	MinOccurrences int               `json:"min_occurrences"`
	WeekStart      string            `json:"week_start"`
	Breakdown      *Breakdown        `json:"breakdown,omitempty"`
	Common
	periods *calendar.Buckets
}

const (
	maxCohorts       = 2000
	maxIntervals     = 1000
	defaultIntervals = 11
)

// ReadRetention reads the request of POST retention.
func ReadRetention(p *Params, env Env) (*RetentionRequest, error) {
	r, err := p.retention(env)
	if err != nil {
		return nil, err
	}
	r.Breakdown = p.breakdown(2)
	return r, p.Done()
}

// retention reads what both retention routes share.
func (p *Params) retention(env Env) (*RetentionRequest, error) {
	r := &RetentionRequest{Common: p.Common(env)}
	r.StartEvent = p.Selector("start_event", ask.AnyEvent, r.Calendar)
	r.ReturnEvent = p.Selector("return_event", ask.AnyEvent, r.Calendar)
	r.StartFilters = p.Filters("start_filters", r.Calendar)
	r.ReturnFilters = p.Filters("return_filters", r.Calendar)
	r.Period = p.interval("period", calendar.Day)
	r.Intervals = p.Int("intervals", defaultIntervals, 1, maxIntervals)
	r.Cohort = p.OneOf("cohort", "recurring", "recurring", "first_time", "first_ever")
	r.Mode = p.OneOf("mode", "on", "on", "on_or_after")
	r.Window = p.OneOf("window", "calendar", "calendar", "rolling")
	r.MinOccurrences = p.Int("min_occurrences", 1, 1, 1_000_000)
	r.WeekStart, r.Calendar.WeekStart = p.weekStart()
	if !p.Has("from") && !p.Has("days") {
		last := r.Calendar.Floor(r.Period, r.To)
		r.From = r.Calendar.Back(r.Period, last, r.Intervals-1)
	}
	if err := p.Mistake(); err != nil {
		return nil, err
	}
	return r, r.widen()
}

// widen makes the range whole periods.
func (r *RetentionRequest) widen() (err error) {
	if r.periods, err = r.Calendar.Cut(r.Period, r.From, r.To); err != nil {
		return err
	}
	if r.periods.Len() > maxCohorts {
		return &fault.Error{
			Kind: fault.Exceeded, Code: "too_many_cohorts", Field: "from",
			Message: "the range has " + strconv.Itoa(r.periods.Len()) + " periods of one " + string(r.Period) + ", the limit is " + strconv.Itoa(maxCohorts),
		}
	}
	if cells := r.cells(); cells > r.Limits.Cells {
		return &fault.Error{
			Kind: fault.Exceeded, Code: "too_many_cells", Field: "intervals",
			Message: "cohorts × intervals is " + strconv.Itoa(cells) + ", the limit is " + strconv.Itoa(r.Limits.Cells) + "; take fewer intervals, a longer period or a shorter range",
		}
	}
	if r.periods.Len() > 0 {
		r.From, r.To = r.periods.Starts[0], r.periods.End-1
	}
	return nil
}

// RetentionAnswer is the answer of POST retention.
type RetentionAnswer struct {
	Data       []RetentionPoint     `json:"retention_data"`
	Cohorts    []Cohort             `json:"cohorts"`
	Breakdowns []RetentionBreakdown `json:"breakdowns,omitzero"` // there whenever a breakdown was asked for
	Definition Definition           `json:"definition"`
}

// RetentionPoint is one interval over all cohorts in which it is complete. The
// rate is the mean of theirs, weighted by their sizes; null without any.
type RetentionPoint struct {
	Day   int      `json:"day"`
	Users int      `json:"users"`
	Rate  *float64 `json:"retention_rate"`
}

// Cohort is one row: the actors that started in one period.
type Cohort struct {
	Start    string `json:"start"`
	Size     int    `json:"size"`
	Values   []int  `json:"values"`
	Complete []bool `json:"complete"`
}

// RetentionBreakdown is the retention of those with one value.
type RetentionBreakdown struct {
	Value   any              `json:"value"`
	Cohorts []Cohort         `json:"cohorts"`
	Data    []RetentionPoint `json:"retention_data"`
}

func (r *RetentionRequest) definition() Definition {
	d := r.Common.definition()
	d.Range = "whole periods from " + r.From.String() + " to " + r.To.String()
	d.Cohort = map[string]string{
		"recurring":  "every period in which the start event happened",
		"first_time": "the period of the first start event ever that matches the filters, before the range too",
		"first_ever": "the period of the first start event ever, if that one matches the filters",
	}[r.Cohort]
	d.Interval = map[string]string{
		"calendar": "periods of one " + string(r.Period) + " of the calendar after the cohort's; weeks start on " + r.WeekStart,
		"rolling":  "stretches of " + ask.DurationText(r.Period.Length()) + " from the unit's own first start event in the period",
	}[r.Window]
	d.Mode = map[string]string{
		"on":          "with return events in that interval",
		"on_or_after": "with return events in that interval or in a later one of the range",
	}[r.Mode]
	if r.MinOccurrences > 1 {
		d.Mode += ", at least " + strconv.Itoa(r.MinOccurrences) + " in one interval"
	}
	d.Ties = "events of the same time count alike"
	d.Complete = "false while events to come can still change the value, or where a rolling interval ends after the range; such values are left out of retention_data"
	if r.Breakdown != nil {
		d.Attribution = r.Breakdown.words()
	}
	return d
}

// Bits of hit.steps in retention.
const (
	startBit  = 1 << iota
	returnBit // in the range only
	everBit   // a start event, its filters not looked at
)

// retention is a request with what it reads.
type retention struct {
	request *RetentionRequest
	source  *source
	actors  *actors
	events  []selection
	touch   *touch
}

func (r *RetentionRequest) open(ctx context.Context, v *columns.View) (*retention, error) {
	start, back := r.StartEvent, r.ReturnEvent
	start.Filters = slices.Concat(start.Filters, r.StartFilters)
	back.Filters = slices.Concat(back.Filters, r.ReturnFilters)
	unfiltered := ask.Selector{Event: start.Event, Name: start.Name}
	names := propertiesOf(r.Filters, start, back, unfiltered)
	if r.Breakdown != nil {
		names = append(names, r.Breakdown.Property)
	}
	from := r.From
	if r.Cohort != "recurring" {
		from = ever // the first event may be older than the range
	}
	src, err := open(ctx, v, from, r.To, r.Unit.needs(names...))
	if err != nil {
		return nil, err
	}
	t := &retention{request: r, source: src, actors: src.actors(r.Unit)}
	t.events = []selection{src.selectWhere(start, r.Filters), src.selectWhere(back, r.Filters)}
	if r.Cohort == "first_ever" {
		t.events = append(t.events, src.selectWhere(unfiltered, nil))
	}
	if r.Breakdown != nil {
		if t.touch, err = newTouch(ctx, src, r.Breakdown); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// Retention answers POST retention.
func Retention(ctx context.Context, v *columns.View, r *RetentionRequest) (*RetentionAnswer, error) {
	t, err := r.open(ctx, v)
	if err != nil {
		return nil, err
	}
	total, err := t.matrix(ctx)
	if err != nil {
		return nil, err
	}
	answer := &RetentionAnswer{Definition: r.definition()}
	answer.Cohorts = r.cohorts(total)
	answer.Data = r.points(answer.Cohorts)
	if t.touch != nil {
		answer.Breakdowns, err = t.breakdowns(ctx)
	}
	return answer, err
}

// matrix counts actors by cohort and interval.
type matrix struct {
	columns int
	cells   []int
}

func (r *RetentionRequest) cells() int { return r.periods.Len() * r.Intervals }

func (r *RetentionRequest) newMatrix() *matrix {
	return &matrix{r.Intervals, make([]int, r.periods.Len()*r.Intervals)}
}

func (m *matrix) join(o *matrix) {
	for i, n := range o.cells {
		m.cells[i] += n
	}
}

// each calls visit for every actor with events, in several goroutines.
func (t *retention) each(ctx context.Context, visit func(worker int, w *walker, actor uint32, hits []hit)) error {
	walkers := make([]walker, processors())
	for i := range walkers {
		walkers[i].request, walkers[i].ctx = t.request, ctx
	}
	g := gather{source: t.source, actors: t.actors, selections: t.events}
	return g.each(ctx, t.actors.partitions(), func(worker int, actor uint32, hits []hit) { visit(worker, &walkers[worker], actor, hits) })
}

func (t *retention) matrix(ctx context.Context) (*matrix, error) {
	if t.canIntersect() {
		return t.intersected(ctx)
	}
	sums := t.request.newMatrices(processors())
	err := t.each(ctx, func(worker int, w *walker, _ uint32, hits []hit) {
		w.walk(hits, func(cell int) { sums[worker].cells[cell]++ })
	})
	return joined(sums), err
}

func (r *RetentionRequest) newMatrices(n int) []*matrix {
	list := make([]*matrix, n)
	for i := range list {
		list[i] = r.newMatrix()
	}
	return list
}

// joined is the sum of matrices, in the first of them.
func joined(sums []*matrix) *matrix {
	for _, sum := range sums[1:] {
		sums[0].join(sum)
	}
	return sums[0]
}

// walker works out one actor's cells: in which cohorts it is, and in which
// intervals of each it came back. It is used by one goroutine.
type walker struct {
	ctx     context.Context // ends the walk in the middle of an actor
	request *RetentionRequest
	starts  []ownStart
	active  []int // return events by period, or by the actor's own intervals
}

// ownStart is an actor's membership of a cohort.
type ownStart struct {
	row int
	at  event.Time
}

// walk calls yield for each cell (row × columns + interval) that the actor is counted in.
func (w *walker) walk(hits []hit, yield func(cell int)) {
	w.findStarts(hits)
	for _, s := range w.starts {
		if w.ctx != nil && w.ctx.Err() != nil {
			return
		}
		yield(s.row * w.request.Intervals)
		w.intervals(s, hits, func(k int) {
			if k < w.request.Intervals {
				yield(s.row*w.request.Intervals + k)
			}
		})
	}
}

// intervals calls yield for the intervals from 1 on that count for the actor's membership.
func (w *walker) intervals(s ownStart, hits []hit, yield func(k int)) {
	last := w.request.periods.Len() - 1 - s.row
	w.countReturns(s, hits, last)
	came := 0 // on_or_after: the last interval with enough
	for k := 1; k <= last; k++ {
		if w.active[k] < w.request.MinOccurrences {
			continue
		}
		if w.request.Mode == "on" {
			yield(k)
			continue
		}
		for came < k {
			came++
			yield(came)
		}
	}
}

// countReturns fills active with the return events of each interval of a membership.
func (w *walker) countReturns(s ownStart, hits []hit, last int) {
	w.active = append(w.active[:0], make([]int, last+1)...)
	length := w.request.Period.Length()
	for i := range hits {
		h := &hits[i]
		if h.steps&returnBit == 0 || h.at < s.at {
			continue
		}
		k := w.request.periods.Index(h.at) - s.row
		if w.request.Window == "rolling" {
			k = int((h.at - s.at) / length)
		}
		if 0 < k && k <= last {
			w.active[k]++
		}
	}
}

// findStarts lists the cohorts that the actor is in, each with its first start event there.
func (w *walker) findStarts(hits []hit) {
	w.starts = w.starts[:0]
	switch w.request.Cohort {
	case "first_time":
		w.keepFirst(hits, startBit)
	case "first_ever":
		w.keepFirst(hits, everBit)
	default:
		for i := range hits {
			if hits[i].steps&startBit != 0 {
				w.start(hits[i].at)
			}
		}
	}
}

func (w *walker) start(at event.Time) {
	row := -1
	if at >= w.request.From {
		row = w.request.periods.Index(at)
	}
	if n := len(w.starts); row >= 0 && (n == 0 || w.starts[n-1].row != row) {
		w.starts = append(w.starts, ownStart{row, at})
	}
}

// keepFirst starts at the first hit with the bit, if one of that time is a start.
func (w *walker) keepFirst(hits []hit, bit uint32) {
	first := slices.IndexFunc(hits, func(h hit) bool { return h.steps&bit != 0 })
	if first < 0 {
		return
	}
	for _, h := range hits[first:] {
		if h.at == hits[first].at && h.steps&startBit != 0 {
			w.start(h.at)
			return
		}
	}
}

// cohorts are the rows of a matrix, each cut after the range's last period.
func (r *RetentionRequest) cohorts(m *matrix) []Cohort {
	labels := r.periods.Labels()
	cohorts := make([]Cohort, len(labels))
	for i, label := range labels {
		n := min(r.Intervals, len(labels)-i)
		values := m.cells[i*m.columns : i*m.columns+n]
		cohorts[i] = Cohort{Start: label, Size: values[0], Values: values, Complete: make([]bool, n)}
		for k := range n {
			cohorts[i].Complete[k] = r.complete(i, k)
		}
	}
	return cohorts
}

// complete says that no event to come can change the value of cohort i for
// interval k, and that the interval lies in the range for all of the cohort.
func (r *RetentionRequest) complete(i, k int) bool {
	switch {
	case k == 0:
		return r.periods.EndOf(i) <= r.Now
	case r.Mode == "on_or_after" && r.periods.End > r.Now:
		return false
	case r.Window == "rolling":
		return r.periods.EndOf(i)+event.Time(k+1)*r.Period.Length() <= min(r.Now, r.periods.End)
	}
	return r.periods.EndOf(i+k) <= r.Now
}

// points are the intervals over all cohorts.
func (r *RetentionRequest) points(cohorts []Cohort) []RetentionPoint {
	points := []RetentionPoint{}
	for k := 0; len(cohorts) > 0 && k < len(cohorts[0].Values); k++ {
		point, size := RetentionPoint{Day: k}, 0
		any := false
		for _, c := range cohorts {
			if k < len(c.Values) && c.Complete[k] {
				point.Users, size, any = point.Users+c.Values[k], size+c.Size, true
			}
		}
		if any {
			point.Rate = ptr(percent(point.Users, size))
		}
		points = append(points, point)
	}
	return points
}

// breakdowns first ranks the values by how many actors started with them, then
// counts the most frequent ones, and all others as one.
func (t *retention) breakdowns(ctx context.Context) ([]RetentionBreakdown, error) {
	ranked, err := t.ranked(ctx)
	if err != nil {
		return nil, err
	}
	top := min(len(ranked), t.request.Breakdown.Limit)
	place := make([]int, max(1, len(t.touch.values)))
	for n, value := range ranked {
		place[value] = min(n, top)
	}
	sums, err := t.matrices(ctx, place, min(len(ranked), top+1), top)
	if err != nil {
		return nil, err
	}
	breakdowns := []RetentionBreakdown{}
	for n, sum := range sums {
		b := RetentionBreakdown{Value: Other, Cohorts: t.request.cohorts(sum)}
		if n < top {
			b.Value = t.touch.label(ranked[n])
		}
		b.Data = t.request.points(b.Cohorts)
		breakdowns = append(breakdowns, b)
	}
	return breakdowns, nil
}

// eachValue calls yield for each value that an actor belongs to. History before
// the range tells who is new, but touches nobody.
func (t *retention) eachValue(ctx context.Context, hits []hit, yield func(value uint32, hits []hit)) {
	counted := t.touch.only(within(hits, t.request.From, forever), func(h *hit) bool { return h.steps&(startBit|returnBit) != 0 })
	switch t.request.Breakdown.Attribution {
	case "first_touch":
		yield(t.touch.firstTouch(counted), hits)
	case "last_touch":
		yield(t.touch.lastTouch(counted), hits)
	default:
		t.touch.each(ctx, hits, yield)
	}
}

func (t *retention) ranked(ctx context.Context) ([]uint32, error) {
	ctx, kept, done := t.request.groups(ctx)
	defer done()
	groups := make([]map[uint32]int, processors())
	for i := range groups {
		groups[i] = map[uint32]int{}
	}
	err := t.each(ctx, func(worker int, w *walker, _ uint32, hits []hit) {
		t.eachValue(ctx, hits, func(value uint32, hits []hit) {
			if w.findStarts(hits); len(w.starts) == 0 {
				return
			}
			if groups[worker][value] == 0 {
				kept.spend(1)
			}
			groups[worker][value]++
		})
	})
	if err != nil {
		return nil, err
	}
	sizes := map[uint32]int{}
	for _, group := range groups {
		for value, n := range group {
			sizes[value] += n
		}
	}
	return t.touch.rank(sizes), nil
}

// matrices counts each place's actors; at the place of the others an actor counts once in a cell.
func (t *retention) matrices(ctx context.Context, place []int, n, others int) ([]*matrix, error) {
	if cells := n * t.request.cells(); cells > t.request.Limits.Cells {
		return nil, exceeded("too_many_cells", "cohorts × intervals × breakdown values is %d, the limit is %d; take fewer intervals, a longer period or a lower breakdown.limit", cells, t.request.Limits.Cells)
	}
	sums := make([][]*matrix, n) // by place, then by worker
	for i := range sums {
		sums[i] = t.request.newMatrices(processors())
	}
	err := t.each(ctx, func(worker int, w *walker, _ uint32, hits []hit) {
		seen := map[int]bool{}
		t.eachValue(ctx, hits, func(value uint32, hits []hit) {
			at := place[value]
			w.walk(hits, func(cell int) {
				if at == others && seen[cell] {
					return
				}
				if at == others {
					seen[cell] = true
				}
				sums[at][worker].cells[cell]++
			})
		})
	})
	total := make([]*matrix, n)
	for i := range total {
		total[i] = joined(sums[i])
	}
	return total, err
}

// RetentionUsersRequest asks who is in one cohort, and if an interval is given,
// who of them is counted there.
type RetentionUsersRequest struct {
	*RetentionRequest
	CohortIndex int    `json:"cohort_index"`
	Interval    *int   `json:"interval,omitempty"`
	Limit       int    `json:"limit"`
	Cursor      string `json:"cursor,omitempty"`
}

// ReadRetentionUsers reads the request of POST retention/users.
func ReadRetentionUsers(p *Params, env Env) (*RetentionUsersRequest, error) {
	base, err := p.retention(env)
	if err != nil {
		return nil, err
	}
	r := &RetentionUsersRequest{RetentionRequest: base}
	p.Get("breakdown") // may stand, so that the body of POST retention can be sent on; it does not matter here
	last := max(0, r.periods.Len()-1)
	if !p.Has("cohort_index") {
		p.Fail("cohort_index", "is required: the row of the cohort, from 0 to %d", last)
	}
	r.CohortIndex = p.Int("cohort_index", 0, 0, last)
	if p.Has("interval") {
		r.Interval = ptr(p.Int("interval", 0, 0, max(0, min(r.Intervals, r.periods.Len()-r.CohortIndex)-1)))
	}
	r.Limit = p.Int("limit", 100, 1, 10_000)
	r.Cursor = p.String("cursor", "")
	return r, p.Done()
}

// RetentionUsersAnswer is a page of users, most active first, then by name.
type RetentionUsersAnswer struct {
	Users      []RetentionUser `json:"users"`
	NextCursor *string         `json:"next_cursor"`
	Definition Definition      `json:"definition"`
}

// RetentionUser is one of a cohort with the intervals in which it was active; 0 is the cohort's own.
type RetentionUser struct {
	UserID    string `json:"user_id"`
	Intervals []int  `json:"intervals"`
}

func compareRetained(a, b RetentionUser) int {
	return cmp.Or(-cmp.Compare(len(a.Intervals), len(b.Intervals)), cmp.Compare(a.UserID, b.UserID))
}

// RetentionUsers answers POST retention/users.
func RetentionUsers(ctx context.Context, v *columns.View, r *RetentionUsersRequest) (*RetentionUsersAnswer, error) {
	t, err := r.open(ctx, v)
	if err != nil {
		return nil, err
	}
	after, err := r.after()
	if err != nil {
		return nil, err
	}
	found := make([]least[RetentionUser], processors())
	for i := range found {
		found[i] = least[RetentionUser]{n: r.Limit + 1, compare: compareRetained}
	}
	err = t.each(ctx, func(worker int, w *walker, actor uint32, hits []hit) {
		if intervals := r.intervalsOf(w, hits); intervals != nil {
			u := RetentionUser{t.actors.name(actor), intervals}
			if after == nil || compareRetained(u, *after) > 0 {
				found[worker].add(u)
			}
		}
	})
	if err != nil {
		return nil, err
	}
	users := append([]RetentionUser{}, leastOf(found)...)
	answer := &RetentionUsersAnswer{Users: users[:min(len(users), r.Limit)], Definition: r.definition()}
	if len(users) > r.Limit {
		last := users[r.Limit-1]
		next := cursorAfter(strconv.Itoa(len(last.Intervals)) + " " + last.UserID)
		answer.NextCursor = &next
	}
	return answer, nil
}

// after is the last user of the page before.
func (r *RetentionUsersRequest) after() (*RetentionUser, error) {
	text, err := readCursor(r.Cursor)
	if err != nil || text == nil {
		return nil, err
	}
	count, name, _ := strings.Cut(*text, " ")
	n, err := strconv.Atoi(count)
	if err != nil || n < 0 || n > maxCohorts {
		return nil, fault.Field("cursor", "must be the next_cursor of an answer to the same request")
	}
	return &RetentionUser{name, make([]int, n)}, nil
}

// intervalsOf are the intervals in which an actor of the cohort was active, nil
// when it is not one of those asked for.
func (r *RetentionUsersRequest) intervalsOf(w *walker, hits []hit) []int {
	w.findStarts(hits)
	i := slices.IndexFunc(w.starts, func(s ownStart) bool { return s.row == r.CohortIndex })
	if i < 0 {
		return nil
	}
	s := w.starts[i]
	counted := r.Interval == nil || *r.Interval == 0
	w.intervals(s, hits, func(k int) { counted = counted || k == *r.Interval })
	if !counted {
		return nil
	}
	intervals := []int{0}
	for k := 1; k < min(len(w.active), r.Intervals); k++ {
		if w.active[k] >= r.MinOccurrences {
			intervals = append(intervals, k)
		}
	}
	return intervals
}

// canIntersect says that the answer needs only to know who was active in which
// period: then sets of users are intersected, and no event is held.
func (t *retention) canIntersect() bool {
	r, periods := t.request, t.request.periods.Len()
	return r.Window == "calendar" && r.MinOccurrences == 1 && r.Cohort != "first_ever" && t.actors.unit.Kind == UserUnit &&
		t.source.fitSets(3*periods) && periods*min(r.Intervals, periods)*t.source.setWords() < mostIntersected
}

// mostIntersected is how many words of sets may be intersected; for more, to go
// through the events is quicker.
const mostIntersected = 1 << 30

// intersected counts each cohort's users, and those of them who came back.
func (t *retention) intersected(ctx context.Context) (*matrix, error) {
	r := t.request
	cohorts, err := t.cohortSets(ctx)
	if err != nil {
		return nil, err
	}
	active, _, err := t.source.activeUsers(ctx, &t.events[1], r.periods.Starts)
	if err != nil {
		return nil, err
	}
	if r.Mode == "on_or_after" {
		active = fromThereOn(active)
	}
	m := r.newMatrix()
	return m, parallel(ctx, len(cohorts), func(ctx context.Context, i int) error {
		cells := m.cells[i*r.Intervals : (i+1)*r.Intervals]
		cells[0] = cohorts[i].len()
		for k := 1; k < min(len(cells), len(active)-i) && ctx.Err() == nil; k++ {
			cells[k] = cohorts[i].shared(active[i+k])
		}
		return ctx.Err()
	})
}

// cohortSets are the users that start in each period.
func (t *retention) cohortSets(ctx context.Context) ([]userSet, error) {
	starts, before, err := t.source.activeUsers(ctx, &t.events[0], t.request.periods.Starts)
	if err != nil || t.request.Cohort != "first_time" {
		return starts, err
	}
	seen := make(userSet, t.source.setWords())
	seen.add(before)
	for i, set := range starts {
		starts[i] = set.without(seen)
		seen.add(set)
	}
	return starts, ctx.Err()
}

// fromThereOn are, for each period, the users active in it or in a later one.
func fromThereOn(active []userSet) []userSet {
	from := make([]userSet, len(active))
	for i := len(active) - 1; i >= 0; i-- {
		from[i] = slices.Clone(active[i])
		switch {
		case i+1 == len(active):
		case from[i] == nil:
			from[i] = from[i+1]
		default:
			from[i].add(from[i+1])
		}
	}
	return from
}
