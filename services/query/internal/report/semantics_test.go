package report

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/fault"
	"github.com/maidian/maidian/services/query/internal/columns"
)

// happened makes one user's history of text such as "A 0s, B 30m": an event
// type and its time since noon.
func happened(t *testing.T, history string) *columns.View {
	t.Helper()
	var events []event.Event
	for i, part := range strings.Split(history, ", ") {
		kind, after, _ := strings.Cut(part, " ")
		d, err := time.ParseDuration(after)
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, event.Event{EventID: fmt.Sprint(i), EventType: kind, UserID: "ann", Timestamp: at("2026-03-02T12:00:00Z") + event.TimeOf(time.UnixMilli(d.Milliseconds()))})
	}
	return columns.FromEvents("demo", events)
}

// How far a history gets by the rules of each system; the README says where
// each rule is public.
func TestSystemsCountByTheirOwnRules(t *testing.T) {
	const ab, abc = `"steps": ["A", "B"]`, `"steps": ["A", "B", "C"]`
	tests := map[string]struct {
		history, funnel string
		want            string // steps done by our own rules, posthog, mixpanel, clickhouse, umami
	}{
		"in order":                                     {"A 0s, B 1m", ab, "2 2 2 2 2"},
		"the wrong way round":                          {"B 0s, A 1m", ab, "1 1 1 1 1"},
		"the wrong way round, two seconds apart":       {"B 0s, A 2s", ab, "1 1 2 1 1"},
		"and three seconds apart":                      {"B 0s, A 3s", ab, "1 1 1 1 1"},
		"three steps within two seconds":               {"C 0s, B 1s, A 2s", abc, "1 1 3 1 1"},
		"at the same time":                             {"C 0s, B 0s, A 0s", abc, "3 3 3 3 3"},
		"the window's end":                             {"A 0s, B 1h", ab + `, "window": "1h"`, "2 2 2 2 2"},
		"past the window's end":                        {"A 0s, B 60m1s", ab + `, "window": "1h"`, "1 1 1 1 1"},
		"each within the window of the step before":    {"A 0s, B 40m, C 80m", abc + `, "window": "1h"`, "2 2 2 2 3"},
		"by the step before, through the later of two": {"A 0s, B 10m, B 50m, C 100m", abc + `, "window": "1h"`, "2 2 2 2 3"},
		"umami's own window is an hour":                {"A 0s, B 90m", ab, "2 2 2 2 1"},
		"mixpanel's own window is a week":              {"A 0s, B 170h", ab + `, "to": "2026-03-31"`, "2 2 1 2 1"},
		"a second start within the window":             {"A 0s, A 30m, B 45m, C 75m", abc + `, "window": "1h"`, "3 3 2 3 3"},
		"a start after the first one's window":         {"A 0s, A 120m, B 130m", ab + `, "window": "1h"`, "2 2 1 2 2"},
		"the last step after the range":                {"A 0s, B 13h", ab + `, "window": "1d"`, "1 1 2 1 1"},
		"the first step after the range":               {"A 13h, B 14h", ab, "0 0 0 0 0"},
		"one event for two steps":                      {"A 0s", `"steps": ["A", "A"]`, "1 1 1 2 2"},
		"two events for two steps":                     {"A 0s, A 1m", `"steps": ["A", "A"]`, "2 2 2 2 2"},
		"an excluded event between":                    {"A 0s, X 1m, B 2m", ab + `, "exclusions": ["X"]`, "0 0 1 0 -"},
		"an excluded event, then again":                {"A 0s, X 1m, A 2m, B 3m", ab + `, "exclusions": ["X"]`, "2 2 1 2 -"},
		"an excluded event further on":                 {"A 0s, B 1m, X 2m, C 3m", abc + `, "exclusions": [{"event": "X", "from_step": 1, "to_step": 2}]`, "0 0 2 0 -"},
		"excluded, but within the grace":               {"B 0s, A 1s, X 30s, C 60s", abc + `, "exclusions": [{"event": "X", "from_step": 1, "to_step": 2}]`, "1 1 2 1 -"},
		"increasing asked for":                         {"A 0s, B 0s", ab + `, "ties": "increasing"`, "1 1 1 1 1"},
		"once asked for":                               {"A 0s", `"steps": ["A", "A"], "event_use": "once"`, "1 1 1 1 1"},
		"any entry asked for":                          {"A 0s, A 120m, B 130m", ab + `, "window": "1h", "entry": "any"`, "2 2 2 2 2"},
		"strict":                                       {"A 0s, X 1m, B 2m", ab + `, "order": "strict"`, "1 1 1 1 1"},
		"strict, after a new start":                    {"A 0s, X 1m, A 2m, B 3m", ab + `, "order": "strict"`, "2 2 1 2 2"},
		"unordered":                                    {"B 0s, A 30m", ab + `, "order": "unordered"`, "2 2 2 2 2"},
		"unordered, after the range":                   {"B 0s, A 13h", ab + `, "order": "unordered", "window": "1d"`, "1 1 2 1 1"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			v := happened(t, tt.history)
			var got []string
			for _, system := range []string{"null", `"posthog"`, `"mixpanel"`, `"clickhouse"`, `"umami"`} {
				body := `{"from": "2026-03-02", "semantics": ` + system + `, ` + tt.funnel
				if !strings.Contains(body, `"to": `) {
					body += `, "to": "2026-03-02"`
				}
				got = append(got, stepsDone(t, v, body+"}"))
			}
			if strings.Join(got, " ") != tt.want {
				t.Errorf("%s through %s: got %s, want %s", tt.history, tt.funnel, got, tt.want)
			}
		})
	}
}

