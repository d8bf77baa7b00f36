package api_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/services/query/internal/api"
)

// aMorning is a small history of the shop: two known users, one of whom was
// anonymous first, and a visitor who never said who they are.
func aMorning() []event.Event {
	page := func(clock, user, anonymous, path string) event.Event {
		return event.Event{
			EventType: "page_view", UserID: user, AnonymousID: anonymous, Timestamp: at(clock), Browser: "Chrome",
			PageURL: "https://shop.example" + path, PagePath: path, PageTitle: "Page " + path, LoadTime: "0.5",
		}
	}
	buy := event.Event{EventType: "purchase", UserID: "ann", Timestamp: at("08:10:00"), Properties: `{"order_id":"o1","amount":49.5,"currency":"EUR"}`, Browser: "Chrome"}
	leave := event.Event{EventType: "page_leave", UserID: "ann", Timestamp: at("08:01:00"), PageURL: "https://shop.example/", Duration: "60", Browser: "Chrome"}
	return []event.Event{
		page("08:00:00", "", "a1", "/"),
		page("08:02:00", "ann", "a1", "/pricing"),
		leave, buy,
		page("09:00:00", "bob", "", "/"),
		page("11:58:00", "", "a2", "/"),
		page("11:59:30", "", "a2", "/pricing"),
	}
}

func TestEveryReport(t *testing.T) {
	s := start(t)
	s.send("shop", aMorning()...)
	today := []string{"from", "2026-06-15", "to", "2026-06-15"}
	tests := map[string]struct {
		path   string
		params []string
		want   map[string]string
	}{
		"events": {"events", append([]string{"limit", "2"}, today...), map[string]string{
			"events.0.timestamp": `"2026-06-15T11:59:30.000Z"`, "events.1.page_path": `"/"`, "events.0.session_id": `"a2@2026-06-15T11:58:00.000Z"`,
			"query.limit": `2`, "query.from": `"2026-06-15T00:00:00.000Z"`, "query.to": `"2026-06-15T23:59:59.999Z"`, "query.timezone": `"UTC"`,
			"freshness.newest_event_at": `"2026-06-15T11:59:30.000Z"`, "freshness.lag_seconds": `0`, "sampled": `false`,
		}},
		"events of a user who was anonymous first": {"events", []string{"user_id", "ann", "event_type", "page_view"}, map[string]string{
			"events.0.page_path": `"/pricing"`, "events.1.anonymous_id": `"a1"`, "events.1.user_id": `null`, "events.2": `null`, "next_cursor": `null`,
		}},
		"stats/events": {"stats/events", today, map[string]string{
			"total": `7`, "by_type.0": `{"count":5,"event_type":"page_view","users":3}`, "by_type.2": `{"count":1,"event_type":"purchase","users":1}`,
			"by_day": `[{"count":7,"date":"2026-06-15","users":3}]`,
		}},
		"stats/events in another zone": {"stats/events", []string{"from", "2026-06-14", "to", "2026-06-15", "timezone", "America/Los_Angeles"}, map[string]string{
			"by_day.1": `{"count":7,"date":"2026-06-15","users":3}`, "query.from": `"2026-06-14T07:00:00.000Z"`,
		}},
		"stats/pages": {"stats/pages", today, map[string]string{
			"total":   `2`,
			"pages.0": `{"avg_duration":60,"avg_load_time":0.5,"bounce_rate":33.3,"exit_rate":33.3,"page_title":"Page /","page_url":"https://shop.example/","users":3,"views":3}`,
			"pages.1": `{"avg_duration":null,"avg_load_time":0.5,"bounce_rate":0,"exit_rate":100,"page_title":"Page /pricing","page_url":"https://shop.example/pricing","users":2,"views":2}`,
		}},
		"summary": {"summary", today, map[string]string{
			"overview": `{"active_users":3,"avg_session_duration":230,"bounce_rate":33.3,"new_users":3,"page_views":5,"revenue":49.5,"sessions":3,"total_events":7}`,
			"previous": `{"active_users":0,"avg_session_duration":0,"bounce_rate":0,"new_users":0,"page_views":0,"revenue":0,"sessions":0,"total_events":0}`,
			"hours":    `[0,0,0,0,0,0,0,0,4,1,0,2,0,0,0,0,0,0,0,0,0,0,0,0]`,
			"browsers": `[{"browser":"Chrome","count":7,"users":3}]`, "top_events.0.event_type": `"page_view"`, "top_pages.0.views": `3`,
			"countries": `[]`, "previous_range": `{"from":"2026-06-14T00:00:00.000Z","to":"2026-06-14T23:59:59.999Z"}`,
		}},
		"realtime": {"realtime", nil, map[string]string{
			"recent_events_5m": `2`, "recent_events_1h": `2`, "online_users": `1`, "per_minute.29": `1`, "per_minute.27": `1`, "per_minute.28": `0`,
			"top_pages.0.views": `1`, "top_events": `[{"count":2,"event_type":"page_view","users":1}]`,
		}},
		"users/{id}": {"users/ann", nil, map[string]string{
			"user_id": `"ann"`, "user_ids": `["ann"]`, "anonymous_ids": `["a1"]`, "total_events": `4`, "total_sessions": `1`,
			"first_seen": `"2026-06-15T08:00:00.000Z"`, "last_seen": `"2026-06-15T08:10:00.000Z"`,
			"by_type.0": `{"count":2,"event_type":"page_view"}`, "latest.event_type": `"purchase"`,
			"sessions.0.duration": `600`, "sessions.0.events.0.page_path": `"/"`, "sessions.0.events.3.event_type": `"purchase"`,
		}},
		"users/{id} by an anonymous id": {"users/a1", nil, map[string]string{"user_id": `"ann"`, "total_events": `4`}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s.t = t
			answer := s.get(shopKey, tt.path, tt.params...).ok()
			for path, want := range tt.want {
				answer.has(path, want)
			}
		})
	}
}

