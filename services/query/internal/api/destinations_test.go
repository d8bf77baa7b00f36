package api_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/maidian/maidian/pkg/destination"
	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/secret"
	"github.com/maidian/maidian/pkg/store"
)

const (
	destinations = projects + "/shop/destinations"
	aWebhook     = `{"id":"hook","type":"webhook","settings":{"url":"https://example.com/in","secrets":[{"env":"CREDENTIAL_HOOK"}]},"sample":0.5}`
)

func TestADestinationIsMadeChangedAndDeleted(t *testing.T) {
	s := start(t)
	if made := s.post(adminKey, destinations, aWebhook).ok(); made.status != http.StatusCreated {
		t.Errorf("got %d, want 201", made.status)
	}
	s.post(adminKey, destinations, aWebhook).fails(http.StatusConflict, "changed_or_taken", "")
	s.do(http.MethodPut, adminKey, destinations+"/hook", strings.Replace(aWebhook, "0.5", "1", 1)).ok().has("definition.sample", "1")
	s.do(http.MethodPut, adminKey, destinations+"/other", aWebhook).fails(http.StatusBadRequest, "invalid_field", "id")
	s.get(adminKey, destinations).ok().has("destinations.0.definition.id", `"hook"`)
	s.get(adminKey, destinations+"/hook").ok().has("definition.settings.secrets", `[{"env":"CREDENTIAL_HOOK"}]`)
	s.do(http.MethodDelete, adminKey, destinations+"/hook", "").ok()
	s.get(adminKey, destinations+"/hook").fails(http.StatusNotFound, "unknown_destination", "")
}

func TestWrongDestinations(t *testing.T) {
	s := start(t)
	tests := map[string]struct{ body, field string }{
		"no id":              {`{"type":"webhook","settings":{}}`, "id"},
		"an unknown type":    {`{"id":"a","type":"telepathy","settings":{}}`, "type"},
		"no settings":        {`{"id":"a","type":"webhook"}`, "settings"},
		"a misspelt setting": {`{"id":"a","type":"webhook","settings":{"url":"https://a.example","secrets":["s"],"bach":5}}`, "settings.bach"},
		"no address":         {`{"id":"a","type":"webhook","settings":{"secrets":["s"]}}`, "settings.url"},
		"another variable":   {`{"id":"a","type":"webhook","settings":{"url":"https://a.example","secrets":[{"env":"MONGODB_URI"}]}}`, "settings.secrets"},
		"too large a sample": {`{"id":"a","type":"files","settings":{},"sample":2}`, "sample"},
		"no event without":   {`{"id":"a","type":"files","settings":{},"remove":["event_id"]}`, "remove"},
		"two of one name":    {`{"id":"a","type":"files","settings":{},"rename":{"user_id":"event_id"}}`, "rename"},
		"out of its folder":  {`{"id":"a","type":"files","settings":{"prefix":"../x"}}`, "settings.prefix"},
		"no table":           {`{"id":"a","type":"clickhouse","settings":{"url":"http://ch:8123","table":"a; DROP"}}`, "settings.table"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s.t = t
			s.post(adminKey, destinations, tt.body).fails(http.StatusBadRequest, "invalid_field", tt.field)
		})
	}
	s.t = t
	s.post(adminKey, destinations, `{"id":"a","type":"webhook","settings":{"url":"https://a.example","secrets":["in clear"]}}`).fails(http.StatusBadRequest, "no_secret_key", "")
}

