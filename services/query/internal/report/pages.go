package report

import (
	"cmp"
	"context"
	"math"
	"slices"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/services/query/internal/columns"
)

// Event types that the reports about pages and money look at.
const (
	pageView  = "page_view"
	pageLeave = "page_leave"
	purchase  = "purchase"
)

// PagesRequest asks how each page did.
type PagesRequest struct {
	Common
	Limit  int `json:"limit"`
	Offset int `json:"offset"`
}

// PagesAnswer is a part of the pages, most viewed first. Total is how many pages there are.
type PagesAnswer struct {
	Pages      []PageStat `json:"pages"`
	Total      int        `json:"total"`
	Definition definition `json:"definition"`
}

// PageStat is one page. What nobody sent is null.
type PageStat struct {
	PageURL     string   `json:"page_url"`
	PageTitle   string   `json:"page_title"`
	Views       int      `json:"views"`
	Users       int      `json:"users"`
	AvgLoadTime *float64 `json:"avg_load_time"`
	AvgDuration *float64 `json:"avg_duration"`
	BounceRate  float64  `json:"bounce_rate"`
	ExitRate    float64  `json:"exit_rate"`
}

// ReadPages reads the request.
func ReadPages(p *Params, env Env) (PagesRequest, error) {
	r := PagesRequest{Common: p.Common(env), Limit: p.Int("limit", 100, 1, 1000), Offset: p.Int("offset", 0, 0, math.MaxInt32)}
	return r, p.Done()
}

// pageColumns are what the page report reads of each event.
var pageColumns = []string{"page_url", "page_title", "load_time", "duration"}

// Pages counts views of pages, and how sessions begin and end on them.
func Pages(ctx context.Context, v *columns.View, r PagesRequest) (*PagesAnswer, error) {
	events, err := r.open(ctx, v, columns.Needs{Columns: pageColumns, Sessions: true})
	if err != nil {
		return nil, err
	}
	s := newPageStats(events)
	if err := s.count(ctx); err != nil {
		return nil, err
	}
	all := s.stats()
	lo := min(r.Offset, len(all))
	return &PagesAnswer{
		Pages: all[lo:min(lo+r.Limit, len(all))],
		Total: len(all),
		Definition: r.defined(definition{
			"views":         "page_view events with this page_url, as sent",
			"users":         "distinct " + r.Unit.words(),
			"page_title":    "of the newest view that has one; of equally new ones the first by name",
			"avg_load_time": "seconds, mean load_time of the views that have one; null when none has",
			"avg_duration":  "seconds, mean duration of the page's page_leave and page_view events that have one; null when none has",
			"bounce_rate":   "of the sessions whose first page view is this page, those that view no other and not this one again, in percent",
			"exit_rate":     "of the page's views, those that are the last of their session, in percent",
			"sessions":      "are seen as far as the range and the filters show them; views with equal times stand in the order of their page_url",
		}),
	}, nil
}

// pageStats adds up what happens on each page: by the code of its page_url.
type pageStats struct {
	events *reading
	urls   []event.Value
	titles []event.Value
	page   []pageSums
	views  *pairs
	users  []int
	visits *visits
}

type pageSums struct {
	load, duration mean
	title          uint32     // code
	titled         event.Time // when the title was seen
}

func newPageStats(events *reading) *pageStats {
	s := &pageStats{events: events, urls: events.values("page_url"), titles: events.values("page_title")}
	s.visits = &visits{urls: s.urls}
	s.page = make([]pageSums, len(s.urls))
	s.views = newPairs(len(s.urls), events.who.count)
	return s
}

// count goes through the days for each of three things at the same time; none
// of them needs what another finds.
func (s *pageStats) count(ctx context.Context) error {
	ways := []func(ctx context.Context) error{s.countViews, s.countVisits, s.addUp}
	return parallel(ctx, len(ways), func(ctx context.Context, i int) error { return ways[i](ctx) })
}

// eachRun calls visit with the days' rows of a type that were sent with a page,
// and which of them count. Pages are codes by row, from the run's first on.
func (s *pageStats) eachRun(ctx context.Context, eventType string, visit func(dayIndex int, run columns.Run, pages []uint32, keep []bool)) error {
	var pages []uint32
	for i, d := range s.events.days {
		if err := ctx.Err(); err != nil {
			return err
		}
		if n, ok := d.RunOf(eventType); ok {
			run := d.Runs()[n]
			pages = s.events.column(i, "page_url").Codes.Unpack(pages[:0], run.Lo, run.Hi)
			visit(i, run, pages, s.events.keep(i, run.Lo, run.Hi, s.events.match))
		}
	}
	return ctx.Err()
}

// mean is a sum and how many it is of.
type mean struct {
	sum float64
	n   int
}

func (m *mean) add(v event.Value) {
	if v.Kind == event.Numeric {
		m.sum += v.Number
		m.n++
	}
}

// value is the mean to the millisecond, nil of nothing.
func (m *mean) value() *float64 {
	if m.n == 0 {
		return nil
	}
	rounded := math.Round(1000*m.sum/float64(m.n)) / 1000
	return &rounded
}

