package storetest

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/store"
)

func letters(t testing.TB, s store.Store, project, after string, limit int) []store.DeadLetter {
	t.Helper()
	got, err := s.DeadLetters(t.Context(), project, after, limit)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func wantLetters(t testing.TB, got, want []store.DeadLetter) {
	t.Helper()
	if len(got) == 0 && len(want) == 0 {
		return
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("dead letters:\n got %+v\nwant %+v", got, want)
	}
}

func deadLetters(t *testing.T, h Harness) {
	s := h.fresh(t)
	put := func(l ...store.DeadLetter) {
		t.Helper()
		if err := s.PutDeadLetters(t.Context(), l); err != nil {
			t.Fatal(err)
		}
	}
	var all, demo []store.DeadLetter
	for i := range 120 {
		l := store.DeadLetter{
			ID: fmt.Sprintf("b-%04d", i), Project: []string{"demo", "shop", ""}[i%3], Key: "k1", Hour: 490896, BatchID: "b", Position: i - 1,
			Reason: "it has no event_type", Payload: []byte{0, 0xff, byte(i)}, Attempts: 1, FirstSeen: 1767225600000,
		}
		if all = append(all, l); l.Project == "demo" {
			demo = append(demo, l)
		}
	}
	shuffled := slices.Clone(all)
	newGenerator(t).Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	put()
	put(shuffled...)
	wantLetters(t, letters(t, s, "*", "", 1000), all)
	wantLetters(t, letters(t, s, "demo", "", 1000), demo)
	wantLetters(t, letters(t, s, "demo", demo[2].ID, 5), demo[3:8])
	wantLetters(t, letters(t, s, "*", all[10].ID, 3), all[11:14])
	wantLetters(t, letters(t, s, "nobody", "", 10), nil)
	wantLetters(t, letters(t, s, "*", "", 0), nil)

	if one, err := s.DeadLetter(t.Context(), all[7].ID); err != nil || !reflect.DeepEqual(*one, all[7]) {
		t.Errorf("by its id: got %+v, %v; want %+v", one, err, all[7])
	}
	if _, err := s.DeadLetter(t.Context(), "nobody"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("by an unknown id: got %v, want ErrNotFound", err)
	}

	again := all[5]
	again.Attempts, again.Reason, again.FirstSeen, again.Payload = 4, "still not", 1767229999999, []byte("x")
	put(again)
	again.FirstSeen = all[5].FirstSeen
	wantLetters(t, letters(t, s, "*", all[4].ID, 1), []store.DeadLetter{again})

	for _, deletion := range []struct {
		ids  []string
		want int
	}{{nil, 0}, {[]string{"nobody"}, 0}, {[]string{all[0].ID, all[1].ID, "nobody"}, 2}, {[]string{all[0].ID}, 0}} {
		if n, err := s.DeleteDeadLetters(t.Context(), deletion.ids); err != nil || n != deletion.want {
			t.Errorf("delete %v: got %d, %v; want %d", deletion.ids, n, err, deletion.want)
		}
	}
	wantLetters(t, letters(t, s, "*", "", 1), all[2:3])
}

func discards(t *testing.T, h Harness) {
	s := h.fresh(t)
	put := func(d ...store.Discard) {
		t.Helper()
		if err := s.PutDiscards(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	wantDiscards := func(project, after string, limit int, want ...store.Discard) {
		t.Helper()
		got, err := s.Discards(t.Context(), project, after, limit)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("discards of %q after %q:\n got %+v, %v\nwant %+v", project, after, got, err, want)
		}
	}
	var all []store.Discard
	for i := range 6 {
		all = append(all, store.Discard{
			ID: fmt.Sprintf("%d/b/%d", i, 9-i), Letter: fmt.Sprintf("b/%d", 9-i), Project: []string{"demo", ""}[i%2], BatchID: "b", Position: 9 - i,
			FirstSeen: 1767225600000, At: 1767225600000 + event.Time(i), By: "ann", Address: "192.0.2.1", Reason: "tests ☂",
		})
	}
	wantDiscards("*", "", 10)
	put()
	put(all[3:]...)
	put(all[:4]...)
	wantDiscards("*", "", 10, all...)
	wantDiscards("*", all[1].ID, 2, all[2:4]...)
	wantDiscards("demo", all[0].ID, 10, all[2], all[4])
	wantDiscards("nobody", "", 10)
	wantDiscards("*", "", 0)
	all[5].Reason = "another"
	put(all[5])
	wantDiscards("*", all[4].ID, 10, all[5])
}

func wantProjects(t testing.TB, s store.Store, want ...store.Project) {
	t.Helper()
	got, err := s.Projects(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(got, func(a, b store.Project) int { return len(a.ID) - len(b.ID) })
	if !(len(got) == 0 && len(want) == 0) && !reflect.DeepEqual(got, want) {
		t.Errorf("projects:\n got %+v\nwant %+v", got, want)
	}
}

func projects(t *testing.T, h Harness) {
	s := h.fresh(t)
	wantProjects(t, s)
	shop := store.Project{
		ID: "shop", Name: "Shop ☂", Timezone: "Europe/Berlin", Currency: "EUR", Origins: []string{"https://shop.example", "https://b.example"},
		IPPolicy: store.IPMask, CreatedAt: 1767225600000, RetentionDays: 400, PrunedBefore: 20054,
		Keys: []store.Key{
			{ID: "k1", Kind: store.WriteKey, Prefix: "wk_ab", Hash: "00ff", CreatedAt: 1767225600000, RevokedAt: 1767225700000},
			{ID: "k2", Kind: store.ReadKey, Prefix: "rk_ab", Hash: "11ff", CreatedAt: 1767225600001},
		},
	}
	bare := store.Project{ID: "b"}
	for _, p := range []store.Project{shop, bare} {
		if err := s.CreateProject(t.Context(), p); err != nil {
			t.Fatal(err)
		}
	}
	wantProjects(t, s, bare, shop)
	if err := s.CreateProject(t.Context(), store.Project{ID: "shop", Name: "Another"}); !errors.Is(err, store.ErrConflict) {
		t.Errorf("create a second shop: got %v, want ErrConflict", err)
	}

	shop.Name, shop.Keys, shop.RetentionDays, shop.PrunedBefore = "Shop", shop.Keys[1:], 30, 20424
	if err := s.UpdateProject(t.Context(), shop); err != nil {
		t.Fatal(err)
	}
	stale := shop
	stale.Name = "Stale"
	if err := s.UpdateProject(t.Context(), stale); !errors.Is(err, store.ErrConflict) {
		t.Errorf("update a stale project: got %v, want ErrConflict", err)
	}
	if err := s.UpdateProject(t.Context(), store.Project{ID: "nobody"}); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("update an unknown project: got %v, want ErrNotFound", err)
	}
	shop.Revision++
	wantProjects(t, s, bare, shop)
	if !h.OneWriter {
		projectRace(t, s, bare)
	}
}

// projectRace has many change the same revision: one wins each time.
func projectRace(t *testing.T, s store.Store, p store.Project) {
	for range 5 {
		var mu sync.Mutex
		won := 0
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				mine := p
				mine.Name = fmt.Sprint(i)
				err := s.UpdateProject(t.Context(), mine)
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					won++
				} else if !errors.Is(err, store.ErrConflict) {
					t.Errorf("update %d: got %v, want ErrConflict", i, err)
				}
			})
		}
		all.Wait()
		if won != 1 {
			t.Errorf("%d of 8 updates of one revision won, want 1", won)
		}
		p.Revision++
	}
}
