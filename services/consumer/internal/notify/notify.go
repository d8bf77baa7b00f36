// Package notify tells people of firings. A firing's record is due until there
// is a notice of it for each of its channels; a notice's record is due whenever
// it should be tried. So nothing is only in memory: whoever is killed at any
// moment, another goes on, and people are told at least once.
package notify

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/notice"
	"github.com/maidian/maidian/pkg/proc"
	"github.com/maidian/maidian/pkg/rule"
	"github.com/maidian/maidian/pkg/store"
	"github.com/maidian/maidian/services/consumer/internal/channel"
)

// Sender speaks to a channel once.
type Sender interface {
	Send(ctx context.Context, c *notice.Channel, n *notice.Notice) (remark string, err error)
}

// Times are how long things take.
type Times struct {
	Look    time.Duration // between looks for what is due
	Try     time.Duration // longest time of one attempt
	Taken   time.Duration // in which nobody else tries what one has taken; longer than Try
	First   time.Duration // from the first attempt to the second; then twice as long each time
	Longest time.Duration // between two attempts
	Patient time.Duration // from the firing until it is given up
	Keep    time.Duration // in which one that was delivered is still listed
	Past    time.Duration // in which firings, silences that are over and notices that were given up are still there
	Grace   time.Duration // in which an attempt may end when the process is to stop
}

// defaultTimes are those of production.
var defaultTimes = Times{
	Look: 200 * time.Millisecond, Try: 30 * time.Second, Taken: time.Minute, First: 5 * time.Second, Longest: time.Hour,
	Patient: 24 * time.Hour, Keep: 7 * 24 * time.Hour, Past: 90 * 24 * time.Hour, Grace: 5 * time.Second,
}

// Notifier makes notices of firings and sends them. Any number of processes may
// have one.
type Notifier struct {
	store   store.Records
	sender  Sender
	times   Times
	paceOf  func(kind string) channel.Pace
	metrics *Metrics
	log     *zap.Logger
	now     func() time.Time

	mu      sync.Mutex
	targets map[string]*target
	wake    chan struct{} // to look at once
	workers sync.WaitGroup
	forgot  time.Time // when it last looked for what is past
}

// New tells of the firings in the store by way of the sender, and deletes what
// has been past for so long (0: 90 days).
func New(s store.Records, sender Sender, past time.Duration, metrics *Metrics, log *zap.Logger) *Notifier {
	n := &Notifier{
		store: s, sender: sender, times: defaultTimes, paceOf: channel.PaceOf, metrics: metrics, log: log, now: time.Now,
		targets: map[string]*target{}, wake: make(chan struct{}, 1),
	}
	n.times.Past = cmp.Or(past, n.times.Past)
	return n
}

const (
	page   = 200 // records are read at a time
	atOnce = 32  // of them are written at a time
)

// Run goes on until ctx ends, and lets attempts that are under way end.
func (n *Notifier) Run(ctx context.Context) error {
	defer n.workers.Wait()
	sending, cut := context.WithCancel(context.WithoutCancel(ctx))
	context.AfterFunc(ctx, func() { time.AfterFunc(n.times.Grace, cut) })
	ticker := time.NewTicker(n.times.Look)
	defer ticker.Stop()
	for {
		if err := errors.Join(n.spread(ctx), n.send(ctx, sending), n.forget(ctx)); err != nil && ctx.Err() == nil {
			n.log.Warn("notices cannot be read or written", zap.Error(err))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		case <-n.wake:
		}
	}
}

func (n *Notifier) moment() event.Time { return event.TimeOf(n.now()) }

// spread makes the notices of firings that have none yet.
func (n *Notifier) spread(ctx context.Context) error {
	for {
		firings, err := n.store.DueRecords(ctx, rule.FiringKind, n.moment(), page)
		if err != nil {
			return fmt.Errorf("read firings: %w", err)
		}
		silences := map[string][]notice.Silence{}
		for i := range firings {
			if err := n.readSilences(ctx, firings[i].Project, silences); err != nil {
				return err
			}
		}
		err = proc.Together(len(firings), atOnce, func(i int) error { return n.spreadOne(ctx, firings[i], silences[firings[i].Project]) })
		if err != nil || len(firings) < page {
			return err
		}
	}
}

// spreadOne ends with the firing being due when it may be forgotten. Whoever was
// cut short before does it again: the notices that are there already stay as they
// are. One that was changed before was spread.
func (n *Notifier) spreadOne(ctx context.Context, r store.Record, silences []notice.Silence) error {
	if r.Revision > 0 {
		return unlessChanged(n.store.DeleteRecord(ctx, r))
	}
	var f rule.Firing
	if err := json.Unmarshal(r.Data, &f); err != nil {
		n.log.Error("a firing cannot be read, nobody is told of it", zap.String("record", r.Key()), zap.Error(err))
	} else if err := n.post(ctx, f, silences); err != nil {
		return err
	}
	r.Due = n.in(n.times.Past)
	return unlessChanged(n.store.UpdateRecord(ctx, r))
}

