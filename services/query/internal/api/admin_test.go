package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/maidian/maidian/services/query/internal/auth"
)

const projects = "/api/v1/admin/projects"

func TestAProjectIsMadeAndChanged(t *testing.T) {
	s := start(t)
	made := s.post(adminKey, projects, `{"id": "app", "name": "App", "timezone": "Asia/Tokyo", "currency": "JPY", "origins": ["https://app.example"], "ip_policy": "drop"}`).ok()
	if made.status != http.StatusCreated {
		t.Errorf("got %d, want 201", made.status)
	}
	write, read := made.json("write_key").(string), made.json("read_key").(string)
	if !strings.HasPrefix(write, auth.WritePrefix) || !strings.HasPrefix(read, auth.ReadPrefix) || len(write) < 24 {
		t.Errorf("got the keys %q and %q", write, read)
	}
	s.get(read, "stats/events").ok().has("query.timezone", `"Asia/Tokyo"`)

	changed := s.do(http.MethodPatch, adminKey, projects+"/app", `{"name": "The app", "timezone": "Europe/Berlin"}`).ok()
	changed.has("name", `"The app"`)
	changed.has("currency", `"JPY"`)
	changed.has("origins", `["https://app.example"]`)
	s.get(read, "stats/events").ok().has("query.timezone", `"Europe/Berlin"`)

	for _, path := range []string{projects, projects + "/app"} {
		shown := s.get(adminKey, path).ok()
		if strings.Contains(string(shown.body), write) || strings.Contains(string(shown.body), read) || strings.Contains(string(shown.body), auth.Hash(read)) {
			t.Errorf("%s shows a key or its hash: %s", path, shown.body)
		}
	}
	s.get(adminKey, projects+"/app").ok().has("keys.1.prefix", fmt.Sprintf("%q", read[:8]))
}

func TestAProjectNeedsNothingButTheAdminKey(t *testing.T) {
	s := start(t)
	made := s.post(adminKey, projects, "").ok()
	made.has("timezone", `"UTC"`)
	made.has("ip_policy", `"mask"`)
	made.has("origins", `[]`)
	if id, _ := made.json("id").(string); id == "" {
		t.Errorf("got %s, want an id", made.body)
	}
}

