package api

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"html/template"
	"net/http"
	"strconv"

	"github.com/gin-gonic/gin"

	"github.com/maidian/maidian/pkg/calendar"
	"github.com/maidian/maidian/pkg/httpx"
	"github.com/maidian/maidian/services/query/internal/columns"
	"github.com/maidian/maidian/services/query/internal/report"
)

//go:embed page.html
var pageHTML string

// page is what the HTML report shows: the summary and the days, as charts. It
// needs nothing from elsewhere, so that it can be mailed and kept.
type page struct {
	Project, From, To, Timezone string
	AsOf                        string
	Numbers                     []pageNumber
	Charts                      []chart
	Lists                       []pageList
}

type pageNumber struct{ Name, Now, Before string }

type pageList struct {
	Title string
	Rows  []pageRow
}

type pageRow struct {
	Name         string
	Count, Users int
}

// chart is bars beside each other.
type chart struct {
	Title       string
	Width       int
	Bars        []bar
	First, Last string
	Most        int
}

type bar struct {
	X, Y, Width, Height float64
	Label               string
	Value               int
}

// page answers with HTML, which only this route does: nothing in it is taken
// from the request as it stands, and the policy lets it load and run nothing.
func (a *API) page() gin.HandlerFunc {
	show := template.Must(template.New("page").Parse(pageHTML))
	return func(c *gin.Context) {
		p, env, project, err := a.asked(c)
		if err != nil {
			httpx.Fail(c, err)
			return
		}
		r, err := report.ReadSummary(p, env)
		if err != nil {
			httpx.Fail(c, err)
			return
		}
		ctx, cancel := context.WithTimeout(c.Request.Context(), a.options.Deadline)
		defer cancel()
		filled, err := a.fillPage(ctx, project, r)
		var html bytes.Buffer
		if err == nil {
			err = show.Execute(&html, filled)
		}
		if err != nil {
			a.fail(c, err)
			return
		}
		c.Header("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
		c.Data(http.StatusOK, "text/html; charset=utf-8", html.Bytes())
	}
}

func (a *API) fillPage(ctx context.Context, project string, r report.SummaryRequest) (*page, error) {
	leave, err := a.heavy.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	ctx, took := a.metrics.begin(ctx, "/report")
	v, err := a.views.View(ctx, project)
	if err != nil {
		took(err)
		return nil, err
	}
	summary, days, err := pageReports(ctx, v, r)
	took(err)
	if err != nil {
		return nil, err
	}
	return &page{
		Project: project, Timezone: r.Timezone, AsOf: a.freshness(v).AsOf.String(),
		From: r.Calendar.Label(calendar.Day, r.From), To: r.Calendar.Label(calendar.Day, r.To),
		Numbers: pageNumbers(summary.Overview, summary.Previous),
		Charts: []chart{
			bars("Events by day", len(days.ByDay), func(i int) (string, int) { return days.ByDay[i].Date, days.ByDay[i].Count }),
			bars("Users by day", len(days.ByDay), func(i int) (string, int) { return days.ByDay[i].Date, days.ByDay[i].Users }),
			bars("Events by hour of the day", 24, func(i int) (string, int) { return fmt.Sprintf("%02d:00", i), summary.Hours[i] }),
		},
		Lists: pageLists(summary),
	}, nil
}

func pageReports(ctx context.Context, v *columns.View, r report.SummaryRequest) (*report.SummaryAnswer, *report.StatsAnswer, error) {
	summary, err := report.Summary(ctx, v, r)
	if err != nil {
		return nil, nil, err
	}
	days, err := report.Stats(ctx, v, report.StatsRequest{Common: r.Common})
	return summary, days, err
}

func pageNumbers(now, before report.Overview) []pageNumber {
	whole := func(name string, now, before int) pageNumber {
		return pageNumber{name, strconv.Itoa(now), strconv.Itoa(before)}
	}
	decimal := func(name, unit string, now, before float64) pageNumber {
		text := func(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) + unit }
		return pageNumber{name, text(now), text(before)}
	}
	return []pageNumber{
		whole("Events", now.TotalEvents, before.TotalEvents),
		whole("Active users", now.ActiveUsers, before.ActiveUsers),
		whole("New users", now.NewUsers, before.NewUsers),
		whole("Sessions", now.Sessions, before.Sessions),
		whole("Page views", now.PageViews, before.PageViews),
		decimal("Session length", " s", now.AvgSessionDuration, before.AvgSessionDuration),
		decimal("Bounce rate", " %", now.BounceRate, before.BounceRate),
		decimal("Revenue", "", now.Revenue, before.Revenue),
	}
}

func pageLists(s *report.SummaryAnswer) []pageList {
	events, pages := pageList{Title: "Events"}, pageList{Title: "Pages"}
	for _, e := range s.TopEvents {
		events.Rows = append(events.Rows, pageRow{e.EventType, e.Count, e.Users})
	}
	for _, p := range s.TopPages {
		pages.Rows = append(pages.Rows, pageRow{p.PageURL, p.Views, p.Users})
	}
	return []pageList{
		events, pages, listOf("Referrers", s.TopReferrers), listOf("Channels", s.Channels),
		listOf("Devices", s.Devices), listOf("Browsers", s.Browsers), listOf("Countries", s.Countries),
	}
}

func listOf(title string, values []report.ValueStat) pageList {
	l := pageList{Title: title}
	for _, v := range values {
		l.Rows = append(l.Rows, pageRow{v.Value, v.Count, v.Users})
	}
	return l
}

// bars draws n values between y 15 and 115.
func bars(title string, n int, value func(i int) (label string, value int)) chart {
	const width, top, height = 900, 15, 100
	c := chart{Title: title, Width: width}
	for i := range n {
		_, v := value(i)
		c.Most = max(c.Most, v)
	}
	each := width / float64(max(n, 1))
	for i := range n {
		label, v := value(i)
		tall := height * float64(v) / float64(max(c.Most, 1))
		c.Bars = append(c.Bars, bar{X: each * float64(i), Y: top + height - tall, Width: each * 0.9, Height: tall, Label: label, Value: v})
	}
	if n > 0 {
		c.First, c.Last = c.Bars[0].Label, c.Bars[n-1].Label
	}
	return c
}
