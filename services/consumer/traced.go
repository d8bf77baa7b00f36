package consumer

import (
	"context"

	"github.com/maidian/maidian/pkg/bus"
	"github.com/maidian/maidian/pkg/trace"
)

// traced makes a span of each message that comes in a trace, and one of the
// batch: it stands in the trace of the first, and is linked with all.
func traced(tracer *trace.Tracer, handle bus.Handler) bus.Handler {
	if tracer == nil {
		return handle
	}
	return func(ctx context.Context, ds []bus.Delivery) []bus.Outcome {
		var messages []trace.Span
		for i := range ds {
			if span := tracer.Message(ctx, ds[i].Trace, "store message"); span.Recorded() {
				span.Note("messaging.message.id", ds[i].ID)
				span.Count("maidian.attempt", ds[i].Attempt)
				messages = append(messages, span)
			}
		}
		ctx, batch := trace.Together(ctx, "store batch", messages)
		batch.Count("maidian.messages", len(ds))
		defer func() {
			batch.End(nil)
			for _, m := range messages {
				m.End(nil)
			}
		}()
		return handle(ctx, ds)
	}
}