func TestWrongSettings(t *testing.T) {
	s := start(t)
	tests := map[string]struct {
		method, path, body string
		status             int
		code, field        string
	}{
		"an id in capitals":         {"POST", "", `{"id": "Shop"}`, 400, "invalid_field", "id"},
		"an id that is too long":    {"POST", "", `{"id": "` + strings.Repeat("x", 41) + `"}`, 400, "invalid_field", "id"},
		"an id that is taken":       {"POST", "", `{"id": "shop"}`, 409, "id_taken", "id"},
		"no such zone":              {"POST", "", `{"timezone": "Mars/Base"}`, 400, "invalid_field", "timezone"},
		"no such currency":          {"POST", "", `{"currency": "euro"}`, 400, "invalid_field", "currency"},
		"an origin with a path":     {"POST", "", `{"origins": ["https://a.example", "https://a.example/b"]}`, 400, "invalid_field", "origins[1]"},
		"an origin without scheme":  {"POST", "", `{"origins": ["a.example"]}`, 400, "invalid_field", "origins[0]"},
		"no such policy":            {"POST", "", `{"ip_policy": "keep"}`, 400, "invalid_field", "ip_policy"},
		"a name that is too long":   {"POST", "", `{"name": "` + strings.Repeat("x", 201) + `"}`, 400, "invalid_field", "name"},
		"a misspelt setting":        {"POST", "", `{"timezon": "UTC"}`, 400, "invalid_field", "timezon"},
		"the wrong type":            {"POST", "", `{"name": 3}`, 400, "invalid_field", "name"},
		"not JSON":                  {"POST", "", `{`, 400, "invalid_json", ""},
		"two bodies":                {"POST", "", `{} {}`, 400, "invalid_json", ""},
		"another id":                {"PATCH", "/shop", `{"id": "shop2"}`, 400, "invalid_field", "id"},
		"a project that is none":    {"PATCH", "/none", `{}`, 404, "unknown_project", ""},
		"to look at one of none":    {"GET", "/none", ``, 404, "unknown_project", ""},
		"a key of no kind":          {"POST", "/shop/keys", `{}`, 400, "invalid_field", "kind"},
		"a key for no project":      {"POST", "/none/keys", `{"kind": "read"}`, 404, "unknown_project", ""},
		"a key that is none":        {"DELETE", "/shop/keys/none", ``, 404, "unknown_key", ""},
		"a page that is too long":   {"GET", "/shop/dead-letters?limit=1001", ``, 400, "invalid_field", "limit"},
		"dead letters of nobody":    {"GET", "/none/dead-letters", ``, 404, "unknown_project", ""},
		"replay of nobody's":        {"POST", "/none/dead-letters/replay", `{}`, 404, "unknown_project", ""},
		"discard of nobody's":       {"POST", "/none/dead-letters/discard", `{"all": true, "reason": "x"}`, 404, "unknown_project", ""},
		"a list by nothing known":   {"GET", "/shop/dead-letters?reasn=x", ``, 400, "invalid_field", "reasn"},
		"letters from no moment":    {"GET", "/shop/dead-letters?from=tomorrow", ``, 400, "invalid_field", "from"},
		"letters of no time":        {"GET", "/shop/dead-letters?from=2026-02-01&to=2026-01-31", ``, 400, "invalid_field", "from"},
		"an unknown letter":         {"GET", "/shop/dead-letters/b%2F1", ``, 404, "unknown_dead_letter", ""},
		"a letter of nobody's":      {"GET", "/none/dead-letters/b%2F1", ``, 404, "unknown_project", ""},
		"replay of an unknown one":  {"POST", "/shop/replay", `{"ids": ["b/1"]}`, 404, "unknown_dead_letter", ""},
		"replay by a wrong filter":  {"POST", "/shop/replay", `{"filter": {"reason": "x"}}`, 404, "no_dead_letters", ""},
		"replay by no filter":       {"POST", "/shop/replay", `{"filter": {}}`, 400, "invalid_field", "filter"},
		"replay of some and all":    {"POST", "/shop/replay", `{"ids": ["b/1"], "all": true}`, 400, "invalid_field", "ids"},
		"replay up to no moment":    {"POST", "/shop/replay", `{"filter": {"to": "2026-13-01"}}`, 400, "invalid_field", "to"},
		"a discard of nothing":      {"POST", "/shop/discard", `{"reason": "x"}`, 400, "invalid_field", "ids"},
		"a discard for nothing":     {"POST", "/shop/discard", `{"all": true, "reason": "  "}`, 400, "invalid_field", "reason"},
		"a discard for too much":    {"POST", "/shop/discard", `{"all": true, "reason": "` + strings.Repeat("x", 501) + `"}`, 400, "invalid_field", "reason"},
		"a discard by too many":     {"POST", "/shop/discard", `{"all": true, "reason": "x", "by": "` + strings.Repeat("x", 201) + `"}`, 400, "invalid_field", "by"},
		"a log that is too long":    {"GET", "/shop/discards?limit=0", ``, 400, "invalid_field", "limit"},
		"a log of nobody's":         {"GET", "/none/discards", ``, 404, "unknown_project", ""},
		"a method that is not here": {"PUT", "/shop", `{}`, 405, "method_not_allowed", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s.t = t
			answer := s.do(tt.method, adminKey, projects+tt.path, tt.body)
			code, _ := answer.json("error.code").(string)
			field, _ := answer.json("error.field").(string)
			if answer.status != tt.status || code != tt.code || field != tt.field {
				t.Errorf("got %d %q %q (%s), want %d %q %q", answer.status, code, field, answer.body, tt.status, tt.code, tt.field)
			}
		})
	}
}

func TestKeysMadeAtTheSameTimeAllStay(t *testing.T) {
	s := start(t)
	const n = 8
	secrets := make([]string, n)
	var all sync.WaitGroup
	for i := range secrets {
		all.Go(func() {
			// A change may lose against others again and again, and then says 409.
			for made := (answer{status: http.StatusConflict}); made.status == http.StatusConflict; {
				made = s.post(adminKey, projects+"/shop/keys", `{"kind": "read"}`)
				var key struct{ Key string }
				_ = json.Unmarshal(made.body, &key)
				secrets[i] = key.Key
			}
		})
	}
	all.Wait()
	for _, secret := range secrets {
		s.get(secret, "stats/events").ok()
	}
}
