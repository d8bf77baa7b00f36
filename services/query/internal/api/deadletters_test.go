package api_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/store"
)

const shopLetters = projects + "/shop/dead-letters"

// line is an event of the shop as it travels.
func line(id, kind string) string {
	e := event.Event{Project: "shop", EventID: id, EventType: kind, EventName: kind, UserID: "ann", Timestamp: event.TimeOf(noon), ReceivedAt: event.TimeOf(noon)}
	return string(e.AppendWire(nil))
}

// message is one of the shop's as it travels.
func message(batch string, lines ...string) string {
	header := event.Header{Version: event.Version, BatchID: batch, Events: len(lines), Sources: []event.Source{{Project: "shop", Key: "k1", Hour: 494_000, Events: len(lines)}}}
	return string(event.AppendHeader(nil, header)) + strings.Join(lines, "\n") + "\n"
}

// undeliverable puts letters of every sort into the store, a day apart.
func (s *service) undeliverable() {
	s.t.Helper()
	letters := []store.DeadLetter{
		{ID: "a/-1", BatchID: "a", Position: -1, Reason: "message version 9 is newer", Payload: []byte(message("a", line("1", "click"), line("2", "scroll")))},
		{ID: "b/0", BatchID: "b", Position: 0, Reason: "panic while storing: index out of range", Payload: []byte(line("3", "click")), Key: "k1", Hour: 494_001},
		{ID: "c/0", BatchID: "c", Position: 0, Reason: "unexpected end", Payload: []byte(`{"project":"shop","event_id":"4","event_type":"click","user`)},
		{ID: "c/1", BatchID: "c", Position: 1, Reason: "unexpected \xff", Payload: []byte("\xff\xfe")},
		{ID: "d/0", BatchID: "d", Position: 0, Reason: "timestamp is missing", Payload: []byte(`{"project":"shop","event_id":"5","event_type":"search"}`)},
		{ID: "e/0", Project: "blog", BatchID: "e", Position: 0, Reason: "unexpected end", Payload: []byte(`{`)},
	}
	for i := range letters {
		l := &letters[i]
		if l.Project == "" {
			l.Project = "shop"
		}
		l.Reason = strings.ToValidUTF8(l.Reason, "?")
		l.Attempts, l.FirstSeen = 1, event.TimeOf(noon.AddDate(0, 0, i-5))
	}
	if err := s.store.PutDeadLetters(s.t.Context(), letters); err != nil {
		s.t.Fatal(err)
	}
}

// ids are those of a page.
func (a answer) ids(list string) (ids []string) {
	a.t.Helper()
	for _, entry := range a.ok().json(list).([]any) {
		ids = append(ids, entry.(map[string]any)["id"].(string))
	}
	return ids
}

func TestDeadLettersAreFoundByWhatTheyAre(t *testing.T) {
	s := start(t)
	s.undeliverable()
	for _, tt := range []struct {
		filter []string
		want   string
	}{
		{nil, "a/-1 b/0 c/0 c/1 d/0"},
		{[]string{"reason", "unexpected"}, "c/0 c/1"},
		{[]string{"from", "2026-06-13"}, "c/1 d/0"},
		{[]string{"to", "2026-06-11"}, "a/-1 b/0"},
		{[]string{"from", "2026-06-11T12:00:00Z", "to", fmt.Sprint(int64(event.TimeOf(noon.AddDate(0, 0, -3))))}, "b/0 c/0"},
		{[]string{"event_type", "click"}, "a/-1 b/0 c/0"}, // in a broken line too
		{[]string{"event_type", "scroll"}, "a/-1"},
		{[]string{"event_type", "clic"}, ""},
		{[]string{"text", `"event_id":"3"`}, "b/0"},
		{[]string{"text", "click", "reason", "panic"}, "b/0"},
		{[]string{"text", "nowhere"}, ""},
		{[]string{"cursor", "b/0", "limit", "2"}, "c/0 c/1"},
	} {
		if got := strings.Join(s.get(adminKey, shopLetters, tt.filter...).ids("dead_letters"), " "); got != tt.want {
			t.Errorf("%v: got %q, want %q", tt.filter, got, tt.want)
		}
	}
	if got := s.get(adminKey, projects+"/*/dead-letters").ids("dead_letters"); len(got) != 6 {
		t.Errorf("of all projects: got %v, want six", got)
	}
	var paged []string
	for cursor := ""; ; {
		page := s.get(adminKey, shopLetters, "event_type", "click", "limit", "1", "cursor", cursor)
		paged = append(paged, page.ids("dead_letters")...)
		next, more := page.json("next_cursor").(string)
		if !more {
			break
		}
		cursor = next
	}
	if want := []string{"a/-1", "b/0", "c/0"}; !slices.Equal(paged, want) {
		t.Errorf("page by page: got %v, want %v", paged, want)
	}
}