// stepsDone is how far the only user gets, "-" when the request is refused. What
// the answer explains must agree, and the query that it shows ask the same.
func stepsDone(t *testing.T, v *columns.View, body string) string {
	t.Helper()
	type answer struct {
		Query map[string]any `json:"query"`
		FunnelAnswer
	}
	if _, err := post(v, "funnel", []byte(body)); fault.KindOf(err) == fault.Invalid {
		return "-"
	}
	a := answerOf[answer](t, v, "funnel", body)
	done := 0
	for _, s := range a.Steps {
		done += s.Users
	}
	again := answerOf[answer](t, v, "funnel", jsonOf(t, a.Query))
	if jsonOf(t, again) != jsonOf(t, a) {
		t.Errorf("%s: the query shown asks for something else:\n%s\n%s", body, jsonOf(t, a), jsonOf(t, again))
	}
	e := answerOf[struct {
		Reached int    `json:"reached"`
		Stopped string `json:"stopped"`
	}](t, v, "funnel/explain", strings.TrimSuffix(body, "}")+`, "user_id": "ann"}`)
	if e.Reached+1 != done || e.Stopped == "" {
		t.Errorf("%s: explained as having reached %d (%s), counted as %d", body, e.Reached, e.Stopped, done-1)
	}
	return fmt.Sprint(done)
}

// A system's name asks for exactly the rules that it stands for.
func TestSemanticsAreAShorthand(t *testing.T) {
	long := map[string]string{
		"posthog":    `"window": "14d"`,
		"mixpanel":   `"window": "7d", "entry": "first", "range_of": "entry", "grace": "2s", "exclusion_effect": "stop"`,
		"clickhouse": `"event_use": "many"`,
		"umami":      `"window": "1h", "window_from": "previous_step", "event_use": "many"`,
	}
	rules := func(body string) map[string]any {
		a := answerOf[struct {
			Query map[string]any `json:"query"`
		}](t, shop(), "funnel", `{"steps": ["view", "buy"], "from": "2026-03-02", "to": "2026-03-04", `+body+`}`)
		delete(a.Query, "semantics")
		return a.Query
	}
	for _, system := range slices.Sorted(maps.Keys(long)) {
		if got, want := jsonOf(t, rules(`"semantics": "`+system+`"`)), jsonOf(t, rules(long[system])); got != want {
			t.Errorf("%s: got %s, want %s", system, got, want)
		}
	}
}

