// Package cases turns the shared cases, and a project's own ones in the same
// shape, into events to send, requests to ask and answers to expect. It knows
// the contract only, so the same cases run on a report and through HTTP.
package cases

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/testenv"
)

// Case is a history and what must be answered about it. Each wants a project of
// its own.
type Case struct {
	ID     string
	Title  string
	Events []Sent
	Asks   []Ask
	Skip   string // why it cannot be asked here; empty when it can
}

// Sent is an event as a client sends it.
type Sent struct {
	EventID    string          `json:"event_id"`
	EventType  string          `json:"event_type"`
	UserID     string          `json:"user_id"`
	Timestamp  string          `json:"timestamp"`
	PageURL    string          `json:"page_url,omitempty"`
	Properties json.RawMessage `json:"properties,omitempty"`
}

// Stored is the event as it is stored, but for what the server learns of its sender.
func (s Sent) Stored(project string) (event.Event, error) {
	at, err := time.Parse(time.RFC3339, s.Timestamp)
	if err != nil {
		return event.Event{}, fmt.Errorf("event %s: %w", s.EventID, err)
	}
	e := event.Event{
		Project: project, EventID: s.EventID, EventType: s.EventType, EventName: s.EventType, UserID: s.UserID,
		Timestamp: event.TimeOf(at), ReceivedAt: event.TimeOf(at), PageURL: s.PageURL, Properties: string(s.Properties),
	}
	if _, rest, ok := strings.Cut(s.PageURL, "://"); ok {
		host, path, _ := strings.Cut(rest, "/")
		e.PageHost, e.PagePath = host, "/"+path
	}
	return e, nil
}

// Ask is one request and what its answer must be.
type Ask struct {
	Route  string         // below /api/v1/analytics/, asked by POST
	Body   map[string]any // its JSON
	Status int            // 200 or 400
	Verify func(answer []byte) error
}

// JSON is the request's body.
func (a Ask) JSON() []byte {
	body, err := json.Marshal(a.Body)
	if err != nil {
		panic(err) // made of plain values
	}
	return body
}

// file is a case file: every kind's fields.
type file struct {
	Invalid struct {
		Cases []invalidCase `json:"cases"`
	} `json:"invalid_requests"`
	Fallback struct {
		Cases []fallbackCase `json:"cases"`
	} `json:"window_fallback"`
	Cases []json.RawMessage `json:"cases"`
}

// kinds says how the cases of each shared file are read.
var kinds = map[string]func(json.RawMessage) (Case, error){
	"funnel.json":                 funnel,
	"funnel_trends.json":          funnelTrend,
	"funnel_time_to_convert.json": timeToConvert,
	"funnel_window_funnel.json":   windowFunnel,
	"retention.json":              retention,
	"retention_people.json":       retentionUsers,
	"stickiness.json":             stickiness,
	"paths.json":                  paths,
}

// Files are the shared files that Load reads.
func Files() []string {
	return []string{
		"funnel.json", "funnel_trends.json", "funnel_time_to_convert.json", "funnel_window_funnel.json",
		"retention.json", "retention_people.json", "stickiness.json", "paths.json",
	}
}

// Load reads a shared file; where the shared cases are not given, the test is skipped.
func Load(t testing.TB, name string) []Case {
	t.Helper()
	return LoadFile(t, testenv.Cases(t, name), name)
}

// LoadFile reads a file of the same kind as the shared one of that name.
func LoadFile(t testing.TB, path, kind string) []Case {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var f file
	if err := json.Unmarshal(text, &f); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	var list []Case
	for _, raw := range f.Cases {
		c, err := kinds[kind](raw)
		if err != nil {
			t.Fatalf("%s: %v\n%s", path, err, raw)
		}
		list = append(list, c)
	}
	return append(append(list, invalidRequests(f.Invalid.Cases)...), fallbacks(f.Fallback.Cases)...)
}

// header is what every case has.
type header struct {
	ID         string       `json:"id"`
	Title      string       `json:"title"`
	Source     any          `json:"source"`
	Timestamps string       `json:"timestamps"`
	Note       string       `json:"note"`
	Events     []givenEvent `json:"events"`
}

type givenEvent struct {
	User       string          `json:"user"`
	Event      string          `json:"event"`
	TS         string          `json:"ts"`
	Properties json.RawMessage `json:"properties"`
}

func (h *header) newCase() Case {
	c := Case{ID: h.ID, Title: h.Title}
	for i, e := range h.Events {
		c.Events = append(c.Events, Sent{
			EventID: fmt.Sprintf("%s-%03d", h.ID, i), EventType: e.Event, UserID: e.User, Timestamp: e.TS, Properties: e.Properties,
		})
	}
	return c
}

// strictly reads a case and refuses fields that nobody maps, so that none is passed over in silence.
func strictly(raw json.RawMessage, into any) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	return d.Decode(into)
}

// span is the dates of a query.
type span struct {
	DateFrom string `json:"date_from"`
	DateTo   string `json:"date_to"`
	Timezone string `json:"timezone"`
}

// put sets the range; without dates it is that of the events.
func (s span) put(body map[string]any, events []givenEvent) {
	if s.Timezone != "" {
		body["timezone"] = s.Timezone
	}
	if s.DateFrom == "" && s.DateTo == "" {
		s.DateFrom, s.DateTo = "9999", ""
		for _, e := range events {
			s.DateFrom, s.DateTo = min(s.DateFrom, e.TS[:10]), max(s.DateTo, e.TS[:10])
		}
	}
	if s.DateFrom != "" {
		body["from"] = s.DateFrom
	}
	if s.DateTo != "" {
		body["to"] = s.DateTo
	}
}

// answer reads an answer into a value of the wanted shape.
func answer[T any](body []byte) (T, error) {
	var v T
	err := json.Unmarshal(body, &v)
	return v, err
}

// differ is an error that shows both, or nil when they are the same as JSON.
func differ(what string, got, want any) error {
	g, errG := json.Marshal(got)
	w, errW := json.Marshal(want)
	if errG != nil || errW != nil || !bytes.Equal(g, w) {
		return fmt.Errorf("%s: got %s, want %s", what, g, w)
	}
	return nil
}
