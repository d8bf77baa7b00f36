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
	"github.com/maidian/maidian/pkg/pulse"
	"github.com/maidian/maidian/pkg/store"
)

// Watcher looks for accepted events of which nobody knows what became of them.
type Watcher struct {
	store       Watched
	log         *zap.Logger
	unaccounted prometheus.Gauge
	last        int
	settled     map[place]int // accepted events of the places that added up
	told        map[string]telling
}

// telling is what was said of a project, so that rules can look at it.
type telling struct {
	missing int
	at      event.Time
}

// tellAgain is how often something is told that has not changed.
const tellAgain = event.Time(10 * time.Minute / time.Millisecond)

// Watched is the store of all projects' accounts.
type Watched interface {
	Store
	pulse.Board
	Projects(ctx context.Context) ([]store.Project, error)
}

// watchHours is how far back the watcher looks.
const watchHours = 48

// NewWatcher makes a watcher and its metric.
func NewWatcher(s Watched, log *zap.Logger, metrics prometheus.Registerer) *Watcher {
	w := &Watcher{store: s, log: log, settled: map[place]int{}, told: map[string]telling{}, unaccounted: prometheus.NewGauge(prometheus.GaugeOpts{
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
	due, projects, err := w.due(ctx, now)
	if err != nil {
		return err
	}
	if err := w.lookUp(ctx, due); err != nil {
		return err
	}
	missing := 0
	for at, of := range due {
		of.balance(now)
		projects[at.project] += of.Difference
		if missing += of.Difference; of.Difference == 0 {
			w.settled[at] = of.Accepted
		}
	}
	if missing > w.last {
		w.log.Error("accepted events are neither stored nor dead letters; maidian account says of which key and hour", zap.Int("events", missing))
	}
	w.last = missing
	w.unaccounted.Set(float64(missing))
	return w.tell(ctx, projects, now)
}

// tell lets rules about the pipeline know.
func (w *Watcher) tell(ctx context.Context, missing map[string]int, now event.Time) error {
	for project, n := range missing {
		if was, ok := w.told[project]; ok && was.missing == n && now-was.at < tellAgain {
			continue
		}
		if err := pulse.Tell(ctx, w.store, project, pulse.Unaccounted, "accounts", float64(n), now); err != nil {
			return err
		}
		w.told[project] = telling{n, now}
	}
	return nil
}

// due are the places of which all should be in the journal by now; missing has
// a 0 for each project.
func (w *Watcher) due(ctx context.Context, now event.Time) (due book, missing map[string]int, err error) {
	projects, err := w.store.Projects(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("read projects: %w", err)
	}
	due, missing = book{}, map[string]int{}
	first := now.Hour() - watchHours
	for i := range projects {
		missing[projects[i].ID] = 0
		if err := due.tallies(ctx, w.store, projects[i].ID, first, now.Hour()); err != nil {
			return nil, nil, err
		}
	}
	maps.DeleteFunc(w.settled, func(at place, _ int) bool { return at.hour < first })
	maps.DeleteFunc(due, func(at place, of *sum) bool { return of.fresh(now) || w.settled[at] == of.Accepted })
	return due, missing, nil
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
