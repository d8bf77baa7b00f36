package prune

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/proc"
	"github.com/maidian/maidian/pkg/store"
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
	Before   int32        `json:"before"`             // what happened on days before it goes
	Dry      bool         `json:"dry,omitempty"`      // or is only counted
	HiddenAt event.Time   `json:"hidden_at,omitzero"` // since when answers are without these days
	At       store.Cursor `json:"at"`                 // where the journal is read on
	Tries    int          `json:"tries,omitempty"`    // that failed in a row, while the store was there

	Day  int32 `json:"day,omitempty"`  // on which a daily job is done
	Done int32 `json:"done,omitempty"` // the Before that it was last done with
}

// work is a job in this process's hands.
type work struct {
	*Pruner
	job  store.Job
	task task
}

// save changes the job here and in the store. After an error the two may
// differ, and the work must be taken up anew.
func (w *work) save(ctx context.Context, change func()) (err error) {
	w.job.Holder, w.job.HeldUntil = w.holder, event.TimeOf(w.now().Add(w.options.Hold))
	change()
	if w.job.Task, err = json.Marshal(w.task); err != nil {
		return err
	}
	if err := w.store.UpdateJob(ctx, w.job); err != nil {
		return fmt.Errorf("update job %s: %w", w.job.ID, err)
	}
	w.job.Revision++
	return nil
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

func (w *work) finish(ctx context.Context, state, why string) error {
	err := w.save(ctx, func() {
		w.job.State, w.job.Error, w.job.FinishedAt = state, why, event.TimeOf(w.now())
		if state == store.JobDone {
			w.task.Done = w.task.Before
		}
	})
	if err == nil {
		w.log.Info("pruning is finished", zap.String("project", w.job.Project), zap.String("job", w.job.ID), zap.String("state", state),
			zap.Bool("dry", w.task.Dry), zap.Stringer("before", startOf(w.task.Before)), zap.Any("counts", w.job.Counts))
	}
	return err
}

func startOf(day int32) event.Time {
	return event.Time(day) * event.Time(24*time.Hour/time.Millisecond)
}

// run does what is left to do.
func (w *work) run(ctx context.Context) error {
	if !w.task.Dry {
		if err := w.hide(ctx); err != nil {
			return err
		}
	}
	if err := w.pruneEvents(ctx); err != nil {
		return err
	}
	if err := w.pruneLetters(ctx); err != nil {
		return err
	}
	if !w.task.Dry {
		if err := w.pruneSegments(ctx); err != nil {
			return err
		}
	}
	return w.finish(ctx, store.JobDone, "")
}

// hide tells every replica that the days are going, and waits until they have heard.
func (w *work) hide(ctx context.Context) error {
	if w.task.HiddenAt == 0 {
		fresh, err := w.tell(ctx)
		if err == nil {
			err = w.save(ctx, func() {
				if w.task.HiddenAt = event.TimeOf(w.now()); !fresh {
					w.task.HiddenAt -= event.Time(w.options.Grace.Milliseconds()) // they know
				}
			})
		}
		if err != nil {
			return err
		}
	}
	proc.Pause(ctx, w.task.HiddenAt.Std().Add(w.options.Grace).Sub(w.now()))
	return ctx.Err()
}

// tell writes into the project from when on it has events; fresh: that is news.
func (w *work) tell(ctx context.Context) (fresh bool, err error) {
	for {
		projects, err := w.store.Projects(ctx)
		if err != nil {
			return false, fmt.Errorf("read projects: %w", err)
		}
		at := slices.IndexFunc(projects, func(p store.Project) bool { return p.ID == w.job.Project })
		if at < 0 || projects[at].PrunedBefore >= w.task.Before {
			return false, nil
		}
		projects[at].PrunedBefore = w.task.Before
		if err = w.store.UpdateProject(ctx, projects[at]); !errors.Is(err, store.ErrConflict) {
			return true, err
		}
	}
}

const (
	batchesAtOnce = 16     // of one step
	eventsAtOnce  = 1000   // from which on a step is large enough
	looksAtOnce   = 20_000 // entries of the journal, after which it is noted how far it is read

	// ahead is how much later than its entry was written an event may have happened, whatever the clocks.
	ahead = event.Time(3 * 24 * time.Hour / time.Millisecond)
)

// pruneEvents goes through the journal, which is nearly in the order of days.
func (w *work) pruneEvents(ctx context.Context) error {
	if w.task.At == (store.Cursor{}) && w.task.Done > 0 { // what was written earlier has no event left of another day
		w.task.At.WrittenAt = startOf(w.task.Done) - ahead
	}
	var some []store.Batch
	size, looks := 0, 0
	err := store.EachBatch(ctx, w.store, w.task.At, func(b *store.Batch) error {
		if w.concerns(b) {
			some, size = append(some, *b), size+b.Stored
		}
		if looks++; len(some) < batchesAtOnce && size < eventsAtOnce && looks < looksAtOnce {
			return nil
		}
		err := w.step(ctx, some, store.After(*b))
		some, size, looks = nil, 0, 0
		return err
	})
	if err != nil {
		return err
	}
	return w.step(ctx, some, w.task.At)
}

// concerns says whether a batch has, or may have, events of these days.
func (w *work) concerns(b *store.Batch) bool {
	if b.Project != w.job.Project || b.Stored == 0 {
		return false
	}
	return slices.ContainsFunc(b.Days, w.old) || len(b.Days) == 0 && b.Live() > 0
}

func (w *work) old(day int32) bool { return day < w.task.Before }

// step prunes some batches, notes how far the journal is read, and lets others
// have the store for a while.
func (w *work) step(ctx context.Context, some []store.Batch, at store.Cursor) error {
	start := time.Now()
	gone, err := w.pruneBatches(ctx, some)
	if err != nil {
		return err
	}
	took := time.Since(start)
	err = w.save(ctx, func() {
		w.task.At, w.task.Tries, w.job.Error = at, 0, ""
		w.job.Counts[events] += gone
		w.job.Counts[batches] += len(some)
	})
	if err == nil && len(some) > 0 {
		proc.Pause(ctx, min(w.rest()*took, w.options.Hold/4))
		err = ctx.Err()
	}
	return err
}

// hurry is after how long a job halves its pauses, so that it ends within a day.
const hurry = 6 * time.Hour

// rest is how many times as long as a step the pause after it is.
func (w *work) rest() time.Duration {
	return time.Duration(w.options.Rest >> min(w.now().Sub(w.job.StartedAt.Std())/hurry, 10))
}

// pruneBatches deletes what is old of these batches, and says how many events that were.
func (w *work) pruneBatches(ctx context.Context, some []store.Batch) (gone int, err error) {
	if len(some) == 0 {
		return 0, nil
	}
	prunings, ids, of := make([]store.Pruning, len(some)), make([]string, len(some)), make(map[string]*store.Pruning, len(some))
	for i := range some {
		prunings[i].Batch, ids[i] = some[i], some[i].ID
		of[some[i].ID] = &prunings[i]
	}
	err = w.store.EventsOfBatches(ctx, w.job.Project, ids, func(e *event.Event) error {
		p, day := of[e.BatchID], e.Timestamp.Day()
		if w.old(day) {
			p.Events = append(p.Events, e.EventID)
			gone++
		} else if at, found := slices.BinarySearch(p.Days, day); !found {
			p.Days = slices.Insert(p.Days, at, day)
		}
		return nil
	})
	if err != nil || w.task.Dry {
		return gone, err
	}
	if err := w.store.PruneEvents(ctx, prunings); err != nil {
		return 0, err
	}
	w.pruned.Add(float64(gone))
	return gone, nil
}

const (
	lettersAtOnce = 200
	daysOneByOne  = 400 // the days whose segments are deleted each for itself; what is older goes at once

	// firstDay is the first that events can have; segments before it are no day's.
	firstDay = math.MinInt32 + 1
)

// pruneSegments deletes what was derived from these days, those too that a
// replica sealed after they had been pruned.
func (w *work) pruneSegments(ctx context.Context) error {
	most := max(w.task.Done, w.task.Before-daysOneByOne)
	for day := w.task.Before - 1; day >= most; day-- {
		if err := w.deleteSegments(ctx, day, day); err != nil {
			return err
		}
	}
	return w.deleteSegments(ctx, firstDay, most-1)
}

func (w *work) deleteSegments(ctx context.Context, from, to int32) error {
	n, err := w.store.DeleteSegments(ctx, w.job.Project, from, to, nil)
	if err != nil || n == 0 {
		return err
	}
	return w.save(ctx, func() { w.job.Counts[segments] += n })
}

// pruneLetters deletes the dead letters that are as old. As of any that is
// discarded, there stays a note of each, without what was in it.
func (w *work) pruneLetters(ctx context.Context) error {
	for after := ""; ; {
		letters, err := w.store.DeadLetters(ctx, w.job.Project, after, lettersAtOnce)
		if err != nil || len(letters) == 0 {
			return err
		}
		after = letters[len(letters)-1].ID
		letters = slices.DeleteFunc(letters, func(l store.DeadLetter) bool { return !w.old(l.FirstSeen.Day()) })
		if len(letters) == 0 {
			continue
		}
		if err := w.discard(ctx, letters); err != nil {
			return err
		}
	}
}

func (w *work) discard(ctx context.Context, letters []store.DeadLetter) error {
	if !w.task.Dry {
		ids, discards := make([]string, len(letters)), make([]store.Discard, len(letters))
		now := event.TimeOf(w.now())
		for i, l := range letters {
			ids[i] = l.ID
			discards[i] = store.Discard{
				ID: fmt.Sprintf("%013d/%s", now, l.ID), Letter: l.ID, Project: l.Project, BatchID: l.BatchID, Position: l.Position, FirstSeen: l.FirstSeen,
				At: now, By: "retention", Reason: fmt.Sprintf("the project keeps nothing from before %s", startOf(w.task.Before)),
			}
		}
		if err := w.store.PutDiscards(ctx, discards); err != nil {
			return err
		}
		if _, err := w.store.DeleteDeadLetters(ctx, ids); err != nil {
			return err
		}
	}
	return w.save(ctx, func() { w.job.Counts[deadLetters] += len(letters) })
}
