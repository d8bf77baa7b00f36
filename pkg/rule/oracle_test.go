package rule

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/maidian/maidian/pkg/event"
)

// step is something that is given to an evaluator: an event, or a time.
type step struct {
	event *event.Event
	to    event.Time
}

func (s step) give(e *Evaluator) {
	if s.event != nil {
		e.Observe(s.event)
	} else {
		e.Advance(s.to)
	}
}

// told is what of a firing follows from the definition alone.
type told struct {
	group  string
	at     event.Time
	state  string
	since  event.Time
	repeat bool
	value  string
}

// oracle says the same as an evaluator in the plainest way: it keeps all events
// and works out every window from the beginning whenever it is asked.
type oracle struct {
	rule      *Rule
	threshold float64
	op        string
	since     event.Time
	progress  event.Time
	events    []seen
	judged    event.Time
	verdicts  map[string][]judgement
	told      []told
	moments   map[event.Time][3]int
	firsts    map[string]event.Time // events of groups, of those that were in time
}

// raw marks what was measured, in place of what was judged of it.
const raw = "/raw"

type seen struct {
	at    event.Time
	event *event.Event
}

type judgement struct {
	end   event.Time
	holds bool
	value float64
}

func (o *oracle) give(s step) {
	if s.event != nil {
		at, w := min(s.event.Timestamp, s.event.ReceivedAt, o.progress+minute), o.rule.windowed
		o.events = append(o.events, seen{at, s.event})
		if first, known := o.firsts[o.group(s.event)]; s.event.EventType == "a" && at-at%w.step+w.window > o.judged && (!known || at < first) {
			o.firsts[o.group(s.event)] = at
		}
		return
	}
	o.progress = max(o.progress, s.to)
	w := o.rule.windowed
	for end := o.judged + w.step; end+o.rule.Grace <= o.progress; end += w.step {
		o.judged = end
		groups := map[string]bool{"": o.rule.GroupBy == ""}
		for _, s := range o.events {
			groups[o.group(s.event)] = true
		}
		for group, there := range groups {
			if there && (group == "") == (o.rule.GroupBy == "") {
				o.judge(group, end)
			}
		}
	}
}

func (o *oracle) group(e *event.Event) string {
	switch o.rule.GroupBy {
	case "":
		return ""
	case "user":
		return e.UserID
	}
	return e.Country
}

func (o *oracle) judge(group string, end event.Time) {
	w := o.rule.windowed
	if first, known := o.firsts[group]; w.whole && (end-w.window < o.since || group != "" && (!known || end-w.window < first)) {
		return
	}
	value, measured := o.measure(group, end-w.window, end)
	j := judgement{end, false, value}
	if o.rule.Kind == "change" {
		against := event.Time(w.history) * w.step
		before := math.NaN()
		for _, earlier := range o.verdicts[group+raw] {
			if earlier.end == end-against {
				before = earlier.value
			}
		}
		if !measured {
			value = math.NaN()
		}
		o.verdicts[group+raw] = append(o.verdicts[group+raw], judgement{end, false, value})
		j.value = (value - before) / before * 100
		measured = measured && before > 0
	}
	if o.rule.Kind == "anomaly" {
		j.holds = o.unusual(group, end-w.window, value, measured)
		o.verdicts[group] = append(o.verdicts[group], j)
		return
	}
	threshold, op := o.threshold, o.op
	j.holds = measured && map[string]bool{"gt": j.value > threshold, "gte": j.value >= threshold, "lt": j.value < threshold, "lte": j.value <= threshold}[op]
	o.verdicts[group] = append(o.verdicts[group], j)
}

