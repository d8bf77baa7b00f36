// Package trace follows single requests through the pipeline, as OpenTelemetry
// spans that go to an OTLP collector. It is the only importer of OpenTelemetry.
//
// A Tracer stands at the two doors, HTTP requests and messages from the queue.
// Everything behind them asks its context, and does nothing where that holds
// no span that is recorded: so what is not traced costs next to nothing.
package trace

import (
	"context"
	"errors"
	"net/http"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	otel "go.opentelemetry.io/otel/trace"

	"github.com/maidian/maidian/pkg/fault"
)

const scope = "github.com/maidian/maidian"

// Tracer begins and continues traces. A nil one does neither.
type Tracer struct {
	provider *sdk.TracerProvider
	tracer   otel.Tracer
	callers  bool // a request's traceparent counts
}

// Close sends what has not been sent.
func (t *Tracer) Close(ctx context.Context) error {
	if t == nil {
		return nil
	}
	return t.provider.Shutdown(ctx)
}

// Request begins the span of a request that has come. Its own traceparent is
// passed over unless callers are trusted with it: a stranger's could have
// every request recorded, or hang them all into one trace.
func (t *Tracer) Request(r *http.Request, route string) (context.Context, Span) {
	ctx := r.Context()
	if t == nil {
		return ctx, Span{}
	}
	if t.callers {
		ctx = propagation.TraceContext{}.Extract(ctx, propagation.HeaderCarrier(r.Header))
	}
	return t.start(ctx, otel.SpanKindServer, r.Method+" "+route, nil)
}

// Message continues the trace that a message comes with, if it is recorded.
// Whether it is was decided where the trace began; a message without one begins none.
func (t *Tracer) Message(ctx context.Context, traceparent, name string) Span {
	if t == nil || traceparent == "" {
		return Span{}
	}
	ctx = propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{parentKey: traceparent})
	if !otel.SpanContextFromContext(ctx).IsSampled() {
		return Span{}
	}
	_, span := t.start(ctx, otel.SpanKindConsumer, name, nil)
	return span
}

func (t *Tracer) start(ctx context.Context, kind otel.SpanKind, name string, links []otel.Link) (context.Context, Span) {
	ctx, span := t.tracer.Start(ctx, name, otel.WithSpanKind(kind), otel.WithLinks(links...))
	return ctx, Span{span}
}

// Span is a piece of work in a trace. The zero Span is none, and takes everything.
type Span struct{ span otel.Span }

// Of is the span of a context if it is recorded, else none.
func Of(ctx context.Context) Span {
	if span := otel.SpanFromContext(ctx); span.IsRecording() {
		return Span{span}
	}
	return Span{}
}

// Step begins a part of the work that the context's span is.
func Step(ctx context.Context, name string) (context.Context, Span) {
	return of(ctx, otel.SpanKindInternal, name, []Span{Of(ctx)})
}

// Publish begins the sending of a message that several may wait for: it
// belongs to the first of their traces, and is linked with all.
func Publish(ctx context.Context, name string, callers []Span) (context.Context, Span) {
	return of(ctx, otel.SpanKindProducer, name, callers)
}

// Together begins work on several messages at once, likewise.
func Together(ctx context.Context, name string, messages []Span) (context.Context, Span) {
	return of(ctx, otel.SpanKindConsumer, name, messages)
}

func of(ctx context.Context, kind otel.SpanKind, name string, parents []Span) (context.Context, Span) {
	if len(parents) == 0 || parents[0].span == nil {
		return ctx, Span{}
	}
	var links []otel.Link
	if kind != otel.SpanKindInternal {
		for _, p := range parents {
			links = append(links, otel.Link{SpanContext: p.span.SpanContext()})
		}
	}
	first := parents[0].span
	t := &Tracer{tracer: first.TracerProvider().Tracer(scope)}
	return t.start(otel.ContextWithSpan(ctx, first), kind, name, links)
}

// Recorded is false for none.
func (s Span) Recorded() bool { return s.span != nil }

const parentKey = "traceparent"

// Parent is what others continue the trace with: a W3C traceparent, empty for none.
func (s Span) Parent() string {
	if s.span == nil {
		return ""
	}
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(otel.ContextWithSpan(context.Background(), s.span), carrier)
	return carrier[parentKey]
}

// Count notes a number.
func (s Span) Count(key string, n int) {
	if s.span != nil {
		s.span.SetAttributes(attribute.Int(key, n))
	}
}

// Note notes a text; never one that an event brought.
func (s Span) Note(key, text string) {
	if s.span != nil {
		s.span.SetAttributes(attribute.String(key, text))
	}
}

// End ends the span. Of an error with a kind only the code is noted: its words
// may quote what people sent.
func (s Span) End(err error) {
	if s.span == nil {
		return
	}
	if err != nil {
		said := err.Error()
		if known := (*fault.Error)(nil); errors.As(err, &known) {
			said = known.Code
		}
		s.span.SetStatus(codes.Error, said)
	}
	s.span.End()
}
