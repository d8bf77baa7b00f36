package report

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/services/query/internal/columns"
)

// These oracles read events one by one and know the rules only: no columns, no
// codes, no partitions, no calendar of this package.

// zones with a change of clocks at midnight, by half an hour, in the south, and none.
var zones = []string{"UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Havana", "Asia/Kolkata", "Pacific/Auckland"}

// randomEvents are a few users' events around the days on which clocks change.
func randomEvents(r *rand.Rand, n int) []event.Event {
	around := []string{"2026-03-29T00:00:00Z", "2026-10-25T00:00:00Z", "2026-03-08T06:00:00Z", "2026-11-01T05:00:00Z", "2026-04-04T14:00:00Z"}
	base := at(around[r.IntN(len(around))]) - 2*day
	step := []event.Time{second, hour / 2, 5 * hour, day}[r.IntN(4)]
	events := make([]event.Event, n)
	for i := range events {
		user := string(rune('a' + r.IntN(4)))
		e := event.Event{
			Project: "demo", EventID: fmt.Sprintf("e%03d", i), EventType: []string{"view", "cart", "buy", "refund"}[r.IntN(4)],
			Timestamp: base + event.Time(r.IntN(12))*step + event.Time(r.IntN(2)*r.IntN(int(hour))),
			BatchID:   fmt.Sprintf("b%d", r.IntN(3)), Position: i,
		}
		e.EventName = e.EventType
		switch r.IntN(4) {
		case 0:
			e.AnonymousID = "anon-" + user // joined to the user if it is ever sent with it
		case 1:
			e.AnonymousID, e.UserID = "anon-"+user, user
		default:
			e.UserID = user
		}
		if r.IntN(3) > 0 {
			e.Properties = fmt.Sprintf(`{"plan":"%c","amount":%d}`, 'x'+rune(r.IntN(3)), r.IntN(4))
		}
		e.Browser = []string{"", "Chrome", "Firefox"}[r.IntN(3)]
		events[i] = e
	}
	return events
}

// users are the events by user, each user's in the order of time.
func users(events []event.Event) map[string][]event.Event {
	ordered := slices.Clone(events)
	slices.SortFunc(ordered, func(a, b event.Event) int {
		if a.Timestamp != b.Timestamp {
			return int(a.Timestamp - b.Timestamp)
		}
		return strings.Compare(a.EventID, b.EventID)
	})
	known := map[string]string{}
	for _, e := range ordered {
		if e.UserID != "" && e.AnonymousID != "" && known[e.AnonymousID] == "" {
			known[e.AnonymousID] = e.UserID
		}
	}
	byUser := map[string][]event.Event{}
	for _, e := range ordered {
		user := e.UserID
		if user == "" {
			if user = known[e.AnonymousID]; user == "" {
				user = e.AnonymousID
			}
		}
		byUser[user] = append(byUser[user], e)
	}
	return byUser
}

// condition is a filter and what it means.
type condition struct {
	json  string
	holds func(e *event.Event) bool
}

func randomCondition(r *rand.Rand) condition {
	plan := func(e *event.Event) string { return event.Property(e.Properties, "plan").Text }
	amount := func(e *event.Event) (float64, bool) {
		v := event.Property(e.Properties, "amount")
		return v.Number, v.Kind == event.Numeric
	}
	all := []condition{
		{`[]`, func(*event.Event) bool { return true }},
		{`[]`, func(*event.Event) bool { return true }},
		{`[{"property":"plan","op":"eq","value":"x"}]`, func(e *event.Event) bool { return plan(e) == "x" }},
		{`[{"property":"plan","op":"neq","value":"x"}]`, func(e *event.Event) bool { return plan(e) != "x" }},
		{`[{"property":"properties.plan","op":"not_exists"}]`, func(e *event.Event) bool { return plan(e) == "" }},
		{`[{"property":"amount","op":"gte","value":2},{"property":"browser","op":"exists"}]`, func(e *event.Event) bool {
			n, ok := amount(e)
			return ok && n >= 2 && e.Browser != ""
		}},
		{`[{"or":[{"property":"browser","op":"in","value":["Chrome"]},{"not":{"property":"amount","op":"between","value":[1,2]}}]}]`, func(e *event.Event) bool {
			n, ok := amount(e)
			return e.Browser == "Chrome" || !(ok && n >= 1 && n <= 2)
		}},
	}
	return all[r.IntN(len(all))]
}

