package rule

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/maidian/maidian/pkg/ask"
	"github.com/maidian/maidian/pkg/event"
)

// feed is an evaluator of one rule, and what it told.
type feed struct {
	t *testing.T
	*Evaluator
	events int
	all    []Firing
}

func evaluate(t *testing.T, definition string, args ...any) *feed {
	t.Helper()
	e := New("shop", start)
	e.Use([]*Rule{read(t, definition, args...)})
	return &feed{t: t, Evaluator: e}
}

// see is an event of a type, a user and a country with properties, at a time after start.
func (f *feed) see(at event.Time, kind, user, country, properties string) {
	f.events++
	f.Advance(start + at)
	f.Observe(&event.Event{
		EventID: "e" + strconv.Itoa(f.events), EventType: kind, UserID: user, Country: country, Properties: properties, Timestamp: start + at, ReceivedAt: start + at,
	})
}

// tells compares what came out since it was last asked.
func (f *feed) tells(want ...string) {
	f.t.Helper()
	var got []string
	for _, one := range f.Firings() {
		got = append(got, fmt.Sprintf("%s %s@%d", one.State, one.Group+one.NewValue, int64(one.At-start)/int64(minute)))
		f.all = append(f.all, one)
	}
	if !slices.Equal(got, want) {
		f.t.Errorf("got %q, want %q", got, want)
	}
}

func TestEachEventIsToldWithItsCoolDown(t *testing.T) {
	f := evaluate(t, `{"id": "r", "kind": "event", "event": {"event": "purchase", "filters": [{"property": "amount", "op": "gte", "value": 100}]}, "group_by": "country", "cool_down": "10m"}`)
	f.see(minute, "purchase", "u", "DE", `{"amount": 100}`)
	f.see(2*minute, "purchase", "u", "DE", `{"amount": 500}`) // too soon
	f.see(3*minute, "purchase", "u", "CN", `{"amount": 500}`)
	f.see(4*minute, "purchase", "u", "FR", `{"amount": 99}`) // too little
	f.see(5*minute, "purchase", "u", "", `{"amount": 500}`)  // of no group
	f.see(6*minute, "refund", "u", "FR", `{"amount": 500}`)
	f.see(11*minute, "purchase", "u", "DE", `{"amount": 100}`)
	f.tells("firing DE@1", "firing CN@3", "firing DE@11")
	if first := f.all[0]; first.ID != "r.e1" || *first.Value != 100 || first.Op != "gte" || *first.Threshold != 100 || first.Metric != "amount" || first.Event.UserID != "u" || string(first.Event.Properties) != `{"amount": 100}` {
		t.Errorf("got %+v", first)
	}
	f.Advance(start + 3*day)
	f.Observe(&event.Event{EventID: "old", EventType: "purchase", Country: "US", Properties: `{"amount": 900}`, Timestamp: start + day, ReceivedAt: start + 3*day})
	f.tells() // imported history is told to nobody
}

func TestANewValueIsToldOnce(t *testing.T) {
	f := evaluate(t, `{"id": "r", "kind": "new_value", "event": "error", "property": "message", "learn": "1h"}`)
	f.see(minute, "error", "u", "", `{"message": "known"}`)
	f.see(2*hour, "error", "u", "", `{"message": "known"}`)
	f.see(2*hour, "error", "u", "", `{"message": "new"}`)
	f.see(2*hour, "error", "u", "", `{"message": "new"}`)
	f.see(2*hour, "error", "u", "", `{}`)
	f.tells("firing new@120")
	e, err := Restore("shop", keep(t, f.Evaluator), []*Rule{f.rules[0].rule})
	if err != nil {
		t.Fatal(err)
	}
	f.Evaluator = e
	f.see(3*hour, "error", "u", "", `{"message": "new"}`)
	f.see(3*hour, "error", "u", "", `{"message": "other"}`)
	f.tells("firing other@180")
}