func TestEveryReportThatIsPosted(t *testing.T) {
	s := start(t)
	s.send("shop", aMorning()...)
	const today = `"from": "2026-06-15", "to": "2026-06-15"`
	const steps = `"steps": ["page_view", {"event": "purchase", "filters": [{"property": "amount", "op": "gte", "value": 40}]}]`
	tests := map[string]struct {
		path, body string
		want       map[string]string
	}{
		"funnel": {"funnel", today + `, "breakdown": "page_path", ` + steps, map[string]string{
			"funnel_steps.0.users": `3`, "funnel_steps.1": `{"avg_seconds":480,"conversion_rate":33.3,"drop_off":2,"index":1,"median_seconds":480,"step":"purchase","step_conversion_rate":33.3,"users":1}`,
			"breakdowns.0.value": `"/"`, "breakdowns.0.funnel_steps.1.users": `1`, "query.window": `"14d"`, "query.entry": `"any"`,
		}},
		"funnel, time to convert": {"funnel", today + `, "view": "time_to_convert", ` + steps, map[string]string{"average_seconds": `480`, "bins.0.1": `1`}},
		"funnel, trend": {"funnel", today + `, "view": "trend", ` + steps, map[string]string{
			"rows": `[{"bucket":"2026-06-15","complete":false,"converted":1,"entered":3,"rate":33.3}]`,
		}},
		"funnel/users":           {"funnel/users", today + `, "step": 1, ` + steps, map[string]string{"users": `[{"at":"2026-06-15T08:10:00.000Z","user_id":"ann"}]`}},
		"funnel/users, dropped":  {"funnel/users", today + `, "step": 1, "dropped": true, ` + steps, map[string]string{"users.0.user_id": `"a2"`, "users.1.user_id": `"bob"`}},
		"funnel/explain":         {"funnel/explain", today + `, "user_id": "ann", ` + steps, map[string]string{"converted": `true`, "steps.1.event.event_type": `"purchase"`}},
		"funnel/explain, nobody": {"funnel/explain", today + `, "user_id": "nobody", ` + steps, map[string]string{"entered": `false`, "reached": `-1`}},
		"retention": {"retention", `"from": "2026-06-14", "to": "2026-06-15", "breakdown": {"property": "browser"}`, map[string]string{
			"cohorts.1": `{"complete":[false],"size":3,"start":"2026-06-15","values":[3]}`, "query.intervals": `11`, "breakdowns.0.value": `"Chrome"`,
		}},
		"retention/users": {"retention/users", `"from": "2026-06-15", "to": "2026-06-15", "cohort_index": 0`, map[string]string{"users.0": `{"intervals":[0],"user_id":"a2"}`}},
		"trends": {"trends", today + `, "series": ["page_view", {"event": "purchase", "metric": "sum", "property": "amount"}], "formula": "B/A", "compare": "previous", "breakdown": {"property": "browser"}`, map[string]string{
			"series.0.values": `[5]`, "series.1.values": `[49.5]`, "formula.values": `[9.9]`, "buckets": `["2026-06-15"]`, "complete": `[false]`,
		}},
		"lifecycle":  {"lifecycle", today, map[string]string{"new": `[3]`, "dormant": `[0]`}},
		"stickiness": {"stickiness", today, map[string]string{"data": `[3]`}},
		"paths":      {"paths", today, map[string]string{"edges": `[{"from":"1_/","to":"2_/pricing","users":2}]`}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s.t = t
			answer := s.post(shopKey, tt.path, "{"+tt.body+"}").ok()
			for path, want := range tt.want {
				answer.has(path, want)
			}
			query, _ := json.Marshal(answer.json("query"))
			if again := s.post(shopKey, tt.path, string(query)).ok(); !bytes.Equal(again.body, answer.body) {
				t.Errorf("asked again with its query, got\n%s\nwant\n%s", again.body, answer.body)
			}
			var object map[string]json.RawMessage
			if err := json.Unmarshal(query, &object); err != nil {
				t.Fatal(err)
			}
			var params []string
			for name, raw := range object {
				text := strings.Trim(string(raw), `"`)
				params = append(params, name, text)
			}
			if again := s.get(shopKey, tt.path, params...).ok(); !bytes.Equal(again.body, answer.body) {
				t.Errorf("asked with GET, got\n%s\nwant\n%s", again.body, answer.body)
			}
		})
	}
}

