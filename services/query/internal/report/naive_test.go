package report

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/services/query/internal/columns"
)

// The reports about all events of a range are held against sums over a plain
// list of events: no columns, no days, no bits.

// someEvents are made-up events around a night on which clocks change. No two
// have the same time, so that there is one first and one last of a session.
func someEvents(r *rand.Rand, n int) []event.Event {
	start := event.TimeOf(time.Date(2026, 3, 27, 0, 0, 0, 0, time.UTC))
	types := []string{pageView, pageView, pageView, pageLeave, purchase, "click"}
	events := make([]event.Event, n)
	for i, at := range r.Perm(5 * 24 * 60)[:n] {
		user := r.IntN(6)
		e := event.Event{
			Project: "p", EventID: fmt.Sprint(i), EventType: types[r.IntN(len(types))],
			Timestamp: start + event.Time(at)*minute + event.Time(r.IntN(999)),
			SessionID: fmt.Sprintf("s%d.%d", user, r.IntN(4)),
			Browser:   []string{"Chrome", "Firefox", ""}[r.IntN(3)],
		}
		if user < 4 {
			e.UserID = fmt.Sprintf("u%d", user)
		} else {
			e.AnonymousID = fmt.Sprintf("a%d", user)
		}
		if e.EventType == pageView || e.EventType == pageLeave {
			e.PageURL = fmt.Sprintf("https://x.example/%d", r.IntN(3))
			e.Duration = event.Number([]string{"", "1.5", "2"}[r.IntN(3)])
			e.LoadTime = event.Number([]string{"", "0.25", "1"}[r.IntN(3)])
			e.Referrer = []string{"", "https://a.example/"}[r.IntN(2)]
		}
		if e.EventType == purchase {
			e.Properties = fmt.Sprintf(`{"amount":%d}`, r.IntN(100))
		}
		events[i] = e
	}
	return events
}

func (e *naiveEvent) user() string { return e.UserID + e.AnonymousID }

type naiveEvent struct{ event.Event }

// naive is the events that a request sees.
type naive []naiveEvent

func see(events []event.Event, from, to event.Time, browser string) (n naive) {
	for _, e := range events {
		if e.Timestamp >= from && e.Timestamp <= to && (browser == "" || e.Browser == browser) {
			n = append(n, naiveEvent{e})
		}
	}
	slices.SortFunc(n, func(a, b naiveEvent) int { return int(a.Timestamp - b.Timestamp) })
	return n
}

func (n naive) where(test func(e *naiveEvent) bool) (some naive) {
	for _, e := range n {
		if test(&e) {
			some = append(some, e)
		}
	}
	return some
}

func (n naive) distinct(of func(e *naiveEvent) string) int {
	seen := map[string]bool{}
	for i := range n {
		seen[of(&n[i])] = true
	}
	return len(seen)
}

func (n naive) users() int { return n.distinct((*naiveEvent).user) }

func (n naive) by(of func(e *naiveEvent) string) map[string]naive {
	parts := map[string]naive{}
	for _, e := range n {
		parts[of(&e)] = append(parts[of(&e)], e)
	}
	return parts
}

func ofType(t string) func(*naiveEvent) bool {
	return func(e *naiveEvent) bool { return e.EventType == t }
}

func session(e *naiveEvent) string { return e.SessionID }

// trial is one random history and one random request about it.
type trial struct {
	events []event.Event
	view   *columns.View
	zone   *time.Location
	params string
	env    Env
	from   event.Time
	to     event.Time
	seen   naive
}

func trials(t *testing.T, test func(t *testing.T, tr *trial)) {
	zones := []string{"UTC", "Europe/Berlin", "America/St_Johns", "Pacific/Auckland", "Asia/Kolkata"}
	for seed := range uint64(150) {
		r := rand.New(rand.NewPCG(seed, 1))
		tr := &trial{events: someEvents(r, r.IntN(150))}
		tr.view = columns.FromEvents("p", tr.events)
		zone := zones[r.IntN(len(zones))]
		tr.zone, _ = time.LoadLocation(zone)
		first, days := 26+r.IntN(5), r.IntN(4)
		lo := time.Date(2026, 3, first, 0, 0, 0, 0, tr.zone)
		hi := time.Date(2026, 3, first+days+1, 0, 0, 0, 0, tr.zone)
		tr.from, tr.to = event.TimeOf(lo), event.TimeOf(hi)-1
		browser := []string{"", "Chrome"}[r.IntN(2)]
		tr.params = fmt.Sprintf(`{"timezone": %q, "from": %q, "to": %q`, zone, lo.Format(time.DateOnly), time.Date(2026, 3, first+days, 0, 0, 0, 0, time.UTC).Format(time.DateOnly))
		if browser != "" {
			tr.params += fmt.Sprintf(`, "filters": [{"property": "browser", "op": "eq", "value": %q}]`, browser)
		}
		tr.params += "}"
		tr.env = Env{Now: event.TimeOf(time.Date(2026, 4, 10, 0, 0, 0, 0, time.UTC))}
		tr.seen = see(tr.events, tr.from, tr.to, browser)
		t.Run(fmt.Sprint(seed), func(t *testing.T) { test(t, tr) })
	}
}

