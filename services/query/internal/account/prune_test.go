package account

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/store"
	"github.com/maidian/maidian/pkg/store/sqlite"
)

// left are the tallies that there are, as hour and outcome.
func (b *books) left(project string) (left []string) {
	b.t.Helper()
	err := b.Tallies(b.t.Context(), project, 0, 1<<30, func(y *store.Tally) error {
		left = append(left, fmt.Sprint(y.Hour%1000, " ", y.Outcome))
		return nil
	})
	if err != nil {
		b.t.Fatal(err)
	}
	slices.Sort(left)
	return left
}

func TestOldTalliesGoOnceTheyAddUp(t *testing.T) {
	s, err := sqlite.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	b := &books{Store: s, t: t}
	const hour = 490_000
	for _, id := range []string{"shop", "blog"} {
		if err := s.CreateProject(t.Context(), store.Project{ID: id, CreatedAt: event.TimeOfHour(hour)}); err != nil {
			t.Fatal(err)
		}
	}
	for h := int32(0); h < 60; h += 20 {
		b.accepted("shop", hour+h, 10, event.TimeOfHour(hour+h))
		b.stored(fmt.Sprint("s", h), "shop", hour+h, 10)
	}
	rejected := event.Tally{Collector: "c", Project: "shop", Key: "k", Hour: hour + 1, Outcome: "too_large", Events: 4}
	if err := s.RaiseTallies(t.Context(), []store.Tally{{Tally: rejected, WrittenAt: 1}}); err != nil {
		t.Fatal(err)
	}
	b.accepted("blog", hour+2, 7, event.TimeOfHour(hour+2)) // one is lost
	b.stored("lost", "blog", hour+2, 6)
	b.accepted("blog", hour+3, 7, event.TimeOfHour(hour+3)) // two came when the queue moved on, a day and a half later
	b.stored("soon", "blog", hour+3, 5)
	late := store.Batch{ID: "late", Project: "blog", WrittenAt: event.TimeOfHour(hour + 39), Stored: 2, Accounts: []store.Account{{Key: "k", Hour: hour + 3, Stored: 2}}}
	if err := s.RecordBatches(t.Context(), []store.Batch{late}); err != nil {
		t.Fatal(err)
	}

	pruners := []*Pruner{NewPruner(b, 90*24*time.Hour, zap.NewNop()), NewPruner(b, 90*24*time.Hour, zap.NewNop())}
	prune := func(after int32, shop, blog []string) {
		t.Helper()
		for _, p := range pruners {
			if err := p.prune(t.Context(), event.TimeOfHour(hour+90*24+after)); err != nil {
				t.Fatal(err)
			}
		}
		if got := b.left("shop"); !slices.Equal(got, shop) {
			t.Errorf("after %d hours: the shop has %q, want %q", after, got, shop)
		}
		if got := b.left("blog"); !slices.Equal(got, blog) {
			t.Errorf("after %d hours: the blog has %q, want %q", after, got, blog)
		}
	}
	all := []string{"0 accepted", "1 too_large", "20 accepted", "40 accepted"}
	both := []string{"2 accepted", "3 accepted"}
	prune(0, all, both)
	prune(23, all, both) // a window goes as a whole
	prune(24, all[3:], both[:1])
	prune(47, all[3:], both[:1])
	b.accepted("shop", hour+40, 11, event.TimeOfHour(hour+90*24+48)) // said just now: there may be more to come
	prune(48, all[3:], both[:1])
	pruners[0] = NewPruner(b, 90*24*time.Hour, zap.NewNop()) // a restart looks at all of it again
	b.stored("s41", "shop", hour+40, 1)
	prune(49, nil, both[:1])
	b.accepted("shop", hour, 3, 1) // a collector's message that lay somewhere: it adds up, too, and goes with the next start
	pruners[1] = NewPruner(b, 90*24*time.Hour, zap.NewNop())
	prune(50, nil, both[:1])
}
