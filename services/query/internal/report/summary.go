package report

import (
	"cmp"
	"context"
	"encoding/json"
	"math"
	"slices"

	"github.com/maidian/maidian/pkg/ask"
	"github.com/maidian/maidian/pkg/calendar"
	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/services/query/internal/columns"
)

// SummaryRequest asks for a range at a glance.
type SummaryRequest struct {
	Common
	Limit int `json:"limit"` // of the top lists
}

// SummaryAnswer is a range at a glance, with the range before it to compare.
type SummaryAnswer struct {
	Overview      Overview     `json:"overview"`
	Previous      Overview     `json:"previous"`
	PreviousRange Span         `json:"previous_range"`
	TopEvents     []TypeStat   `json:"top_events"`
	TopPages      []ViewedPage `json:"top_pages"`
	TopReferrers  []ValueStat  `json:"top_referrers"`
	Devices       []ValueStat  `json:"devices"`
	Browsers      []ValueStat  `json:"browsers"`
	Countries     []ValueStat  `json:"countries"`
	Channels      []ValueStat  `json:"channels"`
	Hours         [24]int      `json:"hours"`
	Definition    definition   `json:"definition"`
}

// Span is a range of time, both ends inclusive.
type Span struct {
	From event.Time `json:"from"`
	To   event.Time `json:"to"`
}

// Overview is the numbers of a range.
type Overview struct {
	TotalEvents        int     `json:"total_events"`
	ActiveUsers        int     `json:"active_users"`
	NewUsers           int     `json:"new_users"`
	Sessions           int     `json:"sessions"`
	PageViews          int     `json:"page_views"`
	AvgSessionDuration float64 `json:"avg_session_duration"`
	BounceRate         float64 `json:"bounce_rate"`
	Revenue            float64 `json:"revenue"`
}

// ViewedPage is a page in a top list.
type ViewedPage struct {
	PageURL string `json:"page_url"`
	Views   int    `json:"views"`
	Users   int    `json:"users"`
}

// ValueStat is one value of a property; its name in JSON is the property's.
type ValueStat struct {
	Property string
	Value    string
	Count    int
	Users    int
}

// MarshalJSON writes {"browser": "Chrome", "count": 3, "users": 2}.
func (s ValueStat) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]any{s.Property: s.Value, "count": s.Count, "users": s.Users})
}

// ReadSummary reads the request.
func ReadSummary(p *Params, env Env) (SummaryRequest, error) {
	r := SummaryRequest{Common: p.Common(env), Limit: p.Int("limit", 10, 1, 1000)}
	return r, p.Done()
}

// Summary is a range at a glance.
func Summary(ctx context.Context, v *columns.View, r SummaryRequest) (*SummaryAnswer, error) {
	before := r.Common
	before.From, before.To = r.previous()
	answer := &SummaryAnswer{PreviousRange: Span{before.From, before.To}, Definition: summaryDefinition(&r)}
	return answer, r.tops(ctx, v, answer, func(ctx context.Context) (err error) {
		answer.Previous, err = overview(ctx, v, &before)
		return err
	}, func(ctx context.Context) (err error) {
		answer.Overview, err = overview(ctx, v, &r.Common)
		return err
	})
}

func summaryDefinition(r *SummaryRequest) definition {
	return r.defined(definition{
		"active_users":         "distinct " + r.Unit.words(),
		"new_users":            "active users whose first event ever, whatever the filters, is in the range; by user, whatever the unit",
		"sessions":             "distinct sessions; where the client sent no id, a new one after 30 minutes without an event of the user",
		"avg_session_duration": "seconds, mean over sessions from their first to their last event, as far as the range and the filters show them",
		"bounce_rate":          "of the sessions with a page view, those with exactly one, in percent",
		"revenue":              "sum of the property amount of purchase events, in the currencies as sent",
		"previous":             "the range of equal length just before: as many calendar days when the range is whole days",
		"top_pages":            "page_url of page_view events, by views",
		"top_referrers":        "referrer of page_view events, by views; views without one are left out",
		"values":               "devices, browsers, countries and channels count all events that have the value",
		"hours":                "events by hour of the day, 0 to 23, in the time zone " + r.Timezone,
	})
}

// previous is the range of equal length just before this one.
func (c *Common) previous() (from, to event.Time) {
	cal := c.Calendar
	if cal.Floor(calendar.Day, c.From) != c.From || cal.Floor(calendar.Day, c.To+1) != c.To+1 {
		return c.From - (c.To - c.From) - 1, c.From - 1
	}
	days := 0
	for at := c.From; at <= c.To; at = cal.Next(calendar.Day, at) {
		days++
	}
	return cal.Back(calendar.Day, c.From, days), c.From - 1
}