// forget deletes silences that have been over for long; they are due at their end.
func (n *Notifier) forget(ctx context.Context) error {
	if n.now().Sub(n.forgot) < n.times.Past/100 {
		return nil
	}
	n.forgot = n.now()
	over, err := n.store.DueRecords(ctx, notice.SilenceKind, n.in(-n.times.Past), page)
	if err != nil {
		return fmt.Errorf("read silences: %w", err)
	}
	for _, r := range over {
		if err := unlessChanged(n.store.DeleteRecord(ctx, r)); err != nil {
			return err
		}
	}
	return nil
}

// unlessChanged takes it for done when another process was faster.
func unlessChanged(err error) error {
	if errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}

func (n *Notifier) post(ctx context.Context, f rule.Firing, silences []notice.Silence) error {
	silent := slices.ContainsFunc(silences, func(s notice.Silence) bool { return s.Covers(&f) })
	for _, id := range f.Channels {
		told := notice.For(f, id, n.moment())
		due := told.CreatedAt
		if silent {
			told.State, due = notice.Silenced, n.in(n.times.Keep)
		}
		r, err := told.Record(due, 0)
		if err == nil {
			err = n.store.CreateRecord(ctx, r)
		}
		switch {
		case err == nil && silent:
			n.metrics.count(notice.Silenced)
		case err != nil && !errors.Is(err, store.ErrConflict):
			return fmt.Errorf("make notice %s: %w", told.ID, err)
		}
	}
	return nil
}

func (n *Notifier) readSilences(ctx context.Context, project string, known map[string][]notice.Silence) error {
	if _, ok := known[project]; ok {
		return nil
	}
	known[project] = []notice.Silence{}
	err := store.EachRecord(ctx, n.store, notice.SilenceKind, project, func(r *store.Record) error {
		var s notice.Silence
		if json.Unmarshal(r.Data, &s) == nil { // better to be told than not
			known[project] = append(known[project], s)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read silences: %w", err)
	}
	return nil
}

// in is the moment after a time from now.
func (n *Notifier) in(d time.Duration) event.Time { return event.TimeOf(n.now().Add(d)) }

// send hands what is due to workers, as many as each target takes, and puts off
// what would stand before others.
func (n *Notifier) send(ctx, sending context.Context) error {
	for {
		records, err := n.store.DueRecords(ctx, notice.Kind, n.moment(), page)
		if err != nil {
			return fmt.Errorf("read notices: %w", err)
		}
		full := len(records) == page
		var writes []func() error
		for _, r := range records { // in their order: an alarm is told before its end
			if write := n.sendOne(ctx, sending, r, full); write != nil {
				writes = append(writes, write)
			}
		}
		err = proc.Together(len(writes), atOnce, func(i int) error { return writes[i]() })
		if err != nil || !full {
			return err
		}
	}
}

// sendOne begins an attempt, or gives what is to be written instead.
func (n *Notifier) sendOne(ctx, sending context.Context, r store.Record, full bool) (write func() error) {
	told, err := notice.Of(&r)
	if err != nil {
		n.log.Error("a notice cannot be read, nobody is told of it", zap.Error(err))
		r.Due = 0
		return func() error { return unlessChanged(n.store.UpdateRecord(ctx, r)) }
	}
	if told.State != notice.Waiting {
		return func() error { return unlessChanged(n.store.DeleteRecord(ctx, r)) }
	}
	t := n.target(told)
	until, why := t.admit(r.Key(), n.now())
	switch {
	case why == admitted:
		n.workers.Go(func() {
			n.try(sending, t, r, told)
			n.leave(t, r.Key())
		})
	case why == shut && n.now().Sub(told.CreatedAt.Std()) > n.times.Patient:
		return func() error { n.settle(ctx, r, told, n.givenUp(told)); return nil }
	case why == shut:
		return func() error { return n.putOff(ctx, r, until) }
	case why == busy && full: // a flood for one target must not stand before the others'
		return func() error { return n.putOff(ctx, r, until.Add(jitter(putOffFor))) }
	}
	return nil
}

const putOffFor = 30 * time.Second

func (n *Notifier) putOff(ctx context.Context, r store.Record, until time.Time) error {
	r.Due = event.TimeOf(until.Add(jitter(time.Second)))
	return unlessChanged(n.store.UpdateRecord(ctx, r))
}

// target is where a notice goes to.
func (n *Notifier) target(told *notice.Notice) *target {
	key := told.Project + "/" + told.Channel
	n.mu.Lock()
	defer n.mu.Unlock()
	t := n.targets[key]
	if t == nil {
		t = &target{pace: channel.Pace{AtOnce: 1}, sending: map[string]bool{}}
		n.targets[key] = t
	}
	return t
}

// leave lets the next one in.
func (n *Notifier) leave(t *target, key string) {
	t.leave(key)
	n.Wake()
}

// Wake has it look at once, for something has become due.
func (n *Notifier) Wake() {
	select {
	case n.wake <- struct{}{}:
	default:
	}
}
