package account

import (
	"context"
	"fmt"
	"maps"
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/store"
)

// Watcher looks for accepted events of which nobody knows what became of them.
type Watcher struct {
	store       Watched
	log         *zap.Logger
	unaccounted prometheus.Gauge
	last        int
	settled     map[place]int // accepted events of the places that added up
}

// Watched is the store of all projects' accounts.
type Watched interface {
	Store
	Projects(ctx context.Context) ([]store.Project, error)
}

// watchHours is how far back the watcher looks.
const watchHours = 48

// NewWatcher makes a watcher and its metric.
func NewWatcher(s Watched, log *zap.Logger, metrics prometheus.Registerer) *Watcher {
	w := &Watcher{store: s, log: log, settled: map[place]int{}, unaccounted: prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "maidian_query_unaccounted_events",
		Help: "Events accepted in the last two days, and longer than ten minutes ago, that are neither stored nor duplicates nor dead letters: 0 unless some were lost.",
	})}
	metrics.MustRegister(w.unaccounted)
	return w
}

// share is how much of its time the watcher may spend looking: one part in so many.
const share = 20

// Run looks every so often until ctx ends.
func (w *Watcher) Run(ctx context.Context, every time.Duration) error {
	for rest := every; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(rest):
		}
		start := time.Now()
		if err := w.look(ctx, event.TimeOf(start)); err != nil && ctx.Err() == nil {
			w.log.Warn("not looked whether all accepted events are accounted for", zap.Error(err))
		}
		rest = max(every, share*time.Since(start))
	}
}

// look sets the metric anew. What added up once is not looked at again, unless
// more was accepted: so a look reads the journal once an hour, or when
// something is missing.
func (w *Watcher) look(ctx context.Context, now event.Time) error {
	due, err := w.due(ctx, now)
	if err != nil {
		return err
	}
	if err := w.lookUp(ctx, due); err != nil {
		return err
	}
	missing := 0
	for at, of := range due {
		of.balance(now)
		if missing += of.Difference; of.Difference == 0 {
			w.settled[at] = of.Accepted
		}
	}
	if missing > w.last {
		w.log.Error("accepted events are neither stored nor dead letters; maidian account says of which key and hour", zap.Int("events", missing))
	}
	w.last = missing
	w.unaccounted.Set(float64(missing))
	return nil
}

// due are the places of which all should be in the journal by now.
func (w *Watcher) due(ctx context.Context, now event.Time) (book, error) {
	projects, err := w.store.Projects(ctx)
	if err != nil {
		return nil, fmt.Errorf("read projects: %w", err)
	}
	due, first := book{}, now.Hour()-watchHours
	for i := range projects {
		if err := due.tallies(ctx, w.store, projects[i].ID, first, now.Hour()); err != nil {
			return nil, err
		}
	}
	maps.DeleteFunc(w.settled, func(at place, _ int) bool { return at.hour < first })
	maps.DeleteFunc(due, func(at place, of *sum) bool { return of.fresh(now) || w.settled[at] == of.Accepted })
	return due, nil
}

// lookUp adds what the journal has of these places.
func (w *Watcher) lookUp(ctx context.Context, places book) error {
	if len(places) == 0 {
		return nil
	}
	first := int32(math.MaxInt32)
	for at := range places {
		first = min(first, at.hour)
	}
	return journal(ctx, w.store, event.TimeOfHour(first-slack), func(entry *store.Batch) {
		for _, a := range accountsOf(entry) {
			if of := places[place{entry.Project, a.Key, a.Hour}]; of != nil {
				of.add(a)
			}
		}
	})
}
