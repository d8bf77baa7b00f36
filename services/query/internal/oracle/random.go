package oracle

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/maidian/maidian/pkg/event"
)

// Routes that the oracle answers, in a fixed order. The profile's is that of one user.
var Routes = []string{
	"events", "stats/events", "stats/pages", "summary", "trends", "funnel", "funnel/users", "funnel/explain", "retention", "retention/users",
	"lifecycle", "stickiness", "paths", "realtime", "heatmap", "recommendations", "users/", "export",
}

// Random makes histories and requests that meet each other: few users, few
// types of event, many equal times, clocks that change.
type Random struct{ *rand.Rand }

// NewRandom is the same for the same seed.
func NewRandom(seed uint64) Random { return Random{rand.New(rand.NewPCG(seed, 20))} }

func one[T any](r Random, of ...T) T { return of[r.IntN(len(of))] }

// oneIn is true every n-th time or so.
func (r Random) oneIn(n int) bool { return r.IntN(n) == 0 }

// zones with a change of clocks at midnight, by half an hour, in the south, and
// none; offsets by three quarters, and beyond half a day.
var zones = []string{
	"UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Havana", "Asia/Kolkata", "Pacific/Auckland",
	"Asia/Kathmandu", "Pacific/Kiritimati", "America/St_Johns", "Africa/Casablanca", "Pacific/Chatham",
}

// Zone is a time zone.
func (r Random) Zone() string { return one(r, zones...) }

// types are few in each history, so that they meet.
var types = []string{"page_view", "click", "purchase", "product_view", "cart_add", "page_leave", "refund", "Überraschung 🎉"}

// Events are a few users' events around the days on which clocks change.
func (r Random) Events(n int) []event.Event {
	base := one(r, "2026-03-29T00:00:00Z", "2026-10-25T00:00:00Z", "2026-03-08T06:00:00Z", "2026-11-01T05:00:00Z", "2026-04-04T14:00:00Z", "2025-12-30T00:00:00Z")
	t, err := time.Parse(time.RFC3339, base)
	if err != nil {
		panic(err)
	}
	from, step, some := event.TimeOf(t)-2*day, one(r, second, 10*minute, hour/2, 5*hour, day), types[r.IntN(4):]
	events := make([]event.Event, n)
	for i := range events {
		at := from + event.Time(r.IntN(12))*step
		if r.oneIn(3) {
			at += event.Time(r.IntN(int(hour)))
		}
		events[i] = r.event(i, at, one(r, some[:3+r.IntN(len(some)-2)]...))
	}
	return events
}

func (r Random) event(i int, at event.Time, kind string) event.Event {
	e := event.Event{
		Project: "shop", EventID: fmt.Sprintf("e%03d", i), EventType: kind, EventName: one(r, kind, kind, "named"), Timestamp: at,
		ReceivedAt: at + event.Time(r.IntN(5000)), BatchID: fmt.Sprintf("b%d", r.IntN(3)), Position: i,
		Browser: one(r, "", "Chrome", "Firefox", "=cmd()"), Country: one(r, "", "DE", "CN"), DeviceType: one(r, "", "mobile"), Channel: one(r, "", "direct"),
		Referrer: one(r, "", "", "https://a.example/"),
	}
	r.somebody(&e)
	if kind == "page_view" || kind == "page_leave" || kind == "click" {
		path := one(r, "/", "/pricing", "/ü")
		e.PageURL, e.PagePath, e.PageTitle = "https://x.example"+path, path, one(r, "", "Home", "Other")
		e.Duration, e.LoadTime = one[event.Number](r, "", "1.5", "2"), one[event.Number](r, "", "0.25", "1")
		e.ScrollDepth = one[event.Number](r, "", "", "10", "55.5", "100")
		e.XPosition, e.YPosition = one[event.Number](r, "", "0", "49", "50", "120.5"), one[event.Number](r, "10", "99.9", "-3")
	}
	e.Properties = r.properties(kind)
	return e
}