// unusual compares with what was measured at the same hour of the week, by the
// clock on the wall, the last eight times, each part of it by itself; of an hour
// that came twice in a week the second counts, of one that did not come the one eight weeks before.
func (o *oracle) unusual(group string, start event.Time, value float64, measured bool) bool {
	parts := int(hour / o.rule.windowed.window)
	moment := func(t event.Time) (hourOfWeek, week, part int) {
		if m, known := o.moments[t]; known {
			return m[0], m[1], m[2]
		}
		defer func() { o.moments[t] = [3]int{hourOfWeek, week, part} }()
		local := t.Std().In(o.rule.calendar.Zone)
		day := time.Date(local.Year(), local.Month(), local.Day(), 0, 0, 0, 0, time.UTC)
		days := int(day.Unix() / 86400)
		return int(local.Weekday())*24 + local.Hour(), days / 7, t.Std().Minute() * parts / 60
	}
	hourOfWeek, week, part := moment(start)
	before := map[[2]int]float64{}
	for _, v := range o.verdicts[group+raw] {
		if h, w, p := moment(v.end - o.rule.windowed.window); h == hourOfWeek && (w%8 != week%8 || p != part) {
			before[[2]int{w % 8, p}] = v.value
		}
	}
	if !measured {
		value = math.NaN()
	}
	o.verdicts[group+raw] = append(o.verdicts[group+raw], judgement{start + o.rule.windowed.window, false, value})
	var values, off []float64
	for _, v := range before {
		if !math.IsNaN(v) {
			values = append(values, v)
		}
	}
	if !measured || len(values) < 3*parts {
		return false
	}
	middle := func(of []float64) float64 {
		slices.Sort(of)
		return (of[len(of)/2] + of[(len(of)-1)/2]) / 2
	}
	usual := middle(values)
	for _, v := range values {
		off = append(off, math.Abs(v-usual))
	}
	spread := max(1.4826*middle(off), 0.05*math.Abs(usual))
	if name := o.rule.windowed.metric.name; name == "count" || name == "users" {
		spread = max(spread, math.Sqrt(usual), 1)
	}
	return spread > 0 && math.Abs(value-usual) > o.threshold*spread
}

// condition reads the definition itself.
func (o *oracle) condition() (threshold float64, op string) {
	var d struct {
		Op       string
		Value    float64
		MoreThan float64 `json:"more_than"`

		Sensitivity float64
	}
	if err := json.Unmarshal(o.rule.definition, &d); err != nil {
		panic(err)
	}
	switch o.rule.Kind {
	case "absence":
		return 0, "lte"
	case "behaviour":
		return d.MoreThan, "gt"
	case "anomaly":
		return d.Sensitivity, ""
	}
	return d.Value, cmp.Or(d.Op, "gt")
}

func (o *oracle) measure(group string, from, to event.Time) (float64, bool) {
	var numbers []float64
	users, of := map[string]bool{}, 0.0
	count, sum := 0.0, 0.0
	for _, s := range o.events {
		if s.at < from || s.at >= to || o.group(s.event) != group {
			continue
		}
		if s.event.EventType == "b" {
			of++
		}
		if s.event.EventType != "a" {
			continue
		}
		n, isNumber := s.event.Duration.Float()
		if o.rule.windowed.metric.number && !isNumber {
			continue
		}
		count++
		sum += n
		numbers = append(numbers, n)
		users[s.event.UserID] = true
	}
	slices.Sort(numbers)
	switch o.rule.windowed.metric.name {
	case "users":
		return float64(len(users)), true
	case "sum":
		return sum, true
	case "avg":
		return sum / count, count > 0
	case "p95":
		if count == 0 {
			return math.NaN(), false
		}
		return numbers[int(0.95*(count-1))], true
	case "ratio":
		return count / of, of > 0
	}
	return count, true
}

// all is what is told of all groups.
func (o *oracle) all() []told {
	for group, verdicts := range o.verdicts {
		if !strings.HasSuffix(group, raw) {
			o.tell(group, verdicts)
		}
	}
	order(o.told)
	return o.told
}

