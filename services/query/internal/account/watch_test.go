package account

import (
	"context"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/pulse"
	"github.com/maidian/maidian/pkg/store"
	"github.com/maidian/maidian/pkg/store/sqlite"
)

// books are a store that counts how often its journal is read.
type books struct {
	*sqlite.Store
	t     *testing.T
	reads int
}

func (b *books) Batches(ctx context.Context, after store.Cursor, limit int) ([]store.Batch, error) {
	b.reads++
	return b.Store.Batches(ctx, after, limit)
}

func (b *books) accepted(project string, hour int32, events int, written event.Time) {
	b.t.Helper()
	y := event.Tally{Collector: "c", Project: project, Key: "k", Hour: hour, Outcome: event.Accepted, Events: events}
	if err := b.RaiseTallies(b.t.Context(), []store.Tally{{Tally: y, WrittenAt: written}}); err != nil {
		b.t.Fatal(err)
	}
}

func (b *books) stored(id, project string, hour int32, events int) {
	b.t.Helper()
	entry := store.Batch{ID: id, Project: project, WrittenAt: event.TimeOfHour(hour), Stored: events, Accounts: []store.Account{{Key: "k", Hour: hour, Stored: events}}}
	if err := b.RecordBatches(b.t.Context(), []store.Batch{entry}); err != nil {
		b.t.Fatal(err)
	}
}

func TestWhatIsUnaccountedForIsSeen(t *testing.T) {
	s, err := sqlite.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	b := &books{Store: s, t: t}
	for _, id := range []string{"shop", "blog"} {
		if err := s.CreateProject(t.Context(), store.Project{ID: id}); err != nil {
			t.Fatal(err)
		}
	}
	w := NewWatcher(b, zap.NewNop(), prometheus.NewRegistry())
	const hour = 490_000
	now := event.TimeOfHour(hour + 1)
	looks := func(what string, want float64, reads bool) {
		t.Helper()
		b.reads = 0
		if err := w.look(t.Context(), now); err != nil {
			t.Fatal(err)
		}
		if got := testutil.ToFloat64(w.unaccounted); got != want || b.reads > 0 != reads {
			t.Errorf("%s: %v events unaccounted for, want %v; %d pages of the journal read", what, got, want, b.reads)
		}
		for _, project := range []string{"shop", "blog"} {
			told, known, err := pulse.Sum(t.Context(), s, project, pulse.Unaccounted, now-tellAgain)
			if want -= told; err != nil || !known {
				t.Errorf("%s: rules are told %g of %s, %t, %v", what, told, project, known, err)
			}
		}
		if want != 0 {
			t.Errorf("%s: rules are told %g too few", what, want)
		}
	}
	looks("nothing", 0, false)
	b.accepted("shop", hour, 10, now)
	b.accepted("blog", hour, 7, now)
	b.stored("1", "shop", hour, 10)
	b.stored("2", "blog", hour, 4)
	looks("on its way", 0, false)
	now += event.Time(Grace.Milliseconds())
	looks("one short", 3, true)
	looks("still short", 3, true)
	b.stored("3", "blog", hour, 3)
	looks("found", 0, true)
	looks("settled", 0, false)
	b.accepted("shop", hour, 12, now)
	looks("more", 0, false)
	now += event.Time(Grace.Milliseconds())
	looks("more that is not there", 2, true)
	now += event.TimeOfHour(watchHours)
	looks("long ago", 0, false)
	if len(w.settled) > 0 {
		t.Errorf("%v is still kept", w.settled)
	}
}
