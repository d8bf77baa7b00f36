package allinone_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/maidian/maidian/pkg/testenv"
	"github.com/maidian/maidian/services/allinone"
)

// TestAProjectForgetsWhatItKeepsNoLonger has events of forty days come in by
// the front door, and the project keep ten of them.
func TestAProjectForgetsWhatItKeepsNoLonger(t *testing.T) {
	t.Run("SQLite", func(t *testing.T) { forgotten(t, config(t)) })
	t.Run("MongoDB", func(t *testing.T) {
		c := config(t)
		c.UseMongo, c.Mongo.URI, c.Mongo.Database = true, testenv.StartFerretDB(t).URI(), "maidian_test"
		forgotten(t, c)
	})
}

func forgotten(t *testing.T, c *allinone.Config) {
	c.Query.PruneGrace = time.Nanosecond
	s := start(t, c)
	now := time.Now().UTC().Add(-3 * time.Hour) // when the pruner's day begins
	day := func(ago int) string { return now.AddDate(0, 0, -ago).Format(time.DateOnly) }
	send := func(from, to int) (sent int) {
		for ago := from; ago <= to; ago++ {
			var events []map[string]any
			for i := range 5 {
				events = append(events, visit(fmt.Sprintf("%s-%d", day(ago), i), fmt.Sprintf("user-%d", i), day(ago)+fmt.Sprintf("T0%d:00:00Z", i)))
			}
			s.send(allinone.DemoWriteKey, events...)
			sent += len(events)
		}
		return sent
	}
	sent := send(1, 40)
	s.visible(allinone.DemoReadKey, day(45), day(0), sent)

	admin := s.query + "/api/v1/admin/projects/" + allinone.DemoProject
	if status := s.call(http.MethodPatch, admin, allinone.DemoAdminKey, map[string]any{"retention_days": 10}, nil); status != http.StatusOK {
		t.Fatalf("set the retention: got %d", status)
	}
	pruned := func() {
		t.Helper()
		var job struct {
			State  string
			Counts map[string]int
		}
		eventually(t, "the day's job to be done", func() bool {
			return s.call(http.MethodGet, admin+"/jobs/job_retention", allinone.DemoAdminKey, nil, &job) == http.StatusOK && job.State == "done"
		})
		if job.Counts["events"] != 30*5 {
			t.Errorf("%d events are deleted, want those of 30 days", job.Counts["events"])
		}
	}
	pruned()
	wantKept := func(sent int) {
		t.Helper()
		var answer struct {
			Total     int
			Freshness struct {
				RetainedFrom string `json:"retained_from"`
			}
		}
		eventually(t, "answers to be without the days that went", func() bool {
			s.ask(allinone.DemoReadKey, "stats/events", map[string]any{"from": day(45), "to": day(0)}, &answer)
			return answer.Total == 10*5
		})
		if want := day(10) + "T00:00:00.000Z"; answer.Freshness.RetainedFrom != want {
			t.Errorf("retained from %q, want %q", answer.Freshness.RetainedFrom, want)
		}
		var sheet struct{ Accepted, Stored, Pruned, Queued, Difference int }
		eventually(t, "the accounts to have all that was sent", func() bool {
			s.ask(allinone.DemoReadKey, "accounting", map[string]any{"days": 2}, &sheet)
			return sheet.Accepted == sent
		})
		if sheet.Stored != sent || sheet.Difference != 0 || sheet.Queued != 0 || sheet.Pruned != 30*5 {
			t.Errorf("accounts: %+v, want %d stored, %d of them pruned, none missing", sheet, sent, 30*5)
		}
	}
	wantKept(sent)

	// What comes for days that are gone is taken, accounted for, and shown nowhere.
	late := visit("late", "user-1", day(20)+"T12:00:00Z")
	s.send(allinone.DemoWriteKey, late, visit("new", "user-1", day(0)+"T00:00:00Z"))
	s.visible(allinone.DemoReadKey, day(0), day(0), 1)
	s.visible(allinone.DemoReadKey, day(45), day(1), 10*5)

	s.stop()
	s = start(t, c)
	s.visible(allinone.DemoReadKey, day(45), day(1), 10*5)
}