func TestRecommendations(t *testing.T) {
	s := start(t)
	viewed := func(user, product string) {
		s.send("shop", event.Event{EventType: "product_view", UserID: user, Timestamp: at("09:00:00"), Properties: fmt.Sprintf(`{"product_id":%q}`, product)})
	}
	for _, pair := range []string{"ann tea", "ann cup", "bob tea", "bob cup", "bob pot", "cat tea", "dan pen", "eve pen", "eve ink", "fay pen"} {
		user, product, _ := strings.Cut(pair, " ")
		viewed(user, product)
	}
	s.send("shop", event.Event{EventType: "purchase", UserID: "cat", Timestamp: at("09:10:00"), Properties: `{"order_id":"1","amount":5,"items":[{"product_id":"cup","quantity":1},{"product_id":7}]}`})

	tea := s.get(shopKey, "recommendations", "product_id", "tea").ok()
	tea.has("based_on", `"product"`)
	tea.has("recommendations.0", `{"because":"tea","lift":2,"product_id":"cup","score":1,"support":0.5,"users":3,"why":"3 of the 3 users of tea had to do with it too, 2.0 times as many as by chance"}`)
	tea.has("recommendations.1.product_id", `"7"`)
	s.get(shopKey, "recommendations", "user_id", "dan").ok().has("recommendations.0.because", `"pen"`)
	s.get(shopKey, "recommendations", "user_id", "fay").ok().has("recommendations.0.product_id", `"ink"`)
	for _, cold := range []string{"user_id", "product_id"} {
		nobody := s.get(shopKey, "recommendations", cold, "nobody", "limit", "1").ok()
		nobody.has("based_on", `"popularity"`)
		nobody.has("recommendations", `[{"because":null,"lift":null,"product_id":"cup","score":0.5,"support":0.5,"users":3,"why":"popular: 3 of 6 users had to do with it"}]`)
	}
}

