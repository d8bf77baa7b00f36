package deliver

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/maidian/maidian/pkg/proc"
	"github.com/maidian/maidian/pkg/trace"
)

// untilDone calls write until it succeeds or ctx ends. Letters and journal
// entries are ours, so no failure of theirs is final.
func (d *Deliverer) untilDone(ctx context.Context, what string, write func(context.Context) error) error {
	for try := 1; ; try++ {
		err := d.timed(ctx, what, write)
		if err == nil {
			d.away.over(d.log)
			return nil
		}
		if err := d.waitFor(ctx, what, err, try); err != nil {
			return err
		}
	}
}

func (d *Deliverer) timed(ctx context.Context, what string, write func(context.Context) error) (err error) {
	ctx, span := trace.Step(ctx, what)
	defer func(start time.Time) {
		d.metrics.store.WithLabelValues(what).Observe(time.Since(start).Seconds())
		span.End(err)
	}(time.Now())
	ctx, done := outliving(ctx)
	defer done()
	return write(ctx)
}

// outliving is a context that ends a while after ctx, so that a stop does not
// tear what the store is about to finish.
func outliving(ctx context.Context) (context.Context, func()) {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		late := time.AfterFunc(lastCall, cancel)
		context.AfterFunc(longer, func() { late.Stop() })
	})
	return longer, func() { stop(); cancel() }
}

// lastCall is how long a call of the store may go on after the stop.
const lastCall = 3 * time.Second

// waitFor rests before the next try; the error is that of an ended ctx.
func (d *Deliverer) waitFor(ctx context.Context, what string, cause error, try int) error {
	if ctx.Err() == nil {
		d.failures.Add(1)
		d.metrics.retries.WithLabelValues(what).Inc()
		d.away.begin(d.log, fmt.Errorf("%s: %w", what, cause))
	}
	return rest(ctx, try)
}

const (
	shortestRest = 100 * time.Millisecond
	longestRest  = time.Second // this is waited for after every outage, and one question a second from each worker is no storm
)

// rest waits longer after each try, up to a cap, and by chance a little
// less, so that consumers do not all come back at the same moment.
func rest(ctx context.Context, try int) error {
	full := min(longestRest, shortestRest<<min(try-1, 10))
	proc.Pause(ctx, full/2+rand.N(full/2))
	return ctx.Err()
}

// outage is whether the store is away now, shared by all workers: one line in
// the log when it goes and one when it is back, however many tries lie between.
type outage struct {
	mu    sync.Mutex
	since time.Time
	cause error
}

func (o *outage) begin(log *zap.Logger, cause error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.cause == nil {
		o.since = time.Now()
		log.Warn("store fails: holding messages and trying again", zap.Error(cause))
	}
	o.cause = cause
}

func (o *outage) over(log *zap.Logger) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.cause != nil {
		log.Info("store works again", zap.Duration("after", time.Since(o.since)))
		o.cause = nil
	}
}

func (o *outage) err() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.cause
}
