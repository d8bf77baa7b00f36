package allinone_test

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/http"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/maidian/maidian/pkg/testenv"
	"github.com/maidian/maidian/services/allinone"
)

// click is a row of a real shop's clickstream.
type click struct {
	id, user, session, kind, platform string
	at                                time.Time
	page                              string  // of screens, which are sent as page views
	product                           string  // made up: the file has none
	amount                            float64 // of purchases, made up
}

// screens are the file's events that show a page.
var screens = []string{"home", "catalog", "cart", "promo_page", "account_page", "review_page", "error_page"}

func readShop(t *testing.T) (clicks []click) {
	t.Helper()
	f, err := os.Open(testenv.Cases(t, "data/ecom.csv.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	unpacked, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(unpacked).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for i, row := range rows[1:] {
		at, err := time.Parse(time.DateTime, row[3])
		if err != nil {
			t.Fatal(err)
		}
		c := click{id: fmt.Sprintf("row-%05d", i), user: row[0], session: row[1], kind: row[2], at: at, platform: row[4], amount: float64(i%9900) / 100, product: fmt.Sprintf("p%d", i%40)}
		if slices.Contains(screens, c.kind) {
			c.kind, c.page = "page_view", "https://shop.example/"+row[2]
		}
		clicks = append(clicks, c)
	}
	return clicks
}

func (c *click) event() map[string]any {
	e := map[string]any{
		"event_id": c.id, "event_type": c.kind, "user_id": c.user, "session_id": c.session, "timestamp": c.at.Format(time.RFC3339), "page_url": c.page,
		"properties": map[string]any{"platform": c.platform},
	}
	switch c.kind {
	case "product_view":
		e["properties"] = map[string]any{"platform": c.platform, "product_id": c.product}
	case "purchase":
		e["properties"] = map[string]any{"platform": c.platform, "amount": c.amount, "currency": "EUR"}
	}
	return e
}

// shop is the clickstream and the system that holds it.
type shop struct {
	*system
	clicks []click
}

func openShop(t *testing.T) *shop {
	t.Helper()
	s := &shop{start(t, config(t)), readShop(t)}
	for batch := range slices.Chunk(s.clicks, 1000) {
		events := make([]map[string]any, len(batch))
		for i := range batch {
			events[i] = batch[i].event()
		}
		s.send(allinone.DemoWriteKey, events...)
	}
	s.visible(allinone.DemoReadKey, "2024-01-01", "2024-06-30", len(s.clicks))
	return s
}

// over asks about the half year of the file.
func (s *shop) over(report string, more map[string]any, out any) {
	s.t.Helper()
	question := map[string]any{"from": "2024-01-01", "to": "2024-06-30"}
	maps.Copy(question, more)
	s.ask(allinone.DemoReadKey, report, question, out)
}

// by counts clicks and those who made them.
func by(clicks []click, key func(c *click) string, who func(c *click) string) (counts map[string]int, users map[string]int) {
	counts, users = map[string]int{}, map[string]int{}
	seen := map[[2]string]bool{}
	for i := range clicks {
		k, w := key(&clicks[i]), who(&clicks[i])
		if k == "" {
			continue
		}
		counts[k]++
		if !seen[[2]string{k, w}] {
			seen[[2]string{k, w}] = true
			users[k]++
		}
	}
	return counts, users
}

func userOf(c *click) string     { return c.user }
func sessionOf(c *click) string  { return c.session }
func platformOf(c *click) string { return c.platform }
func monthOf(c *click) string    { return c.at.Format("2006-01") + "-01" }
func pageOf(c *click) string     { return c.page }
func everything(*click) string   { return "all" }

// dayIn is the date on the clocks of a zone.
func dayIn(t *testing.T, zone string) func(c *click) string {
	t.Helper()
	loc, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	return func(c *click) string { return c.at.In(loc).Format(time.DateOnly) }
}

func equal[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if g, w := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", want); g != w {
		t.Errorf("%s:\n got %.2000s\nwant %.2000s", what, g, w)
	}
}

// A real shop's half year, added up by the test from the file and by the system
// through its front doors.
func TestAShopsTotals(t *testing.T) {
	s := openShop(t)
	for name, test := range map[string]func(t *testing.T, s *shop){
		"stats": shopStats, "summary": shopSummary, "pages": shopPages, "trends": shopTrends, "funnel": shopFunnel, "retention": shopRetention,
		"lifecycle and stickiness": shopRegulars, "paths": shopPaths, "products": shopProducts, "a user": shopUser, "listing and export": shopEvents,
	} {
		t.Run(name, func(t *testing.T) {
			test(t, &shop{&system{System: s.System, t: t, collector: s.collector, query: s.query}, s.clicks})
		})
	}
}

