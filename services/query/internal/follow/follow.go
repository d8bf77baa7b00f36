// Package follow keeps the columns up with the journal: it looks for entries
// that are new, reads their events back from the store, and adds them.
//
// The journal is in the order of its writers' clocks, which differ. So every
// look begins a little before the newest entry, as far back as entries came
// late lately; every few seconds it begins a whole overlap back; and an audit
// goes slowly through all of the journal, again and again. What has been added
// already is known by its batch id, so looking twice costs little and adds nothing.
package follow

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/proc"
	"github.com/maidian/maidian/pkg/store"
	"github.com/maidian/maidian/services/query/internal/columns"
	"github.com/maidian/maidian/services/query/internal/sealed"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
)

// Store is what the follower reads.
type Store interface {
	columns.Reader
	Batches(ctx context.Context, after store.Cursor, limit int) ([]store.Batch, error)
	ErasedEvents(ctx context.Context, project string, batches []string) ([]string, error)
}

// Projects lists all projects.
type Projects interface {
	Projects(ctx context.Context) ([]store.Project, error)
}

// Options of a Follower; zero values mean the defaults.
type Options struct {
	Every   time.Duration // between two looks at the journal; 100 ms
	Overlap time.Duration // how far the clocks of consumers may differ and still be made up for within seconds; 60 s
	Audit   time.Duration // between two parts of the audit; 1 min
	Group   int           // events in memory at a time; 10,000

	Shelf     *sealed.Shelf // where days are sealed; nil: nowhere
	Projects  Projects      // whose days are, and how long they are kept; needed with Shelf
	Rest      columns.Rest  // when a day is sealed; an hour after it ended, 5 minutes after its last row came
	SealEvery time.Duration // between two looks for days that rest; 10 s
	Retention time.Duration // between two looks at which days are kept; 5 s
}

func (o Options) withDefaults() Options {
	set(&o.Every, 100*time.Millisecond)
	set(&o.Overlap, time.Minute)
	set(&o.Audit, time.Minute)
	set(&o.Group, 10_000)
	set(&o.Rest.Ended, time.Hour)
	set(&o.Rest.Still, 5*time.Minute)
	set(&o.SealEvery, 10*time.Second)
	set(&o.Retention, 5*time.Second)
	return o
}

func set[T int | time.Duration](option *T, usual T) {
	if *option == 0 {
		*option = usual
	}
}

// Follower is run by one goroutine.
type Follower struct {
	store   Store
	tables  *columns.Tables
	log     *zap.Logger
	metrics *metrics
	options Options

	newest   event.Time    // WrittenAt of the newest entry seen
	newestAt time.Time     // when it was seen first
	late     time.Duration // how far back a usual look begins
	deepAt   time.Time     // when the next look goes back the whole overlap
	auditAt  time.Time
	audit    audit
	short    map[key]*debt
	loaded   atomic.Int64 // events of the first pass
	ready    atomic.Bool

	only     string         // the project that is followed; empty: all
	renewed  chan *Follower // brings one project that has started anew; nil when none does
	renewing sync.WaitGroup
	outdated map[string]bool // projects that must start anew
	retainAt time.Time
	restored map[string]*sealed.Manifest // by project
	before   event.Time                  // the moment of settled, as of the last look that went back the whole overlap
	settled  atomic.Pointer[settled]
}

// New follows nothing before Run. Metrics go to registry unless it is nil.
func New(from Store, tables *columns.Tables, log *zap.Logger, registry prometheus.Registerer, o Options) *Follower {
	return &Follower{
		store: from, tables: tables, log: log, metrics: newMetrics(registry),
		options: o.withDefaults(), newestAt: time.Now(), late: leastLate, short: make(map[key]*debt),
		restored: make(map[string]*sealed.Manifest), outdated: make(map[string]bool),
	}
}

// Ready is nil once the whole journal has been read for the first time; until
// then answers would lack events.
func (f *Follower) Ready() error {
	if f.ready.Load() {
		return nil
	}
	return fmt.Errorf("loading the journal: %d events so far", f.loaded.Load())
}

// Run follows until ctx ends, and returns nil then. While the store is away it
// goes on trying, and readers keep what is there.
func (f *Follower) Run(ctx context.Context) error {
	if err := f.persist(ctx, f.first); err != nil {
		return nil // ctx has ended
	}
	defer f.renewing.Wait()
	var sealing sync.WaitGroup
	defer sealing.Wait()
	if f.options.Shelf != nil {
		sealing.Go(func() { f.sealOn(ctx) })
	}
	for proc.Pause(ctx, f.options.Every) {
		if err := f.persist(ctx, f.look); err != nil {
			return nil
		}
	}
	return nil
}

const (
	firstPause = 100 * time.Millisecond
	lastPause  = 5 * time.Second
)

