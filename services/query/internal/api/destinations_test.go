package api_test

import (
	"encoding/json"
	"fmt"
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
	s.get(adminKey, destinations+"/hook").ok().has("progress.lag_seconds", "5").has("progress.lag_entries", "1")
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

// state writes what a consumer says of how far the destination is.
func (s *service) state(id string, state destination.State) {
	s.t.Helper()
	r := store.Record{Kind: destination.StateKind, Project: "shop", ID: id}
	if old, err := s.store.Record(s.t.Context(), r.Kind, r.Project, r.ID); err == nil {
		r = *old
	} else if err := s.store.CreateRecord(s.t.Context(), r); err != nil {
		s.t.Fatal(err)
	}
	var err error
	if r.Data, err = json.Marshal(state); err == nil {
		err = s.store.UpdateRecord(s.t.Context(), r)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// wanted is what the consumer reads of the destination.
func (s *service) wanted() (w destination.Record, revision int64) {
	s.t.Helper()
	r, err := s.store.Record(s.t.Context(), destination.Kind, "shop", "hook")
	if err == nil {
		err = json.Unmarshal(r.Data, &w)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return w, r.Revision
}

// TestWhatWaitsIsCounted has a destination that was away for long: behind thousands
// of entries of another project, and with a consumer that counts, and without.
func TestWhatWaitsIsCounted(t *testing.T) {
	s := start(t)
	s.post(adminKey, destinations, strings.Replace(aWebhook, `"sample"`, `"from":"beginning","sample"`, 1)).ok()
	week := event.TimeOf(noon) - 7*24*3600*1000
	entries := []store.Batch{{ID: "z", Project: "shop", WrittenAt: week + 60_000, Stored: 3}, {ID: "zz", Project: "shop", WrittenAt: week + 60_002, Stored: 4}}
	for i := range 5000 {
		entries = append(entries, store.Batch{ID: fmt.Sprint("other-", i), Project: "other", WrittenAt: week + event.Time(i), Stored: 1})
	}
	if err := s.store.RecordBatches(t.Context(), entries); err != nil {
		t.Fatal(err)
	}
	s.get(adminKey, destinations+"/hook").ok().has("progress.lag_seconds", fmt.Sprint(7*24*3600-60)).
		has("progress.lag_entries", "2").has("progress.lag_events", "7").has("progress.lag_at_least", "false")

	wanted, _ := s.wanted()
	counting := destination.State{
		Start: wanted.Start.ID, SavedAt: event.TimeOf(noon).Std().UnixMilli() - 3000, WaitingAt: int64(event.TimeOf(noon) - 90_000),
		Backlog: destination.Backlog{Entries: 70, Events: 900, CountedTo: 5},
	}
	s.state("hook", counting)
	s.get(adminKey, destinations+"/hook").ok().has("progress.lag_seconds", "90").
		has("progress.lag_entries", "70").has("progress.lag_events", "900").has("progress.lag_at_least", "true")
	counting.SavedAt, counting.StoredAt = counting.SavedAt-10*60*1000, int64(week+60_000)
	s.state("hook", counting)
	s.get(adminKey, destinations+"/hook").ok().has("progress.lag_entries", "1").has("progress.lag_events", "4")
}

func TestAPausedDestinationSaysSoAndIsResumed(t *testing.T) {
	s := start(t)
	s.post(adminKey, destinations, aWebhook).ok().has("progress.paused", "null")
	wanted, revision := s.wanted()
	s.state("hook", destination.State{Start: wanted.Start.ID, Paused: &destination.Pause{Revision: revision, Reason: "no such column", At: 1}})
	s.get(adminKey, destinations+"/hook").ok().has("progress.paused.reason", `"no such column"`)
	s.post(adminKey, destinations+"/hook/resume", "").ok()
	if _, now := s.wanted(); now == revision {
		t.Error("the consumer cannot see that it was resumed: the record is as it was")
	}
	s.post(adminKey, destinations+"/none/resume", "").fails(http.StatusNotFound, "unknown_destination", "")
}

func TestLettersAreSentAgainAndDiscarded(t *testing.T) {
	s := start(t)
	s.post(adminKey, destinations, aWebhook).ok()
	s.post(adminKey, destinations, strings.Replace(aWebhook, `"hook"`, `"hook2"`, 1)).ok()
	for _, id := range []string{"hook/e1", "hook/e2", "hook/e3", "hook2/e1"} {
		if err := s.store.CreateRecord(t.Context(), store.Record{Kind: destination.LetterKind, Project: "shop", ID: id, Data: []byte(`{}`)}); err != nil {
			t.Fatal(err)
		}
	}
	path := destinations + "/hook/letters/"
	s.post(adminKey, path+"resend", `{"event_ids":["e1","e2"]}`).ok().has("resends.0.events", "2").has("resends.0.done", "false")
	s.post(adminKey, path+"resend", `{"all":true}`).ok().has("resends.1.events", "0")
	wanted, _ := s.wanted()
	if first := wanted.Resends[0]; len(first.Events) != 2 || first.Until != int64(event.TimeOf(noon)) {
		t.Errorf("got %+v", first)
	}
	s.state("hook/"+wanted.Resends[0].ID, destination.State{Done: true})
	s.post(adminKey, path+"resend", `{"all":true}`).ok()
	if now, _ := s.wanted(); len(now.Resends) != 2 || now.Resends[0].ID != wanted.Resends[1].ID {
		t.Errorf("what is done stays: %+v", now.Resends)
	}
	if _, err := s.store.Record(t.Context(), destination.StateKind, "shop", "hook/"+wanted.Resends[0].ID); err == nil {
		t.Error("the state of a resend that is done stays for ever")
	}
	for _, body := range []string{`{}`, `{"event_ids":[]}`, `{"event_ids":["e1"],"all":true}`, `{"event_ids":[7]}`} {
		s.post(adminKey, path+"discard", body).fails(http.StatusBadRequest, "invalid_field", "event_ids")
	}
	s.post(adminKey, path+"discard", `{"event_ids":["e1","e9"]}`).ok().has("discarded", "1")
	s.post(adminKey, path+"discard", `{"all":true}`).ok().has("discarded", "2")
	if left, err := s.store.Records(t.Context(), destination.LetterKind, "shop", "", 10); err != nil || len(left) != 1 {
		t.Errorf("got %v, %v, want the letter of the other destination", left, err)
	}
}
