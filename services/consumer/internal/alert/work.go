package alert

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/proc"
	"github.com/maidian/maidian/pkg/rule"
	"github.com/maidian/maidian/pkg/store"
	"github.com/maidian/maidian/services/consumer/internal/feed"
)

// work is the evaluation of one project's rules by this process.
type work struct {
	*Alerts
	project string
	record  *store.Record
	feed    *feed.Feed
	rules   *rule.Evaluator
	edition int
	empty   bool // there are no rules
	late    lateness

	firings   []rule.Firing // came out, not written yet
	savedAt   time.Time     // by the process's own clock: how often to write is nothing that rules see
	sampledAt time.Time
}

// evaluate goes on from where the state says until ctx ends, the lease is lost
// or something fails; what was not written by then is done again.
func (a *Alerts) evaluate(ctx context.Context, project string, b *book) error {
	w, err := a.resume(ctx, project, b)
	for err == nil && ctx.Err() == nil {
		var idle bool
		if idle, err = w.turn(ctx, b); err == nil && idle {
			proc.Pause(ctx, a.look)
		}
	}
	if err == nil {
		err = w.leave(ctx)
	}
	return err
}

func (a *Alerts) resume(ctx context.Context, project string, b *book) (*work, error) {
	record, s, err := a.load(ctx, project)
	if err != nil {
		return nil, err
	}
	w := &work{Alerts: a, project: project, record: record, savedAt: time.Now()}
	edition, rules := b.read()
	if s == nil {
		now := event.TimeOf(a.now())
		s = &state{Position: feed.At(now)}
		w.rules = rule.New(project, now)
		w.rules.Use(rules)
	} else if w.rules, err = rule.Restore(project, s.Evaluator, rules); err != nil {
		return nil, err
	}
	w.edition, w.empty = edition, len(rules) == 0
	w.feed = feed.OfProject(a.store, project, s.Position, a.overlap)
	return w, w.make(ctx, s.Firings)
}

// turn does what there is to do now.
func (w *work) turn(ctx context.Context, b *book) (idle bool, err error) {
	w.use(b)
	if !w.empty {
		if idle, err = w.follow(ctx); err == nil {
			err = w.sample(ctx)
		}
	} else {
		idle = true
	}
	if err != nil {
		return false, err
	}
	w.firings = append(w.firings, w.rules.Firings()...)
	if len(w.firings) > 0 || time.Since(w.savedAt) >= w.saveEvery {
		err = w.save(ctx)
	}
	return idle, err
}

// use takes up changed rules. Where there were none, what happened meanwhile is passed over.
func (w *work) use(b *book) {
	edition, rules := b.read()
	if edition == w.edition {
		return
	}
	if w.empty {
		now := event.TimeOf(w.now())
		w.feed = feed.OfProject(w.store, w.project, feed.At(now), w.overlap)
		w.rules.Advance(now)
	}
	w.rules.Use(rules)
	w.edition, w.empty = edition, len(rules) == 0
}

// eventsAtOnce is how many events are read and looked at between two writings of the state.
const eventsAtOnce = 5000

// follow looks at the next events; idle when these were the last.
func (w *work) follow(ctx context.Context) (idle bool, err error) {
	asked := event.TimeOf(w.now())
	entries, err := w.feed.Next(ctx, eventsAtOnce)
	if err != nil {
		return false, err
	}
	stored := 0
	for i := range entries {
		w.late.see(&entries[i])
		stored += entries[i].Stored
	}
	seen, err := w.rules.Take(ctx, w.store, entries)
	if err != nil {
		return false, err
	}
	w.metrics.events.Add(float64(seen))
	idle = stored < eventsAtOnce // that was the end of the journal
	if idle {
		w.rules.Advance(asked - w.late.by(asked))
	}
	w.metrics.behind.WithLabelValues(w.project).Set(float64(asked-w.rules.Progress()) / 1000)
	return idle, nil
}

