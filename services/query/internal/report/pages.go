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
	days, err := pagesByDay(ctx, events)
	if err != nil {
		return nil, err
	}
	s := &pageStats{events: events, days: days}
	if err := s.join(ctx); err != nil {
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

// pageStats puts together what days say of pages.
type pageStats struct {
	events *reading
	days   []*dayPages
	pages  []pageTotal  // by the code of its page_url
	joined []visitCount // by the same: what visits that go on on another day change
}

type pageTotal struct {
	dayPage
	distinct int // users
}

// join goes through the pages, some at a time; and through the visits meanwhile.
func (s *pageStats) join(ctx context.Context) error {
	urls := len(s.events.values("page_url"))
	s.pages, s.joined = make([]pageTotal, urls), make([]visitCount, urls)
	const together = 16
	newUsers := func(int) *tally { return newTally(s.events.who.count) }
	return parallelWith(ctx, 1+(urls+together-1)/together, newUsers, func(_ context.Context, users *tally, i int) error {
		if i == 0 {
			s.joinVisits()
		} else {
			s.addUp((i-1)*together, min(i*together, urls), users)
		}
		return nil
	})
}

// addUp adds up the days of pages lo … hi-1.
func (s *pageStats) addUp(lo, hi int, users *tally) {
	rest, lists := make([][]dayPage, len(s.days)), make([][]uint32, 0, len(s.days))
	for i, d := range s.days {
		rest[i] = d.from(uint32(lo))
	}
	for code := lo; code < hi; code++ {
		total := &s.pages[code]
		lists = lists[:0]
		for i, pages := range rest {
			if len(pages) > 0 && pages[0].code == uint32(code) {
				total.add(&pages[0])
				lists = append(lists, pages[0].users)
				rest[i] = pages[1:]
			}
		}
		total.distinct = users.distinctOf(lists)
	}
}

// joinVisits corrects what the days counted each for itself: a visit that goes
// on on a later day neither ends on the earlier nor begins there, and is no bounce.
func (s *pageStats) joinVisits() {
	least, places := s.sessions()
	for i, d := range s.days {
		for k := range d.visits {
			v := &d.visits[k]
			place := &places[v.session-least]
			before := *place
			*place = visitPlace{day: uint32(i) + 1, visit: uint32(k) << 1}
			if before.day == 0 {
				continue
			}
			place.visit |= 1
			earlier := &s.days[before.day-1].visits[before.visit>>1]
			s.joined[earlier.lastPage].exits--
			s.joined[v.firstPage].entries--
			if earlier.once && before.visit&1 == 0 {
				s.joined[earlier.firstPage].bounces--
			}
			if v.once {
				s.joined[v.firstPage].bounces--
			}
		}
	}
}

// sessions is room for every session from the least on.
func (s *pageStats) sessions() (least uint32, places []visitPlace) {
	least, most := uint32(math.MaxUint32), uint32(0)
	for _, d := range s.days {
		if len(d.visits) > 0 {
			least, most = min(least, d.leastSession), max(most, d.mostSession)
		}
	}
	if least > most {
		return 0, nil
	}
	return least, make([]visitPlace, int(most-least)+1)
}

// visitPlace is where the latest part of a visit is found.
type visitPlace struct {
	day   uint32 // one more than its place among the days; 0: nowhere
	visit uint32 // twice its place in the day, and one more if it was there on an earlier day
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

func (m *mean) join(o mean) {
	m.sum += o.sum
	m.n += o.n
}

// stats are the pages that were viewed, most views first.
func (s *pageStats) stats() []PageStat {
	urls, titles := s.events.values("page_url"), s.events.values("page_title")
	stats := make([]PageStat, 0, len(s.pages))
	for code := range s.pages {
		p := &s.pages[code]
		if p.views == 0 {
			continue
		}
		visits := p.visitCount.plus(s.joined[code])
		stat := PageStat{
			PageURL: urls[code].String(), Views: p.views, Users: p.distinct,
			AvgLoadTime: p.load.value(), AvgDuration: p.duration.value(),
			BounceRate: percent(visits.bounces, visits.entries), ExitRate: percent(visits.exits, p.views),
		}
		if p.title != 0 {
			stat.PageTitle = titles[p.title].String()
		}
		stats = append(stats, stat)
	}
	slices.SortFunc(stats, func(a, b PageStat) int {
		return cmp.Or(cmp.Compare(b.Views, a.Views), cmp.Compare(a.PageURL, b.PageURL))
	})
	return stats
}