func TestTheReportPageRunsNothingThatVisitorsSent(t *testing.T) {
	s := start(t)
	s.send("shop", aMorning()...)
	const attack = `<script>alert(1)</script>`
	s.send("shop", event.Event{EventType: attack, UserID: "eve", Timestamp: at("10:00:00"), Browser: attack, PageURL: "javascript:alert(1)"})
	a := s.get(shopKey, "report", "from", "2026-06-14", "to", "2026-06-15").ok()
	html := string(a.body)
	for _, want := range []string{"<!doctype html>", "2026-06-14 to 2026-06-15", "<title>2026-06-15: 8</title>", "&lt;script&gt;alert(1)", "https://shop.example/pricing"} {
		if !strings.Contains(html, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Contains(html, "<script") || strings.Contains(html, "href") || strings.Contains(html, "src=") {
		t.Error("the page has a script or loads something")
	}
	if policy := a.header.Get("Content-Security-Policy"); !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "script-src") {
		t.Errorf("got the policy %q", policy)
	}
	if got := s.get(shopKey, "report", "from", "x"); got.status != http.StatusBadRequest {
		t.Errorf("got %d, want 400", got.status)
	}
}

func TestHeatmap(t *testing.T) {
	s := start(t)
	on := func(kind, user, path, x, y, depth string) {
		s.send("shop", event.Event{
			EventType: kind, UserID: user, SessionID: user, Timestamp: at("09:00:00"), PagePath: path,
			XPosition: event.Number(x), YPosition: event.Number(y), ScrollDepth: event.Number(depth),
		})
	}
	on("click", "ann", "/", "10", "20", "")
	on("click", "bob", "/", "49.9", "0", "")
	on("click", "bob", "/", "50", "120.5", "")
	on("click", "bob", "/", "-3", "1", "")
	on("click", "bob", "/", "", "", "")
	on("click", "bob", "/other", "1", "1", "")
	on("scroll", "ann", "/", "", "", "30")
	on("scroll", "ann", "/", "", "", "75")
	on("scroll", "bob", "/", "", "", "10")
	a := s.get(shopKey, "heatmap").ok()
	a.has("total", `2`)
	a.has("pages.0.clicks", `4`)
	a.has("pages.0.cells", `[{"count":2,"x":0,"y":0},{"count":1,"x":-50,"y":0},{"count":1,"x":50,"y":100}]`)
	a.has("pages.0.scroll_sessions", `2`)
	a.has("pages.0.scroll_reach.0", `{"depth":10,"percent":100,"sessions":2}`)
	a.has("pages.0.scroll_reach.6", `{"depth":70,"percent":50,"sessions":1}`)
	a.has("pages.0.scroll_reach.7", `{"depth":80,"percent":0,"sessions":0}`)
	s.get(shopKey, "heatmap", "page", "/other").ok().has("pages.0.page_path", `"/other"`)
}

func TestGetAndPostAreTheSameQuestion(t *testing.T) {
	s := start(t)
	s.send("shop", aMorning()...)
	params := map[string]string{"from": "2026-06-14", "to": "2026-06-15", "timezone": "Europe/Berlin", "filters": `[{"property":"browser","op":"in","value":["Chrome"]}]`, "unit": "session"}
	for _, path := range []string{"events", "stats/events", "stats/pages", "summary", "/api/stats/events", "/api/stats/pages"} {
		query, body := []string{}, map[string]any{}
		for name, value := range params {
			query = append(query, name, value)
			body[name] = value
		}
		body["filters"] = json.RawMessage(params["filters"])
		raw, _ := json.Marshal(body)
		got, want := s.get(shopKey, path, query...).ok(), s.post(shopKey, path, string(raw)).ok()
		if !bytes.Equal(got.body, want.body) {
			t.Errorf("%s: GET answers\n%s\nPOST answers\n%s", path, got.body, want.body)
		}
		got.has("query.unit", `"session"`)
	}
}

func TestTheQueryOfAnAnswerAsksTheSame(t *testing.T) {
	s := start(t)
	s.send("shop", aMorning()...)
	for _, path := range []string{"events", "stats/events", "stats/pages", "summary"} {
		first := s.get(shopKey, path, "days", "3", "timezone", "Asia/Tokyo").ok()
		query, _ := json.Marshal(first.json("query"))
		if again := s.post(shopKey, path, string(query)).ok(); !bytes.Equal(first.body, again.body) {
			t.Errorf("%s: asked again with its query, got\n%s\nwant\n%s", path, again.body, first.body)
		}
	}
}

func TestWrongParameters(t *testing.T) {
	tests := map[string]struct {
		path, body  string
		status      int
		code, field string
	}{
		"not JSON":                        {"events", `{`, 400, "invalid_json", ""},
		"no object":                       {"events", `[1]`, 400, "invalid_json", ""},
		"two bodies":                      {"events", `{} {}`, 400, "invalid_json", ""},
		"a misspelt name":                 {"events", `{"limti": 3}`, 400, "invalid_field", "limti"},
		"limit too small":                 {"events", `{"limit": 0}`, 400, "invalid_field", "limit"},
		"limit too large":                 {"events", `{"limit": 1001}`, 400, "invalid_field", "limit"},
		"limit in words":                  {"events", `{"limit": "ten"}`, 400, "invalid_field", "limit"},
		"a date that is none":             {"summary", `{"from": "2026-02-30"}`, 400, "invalid_field", "from"},
		"from after to":                   {"summary", `{"from": "2026-02-02", "to": "2026-02-01"}`, 400, "invalid_field", "from"},
		"no such zone":                    {"stats/events", `{"timezone": "Mars/Base"}`, 400, "invalid_field", "timezone"},
		"a zone of this machine":          {"stats/events", `{"timezone": "Local"}`, 400, "invalid_field", "timezone"},
		"no such op":                      {"stats/events", `{"filters": [{"property": "a", "op": "regex", "value": "x"}]}`, 400, "invalid_field", "filters[0].op"},
		"a filter without a property":     {"stats/events", `{"filters": [{"op": "eq", "value": 1}]}`, 400, "invalid_field", "filters[0].property"},
		"a filter with an operator in it": {"stats/events", `{"filters": [{"property": "a", "op": "eq", "value": {"$ne": 1}}]}`, 400, "invalid_field", "filters[0].value"},
		"a unit that is none":             {"stats/events", `{"unit": "cow"}`, 400, "invalid_field", "unit"},
		"a cursor that is none":           {"events", `{"cursor": "abc"}`, 400, "invalid_field", "cursor"},
		"a format that is none":           {"export", `{"format": "xls"}`, 400, "invalid_field", "format"},
		"too many buckets":                {"stats/events", `{"from": "1901-01-01", "to": "1999-01-01"}`, 422, "too_many_buckets", "from"},
		"no such user":                    {"users/nobody", `{}`, 404, "unknown_user", ""},
		"no such route":                   {"nothing", `{}`, 404, "not_found", ""},
		"another project":                 {"events", `{"project": "blog"}`, 403, "wrong_project", ""},
		"a body that is too large":        {"events", `{"x": "` + strings.Repeat("x", api.MaxBody) + `"}`, 413, "too_large", ""},
	}
	s := start(t)
	s.send("shop", aMorning()...)
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s.t = t
			answer := s.post(shopKey, tt.path, tt.body)
			code, _ := answer.json("error.code").(string)
			field, _ := answer.json("error.field").(string)
			if answer.status != tt.status || code != tt.code || field != tt.field {
				t.Errorf("got %d %q %q (%s), want %d %q %q", answer.status, code, field, answer.body, tt.status, tt.code, tt.field)
			}
			if answer.json("error.request_id") == "" || answer.json("error.message") == "" {
				t.Errorf("got %s, want words and a request id", answer.body)
			}
		})
	}
}