func TestADeadLetterIsShownAsItCame(t *testing.T) {
	s := start(t)
	s.undeliverable()
	open := func(id string) answer {
		t.Helper()
		return s.get(adminKey, shopLetters+"/"+url.PathEscape(id)).ok()
	}
	a := open("a/-1")
	a.has("header.version", "1")
	a.has("header.sources.0.key", `"k1"`)
	a.has("events.1.event_type", `"scroll"`)
	a.has("unreadable", "null")
	a.has("payload_base64", "null")
	if got := a.json("payload"); got != message("a", line("1", "click"), line("2", "scroll")) {
		t.Errorf("got the payload %q", got)
	}
	b := open("b/0")
	b.has("header", "null")
	b.has("events.0.event_id", `"3"`)
	b.has("key", `"k1"`)
	b.has("hour", fmt.Sprintf("%q", event.TimeOfHour(494_001)))
	c := open("c/1")
	c.has("events", "[]")
	c.has("payload_base64", fmt.Sprintf("%q", base64.StdEncoding.EncodeToString([]byte("\xff\xfe"))))
	if why, _ := c.json("unreadable").(string); why == "" {
		t.Errorf("nothing says why it cannot be read: %s", c.body)
	}
	if got := s.get(adminKey, projects+"/blog/dead-letters/b%2F0"); got.status != http.StatusNotFound {
		t.Errorf("another project's letter: got %d, want 404", got.status)
	}
	s.get(adminKey, projects+"/*/dead-letters/b%2F0").ok()

	long := store.DeadLetter{ID: "z/0", Project: "shop", BatchID: "z", Payload: []byte(strings.Repeat("é", 5000)), FirstSeen: 1}
	if err := s.store.PutDeadLetters(t.Context(), []store.DeadLetter{long}); err != nil {
		t.Fatal(err)
	}
	listed := s.get(adminKey, shopLetters, "cursor", "d/0")
	listed.has("dead_letters.0.payload", fmt.Sprintf("%q", strings.Repeat("é", 2048)))
	listed.has("dead_letters.0.payload_bytes", "10000")
	if got := open("z/0").json("payload"); got != string(long.Payload) {
		t.Error("a long one is not shown whole")
	}
}

