// Package alert holds every project's rules against its events once these are
// stored. It follows the journal and is never in the way of storing. One
// process at a time does so for a project; which firings came out is written
// with how far it is, in one record, before anybody hears of them: so a firing
// is neither lost nor made twice, wherever a process stops. See README.md.
package alert

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/maidian/maidian/pkg/calendar"
	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/proc"
	"github.com/maidian/maidian/pkg/rule"
	"github.com/maidian/maidian/pkg/store"
	"github.com/maidian/maidian/services/consumer/internal/feed"
	"github.com/maidian/maidian/services/consumer/internal/lease"
)

// Store is what alerts need of it.
type Store interface {
	feed.Journal
	EventsOfBatches(ctx context.Context, project string, ids []string, yield func(*event.Event) error) error
	DeadLetters(ctx context.Context, project, after string, limit int) ([]store.DeadLetter, error)
	Projects(ctx context.Context) ([]store.Project, error)
	Record(ctx context.Context, kind, project, id string) (*store.Record, error)
	Records(ctx context.Context, kind, project, after string, limit int) ([]store.Record, error)
	CreateRecord(ctx context.Context, r store.Record) error
	UpdateRecord(ctx context.Context, r store.Record) error
	DeleteRecord(ctx context.Context, r store.Record) error
}

// Queue is asked for its depth when a rule looks at it; nil where it cannot be.
type Queue interface {
	Depth(ctx context.Context) (int, error)
}

// Alerts evaluates the rules of all projects.
type Alerts struct {
	store   Store
	queue   Queue
	leases  *lease.Keeper
	made    func() // is called when firings were
	metrics *Metrics
	log     *zap.Logger
	now     func() time.Time

	look      time.Duration // how often rules and the journal are looked at
	share     time.Duration // how long one look at the journal is good for all projects
	saveEvery time.Duration // what came out is written at once, everything that often
	overlap   time.Duration // see feed
	journal   *feed.Shared

	sampleEvery time.Duration
	waits       *waits
}

// New evaluates with leases taken by this process, and calls made when there are new firings.
func New(s Store, queue Queue, leases *lease.Keeper, made func(), metrics *Metrics, log *zap.Logger) *Alerts {
	return &Alerts{
		store: s, queue: queue, leases: leases, made: made, metrics: metrics, log: log, now: time.Now,
		look: 200 * time.Millisecond, share: 100 * time.Millisecond, saveEvery: 30 * time.Second, overlap: feed.DefaultOverlap,
		sampleEvery: sampleEvery,
	}
}

// LeaseName is of the lease that a project's rules are evaluated with.
const LeaseName = "alert"

// Run evaluates until ctx ends.
func (a *Alerts) Run(ctx context.Context) error {
	var working sync.WaitGroup
	defer working.Wait()
	a.begin()
	books := map[string]*book{}
	for ctx.Err() == nil {
		began := time.Now()
		if err := a.read(ctx, books); err != nil && ctx.Err() == nil {
			a.log.Warn("cannot read the rules", zap.Error(err))
		}
		for project, b := range books {
			if !b.begun {
				b.begun = true
				working.Go(func() { a.hold(ctx, project, b) })
			}
		}
		proc.Pause(ctx, max(5*a.look, sparing*time.Since(began)))
	}
	return nil
}

// begin makes what all projects share.
func (a *Alerts) begin() {
	a.journal = feed.NewShared(a.store, a.overlap, a.share, a.now)
	a.waits = &waits{queue: a.queue, now: a.now}
}

// hold evaluates a project's rules whenever it is this process that does.
func (a *Alerts) hold(ctx context.Context, project string, b *book) {
	err := a.leases.Do(ctx, project, LeaseName, func(ctx context.Context, _ int64) error {
		defer a.metrics.forget(project)
		for ctx.Err() == nil {
			err := a.evaluate(ctx, project, b)
			switch {
			case ctx.Err() != nil:
			case errors.Is(err, errLost):
				return nil
			default:
				a.metrics.failed.Inc()
				a.log.Warn("cannot go on with the rules of a project; trying again", zap.String("project", project), zap.Error(err))
				proc.Pause(ctx, 5*a.look)
			}
		}
		return nil
	})
	if err != nil {
		a.log.Error("rules are no longer evaluated", zap.String("project", project), zap.Error(err))
	}
}

// book is a project's rules as they were last read.
type book struct {
	begun bool

	mu       sync.Mutex
	edition  int // raised when they change
	contents []byte
	rules    []*rule.Rule
}

func (b *book) read() (edition int, rules []*rule.Rule) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.edition, b.rules
}

// pageOfRecords is how many rules are read at a time.
const pageOfRecords = 500

// read brings the books up to date; a project without rules keeps an empty one.
func (a *Alerts) read(ctx context.Context, books map[string]*book) error {
	byProject := map[string][]store.Record{}
	for after := ""; ; {
		page, err := a.store.Records(ctx, rule.RecordKind, "*", after, pageOfRecords)
		if err != nil {
			return err
		}
		for _, r := range page {
			byProject[r.Project] = append(byProject[r.Project], r)
			after = r.Key()
		}
		if len(page) < pageOfRecords {
			break
		}
	}
	zones, err := a.zones(ctx)
	if err != nil {
		return err
	}
	for project := range byProject {
		if books[project] == nil {
			books[project] = &book{}
		}
	}
	for project, b := range books {
		a.write(b, byProject[project], zones[project])
	}
	return nil
}

func (a *Alerts) zones(ctx context.Context) (map[string]string, error) {
	projects, err := a.store.Projects(ctx)
	zones := map[string]string{}
	for _, p := range projects {
		zones[p.ID] = p.Timezone
	}
	return zones, err
}

// write puts rules into a book, if they have changed. One that cannot be read
// is left out: it was written by a newer version, as the API refuses mistakes.
func (a *Alerts) write(b *book, records []store.Record, zone string) {
	contents := []byte(zone)
	for _, r := range records {
		contents = fmt.Appendf(contents, "\n%s %d", r.ID, r.Revision)
	}
	if bytes.Equal(contents, b.contents) {
		return
	}
	location, err := time.LoadLocation(zone)
	if err != nil {
		location = time.UTC
	}
	var rules []*rule.Rule
	for _, record := range records {
		var kept rule.Kept
		err := json.Unmarshal(record.Data, &kept)
		if err == nil {
			var r *rule.Rule
			if r, err = rule.Read(kept.Definition, calendar.Calendar{Zone: location, WeekStart: time.Monday}); err == nil {
				rules = append(rules, r)
			}
		}
		if err != nil {
			a.log.Warn("a rule cannot be read and is left out", zap.String("rule", record.Key()), zap.Error(err))
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.contents, b.rules = contents, rules
	b.edition++
}
