package query_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/store"
	"github.com/maidian/maidian/pkg/store/sqlite"
	"github.com/maidian/maidian/services/query"
	"github.com/maidian/maidian/services/query/internal/sealed"
	"github.com/maidian/maidian/services/query/internal/segment"
)

// sealedStore has two projects with two sealed days each, 2026-06-01 and 2026-06-02.
func sealedStore(t *testing.T) store.Store {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	s, err := sqlite.Open(t.Context(), sqlite.Memory)
	must(err)
	t.Cleanup(func() { s.Close() })
	shelf := sealed.NewShelf(s, zap.NewNop(), nil)
	for _, project := range []string{"blog", "shop"} {
		must(s.CreateProject(t.Context(), store.Project{ID: project}))
		m := &sealed.Manifest{Before: 2000, Days: []sealed.Day{}, Open: []sealed.Open{}}
		for day := int32(20605); day < 20607; day++ {
			batch := fmt.Sprint(project, day)
			var events []event.Event
			for i := range 10 {
				events = append(events, event.Event{
					Project: project, EventID: fmt.Sprint(batch, i), EventType: "click", EventName: "click", UserID: "u",
					Timestamp: event.Time(day)*86400000 + event.Time(i), BatchID: batch, Position: i,
				})
			}
			_, err := s.InsertEvents(t.Context(), events)
			must(err)
			must(s.RecordBatches(t.Context(), []store.Batch{{ID: batch, Project: project, WrittenAt: 1000, Stored: 10, Days: []int32{day}}}))
			c, err := sealed.Build(t.Context(), s, project, day, []string{batch}, nil)
			must(err)
			must(shelf.Put(t.Context(), c, nil))
			m.Days = append(m.Days, c.DayOf())
		}
		must(shelf.PutManifest(t.Context(), project, m))
	}
	return s
}

func TestSealedDaysAreVerifiedAndRebuilt(t *testing.T) {
	s := sealedStore(t)
	damage := func() {
		t.Helper()
		if err := s.PutSegments(t.Context(), []store.Segment{{Project: "shop", Day: 20606, Name: segment.BaseName, Data: []byte("mdsg nonsense")}}); err != nil {
			t.Fatal(err)
		}
	}
	june := func(day int) time.Time { return time.Date(2026, 6, day, 0, 0, 0, 0, time.UTC) }
	for _, test := range []struct {
		name    string
		days    query.SealedDays
		rebuild bool
		want    []string // in the lines
		fails   string
	}{
		{name: "all", days: query.SealedDays{}, fails: "1 of 4 days are not as", want: []string{
			"blog  2026-06-01", "blog  2026-06-02", "shop  2026-06-01", "shop  2026-06-02         10 events   4 parts", "base: segment is", "in all 4 days, 40 events, 16 parts",
		}},
		{name: "one project", days: query.SealedDays{Project: "blog"}, want: []string{"blog  2026-06-01", "blog  2026-06-02", "in all 2 days"}},
		{name: "some days", days: query.SealedDays{To: june(1)}, want: []string{"blog  2026-06-01", "shop  2026-06-01", "in all 2 days"}},
		{name: "later days", days: query.SealedDays{From: june(3)}, want: []string{"no day is sealed there"}},
		{name: "an unknown project", days: query.SealedDays{Project: "x"}, fails: `there is no project "x"`},
		{name: "rebuilt", days: query.SealedDays{From: june(2)}, rebuild: true, want: []string{"blog  2026-06-02", "shop  2026-06-02", "in all 2 days"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			damage()
			var out bytes.Buffer
			test.days.Store, test.days.Log, test.days.Out = s, zap.NewNop(), &out
			do := test.days.Verify
			if test.rebuild {
				do = test.days.Rebuild
			}
			if err := do(t.Context()); (err != nil) != (test.fails != "") || err != nil && !strings.Contains(err.Error(), test.fails) {
				t.Errorf("got error %v, want %q", err, test.fails)
			}
			lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
			if len(test.want) > 0 && len(lines) != len(test.want) {
				t.Errorf("got %d lines, want %d:\n%s", len(lines), len(test.want), out.String())
			}
			for i := range min(len(lines), len(test.want)) {
				if !strings.Contains(lines[i], test.want[i]) {
					t.Errorf("line %d: got %q, want %q in it", i, lines[i], test.want[i])
				}
			}
		})
	}
	all := query.SealedDays{Store: s, Log: zap.NewNop(), Out: &bytes.Buffer{}}
	if err := all.Verify(t.Context()); err != nil {
		t.Errorf("after rebuilding: %v", err)
	}
}
