package erase

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/store"
	"github.com/maidian/maidian/services/query/internal/columns"
)

// What is counted, by the names of the collections.
const (
	events      = "events"
	batches     = "batches" // whose entry in the journal says it
	segments    = "segments"
	deadLetters = "dead_letters"
)

// task is what a job is to do and how far it is.
type task struct {
	Subject
	Known   bool     `json:"known,omitempty"`   // Aliases are: they are found once, because the events that tell them go
	Aliases []string `json:"aliases,omitempty"` // anonymous ids that were first seen with the user
	Letters bool     `json:"letters,omitempty"` // dead letters are done
	Step    *step    `json:"step,omitempty"`    // begun
	Tries   int      `json:"tries,omitempty"`   // that failed in a row, while the store was there
}

// step is a part of the work that is done, and done again after a crash, as a whole.
type step struct {
	Events  []string `json:"events,omitempty"` // ids
	Batches int      `json:"batches,omitempty"`
	Days    []int32  `json:"days,omitempty"`
	Letters []string `json:"letters,omitempty"`
}

// work is a job in this process's hands.
type work struct {
	*Eraser
	mu   sync.Mutex
	job  store.Job
	task task
}

// take makes the job this process's own. One that cannot be read never will be: it ends here, and holds up nobody.
func (e *Eraser) take(ctx context.Context, job *store.Job) (*work, error) {
	w := &work{Eraser: e, job: *job}
	if err := json.Unmarshal(job.Task, &w.task); err != nil {
		err = fmt.Errorf("read what job %s is to do: %w", job.ID, err)
		return nil, errors.Join(err, w.finish(ctx, store.JobFailed, err.Error()))
	}
	return w, w.save(ctx, func() {
		w.job.State = store.JobRunning
		if w.job.StartedAt == 0 {
			w.job.StartedAt = event.TimeOf(e.now())
		}
	})
}

// save changes the job here and in the store. After an error the two may
// differ, and the work must be taken up anew.
func (w *work) save(ctx context.Context, change func()) (err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.job.Holder, w.job.HeldUntil = w.holder, event.TimeOf(w.now().Add(w.options.Hold))
	change()
	if w.job.Task = nil; w.job.FinishedAt == 0 {
		if w.job.Task, err = json.Marshal(w.task); err != nil {
			return err
		}
	}
	if err := w.store.UpdateJob(ctx, w.job); err != nil {
		return fmt.Errorf("update job %s: %w", w.job.ID, err)
	}
	w.job.Revision++
	return nil
}

// keep has do work on the job, and meanwhile tells others that somebody is at it.
func (w *work) keep(ctx context.Context, do func(context.Context) error) error {
	ctx, stop := context.WithCancelCause(ctx)
	beats := make(chan struct{})
	go func() {
		defer close(beats)
		tick := time.NewTicker(w.options.Hold / 3)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				if err := w.save(ctx, func() {}); err != nil {
					stop(err)
					return
				}
			}
		}
	}()
	err := do(ctx)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = cause
	}
	stop(nil)
	<-beats
	return err
}

// release lets another process have the job at once.
func (w *work) release() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = w.save(ctx, func() { w.job.HeldUntil = 0 }) // else they wait a little
}

// mostTries is how often in a row a job may fail before it is given up.
const mostTries = 5

// stumble notes why the job did not get on.
func (w *work) stumble(ctx context.Context, why error) error {
	if w.task.Tries+1 >= mostTries {
		return w.finish(ctx, store.JobFailed, why.Error())
	}
	return w.save(ctx, func() { w.job.Error, w.task.Tries = why.Error(), w.task.Tries+1 })
}

// finish forgets whom it was about.
func (w *work) finish(ctx context.Context, state, why string) error {
	err := w.save(ctx, func() { w.job.State, w.job.Error, w.job.FinishedAt = state, why, event.TimeOf(w.now()) })
	if err == nil {
		w.log.Info("an erasure is finished", zap.String("project", w.job.Project), zap.String("job", w.job.ID), zap.String("state", state), zap.Any("counts", w.job.Counts))
	}
	return err
}

// run does what is left to do.
func (w *work) run(ctx context.Context) error {
	if w.task.Step != nil {
		if err := w.perform(ctx); err != nil {
			return err
		}
	}
	v, err := w.view(ctx, w.job.CreatedAt)
	if err != nil {
		return err
	}
	if !w.task.Known {
		if err := w.save(ctx, func() { w.task.Known, w.task.Aliases = true, w.aliases(v) }); err != nil {
			return err
		}
	}
	if !w.task.Letters {
		if err := w.eraseLetters(ctx, v); err != nil {
			return err
		}
	}
	for {
		erased, err := w.eraseEvents(ctx, v)
		if err != nil {
			return err
		}
		if erased == 0 {
			return w.finish(ctx, store.JobDone, "")
		}
		// Once more, for what came in between; and nobody is told that it is done while answers still show something.
		if v, err = w.view(ctx, event.TimeOf(w.now())); err != nil {
			return err
		}
	}
}

