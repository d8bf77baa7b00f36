package alert

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/proc"
	"github.com/maidian/maidian/pkg/rule"
	"github.com/maidian/maidian/pkg/store"
	"github.com/maidian/maidian/services/consumer/internal/feed"
)

// work is the evaluation of one project's rules by this process. Whatever its
// evaluator is given is a step that is kept, so that the one who goes on after
// this process comes to the same without having everything written at every firing.
type work struct {
	*Alerts
	project string
	kept    *kept
	feed    *feed.Feed
	late    lateness

	rules    *rule.Evaluator // of what happens
	pipeline *rule.Evaluator // of how the pipeline is
	edition  int
	empty    bool // there are no rules

	steps    []step        // since the snapshot
	firings  []rule.Firing // came out, not written yet
	changed  bool          // by something that is no step: all has to be written
	snapped  time.Time     // by the process's own clock, as is the next one: how often to write is nothing that rules see
	snapping time.Duration // how long the last snapshot took
	sampled  time.Time
	answered event.Time // when the queue was last known

	past    *rule.Past // that is being read
	learned chan error
	reading sync.WaitGroup
}

// evaluate goes on from where the state says until ctx ends, the lease is lost
// or something fails; what was not written by then is done again.
func (a *Alerts) evaluate(ctx context.Context, project string, b *book) error {
	w := &work{Alerts: a, project: project}
	working, stop := context.WithCancel(ctx)
	defer w.reading.Wait()
	defer stop()
	err := w.resume(ctx, b)
	if w.feed != nil {
		defer func() { w.feed.Leave() }()
	}
	for err == nil && ctx.Err() == nil {
		var idle bool
		if idle, err = w.turn(working, b); err == nil && idle {
			proc.Pause(ctx, a.look)
		}
	}
	if err == nil {
		err = w.leave(ctx)
	}
	return err
}

// resume does again what was done since the snapshot, and makes the firings
// that the state says came out and that are not there yet.
func (w *work) resume(ctx context.Context, b *book) (err error) {
	if w.kept, err = load(ctx, w.store, w.project); err != nil {
		return err
	}
	edition, rules := b.read()
	w.edition, w.empty, w.changed = edition, len(rules) == 0, true
	happens, pipeline := apart(rules)
	m, firings := w.kept.memory, w.kept.Firings
	if w.kept.Snapshot.Parts > 0 {
		err = w.kept.get(ctx, w.kept.Snapshot, &m)
	}
	if err == nil && w.kept.More.Parts > 0 {
		err = w.kept.get(ctx, w.kept.More, &firings)
	}
	if err != nil {
		return err
	}
	now := event.TimeOf(w.now())
	if m.Evaluator == nil {
		m.Position = feed.At(now)
	}
	if w.rules, err = restore(w.project, m.Evaluator, happens, now); err != nil {
		return err
	}
	if w.pipeline, err = restore(w.project, m.Pipeline, pipeline, now); err != nil {
		return err
	}
	w.feed = w.journal.Feed(w.project, m.Position)
	if err := w.again(ctx, w.kept.Steps); err != nil {
		return err
	}
	w.firings = slices.Concat(firings, w.came()) // those that steps make again are mostly the same
	return nil
}

// apart are the rules of what happens, and those of how the pipeline is.
func apart(rules []*rule.Rule) (happens, pipeline []*rule.Rule) {
	for _, r := range rules {
		if r.Kind == "pipeline" {
			pipeline = append(pipeline, r)
		} else {
			happens = append(happens, r)
		}
	}
	return happens, pipeline
}

// restore begins now where nothing was kept.
func restore(project string, state []byte, rules []*rule.Rule, now event.Time) (*rule.Evaluator, error) {
	if state != nil {
		return rule.Restore(project, state, rules)
	}
	e := rule.New(project, now)
	e.Use(rules)
	return e, nil
}

// came are the firings that came out since it was last asked.
func (w *work) came() []rule.Firing { return append(w.rules.Firings(), w.pipeline.Firings()...) }