// ask reads and answers a request.
func ask[R, A any](t *testing.T, params string, env Env, v *columns.View,
	read func(*Params, Env) (R, error), answer func(ctx context.Context, v *columns.View, r R) (A, error),
) A {
	t.Helper()
	p, err := ParamsFromJSON([]byte(params))
	if err != nil {
		t.Fatal(err)
	}
	r, err := read(p, env)
	if err != nil {
		t.Fatalf("%s: %v", params, err)
	}
	a, err := answer(t.Context(), v, r)
	if err != nil {
		t.Fatalf("%s: %v", params, err)
	}
	return a
}

func TestStatsAreTheSumsOverEvents(t *testing.T) {
	trials(t, func(t *testing.T, tr *trial) {
		got := ask(t, tr.params, tr.env, tr.view, ReadStats, Stats)
		if got.Total != len(tr.seen) {
			t.Errorf("total: got %d, want %d", got.Total, len(tr.seen))
		}
		types := tr.seen.by(func(e *naiveEvent) string { return e.EventType })
		if len(got.ByType) != len(types) {
			t.Errorf("got %d types, want %d", len(got.ByType), len(types))
		}
		for _, s := range got.ByType {
			if want := types[s.EventType]; s.Count != len(want) || s.Users != want.users() {
				t.Errorf("got %+v, want %d of %d users", s, len(want), want.users())
			}
		}
		days := tr.seen.by(func(e *naiveEvent) string { return e.Timestamp.Std().In(tr.zone).Format(time.DateOnly) })
		for _, s := range got.ByDay {
			if want := days[s.Date]; s.Count != len(want) || s.Users != want.users() {
				t.Errorf("got %+v, want %d of %d users", s, len(want), want.users())
			}
			delete(days, s.Date)
		}
		if len(days) > 0 {
			t.Errorf("days that are missing: %v", days)
		}
	})
}

func (n naive) overview(all []event.Event, from event.Time) Overview {
	views := n.where(ofType(pageView))
	o := Overview{TotalEvents: len(n), ActiveUsers: n.users(), Sessions: n.distinct(session), PageViews: len(views)}
	for _, e := range n.where(ofType(purchase)) {
		o.Revenue += event.Property(e.Properties, "amount").Number
	}
	var length event.Time
	for _, s := range n.by(session) {
		length += s[len(s)-1].Timestamp - s[0].Timestamp
	}
	if o.Sessions > 0 {
		o.AvgSessionDuration = math.Round(float64(length)/float64(o.Sessions)) / 1000
	}
	bounced := 0
	for _, s := range views.by(session) {
		if len(s) == 1 {
			bounced++
		}
	}
	o.BounceRate = percent(bounced, views.distinct(session))
	for _, user := range n.by((*naiveEvent).user) {
		isNew := true
		for _, e := range all {
			before := naiveEvent{e}
			isNew = isNew && (before.user() != user[0].user() || e.Timestamp >= from)
		}
		if isNew {
			o.NewUsers++
		}
	}
	return o
}

func TestSummaryIsTheSumOverEvents(t *testing.T) {
	trials(t, func(t *testing.T, tr *trial) {
		got := ask(t, tr.params, tr.env, tr.view, ReadSummary, Summary)
		if want := tr.seen.overview(tr.events, tr.from); got.Overview != want {
			t.Errorf("overview:\n got %+v\nwant %+v", got.Overview, want)
		}
		lo := tr.from.Std().In(tr.zone)
		hi := (tr.to + 1).Std().In(tr.zone)
		days := int(math.Round(hi.Sub(lo).Hours() / 24))
		before := event.TimeOf(time.Date(lo.Year(), lo.Month(), lo.Day()-days, 0, 0, 0, 0, tr.zone))
		if want := (Span{before, tr.from - 1}); got.PreviousRange != want {
			t.Errorf("previous range: got %v, want %v", got.PreviousRange, want)
		}
		browser := ""
		if strings.Contains(tr.params, "Chrome") {
			browser = "Chrome"
		}
		if want := see(tr.events, before, tr.from-1, browser).overview(tr.events, before); got.Previous != want {
			t.Errorf("previous:\n got %+v\nwant %+v", got.Previous, want)
		}
		var hours [24]int
		for _, e := range tr.seen {
			hours[e.Timestamp.Std().In(tr.zone).Hour()]++
		}
		if got.Hours != hours {
			t.Errorf("hours: got %v, want %v", got.Hours, hours)
		}
		for _, s := range got.Browsers {
			want := tr.seen.where(func(e *naiveEvent) bool { return e.Browser == s.Value })
			if s.Count != len(want) || s.Users != want.users() || s.Value == "" {
				t.Errorf("browsers: got %+v, want %d of %d users", s, len(want), want.users())
			}
		}
		for _, s := range got.TopReferrers {
			want := tr.seen.where(func(e *naiveEvent) bool { return e.EventType == pageView && e.Referrer == s.Value })
			if s.Count != len(want) || s.Users != want.users() {
				t.Errorf("referrers: got %+v, want %d of %d users", s, len(want), want.users())
			}
		}
	})
}