func (s *pageStats) countViews(ctx context.Context) error {
	s.views.reserve(s.events.rowsOf(pageView))
	err := s.eachRun(ctx, pageView, func(dayIndex int, run columns.Run, pages []uint32, keep []bool) {
		who := s.events.units(dayIndex)
		for i, page := range pages {
			if page != 0 && (keep == nil || keep[i]) {
				user, has := who.of(run.Lo + i)
				s.views.add(page, user, has)
			}
		}
	})
	s.users = s.views.distinct()
	return err
}

func (s *pageStats) countVisits(ctx context.Context) error {
	var sessions []uint32
	return s.eachRun(ctx, pageView, func(dayIndex int, run columns.Run, pages []uint32, keep []bool) {
		d := s.events.days[dayIndex]
		sessions = d.Sessions().Unpack(sessions[:0], run.Lo, run.Hi)
		s.visits.makeRoom(sessions)
		times := d.Times()[run.Lo:run.Hi]
		for i, page := range pages {
			if page != 0 && (keep == nil || keep[i]) {
				s.visits.add(sessions[i], page, d.Start()+event.Time(times[i]))
			}
		}
	})
}

// addUp adds up what few rows have: times and titles.
func (s *pageStats) addUp(ctx context.Context) error {
	var codes []uint32
	err := s.eachRun(ctx, pageView, func(dayIndex int, run columns.Run, pages []uint32, keep []bool) {
		s.eachSent(&codes, "load_time", dayIndex, run, pages, keep, func(_ int, p *pageSums, v event.Value) { p.load.add(v) })
		s.eachSent(&codes, "duration", dayIndex, run, pages, keep, func(_ int, p *pageSums, v event.Value) { p.duration.add(v) })
		titles := &s.events.column(dayIndex, "page_title").Codes
		s.eachSent(&codes, "page_title", dayIndex, run, pages, keep, func(row int, p *pageSums, v event.Value) {
			at := timeOf(s.events.days[dayIndex], row)
			if p.title == 0 || at > p.titled || at == p.titled && v.Text < s.titles[p.title].Text {
				p.title, p.titled = titles.At(row), at
			}
		})
	})
	if err != nil {
		return err
	}
	return s.eachRun(ctx, pageLeave, func(dayIndex int, run columns.Run, pages []uint32, keep []bool) {
		s.eachSent(&codes, "duration", dayIndex, run, pages, keep, func(_ int, p *pageSums, v event.Value) { p.duration.add(v) })
	})
}

// eachSent calls visit for the rows that have a value of a column.
func (s *pageStats) eachSent(codes *[]uint32, name string, dayIndex int, run columns.Run, pages []uint32, keep []bool, visit func(row int, p *pageSums, v event.Value)) {
	column := s.events.column(dayIndex, name)
	if len(column.Values) <= 1 { // nobody sent any
		return
	}
	*codes = column.Codes.Unpack((*codes)[:0], run.Lo, run.Hi)
	for i, code := range *codes {
		if code != 0 && pages[i] != 0 && (keep == nil || keep[i]) {
			visit(run.Lo+i, &s.page[pages[i]], column.Values[code])
		}
	}
}

// stats are the pages that were viewed, most views first.
func (s *pageStats) stats() []PageStat {
	views, users := s.views.rows, s.users
	entries, bounces, exits := s.visits.count(len(s.page))
	stats := make([]PageStat, 0, len(s.page))
	for n, sums := range s.page {
		if views[n] == 0 {
			continue
		}
		stat := PageStat{
			PageURL: s.urls[n].String(), Views: views[n], Users: users[n],
			AvgLoadTime: sums.load.value(), AvgDuration: sums.duration.value(),
			BounceRate: percent(bounces[n], entries[n]), ExitRate: percent(exits[n], views[n]),
		}
		if sums.title != 0 {
			stat.PageTitle = s.titles[sums.title].String()
		}
		stats = append(stats, stat)
	}
	slices.SortFunc(stats, func(a, b PageStat) int {
		return cmp.Or(cmp.Compare(b.Views, a.Views), cmp.Compare(a.PageURL, b.PageURL))
	})
	return stats
}

// visits is what page views sessions had. Views with equal times stand in the
// order of their pages' names, however the events arrived.
type visits struct {
	bySession[visit]
	urls []event.Value
}

type visit struct {
	first, last         event.Time
	firstPage, lastPage uint32
	views               uint32
}

func (v *visits) add(session, page uint32, at event.Time) {
	s := &v.sessions[session-v.base]
	if s.views == 0 || at < s.first || at == s.first && v.urls[page].Text < v.urls[s.firstPage].Text {
		s.first, s.firstPage = at, page
	}
	if s.views == 0 || at > s.last || at == s.last && v.urls[page].Text > v.urls[s.lastPage].Text {
		s.last, s.lastPage = at, page
	}
	s.views++
}

// count is, by page, how many sessions began there, were over with it, and ended there.
func (v *visits) count(pages int) (entries, bounces, exits []int) {
	entries, bounces, exits = make([]int, pages), make([]int, pages), make([]int, pages)
	for i := range v.sessions {
		s := &v.sessions[i]
		if s.views == 0 {
			continue
		}
		entries[s.firstPage]++
		exits[s.lastPage]++
		if s.views == 1 {
			bounces[s.firstPage]++
		}
	}
	return entries, bounces, exits
}