func TestAnAnomalyIsUnlikeTheSameHourOfOtherWeeks(t *testing.T) {
	f := evaluate(t, `{"id": "r", "kind": "anomaly", "event": "sign_up", "grace": 0}`)
	hourly := func(from event.Time, n int) {
		for i := range n {
			f.see(from+event.Time(i)*second, "sign_up", "u", "", "")
		}
	}
	for w := range event.Time(5) {
		hourly(w*week+9*hour, 100+int(w)) // on Thursdays at nine there are some hundred, else none
		hourly(w*week+10*hour, 5)
	}
	f.tells()
	hourly(5*week+9*hour, 150) // more than four times the root of a hundred above
	hourly(5*week+10*hour, 5)
	f.Advance(start + 6*week)
	at := int64(5*week+10*hour) / int64(minute)
	f.tells(fmt.Sprintf("firing @%d", at), fmt.Sprintf("recovered @%d", at+60))
	if first := f.all[0]; *first.Value != 150 || *first.Expected != 102 || first.Op != "gt" {
		t.Errorf("got %v, expected %v, want 150 in place of 102", *first.Value, *first.Expected)
	}
}

func TestAbsenceOfAGroupIsToldOnceItWasThere(t *testing.T) {
	f := evaluate(t, `{"id": "r", "kind": "absence", "event": "beat", "group_by": "country", "window": "5m", "grace": 0}`)
	f.Advance(start + hour)
	f.see(hour, "beat", "", "DE", "")
	f.see(hour+3*minute, "beat", "", "CN", "")
	f.see(hour+4*minute, "beat", "", "DE", "")
	f.Advance(start + 2*hour)
	f.see(2*hour, "beat", "", "DE", "")
	f.Advance(start + 2*hour + 2*minute)
	f.tells("firing CN@68", "firing DE@69", "recovered DE@120")
}

func TestAGroupIsNotAbsentBeforeItWasThere(t *testing.T) {
	f := evaluate(t, `{"id": "r", "kind": "absence", "event": "beat", "group_by": "country", "window": "5m"}`)
	for i := range event.Time(20) {
		f.see(hour+i*minute, "beat", "", "DE", "")
	}
	f.tells()
}

func TestSamplesOfThePipelineAreJudged(t *testing.T) {
	f := evaluate(t, `{"id": "r", "kind": "pipeline", "metric": "queue_depth", "value": 1000, "window": "1m", "for": "2m", "grace": 0}`)
	if names := f.PipelineMetrics(); !slices.Equal(names, []string{"queue_depth"}) {
		t.Errorf("got %q, want the one metric that is looked at", names)
	}
	for i := range event.Time(60) {
		f.Advance(start + i*10*second)
		depth := 10.0
		if i >= 12 && i < 36 { // from the 2nd to the 6th minute
			depth = 5000
		}
		f.Sample("queue_depth", start+i*10*second, depth)
	}
	f.tells("firing @4", "recovered @6")
}

func TestGroupsAreLimited(t *testing.T) {
	f := evaluate(t, `{"id": "r", "kind": "threshold", "event": "a", "value": 1, "window": "1m", "group_by": "country", "grace": 0}`)
	for i := range mostGroups + 50 {
		f.see(0, "a", "", fmt.Sprint("c", i), "")
	}
	if n := len(f.rules[0].Groups); n != mostGroups || f.Crowded()["r"] != 50 {
		t.Errorf("got %d groups, %d events left out, want %d and 50", n, f.Crowded()["r"], mostGroups)
	}
	f.see(2*minute, "a", "", "c0", "")
	f.Advance(start + 10*minute)
	if n := len(f.rules[0].Groups); n != 0 || f.cells != 0 {
		t.Errorf("%d groups, weighing %d, are remembered after their windows", n, f.cells)
	}
}

func TestAChangedRuleBeginsAnewAndEndsWhatItTold(t *testing.T) {
	f := evaluate(t, `{"id": "r", "kind": "threshold", "event": "a", "value": 0, "window": "10m", "grace": 0}`)
	f.see(minute, "a", "", "", "")
	f.Advance(start + 2*minute)
	f.tells("firing @1")
	same := read(t, `{"id": "r", "kind": "threshold", "event": "a", "value": 0, "window": "10m", "grace": 0}`)
	f.Use([]*Rule{same})
	f.tells()
	f.Use([]*Rule{read(t, `{"id": "r", "kind": "threshold", "event": "a", "value": 5, "window": "10m", "grace": 0}`)})
	f.tells("recovered @2")
	if end := f.all[1]; end.Reason != ReasonChanged || end.Since != start+minute+40*second {
		t.Errorf("got %+v, want it since its first window, ended by the change", end)
	}
}

