package account

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/store"
)

// Pruner deletes what collectors counted in hours that are long past, once the
// journal has all that they accepted. What does not add up stays, as the only
// trace of it. Any number of pruners may work on a store, and begin again at any time.
type Pruner struct {
	store Pruned
	kept  time.Duration
	log   *zap.Logger
	next  int32 // the hours before it are done, as far as this process knows
}

// Pruned is the store that a pruner works on.
type Pruned interface {
	Watched
	DeleteTallies(ctx context.Context, tallies []store.Tally) (int, error)
}

// LeastKept is the least that tallies can be kept: the watcher looks at them so
// long, and late events need their time.
const LeastKept = 72 * time.Hour

// NewPruner makes a pruner that keeps tallies so long; with 0 they are kept for ever.
func NewPruner(s Pruned, kept time.Duration, log *zap.Logger) *Pruner {
	return &Pruner{store: s, kept: kept, log: log}
}

// Run prunes now and then until ctx ends.
func (p *Pruner) Run(ctx context.Context) error {
	if p.kept == 0 {
		return nil
	}
	const every = time.Hour
	for {
		if err := p.prune(ctx, event.TimeOf(time.Now())); err != nil && ctx.Err() == nil {
			p.log.Warn("old counts of collectors are not deleted yet", zap.Error(err))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(every):
		}
	}
}

// window is the hours that are pruned in one go: the journal is read once for them.
const window = 24

// prune does the windows that are past as a whole.
func (p *Pruner) prune(ctx context.Context, now event.Time) error {
	projects, err := p.store.Projects(ctx)
	if err != nil {
		return fmt.Errorf("read projects: %w", err)
	}
	end := (now - event.Time(p.kept.Milliseconds())).Hour()
	for first := max(p.next, oldest(projects, end)); first+window <= end; first += window {
		if err := p.pruneHours(ctx, projects, first, first+window-1, now); err != nil {
			return err
		}
		p.next = first + window
	}
	return nil
}

// oldest is the hour before which there are no tallies: nobody counts for a
// project that is not there, by a clock that is not a day slow.
func oldest(projects []store.Project, end int32) int32 {
	first := end
	for i := range projects {
		first = min(first, projects[i].CreatedAt.Hour()-window)
	}
	return first
}

// pruneHours deletes those tallies of the hours whose places add up.
func (p *Pruner) pruneHours(ctx context.Context, projects []store.Project, first, last int32, now event.Time) error {
	old := map[place][]store.Tally{}
	for i := range projects {
		err := p.store.Tallies(ctx, projects[i].ID, first, last, func(y *store.Tally) error {
			at := place{y.Project, y.Key, y.Hour}
			old[at] = append(old[at], *y)
			return nil
		})
		if err != nil {
			return fmt.Errorf("read the tallies of %s: %w", projects[i].ID, err)
		}
	}
	if len(old) == 0 {
		return nil
	}
	b := book{}
	for at, tallies := range old {
		for i := range tallies {
			b.at(at).tally(&tallies[i])
		}
	}
	if err := p.settle(ctx, b, first, last); err != nil {
		return err
	}
	var done []store.Tally
	for at, tallies := range old {
		if b[at].missing() <= 0 && !b[at].fresh(now) {
			done = append(done, tallies...)
		}
	}
	if _, err := p.store.DeleteTallies(ctx, done); err != nil {
		return fmt.Errorf("delete tallies: %w", err)
	}
	return nil
}

var errSettled = errors.New("all of it is found")

// settle adds what the journal has of the places. Nearly all of it was written
// in these hours; it is read on only until nothing is missing.
func (p *Pruner) settle(ctx context.Context, b book, first, last int32) error {
	missing := 0
	for _, of := range b {
		if of.missing() > 0 {
			missing++
		}
	}
	err := store.EachBatch(ctx, p.store, store.Cursor{WrittenAt: event.TimeOfHour(first - slack)}, func(entry *store.Batch) error {
		if missing == 0 && entry.WrittenAt > event.TimeOfHour(last+1+slack) {
			return errSettled
		}
		for _, a := range accountsOf(entry) {
			of := b[place{entry.Project, a.Key, a.Hour}]
			if of == nil {
				continue
			}
			before := of.missing() > 0
			if of.add(a); before && of.missing() <= 0 {
				missing--
			} else if !before && of.missing() > 0 { // a replay takes dead letters back
				missing++
			}
		}
		return nil
	})
	if errors.Is(err, errSettled) {
		return nil
	}
	return err
}
