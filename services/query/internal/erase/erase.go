// Package erase removes a person from a project for good: raw events, what was
// derived from them, and dead letters. It is a job, kept in the store with how
// far it has come, so that whichever process is there goes on with it.
//
// Before each step the job says in the store what the step will do. Whoever
// takes the job up after a crash does that step again first: every part of it
// can be done twice, and is counted once. Two processes that both believe that
// a job is theirs do no harm: the second to say what it did is told that the
// job has changed, and leaves it.
package erase

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

	"go.uber.org/zap"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/fault"
	"github.com/maidian/maidian/pkg/store"
	"github.com/maidian/maidian/services/query/internal/columns"
)

// Store is what erasing needs of it.
type Store interface {
	store.Jobs
	store.DeadLetters
	EventsOfBatches(ctx context.Context, project string, ids []string, yield func(*event.Event) error) error
	EraseEvents(ctx context.Context, project string, ids []string, at event.Time) error
	DeleteSegments(ctx context.Context, project string, from, to int32, names []string) (int, error)
}

// Views gives a project's events as they are now.
type Views interface {
	View(ctx context.Context, project string) (*columns.View, error)
}

// Options of an Eraser; zero values mean the defaults.
type Options struct {
	Poll time.Duration // between two looks for jobs that another process left; 1 s
	Hold time.Duration // how long a process that is not heard of keeps its job; 15 s
}

// Kind is the kind of these jobs.
const Kind = "erase"

// Eraser does the erasures of all projects, one after the other.
type Eraser struct {
	store   Store
	views   Views
	log     *zap.Logger
	now     func() time.Time
	options Options
	holder  string        // this process, to others
	asked   chan struct{} // somebody has asked for a job here
}

// New erases nothing before Run.
func New(s Store, views Views, log *zap.Logger, now func() time.Time, o Options) *Eraser {
	o.Poll, o.Hold = cmp.Or(o.Poll, time.Second), cmp.Or(o.Hold, 15*time.Second)
	return &Eraser{s, views, log, now, o, random(), make(chan struct{}, 1)}
}

func random() string { return strings.ToLower(rand.Text()) }

// Ask makes a job of it, which begins soon.
func (e *Eraser) Ask(ctx context.Context, project string, who Subject) (*store.Job, error) {
	task, err := json.Marshal(task{Subject: who})
	if err != nil {
		return nil, err
	}
	job := store.Job{
		ID: "job_" + random(), Project: project, Kind: Kind, State: store.JobWaiting, CreatedAt: event.TimeOf(e.now()), Task: task,
		Counts: map[string]int{events: 0, batches: 0, segments: 0, deadLetters: 0},
	}
	if err := e.store.CreateJob(ctx, job); err != nil {
		return nil, fmt.Errorf("create job: %w", err)
	}
	select {
	case e.asked <- struct{}{}:
	default:
	}
	return &job, nil
}

// Job is a job of the project, or store.ErrNotFound.
func (e *Eraser) Job(ctx context.Context, project, id string) (*store.Job, error) {
	return e.store.Job(ctx, project, id)
}

const longestPause = 30 * time.Second

// Run does jobs until ctx ends, and returns nil then.
func (e *Eraser) Run(ctx context.Context) error {
	failed := 0 // in a row
	for ctx.Err() == nil {
		did, err := e.doOldest(ctx)
		if err == nil {
			failed = 0
		} else if ctx.Err() == nil {
			failed++
			e.log.Warn("an erasure did not get on; trying again", zap.Error(err))
		}
		if !did {
			e.rest(ctx, min(e.options.Poll<<min(failed, 10), longestPause))
		}
	}
	return nil
}

// rest ends early when somebody asks.
func (e *Eraser) rest(ctx context.Context, pause time.Duration) {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-e.asked:
	}
}

// doOldest does the oldest unfinished job, unless another process is at it.
func (e *Eraser) doOldest(ctx context.Context) (did bool, err error) {
	job, err := e.oldest(ctx)
	if err != nil || job == nil {
		return false, err
	}
	w, err := e.take(ctx, job)
	if err != nil {
		return false, taken(err)
	}
	if err = w.keep(ctx, w.run); err == nil {
		return true, nil
	}
	switch {
	case ctx.Err() != nil:
		w.release()
	case errors.Is(err, store.ErrConflict):
		return false, nil
	case fault.KindOf(err) != fault.Unavailable:
		err = errors.Join(err, taken(w.stumble(ctx, err)))
	}
	return false, err
}

// taken is nil where somebody else took the job, which then is theirs.
func taken(err error) error {
	if errors.Is(err, store.ErrConflict) {
		return nil
	}
	return err
}

func (e *Eraser) oldest(ctx context.Context) (*store.Job, error) {
	jobs, err := e.store.UnfinishedJobs(ctx)
	if err != nil {
		return nil, fmt.Errorf("look for jobs: %w", err)
	}
	at := slices.IndexFunc(jobs, func(j store.Job) bool { return j.Kind == Kind })
	if at < 0 || jobs[at].Holder != e.holder && jobs[at].HeldUntil > event.TimeOf(e.now()) {
		return nil, nil
	}
	return &jobs[at], nil
}