// lateness is how long the newest entry of the journal was on its way. While
// consumers work off a backlog, the windows of the time of which it is must wait.
type lateness struct{ written, lag event.Time }

// mostLate is the most that windows wait for what is late.
const mostLate = event.Time(time.Hour / time.Millisecond)

func (l *lateness) see(entry *store.Batch) {
	l.written, l.lag = entry.WrittenAt, min(mostLate, max(0, entry.WrittenAt-entry.ReceivedAt))
}

// by is how late others may be at a moment; what was seen longer ago than its
// own lag says nothing any more.
func (l *lateness) by(now event.Time) event.Time {
	if now >= l.written+l.lag {
		return 0
	}
	return l.lag
}

// sampleEvery is how often the pipeline is asked how it is.
const sampleEvery = 5 * time.Second

// mostLettersCounted is the most dead letters that a sample counts.
const mostLettersCounted = 1000

// sample asks the pipeline what rules look at.
func (w *work) sample(ctx context.Context) error {
	now := w.now()
	if now.Sub(w.sampledAt) < sampleEvery {
		return nil
	}
	w.sampledAt = now
	at := event.TimeOf(now)
	for _, name := range w.rules.PipelineMetrics() {
		value, known := 0.0, true
		switch name {
		case "consumer_lag":
			value = float64(w.late.by(at)) / 1000
		case "alerts_behind":
			value = float64(at-w.rules.Progress()) / 1000
		case "dead_letters":
			letters, err := w.store.DeadLetters(ctx, w.project, "", mostLettersCounted)
			if err != nil {
				return fmt.Errorf("count dead letters: %w", err)
			}
			value = float64(len(letters))
		case "queue_depth":
			value, known = w.depth(ctx)
		default:
			known = false
		}
		if known {
			w.rules.Sample(name, at, value)
		}
	}
	return nil
}

// depth is unknown while the broker does not answer.
func (w *work) depth(ctx context.Context) (float64, bool) {
	if w.queue == nil {
		return 0, false
	}
	n, err := w.queue.Depth(ctx)
	if err != nil {
		w.log.Warn("cannot ask for the queue's depth, which a rule looks at", zap.Error(err))
	}
	return float64(n), err == nil
}

// save writes how far it is together with what came out, and then makes that.
// Who finds that somebody else has written has lost the lease, and what came
// out here comes out there.
func (w *work) save(ctx context.Context) error {
	evaluator, err := json.Marshal(w.rules)
	if err != nil {
		return err
	}
	w.record.Data, err = pack(&state{w.feed.Position(), evaluator, w.firings})
	if err != nil {
		return err
	}
	err = w.store.UpdateRecord(ctx, *w.record)
	if errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrNotFound) {
		return errLost
	}
	if err != nil {
		return fmt.Errorf("keep the state: %w", err)
	}
	w.record.Revision++
	w.savedAt = time.Now()
	firings := w.firings
	w.firings = nil
	w.metrics.state.WithLabelValues(w.project).Set(float64(len(w.record.Data)))
	for name, n := range w.rules.Crowded() {
		w.metrics.crowded.WithLabelValues(w.project, name).Set(float64(n))
	}
	return w.make(ctx, firings)
}

// make makes the firings that the state says came out, those that are not there yet.
func (w *work) make(ctx context.Context, firings []rule.Firing) error {
	for i := range firings {
		data, err := json.Marshal(firings[i])
		if err != nil {
			return err
		}
		err = w.store.CreateRecord(ctx, store.Record{Kind: rule.FiringKind, Project: w.project, ID: firings[i].ID, Due: event.TimeOf(w.now()), Data: data})
		switch {
		case err == nil:
			w.metrics.firings.WithLabelValues(w.project, firings[i].Severity, firings[i].State).Inc()
		case !errors.Is(err, store.ErrConflict):
			return fmt.Errorf("keep firing %s: %w", firings[i].ID, err)
		}
	}
	return nil
}

// leave writes how far it is before somebody else goes on.
func (w *work) leave(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	return w.save(ctx)
}