// randomRange is a range with its parameters: dates of a zone, or instants, or all there is.
func randomRange(r *rand.Rand, events []event.Event) (parameters map[string]any, from, to event.Time) {
	zone := zones[r.IntN(len(zones))]
	loc, err := time.LoadLocation(zone)
	if err != nil {
		panic(err)
	}
	a, b := events[r.IntN(len(events))].Timestamp, events[r.IntN(len(events))].Timestamp
	from, to = min(a, b), max(a, b)
	parameters = map[string]any{"timezone": zone, "from": int64(from), "to": to.String()}
	if r.IntN(2) == 0 {
		first, last := from.Std().In(loc).Format(time.DateOnly), to.Std().In(loc).Format(time.DateOnly)
		parameters["from"], parameters["to"] = first, last
		from, to = firstOf(loc, first), firstAfter(loc, last)-1
	}
	return parameters, from, to
}

// firstOf and firstAfter look for the first instant of a date, and after it, minute by minute.
func firstOf(loc *time.Location, date string) event.Time {
	return firstInstant(date, func(t time.Time) bool { return t.In(loc).Format(time.DateOnly) >= date })
}

func firstAfter(loc *time.Location, date string) event.Time {
	return firstInstant(date, func(t time.Time) bool { return t.In(loc).Format(time.DateOnly) > date })
}

func firstInstant(date string, reached func(time.Time) bool) event.Time {
	t, err := time.Parse(time.DateOnly, date)
	if err != nil {
		panic(err)
	}
	for t = t.Add(-15 * time.Hour); !reached(t); t = t.Add(time.Minute) {
	}
	return event.TimeOf(t)
}

// question is one random trial: the events, the request, and the answer by the oracle.
type question struct {
	events []event.Event
	route  string
	body   map[string]any
	want   func(events []event.Event) any
	got    func(answer []byte) (any, error)
}

func (c *question) wrong() string {
	body, err := json.Marshal(c.body)
	if err != nil {
		return err.Error()
	}
	answer, err := post(columns.FromEvents("demo", c.events), c.route, body)
	if err != nil {
		return err.Error()
	}
	got, err := c.got(answer)
	if err != nil {
		return err.Error()
	}
	g, _ := json.Marshal(got)
	w, _ := json.Marshal(c.want(c.events))
	if string(g) != string(w) {
		return fmt.Sprintf("%s %s\n got %s\nwant %s", c.route, body, g, w)
	}
	return ""
}

// check fails with the smallest history that is still answered wrongly.
func (c *question) check(t *testing.T, seed uint64) {
	t.Helper()
	if c.wrong() == "" {
		return
	}
	for i := 0; i < len(c.events); {
		less := *c
		less.events = slices.Delete(slices.Clone(c.events), i, i+1)
		if less.wrong() == "" {
			i++
			continue
		}
		c.events, i = less.events, 0
	}
	var history strings.Builder
	for _, e := range c.events {
		fmt.Fprintf(&history, "  %s %s user=%s anon=%s %s %s\n", e.Timestamp, e.EventType, e.UserID, e.AnonymousID, e.Browser, e.Properties)
	}
	t.Fatalf("seed %d: %s\n%s", seed, c.wrong(), history.String())
}

type oracleFunnel struct {
	Users  []int
	Avg    []*float64
	Median []*float64
	At     map[string]event.Time // who did the last step, and when
}