func shopStats(t *testing.T, s *shop) {
	for _, zone := range []string{"UTC", "Asia/Shanghai", "America/New_York"} {
		var a struct {
			Total  int
			ByType []struct {
				Type  string `json:"event_type"`
				Count int
				Users int
			} `json:"by_type"`
			ByDay []struct {
				Date         string
				Count, Users int
			} `json:"by_day"`
		}
		s.over("stats/events", map[string]any{"timezone": zone}, &a)
		equal(t, "total", a.Total, len(s.clicks))
		counts, users := map[string]int{}, map[string]int{}
		for _, line := range a.ByType {
			counts[line.Type], users[line.Type] = line.Count, line.Users
		}
		wantCounts, wantUsers := by(s.clicks, func(c *click) string { return c.kind }, userOf)
		equal(t, "by type", counts, wantCounts)
		equal(t, "users by type", users, wantUsers)
		counts, users = map[string]int{}, map[string]int{}
		for _, line := range a.ByDay {
			if line.Count > 0 {
				counts[line.Date], users[line.Date] = line.Count, line.Users
			}
		}
		wantCounts, wantUsers = by(s.clicks, dayIn(t, zone), userOf)
		equal(t, "by day in "+zone, counts, wantCounts)
		equal(t, "users by day in "+zone, users, wantUsers)
	}
}

// visits are the clicks of each session in the order of time.
func visits(clicks []click) map[string][]click {
	ordered := slices.Clone(clicks)
	slices.SortStableFunc(ordered, func(a, b click) int { return a.at.Compare(b.at) })
	list := map[string][]click{}
	for _, c := range ordered {
		list[c.session] = append(list[c.session], c)
	}
	return list
}

func onPages(clicks []click) []click {
	return slices.DeleteFunc(slices.Clone(clicks), func(c click) bool { return c.page == "" })
}

func shopSummary(t *testing.T, s *shop) {
	var a struct {
		Overview struct {
			Events   int `json:"total_events"`
			Users    int `json:"active_users"`
			New      int `json:"new_users"`
			Sessions int
			Views    int     `json:"page_views"`
			Duration float64 `json:"avg_session_duration"`
			Bounce   float64 `json:"bounce_rate"`
			Revenue  float64
		}
		Previous struct {
			Events int `json:"total_events"`
		}
		Hours []int
	}
	s.over("summary", nil, &a)
	var revenue, seconds float64
	hours := make([]int, 24)
	for _, c := range s.clicks {
		hours[c.at.Hour()]++
		if c.kind == "purchase" {
			revenue += c.amount
		}
	}
	all, pages := visits(s.clicks), visits(onPages(s.clicks))
	for _, v := range all {
		seconds += v[len(v)-1].at.Sub(v[0].at).Seconds()
	}
	bounced := 0
	for _, v := range pages {
		if len(v) == 1 {
			bounced++
		}
	}
	o := a.Overview
	equal(t, "events, users, new users, sessions, views", []int{o.Events, o.Users, o.New, o.Sessions, o.Views}, []int{31106, 600, 600, 3605, len(onPages(s.clicks))})
	equal(t, "revenue", fmt.Sprintf("%.2f", o.Revenue), fmt.Sprintf("%.2f", revenue))
	equal(t, "length of a session", o.Duration, math.Round(seconds/float64(len(all))*1000)/1000)
	equal(t, "bounce rate", o.Bounce, tenth(bounced, len(pages)))
	equal(t, "hours", a.Hours, hours)
	equal(t, "the half year before", a.Previous.Events, 0)
}

func tenth(part, whole int) float64 { return math.Round(float64(part)/float64(whole)*1000) / 10 }

func shopPages(t *testing.T, s *shop) {
	var a struct {
		Total int
		Pages []struct {
			URL    string `json:"page_url"`
			Views  int
			Users  int
			Bounce float64 `json:"bounce_rate"`
		}
	}
	s.over("stats/pages", nil, &a)
	views, users := map[string]int{}, map[string]int{}
	for _, p := range a.Pages {
		views[p.URL], users[p.URL] = p.Views, p.Users
	}
	wantViews, wantUsers := by(s.clicks, pageOf, userOf)
	equal(t, "pages", a.Total, len(screens))
	equal(t, "views", views, wantViews)
	equal(t, "users", users, wantUsers)
}