func TestKeys(t *testing.T) {
	s := start(t)
	tests := map[string]struct {
		key, path string
		status    int
	}{
		"the read key":                    {shopKey, "events", 200},
		"no key":                          {"", "events", 401},
		"an unknown key":                  {"rk_x", "events", 401},
		"the write key":                   {shopPen, "events", 403},
		"the admin key without a project": {adminKey, "events", 400},
		"the admin key with one":          {adminKey, "events?project=shop", 200},
		"a read key administers nothing":  {shopKey, "/api/v1/admin/projects", 403},
		"nobody administers nothing":      {"", "/api/v1/admin/projects", 401},
		"health needs none":               {"", "/api/health", 200},
		"nor does the document":           {"", "/openapi.json", 200},
		"nor do probes":                   {"", "/readyz", 200},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s.t = t
			if got := s.get(tt.key, tt.path); got.status != tt.status {
				t.Errorf("got %d %s, want %d", got.status, got.body, tt.status)
			}
		})
	}
	t.Run("as a bearer", func(t *testing.T) {
		request, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/api/v1/analytics/events", nil)
		request.Header.Set("Authorization", "Bearer "+shopKey)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusOK {
			t.Errorf("got %d, want 200", response.StatusCode)
		}
		for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Content-Type": "application/json; charset=utf-8", "Cache-Control": "no-store"} {
			if got := response.Header.Get(name); got != want {
				t.Errorf("%s: got %q, want %q", name, got, want)
			}
		}
	})
}

