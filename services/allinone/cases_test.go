package allinone_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"testing"

	"github.com/maidian/maidian/pkg/testenv/cases"
	"github.com/maidian/maidian/services/allinone"
)

// Every shared case through the front doors: its events go in by the collector
// into a project of its own, its answer comes out of the query service.
func TestSharedCases(t *testing.T) {
	s := start(t, config(t))
	for _, name := range cases.Files() {
		t.Run(name, func(t *testing.T) {
			sent := sendCases(t, s, cases.Load(t, name))
			for _, c := range sent {
				t.Run(c.ID, func(t *testing.T) { c.ask(t, s) })
			}
		})
	}
}

// sentCase is a case whose events are in a project.
type sentCase struct {
	cases.Case
	readKey  string
	from, to string
}

// sendCases makes a project for each case, then sends their events.
func sendCases(t *testing.T, s *system, all []cases.Case) []sentCase {
	t.Helper()
	sent, keys := make([]sentCase, len(all)), make([]string, len(all))
	for i, c := range all {
		var project struct {
			WriteKey string `json:"write_key"`
			ReadKey  string `json:"read_key"`
		}
		if status := s.call(http.MethodPost, s.query+"/api/v1/admin/projects", allinone.DemoAdminKey, map[string]any{"name": c.ID}, &project); status >= 300 {
			t.Fatalf("make a project for %s: got %d", c.ID, status)
		}
		sent[i], keys[i] = sentCase{Case: c, readKey: project.ReadKey, from: "9999"}, project.WriteKey
	}
	for i := range sent {
		if c := &sent[i]; len(c.Events) > 0 && c.Skip == "" {
			s.send(keys[i], c.plain(t)...)
		}
	}
	return sent
}

// plain is the events as they are sent; on the way it finds their range.
func (c *sentCase) plain(t *testing.T) (events []map[string]any) {
	t.Helper()
	for _, e := range c.Events {
		c.from, c.to = min(c.from, e.Timestamp[:10]), max(c.to, e.Timestamp[:10])
		events = append(events, plain(t, e))
	}
	return events
}

func plain(t *testing.T, e cases.Sent) (out map[string]any) {
	t.Helper()
	text, err := json.Marshal(e)
	if err == nil {
		err = json.Unmarshal(text, &out)
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (c *sentCase) ask(t *testing.T, s *system) {
	if c.Skip != "" {
		t.Skip(c.Skip)
	}
	if len(c.Events) > 0 {
		s.visible(c.readKey, c.from, c.to, len(c.Events))
	}
	for _, a := range c.Asks {
		status, answer := post(t, s.query+"/api/v1/analytics/"+a.Route, c.readKey, a.JSON())
		switch {
		case status != a.Status:
			t.Errorf("%s %s: got %d %s, want %d", a.Route, a.JSON(), status, answer, a.Status)
		case status == http.StatusOK:
			if err := a.Verify(answer); err != nil {
				t.Errorf("%s\n%s %s\n%s\n%v", c.Title, a.Route, a.JSON(), answer, err)
			}
		}
	}
}

func post(t *testing.T, url, key string, body []byte) (int, []byte) {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Api-Key", key)
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, answer
}