func randomFunnel(r *rand.Rand) *question {
	events := randomEvents(r, 1+r.IntN(14))
	parameters, from, to := randomRange(r, events)
	p := plan{steps: 2 + r.IntN(2), order: order(r.IntN(3)), window: []event.Time{second, hour, 12 * hour, 3 * day}[r.IntN(4)], first: r.IntN(4) == 0}
	types := []string{"view", "cart", "buy", "*"}
	repeat := r.IntN(2) == 0
	var steps []any
	var means []func(e *event.Event) bool
	for i := range p.steps {
		kind := types[i]
		if repeat {
			kind = types[r.IntN(len(types))]
		}
		c := randomCondition(r)
		optional := i > 0 && p.order != unordered && r.IntN(4) == 0
		if optional {
			p.optional |= 1 << i
		}
		steps = append(steps, map[string]any{"event": kind, "filters": json.RawMessage(c.json), "optional": optional})
		means = append(means, func(e *event.Event) bool { return (kind == "*" || e.EventType == kind) && c.holds(e) })
	}
	common := randomCondition(r)
	body := maps.Clone(parameters)
	body["filters"] = json.RawMessage(common.json)
	body["steps"], body["order"], body["window"] = steps, []string{"ordered", "strict", "unordered"}[p.order], float64(p.window)/1000
	body["entry"] = map[bool]string{true: "first", false: "any"}[p.first]
	if r.IntN(3) == 0 {
		p.exclusions = []stepSpan{{0, p.steps - 1}}
		body["exclusions"] = []any{map[string]any{"event": "refund", "from_step": 0, "to_step": p.steps - 1}}
	}
	want := func(events []event.Event) any { return p.oracle(events, from, to, common, means) }
	return &question{events, "funnel", body, want, readFunnelAnswer}
}

// oracle is the funnel by the rules, user by user.
func (p *plan) oracle(events []event.Event, from, to event.Time, common condition, means []func(*event.Event) bool) oracleFunnel {
	total := stepTimes{plan: p}
	for _, theirs := range users(events) {
		var hits []hit
		for i := range theirs {
			e := &theirs[i]
			if e.Timestamp < from || e.Timestamp > to || !common.holds(e) {
				continue
			}
			h := hit{at: e.Timestamp}
			for step, means := range means {
				if means(e) {
					h.steps |= 1 << step
				}
			}
			if len(p.exclusions) > 0 && e.EventType == "refund" {
				h.others = 1
			}
			if h.steps|h.others != 0 || p.order == strict {
				hits = append(hits, h)
			}
		}
		_, done, times := oracleBest(p, hits)
		total.add(done, times)
	}
	return total.answer()
}

type stepTimes struct {
	plan  *plan
	users [maxSteps]int
	times [maxSteps][]float64
}

func (s *stepTimes) add(done uint32, times []event.Time) {
	if s.plan.order == unordered {
		for n, at := range times {
			s.users[n]++
			if n > 0 {
				s.times[n] = append(s.times[n], float64(at-times[n-1]))
			}
		}
		return
	}
	n, before := 0, event.Time(0)
	for step := range s.plan.steps {
		if done&(1<<step) == 0 {
			continue
		}
		s.users[step]++
		if step > 0 {
			s.times[step] = append(s.times[step], float64(times[n]-before))
		}
		if s.plan.optional&(1<<step) == 0 {
			before = times[n]
		}
		n++
	}
}

func (s *stepTimes) answer() oracleFunnel {
	var f oracleFunnel
	for step := range s.plan.steps {
		f.Users = append(f.Users, s.users[step])
		times := s.times[step]
		if len(times) == 0 {
			f.Avg, f.Median = append(f.Avg, nil), append(f.Median, nil)
			continue
		}
		slices.Sort(times)
		sum := 0.0
		for _, t := range times {
			sum += t
		}
		middle := (times[(len(times)-1)/2] + times[len(times)/2]) / 2
		f.Avg = append(f.Avg, ptr(math.Round(sum/float64(len(times)))/1000))
		f.Median = append(f.Median, ptr(math.Round(middle)/1000))
	}
	return f
}

func readFunnelAnswer(answer []byte) (any, error) {
	var a FunnelAnswer
	err := json.Unmarshal(answer, &struct {
		Steps *[]StepResult `json:"funnel_steps"`
	}{&a.Steps})
	var f oracleFunnel
	for _, s := range a.Steps {
		f.Users, f.Avg, f.Median = append(f.Users, s.Users), append(f.Avg, s.AvgSeconds), append(f.Median, s.Median)
	}
	return f, err
}