// somebody is known, or not yet, or no more, or comes with a session only.
func (r Random) somebody(e *event.Event) {
	user := one(r, "a", "b", "c", "d")
	switch r.IntN(8) {
	case 0, 1:
		e.AnonymousID = "anon-" + user // joined to the user if it is ever sent with it
	case 2:
		e.AnonymousID, e.UserID = "anon-"+user, user
	case 3:
		e.AnonymousID, e.UserID = "anon-"+one(r, "a", "b"), user // a device that two people share
	case 4:
		e.SessionID = one(r, "s1", "s2")
		return
	default:
		e.UserID = user
	}
	if r.oneIn(2) {
		e.SessionID = one(r, "s1", "s2", "s3") + user
	}
}

func (r Random) properties(kind string) string {
	var members []string
	add := func(key string, values ...string) {
		if v := one(r, values...); v != "" {
			members = append(members, fmt.Sprintf("%q:%s", key, v))
		}
	}
	add("plan", "", `"x"`, `"y"`, `"z"`, "null")
	add("amount", "", "0", "1", "2", "3", `"2"`, "2.5", "-1", "1e2")
	add("vip", "", "", "true", "false", `"true"`)
	add("tags", "", "", `["x","y"]`, `["z"]`)
	add("a.b", "", "", `"dot"`)
	add("$a", "", "", `"dollar"`)
	add("o", "", "", `{"n":1}`, `{"n":"1"}`)
	if kind == "product_view" || kind == "cart_add" {
		add("product_id", `"p1"`, `"p2"`, `"p3"`)
	}
	if kind == "purchase" {
		add("items", "", `[{"product_id":"p1","quantity":1,"price":1}]`, `[{"product_id":"p2","quantity":1,"price":1},{"product_id":"p4","quantity":1,"price":1}]`)
	}
	if len(members) == 0 {
		return ""
	}
	return "{" + strings.Join(members, ",") + "}"
}

// Now is a moment at which a history is asked about: among its events, or after them.
func (r Random) Now(events []event.Event) event.Time {
	return one(r, events...).Timestamp + one(r, 0, second, 4*minute, 30*minute, 3*day, 90*day)
}

// Request asks one of the routes about a history.
func (r Random) Request(route string, events []event.Event) Request {
	q := Request{}
	if route != "realtime" {
		r.span(q, events)
	}
	if r.oneIn(2) {
		q["filters"] = r.filters(2)
	}
	if r.oneIn(3) && route != "users/" {
		q["unit"] = one[any](r, "session", map[string]any{"property": one(r, "plan", "country", "session_id")}, "user")
	}
	maps.Copy(q, r.own(route, q))
	for name, v := range q {
		if v == nil {
			delete(q, name)
		}
	}
	return q
}

// span: dates of a zone, instants, days back, or what is left out.
func (r Random) span(q Request, events []event.Event) {
	zone := r.Zone()
	loc, err := time.LoadLocation(zone)
	if err != nil {
		panic(err)
	}
	a, b := one(r, events...).Timestamp, one(r, events...).Timestamp
	from, to := min(a, b), max(a, b)
	q["timezone"] = zone
	switch r.IntN(5) {
	case 0, 1:
		q["from"], q["to"] = from.Std().In(loc).Format(time.DateOnly), to.Std().In(loc).Format(time.DateOnly)
	case 2:
		q["from"], q["to"] = float64(from), to.String()
	case 3:
		q["from"], q["to"] = from.Std().In(loc).Format(time.RFC3339), to.Std().In(loc).Format(time.DateOnly)
	default:
		q["to"], q["days"] = to.Std().In(loc).Format(time.DateOnly), float64(1+r.IntN(12))
	}
}