func TestProjectsNeverMix(t *testing.T) {
	s := start(t)
	s.send("shop", aMorning()...)
	s.send("blog", event.Event{EventType: "page_view", UserID: "ann", Timestamp: at("10:00:00"), PageURL: "https://blog.example/", Browser: "Firefox"})
	for path, want := range map[string]string{
		"stats/events total": `1`, "stats/pages total": `1`, "summary overview.total_events": `1`, "realtime recent_events_1h": `0`,
		"users/ann total_events": `1`, "events next_cursor": `null`, "users/ann sessions.0.events.0.page_url": `"https://blog.example/"`,
	} {
		route, field, _ := strings.Cut(path, " ")
		answer := s.get(blogKey, route).ok()
		answer.has(field, want)
		if bytes.Contains(answer.body, []byte("shop")) {
			t.Errorf("%s of the blog speaks of the shop: %s", route, answer.body)
		}
	}
	if got := s.get(blogKey, "users/bob"); got.status != http.StatusNotFound {
		t.Errorf("the shop's user asked for with the blog's key: got %d, want 404", got.status)
	}
	if got := s.get(blogKey, "export").ok(); bytes.Contains(got.body, []byte("shop")) {
		t.Errorf("the blog's export has the shop's events: %s", got.body)
	}
}

func TestPagingMissesNothingWhileEventsComeIn(t *testing.T) {
	s := start(t)
	want := map[string]bool{}
	for i := range 40 {
		e := event.Event{EventID: fmt.Sprintf("old-%d", i), EventType: "click", UserID: "ann", Timestamp: at("09:00:00") + event.Time(i/4)*1000}
		want[e.EventID] = true
		s.send("shop", e)
	}
	seen := map[string]int{}
	for cursor, page := "", 0; ; page++ {
		answer := s.get(shopKey, "events", "limit", "7", "cursor", cursor).ok()
		events := answer.json("events").([]any)
		for _, e := range events {
			seen[e.(map[string]any)["event_id"].(string)]++
		}
		// What comes meanwhile, newer and older than the page, does not move it.
		s.send("shop", event.Event{EventID: fmt.Sprintf("new-%d", page), EventType: "click", UserID: "bob", Timestamp: at("10:00:00")})
		s.send("shop", event.Event{EventID: fmt.Sprintf("late-%d", page), EventType: "click", UserID: "bob", Timestamp: at("08:00:00")})
		next, more := answer.json("next_cursor").(string)
		if !more {
			break
		}
		cursor = next
	}
	for id, n := range seen {
		if n > 1 {
			t.Errorf("%s was shown %d times", id, n)
		}
	}
	for id := range want {
		if seen[id] == 0 {
			t.Errorf("%s was never shown", id)
		}
	}
}