// again gives the evaluator what it was given before.
func (w *work) again(ctx context.Context, steps []step) error {
	var entries []store.Batch
	take := func() error {
		_, err := w.rules.Take(ctx, w.store, entries)
		w.feed.Know(entries)
		entries = entries[:0]
		return err
	}
	for i := range steps {
		s := &steps[i]
		if s.Entry != "" {
			entries = append(entries, store.Batch{ID: s.Entry, Project: w.project, WrittenAt: s.Written, ReceivedAt: s.Received, Stored: 1})
			continue
		}
		if err := take(); err != nil {
			return err
		}
		if s.Metric != "" {
			w.give(s.Metric, s.At, s.Value)
		} else {
			w.rules.Advance(s.At)
		}
	}
	return take()
}

// turn does what there is to do now.
func (w *work) turn(ctx context.Context, b *book) (idle bool, err error) {
	w.use(b)
	if idle = w.empty; idle {
		w.metrics.forget(w.project)
	} else {
		if idle, err = w.follow(ctx); err == nil {
			err = w.sample(ctx)
		}
		if err == nil {
			err = w.learn(ctx)
		}
	}
	if err != nil {
		return false, err
	}
	w.firings = append(w.firings, w.came()...)
	switch {
	case w.changed || len(w.steps) >= mostSteps || time.Since(w.snapped) >= max(w.saveEvery, sparing*w.snapping):
		err = w.snapshot(ctx)
	case len(w.firings) > 0:
		err = w.save(ctx, root{Snapshot: w.kept.Snapshot, Steps: w.steps})
	}
	return idle, err
}

const (
	mostSteps = 5000
	sparing   = 20 // a snapshot takes no more than one part in so many of the time, nor does reading the rules
)

// use takes up changed rules. Where there were none, what happened meanwhile is passed over.
func (w *work) use(b *book) {
	edition, rules := b.read()
	if edition == w.edition {
		return
	}
	if w.empty {
		now := event.TimeOf(w.now())
		w.feed.Leave()
		w.feed = w.journal.Feed(w.project, feed.At(now))
		w.rules.Advance(now)
		w.pipeline.Advance(now)
	}
	happens, pipeline := apart(rules)
	w.rules.Use(happens)
	w.pipeline.Use(pipeline)
	w.edition, w.empty, w.changed = edition, len(rules) == 0, true
}

// eventsAtOnce is how many events are read and looked at between two writings of the state.
const eventsAtOnce = 5000

// follow looks at the next events; idle when these were the last.
func (w *work) follow(ctx context.Context) (idle bool, err error) {
	entries, err := w.feed.Next(ctx, eventsAtOnce)
	if err != nil {
		return false, err
	}
	stored := 0
	for i := range entries {
		w.late.see(&entries[i])
		stored += entries[i].Stored
		w.steps = append(w.steps, step{Entry: entries[i].ID, Written: entries[i].WrittenAt, Received: entries[i].ReceivedAt})
	}
	seen, err := w.rules.Take(ctx, w.store, entries)
	if err != nil {
		return false, err
	}
	w.metrics.events.Add(float64(seen))
	if idle = stored < eventsAtOnce; idle { // that was the end of the journal
		w.advance(w.upTo(ctx, event.TimeOf(w.feed.Looked())))
	}
	w.metrics.behind.set(w.project, w.rules.Progress())
	return idle, nil
}

// advance tells the time. Telling it twice is telling the later one.
func (w *work) advance(t event.Time) {
	w.rules.Advance(t)
	if last := len(w.steps) - 1; last >= 0 && w.steps[last].Entry == "" && w.steps[last].Metric == "" {
		w.steps = w.steps[:last]
	}
	w.steps = append(w.steps, step{At: w.rules.Progress()})
}

// mostLearned is how many events and entries of the journal are read for what was before.
const mostLearned = 2_000_000

// learn lets rules that have just begun know what was before, once that is read.
func (w *work) learn(ctx context.Context) error {
	if w.past == nil {
		if !w.changed { // a rule begins only where all is written
			return nil
		}
		if w.past = w.rules.Past(); w.past == nil {
			return nil
		}
		past, learned := w.past, make(chan error, 1)
		w.learned = learned
		w.reading.Go(func() { learned <- past.Read(ctx, w.store, w.store, mostLearned) })
	}
	select {
	case err := <-w.learned:
		if err != nil {
			return fmt.Errorf("read what was before the rules began: %w", err)
		}
		w.rules.Learn(w.past)
		w.past, w.changed = nil, true
		return w.learn(ctx) // other rules may have begun meanwhile
	default:
		return nil
	}
}

