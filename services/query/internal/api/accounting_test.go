package api_test

import (
	"fmt"
	"testing"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/store"
)

func TestAccountingAddsUpTheJournalOfOneProject(t *testing.T) {
	s := start(t)
	entries := []store.Batch{
		{ID: "1", Project: "shop", WrittenAt: event.TimeOf(noon) - 1000, Stored: 7, Duplicates: 1},
		{ID: "2", Project: "shop", WrittenAt: event.TimeOf(noon), Stored: 5, Duplicates: 2, DeadLettered: 1},
		{ID: "2", Project: "blog", WrittenAt: event.TimeOf(noon), Stored: 100},
	}
	if err := s.store.RecordBatches(t.Context(), entries); err != nil {
		t.Fatal(err)
	}
	for since, want := range map[string][3]int{
		`{}`:                                {12, 3, 1},
		`{"since": "2026-06-15T12:00:00Z"}`: {5, 2, 1},
		`{"since": "2026-06-15T12:00:01Z"}`: {0, 0, 0},
	} {
		answer := s.post(shopKey, "/api/v1/analytics/accounting", since)
		for i, name := range []string{"stored", "duplicates", "dead_lettered"} {
			if got := fmt.Sprint(answer.json(name)); got != fmt.Sprint(want[i]) {
				t.Errorf("%s: %s is %v, want %d", since, name, got, want[i])
			}
		}
	}
	if answer := s.post(shopKey, "/api/v1/analytics/accounting", `{"since": "yesterday"}`); answer.status != 400 {
		t.Errorf("got %d, want 400", answer.status)
	}
}