// own are a route's own parameters; nil stands for one that is left out.
func (r Random) own(route string, q Request) Request {
	switch route {
	case "events", "export":
		return Request{"user_id": one[any](r, nil, nil, "a", "anon-b"), "event_type": one[any](r, nil, nil, "click"), "limit": one[any](r, nil, 3.0)}
	case "stats/pages":
		return Request{"limit": one[any](r, nil, 2.0), "offset": one[any](r, nil, 1.0)}
	case "summary", "realtime":
		return Request{"limit": one[any](r, nil, 2.0)}
	case "trends":
		return r.trends()
	case "funnel", "funnel/users", "funnel/explain":
		return r.funnel(route)
	case "retention", "retention/users":
		return r.retention(route, q)
	case "lifecycle":
		return Request{"event": r.maybeSelector(), "interval": r.interval(), "week_start": r.weekStart()}
	case "stickiness":
		return Request{"event": r.maybeSelector(), "interval": r.interval(), "week_start": r.weekStart(), "interval_count": one[any](r, nil, 2.0, 3.0)}
	case "paths":
		return Request{
			"start": r.maybeSelector(), "end": r.maybeSelector(), "by": one[any](r, nil, "page_path", "event_type", "plan"),
			"steps": one[any](r, nil, 2.0, 3.0, 20.0), "limit": one[any](r, nil, 2.0, 1000.0),
		}
	case "heatmap":
		return Request{"page": one[any](r, nil, nil, "/", "/nowhere"), "grid": one[any](r, nil, 1.0, 100.0), "limit": one[any](r, nil, 1.0)}
	case "recommendations":
		if r.oneIn(2) {
			return Request{"product_id": one[any](r, nil, "p1", "p9")}
		}
		return Request{"user_id": one[any](r, nil, "a", "anon-b", "nobody"), "limit": one[any](r, nil, 1.0)}
	case "users/":
		return Request{"unit": nil}
	}
	return nil
}

func (r Random) interval() any  { return one[any](r, nil, "hour", "day", "week", "month") }
func (r Random) weekStart() any { return one[any](r, nil, "monday", "sunday") }

// selector is an event by its type, name and filters.
func (r Random) selector() any {
	kind := one(r, append(slices.Clone(types), "*", "*", "page_view", "click", "purchase")...)
	if r.oneIn(2) {
		return kind
	}
	s := map[string]any{"event": kind, "filters": r.filters(1)}
	if r.oneIn(4) {
		s["name"] = "named"
	}
	return s
}

func (r Random) maybeSelector() any {
	if r.oneIn(2) {
		return nil
	}
	return r.selector()
}

// filters are up to two conditions, with others nested in them.
func (r Random) filters(depth int) []any {
	list := []any{}
	for range 1 + r.IntN(2)*r.IntN(2) {
		list = append(list, r.filter(depth))
	}
	return list
}

func (r Random) filter(depth int) any {
	if depth > 0 && r.oneIn(3) {
		if r.oneIn(2) {
			return map[string]any{"not": r.filter(depth - 1)}
		}
		return map[string]any{"or": []any{r.filter(depth - 1), r.filter(depth - 1)}}
	}
	property := one(r, "plan", "properties.plan", "amount", "vip", "tags", "a.b", "$a", "o.n", "browser", "country", "event_type", "session_id", "user_id", "load_time", "nothing")
	f := map[string]any{"property": property, "op": one(r, "eq", "neq", "in", "not_in", "gt", "gte", "lt", "lte", "contains", "not_contains", "starts_with", "exists", "not_exists", "between")}
	value := one[any](r, "x", "y", "true", "2", "Chrome", "DE", "dot", "s1", "a", 2.0, 1.0, 0.25, 100.0, true, "")
	switch f["op"] {
	case "eq", "neq":
		f["value"] = value
	case "in", "not_in":
		f["value"] = []any{value, one[any](r, "z", 0.0)}
	case "gt", "gte", "lt", "lte":
		f["value"] = one(r, 0.0, 1.0, 2.0, 2.5)
	case "between":
		f["value"] = []any{one(r, 0.0, 1.0), one(r, 1.0, 2.0, 100.0)}
	case "contains", "not_contains", "starts_with":
		f["value"] = one(r, "x", "o", "1", "s", "")
	}
	return f
}

func (r Random) trends() Request {
	var series []any
	for range 1 + r.IntN(3) {
		s, is := r.selector().(map[string]any)
		if !is {
			s = map[string]any{"event": one(r, types...)}
		}
		if metric := one(r, "", "count", "users", "sessions", "sum", "avg", "min", "max", "p50", "p90", "p99"); metric != "" {
			s["metric"] = metric
			if len(metric) == 3 {
				s["property"] = one(r, "amount", "load_time", "properties.amount")
			}
		}
		series = append(series, s)
	}
	q := Request{"series": series, "interval": r.interval(), "week_start": r.weekStart(), "compare": one[any](r, nil, "previous")}
	if r.oneIn(2) {
		q["breakdown"] = one[any](r, "plan", map[string]any{"property": one(r, "plan", "amount", "country", "vip", "session_id"), "limit": float64(1 + r.IntN(3))})
	}
	if r.oneIn(2) {
		formulas := slices.Sorted(maps.Keys(Formulas))
		last := string(rune('A' + len(series) - 1))
		q["formula"] = one(r, formulas...)
		series[len(series)-1].(map[string]any)["label"] = "B"
		series[0].(map[string]any)["label"] = "A"
		if last == "A" || len(series) == 3 {
			q["series"] = []any{series[0], map[string]any{"event": "*", "label": "B"}}
		}
	}
	return q
}