func TestDaysOfATimeZoneWithAClockChange(t *testing.T) {
	s := start(t)
	s.now = time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC)
	// Berlin, 29 March 2026, has 23 hours: from 23:00 UTC on the 28th to 22:00 UTC on the 29th.
	for _, moment := range []string{"2026-03-28T22:59:59Z", "2026-03-28T23:00:00Z", "2026-03-29T21:59:59Z", "2026-03-29T22:00:00Z"} {
		at, _ := time.Parse(time.RFC3339, moment)
		s.send("shop", event.Event{EventType: "click", UserID: "ann", Timestamp: event.TimeOf(at)})
	}
	answer := s.get(shopKey, "stats/events", "from", "2026-03-28", "to", "2026-03-30", "timezone", "Europe/Berlin").ok()
	answer.has("by_day", `[{"count":1,"date":"2026-03-28","users":1},{"count":2,"date":"2026-03-29","users":1},{"count":1,"date":"2026-03-30","users":1}]`)
	s.get(shopKey, "summary", "from", "2026-03-29", "to", "2026-03-29", "timezone", "Europe/Berlin").ok().has("previous.total_events", `1`)
}

func TestExportedCSVNeverStartsAFormula(t *testing.T) {
	s := start(t)
	for _, text := range []string{"=HYPERLINK(\"http://evil\")", "+1", "-1", "@x", "\t=1", "\r=1", "'=1", "plain"} {
		s.send("shop", event.Event{EventType: text, UserID: text, ElementText: text, Timestamp: at("09:00:00"), XPosition: "-5"})
	}
	answer := s.get(shopKey, "export", "format", "csv").ok()
	rows, err := csv.NewReader(bytes.NewReader(answer.body)).ReadAll()
	if err != nil || len(rows) != 9 {
		t.Fatalf("got %d rows and %v, want 9", len(rows), err)
	}
	for _, row := range rows {
		for i, cell := range row {
			if cell != "" && strings.ContainsAny(cell[:1], "=+-@\t\r") {
				t.Errorf("column %s has the cell %q", rows[0][i], cell)
			}
		}
	}
	if got := answer.header.Get("Content-Disposition"); !strings.Contains(got, `attachment; filename="events-2026-06-09-2026-06-15.csv"`) {
		t.Errorf("got %q, want a file to save", got)
	}
	if !json.Valid([]byte(answer.header.Get("X-Freshness"))) || !json.Valid([]byte(answer.header.Get("X-Query"))) {
		t.Errorf("got %v, want the query and its freshness in headers", answer.header)
	}
}

func TestWhatWasExportedAnswersTheSameWhenItIsPutIn(t *testing.T) {
	s := start(t)
	s.send("shop", aMorning()...)
	var events []event.Event
	for line := range strings.Lines(string(s.get(shopKey, "export", "format", "ndjson").ok().body)) {
		parsed, err := event.ParseOne(line, "")
		if err != nil || len(parsed.Events) != 1 || len(parsed.Events[0].Problems) > 0 {
			t.Fatalf("%s: %v %+v", line, err, parsed)
		}
		e := parsed.Events[0].Event
		for _, f := range event.Fields { // what a collector would find out again
			if name := f.Name; name == "browser" || name == "page_path" {
				f.SetText(&e, originalText(t, line, name))
			}
		}
		events = append(events, e)
	}
	s.send("blog", events...)
	for _, path := range []string{"stats/events", "stats/pages", "summary"} {
		got, want := s.get(blogKey, path).ok(), s.get(shopKey, path).ok()
		if !bytes.Equal(got.body, want.body) {
			t.Errorf("%s: got\n%s\nwant\n%s", path, got.body, want.body)
		}
	}
}

func originalText(t *testing.T, line, name string) string {
	t.Helper()
	var e map[string]any
	if err := json.Unmarshal([]byte(line), &e); err != nil {
		t.Fatal(err)
	}
	text, _ := e[name].(string)
	return text
}

