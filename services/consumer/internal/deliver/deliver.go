// Package deliver takes messages off the queue to their end: every event
// stored once, in the dead letters, or still on the queue; the journal written;
// and only then the message acknowledged.
package deliver

import (
	"context"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/maidian/maidian/pkg/bus"
	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/store"
)

// Store is what delivering needs of the database.
type Store interface {
	InsertEvents(ctx context.Context, events []event.Event) ([]store.Outcome, error)
	RecordBatches(ctx context.Context, batches []store.Batch) error
	PutDeadLetters(ctx context.Context, letters []store.DeadLetter) error
	RaiseTallies(ctx context.Context, tallies []store.Tally) error
	Ping(ctx context.Context) error
}

// Deliverer brings deliveries to the store. Several receivers may share one:
// while the store works for one of them, another decodes.
type Deliverer struct {
	store    Store
	atOnce   store.AtOnce // nil when the store cannot
	most     int          // events in one insert
	log      *zap.Logger
	metrics  *Metrics
	away     outage
	failures atomic.Int64
}

// New makes a Deliverer that inserts at most batchSize events at a time.
func New(s Store, batchSize int, log *zap.Logger, metrics *Metrics) *Deliverer {
	atOnce, _ := s.(store.AtOnce)
	return &Deliverer{store: s, atOnce: atOnce, most: batchSize, log: log, metrics: metrics}
}

// Ready is nil unless the store is away, and then the error of the last try.
func (d *Deliverer) Ready() error { return d.away.err() }

// Failures is how many calls of the store have failed and were tried again.
func (d *Deliverer) Failures() int64 { return d.failures.Load() }

// Handle is a bus.Handler. It holds on to the group while the store is away:
// giving it back would only make the broker deliver it again, in a storm.
// When ctx ends, what the store is doing is finished, and nothing is tried again.
func (d *Deliverer) Handle(ctx context.Context, ds []bus.Delivery) []bus.Outcome {
	g := unpack(ds)
	err := d.settle(ctx, g)
	if err == nil {
		err = d.tally(ctx, g)
	}
	if err != nil {
		return make([]bus.Outcome, len(ds)) // ctx ended: all of them Again
	}
	d.metrics.settled(g)
	return g.outcomes()
}

// settle makes everything durable in the order that survives a crash at any
// point: events, dead letters, and last the journal, which tells of both.
func (d *Deliverer) settle(ctx context.Context, g *group) error {
	if err := d.insert(ctx, g); err != nil {
		return err
	}
	if err := d.bury(ctx, g); err != nil {
		return err
	}
	return d.record(ctx, g)
}

func (d *Deliverer) insert(ctx context.Context, g *group) error {
	g.stamp(event.TimeOf(time.Now()))
	if done, err := d.insertAtOnce(ctx, g); done || err != nil {
		return err
	}
	for lo := 0; lo < len(g.events); lo += d.most {
		hi := min(lo+d.most, len(g.events))
		if err := d.insertSome(ctx, g.events[lo:hi], g.fates[lo:hi], patience); err != nil {
			return err
		}
	}
	return nil
}

func (d *Deliverer) bury(ctx context.Context, g *group) error {
	letters := g.deadLetters(event.TimeOf(time.Now()))
	if len(letters) == 0 {
		return nil
	}
	d.log.Warn("events that can never be stored are now dead letters",
		zap.Int("letters", len(letters)), zap.String("first", letters[0].ID), zap.String("reason", letters[0].Reason))
	return d.untilDone(ctx, "dead_letters", func(ctx context.Context) error {
		return d.store.PutDeadLetters(ctx, letters)
	})
}

func (d *Deliverer) record(ctx context.Context, g *group) error {
	if g.recorded {
		return nil
	}
	g.recorded = true
	batches := g.journal()
	if len(batches) == 0 {
		return nil
	}
	return d.untilDone(ctx, "journal", func(ctx context.Context) error {
		return d.store.RecordBatches(ctx, written(batches))
	})
}

// written notes the time of this try: an entry must not look older than it is
// to those who follow the journal.
func written(batches []store.Batch) []store.Batch {
	now := event.TimeOf(time.Now())
	for i := range batches {
		batches[i].WrittenAt = now
	}
	return batches
}

// tally keeps what the collectors have counted. It comes last, so that the
// accounting does not expect events before they are in the journal.
func (d *Deliverer) tally(ctx context.Context, g *group) error {
	now := event.TimeOf(time.Now())
	var tallies []store.Tally
	for i := range g.messages {
		for _, counted := range g.messages[i].header.Tallies {
			tallies = append(tallies, store.Tally{Tally: counted, WrittenAt: now})
		}
	}
	if len(tallies) == 0 {
		return nil
	}
	return d.untilDone(ctx, "tallies", func(ctx context.Context) error { return d.store.RaiseTallies(ctx, tallies) })
}
