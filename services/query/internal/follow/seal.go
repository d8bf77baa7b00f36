package follow

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/proc"
	"github.com/maidian/maidian/pkg/store"
	"github.com/maidian/maidian/services/query/internal/sealed"
	"go.uber.org/zap"
)

// created is how long before its project a batch cannot have been written,
// whatever the clocks say.
const created = event.Time(time.Hour / time.Millisecond)

// restore brings in what is sealed, and says from when on the journal must be
// read. It can be called again after an error.
func (f *Follower) restore(ctx context.Context) (from event.Time, err error) {
	if f.options.Projects == nil {
		return from, nil
	}
	projects, err := f.options.Projects.Projects(ctx)
	if f.only != "" {
		projects = slices.DeleteFunc(projects, func(p store.Project) bool { return p.ID != f.only })
	}
	if err != nil || len(projects) == 0 {
		return from, err
	}
	for i, p := range projects {
		f.tables.Project(p.ID).Retain(p.PrunedBefore)
		since, err := f.restoreProject(ctx, p)
		if err != nil {
			return from, err
		}
		if i == 0 || since < from {
			from = since
		}
	}
	f.see(max(f.newest, from))
	f.before = max(f.before, from)
	return from, nil
}

// restoreProject returns the moment before which what the journal names of the project is in.
func (f *Follower) restoreProject(ctx context.Context, p store.Project) (event.Time, error) {
	if m := f.restored[p.ID]; m != nil {
		return event.Time(m.Before), f.takeOpen(ctx, p.ID, m)
	}
	var m *sealed.Manifest
	if f.options.Shelf != nil {
		var err error
		if m, err = f.options.Shelf.Manifest(ctx, p.ID); err != nil {
			return 0, err
		}
	}
	if m == nil {
		return p.CreatedAt - created, nil
	}
	start := time.Now()
	if err := f.tables.Project(p.ID).Restore(ctx, m); err != nil {
		return 0, err
	}
	f.restored[p.ID] = m
	rows := f.tables.Project(p.ID).Rows()
	f.loaded.Add(int64(rows))
	f.log.Info("sealed days restored", zap.String("project", p.ID), zap.Int("days", len(m.Days)), zap.Int("events", rows), zap.Duration("took", time.Since(start)))
	return event.Time(m.Before), f.takeOpen(ctx, p.ID, m)
}

// openAtOnce is how many open batches are read at a time.
const openAtOnce = 256

// takeOpen adds what open batches have on days that are not sealed.
func (f *Follower) takeOpen(ctx context.Context, project string, m *sealed.Manifest) error {
	for some := range slices.Chunk(m.Open, openAtOnce) {
		entries := make([]store.Batch, len(some))
		for i, o := range some {
			entries[i] = store.Batch{ID: o.ID, Project: project}
		}
		events, err := f.read(ctx, entries)
		if err != nil {
			return err
		}
		f.tables.Project(project).AddOpen(m, events)
		f.loaded.Add(int64(len(events)))
	}
	return nil
}

// settled is the moment before which what the journal names is in, but for what is owed.
type settled struct {
	before event.Time
	owed   []store.Batch
}

// settleUpTo moves that moment on, after a look that went back the whole
// overlap and began at start. What is still to come is from writers whose
// clocks are at most an overlap behind that of the newest entry, which has gone
// on since; the clock of this machine need not be that of any of them.
func (f *Follower) settleUpTo(start time.Time) {
	writers := f.newest + event.Time(start.Sub(f.newestAt).Milliseconds())
	f.before = max(f.before, min(writers, event.TimeOf(start))-event.Time(f.options.Overlap.Milliseconds()))
}

func (f *Follower) noteSettled() {
	s := &settled{before: f.before}
	for _, d := range f.short {
		s.owed = append(s.owed, d.entry)
	}
	f.settled.Store(s)
}

// sealOn seals the days that rest until ctx ends.
func (f *Follower) sealOn(ctx context.Context) {
	written := make(map[string]time.Time)
	for ok := true; ok; ok = proc.Pause(ctx, f.options.SealEvery) {
		projects, err := f.options.Projects.Projects(ctx)
		for i := 0; err == nil && i < len(projects); i++ {
			err = f.sealProject(ctx, projects[i].ID, written)
		}
		if err != nil && ctx.Err() == nil {
			f.metrics.failures.Inc()
			f.log.Warn("cannot seal days; trying again", zap.Error(err))
		}
	}
}

// manifestEvery is how old a manifest becomes when no day is sealed: a start
// reads what came since.
const manifestEvery = 10 * time.Minute

func (f *Follower) sealProject(ctx context.Context, project string, written map[string]time.Time) error {
	table, now := f.tables.Project(project), time.Now()
	upTo := f.settled.Load()
	owed := slices.DeleteFunc(slices.Clone(upTo.owed), func(b store.Batch) bool { return b.Project != project })
	short := func(day int32) bool {
		return slices.ContainsFunc(owed, func(b store.Batch) bool { return len(b.Days) == 0 || slices.Contains(b.Days, day) })
	}
	sealedAny, err := table.Seal(ctx, now, f.options.Rest, short)
	if err != nil {
		return err
	}
	if !sealedAny && now.Sub(written[project]) < manifestEvery {
		return nil
	}
	m := table.Manifest(upTo.before, owed)
	if m == nil {
		return nil
	}
	if err := f.options.Shelf.PutManifest(ctx, project, m); err != nil {
		return fmt.Errorf("note what is sealed: %w", err)
	}
	written[project] = now
	return nil
}

// drop takes out the events of these entries that were erased.
func (f *Follower) drop(ctx context.Context, entries []store.Batch) error {
	for _, entry := range entries {
		events, err := f.read(ctx, []store.Batch{entry})
		if err != nil {
			return err
		}
		erased, err := f.store.ErasedEvents(ctx, entry.Project, []string{entry.ID})
		if err != nil {
			return err
		}
		f.tables.Project(entry.Project).Drop(entry, events, erased)
	}
	return nil
}