func TestAQueryPastItsDeadlineSaysSo(t *testing.T) {
	s := startWith(t, api.Options{Deadline: time.Nanosecond})
	s.send("shop", aMorning()...)
	answer := s.get(shopKey, "events")
	if code := answer.json("error.code"); answer.status != http.StatusUnprocessableEntity || code != "deadline" {
		t.Errorf("got %d %s, want 422 deadline", answer.status, answer.body)
	}
}

func TestUserIDsWithStrangeCharacters(t *testing.T) {
	s := start(t)
	for _, id := range []string{"a/b", "{x", "[1]", "ä ö", "?&#", "7", "%2F"} {
		s.send("shop", event.Event{EventType: "click", UserID: id, Timestamp: at("09:00:00")})
		s.get(shopKey, "users/"+url.PathEscape(id)).ok().has("total_events", `1`)
		s.get(shopKey, "events", "filters", fmt.Sprintf(`[{"property":"user_id","op":"eq","value":%q}]`, id)).ok().has("events.0.event_type", `"click"`)
	}
}

// FuzzParameters: whatever strangers send, the answer is theirs to mend, never ours.
func FuzzParameters(f *testing.F) {
	seeds := []string{
		`{}`, `{"from":"2026-06-15","filters":[{"or":[{"property":"browser","value":"Chrome"}]}],"unit":{"property":"plan"}}`, `{"days":1e3}`,
		`{"from":-99999999999999,"to":99999999999999}`, `{"timezone":"Pacific/Apia","from":"2011-12-30","to":"2011-12-30"}`, `{"filters":[{"not":{"property":"timestamp","op":"gt","value":"2026-01-01"}}]}`,
		`{"cursor":"MC4wLg"}`, `{"cursor":"LTkyMjMzNzIwMzY4NTQ3NzU4MDguMC4"}`, `null`, `{"limit":1,"offset":2147483647}`, `{"id":"ann"}`, "\xff",
		`{"steps":["page_view","purchase"],"window":"1s","order":"strict","exclusions":["x"],"step":1,"user_id":"ann"}`, `{"steps":["*","*"],"order":"unordered","breakdown":{"property":"x","attribution":"step","step_index":1}}`,
		`{"period":"month","intervals":3,"cohort":"first_ever","window":"rolling","mode":"on_or_after","cohort_index":0}`, `{"period":"hour","to":"2026-06-15T11:00:00Z"}`,
		`{"series":[{"event":"*","metric":"p99","property":"amount"}],"formula":"A/0","compare":"previous","interval":"month"}`, `{"interval":"week","interval_count":3,"event":"click","week_start":"sunday"}`,
		`{"by":"event_type","steps":2,"start":"page_view","end":{"event":"purchase"}}`,
	}
	paths := []string{
		"events", "stats/events", "stats/pages", "summary", "realtime", "users/ann", "export", "funnel", "funnel/users", "funnel/explain",
		"retention", "retention/users", "trends", "lifecycle", "stickiness", "paths", "heatmap", "recommendations",
	}
	for i, seed := range seeds {
		f.Add(uint8(i), seed)
	}
	s := start(f)
	s.send("shop", aMorning()...)
	f.Fuzz(func(t *testing.T, route uint8, body string) {
		s.t = t
		path := paths[int(route)%len(paths)]
		if got := s.post(shopKey, path, body); got.status >= 500 {
			t.Errorf("POST %s %s: got %d %s", path, body, got.status, got.body)
		}
		query := url.Values{}
		var object map[string]any
		if json.Unmarshal([]byte(body), &object) == nil {
			for name, value := range object {
				text, isText := value.(string)
				if !isText {
					raw, _ := json.Marshal(value)
					text = string(raw)
				}
				query.Set(name, text)
			}
		} else {
			query.Set("filters", body)
		}
		if got := s.do(http.MethodGet, shopKey, path+"?"+query.Encode(), ""); got.status >= 500 {
			t.Errorf("GET %s?%s: got %d %s", path, query.Encode(), got.status, got.body)
		}
	})
}
