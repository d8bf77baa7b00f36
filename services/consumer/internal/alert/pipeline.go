package alert

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/maidian/maidian/pkg/event"
)

// sampleEvery is how often the pipeline is asked how it is.
const sampleEvery = 5 * time.Second

// mostLettersCounted is the most dead letters that a sample counts.
const mostLettersCounted = 1000

// sample asks the pipeline what rules look at.
func (w *work) sample(ctx context.Context) error {
	now := w.now()
	if now.Sub(w.sampled) < sampleEvery {
		return nil
	}
	w.sampled = now
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
			w.give(name, at, value)
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

// give samples a metric.
func (w *work) give(name string, at event.Time, value float64) {
	w.rules.Sample(name, at, value)
	w.steps = append(w.steps, step{Metric: name, At: at, Value: value})
}
