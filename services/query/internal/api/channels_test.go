package api_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/maidian/maidian/pkg/notice"
)

const slack = `{"id": "ops", "type": "slack", "language": "zh", "secrets": {"url": {"env": "CREDENTIAL_SLACK"}}}`

func TestChannelsAreManaged(t *testing.T) {
	s := start(t)
	made := s.post(adminKey, projects+"/shop/channels", slack).ok()
	made.has("secrets.url", `[{"env":"CREDENTIAL_SLACK"}]`)
	if made.status != http.StatusCreated {
		t.Errorf("got %d, want 201", made.status)
	}
	s.get(adminKey, projects+"/shop/channels").ok().has("channels.0.language", `"zh"`)
	s.get(adminKey, projects+"/blog/channels").ok().has("channels", `[]`)

	put := projects + "/shop/channels/ops"
	s.do(http.MethodPut, adminKey, put, `{"id": "ops", "name": "Ops", "type": "slack", "secrets": {"url": {"set": true}}}`).ok().has("secrets.url", `[{"env":"CREDENTIAL_SLACK"}]`)
	s.get(adminKey, put).ok().has("name", `"Ops"`)
	s.do(http.MethodDelete, adminKey, put, "").ok()
	if gone := s.get(adminKey, put); gone.status != http.StatusNotFound {
		t.Errorf("got %d after its deletion", gone.status)
	}
}

// TestAKeptSecretStaysWhereItIs has somebody send a channel's secret to a server of his own.
func TestAKeptSecretStaysWhereItIs(t *testing.T) {
	s := start(t)
	hook := func(to string) string {
		return `{"id": "hook", "type": "webhook", "settings": {"url": "` + to + `"}, "secrets": {"secret": {"set": true}}}`
	}
	s.post(adminKey, projects+"/shop/channels", strings.Replace(hook("https://a.example/h"), `{"set": true}`, `{"file": "hook"}`, 1)).ok()
	s.do(http.MethodPut, adminKey, projects+"/shop/channels/hook", hook("https://a.example/h")).ok()
	moved := s.do(http.MethodPut, adminKey, projects+"/shop/channels/hook", hook("https://b.example/h"))
	if field, _ := moved.json("error.field").(string); moved.status != http.StatusBadRequest || field != "secrets.secret" {
		t.Errorf("got %d %s, want it refused", moved.status, moved.body)
	}
}

func TestAChannelIsTriedAndWhatIsGivenUpIsSentAgain(t *testing.T) {
	s := start(t)
	s.post(adminKey, projects+"/shop/channels", slack).ok()
	tried := s.post(adminKey, projects+"/shop/channels/ops/test", "").ok()
	tried.has("state", `"waiting"`)
	id, _ := tried.json("id").(string)
	at := projects + "/shop/notices/" + url.PathEscape(id)
	s.get(adminKey, at).ok().has("test", `true`)

	r, err := s.store.Record(t.Context(), notice.Kind, "shop", id)
	if err != nil || r.Due == 0 {
		t.Fatalf("got %v, %v, want it due", r, err)
	}
	if busy := s.post(adminKey, at+"/retry", ""); busy.status != http.StatusConflict {
		t.Errorf("got %d for one that was not given up", busy.status)
	}
	n, err := notice.Of(r)
	if err != nil {
		t.Fatal(err)
	}
	n.State, n.LastError = notice.GivenUp, "no_service"
	up, err := n.Record(0, r.Revision)
	if err == nil {
		err = s.store.UpdateRecord(t.Context(), up)
	}
	if err != nil {
		t.Fatal(err)
	}
	s.get(adminKey, projects+"/shop/notices?state=given_up").ok().has("notices.0.last_error", `"no_service"`)
	s.get(adminKey, projects+"/shop/notices?state=delivered").ok().has("notices", `[]`)
	s.post(adminKey, at+"/retry", "").ok().has("state", `"waiting"`)
}

