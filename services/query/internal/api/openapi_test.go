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