// persist tries until do succeeds or ctx ends.
func (f *Follower) persist(ctx context.Context, do func(context.Context) error) error {
	pause := firstPause
	for {
		err := do(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil {
			if pause > firstPause {
				f.log.Info("following the journal again")
			}
			return nil
		}
		if pause == firstPause {
			f.log.Warn("cannot follow the journal; answering with what is here", zap.Error(err))
		}
		f.metrics.failures.Inc()
		proc.Pause(ctx, pause/2+rand.N(pause)) // replicas must not all come back at once
		pause = min(2*pause, lastPause)
	}
}

// first reads the whole journal. It can be called again after an error.
func (f *Follower) first(ctx context.Context) error {
	start := time.Now()
	if err := f.load(ctx, start); err != nil {
		return err
	}
	f.log.Info("journal loaded", zap.Int64("events", f.loaded.Load()), zap.Duration("took", time.Since(start)))
	return nil
}

func (f *Follower) load(ctx context.Context, start time.Time) error {
	f.auditAt = start.Add(f.options.Audit)
	progress := start.Add(progressEvery)
	from, err := f.restore(ctx)
	if err != nil {
		return err
	}
	_, err = f.readFrom(ctx, store.Cursor{WrittenAt: from}, func() {
		if time.Now().After(progress) {
			progress = time.Now().Add(progressEvery)
			f.log.Info("loading the journal", zap.Int64("events", f.loaded.Load()), zap.Stringer("written", f.newest))
		}
	})
	if err != nil {
		return err
	}
	if err := f.tables.Settle(ctx); err != nil {
		return err
	}
	f.tables.Prepare()
	f.settleUpTo(start)
	f.noteSettled()
	f.sayAsOf(start)
	f.ready.Store(true)
	return nil
}

const (
	progressEvery = 5 * time.Second
	leastLate     = time.Second
	deepEvery     = 12 // times in an overlap
)

// look reads what is new.
func (f *Follower) look(ctx context.Context) error {
	now := time.Now()
	back := f.late
	deep := !now.Before(f.deepAt)
	if deep {
		back = f.options.Overlap
	}
	// A writer whose clock is ahead must not hide the others.
	from := min(f.newest, event.TimeOf(now)) - event.Time(back.Milliseconds())
	lateness, err := f.readFrom(ctx, store.Cursor{WrittenAt: from}, func() {})
	if err != nil {
		return err
	}
	f.adapt(lateness, deep)
	if deep {
		f.settleUpTo(now)
	}
	if err := f.retain(ctx, now); err != nil {
		return err
	}
	if err := f.retryShort(ctx, now); err != nil {
		return err
	}
	if err := f.auditSome(ctx, now); err != nil {
		return err
	}
	if err := f.tables.Settle(ctx); err != nil {
		return err
	}
	f.noteSettled()
	f.sayAsOf(now)
	f.metrics.looks.Observe(time.Since(now).Seconds())
	return nil
}

// adapt sets how far back the next looks begin: half again as far as an entry
// was late, and slowly less when none is.
func (f *Follower) adapt(lateness time.Duration, deep bool) {
	if deep {
		f.deepAt = time.Now().Add(f.options.Overlap / deepEvery)
		f.late = f.late * 9 / 10
	}
	f.late = min(max(f.late, lateness*3/2, leastLate), f.options.Overlap)
	f.metrics.late.Set(f.late.Seconds())
}

// page is how many entries of the journal are read at a time.
const page = 1000

// readFrom adds the events of all entries after the cursor that are not in
// yet. It returns how much older than the newest entry the latest-coming of them was.
func (f *Follower) readFrom(ctx context.Context, after store.Cursor, step func()) (lateness time.Duration, err error) {
	var fresh, gone []store.Batch
	events := 0
	for {
		entries, err := f.store.Batches(ctx, after, page)
		if err != nil {
			return 0, fmt.Errorf("read the journal: %w", err)
		}
		for _, entry := range entries {
			after = store.After(entry)
			if f.only != "" && entry.Project != f.only {
				continue
			}
			lateness = max(lateness, f.sight(entry))
			switch missing := f.missing(entry); {
			case missing > 0 && f.short[keyOf(entry)] == nil:
				fresh, events = append(fresh, entry), events+entry.Stored
				if entry.Erased > 0 && f.restored[entry.Project] != nil { // a sealed day may have what was erased since
					gone = append(gone, entry)
				}
			case missing < 0 && entry.Erased > 0, f.erasedMeanwhile(entry):
				gone = append(gone, entry)
			}
		}
		if last := len(entries) < page; last || events >= readers*f.options.Group {
			err := f.take(ctx, fresh)
			if err == nil {
				err = f.drop(ctx, gone)
			}
			if err != nil || last {
				return lateness, err
			}
			fresh, gone, events = nil, nil, 0
			step()
		}
	}
}

// sight notes the entry's time, and says how late it came if it was not known.
func (f *Follower) sight(entry store.Batch) (late time.Duration) {
	if entry.WrittenAt >= f.newest {
		f.see(min(entry.WrittenAt, event.TimeOf(time.Now().Add(f.options.Overlap))))
	} else if f.ready.Load() && f.missing(entry) > 0 {
		late = time.Duration(f.newest-entry.WrittenAt) * time.Millisecond
	}
	return late
}

func (f *Follower) see(written event.Time) {
	if written != f.newest {
		f.newest, f.newestAt = written, time.Now()
	}
}

// erasedMeanwhile says of an entry all of whose events were erased that sealed
// days may still have them, from before this process began.
func (f *Follower) erasedMeanwhile(entry store.Batch) bool {
	return entry.Erased > 0 && entry.Live() <= 0 && f.restored[entry.Project] != nil && !f.tables.Project(entry.Project).Knows(entry)
}

// missing is how many of the entry's events are not in; below zero: how many
// are in that are not stored any more.
func (f *Follower) missing(entry store.Batch) int {
	if entry.Stored == 0 {
		return 0
	}
	// Of what was pruned it does not matter whether it was in.
	return entry.Stored - entry.Erased - max(entry.Pruned, f.tables.Project(entry.Project).Has(entry))
}

// sayAsOf says up to when all is in. Aside nobody looks yet.
func (f *Follower) sayAsOf(at time.Time) {
	if f.only == "" {
		f.tables.SetAsOf(event.TimeOf(at))
	}
}