func TestSecretsOfDestinationsAreSealed(t *testing.T) {
	s := start(t)
	keys, err := secret.Open(secret.Config{Keys: []string{"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}})
	if err != nil {
		t.Fatal(err)
	}
	s.admin.SealWith(keys)
	inClear := strings.Replace(aWebhook, `{"env":"CREDENTIAL_HOOK"}`, `"in clear"`, 1)
	s.post(adminKey, destinations, inClear).ok().has("definition.settings.secrets", `[{"set":true}]`)
	kept := func() string {
		r, err := s.store.Record(t.Context(), destination.Kind, "shop", "hook")
		if err != nil {
			t.Fatal(err)
		}
		var wanted struct {
			Definition struct {
				Settings struct{ Secrets []secret.Value }
			}
		}
		if err := json.Unmarshal(r.Data, &wanted); err != nil || strings.Contains(string(r.Data), "in clear") {
			t.Errorf("%v: the store has %s", err, r.Data)
		}
		text, err := keys.Reveal(destination.Owner("shop", "hook", "secrets"), wanted.Definition.Settings.Secrets[0])
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	if got := kept(); got != "in clear" {
		t.Errorf("got %q", got)
	}
	again := strings.Replace(aWebhook, `{"env":"CREDENTIAL_HOOK"}`, `{"set":true}`, 1)
	s.do(http.MethodPut, adminKey, destinations+"/hook", again).ok()
	if got := kept(); got != "in clear" {
		t.Errorf("kept: got %q", got)
	}
	s.do(http.MethodPut, adminKey, destinations+"/new", strings.Replace(again, `"hook"`, `"new"`, 1)).fails(http.StatusBadRequest, "invalid_field", "settings.secrets")
}

func TestWhatWasStoredIsSentOnceMore(t *testing.T) {
	s := start(t)
	s.post(adminKey, destinations, aWebhook).ok()
	s.post(adminKey, destinations+"/hook/replay", `{"from":"2026-06-01","to":"2026-06-02"}`).ok().has("backfills.0.to", `"2026-06-02T23:59:59.999Z"`)
	s.post(adminKey, destinations+"/hook/replay", `{"from":"2026-06-01","to":"2030-01-01"}`).ok().has("backfills.1.to", `"2026-06-15T12:00:00.000Z"`)
	s.post(adminKey, destinations+"/hook/replay", `{"from":"2026-06-03"}`).ok()
	r, err := s.store.Record(t.Context(), destination.Kind, "shop", "hook")
	if err != nil {
		t.Fatal(err)
	}
	var wanted destination.Record
	if err := json.Unmarshal(r.Data, &wanted); err != nil || event.Time(wanted.Start.At).String() != "2026-06-03T00:00:00.000Z" || len(wanted.Backfills) != 2 {
		t.Errorf("got %+v, %v", wanted, err)
	}
	s.post(adminKey, destinations+"/hook/replay", `{}`).fails(http.StatusBadRequest, "invalid_field", "from")
	s.post(adminKey, destinations+"/hook/replay", `{"from":"2026-06-03","to":"2026-06-01"}`).fails(http.StatusBadRequest, "invalid_field", "to")
}

func TestADestinationTellsHowFarItIs(t *testing.T) {
	s := start(t)
	s.post(adminKey, destinations, strings.Replace(aWebhook, `"sample"`, `"from":"beginning","sample"`, 1)).ok()
	if err := s.store.RecordBatches(t.Context(), []store.Batch{{ID: "b", Project: "shop", WrittenAt: event.TimeOf(noon) - 5000, Stored: 1}}); err != nil {
		t.Fatal(err)
	}
	s.get(adminKey, destinations+"/hook").ok().has("progress.lag_seconds", "5")
	for _, r := range []store.Record{
		{Kind: destination.LetterKind, Project: "shop", ID: "hook/e1", Data: []byte(`{"event_id":"e1","batch_id":"b","destination":"hook","reason":"answered 400: no","at":1781524800000}`)},
		{Kind: destination.LetterKind, Project: "shop", ID: "hook2/e2", Data: []byte(`{"event_id":"e2"}`)},
	} {
		if err := s.store.CreateRecord(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	page := s.get(adminKey, destinations+"/hook/letters").ok()
	page.has("letters.0.reason", `"answered 400: no"`)
	if list := page.json("letters").([]any); len(list) != 1 {
		t.Errorf("got %v, want the letter of this destination alone", list)
	}
	s.do(http.MethodDelete, adminKey, destinations+"/hook", "").ok()
	if left, err := s.store.Records(t.Context(), destination.LetterKind, "shop", "", 10); err != nil || len(left) != 1 {
		t.Errorf("got %v, %v, want the other's letter alone", left, err)
	}
}

// fails wants an error.
func (a answer) fails(status int, code, field string) {
	a.t.Helper()
	var said struct {
		Error struct{ Code, Field string }
	}
	if err := json.Unmarshal(a.body, &said); err != nil || a.status != status || said.Error.Code != code || said.Error.Field != field {
		a.t.Errorf("got %d %s, want %d %s about %q", a.status, a.body, status, code, field)
	}
}
