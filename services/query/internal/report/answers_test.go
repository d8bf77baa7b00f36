package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/fault"
	"github.com/maidian/maidian/services/query/internal/columns"
)

// shop is a small history: three users over three days of March 2026.
func shop() *columns.View {
	events := []event.Event{
		{UserID: "ann", EventType: "view", Timestamp: at("2026-03-02T10:00:00Z"), SessionID: "s1", Browser: "Chrome"},
		{UserID: "ann", EventType: "view", Timestamp: at("2026-03-02T11:00:00Z"), SessionID: "s1", Browser: "Chrome"},
		{UserID: "ann", EventType: "buy", Timestamp: at("2026-03-02T12:00:00Z"), SessionID: "s1", Browser: "Chrome", Properties: `{"amount":0.1}`},
		{UserID: "ann", EventType: "buy", Timestamp: at("2026-03-02T13:00:00Z"), SessionID: "s1", Browser: "Chrome", Properties: `{"amount":"0.2"}`},
		{UserID: "bob", EventType: "view", Timestamp: at("2026-03-02T23:30:00Z"), SessionID: "s2", Browser: "Firefox"},
		{UserID: "bob", EventType: "view", Timestamp: at("2026-03-04T10:00:00Z"), SessionID: "s3", Browser: "Firefox"},
		{UserID: "bob", EventType: "buy", Timestamp: at("2026-03-04T10:30:00Z"), SessionID: "s3", Browser: "Firefox", Properties: `{"amount":9}`},
		{UserID: "cat", EventType: "view", Timestamp: at("2026-03-04T11:00:00Z"), SessionID: "s4"},
		{UserID: "cat", EventType: "buy", Timestamp: at("2026-02-27T11:00:00Z"), SessionID: "s0", Properties: `{"amount":5}`},
	}
	for i := range events {
		events[i].EventID = fmt.Sprintf("e%d", i)
		events[i].EventName = events[i].EventType
	}
	return columns.FromEvents("demo", events)
}

func answerOf[A any](t *testing.T, v *columns.View, route, body string) A {
	t.Helper()
	text, err := post(v, route, []byte(body))
	if err != nil {
		t.Fatalf("%s %s: %v", route, body, err)
	}
	var a A
	if err := json.Unmarshal(text, &a); err != nil {
		t.Fatal(err)
	}
	return a
}

func TestTrendMetrics(t *testing.T) {
	tests := map[string]struct {
		series string
		values string
		total  float64
	}{
		"count":        {`{"event": "view"}`, "[3 0 2]", 5},
		"users":        {`{"event": "view", "metric": "users"}`, "[2 0 2]", 3},
		"sessions":     {`{"event": "view", "metric": "sessions"}`, "[2 0 2]", 4},
		"sum":          {`{"event": "buy", "metric": "sum", "property": "amount"}`, "[0.3 0 9]", 9.3},
		"avg":          {`{"event": "buy", "metric": "avg", "property": "amount"}`, "[0.15 0 9]", 3.1},
		"min":          {`{"event": "buy", "metric": "min", "property": "amount"}`, "[0.1 0 9]", 0.1},
		"max":          {`{"event": "buy", "metric": "max", "property": "amount"}`, "[0.2 0 9]", 9},
		"p50":          {`{"event": "buy", "metric": "p50", "property": "amount"}`, "[0.15 0 9]", 0.2},
		"any event":    {`{"event": "*"}`, "[5 0 3]", 8},
		"filters":      {`{"event": "buy", "filters": [{"property": "amount", "op": "gte", "value": 0.2}]}`, "[1 0 1]", 2},
		"the name too": {`{"event": "*", "name": "buy"}`, "[2 0 1]", 3},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			a := answerOf[TrendsAnswer](t, shop(), "trends", `{"from": "2026-03-02", "to": "2026-03-04", "series": [`+tt.series+`]}`)
			if got := fmt.Sprint(a.Series[0].Values); got != tt.values || a.Series[0].Total != tt.total {
				t.Errorf("got %s, total %v, want %s, total %v", got, a.Series[0].Total, tt.values, tt.total)
			}
			if !slices.Equal(a.Buckets, []string{"2026-03-02", "2026-03-03", "2026-03-04"}) || slices.Contains(a.Complete, false) {
				t.Errorf("buckets %v, complete %v", a.Buckets, a.Complete)
			}
		})
	}
}