// tell goes through all verdicts of a group.
func (o *oracle) tell(group string, verdicts []judgement) {
	var since, toldAt, ended event.Time
	add := func(v judgement, state string, repeat bool) {
		o.told = append(o.told, told{group, v.end, state, since, repeat, shown(o.rule.windowed.metric.name, v.value)})
	}
	for _, v := range verdicts {
		r := o.rule
		if !v.holds {
			if toldAt != 0 {
				ended = v.end
				if r.Recovery {
					add(v, StateRecovered, false)
				}
			}
			since, toldAt = 0, 0
			continue
		}
		if since == 0 {
			since = v.end
		}
		cooled := ended == 0 || v.end >= ended+r.CoolDown
		again := toldAt != 0 && r.Repeat > 0 && v.end >= toldAt+r.Repeat
		if v.end-since >= r.For && !r.silent(v.end) && (toldAt == 0 && cooled || again) {
			add(v, StateFiring, toldAt != 0)
			toldAt = v.end
		}
	}
}

func shown(metric string, v float64) string {
	switch {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return ""
	case metric == "p95":
		return strconv.FormatFloat(v, 'g', 1, 64) // a sketch is right to 1 %
	}
	return strconv.FormatFloat(v, 'g', 12, 64)
}

func toldBy(f Firing) told {
	t := told{f.Group, f.At, f.State, f.Since, f.Repeat, ""}
	if f.Value != nil {
		t.value = shown(f.Metric, *f.Value)
	}
	return t
}

// stream is a random stream of events, some of them late, some of them ahead, and of times.
func stream(random *rand.Rand, n int) (steps []step) {
	now := start
	for i := range n {
		now += event.Time(random.IntN(8000))
		if random.IntN(40) == 0 {
			now += event.Time(random.IntN(300_000)) // nothing happens for some minutes
		}
		switch random.IntN(4) {
		case 0:
			steps = append(steps, step{to: now})
		default:
			at := now
			if random.IntN(3) == 0 {
				at -= event.Time(random.IntN(120_000))
			}
			if random.IntN(20) == 0 {
				at += event.Time(random.IntN(3_600_000))
			}
			e := &event.Event{
				EventID: fmt.Sprint("e", i), EventType: []string{"a", "a", "a", "b", "c"}[random.IntN(5)], Timestamp: at, ReceivedAt: now + event.Time(random.IntN(90_000)),
				UserID: fmt.Sprint("u", random.IntN(6)), Country: []string{"DE", "CN", ""}[random.IntN(3)],
			}
			if random.IntN(5) > 0 {
				e.Duration = event.Number(strconv.Itoa(1 << random.IntN(6)))
			}
			steps = append(steps, step{event: e})
		}
	}
	return append(steps, step{to: now + hour})
}