// TestARuleThatIsGoneEndsWhatItTold has the rule go while it is evaluated and
// while nobody does.
func TestARuleThatIsGoneEndsWhatItTold(t *testing.T) {
	const definition = `{"id": "r", "name": "Old", "kind": "threshold", "event": "a", "value": 0, "window": "10m", "grace": 0, "channels": ["ops"]%s}`
	tests := map[string]struct {
		rules  []*Rule
		reason string
	}{
		"deleted":              {nil, ReasonDeleted},
		"disabled":             {[]*Rule{read(t, definition, `, "enabled": false`)}, ReasonDisabled},
		"changed":              {[]*Rule{read(t, definition, `, "name": "New"`)}, ReasonChanged},
		"of another kind":      {[]*Rule{read(t, `{"id": "r", "kind": "event", "event": "a"}`)}, ReasonChanged},
		"another, and deleted": {[]*Rule{read(t, `{"id": "s", "kind": "event", "event": "a"}`)}, ReasonDeleted},
	}
	for name, tt := range tests {
		for _, restarted := range []bool{false, true} {
			f := evaluate(t, definition, "")
			f.see(minute, "a", "", "", "")
			f.Advance(start + 2*minute)
			f.tells("firing @1")
			if restarted {
				e, err := Restore("shop", keep(t, f.Evaluator), tt.rules)
				if err != nil {
					t.Fatal(err)
				}
				f.Evaluator = e
			} else {
				f.Use(tt.rules)
			}
			f.tells("recovered @2")
			if end := f.all[1]; end.Reason != tt.reason || end.Name != "Old" || !slices.Equal(end.Channels, []string{"ops"}) {
				t.Errorf("%s, restarted: %t: got %+v, want the end of the old one: %s", name, restarted, end, tt.reason)
			}
			again, err := Restore("shop", keep(t, f.Evaluator), tt.rules)
			if err != nil || again.Firings() != nil {
				t.Errorf("%s: told again, or %v", name, err)
			}
		}
	}
}

func TestAGroupThatIsForgottenEndsWhatItTold(t *testing.T) {
	f := evaluate(t, `{"id": "r", "kind": "threshold", "event": "a", "op": "lt", "value": 2, "window": "5m", "group_by": "country", "grace": 0}`)
	f.Advance(start + 10*minute)
	f.see(10*minute, "a", "", "DE", "")
	f.Advance(start + 3*day)
	f.tells("firing DE@15", fmt.Sprintf("recovered DE@%d", 10+5+24*60))
	if end := f.all[1]; end.Reason != ReasonForgotten || end.Since != start+15*minute {
		t.Errorf("got %+v, want it forgotten a day after its window was empty", end)
	}
	if len(f.rules[0].Groups) != 0 {
		t.Error("the group is remembered")
	}
}

