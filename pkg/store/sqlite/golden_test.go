package sqlite

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/store"
)

// TestAStoreOfAnEarlierVersionIsStillRead opens what programs of an earlier
// schema left, and finds all of it. A version that changes the schema adds its own file.
func TestAStoreOfAnEarlierVersionIsStillRead(t *testing.T) {
	dump, err := os.ReadFile("testdata/schema6.sql")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	db, err := connect(filepath.Join(dir, file), 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), string(dump)); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var got []string
	note := func(of any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprintf("%+v", of))
	}
	ctx := t.Context()
	entries, err := s.Batches(ctx, store.Cursor{}, 10)
	for _, e := range entries {
		note([]any{e.ID, e.WrittenAt, e.ReceivedAt, e.Stored, e.Duplicates, e.Erased, e.Pruned, e.Live(), e.Days, e.Accounts}, err)
	}
	err = s.EventsOfBatches(ctx, "shop", []string{"b1"}, func(e *event.Event) error {
		note([]any{e.EventID, e.EventType, e.UserID, e.Timestamp, e.Properties, e.BatchID, e.Position}, nil)
		return nil
	})
	note("events", err)
	note(s.ErasedEvents(ctx, "shop", []string{"b1"}))
	letters, err := s.DeadLetters(ctx, "shop", "", 10)
	note([]any{letters[0].ID, letters[0].Reason, string(letters[0].Payload), letters[0].Attempts}, err)
	projects, err := s.Projects(ctx)
	p := projects[0]
	note([]any{p.ID, p.Timezone, p.Origins, p.Keys[0].Hash, p.Revision, p.RetentionDays, p.PrunedBefore}, err)
	jobs, err := s.UnfinishedJobs(ctx)
	note([]any{jobs[0].ID, jobs[0].Kind, jobs[0].Counts, string(jobs[0].Task), jobs[0].Revision}, err)
	note("tallies", s.Tallies(ctx, "shop", 0, 1<<30, func(y *store.Tally) error {
		note([]any{y.Key, y.Hour, y.Collector, y.Outcome, y.Events}, nil)
		return nil
	}))
	note(s.Record(ctx, "rule", "shop", "r1"))
	const want = `[b1 2026-01-01T00:00:00.000Z 2025-12-31T23:59:59.995Z 3 1 1 0 2 [20454] [{Key:key_1 Hour:490896 Stored:3 Duplicates:1 DeadLettered:0 Dropped:map[age:4]}]]
[b0 2026-01-01T00:00:00.001Z 2025-12-31T23:59:59.991Z 0 2 0 0 0 [] []]
[e1 purchase ann 2026-01-01T00:00:00.000Z {"amount":1.50} b1 0]
[e3 click  2026-01-01T00:00:00.000Z  b1 2]
events
[e2]
[b1/4 panic {"x":1} 2]
[shop Europe/Berlin [https://shop.example] 00ff 2 0 0]
[job_1 erase map[events:3] {"user_id":"ann"} 4]
[key_1 490896 c1 accepted 12]
tallies
&{Kind:rule Project:shop ID:r1 Due:2026-01-01T00:00:00.000Z Data:[123 125] Revision:1}`
	if strings.Join(got, "\n") != want {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), want)
	}
}