func TestRulesThatDoNotGoTogetherAreRefused(t *testing.T) {
	tests := map[string]string{
		`"semantics": "google"`:                                    "semantics",
		`"ties": "increasing", "order": "strict"`:                  "ties",
		`"event_use": "many", "order": "unordered"`:                "event_use",
		`"window_from": "previous_step", "order": "unordered"`:     "window_from",
		`"grace": "2s", "order": "strict"`:                         "grace",
		`"grace": "61s"`:                                           "grace",
		`"grace": "-1s"`:                                           "grace",
		`"grace": "1s", "ties": "increasing"`:                      "grace",
		`"exclusion_effect": "stop", "order": "unordered"`:         "exclusion_effect",
		`"semantics": "umami", "exclusions": ["refund"]`:           "exclusions",
		`"window_from": "previous_step", "exclusions": ["refund"]`: "exclusions",
	}
	for rules, field := range tests {
		_, err := post(shop(), "funnel", []byte(`{"steps": ["view", "buy"], `+rules+`}`))
		if fault.KindOf(err) != fault.Invalid || !strings.HasPrefix(err.Error(), field+":") {
			t.Errorf("%s: got %v, want %s refused", rules, err, field)
		}
	}
	for _, fine := range []string{
		`"semantics": "mixpanel", "order": "strict"`, `"semantics": "mixpanel", "order": "unordered"`, `"semantics": "umami", "order": "strict"`,
		`"semantics": "mixpanel", "ties": "increasing"`, `"semantics": "umami", "window_from": "first_step", "exclusions": ["refund"]`,
	} {
		if _, err := post(shop(), "funnel", []byte(`{"steps": ["view", "buy"], `+fine+`}`)); err != nil {
			t.Errorf("%s: %v", fine, err)
		}
	}
}

// A chain that ends after the range counts in the bucket in which it started.
func TestATrendOfEntriesLooksPastTheRange(t *testing.T) {
	a := answerOf[FunnelAnswer](t, happened(t, "A 0s, B 13h, A 14h, B 15h"), "funnel",
		`{"steps": ["A", "B"], "from": "2026-03-02", "to": "2026-03-02", "view": "trend", "window": "1d", "range_of": "entry"}`)
	if len(a.Rows) != 1 || a.Rows[0].Entered != 1 || a.Rows[0].Converted != 1 {
		t.Errorf("got %+v, want one day with one that entered and converted", a.Rows)
	}
}

func jsonOf(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Between two steps of a funnel, a trend counts those who got to the one and to
// the other, in the bucket of their first step.
func TestATrendBetweenSteps(t *testing.T) {
	tests := map[string]string{
		``:                                     "1 0",
		`, "from_step": 0, "to_step": 1`:       "1 1",
		`, "from_step": 1`:                     "1 0",
		`, "from_step": 2, "to_step": 3`:       "0 0",
		`, "to_step": 2, "order": "unordered"`: "1 0",
	}
	for steps, want := range tests {
		a := answerOf[FunnelAnswer](t, happened(t, "A 11h, B 13h"), "funnel",
			`{"steps": ["A", "B", "C", "D"], "from": "2026-03-02", "to": "2026-03-03", "view": "trend"`+steps+`}`)
		if got := fmt.Sprint(a.Rows[0].Entered, a.Rows[0].Converted); got != want {
			t.Errorf("%s: got %s, want %s", steps, got, want)
		}
	}
}

func TestAnEventBefore1970IsAUsersFirst(t *testing.T) {
	v := happened(t, "A -500000h, A 0s")
	const march = `{"from": "2026-03-02", "to": "2026-03-02", `
	for name, unit := range map[string]string{"by user": `"user"`, "by property": `{"property": "user_id"}`} {
		t.Run(name, func(t *testing.T) {
			l := answerOf[LifecycleAnswer](t, v, "lifecycle", march+`"unit": `+unit+`}`)
			if !slices.Equal(l.New, []int{0}) || !slices.Equal(l.Resurrecting, []int{1}) {
				t.Errorf("lifecycle: got new %v, resurrecting %v, want [0], [1]", l.New, l.Resurrecting)
			}
			for _, cohort := range []string{"first_time", "first_ever"} {
				r := answerOf[RetentionAnswer](t, v, "retention", march+`"period": "day", "cohort": "`+cohort+`", "unit": `+unit+`}`)
				for _, c := range r.Cohorts {
					if c.Size != 0 {
						t.Errorf("retention, %s: got a cohort of %d, want none", cohort, c.Size)
					}
				}
			}
		})
	}
}