// overview adds up a range in one pass.
func overview(ctx context.Context, v *columns.View, c *Common) (o Overview, err error) {
	events, err := c.open(ctx, v, columns.Needs{Columns: []string{"amount"}, Sessions: true})
	if err != nil {
		return o, err
	}
	counted, users := newTally(events.who.count), newTally(v.UserCount())
	seen := &sessionSpans{}
	for i := range events.days {
		if err := ctx.Err(); err != nil {
			return o, err
		}
		o.addDay(events, i, seen)
		events.addUnits(i, counted, users)
	}
	o.ActiveUsers = counted.n
	o.addSessions(seen)
	o.NewUsers, err = newUsers(ctx, v, c.From, users)
	return o, err
}

// addUnits adds those who are counted, and the users, of a day.
func (r *reading) addUnits(dayIndex int, counted, users *tally) {
	keep, who := r.passing(dayIndex), r.units(dayIndex)
	if r.unfiltered() {
		lo, hi, _ := r.inRange(r.days[dayIndex])
		for _, t := range []*tally{counted, users} {
			r.days[dayIndex].Part(columns.AnyType, lo, hi).AddTo(t.bits)
			t.n = userSet(t.bits).len()
		}
		return
	}
	for row, user := range r.days[dayIndex].Users() {
		if !keep.has(row) {
			continue
		}
		users.add(user)
		if u, ok := who.of(row); ok {
			counted.add(u)
		}
	}
}

// addDay adds a day's events to the sessions, and what only some types tell:
// page views and purchases.
func (o *Overview) addDay(events *reading, dayIndex int, seen *sessionSpans) {
	d, keep, amounts := events.days[dayIndex], events.passing(dayIndex), events.column(dayIndex, "amount")
	for _, run := range d.Runs() {
		spans := seen.of(d.Sessions(), run)
		times := d.Times()[run.Lo:run.Hi]
		for i, session := range seen.numbers {
			if !keep.has(run.Lo + i) {
				continue
			}
			o.TotalEvents++
			s := &spans[session-seen.base]
			s.add(d.Start() + event.Time(times[i]))
			switch run.Type {
			case pageView:
				o.PageViews++
				s.views++
			case purchase:
				amount, _ := ask.Number(amounts.At(run.Lo + i))
				o.Revenue += amount
			}
		}
	}
}

// sessionSpans are sessions by number.
type sessionSpans struct {
	bySession[sessionSpan]
	numbers []uint32 // of a run's rows
}

// of makes room for the sessions of a run, and puts their numbers into numbers.
func (s *sessionSpans) of(sessions *columns.Codes, run columns.Run) []sessionSpan {
	s.numbers = sessions.Unpack(s.numbers[:0], run.Lo, run.Hi)
	s.makeRoom(s.numbers)
	return s.sessions
}

// sessionSpan is how long a session was seen.
type sessionSpan struct {
	first, last event.Time
	views       uint32
	seen        bool
}

func (s *sessionSpan) add(at event.Time) {
	if !s.seen {
		s.first, s.last, s.seen = at, at, true
		return
	}
	s.first, s.last = min(s.first, at), max(s.last, at)
}

func (o *Overview) addSessions(seen *sessionSpans) {
	var length event.Time
	viewing, bounced := 0, 0
	for i := range seen.sessions {
		s := &seen.sessions[i]
		if !s.seen {
			continue
		}
		o.Sessions++
		length += s.last - s.first
		if s.views > 0 {
			viewing++
		}
		if s.views == 1 {
			bounced++
		}
	}
	o.BounceRate = percent(bounced, viewing)
	if o.Sessions > 0 {
		o.AvgSessionDuration = math.Round(float64(length)/float64(o.Sessions)) / 1000
	}
	o.Revenue = math.Round(o.Revenue*1e6) / 1e6
}

// newUsers is how many of the users have no event before from.
func newUsers(ctx context.Context, v *columns.View, from event.Time, users *tally) (int, error) {
	known := newTally(v.UserCount())
	for _, start := range v.Starts(math.MinInt32*day, from-1) {
		days, err := v.Open(ctx, start, start, columns.Needs{})
		if err != nil {
			return 0, err
		}
		before := min(day, from-start)
		days[0].Part(columns.AnyType, 0, uint32(before-1)).AddTo(known.bits)
	}
	return users.n - userSet(users.bits).shared(known.bits), nil
}