// snapshot writes everything, so that steps begin anew.
func (w *work) snapshot(ctx context.Context) error {
	began := time.Now()
	m := memory{Position: w.feed.Position()}
	var err error
	if m.Evaluator, err = json.Marshal(w.rules); err != nil {
		return err
	}
	if m.Pipeline, err = json.Marshal(w.pipeline); err != nil {
		return err
	}
	old := w.kept.Snapshot
	b, size, err := w.kept.put(ctx, "snapshot", m)
	if err != nil {
		return err
	}
	w.steps = nil
	if err := w.save(ctx, root{Snapshot: b}); err != nil {
		return err
	}
	w.kept.drop(ctx, old)
	w.changed, w.snapped, w.snapping = false, time.Now(), time.Since(began)
	w.metrics.state.WithLabelValues(w.project).Set(float64(size))
	return w.tellHealth(ctx)
}

// tellHealth says how the rules are, to people and to the API.
func (w *work) tellHealth(ctx context.Context) error {
	status := w.rules.Status(event.TimeOf(w.now()))
	maps.Copy(status.Rules, w.pipeline.Status(status.At).Rules)
	w.metrics.crowded.DeletePartialMatch(map[string]string{"project": w.project})
	for name, h := range status.Rules {
		if h.Crowded > 0 {
			w.metrics.crowded.WithLabelValues(w.project, name).Set(float64(h.Crowded))
		}
	}
	data, err := json.Marshal(status)
	if err != nil {
		return err
	}
	r, err := w.store.Record(ctx, rule.StatusKind, w.project, rule.StatusID)
	write := w.store.UpdateRecord
	if errors.Is(err, store.ErrNotFound) {
		r, write, err = &store.Record{Kind: rule.StatusKind, Project: w.project, ID: rule.StatusID}, w.store.CreateRecord, nil
	}
	if err == nil {
		r.Data = data
		err = write(ctx, *r)
	}
	if errors.Is(err, store.ErrConflict) {
		return errLost
	}
	return err
}

// mostInRoot is how many firings stand in the root itself.
const mostInRoot = 200

// save writes the root together with what came out, and then makes that. Who
// finds that somebody else has written has lost the lease, and what came out
// here comes out there.
func (w *work) save(ctx context.Context, r root) (err error) {
	old := w.kept.More
	if r.Firings = w.firings; len(r.Firings) > mostInRoot {
		if r.More, _, err = w.kept.put(ctx, "firings", r.Firings); err != nil {
			return err
		}
		r.Firings = nil
	}
	if err := w.kept.write(ctx, r); err != nil {
		return err
	}
	w.kept.drop(ctx, old)
	firings := w.firings
	w.firings = nil
	return w.make(ctx, firings)
}

// madeAtOnce is how many firings are written at a time.
const madeAtOnce = 32

// make makes the firings that the state says came out, those that are not there yet.
func (w *work) make(ctx context.Context, firings []rule.Firing) error {
	err := proc.Together(len(firings), madeAtOnce, func(i int) error { return w.makeOne(ctx, &firings[i]) })
	if len(firings) > 0 {
		w.made()
	}
	return err
}

func (w *work) makeOne(ctx context.Context, f *rule.Firing) error {
	data, err := json.Marshal(f)
	if err != nil {
		return err
	}
	err = w.store.CreateRecord(ctx, store.Record{Kind: rule.FiringKind, Project: w.project, ID: f.ID, Due: event.TimeOf(w.now()), Data: data})
	switch {
	case err == nil:
		w.metrics.firings.WithLabelValues(w.project, f.Severity, f.State).Inc()
	case !errors.Is(err, store.ErrConflict):
		return fmt.Errorf("keep firing %s: %w", f.ID, err)
	}
	return nil
}

// leave writes how far it is before somebody else goes on.
func (w *work) leave(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	return w.snapshot(ctx)
}
