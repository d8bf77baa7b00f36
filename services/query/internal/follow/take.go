package follow

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/fault"
	"github.com/maidian/maidian/pkg/store"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
)

// readers is how many groups are read from the store at the same time.
const readers = 2

// key names an entry of the journal.
type key struct{ project, id string }

func keyOf(entry store.Batch) key { return key{entry.Project, entry.ID} }

// debt is an entry of which fewer events could be read than it says were stored.
type debt struct {
	entry store.Batch
	tries int
	due   time.Time
}

// take reads the entries' events and adds them, in groups of bounded size.
func (f *Follower) take(ctx context.Context, entries []store.Batch) error {
	var mu sync.Mutex
	var short []store.Batch
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(readers)
	for _, some := range f.groups(entries) {
		group.Go(func() error {
			missed, err := f.takeGroup(ctx, some)
			mu.Lock()
			short = append(short, missed...)
			mu.Unlock()
			return err
		})
	}
	err := group.Wait()
	f.settle(entries, short, err)
	return err
}

// groups cuts entries into groups of one project and about Group events each.
func (f *Follower) groups(entries []store.Batch) (groups [][]store.Batch) {
	slices.SortStableFunc(entries, func(a, b store.Batch) int { return cmp.Compare(a.Project, b.Project) })
	for lo := 0; lo < len(entries); {
		hi, events := lo, 0
		for hi < len(entries) && entries[hi].Project == entries[lo].Project && events < f.options.Group && hi-lo < page {
			events += entries[hi].Stored
			hi++
		}
		groups = append(groups, entries[lo:hi])
		lo = hi
	}
	return groups
}

// takeGroup adds the events of some entries of one project. When the store
// answers but cannot give them, the group is cut down to the batches that
// cannot be read, so that these hold up nobody else.
func (f *Follower) takeGroup(ctx context.Context, entries []store.Batch) (short []store.Batch, err error) {
	events, err := f.read(ctx, entries)
	switch {
	case err == nil:
		short = f.tables.Project(entries[0].Project).Add(entries, events)
		f.count(entries, len(events))
		return short, nil
	case fault.KindOf(err) == fault.Unavailable || ctx.Err() != nil:
		return nil, err
	case len(entries) == 1:
		f.log.Error("a batch cannot be read; its events are not in answers", zap.Error(err))
		return entries, nil
	}
	half := len(entries) / 2
	for _, part := range [][]store.Batch{entries[:half], entries[half:]} {
		missed, err := f.takeGroup(ctx, part)
		if short = append(short, missed...); err != nil {
			return short, err
		}
	}
	return short, nil
}

func (f *Follower) read(ctx context.Context, entries []store.Batch) ([]event.Event, error) {
	project := entries[0].Project
	ids := make([]string, len(entries))
	expected := 0
	for i, entry := range entries {
		ids[i] = entry.ID
		expected += entry.Stored
	}
	events := make([]event.Event, 0, expected)
	err := f.store.EventsOfBatches(ctx, project, ids, func(e *event.Event) error {
		events = append(events, *e)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the events of %d batches of project %s, %s first: %w", len(ids), project, ids[0], err)
	}
	return events, nil
}

func (f *Follower) count(entries []store.Batch, events int) {
	f.metrics.events.Add(float64(events))
	if !f.ready.Load() {
		f.loaded.Add(int64(events))
		return
	}
	now := event.TimeOf(time.Now())
	for _, entry := range entries {
		if entry.ReceivedAt != 0 {
			f.metrics.visible.Observe(float64(now-entry.ReceivedAt) / 1000)
		}
	}
}

const (
	firstRetry = time.Second
	lastRetry  = 10 * time.Minute
)

// settle keeps the entries that came short for another try, and forgets those that are complete.
func (f *Follower) settle(entries, short []store.Batch, err error) {
	if err == nil {
		for _, entry := range entries {
			if !slices.ContainsFunc(short, func(s store.Batch) bool { return keyOf(s) == keyOf(entry) }) {
				delete(f.short, keyOf(entry))
			}
		}
	}
	for _, entry := range short {
		f.owe(entry)
	}
	f.countShort()
}

func (f *Follower) owe(entry store.Batch) {
	d := f.short[keyOf(entry)]
	if d == nil {
		d = &debt{}
		f.short[keyOf(entry)] = d
		f.log.Warn("fewer events in the store than the journal says; trying again",
			zap.String("project", entry.Project), zap.String("batch", entry.ID),
			zap.Int("stored", entry.Stored), zap.Int("missing", f.missing(entry)))
	}
	d.entry = entry
	d.due = time.Now().Add(min(firstRetry<<min(d.tries, 20), lastRetry))
	d.tries++
}

func (f *Follower) countShort() {
	events := 0
	for _, d := range f.short {
		events += max(0, f.missing(d.entry))
	}
	f.metrics.shortBatches.Set(float64(len(f.short)))
	f.metrics.shortEvents.Set(float64(events))
}

// retryShort reads the entries again of which events were missing.
func (f *Follower) retryShort(ctx context.Context, now time.Time) error {
	var due []store.Batch
	for _, d := range f.short {
		if !now.Before(d.due) && len(due) < page {
			entry, err := f.asItIs(ctx, d.entry)
			if err != nil {
				return err
			}
			due = append(due, entry)
		}
	}
	if len(due) == 0 {
		return nil
	}
	return f.take(ctx, due)
}

// asItIs is the entry as the journal has it by now: what is missing may have
// been pruned meanwhile, which only the entry says.
func (f *Follower) asItIs(ctx context.Context, entry store.Batch) (store.Batch, error) {
	now, err := f.store.Batches(ctx, store.Cursor{WrittenAt: entry.WrittenAt, ID: entry.ID}, 1+len(f.tables.All()))
	for i := range now {
		if keyOf(now[i]) == keyOf(entry) {
			return now[i], err
		}
	}
	return entry, err
}
