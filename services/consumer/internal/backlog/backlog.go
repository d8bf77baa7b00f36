// Package backlog shows how much waits in the queue, and for how long.
package backlog

import (
	"context"
	"math"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/maidian/maidian/pkg/bus"
	"github.com/maidian/maidian/pkg/proc"
)

// Backlog asks the broker now and then. A broker tells how many messages
// there are, not how old they are. But they leave in the order in which they
// came: so what waits is younger than the newest message that was finished
// here, and than the moment at which the queue was last seen empty.
type Backlog struct {
	queue  bus.Inspector
	buried func(ctx context.Context) (int, error) // nil where the broker buries nothing
	log    *zap.Logger
	now    func() time.Time

	begun    time.Time
	emptyAt  time.Time
	finished atomic.Int64 // when the newest finished message was made, Unix ms; 0: none yet

	messages, oldest, dead prometheus.Gauge
}

// New shows the state of a queue.
func New(queue bus.Inspector, metrics prometheus.Registerer, log *zap.Logger) *Backlog {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	}
	b := &Backlog{
		queue: queue, log: log, now: time.Now, begun: time.Now(),
		messages: gauge("maidian_consumer_queue_messages", "Messages in the queue and in this consumer's hands; NaN while the broker does not say."),
		oldest:   gauge("maidian_consumer_queue_oldest_seconds", "The most that a message in the queue or in this consumer's hands can have waited; NaN while the broker does not say."),
	}
	metrics.MustRegister(b.messages, b.oldest)
	if grave, ok := queue.(interface {
		DeadLettered(ctx context.Context) (int, error)
	}); ok {
		b.buried = grave.DeadLettered
		b.dead = gauge("maidian_consumer_buried_messages", "Messages in the broker's dead-letter queue; NaN while the broker does not say.")
		metrics.MustRegister(b.dead)
	}
	return b
}

// Over is handle, whose finished messages are taken note of.
func (b *Backlog) Over(handle bus.Handler) bus.Handler {
	return func(ctx context.Context, ds []bus.Delivery) []bus.Outcome {
		outcomes := handle(ctx, ds)
		for i := len(outcomes) - 1; i >= 0; i-- {
			if outcomes[i] == bus.Done {
				b.finish(ds[i].ID)
				break
			}
		}
		return outcomes
	}
}

// finish notes when a message was made, which its id says.
func (b *Backlog) finish(id string) {
	parsed, err := uuid.Parse(id)
	if err != nil || parsed.Version() != 7 {
		return
	}
	seconds, nanos := parsed.Time().UnixTime()
	at := time.Unix(seconds, nanos).UnixMilli()
	for before := b.finished.Load(); at > before && !b.finished.CompareAndSwap(before, at); before = b.finished.Load() {
	}
}

const (
	every  = 15 * time.Second
	within = 10 * time.Second
)

// Run asks until ctx ends.
func (b *Backlog) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		b.look(ctx)
		proc.Pause(ctx, every)
	}
	return nil
}

func (b *Backlog) look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	n, err := b.queue.Depth(ctx)
	b.messages.Set(b.known(n, err))
	if err == nil {
		b.oldest.Set(b.age(n).Seconds())
	} else {
		b.oldest.Set(math.NaN())
	}
	if b.buried != nil {
		b.dead.Set(b.known(b.buried(ctx)))
	}
}

func (b *Backlog) known(n int, err error) float64 {
	if err != nil {
		b.log.Debug("the broker does not say how much waits", zap.Error(err))
		return math.NaN()
	}
	return float64(n)
}

// age is the most that the oldest of n messages can have waited.
func (b *Backlog) age(n int) time.Duration {
	now := b.now()
	if n == 0 {
		b.emptyAt = now
		return 0
	}
	after := b.begun
	if finished := b.finished.Load(); finished != 0 {
		after = time.UnixMilli(finished)
	}
	if b.emptyAt.After(after) {
		after = b.emptyAt
	}
	return max(0, now.Sub(after))
}