func TestAReplayDoesWhatItsDryRunSays(t *testing.T) {
	s := start(t)
	s.undeliverable()
	s.send("shop", event.Event{EventID: "2", EventType: "scroll", Timestamp: at("10:00:00")})
	for _, selection := range []string{``, `"filter": {"to": "2026-06-15"}, `, `"ids": ["a/-1", "b/0", "c/0", "c/1", "d/0", "b/0"], `, `"all": true, `} {
		dry := s.post(adminKey, shopLetters+"/replay", "{"+selection+`"dry_run": true}`)
		for name, want := range map[string]string{"replayed": "2", "stored": "2", "duplicates": "1", "kept": "3", "failed.2.reason": `"timestamp is missing"`, "dry_run": "true"} {
			dry.ok().has(name, want)
		}
	}
	done := s.post(adminKey, shopLetters+"/replay", `{"filter": {"event_type": "click"}}`).ok()
	for name, want := range map[string]string{"replayed": "2", "stored": "2", "duplicates": "1", "kept": "1", "failed.0.id": `"c/0"`, "dry_run": "false"} {
		done.has(name, want)
	}
	if got := s.get(adminKey, shopLetters).ids("dead_letters"); !slices.Equal(got, []string{"c/0", "c/1", "d/0"}) {
		t.Errorf("left are %v", got)
	}
	for _, id := range []string{"1", "3"} {
		if e, err := s.store.Event(t.Context(), "shop", id); err != nil || e.EventType != "click" {
			t.Errorf("event %s: got %+v, %v", id, e, err)
		}
	}
	again := s.post(adminKey, shopLetters+"/replay", `{"ids": ["b/0", "c/0"]}`)
	if message, _ := again.json("error.message").(string); again.status != http.StatusNotFound || !strings.Contains(message, "b/0") || strings.Contains(message, "c/0") {
		t.Errorf("got %d %s, want 404 that names the letter that is gone", again.status, again.body)
	}
	none := s.post(adminKey, shopLetters+"/replay", `{"filter": {"reason": "moon"}}`)
	if message, _ := none.json("error.message").(string); none.status != http.StatusNotFound || !strings.Contains(message, "timestamp is missing") {
		t.Errorf("got %d %s, want 404 that names the reasons that there are", none.status, none.body)
	}
}

func TestADiscardIsKeptInMind(t *testing.T) {
	s := start(t)
	s.undeliverable()
	const discards = projects + "/shop/discards"
	s.post(adminKey, shopLetters+"/discard", `{"all": true, "reason": "try", "dry_run": true}`).ok().has("discarded", "5")
	if bad := s.post(adminKey, shopLetters+"/discard", `{"ids": ["c/1", "e/0"], "reason": "not all ours"}`); bad.status != http.StatusNotFound {
		t.Errorf("another project's letter: got %d, want 404", bad.status)
	}
	if got := s.get(adminKey, shopLetters).ids("dead_letters"); len(got) != 5 {
		t.Errorf("left are %v, want all five", got)
	}
	s.get(adminKey, discards).ok().has("discards", "[]")

	s.post(adminKey, shopLetters+"/discard", `{"ids": ["c/1"], "reason": " a scanner's noise ", "by": "ann"}`).ok().has("discarded", "1")
	s.now = s.now.AddDate(0, 0, 1)
	s.post(adminKey, shopLetters+"/discard", `{"filter": {"reason": "unexpected"}, "reason": "cut off"}`).ok().has("discarded", "1")
	if got := s.get(adminKey, shopLetters).ids("dead_letters"); !slices.Equal(got, []string{"a/-1", "b/0", "d/0"}) {
		t.Errorf("left are %v", got)
	}
	log := s.get(adminKey, discards, "limit", "1").ok()
	for name, want := range map[string]string{
		"id": `"c/1"`, "project": `"shop"`, "batch_id": `"c"`, "position": "1", "first_seen": `"2026-06-13T12:00:00.000Z"`,
		"discarded_at": `"2026-06-15T12:00:00.000Z"`, "by": `"ann"`, "address": `"127.0.0.1"`, "reason": `"a scanner's noise"`,
	} {
		log.has("discards.0."+name, want)
	}
	rest := s.get(adminKey, discards, "cursor", log.json("next_cursor").(string)).ok()
	rest.has("discards.0.id", `"c/0"`)
	rest.has("discards.0.reason", `"cut off"`)
	rest.has("next_cursor", "null")
	s.get(adminKey, projects+"/blog/discards").ok().has("discards", "[]")
	if got := s.get(adminKey, projects+"/*/discards").ids("discards"); len(got) != 2 {
		t.Errorf("of all projects: got %v, want two", got)
	}
	if text := string(log.body) + string(rest.body); strings.Contains(text, "event_id") || strings.Contains(text, "unexpected") {
		t.Errorf("the log holds something of the letters: %s", text)
	}
}
