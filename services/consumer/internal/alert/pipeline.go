package alert

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/pulse"
)

// sampleEvery is how often the pipeline is asked how it is.
const sampleEvery = 5 * time.Second

// gauge is something that the pipeline says of itself; nothing is known while
// it does not answer.
type gauge func(w *work, ctx context.Context, at event.Time) (value float64, known bool, err error)

// gauges has one for each metric of pipeline rules.
var gauges = map[string]gauge{
	"queue_depth":        (*work).queueDepth,
	"oldest_message_age": (*work).oldestAge,
	"consumer_lag":       (*work).consumerLag,
	"dead_letters":       (*work).deadLetters,
	"unaccounted_events": (*work).unaccounted,
	"storage_errors":     (*work).storageErrors,
	"alerts_behind":      (*work).alertsBehind,
}

// sample asks the pipeline what rules look at. These have an evaluator of their
// own, whose time is the clock's: one that waited for what is late would tell
// of a backlog when it is over.
func (w *work) sample(ctx context.Context) error {
	now := w.now()
	if now.Sub(w.sampled) < w.sampleEvery {
		return nil
	}
	w.sampled = now
	at := event.TimeOf(now)
	for _, name := range w.pipeline.PipelineMetrics() {
		value, known, err := gauges[name](w, ctx, at)
		if err != nil {
			w.log.Warn("cannot measure what a rule looks at", zap.String("project", w.project), zap.String("metric", name), zap.Error(err))
		} else if known {
			w.give(name, at, value)
			w.steps = append(w.steps, step{Metric: name, At: at, Value: value})
		}
	}
	return nil
}

// give is a step of the pipeline's rules.
func (w *work) give(name string, at event.Time, value float64) {
	w.pipeline.Sample(name, at, value)
	w.pipeline.Advance(at)
}

func (w *work) queueDepth(ctx context.Context, _ event.Time) (float64, bool, error) {
	n, _, err := w.waits.ask(ctx)
	return float64(n), w.queue != nil, err
}

func (w *work) oldestAge(ctx context.Context, at event.Time) (float64, bool, error) {
	n, empty, err := w.waits.ask(ctx)
	if n == 0 || err != nil {
		return 0, w.queue != nil, err
	}
	return float64(oldest(at, w.journal.Received(), empty)) / 1000, true, nil
}

// oldest is how long something can have waited, at most: what was received
// before something that was stored is not waiting, nor what came before the queue was empty.
func oldest(now, received, empty event.Time) event.Time { return max(0, now-max(received, empty)) }

func (w *work) consumerLag(_ context.Context, at event.Time) (float64, bool, error) {
	return float64(w.late.by(at)) / 1000, true, nil
}

// mostLettersCounted is the most dead letters that a sample counts.
const mostLettersCounted = 1000

func (w *work) deadLetters(ctx context.Context, _ event.Time) (float64, bool, error) {
	letters, err := w.store.DeadLetters(ctx, w.project, "", mostLettersCounted)
	return float64(len(letters)), true, err
}

// accountsFor is how long it is known what the accounts said.
const accountsFor = event.Time(time.Hour / time.Millisecond)

func (w *work) unaccounted(ctx context.Context, at event.Time) (float64, bool, error) {
	return pulse.Sum(ctx, w.store, w.project, pulse.Unaccounted, at-accountsFor)
}

// storageErrors are 0 when nobody tells of any.
func (w *work) storageErrors(ctx context.Context, at event.Time) (float64, bool, error) {
	sum, _, err := pulse.Sum(ctx, w.store, "", pulse.StorageErrors, at-event.Time(pulse.Lately.Milliseconds()))
	return sum, true, err
}

func (w *work) alertsBehind(_ context.Context, at event.Time) (float64, bool, error) {
	return float64(at-w.rules.Progress()) / 1000, true, nil
}

// waits is how much waits in the queue, asked once for the rules of all projects.
// A broker tells how many messages there are, not how old they are. But they
// leave it in the order in which they came: so what waits is younger than what
// was stored last, and than the moment at which the queue was last seen empty.
type waits struct {
	queue Queue
	now   func() time.Time

	mu    sync.Mutex
	asked time.Time
	depth int
	err   error
	empty event.Time // when it was last seen so; at first when it was first asked
}

// ask is the depth, and when it was last 0.
func (q *waits) ask(ctx context.Context) (depth int, empty event.Time, err error) {
	if q.queue == nil {
		return 0, 0, nil
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if now := q.now(); now.Sub(q.asked) >= sampleEvery/2 {
		q.asked = now
		if q.depth, q.err = q.queue.Depth(ctx); q.err == nil && q.depth == 0 || q.empty == 0 {
			q.empty = event.TimeOf(now)
		}
	}
	return q.depth, q.empty, q.err
}