// TestALinkShowsWhatTheRuleLooksAt has the query service's reader read it.
func TestALinkShowsWhatTheRuleLooksAt(t *testing.T) {
	const filters = `"filters": [{"property": "amount", "op": "gte", "value": 100}, {"or": [{"property": "country", "op": "in", "value": ["DE", "FR"]}, {"not": {"property": "plan", "op": "exists"}}]}]`
	tests := map[string]struct{ definition, want string }{
		"filters and group": {
			`"kind": "event", "event": {"event": "a", "name": "b", ` + filters + `}, "group_by": "country"`,
			`[{"property":"event_type","op":"in","value":["a"]},{"property":"event_name","op":"eq","value":"b"},{"property":"amount","op":"gte","value":100},` +
				`{"or":[{"property":"country","op":"in","value":["DE","FR"]},{"not":{"property":"plan","op":"exists"}}]},{"property":"country","op":"eq","value":"DE"}]`,
		},
		"any event": {`"kind": "event", "event": "*"`, ``},
		"a ratio":   {`"kind": "threshold", "event": "a", "metric": "ratio", "of": {"event": "b", ` + filters + `}, "value": 0`, `[{"property":"event_type","op":"in","value":["a","b"]}]`},
		"a user": {
			`"kind": "behaviour", "event": "a", "more_than": 0`,
			`[{"property":"event_type","op":"in","value":["a"]},{"or":[{"property":"user_id","op":"eq","value":"u"},{"property":"anonymous_id","op":"eq","value":"u"},{"property":"session_id","op":"eq","value":"u"}]}]`,
		},
		"the pipeline": {`"kind": "pipeline", "metric": "queue_depth", "value": 0`, ``},
		"too much for an address": {
			`"kind": "event", "event": {"event": "a", "filters": [{"property": "country", "op": "in", "value": ["DE", "` + strings.Repeat("x", 3000) + `"]}]}`,
			`[{"property":"event_type","op":"in","value":["a"]}]`,
		},
	}
	for name, tt := range tests {
		f := evaluate(t, `{"id": "r", "timezone": "Asia/Shanghai", %s, "grace": "1s"}`, tt.definition)
		f.Sample("queue_depth", start, 5)
		f.Observe(&event.Event{EventType: "b", Country: "DE", Properties: `{"amount": 100}`, Timestamp: start})
		f.Observe(&event.Event{EventID: "e", EventType: "a", EventName: "b", UserID: "u", Country: "DE", Properties: `{"amount": 100}`, Timestamp: start})
		f.Advance(start + minute)
		all := f.Firings()
		if len(all) == 0 {
			t.Fatalf("%s: nothing is told", name)
		}
		u, err := url.Parse(all[0].Link)
		if err != nil {
			t.Fatal(err)
		}
		p, err := ask.ParamsFromQuery(u.Query())
		if err != nil {
			t.Fatal(err)
		}
		got, _ := json.Marshal(p.Filters("filters", utc))
		if p.Mistake() != nil || u.Query().Get("filters") != tt.want || tt.want != "" && string(got) != tt.want || u.Query().Get("project") != "shop" || u.Query().Get("timezone") != "Asia/Shanghai" {
			t.Errorf("%s: got %s, %v\nwant %s", name, all[0].Link, p.Mistake(), tt.want)
		}
	}
}

func TestADamagedStateIsRefused(t *testing.T) {
	for _, text := range []string{`[]`, `{"rules": {"r": {"seen": "x"}}}`, `{"rules": {"r": {"groups": {"": {"history": "AAAA"}}}}}`, `{"rules": {"r": {"groups": {"": {"buckets": [{"u": "AA=="}]}}}}}`} {
		if _, err := Restore("shop", []byte(text), nil); err == nil {
			t.Errorf("%s is taken as a state", text)
		}
	}
}

// BenchmarkRules is a second of 2,000 events with 1,000 rules: half of them
// about events of the types that come, each with filters, a third of them grouped.
func BenchmarkRules(b *testing.B) {
	var rules []*Rule
	for i := range 1000 {
		kind := []string{"page_view", "click", "purchase", "other", "none", "never"}[i%6]
		text := fmt.Sprintf(`{"id": "r%d", "kind": "threshold", "event": {"event": %q, "filters": [{"property": "page_path", "op": "eq", "value": "/p%d"}, {"property": "plan", "op": "neq", "value": "free"}]}, "value": 5, "window": "5m"`, i, kind, i%50)
		if i%3 == 0 {
			text += `, "group_by": "country"`
		}
		rules = append(rules, read(b, "%s}", text))
	}
	e := New("shop", start)
	e.Use(rules)
	var events []event.Event
	for i := range 2000 {
		events = append(events, event.Event{
			EventID: fmt.Sprint(i), EventType: []string{"page_view", "click", "purchase"}[i%3], UserID: fmt.Sprint("u", i%300), Country: fmt.Sprint("c", i%20),
			PagePath: fmt.Sprint("/p", i%50), Properties: `{"amount": 12.5, "plan": "pro", "currency": "EUR"}`,
		})
	}
	now := start
	for b.Loop() {
		for i := range events {
			if i%100 == 0 {
				now += second / 20
				e.Advance(now)
			}
			events[i].Timestamp = now
			e.Observe(&events[i])
		}
		e.Firings()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/2000, "ns/event")
	if state, err := json.Marshal(e); err == nil {
		b.ReportMetric(float64(len(state)), "bytes/state")
	}
}
