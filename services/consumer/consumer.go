// Package consumer is the service that brings events from the queue to the
// store. Any number of them may run on one queue.
package consumer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/maidian/maidian/pkg/bus"
	"github.com/maidian/maidian/pkg/proc"
	"github.com/maidian/maidian/pkg/store"
	"github.com/maidian/maidian/services/consumer/internal/deliver"
)

// Batching says how messages become inserts.
type Batching struct {
	Enabled       bool          `envconfig:"ANALYTICS_ENABLED" default:"true" desc:"false: take nothing off the queue"`
	BatchSize     int           `envconfig:"ANALYTICS_BATCH_SIZE" default:"1000" desc:"most events in one insert"`
	FlushInterval time.Duration `envconfig:"ANALYTICS_FLUSH_INTERVAL" default:"20ms" desc:"longest time a message waits for others to be inserted with it"`
	BatchBytes    int           `envconfig:"CONSUMER_BATCH_BYTES" default:"1048576" desc:"bytes of messages after which a batch does not wait for more"`
	Prefetch      int           `envconfig:"CONSUMER_PREFETCH" default:"500" desc:"most unacknowledged messages for each worker"`
	Workers       int           `envconfig:"CONSUMER_WORKERS" default:"2" desc:"batches in work at the same time: while one is with the store, another is read"`
}

// Validate checks the batching.
func (b *Batching) Validate() (err error) {
	atLeastOne := func(name string, n int) {
		if n < 1 {
			err = errors.Join(err, fmt.Errorf("%s must be 1 or more, got %d", name, n))
		}
	}
	atLeastOne("ANALYTICS_BATCH_SIZE", b.BatchSize)
	atLeastOne("CONSUMER_BATCH_BYTES", b.BatchBytes)
	atLeastOne("CONSUMER_PREFETCH", b.Prefetch)
	atLeastOne("CONSUMER_WORKERS", b.Workers)
	if b.FlushInterval < 0 || b.FlushInterval > time.Minute {
		err = errors.Join(err, fmt.Errorf("ANALYTICS_FLUSH_INTERVAL must be 0s to 1m, got %s", b.FlushInterval))
	}
	return err
}

// Limits are what the receivers of this configuration hand out at a time. A
// message holds at least one event, so a batch's events bound its messages.
func (b *Batching) Limits() bus.Limits {
	return bus.Limits{
		Prefetch: b.Prefetch,
		Messages: min(b.Prefetch, b.BatchSize),
		Bytes:    b.BatchBytes,
		Wait:     b.FlushInterval,
	}
}

// Deps are the servers that a consumer works with; whoever made them closes
// them, after the consumer's process has stopped.
type Deps struct {
	Receivers []bus.Receiver // a worker each
	Store     store.Store
}

// Serve consumes until the process stops, and lets it stop only once every
// worker has finished or given back what it has.
func Serve(_ context.Context, b Batching, p *proc.Process, deps Deps) error {
	d := deliver.New(deps.Store, b.BatchSize, p.Log, deliver.NewMetrics(p.Metrics))
	p.OnReady("store", d.Ready)
	if !b.Enabled {
		p.Log.Warn("ANALYTICS_ENABLED is false: nothing is taken off the queue")
		return nil
	}
	var workers sync.WaitGroup
	p.OnStop("workers", func(ctx context.Context) error { return wait(ctx, &workers) })
	for _, r := range deps.Receivers {
		p.OnReady("queue", r.Ready)
		workers.Add(1)
		p.Go("worker", func(ctx context.Context) error {
			defer workers.Done()
			return r.Receive(ctx, d.Handle)
		})
	}
	return nil
}

func wait(ctx context.Context, workers *sync.WaitGroup) error {
	done := make(chan struct{})
	go func() {
		workers.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("a batch is still with the store: %w", ctx.Err())
	}
}
