// Package prune deletes what a project keeps no longer: raw events by the UTC
// day on which they happened, what was derived from them, and dead letters. It
// is a job, kept in the store with how far it has come; whichever process holds
// it goes on from there, and every step of it can be done twice.
//
// The days are hidden from answers first, on every replica, and deleted then.
package prune

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/fault"
	"github.com/maidian/maidian/pkg/proc"
	"github.com/maidian/maidian/pkg/store"
)

// Store is what pruning needs of it.
type Store interface {
	store.Jobs
	store.DeadLetters
	Projects(ctx context.Context) ([]store.Project, error)
	UpdateProject(ctx context.Context, p store.Project) error
	Batches(ctx context.Context, after store.Cursor, limit int) ([]store.Batch, error)
	EventsOfBatches(ctx context.Context, project string, ids []string, yield func(*event.Event) error) error
	PruneEvents(ctx context.Context, prunings []store.Pruning) error
	DeleteSegments(ctx context.Context, project string, from, to int32, names []string) (int, error)
}

// Options of a Pruner; zero values mean the defaults.
type Options struct {
	Poll  time.Duration // between two looks for jobs; 5 s
	Hold  time.Duration // how long a process that is not heard of keeps its job; 2 min
	Grace time.Duration // from hiding days until deleting them: every replica has heard of it by then; 30 s
	Rest  int           // pauses are so many times as long as the steps between them, at first; 19
}

// Kind is the kind of these jobs.
const Kind = "prune"

// daily is the id of a project's job that is done again every day.
const daily = "job_retention"

// settled is how far into a day the one before it is over for everybody: its
// segments are written, so replicas need not read its raw events to start anew.
const settled = 3 * time.Hour

// Pruner does the pruning of all projects, one after the other.
type Pruner struct {
	store   Store
	log     *zap.Logger
	now     func() time.Time
	options Options
	holder  string // this process, to others
	pruned  prometheus.Counter
	overdue prometheus.Gauge
}

// New prunes nothing before Run. Metrics go to registry unless it is nil.
func New(s Store, log *zap.Logger, registry prometheus.Registerer, now func() time.Time, o Options) *Pruner {
	o.Poll, o.Hold, o.Grace, o.Rest = cmp.Or(o.Poll, 5*time.Second), cmp.Or(o.Hold, 2*time.Minute), cmp.Or(o.Grace, 30*time.Second), cmp.Or(o.Rest, 19)
	p := &Pruner{
		store: s, log: log, now: now, options: o, holder: strings.ToLower(rand.Text()),
		pruned:  prometheus.NewCounter(prometheus.CounterOpts{Name: "maidian_query_pruned_events_total", Help: "Events that were deleted because their project keeps them no longer."}),
		overdue: prometheus.NewGauge(prometheus.GaugeOpts{Name: "maidian_query_retention_overdue_seconds", Help: "Time by which the project that is most behind keeps events longer than it says, in whole days; one for a few hours a day."}),
	}
	if registry != nil {
		registry.MustRegister(p.pruned, p.overdue)
	}
	return p
}

// Before is the first day that is kept of so many.
func Before(now time.Time, days int) int32 {
	return event.TimeOf(now.Add(-settled)).Day() - int32(days)
}

// Ask makes a job that deletes the project's events of the days before one, or
// with dry counts them alone.
func (p *Pruner) Ask(ctx context.Context, project string, before int32, dry bool) (*store.Job, error) {
	job, err := p.job("job_"+strings.ToLower(rand.Text()), project, &task{Before: before, Dry: dry})
	if err != nil {
		return nil, err
	}
	if err := p.store.CreateJob(ctx, *job); err != nil {
		return nil, fmt.Errorf("create job: %w", err)
	}
	return job, nil
}

func (p *Pruner) job(id, project string, t *task) (*store.Job, error) {
	text, err := json.Marshal(t)
	return &store.Job{
		ID: id, Project: project, Kind: Kind, State: store.JobWaiting, CreatedAt: event.TimeOf(p.now()), Task: text,
		Counts: map[string]int{events: 0, batches: 0, segments: 0, deadLetters: 0},
	}, err
}

const longestPause = 5 * time.Minute