// breakdowns are the lists of a summary: a property, the only type that counts
// (empty: all), and where it goes.
func (a *SummaryAnswer) breakdowns() []breakdownList {
	return []breakdownList{
		{property: "page_url", only: pageView, set: func(stats []ValueStat) { a.TopPages = viewedPages(stats) }},
		{property: "referrer", only: pageView, set: func(stats []ValueStat) { a.TopReferrers = stats }},
		{property: "device_type", set: func(stats []ValueStat) { a.Devices = stats }},
		{property: "browser", set: func(stats []ValueStat) { a.Browsers = stats }},
		{property: "country", set: func(stats []ValueStat) { a.Countries = stats }},
		{property: "channel", set: func(stats []ValueStat) { a.Channels = stats }},
	}
}

func viewedPages(stats []ValueStat) []ViewedPage {
	pages := make([]ViewedPage, len(stats))
	for i, s := range stats {
		pages[i] = ViewedPage{s.Value, s.Count, s.Users}
	}
	return pages
}

type breakdownList struct {
	property, only string
	set            func([]ValueStat)
}

// tops fills the lists and the hours, all and other work at the same time.
func (r *SummaryRequest) tops(ctx context.Context, v *columns.View, a *SummaryAnswer, work ...func(ctx context.Context) error) error {
	lists := a.breakdowns()
	names := make([]string, len(lists))
	for i, l := range lists {
		names[i] = l.property
	}
	events, err := r.open(ctx, v, columns.Needs{Columns: names})
	if err != nil {
		return err
	}
	if err := events.prepare(ctx); err != nil {
		return err
	}
	for _, l := range lists {
		work = append(work, func(ctx context.Context) error {
			stats, err := events.valueStats(ctx, l.property, l.only)
			l.set(first(stats, r.Limit))
			return err
		})
	}
	work = append(work, func(ctx context.Context) error {
		types, err := events.typeStats(ctx)
		a.TopEvents = first(types, r.Limit)
		return err
	}, func(ctx context.Context) error {
		hours := hourly{calendar: r.Calendar}
		for i, d := range events.days {
			hours.add(d, events.passing(i))
		}
		a.Hours = hours.counts
		return ctx.Err()
	})
	return parallel(ctx, len(work), func(ctx context.Context, i int) error { return work[i](ctx) })
}

func first[T any](list []T, n int) []T { return list[:min(n, len(list))] }

// hourly counts by hour of the day on the clocks of a time zone.
type hourly struct {
	calendar calendar.Calendar
	counts   [24]int
}

// add knows that offsets are whole half minutes (Liberia's was 44 and a half
// until 1972), so it asks the calendar for the hours of a day and not for each row.
func (h *hourly) add(d *columns.Day, keep passing) {
	const slot = 30 * second
	var slots [day / slot]int
	for row, at := range d.Times() {
		if keep.has(row) {
			slots[event.Time(at)/slot]++
		}
	}
	hour, until := 0, d.Start()
	for i, n := range slots {
		if at := d.Start() + event.Time(i)*slot; at >= until {
			hour, until = at.Std().In(h.calendar.Zone).Hour(), h.calendar.Next(calendar.Hour, h.calendar.Floor(calendar.Hour, at))
		}
		h.counts[hour] += n
	}
}

// valueStats counts by the value of a property, in the events of one type or
// of all, most frequent first. Events without a value are left out.
func (r *reading) valueStats(ctx context.Context, property, only string) ([]ValueStat, error) {
	values := r.values(property)
	if len(values) <= 1 { // nobody sent any
		return []ValueStat{}, ctx.Err()
	}
	counts := newPairs(len(values), r.who.count)
	var codes []uint32
	for i, d := range r.days {
		keep, who := r.passing(i), r.units(i)
		for _, run := range d.Runs() {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			if only != "" && run.Type != only {
				continue
			}
			codes = r.column(i, property).Codes.Unpack(codes[:0], run.Lo, run.Hi)
			for k, code := range codes {
				if row := run.Lo + k; code != 0 && keep.has(row) {
					user, has := who.of(row)
					counts.add(code, user, has)
				}
			}
		}
	}
	return valueStatsOf(property, values, counts), ctx.Err()
}

func valueStatsOf(property string, values []event.Value, counts *pairs) []ValueStat {
	stats := []ValueStat{}
	users := counts.distinct()
	for code, n := range counts.rows {
		if n > 0 {
			stats = append(stats, ValueStat{property, values[code].String(), n, users[code]})
		}
	}
	slices.SortFunc(stats, func(a, b ValueStat) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Value, b.Value))
	})
	return stats
}