func shopTrends(t *testing.T, s *shop) {
	type series struct {
		Label  string
		Value  any
		Values []float64
		Total  float64
	}
	var a struct {
		Buckets []string
		Series  []series
	}
	metric := func(event, metric string) map[string]any { return map[string]any{"event": event, "metric": metric} }
	s.over("trends", map[string]any{"interval": "month", "series": []any{metric("*", "count"), metric("*", "users"), metric("*", "sessions"), metric("page_view", "users")}}, &a)
	for i, want := range []struct {
		of  []click
		who func(c *click) string
	}{{s.clicks, func(c *click) string { return c.id }}, {s.clicks, userOf}, {s.clicks, sessionOf}, {onPages(s.clicks), userOf}} {
		_, months := by(want.of, monthOf, want.who)
		_, total := by(want.of, everything, want.who)
		for n, bucket := range a.Buckets {
			equal(t, a.Series[i].Label+" in "+bucket, a.Series[i].Values[n], float64(months[bucket]))
		}
		equal(t, a.Series[i].Label, a.Series[i].Total, float64(total["all"]))
	}
	s.over("trends", map[string]any{"interval": "week", "series": []any{"*"}, "breakdown": "platform"}, &a)
	counts, _ := by(s.clicks, platformOf, userOf)
	for _, line := range a.Series {
		equal(t, fmt.Sprint(line.Value), line.Total, float64(counts[fmt.Sprint(line.Value)]))
	}
	equal(t, "platforms", len(a.Series), len(counts))
	var sums struct{ Series []series }
	amount := func(m string) map[string]any {
		return map[string]any{"event": "purchase", "metric": m, "property": "amount"}
	}
	s.over("trends", map[string]any{"interval": "month", "series": []any{amount("sum"), amount("min"), amount("max"), amount("avg")}}, &sums)
	var amounts []float64
	for _, c := range s.clicks {
		if c.kind == "purchase" {
			amounts = append(amounts, c.amount)
		}
	}
	sum := 0.0
	for _, a := range amounts {
		sum += a
	}
	for i, want := range []float64{sum, slices.Min(amounts), slices.Max(amounts), sum / float64(len(amounts))} {
		if got := sums.Series[i].Total; math.Abs(got-want) > 1e-6 {
			t.Errorf("amount %d: got %v, want %v", i, got, want)
		}
	}
}

// Within a window that never ends, whoever takes the next step as early as
// possible gets as far as can be.
func shopFunnel(t *testing.T, s *shop) {
	type step struct{ Users int }
	var a struct {
		Steps      []step `json:"funnel_steps"`
		Breakdowns []struct {
			Value string
			Steps []step `json:"funnel_steps"`
		}
	}
	steps := []string{"product_view", "add_to_cart", "shipping_details", "payment_details", "purchase"}
	s.over("funnel", map[string]any{"steps": steps, "window": "300d", "breakdown": map[string]any{"property": "platform"}}, &a)
	want, whole := make([]step, len(steps)), make([]step, len(steps))
	at := map[string]time.Time{}
	for i, kind := range steps {
		next := map[string]time.Time{}
		for _, c := range s.clicks {
			before, was := at[c.user]
			if c.kind != kind || i > 0 && (!was || c.at.Before(before)) {
				continue
			}
			if known, is := next[c.user]; !is || c.at.Before(known) {
				next[c.user] = c.at
			}
		}
		at, want[i] = next, step{len(next)}
	}
	equal(t, "steps", a.Steps, want)
	for _, b := range a.Breakdowns {
		for i := range b.Steps {
			whole[i].Users += b.Steps[i].Users
		}
	}
	equal(t, "all platforms together, each user with the first", whole, want)
}

func shopRetention(t *testing.T, s *shop) {
	var a struct {
		Cohorts []struct {
			Start  string
			Values []int
		}
	}
	s.over("retention", map[string]any{"period": "month", "cohort": "first_time", "intervals": 6}, &a)
	first, active := map[string]string{}, map[[2]string]bool{}
	for _, c := range s.clicks {
		if f := first[c.user]; f == "" || monthOf(&c) < f {
			first[c.user] = monthOf(&c)
		}
		active[[2]string{c.user, monthOf(&c)}] = true
	}
	everybody := 0
	for i, cohort := range a.Cohorts {
		everybody += cohort.Values[0]
		want := make([]int, len(cohort.Values))
		for user, start := range first {
			for k := range want {
				if start == cohort.Start && active[[2]string{user, a.Cohorts[i+k].Start}] {
					want[k]++
				}
			}
		}
		equal(t, cohort.Start, cohort.Values, want)
	}
	equal(t, "everybody", everybody, 600)
}