func TestTrendDaysAreTheZones(t *testing.T) {
	a := answerOf[TrendsAnswer](t, shop(), "trends", `{"from": "2026-03-02", "to": "2026-03-03", "timezone": "Europe/Berlin", "series": ["view"]}`)
	if got := fmt.Sprint(a.Series[0].Values); got != "[2 1]" {
		t.Errorf("got %s, want [2 1]", got)
	}
}

func TestTrendBreakdownFormulaAndComparison(t *testing.T) {
	a := answerOf[TrendsAnswer](t, shop(), "trends", `{"from": "2026-03-02", "to": "2026-03-04", "compare": "previous", "formula": "B/A*100",
		"series": [{"event": "view", "metric": "users"}, {"event": "buy"}], "breakdown": {"property": "browser", "limit": 1}}`)
	var lines []string
	for _, s := range append(a.Series, a.Previous...) {
		lines = append(lines, fmt.Sprint(s.Label, s.Value, s.Values, s.Total))
	}
	want := []string{
		"AChrome[1 0 0] 1", "A$other[1 0 2] 2", "BChrome[2 0 0] 2", "B$other[0 0 1] 1",
		"AChrome[0 0 0] 0", "A$other[0 0 0] 0", "BChrome[0 0 0] 0", "B$other[1 0 0] 1",
	}
	for i, line := range lines {
		lines[i] = strings.ReplaceAll(line, "<nil>", "null")
	}
	if !slices.Equal(lines, want) {
		t.Errorf("got %q\nwant %q", lines, want)
	}
	if got := fmt.Sprint(a.Formula.Values, a.Formula.Total, a.Formula.Breakdowns); got != "[100 0 50] 100 [{Chrome [200 0 0] 200} {$other [0 0 50] 50}]" {
		t.Errorf("formula: got %s", got)
	}
	if !slices.Equal(a.PreviousB, []string{"2026-02-27", "2026-02-28", "2026-03-01"}) {
		t.Errorf("the range before has %v", a.PreviousB)
	}
}

// A session that the client did not name is asked for by the id that answers show.
func TestDerivedSessionsCanBeAskedFor(t *testing.T) {
	var events []event.Event
	for i, when := range []string{"2026-03-02T23:50:00Z", "2026-03-03T00:10:00Z", "2026-03-03T01:00:00Z"} {
		events = append(events, event.Event{EventID: fmt.Sprintf("e%d", i), EventType: "view", UserID: "ann", Timestamp: at(when)})
	}
	events = append(events, event.Event{EventID: "e9", EventType: "view", UserID: "ann", SessionID: "own", Timestamp: at("2026-03-03T02:00:00Z")})
	v := columns.FromEvents("demo", events)
	for filter, want := range map[string]float64{
		`{"property": "session_id", "op": "eq", "value": "ann@2026-03-02T23:50:00.000Z"}`: 2,
		`{"property": "session_id", "op": "eq", "value": "own"}`:                          1,
		`{"property": "session_id", "op": "exists"}`:                                      4,
		`{"property": "properties.session_id", "op": "exists"}`:                           0,
	} {
		a := answerOf[TrendsAnswer](t, v, "trends", `{"from": "2026-03-02", "to": "2026-03-03", "series": ["view"], "filters": [`+filter+`]}`)
		if a.Series[0].Total != want {
			t.Errorf("%s: got %v, want %v", filter, a.Series[0].Total, want)
		}
	}
	a := answerOf[TrendsAnswer](t, v, "trends", `{"from": "2026-03-02", "to": "2026-03-03", "series": ["view"], "breakdown": "session_id"}`)
	if len(a.Series) != 3 || a.Series[0].Value != "ann@2026-03-02T23:50:00.000Z" || a.Series[0].Total != 2 {
		t.Errorf("broken down: %+v", a.Series)
	}
}

func TestLifecycleStates(t *testing.T) {
	a := answerOf[LifecycleAnswer](t, shop(), "lifecycle", `{"from": "2026-02-28", "to": "2026-03-05", "event": "*"}`)
	got := fmt.Sprint(a.New, a.Returning, a.Resurrecting, a.Dormant)
	// ann and bob come on the 2nd and miss the 3rd; bob and cat are back on the 4th and miss the 5th.
	if want := "[0 0 2 0 0 0] [0 0 0 0 0 0] [0 0 0 0 2 0] [-1 0 0 -2 0 -2]"; got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	weekly := answerOf[LifecycleAnswer](t, shop(), "lifecycle", `{"from": "2026-03-02", "to": "2026-03-04", "event": "*", "interval": "week"}`)
	if got := fmt.Sprint(weekly.Buckets, weekly.New, weekly.Returning, weekly.Resurrecting, weekly.Dormant); got != "[2026-03-02] [2] [1] [0] [0]" {
		t.Errorf("by week: got %s", got)
	}
}