// Run does jobs until ctx ends, and returns nil then.
func (p *Pruner) Run(ctx context.Context) error {
	failed := 0 // in a row
	for {
		did, err := p.doNext(ctx)
		if err == nil {
			failed = 0
		} else if ctx.Err() == nil {
			failed++
			p.log.Warn("pruning did not get on; trying again", zap.Error(err))
		}
		if did {
			continue
		}
		if !proc.Pause(ctx, min(p.options.Poll<<min(failed, 10), longestPause)) {
			return nil
		}
	}
}

// doNext opens the jobs of this day and does the oldest that nobody holds.
func (p *Pruner) doNext(ctx context.Context) (did bool, err error) {
	if err := p.open(ctx); err != nil {
		return false, err
	}
	jobs, err := p.store.UnfinishedJobs(ctx)
	if err != nil {
		return false, fmt.Errorf("look for jobs: %w", err)
	}
	at := slices.IndexFunc(jobs, func(j store.Job) bool {
		return j.Kind == Kind && (j.Holder == p.holder || j.HeldUntil <= event.TimeOf(p.now()))
	})
	if at < 0 {
		return false, nil
	}
	return p.do(ctx, &jobs[at])
}

// do does a job unless somebody else takes it.
func (p *Pruner) do(ctx context.Context, job *store.Job) (did bool, err error) {
	w := &work{Pruner: p, job: *job}
	if err := json.Unmarshal(job.Task, &w.task); err != nil {
		err = fmt.Errorf("read what job %s is to do: %w", job.ID, err)
		return false, errors.Join(err, w.finish(ctx, store.JobFailed, err.Error()))
	}
	err = w.save(ctx, func() {
		w.job.State = store.JobRunning
		w.job.StartedAt = cmp.Or(w.job.StartedAt, event.TimeOf(p.now()))
	})
	if err == nil {
		err = w.run(ctx)
	}
	switch {
	case err == nil:
		return true, nil
	case ctx.Err() != nil:
		w.release()
	case errors.Is(err, store.ErrConflict): // it is another's now
		return false, nil
	case fault.KindOf(err) != fault.Unavailable:
		err = errors.Join(err, w.stumble(ctx, err))
	}
	return false, err
}

// open has the daily job of each project done that keeps events for some days,
// or has ever pruned any: what came late for days that are gone goes as well.
func (p *Pruner) open(ctx context.Context) error {
	projects, err := p.store.Projects(ctx)
	if err != nil {
		return fmt.Errorf("read projects: %w", err)
	}
	overdue := int32(0)
	for i := range projects {
		if projects[i].RetentionDays == 0 && projects[i].PrunedBefore == 0 {
			continue
		}
		before := projects[i].PrunedBefore
		if projects[i].RetentionDays > 0 {
			before = max(before, Before(p.now(), projects[i].RetentionDays))
		}
		done, err := p.openDaily(ctx, projects[i].ID, before)
		if err != nil {
			return fmt.Errorf("prune project %s daily: %w", projects[i].ID, err)
		}
		overdue = max(overdue, before-done)
	}
	p.overdue.Set(float64(overdue) * 86400)
	return nil
}

// openDaily opens the job unless it was done this day, and says up to which day it has got.
func (p *Pruner) openDaily(ctx context.Context, project string, before int32) (done int32, err error) {
	today := Before(p.now(), 0)
	old, err := p.store.Job(ctx, project, daily)
	if errors.Is(err, store.ErrNotFound) {
		job, err := p.job(daily, project, &task{Before: before, Day: today})
		if err == nil {
			err = p.store.CreateJob(ctx, *job)
		}
		return before - 1, taken(err)
	}
	if err != nil {
		return 0, err
	}
	var was task
	if err := json.Unmarshal(old.Task, &was); err != nil {
		return 0, fmt.Errorf("read what job %s did: %w", old.ID, err)
	}
	if old.FinishedAt == 0 || was.Day == today && was.Before >= before && old.State == store.JobDone {
		return was.Done, nil
	}
	job, err := p.job(daily, project, &task{Before: before, Day: today, Done: was.Done})
	if err != nil {
		return 0, err
	}
	job.Revision = old.Revision
	return was.Done, taken(p.store.UpdateJob(ctx, *job))
}

// taken is nil where somebody else was first.
func taken(err error) error {
	if errors.Is(err, store.ErrConflict) {
		return nil
	}
	return err
}
