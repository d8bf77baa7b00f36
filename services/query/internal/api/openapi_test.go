package api_test

import (
	"maps"
	"net/http"
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

// A report names the parameters that it has when it is asked with one that it
// does not have: they are the documented ones.
func TestTheDocumentHasTheParametersThatAreRead(t *testing.T) {
	s := start(t)
	known := regexp.MustCompile(`there are (.*)$`)
	for path, item := range document().Paths.Map() {
		if !strings.Contains(path, "/analytics/") || strings.HasSuffix(path, "}") {
			continue
		}
		answer := s.post(shopKey, path, `{"zzzzzzzzzzzzzzzzzzzz": 1}`)
		message, _ := answer.json("error.message").(string)
		found := known.FindStringSubmatch(message)
		if answer.status != http.StatusBadRequest || found == nil {
			// A report with a parameter that it needs says that first.
			if field, _ := answer.json("error.field").(string); field == "" || !strings.Contains(message, "is required") {
				t.Errorf("%s: got %d %s, want the parameters that there are", path, answer.status, answer.body)
			}
			continue
		}
		read := strings.Split(found[1], ", ")
		slices.Sort(read)
		documented := slices.Sorted(maps.Keys(item.Post.RequestBody.Value.Content["application/json"].Schema.Value.Properties))
		if !slices.Equal(slices.Compact(read), documented) {
			t.Errorf("%s reads %v, and the document says %v", path, slices.Compact(read), documented)
		}
	}
}