func average(n naive, of func(e *naiveEvent) event.Number) *float64 {
	var m mean
	for i := range n {
		if f, ok := of(&n[i]).Float(); ok {
			m.add(event.NumberValue(f))
		}
	}
	return m.value()
}

func TestPagesAreTheSumsOverEvents(t *testing.T) {
	trials(t, func(t *testing.T, tr *trial) {
		got := ask(t, tr.params, tr.env, tr.view, ReadPages, Pages)
		views := tr.seen.where(ofType(pageView))
		pages := views.by(func(e *naiveEvent) string { return e.PageURL })
		if got.Total != len(pages) || len(got.Pages) != len(pages) {
			t.Fatalf("got %d of %d pages, want %d", len(got.Pages), got.Total, len(pages))
		}
		for _, s := range got.Pages {
			entries, bounces, exits := 0, 0, 0
			for _, visit := range views.by(session) {
				if visit[0].PageURL == s.PageURL {
					entries++
					if len(visit) == 1 {
						bounces++
					}
				}
				if visit[len(visit)-1].PageURL == s.PageURL {
					exits++
				}
			}
			of := pages[s.PageURL]
			timed := tr.seen.where(func(e *naiveEvent) bool { return e.PageURL == s.PageURL })
			want := PageStat{
				PageURL: s.PageURL, Views: len(of), Users: of.users(),
				BounceRate: percent(bounces, entries), ExitRate: percent(exits, len(of)),
				AvgLoadTime: average(of, func(e *naiveEvent) event.Number { return e.LoadTime }),
				AvgDuration: average(timed, func(e *naiveEvent) event.Number { return e.Duration }),
			}
			if g, w := shown(s), shown(want); g != w {
				t.Errorf("\n got %s\nwant %s", g, w)
			}
		}
	})
}

func shown(s PageStat) string {
	load, duration := s.AvgLoadTime, s.AvgDuration
	s.AvgLoadTime, s.AvgDuration = nil, nil
	return fmt.Sprintf("%+v load %s duration %s", s, pointed(load), pointed(duration))
}

func pointed(f *float64) string {
	if f == nil {
		return "null"
	}
	return fmt.Sprint(*f)
}

func TestPagingShowsEveryEventOnceNewestFirst(t *testing.T) {
	trials(t, func(t *testing.T, tr *trial) {
		var got []string
		cursor := ""
		for {
			params := strings.TrimSuffix(tr.params, "}") + fmt.Sprintf(`, "limit": 7, "cursor": %q}`, cursor)
			page := ask(t, params, tr.env, tr.view, ReadEvents, Events)
			for _, e := range page.Events {
				got = append(got, e.EventID)
			}
			if page.NextCursor == nil {
				break
			}
			cursor = *page.NextCursor
		}
		var want []string
		for _, e := range slices.Backward(tr.seen) {
			want = append(want, e.EventID)
		}
		if !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

func TestExportIsAllEventsOldestFirst(t *testing.T) {
	trials(t, func(t *testing.T, tr *trial) {
		p, err := ParamsFromJSON([]byte(strings.TrimSuffix(tr.params, "}") + `, "format": "ndjson"}`))
		if err != nil {
			t.Fatal(err)
		}
		r, err := ReadExport(p, tr.env)
		if err != nil {
			t.Fatal(err)
		}
		var got, want strings.Builder
		if err := Export(t.Context(), tr.view, r, &got, func() error { return nil }); err != nil {
			t.Fatal(err)
		}
		for _, e := range tr.seen {
			want.Write(append(e.AppendJSON(nil), '\n'))
		}
		if got.String() != want.String() {
			t.Errorf("got\n%s\nwant\n%s", got.String(), want.String())
		}
	})
}