func (r Random) funnel(route string) Request {
	n := 2 + r.IntN(3)
	q := Request{
		"order": one[any](r, nil, "ordered", "strict", "unordered"), "entry": one[any](r, nil, nil, "any", "first"),
		"window": one[any](r, nil, 1.0, "30m", "1h", 43200.0, "3d", "2w"),
	}
	var steps []any
	for i := range n {
		step := r.selector()
		if i > 0 && q["order"] != "unordered" && r.oneIn(4) {
			s, is := step.(map[string]any)
			if !is {
				s = map[string]any{"event": step}
			}
			s["optional"] = true
			step = s
		}
		steps = append(steps, step)
	}
	q["steps"] = steps
	if r.oneIn(4) {
		from := r.IntN(n - 1)
		x := map[string]any{"event": one(r, "refund", "click", "cart_add"), "from_step": float64(from), "to_step": float64(from + 1 + r.IntN(n-1-from))}
		if q["order"] == "unordered" {
			x["from_step"], x["to_step"] = 0.0, float64(n-1)
		}
		q["exclusions"] = []any{x}
	}
	switch route {
	case "funnel":
		maps.Copy(q, r.funnelView(n))
	case "funnel/users":
		step := r.IntN(n)
		q["step"], q["dropped"] = float64(step), step > 0 && r.oneIn(2)
	case "funnel/explain":
		q["user_id"] = one(r, "a", "b", "c", "anon-d")
	}
	return q
}

func (r Random) funnelView(n int) Request {
	switch r.IntN(4) {
	case 0:
		to := 1 + r.IntN(n-1)
		return Request{"view": "time_to_convert", "from_step": float64(r.IntN(to)), "to_step": float64(to), "bin_count": one[any](r, nil, 1.0, 3.0)}
	case 1:
		return Request{"view": "trend", "interval": r.interval(), "week_start": r.weekStart()}
	case 2:
		b := map[string]any{"property": one(r, "plan", "country", "amount"), "attribution": one(r, "first_touch", "last_touch", "all_events", "step")}
		if b["attribution"] == "step" {
			b["step_index"] = float64(r.IntN(n))
		}
		if r.oneIn(3) {
			b["limit"] = 1.0
		}
		return Request{"breakdown": b}
	}
	return nil
}

func (r Random) retention(route string, span Request) Request {
	q := Request{
		"start_event": r.maybeSelector(), "return_event": r.maybeSelector(), "period": one[any](r, nil, "hour", "day", "week", "month"),
		"intervals": one[any](r, nil, 1.0, 2.0, 4.0), "cohort": one[any](r, nil, "recurring", "first_time", "first_ever"), "mode": one[any](r, nil, "on", "on_or_after"),
		"window": one[any](r, nil, "calendar", "rolling"), "min_occurrences": one[any](r, nil, nil, 2.0), "week_start": r.weekStart(),
		"start_filters": r.filters(1), "return_filters": r.filters(1),
	}
	if r.oneIn(2) {
		q["start_filters"], q["return_filters"] = nil, nil
	}
	if r.oneIn(4) {
		q["days"], q["from"] = nil, nil
		delete(span, "days")
		delete(span, "from")
	}
	if route == "retention/users" {
		q["cohort_index"] = 0.0
		if q["intervals"] == 2.0 && r.oneIn(2) && span["days"] != nil && span["days"].(float64) > 2 && q["period"] == "day" {
			q["interval"] = 1.0
		}
		return q
	}
	if r.oneIn(3) {
		q["breakdown"] = map[string]any{"property": one(r, "plan", "country"), "attribution": one(r, "first_touch", "last_touch"), "limit": one(r, 1.0, 2.0, 25.0)}
	}
	return q
}