func TestFunnelIsTheOracles(t *testing.T) {
	for seed := range uint64(1500) {
		randomFunnel(rand.New(rand.NewPCG(seed, 2))).check(t, seed)
	}
}

func randomRetention(r *rand.Rand) *question {
	events := randomEvents(r, 1+r.IntN(16))
	parameters, from, to := randomRange(r, events)
	o := &oracleRetention{
		period: []string{"hour", "day", "week", "month"}[r.IntN(4)], intervals: 1 + r.IntN(6), cohort: []string{"recurring", "first_time", "first_ever"}[r.IntN(3)],
		mode: []string{"on", "on_or_after"}[r.IntN(2)], rolling: r.IntN(3) == 0, least: 1 + r.IntN(2)*r.IntN(3), sunday: r.IntN(2) == 0,
		start: randomCondition(r), back: randomCondition(r), common: randomCondition(r), from: from, to: to,
	}
	o.startType, o.backType = []string{"view", "*"}[r.IntN(2)], []string{"buy", "view", "*"}[r.IntN(3)]
	loc, err := time.LoadLocation(parameters["timezone"].(string))
	if err != nil {
		panic(err)
	}
	o.zone = loc
	body := maps.Clone(parameters)
	for name, v := range map[string]any{
		"period": o.period, "intervals": o.intervals, "cohort": o.cohort, "mode": o.mode, "min_occurrences": o.least,
		"window": map[bool]string{true: "rolling", false: "calendar"}[o.rolling], "week_start": map[bool]string{true: "sunday", false: "monday"}[o.sunday],
		"start_event": o.startType, "return_event": o.backType, "filters": json.RawMessage(o.common.json),
		"start_filters": json.RawMessage(o.start.json), "return_filters": json.RawMessage(o.back.json),
	} {
		body[name] = v
	}
	return &question{events, "retention", body, func(events []event.Event) any { return o.matrix(events) }, func(answer []byte) (any, error) {
		var a struct {
			Cohorts []Cohort `json:"cohorts"`
		}
		err := json.Unmarshal(answer, &a)
		matrix := [][]int{}
		for _, c := range a.Cohorts {
			matrix = append(matrix, c.Values)
		}
		return matrix, err
	}}
}

type oracleRetention struct {
	period, cohort, mode string
	startType, backType  string
	intervals, least     int
	rolling, sunday      bool
	start, back, common  condition
	from, to             event.Time
	zone                 *time.Location
}

// key names the period of an instant.
func (o *oracleRetention) key(t event.Time) string {
	local := t.Std().In(o.zone)
	switch o.period {
	case "hour":
		return local.Format("2006-01-02T15 -07:00")
	case "week":
		first := 1
		if o.sunday {
			first = 0
		}
		y, m, d := local.Date()
		date := time.Date(y, m, d, 12, 0, 0, 0, time.UTC)
		for int(date.Weekday()) != first {
			date = date.AddDate(0, 0, -1)
		}
		return date.Format(time.DateOnly)
	case "month":
		return local.Format("2006-01")
	}
	return local.Format(time.DateOnly)
}

// rows are the periods of the range, found by walking through it.
func (o *oracleRetention) rows() []string {
	var keys []string
	for t := o.from; ; t += 60 * second * 5 {
		t = min(t, o.to)
		if key := o.key(t); len(keys) == 0 || keys[len(keys)-1] != key {
			keys = append(keys, key)
		}
		if t == o.to {
			return keys
		}
	}
}

func (o *oracleRetention) matrix(events []event.Event) [][]int {
	rows := o.rows()
	matrix := [][]int{}
	for i := range rows {
		matrix = append(matrix, make([]int, min(o.intervals, len(rows)-i)))
	}
	for _, theirs := range users(events) {
		for i, start := range o.starts(theirs, rows) {
			if start == 0 {
				continue
			}
			matrix[i][0]++
			for k := 1; k < len(matrix[i]); k++ {
				if o.came(theirs, rows, i, k, start) {
					matrix[i][k]++
				}
			}
		}
	}
	return matrix
}

