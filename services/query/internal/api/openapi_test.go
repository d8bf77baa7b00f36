package api_test

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/maidian/maidian/services/query/internal/api"
)

func TestTheDocumentIsValid(t *testing.T) {
	if err := document().Validate(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestTheDocumentHasTheRoutesThatAreServed(t *testing.T) {
	var documented []string
	for path, item := range document().Paths.Map() {
		for method := range item.Operations() {
			documented = append(documented, method+" "+path)
		}
	}
	served := make([]string, 0, len(documented))
	parameter := regexp.MustCompile(`:(\w+)`)
	for _, route := range api.RoutesForTest(t) {
		served = append(served, parameter.ReplaceAllString(route, "{$1}"))
	}
	slices.Sort(documented)
	slices.Sort(served)
	for _, route := range documented {
		if !slices.Contains(served, route) {
			t.Errorf("%s is documented and not served", route)
		}
	}
	for _, route := range served {
		if !slices.Contains(documented, route) {
			t.Errorf("%s is served and not documented", route)
		}
	}
}

// needed is what a report has to be asked with, in each of its views.
var needed = map[string][]string{
	"/api/v1/analytics/funnel": {
		`"steps": ["a", "b"]`, `"steps": ["a", "b"], "view": "time_to_convert"`, `"steps": ["a", "b"], "view": "trend"`,
	},
	"/api/v1/analytics/funnel/users":    {`"steps": ["a", "b"], "step": 0`},
	"/api/v1/analytics/funnel/explain":  {`"steps": ["a", "b"], "user_id": "ann"`},
	"/api/v1/analytics/retention/users": {`"cohort_index": 0`},
	"/api/v1/analytics/trends":          {`"series": ["a"]`},
	"/api/v1/analytics/accounting":      {``, `"days": 1`},
}

// A report names the parameters that it has when it is asked with one that it
// does not have: they are the documented ones.
func TestTheDocumentHasTheParametersThatAreRead(t *testing.T) {
	s := start(t)
	known := regexp.MustCompile(`there are (.*)$`)
	for path, item := range document().Paths.Map() {
		if !strings.Contains(path, "/analytics/") || strings.HasSuffix(path, "}") {
			continue
		}
		read := map[string]bool{}
		for _, body := range append(needed[path], "")[:max(1, len(needed[path]))] {
			answer := s.post(shopKey, path, "{"+strings.TrimPrefix(body+`, "zzzzzzzzzzzzzzzzzzzz": 1}`, ", "))
			message, _ := answer.json("error.message").(string)
			found := known.FindStringSubmatch(message)
			if found == nil {
				t.Fatalf("%s: got %d %s, want the parameters that there are", path, answer.status, answer.body)
			}
			for name := range strings.SplitSeq(found[1], ", ") {
				read[name] = true
			}
		}
		documented := slices.Sorted(maps.Keys(item.Post.RequestBody.Value.Content["application/json"].Schema.Value.Properties))
		if got := slices.Sorted(maps.Keys(read)); !slices.Equal(got, documented) {
			t.Errorf("%s reads\n%v\nand the document says\n%v", path, got, documented)
		}
	}
}

// words are what a definition says beside unit, time_zone and range, which all
// of them say.
var words = map[string][]string{
	"funnel":          {"window", "order", "entry", "ties", "choice", "times"},
	"funnel/users":    {"window", "order", "entry", "ties", "choice"},
	"funnel/explain":  {"window", "order", "entry", "ties", "choice"},
	"retention":       {"cohort", "interval", "mode", "ties", "complete"},
	"retention/users": {"cohort", "interval", "mode", "ties", "complete"},
	"trends":          {"interval", "complete"},
	"lifecycle":       {"interval", "cohort", "complete"},
	"stickiness":      {"interval"},
	"paths":           {"order", "times"},
	"stats/events":    {"users", "date"},
	"stats/pages":     {"views", "users", "bounce_rate", "exit_rate"},
	"summary":         {"active_users", "new_users", "sessions", "hours", "previous", "revenue"},
	"realtime":        {"online_users", "per_minute"},
	"heatmap":         {"cells", "scroll_reach"},
	"recommendations": {"users", "score", "lift"},
	"users/ann":       {"user", "sessions", "ids"},
	"events":          {"order", "session_id", "user_id"},
	"accounting":      {"stored", "duplicates", "dead_lettered"},
}

// Every answer says what was asked, how new it is, whether it can grow and what
// its numbers mean: of a range that is not over, and of one that is.
func TestEveryAnswerExplainsItself(t *testing.T) {
	s := start(t)
	s.send("shop", aMorning()...)
	for path, item := range document().Paths.Map() {
		name, isRead := strings.CutPrefix(strings.Replace(path, "{id}", "ann", 1), "/api/v1/analytics/")
		if !isRead || item.Post == nil || item.Post.Responses.Status(200).Value.Content["application/json"] == nil {
			continue
		}
		for _, body := range append(needed[path], "")[:max(1, len(needed[path]))] {
			a := s.post(shopKey, name, "{"+body+"}").ok()
			for _, word := range append(words[name], "unit", "time_zone", "range") {
				if text, _ := a.json("definition." + word).(string); text == "" && (name != "accounting" || slices.Contains(words[name], word)) {
					t.Errorf("%s: its definition says nothing of %s: %s", name, word, a.body)
				}
			}
			if len(words[name]) == 0 || a.json("freshness.as_of") == nil || a.json("sampled") != false || a.json("query") == nil {
				t.Errorf("%s: got %s", name, a.body)
			}
			if !grows(a) {
				t.Errorf("%s: it says that nothing can change it, today: %s", name, a.body)
			}
			if name == "realtime" || name == "accounting" {
				continue
			}
			if a := s.post(shopKey, name, "{"+strings.TrimSuffix(`"from": "2026-06-01", "to": "2026-06-02", `+body, ", ")+"}").ok(); grows(a) {
				t.Errorf("%s: it says that it can change, and its range is over: %s", name, a.body)
			}
		}
	}
}

// grows says whether an answer, or any of its buckets, can still grow.
func grows(a answer) bool {
	switch complete := a.json("complete").(type) {
	case bool:
		return !complete
	case []any:
		return slices.Contains(complete, any(false))
	}
	a.t.Errorf("nothing says whether this can grow: %s", a.body)
	return false
}
