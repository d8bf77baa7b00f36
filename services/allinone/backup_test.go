package allinone_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/maidian/maidian/pkg/testenv"
	"github.com/maidian/maidian/services/allinone"
)

// TestARestoredStoreAnswersAsBefore fills a store, erases somebody, backs it
// up while it is in use, and asks a system on what was restored.
func TestARestoredStoreAnswersAsBefore(t *testing.T) {
	for name, fresh := range map[string]func(t *testing.T) *allinone.Config{
		"SQLite": func(t *testing.T) *allinone.Config { return config(t) },
		"MongoDB": func(t *testing.T) *allinone.Config {
			c := config(t)
			c.UseMongo, c.Mongo.URI, c.Mongo.Database = true, testenv.StartFerretDB(t).URI(), "maidian_test"
			return c
		},
	} {
		t.Run(name, func(t *testing.T) { restored(t, fresh) })
	}
}

func restored(t *testing.T, fresh func(t *testing.T) *allinone.Config) {
	c := fresh(t)
	s := start(t, c)
	var events []map[string]any
	for i := range 300 {
		n := strconv.Itoa(i)
		events = append(events, visit("e"+n, "user-"+strconv.Itoa(i%40), "2026-03-0"+strconv.Itoa(1+i%5)+"T10:00:00Z"))
	}
	events[7]["properties"] = map[string]any{"$odd": 1.5, "a.b": []any{1, []any{"x"}}}
	for at := 0; at < len(events); at += 50 {
		s.send(allinone.DemoWriteKey, events[at:at+50]...)
	}
	s.visible(allinone.DemoReadKey, "2026-03-01", "2026-03-05", 300)
	var job struct{ Job, State string }
	admin := s.query + "/api/v1/admin/projects/" + allinone.DemoProject
	if status := s.call(http.MethodPost, admin+"/erase", allinone.DemoAdminKey, map[string]any{"user_id": "user-3"}, &job); status != http.StatusAccepted {
		t.Fatalf("erase: got %d", status)
	}
	eventually(t, "the erasure to be done", func() bool {
		return s.call(http.MethodGet, admin+"/jobs/"+job.Job, allinone.DemoAdminKey, nil, &job) == http.StatusOK && job.State == "done"
	})
	file := filepath.Join(t.TempDir(), "backup")
	if err := c.Backup(t.Context(), file); err != nil {
		t.Fatal(err)
	}
	before := s.tale()
	s.stop()
	if err := c.Restore(t.Context(), file); err == nil {
		t.Error("a backup was restored into a store that has data")
	}

	again := fresh(t)
	if err := again.Restore(t.Context(), file); err != nil {
		t.Fatal(err)
	}
	s = start(t, again)
	s.visible(allinone.DemoReadKey, "2026-03-01", "2026-03-05", 292)
	if after := s.tale(); after != before {
		t.Errorf("the restored store answers\n%s\nnot\n%s", after, before)
	}
	// Late copies are known for what they are.
	s.send(allinone.DemoWriteKey, events[3], events[8])
	s.send(allinone.DemoWriteKey, visit("new", "user-1", "2026-03-06T10:00:00Z"))
	s.visible(allinone.DemoReadKey, "2026-03-01", "2026-03-06", 293)

	half := filepath.Join(t.TempDir(), "half")
	text, err := os.ReadFile(file)
	if err == nil {
		err = os.WriteFile(half, text[:len(text)*9/10], 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := fresh(t).Restore(t.Context(), half); err == nil {
		t.Error("half a backup was restored and nothing said")
	}
}

// tale is what a project's reports and its events say.
func (s *system) tale() string {
	s.t.Helper()
	var b bytes.Buffer
	for _, report := range []string{"stats/events", "stats/pages", "funnel", "retention", "events"} {
		question := map[string]any{"from": "2026-03-01", "to": "2026-03-05"}
		switch report {
		case "funnel":
			question["steps"] = []string{"page_view", "page_view"}
		case "retention":
			question["start_event"], question["return_event"] = "page_view", "page_view"
		case "events":
			question["limit"] = 1000
		}
		var answer map[string]any
		s.ask(allinone.DemoReadKey, report, question, &answer)
		delete(answer, "freshness")
		text, err := json.Marshal(answer)
		if err != nil {
			s.t.Fatal(err)
		}
		b.WriteString(report + " " + strings.ReplaceAll(string(text), "},{", "},\n{") + "\n")
	}
	return b.String()
}