func (o *oracleRetention) isStart(e *event.Event) bool {
	return (o.startType == "*" || e.EventType == o.startType) && o.start.holds(e) && o.common.holds(e)
}

// starts are the user's first start events by row; 0 is none.
func (o *oracleRetention) starts(theirs []event.Event, rows []string) []event.Time {
	starts := make([]event.Time, len(rows))
	var first event.Time // of those that count as first
	for i := range theirs {
		e := &theirs[i]
		candidate := o.isStart(e)
		if o.cohort == "first_ever" {
			candidate = o.startType == "*" || e.EventType == o.startType
		}
		if candidate && first == 0 {
			first = e.Timestamp
		}
	}
	for i := range theirs {
		e := &theirs[i]
		row := slices.Index(rows, o.key(e.Timestamp))
		if row < 0 || !o.isStart(e) || o.cohort != "recurring" && e.Timestamp != first || starts[row] != 0 {
			continue
		}
		starts[row] = e.Timestamp
	}
	return starts
}

// came says whether the user came back in interval k, or for on_or_after in a later one of the range.
func (o *oracleRetention) came(theirs []event.Event, rows []string, i, k int, start event.Time) bool {
	for at := k; i+at < len(rows); at++ {
		n := 0
		for j := range theirs {
			e := &theirs[j]
			row := slices.Index(rows, o.key(e.Timestamp))
			in := row == i+at
			if o.rolling {
				length := map[string]event.Time{"hour": hour, "day": day, "week": 7 * day, "month": 30 * day}[o.period]
				in = row >= 0 && e.Timestamp >= start+event.Time(at)*length && e.Timestamp < start+event.Time(at+1)*length
			}
			if in && (o.backType == "*" || e.EventType == o.backType) && o.back.holds(e) && o.common.holds(e) {
				n++
			}
		}
		if n >= o.least {
			return true
		}
		if o.mode == "on" {
			return false
		}
	}
	return false
}

func TestRetentionIsTheOracles(t *testing.T) {
	for seed := range uint64(1500) {
		randomRetention(rand.New(rand.NewPCG(seed, 3))).check(t, seed)
	}
}

// TestKernelIsTheFinder holds the fast funnel to the general one.
func TestKernelIsTheFinder(t *testing.T) {
	ctx := context.Background()
	taken := 0
	for seed := range uint64(1500) {
		r := rand.New(rand.NewPCG(seed, 4))
		events := randomEvents(r, 1+r.IntN(40))
		parameters, _, _ := randomRange(r, events)
		parameters["window"] = []string{"1s", "30m", "1h", "1d", "14d"}[r.IntN(5)]
		parameters["filters"] = json.RawMessage(randomCondition(r).json)
		parameters["steps"] = []any{"view", map[string]any{"event": "cart", "filters": json.RawMessage(randomCondition(r).json)}, "buy", "refund"}[:2+r.IntN(3)]
		body, err := json.Marshal(parameters)
		if err != nil {
			t.Fatal(err)
		}
		request, err := ReadFunnel(params(t, string(body)), testEnv)
		if err != nil {
			t.Fatal(err)
		}
		f, err := request.open(ctx, columns.FromEvents("demo", events))
		if err != nil {
			t.Fatal(err)
		}
		k := f.kernel()
		if k == nil {
			t.Fatalf("%s is not taken by the kernel", body)
		}
		fast, _, err := k.totals(ctx)
		if err != nil {
			t.Fatal(err)
		}
		general, _, err := f.totals(ctx)
		if err != nil {
			t.Fatal(err)
		}
		got, _ := json.Marshal(f.lines(fast))
		want, _ := json.Marshal(f.lines(general))
		if string(got) != string(want) {
			t.Fatalf("seed %d: %s\n got %s\nwant %s", seed, body, got, want)
		}
		taken += general.users[0]
	}
	if taken == 0 {
		t.Fatal("no funnel was entered")
	}
}