func TestFormulas(t *testing.T) {
	labels := []string{"A", "B", "rate_1"}
	values := map[string]float64{"A": 8, "B": 2, "rate_1": 0}
	good := map[string]float64{
		"A": 8, "1.5 * A": 12, "A+B*3": 14, "(A+B)*3": 30, "A-B-1": 5, "A/B/2": 2, "-A+B": -6, "A--B": 10, "B/A*100": 25, "A/rate_1": 0,
		"2e2": 200, "A*-1": -8, "((A))": 8, "A/(B-2)+1": 1,
	}
	for text, want := range good {
		f, err := parseFormula(text, labels)
		if err != nil {
			t.Errorf("%s: %v", text, err)
		} else if got := f(values); got != want {
			t.Errorf("%s: got %v, want %v", text, got, want)
		}
	}
	for _, text := range []string{"", "A+", "A B", "(A", "A)", "C", "A**B", "2A", "A$", "inf", "nan", strings.Repeat("(", 1000) + "A", strings.Repeat("-", 1000) + "A"} {
		if _, err := parseFormula(text, labels); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

func TestCompleteIsFalseForWhatCanGrow(t *testing.T) {
	// Now is 2026-03-19 15:04 UTC.
	tests := map[string]struct{ body, want string }{
		"on":          {`{"from": "2026-03-17", "to": "2026-03-19"}`, "[[true true false] [true false] [false]]"},
		"on or after": {`{"from": "2026-03-17", "to": "2026-03-19", "mode": "on_or_after"}`, "[[true false false] [true false] [false]]"},
		"all over":    {`{"from": "2026-03-16", "to": "2026-03-18", "mode": "on_or_after"}`, "[[true true true] [true true] [true]]"},
		"rolling":     {`{"from": "2026-03-16", "to": "2026-03-18", "window": "rolling"}`, "[[true true false] [true false] [true]]"},
		"zone":        {`{"from": "2026-03-18", "to": "2026-03-20", "timezone": "Pacific/Kiritimati"}`, "[[true true false] [true false] [false]]"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			a := answerOf[RetentionAnswer](t, shop(), "retention", tt.body)
			var got [][]bool
			for _, c := range a.Cohorts {
				got = append(got, c.Complete)
			}
			if fmt.Sprint(got) != tt.want {
				t.Errorf("got %v, want %s", got, tt.want)
			}
		})
	}
	a := answerOf[FunnelAnswer](t, shop(), "funnel", `{"from": "2026-03-16", "to": "2026-03-18", "steps": ["view", "buy"], "view": "trend", "window": "1d"}`)
	var got []bool
	for _, row := range a.Rows {
		got = append(got, row.Complete)
	}
	if !slices.Equal(got, []bool{true, true, false}) {
		t.Errorf("trend: got %v, want true, true, false: the last window runs until midnight", got)
	}
}

func TestRetentionDataIsTheWeightedMeanOfWhatIsComplete(t *testing.T) {
	body := `{"from": "2026-03-02", "to": "2026-03-04", "start_event": "view", "return_event": "*"}`
	a := answerOf[RetentionAnswer](t, shop(), "retention", body)
	var got []string
	for _, p := range a.Data {
		got = append(got, fmt.Sprint(p.Day, p.Users, *p.Rate))
	}
	if want := []string{"0 4 100", "1 0 0", "2 1 50"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestUsersArePaged(t *testing.T) {
	for route, more := range map[string]string{
		"funnel/users":    `"steps": ["view", "buy"], "step": 0`,
		"retention/users": `"start_event": "*", "cohort_index": 0, "period": "month"`,
	} {
		var names []string
		cursor := ""
		for pages := 0; pages < 5; pages++ {
			a := answerOf[struct {
				Users []struct {
					UserID string `json:"user_id"`
				} `json:"users"`
				NextCursor string `json:"next_cursor"`
			}](t, shop(), route, fmt.Sprintf(`{"from": "2026-03-01", "to": "2026-03-31", "limit": 1, "cursor": %q, %s}`, cursor, more))
			for _, u := range a.Users {
				names = append(names, u.UserID)
			}
			if cursor = a.NextCursor; cursor == "" {
				break
			}
		}
		if !slices.Equal(names, []string{"ann", "bob", "cat"}) {
			t.Errorf("%s: got %v", route, names)
		}
	}
}

func TestDroppedUsersAreThoseLostBeforeAStep(t *testing.T) {
	text, err := post(shop(), "funnel/users", []byte(`{"from": "2026-03-01", "to": "2026-03-31", "steps": ["view", "buy"], "step": 1, "dropped": true}`))
	if want := `"users":[{"user_id":"cat","at":"2026-03-04T11:00:00.000Z"}]`; err != nil || !strings.Contains(string(text), want) {
		t.Errorf("got %s, %v, want %s", text, err, want)
	}
}

func TestExplainNamesTheEventsAndTheReason(t *testing.T) {
	explain := func(user, more string) FunnelExplainAnswer {
		text, err := post(shop(), "funnel/explain", []byte(`{"from": "2026-03-01", "to": "2026-03-31", "steps": ["view", "buy"], "user_id": "`+user+`"`+more+`}`))
		if err != nil {
			t.Fatal(err)
		}
		var a struct {
			Converted bool
			Reached   int
			Stopped   string
			Steps     []struct {
				Filled bool
				Event  struct {
					EventID string `json:"event_id"`
				}
			}
		}
		if err := json.Unmarshal(text, &a); err != nil {
			t.Fatal(err)
		}
		got := FunnelExplainAnswer{Converted: a.Converted, Reached: a.Reached, Stopped: a.Stopped}
		for _, s := range a.Steps {
			got.Steps = append(got.Steps, StepFilled{Filled: s.Filled, Event: &event.Event{EventID: s.Event.EventID}})
		}
		return got
	}
	ann := explain("ann", "")
	if !ann.Converted || ann.Steps[0].Event.EventID != "e1" || ann.Steps[1].Event.EventID != "e2" {
		t.Errorf("ann: got %+v", ann)
	}
	reasons := map[string]struct{ user, more, want string }{
		"no such event":    {"cat", "", `no event matches "buy" after 2026-03-04T11:00:00.000Z and within the range`},
		"after the window": {"ann", `, "window": "30m"`, `"buy" came at 2026-03-02T12:00:00.000Z, after the window ended at`},
		"excluded":         {"ann", `, "entry": "first", "exclusions": [{"event": "view", "from_step": 0, "to_step": 1}]`, "every attempt met an excluded event"},
		"nobody":           {"zoe", "", "no event in the range matches a step"},
	}
	for name, tt := range reasons {
		if got := explain(tt.user, tt.more); got.Converted || !strings.Contains(got.Stopped, tt.want) {
			t.Errorf("%s: got %q, want %q", name, got.Stopped, tt.want)
		}
	}
}

func TestRequestsAreRefusedWithTheirField(t *testing.T) {
	tests := map[string]struct{ route, body, field string }{
		"one step":                  {"funnel", `{"steps": ["a"]}`, "steps"},
		"no steps":                  {"funnel", `{}`, "steps"},
		"21 steps":                  {"funnel", `{"steps": [` + strings.Repeat(`"a",`, 20) + `"a"]}`, "steps"},
		"step without event":        {"funnel", `{"steps": ["a", {"name": "x"}]}`, "steps[1].event"},
		"misspelt step field":       {"funnel", `{"steps": ["a", {"event": "b", "filter": []}]}`, "steps[1].filter"},
		"empty step":                {"funnel", `{"steps": ["a", ""]}`, "steps[1]"},
		"optional first step":       {"funnel", `{"steps": [{"event": "a", "optional": true}, "b"]}`, "steps[0].optional"},
		"optional without order":    {"funnel", `{"steps": ["a", {"event": "b", "optional": true}], "order": "unordered"}`, "steps[1].optional"},
		"window of 0":               {"funnel", `{"steps": ["a", "b"], "window": 0}`, "window"},
		"negative window":           {"funnel", `{"steps": ["a", "b"], "window": "-5m"}`, "window"},
		"exclusion too far":         {"funnel", `{"steps": ["a", "b"], "exclusions": [{"event": "x", "from_step": 0, "to_step": 2}]}`, "exclusions[0].to_step"},
		"exclusion backwards":       {"funnel", `{"steps": ["a", "b", "c"], "exclusions": [{"event": "x", "from_step": 1, "to_step": 1}]}`, "exclusions[0].from_step"},
		"partial, without order":    {"funnel", `{"steps": ["a", "b", "c"], "order": "unordered", "exclusions": [{"event": "x", "from_step": 0, "to_step": 1}]}`, "exclusions[0].from_step"},
		"step attribution, no step": {"funnel", `{"steps": ["a", "b"], "breakdown": {"property": "p", "attribution": "step"}}`, "breakdown.step_index"},
		"step of another":           {"funnel", `{"steps": ["a", "b"], "breakdown": {"property": "p", "step_index": 1}}`, "breakdown.step_index"},
		"bins of another view":      {"funnel", `{"steps": ["a", "b"], "bin_count": 3}`, "bin_count"},
		"nobody is lost before 0":   {"funnel/users", `{"steps": ["a", "b"], "step": 0, "dropped": true}`, "step"},
		"no such step":              {"funnel/users", `{"steps": ["a", "b"], "step": 2}`, "step"},
		"foreign cursor":            {"funnel/users", `{"steps": ["a", "b"], "step": 1, "cursor": "!"}`, "cursor"},
		"misspelt beside a view":    {"funnel/users", `{"steps": ["a", "b"], "step": 1, "view": "trend", "stepp": 1}`, "stepp"},
		"nobody to explain":         {"funnel/explain", `{"steps": ["a", "b"]}`, "user_id"},
		"no intervals":              {"retention", `{"intervals": 0}`, "intervals"},
		"unknown cohort":            {"retention", `{"cohort": "first-time"}`, "cohort"},
		"no cohort asked":           {"retention/users", `{}`, "cohort_index"},
		"cohort beyond":             {"retention/users", `{"intervals": 3, "cohort_index": 3}`, "cohort_index"},
		"interval beyond":           {"retention/users", `{"intervals": 3, "cohort_index": 2, "interval": 1}`, "interval"},
		"no series":                 {"trends", `{"series": []}`, "series"},
		"sum of nothing":            {"trends", `{"series": [{"event": "a", "metric": "sum"}]}`, "series[0].property"},
		"count of a property":       {"trends", `{"series": [{"event": "a", "property": "p"}]}`, "series[0].property"},
		"label twice":               {"trends", `{"series": [{"event": "a", "label": "x"}, {"event": "b", "label": "x"}]}`, "series[1].label"},
		"formula of no label":       {"trends", `{"series": ["a"], "formula": "A/B"}`, "formula"},
		"compare with what":         {"trends", `{"series": ["a"], "compare": "next"}`, "compare"},
		"attribution in trends":     {"trends", `{"series": ["a"], "breakdown": {"property": "p", "attribution": "step"}}`, "breakdown.attribution"},
		"path of one step":          {"paths", `{"steps": 1}`, "steps"},
		"no JSON":                   {"paths", `{"steps": `, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := post(shop(), tt.route, []byte(tt.body))
			var f *fault.Error
			if !errors.As(err, &f) || f.Kind != fault.Invalid || f.Field != tt.field {
				t.Errorf("got %v, want an invalid %q", err, tt.field)
			}
		})
	}
}

func TestWorkBeyondALimitIsNamed(t *testing.T) {
	for route, body := range map[string]string{
		"trends":    `{"series": ["a"], "interval": "hour", "from": "2000-01-01", "to": "2026-01-01"}`,
		"retention": `{"period": "hour", "from": "2020-01-01", "to": "2026-01-01"}`,
		"lifecycle": `{"interval": "hour", "from": "2000-01-01", "to": "2026-01-01"}`,
	} {
		if _, err := post(shop(), route, []byte(body)); fault.KindOf(err) != fault.Exceeded {
			t.Errorf("%s: got %v, want the limit that is exceeded", route, err)
		}
	}
}

func TestMedianIsTheSortedMiddle(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 11))
	for range 2000 {
		times := make([]event.Time, 1+r.IntN(200))
		for i := range times {
			times[i] = event.Time(r.IntN(1 + r.IntN(300)))
		}
		sorted := slices.Sorted(slices.Values(times))
		want := float64(sorted[(len(sorted)-1)/2]+sorted[len(sorted)/2]) / 2
		if got := medianTime(times); got != want {
			t.Fatalf("got %v, want %v of %v", got, want, sorted)
		}
	}
}
