package storetest

import (
	"errors"
	"reflect"
	"sync"
	"testing"

	"github.com/maidian/maidian/pkg/store"
)

func jobs(t *testing.T, h Harness) {
	s := h.fresh(t)
	wantUnfinished(t, s)
	first := store.Job{ID: "z", Project: "demo", Kind: "erase", State: store.JobWaiting, Counts: map[string]int{}, CreatedAt: 1767225600000, Task: []byte(`{"a":"\u0000"}`)}
	second := store.Job{ID: "a", Project: "shop", Kind: "erase", State: store.JobWaiting, Counts: map[string]int{"events": 2}, CreatedAt: 1767225600001, Task: []byte{0xff}}
	third := store.Job{ID: "b", Project: "a", Kind: "other", State: store.JobRunning, Counts: map[string]int{}, CreatedAt: 1767225600001, StartedAt: 1767225600002, Holder: "h", HeldUntil: 1767225600003, Error: "☂"}
	for _, j := range []store.Job{third, second, first} {
		if err := s.CreateJob(t.Context(), j); err != nil {
			t.Fatal(err)
		}
	}
	wantUnfinished(t, s, first, second, third)
	if err := s.CreateJob(t.Context(), first); !errors.Is(err, store.ErrConflict) {
		t.Errorf("create it again: got %v, want ErrConflict", err)
	}
	for _, absent := range [][2]string{{"shop", "z"}, {"demo", "a"}, {"", ""}} {
		if _, err := s.Job(t.Context(), absent[0], absent[1]); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("job %q of %q: got %v, want ErrNotFound", absent[1], absent[0], err)
		}
	}

	first.State, first.Counts, first.StartedAt = store.JobRunning, map[string]int{"events": 1, "dead_letters": 0}, 1767225600005
	update := func(j store.Job, want error) {
		t.Helper()
		if err := s.UpdateJob(t.Context(), j); !errors.Is(err, want) {
			t.Errorf("update: got %v, want %v", err, want)
		}
	}
	update(first, nil)
	update(first, store.ErrConflict)
	update(store.Job{ID: "nobody", Project: "demo"}, store.ErrNotFound)
	first.Revision++
	wantUnfinished(t, s, first, second, third)

	first.State, first.FinishedAt, first.Task = store.JobDone, 1767225600006, nil
	update(first, nil)
	first.Revision++
	wantUnfinished(t, s, second, third)
	if got, err := s.Job(t.Context(), "demo", "z"); err != nil || !reflect.DeepEqual(*got, first) {
		t.Errorf("finished: got %+v, %v, want %+v", got, err, first)
	}
	if !h.OneWriter {
		oneWins(t, func() error { return s.UpdateJob(t.Context(), second) })
	}
}

// oneWins has many make the same change of one revision.
func oneWins(t *testing.T, change func() error) {
	var mu sync.Mutex
	won := 0
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			err := change()
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				won++
			} else if !errors.Is(err, store.ErrConflict) {
				t.Errorf("got %v, want ErrConflict", err)
			}
		})
	}
	all.Wait()
	if won != 1 {
		t.Errorf("%d of 8 changes of one revision won, want 1", won)
	}
}

func wantUnfinished(t testing.TB, s store.Store, want ...store.Job) {
	t.Helper()
	got, err := s.UnfinishedJobs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !(len(got) == 0 && len(want) == 0) && !reflect.DeepEqual(got, want) {
		t.Errorf("unfinished jobs:\n got %+v\nwant %+v", got, want)
	}
}