func TestNoticesArePaged(t *testing.T) {
	s := start(t)
	s.post(adminKey, projects+"/shop/channels", slack).ok()
	for range 3 {
		s.post(adminKey, projects+"/shop/channels/ops/test", "").ok()
	}
	seen := map[any]bool{}
	for cursor := ""; ; {
		page := s.get(adminKey, projects+"/shop/notices?limit=1&cursor="+url.QueryEscape(cursor)).ok()
		for _, n := range page.json("notices").([]any) {
			seen[n.(map[string]any)["id"]] = true
		}
		next, more := page.json("next_cursor").(string)
		if !more {
			break
		}
		cursor = next
	}
	if len(seen) != 3 {
		t.Errorf("got %d notices on all pages, want 3", len(seen))
	}
}

func TestSilencesAreManaged(t *testing.T) {
	s := start(t)
	made := s.post(adminKey, projects+"/shop/silences", `{"rules": ["slow"], "from": "2026-06-16", "to": "2026-06-16", "reason": "stocktaking"}`).ok()
	made.has("from", `"2026-06-16T00:00:00.000Z"`)
	made.has("to", `"2026-06-17T00:00:00.000Z"`)
	id, _ := made.json("id").(string)
	s.get(adminKey, projects+"/shop/silences").ok().has("silences.0.reason", `"stocktaking"`)
	if r, err := s.store.Record(t.Context(), notice.SilenceKind, "shop", id); err != nil || r.Due.String() != "2026-06-17T00:00:00.000Z" {
		t.Errorf("got %v, %v, want it due at its end", r, err)
	}
	named := projects + "/shop/silences/night"
	s.do(http.MethodPut, adminKey, named, `{"id": "night", "from": "2026-06-16", "to": "2026-06-16"}`).ok()
	s.do(http.MethodPut, adminKey, named, `{"from": "2026-06-17", "to": "2026-06-17"}`).ok().has("id", `"night"`)
	s.do(http.MethodPut, adminKey, named, `{"id": "day", "to": "2026-06-17"}`).fails(http.StatusBadRequest, "invalid_field", "id")
	s.post(adminKey, projects+"/shop/silences", `{"id": "night", "to": "2026-06-17"}`).fails(http.StatusConflict, "changed_or_taken", "")
	s.do(http.MethodDelete, adminKey, named, "").ok()
	s.do(http.MethodDelete, adminKey, projects+"/shop/silences/"+id, "").ok()
	s.get(adminKey, projects+"/shop/silences").ok().has("silences", `[]`)
}

func TestWrongChannels(t *testing.T) {
	s := start(t)
	s.post(adminKey, projects+"/shop/channels", slack).ok()
	tests := map[string]struct {
		method, path, body string
		status             int
		code, field        string
	}{
		"one that is there":      {"POST", "/shop/channels", slack, 409, "changed_or_taken", ""},
		"no id":                  {"POST", "/shop/channels", `{"type": "slack", "secrets": {"url": {"file": "x"}}}`, 400, "invalid_field", "id"},
		"another id":             {"PUT", "/shop/channels/dev", slack, 400, "invalid_field", "id"},
		"a secret without a key": {"POST", "/shop/channels", `{"id": "x", "type": "slack", "secrets": {"url": "https://x"}}`, 400, "no_secret_key", "secrets.url"},
		"nothing to keep":        {"POST", "/shop/channels", `{"id": "x", "type": "slack", "secrets": {"url": {"set": true}}}`, 400, "invalid_field", "secrets.url"},
		"any variable":           {"POST", "/shop/channels", `{"id": "x", "type": "slack", "secrets": {"url": {"env": "MONGODB_URI"}}}`, 400, "invalid_field", "secrets.url"},
		"nobody's project":       {"POST", "/none/channels", slack, 404, "unknown_project", ""},
		"nobody's channels":      {"GET", "/none/channels", ``, 404, "unknown_project", ""},
		"to try none":            {"POST", "/shop/channels/none/test", ``, 404, "unknown_channel", ""},
		"another's":              {"GET", "/blog/channels/ops", ``, 404, "unknown_channel", ""},
		"no such state":          {"GET", "/shop/notices?state=lost", ``, 400, "invalid_field", "state"},
		"no such notice":         {"GET", "/shop/notices/x", ``, 404, "unknown_notice", ""},
		"an endless silence":     {"POST", "/shop/silences", `{}`, 400, "invalid_field", "to"},
		"no such silence":        {"DELETE", "/shop/silences/x", ``, 404, "unknown_silence", ""},
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