func shopRegulars(t *testing.T, s *shop) {
	var life struct {
		Buckets                               []string
		New, Returning, Resurrecting, Dormant []int
	}
	s.over("lifecycle", map[string]any{"interval": "month"}, &life)
	_, active := by(s.clicks, monthOf, userOf)
	total := 0
	for i, month := range life.Buckets {
		total += life.New[i]
		equal(t, "active in "+month, life.New[i]+life.Returning[i]+life.Resurrecting[i], active[month])
		if i > 0 {
			equal(t, "of those before "+month, life.Returning[i]-life.Dormant[i], active[life.Buckets[i-1]])
		}
	}
	equal(t, "new", total, 600)

	var sticky struct {
		Data  []int
		Users int
	}
	s.over("stickiness", map[string]any{"interval": "day"}, &sticky)
	_, days := by(s.clicks, dayIn(t, "UTC"), userOf)
	userDays := 0
	for _, n := range days {
		userDays += n
	}
	for i, n := range sticky.Data {
		userDays -= (i + 1) * n
		total -= n
	}
	equal(t, "users of stickiness, and their days that are left", []int{sticky.Users, total, userDays}, []int{600, 0, 0})
}

func shopPaths(t *testing.T, s *shop) {
	var a struct {
		Edges []struct {
			From, To string
			Users    int
		}
	}
	s.over("paths", map[string]any{"by": "event_type", "steps": 3, "limit": 10000}, &a)
	users := map[string]map[string]bool{}
	for _, visit := range visits(s.clicks) {
		slices.SortStableFunc(visit, func(a, b click) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.kind, b.kind)) })
		visit = slices.CompactFunc(visit, func(a, b click) bool { return a.kind == b.kind })
		for i := 1; i < min(3, len(visit)); i++ {
			edge := fmt.Sprintf("%d_%s %d_%s", i, visit[i-1].kind, i+1, visit[i].kind)
			if users[edge] == nil {
				users[edge] = map[string]bool{}
			}
			users[edge][visit[i].user] = true
		}
	}
	got, want := map[string]int{}, map[string]int{}
	for _, e := range a.Edges {
		got[e.From+" "+e.To] = e.Users
	}
	for edge, by := range users {
		want[edge] = len(by)
	}
	equal(t, "edges", got, want)
}

func shopProducts(t *testing.T, s *shop) {
	var a struct {
		Based string `json:"based_on"`
		List  []struct {
			Product string `json:"product_id"`
			Users   int
		} `json:"recommendations"`
	}
	s.over("recommendations", map[string]any{"limit": 100}, &a)
	_, want := by(s.clicks, func(c *click) string {
		if c.kind != "product_view" {
			return ""
		}
		return c.product
	}, userOf)
	got := map[string]int{}
	for _, p := range a.List {
		got[p.Product] = p.Users
	}
	equal(t, "users by product, by "+a.Based, got, want)
}

func shopUser(t *testing.T, s *shop) {
	var a struct {
		Events   int `json:"total_events"`
		Sessions int `json:"total_sessions"`
	}
	s.ask(allinone.DemoReadKey, "users/user_0000", map[string]any{}, &a)
	events, sessions := by(s.clicks, userOf, sessionOf)
	equal(t, "events and sessions", a, struct {
		Events   int `json:"total_events"`
		Sessions int `json:"total_sessions"`
	}{events["user_0000"], sessions["user_0000"]})
}

func shopEvents(t *testing.T, s *shop) {
	ids := map[string]bool{}
	for cursor := any(nil); ; {
		var page struct {
			Events []struct {
				ID string `json:"event_id"`
			}
			Next any `json:"next_cursor"`
		}
		s.over("events", map[string]any{"limit": 1000, "cursor": cursor}, &page)
		for _, e := range page.Events {
			ids[e.ID] = true
		}
		if cursor = page.Next; cursor == nil {
			break
		}
	}
	equal(t, "events on all pages", len(ids), len(s.clicks))
	for format, count := range map[string]func([]byte) int{
		"ndjson": func(body []byte) int { return bytes.Count(body, []byte("\n")) },
		"csv": func(body []byte) int {
			rows, err := csv.NewReader(bytes.NewReader(body)).ReadAll()
			if err != nil {
				t.Fatal(err)
			}
			return len(rows) - 1
		},
	} {
		body, err := json.Marshal(map[string]any{"from": "2024-01-01", "to": "2024-06-30", "format": format})
		if err != nil {
			t.Fatal(err)
		}
		status, file := post(t, s.query+"/api/v1/analytics/export", allinone.DemoReadKey, body)
		equal(t, format, []int{status, count(file)}, []int{http.StatusOK, len(s.clicks)})
	}
}