// view is the project's events with all that the journal named before at.
func (w *work) view(ctx context.Context, at event.Time) (*columns.View, error) {
	for tick := time.NewTicker(10 * time.Millisecond); ; {
		v, err := w.views.View(ctx, w.job.Project)
		if err != nil || v.AsOf >= at {
			tick.Stop()
			return v, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			tick.Stop()
			return nil, ctx.Err()
		}
	}
}

// aliases are the anonymous ids whose events are the user's.
func (w *work) aliases(v *columns.View) []string {
	user, known := v.UserNumber(w.task.UserID)
	if w.task.AnonymousID != "" || !known || v.UserName(user) != w.task.UserID {
		return nil
	}
	return v.AnonymousIDs(user)
}

const (
	batchesAtOnce = 64  // in one step
	lettersAtOnce = 200 // read at a time
)

// eraseEvents goes once through the batches that have anything of the subject.
func (w *work) eraseEvents(ctx context.Context, v *columns.View) (erased int, err error) {
	ids, err := w.batches(ctx, v)
	if err != nil {
		return 0, err
	}
	for some := range slices.Chunk(ids, batchesAtOnce) {
		next, err := w.stepOf(ctx, some)
		if err == nil && len(next.Events) > 0 {
			err = w.do(ctx, next)
		}
		if err != nil {
			return erased, err
		}
		erased += len(next.Events)
	}
	return erased, nil
}

// stepOf finds the subject's events in batches.
func (w *work) stepOf(ctx context.Context, ids []string) (*step, error) {
	s := &step{}
	last := ""
	err := w.store.EventsOfBatches(ctx, w.job.Project, ids, func(e *event.Event) error {
		if !w.meant(e) {
			return nil
		}
		s.Events = append(s.Events, e.EventID)
		if e.BatchID != last {
			s.Batches, last = s.Batches+1, e.BatchID
		}
		if day := e.Timestamp.Day(); !slices.Contains(s.Days, day) {
			s.Days = append(s.Days, day)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read %d batches: %w", len(ids), err)
	}
	return s, nil
}

// grace is how much later than the job an event may have been received and
// still go: clocks differ, and what was on its way when somebody asked goes too.
const grace = event.Time(60_000)

// meant says whether the event is to go. What comes after is new data.
func (w *work) meant(e *event.Event) bool {
	return w.task.owns(e, w.task.Aliases) && e.ReceivedAt <= w.job.CreatedAt+grace
}

// do says what the step will do, and does it.
func (w *work) do(ctx context.Context, next *step) error {
	if err := w.save(ctx, func() { w.task.Step = next }); err != nil {
		return err
	}
	return w.perform(ctx)
}

// perform does the step that was begun, and counts it.
func (w *work) perform(ctx context.Context) error {
	s := w.task.Step
	stale, err := w.deleteSegments(ctx, s.Days)
	if err != nil {
		return err
	}
	if err := w.store.EraseEvents(ctx, w.job.Project, s.Events, event.TimeOf(w.now())); err != nil {
		return err
	}
	if _, err := w.store.DeleteDeadLetters(ctx, s.Letters); err != nil {
		return err
	}
	again, err := w.deleteSegments(ctx, s.Days)
	if err != nil {
		return err
	}
	return w.save(ctx, func() {
		w.task.Step, w.task.Tries, w.job.Error = nil, 0, ""
		w.job.Counts[events] += len(s.Events)
		w.job.Counts[batches] += s.Batches
		w.job.Counts[segments] += stale + again
		w.job.Counts[deadLetters] += len(s.Letters)
	})
}

// deleteSegments deletes what was derived from these days: before the events
// go, so that whoever then needs a day builds it from those that are left, and
// after, because a replica may have sealed it meanwhile.
func (w *work) deleteSegments(ctx context.Context, days []int32) (deleted int, err error) {
	for _, day := range days {
		n, err := w.store.DeleteSegments(ctx, w.job.Project, day, day, nil)
		if deleted += n; err != nil {
			return deleted, err
		}
	}
	return deleted, nil
}

// eraseLetters deletes the dead letters in which there is anything of the
// subject: those of the project, and those too broken to tell whose they are.
func (w *work) eraseLetters(ctx context.Context, v *columns.View) error {
	owns := func(e *event.Event) bool { return w.task.owns(e, w.task.Aliases) || w.joined(v, e) }
	for _, project := range []string{w.job.Project, ""} {
		for after := ""; ; {
			letters, err := w.store.DeadLetters(ctx, project, after, lettersAtOnce)
			if err != nil {
				return err
			}
			if len(letters) == 0 {
				break
			}
			after = letters[len(letters)-1].ID
			next := &step{}
			for i := range letters {
				if w.task.in(&letters[i], w.job.Project, owns, w.task.Aliases) {
					next.Letters = append(next.Letters, letters[i].ID)
				}
			}
			if len(next.Letters) > 0 {
				if err := w.do(ctx, next); err != nil {
					return err
				}
			}
		}
	}
	return w.save(ctx, func() { w.task.Letters = true })
}

// joined says so of an event that was never stored, if its anonymous id was
// first seen with the user.
func (w *work) joined(v *columns.View, e *event.Event) bool {
	if w.task.UserID == "" || e.UserID != "" || e.AnonymousID == "" {
		return false
	}
	user, known := v.UserNumber(e.AnonymousID)
	return known && v.UserName(user) == w.task.UserID
}