// randomRule is a definition whose windows are short enough for the stream.
func randomRule(random *rand.Rand) string {
	one := func(of ...string) string { return of[random.IntN(len(of))] }
	parts := []string{`"id": "r"`, `"event": "a"`}
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	window := one("10s", "30s", "60s", "7s", "61s", "5m")
	switch kind := one("threshold", "threshold", "threshold", "change", "absence", "behaviour"); kind {
	case "threshold":
		add(`"kind": "threshold"`)
		switch metric := one("count", "users", "sum", "avg", "p95", "ratio"); metric {
		case "sum", "avg", "p95":
			add(`"metric": %q, "property": "duration", "value": %s`, metric, one("3", "6", "12.5", "24.5"))
		case "ratio":
			add(`"metric": "ratio", "of": "b", "value": %s`, one("0.9", "1.7", "3.1"))
		default:
			add(`"metric": %q, "value": %s`, metric, one("1.5", "2.5", "4.5"))
		}
		if random.IntN(2) == 0 {
			add(`"group_by": "country"`)
		} else {
			add(`"op": %q`, one("gt", "gte", "lt", "lte"))
		}
	case "change":
		window = one("1m", "5m")
		add(`"kind": "change", "against": "hour", "value": %s, "op": %q`, one("-33.3", "10.1", "49.9"), one("gt", "lt"))
	case "absence":
		window = one("1m", "2m")
		add("%s", one(`"kind": "absence"`, `"kind": "absence", "group_by": "country"`))
	case "behaviour":
		add(`"kind": "behaviour", "more_than": %s`, one("1", "2", "3"))
	}
	add(`"window": %q, "grace": %q`, window, one("1s", "10s", "60s"))
	for _, maybe := range []string{`"for": "20s"`, `"for": "2m"`, `"cool_down": "5m"`, `"repeat": "1m"`, `"recovery": false`, `"silences": [{"from": "00:10", "to": "00:20"}]`} {
		if random.IntN(4) == 0 && !(strings.HasPrefix(maybe, `"for"`) && strings.Contains(strings.Join(parts, ","), `"for"`)) {
			add("%s", maybe)
		}
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

// TestAnomaliesAreWhatThePlainestWayTells has fourteen weeks in zones whose
// clocks are set forward, back and never meanwhile.
func TestAnomaliesAreWhatThePlainestWayTells(t *testing.T) {
	firings := 0
	for seed, zone := range []string{"America/New_York", "Australia/Sydney", "Asia/Kolkata"} {
		random := rand.New(rand.NewPCG(uint64(seed), 3))
		metric := []string{`"count"`, `"users"`, `"sum", "property": "duration"`, `"avg", "property": "duration"`}[random.IntN(4)]
		window := []string{"1h", "30m"}[random.IntN(2)]
		definition := fmt.Sprintf(`{"id": "r", "kind": "anomaly", "event": "a", "metric": %s, "window": %q, "timezone": %q, "sensitivity": 2}`, metric, window, zone)
		rules := []*Rule{read(t, "%s", definition)}
		var steps []step
		for now := start; now < start+14*week; now += event.Time(random.IntN(int(2 * hour))) {
			local := now.Std().In(rules[0].calendar.Zone)
			for range local.Hour()%4*2 + random.IntN(3)*random.IntN(5) {
				e := &event.Event{EventID: fmt.Sprint("e", len(steps)), EventType: "a", Timestamp: now - event.Time(random.IntN(40_000)), ReceivedAt: now, UserID: fmt.Sprint("u", random.IntN(6))}
				e.Duration = event.Number(strconv.Itoa(1 << random.IntN(6)))
				steps = append(steps, step{event: e})
			}
			steps = append(steps, step{to: now})
		}
		o := &oracle{rule: rules[0], since: start, progress: start, judged: start, verdicts: map[string][]judgement{}, moments: map[event.Time][3]int{}, firsts: map[string]event.Time{}}
		o.threshold, o.op = o.condition()
		for _, s := range steps {
			o.give(s)
		}
		got := evaluated(t, random, rules, steps)
		firings += len(got)
		if want := o.all(); !slices.Equal(got, want) {
			i := 0
			for got[i] == want[i] {
				i++
			}
			t.Fatalf("%s: got %d, want %d, the first that differ: %v (%s) and %v (%s)", definition, len(got), len(want), got[i], got[i].at, want[i], want[i].at)
		}
	}
	if firings < 100 {
		t.Errorf("only %d firings: the test shows little", firings)
	}
}

// TestWhatIsToldOfEachEventIsWhatThePlainestWayTells is for rules without windows.
func TestWhatIsToldOfEachEventIsWhatThePlainestWayTells(t *testing.T) {
	firings := 0
	for seed := range uint64(100) {
		random := rand.New(rand.NewPCG(seed, 4))
		one := func(of ...string) string { return of[random.IntN(len(of))] }
		definition := `{"id": "r", "event": "a"` + one(`, "kind": "event"`, `, "kind": "event"`, `, "kind": "new_value", "property": "duration", "learn": "5m"`) +
			one(``, `, "group_by": "country"`) + one(``, `, "cool_down": "1m"`) + one(``, `, "grace": "1m"`) +
			one(``, `, "timezone": "Asia/Kolkata", "silences": [{"from": "05:35", "to": "05:50"}]`) + "}"
		rules := []*Rule{read(t, "%s", definition)}
		steps := stream(random, 400)
		for range 40 { // some come twice
			i := random.IntN(len(steps))
			steps = slices.Insert(steps, i+random.IntN(len(steps)-i), steps[i])
		}
		got := evaluated(t, random, rules, steps)
		want := plainly(rules[0], steps)
		firings += len(want)
		if !slices.Equal(got, want) {
			t.Fatalf("seed %d, %s:\ngot  %v\nwant %v", seed, definition, got, want)
		}
	}
	if firings < 1000 {
		t.Errorf("only %d firings: the test shows little", firings)
	}
}

// plainly goes through the events and looks at all that it has told before.
func plainly(r *Rule, steps []step) (all []told) {
	progress, values, ids := start, map[string]bool{}, map[string]bool{}
	for _, s := range steps {
		if progress = max(progress, s.to); s.event == nil || s.event.EventType != "a" {
			continue
		}
		at := min(s.event.Timestamp, s.event.ReceivedAt, progress+minute)
		group := ""
		if r.GroupBy != "" {
			group = s.event.Country
		}
		if at < progress-r.Grace || r.GroupBy != "" && group == "" {
			continue
		}
		if r.Kind == "new_value" {
			value := group + "=" + string(s.event.Duration)
			if known := values[value] || s.event.Duration == ""; known {
				continue
			}
			if values[value] = true; at < start+5*minute {
				continue
			}
		}
		local := at.Std().In(r.calendar.Zone)
		clock := local.Hour()*60 + local.Minute()
		if len(r.Silences) > 0 && clock >= 5*60+35 && clock < 5*60+50 {
			continue
		}
		cooled := true
		for i := len(all) - 1; i >= 0 && r.CoolDown > 0; i-- {
			if all[i].group == group {
				cooled = at >= all[i].at+r.CoolDown
				break
			}
		}
		if cooled && !ids[s.event.EventID] {
			ids[s.event.EventID] = true
			all = append(all, told{group, at, StateFiring, at, false, ""})
		}
	}
	order(all)
	return all
}

func TestWhatIsToldIsWhatThePlainestWayTells(t *testing.T) {
	firings := 0
	for seed := range uint64(100) {
		random := rand.New(rand.NewPCG(seed, 1))
		definition := randomRule(random)
		rules := []*Rule{read(t, "%s", definition)}
		steps := stream(random, 500)

		from := start - start%rules[0].windowed.step
		o := &oracle{rule: rules[0], since: start, progress: start, judged: from, verdicts: map[string][]judgement{}, firsts: map[string]event.Time{}}
		o.threshold, o.op = o.condition()
		for _, s := range steps {
			o.give(s)
		}
		got := evaluated(t, random, rules, steps)
		firings += len(got)
		if want := o.all(); !slices.Equal(got, want) {
			t.Fatalf("seed %d, %s:\ngot  %v\nwant %v", seed, definition, got, want)
		}
	}
	if firings < 1000 {
		t.Errorf("only %d firings: the test shows little", firings)
	}
}

// evaluated gives the steps to evaluators that are stopped anywhere: what they
// did after their state was last kept is done again by the next.
func evaluated(t *testing.T, random *rand.Rand, rules []*Rule, steps []step) (all []told) {
	t.Helper()
	e := New("shop", start)
	e.Use(rules)
	kept, done := keep(t, e), 0
	byID := map[string]told{}
	for at := 0; at < len(steps); {
		steps[at].give(e)
		at++
		if last := at == len(steps); last || random.IntN(20) == 0 {
			for _, f := range e.Firings() {
				if _, twice := byID[f.ID]; twice {
					if f.Event == nil {
						t.Fatalf("%s came out twice", f.ID)
					}
					continue // the event came twice: whoever keeps firings keeps one
				}
				byID[f.ID] = toldBy(f)
				all = append(all, byID[f.ID])
			}
			kept, done = keep(t, e), at
		} else if random.IntN(30) == 0 {
			again, err := Restore("shop", kept, rules)
			if err != nil {
				t.Fatal(err)
			}
			e, at = again, done
		}
	}
	order(all)
	return all
}

func keep(t *testing.T, e *Evaluator) []byte {
	t.Helper()
	state, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	return state
}

func order(all []told) {
	slices.SortFunc(all, func(a, b told) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.group, b.group)) })
}
