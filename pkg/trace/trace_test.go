package trace

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/maidian/maidian/pkg/fault"
)

func recording(sampler sdk.Sampler) (*Tracer, *tracetest.SpanRecorder) {
	to := tracetest.NewSpanRecorder()
	provider := sdk.NewTracerProvider(sdk.WithSpanProcessor(to), sdk.WithSampler(sampler))
	return &Tracer{provider: provider, tracer: provider.Tracer(scope)}, to
}

func request() *http.Request { return httptest.NewRequest(http.MethodPost, "/x", nil) }

func TestAMessageIsInTheFirstTraceAndLinkedWithAll(t *testing.T) {
	tracer, to := recording(sdk.AlwaysSample())
	first, a := tracer.Request(request(), "/a")
	_, b := tracer.Request(request(), "/b")
	_, message := Publish(context.Background(), "publish", []Span{Of(first), b})
	parent := message.Parent()
	for _, s := range []Span{message, a, b} {
		s.End(nil)
	}
	sent := to.Ended()[0]
	if sent.Parent().SpanID() != a.span.SpanContext().SpanID() || len(sent.Links()) != 2 || sent.Links()[1].SpanContext.SpanID() != b.span.SpanContext().SpanID() {
		t.Errorf("got %v", sent)
	}
	if !strings.Contains(parent, sent.SpanContext().SpanID().String()) {
		t.Errorf("%s does not name the message's span %s", parent, sent.SpanContext().SpanID())
	}
	if stored := tracer.Message(context.Background(), parent, "store"); stored.span.SpanContext().TraceID() != sent.SpanContext().TraceID() {
		t.Error("the trace does not go on behind the message")
	}
}

func TestWhatIsNotSampledBeginsNoTrace(t *testing.T) {
	tracer, to := recording(sdk.NeverSample())
	ctx, span := tracer.Request(request(), "/a")
	if Of(ctx).Recorded() {
		t.Error("a request that was left out is recorded")
	}
	span.End(nil)
	tracer, _ = recording(sdk.AlwaysSample())
	for _, parent := range []string{"", "nonsense", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"} {
		if s := tracer.Message(context.Background(), parent, "store"); s.Recorded() {
			t.Errorf("a message with %q began a trace", parent)
		}
	}
	if n := len(to.Ended()); n != 0 {
		t.Errorf("%d spans", n)
	}
}

func TestOffCostsNoMemory(t *testing.T) {
	var off *Tracer
	ctx := context.Background()
	if n := testing.AllocsPerRun(100, func() {
		ctx, span := Step(ctx, "work")
		_, message := Publish(ctx, "publish", nil)
		message.Count("events", 3)
		_ = message.Parent()
		message.End(nil)
		off.Message(ctx, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "store").End(nil)
		span.End(nil)
	}); n != 0 {
		t.Errorf("%g allocations while traces are off", n)
	}
}

func TestErrorsQuoteNobody(t *testing.T) {
	tracer, to := recording(sdk.AlwaysSample())
	for want, err := range map[string]error{
		"invalid_field": fault.New(fault.Invalid, "invalid_field", "must be a number, got %q", "my secret"),
		"broken":        errors.New("broken"),
	} {
		_, span := tracer.Request(request(), "/a")
		span.End(err)
		all := to.Ended()
		if got := all[len(all)-1].Status().Description; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestConfig(t *testing.T) {
	tests := map[string]struct {
		Config
		wrong string // a variable that is named, or nothing
	}{
		"off, whatever else is wrong": {Config{Sampler: "some"}, ""},
		"an endpoint":                 {Config{Endpoint: "http://otel:4318"}, ""},
		"switched off":                {Config{Endpoint: "otel", Disabled: true}, ""},
		"no address":                  {Config{Endpoint: "otel:4318"}, "OTEL_EXPORTER_OTLP_ENDPOINT"},
		"no address for traces":       {Config{Whole: "/v1/traces"}, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"},
		"another protocol":            {Config{Endpoint: "http://otel:4317", Protocol: "grpc"}, "OTEL_EXPORTER_OTLP_PROTOCOL"},
		"an unknown sampler":          {Config{Endpoint: "http://otel", Sampler: "jaeger_remote"}, "OTEL_TRACES_SAMPLER"},
		"a share above all":           {Config{Endpoint: "http://otel", Sampler: "parentbased_traceidratio", SamplerArg: "1.5"}, "OTEL_TRACES_SAMPLER_ARG"},
		"a share that is none":        {Config{Endpoint: "http://otel", Sampler: "traceidratio", SamplerArg: "NaN"}, "OTEL_TRACES_SAMPLER_ARG"},
		"a share":                     {Config{Endpoint: "http://otel", Sampler: "traceidratio", SamplerArg: "0.25"}, ""},
	}
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			err := c.Validate()
			if (err == nil) != (c.wrong == "") || err != nil && !strings.HasPrefix(err.Error(), c.wrong+" must be") {
				t.Errorf("got %v, want %q", err, c.wrong)
			}
		})
	}
	c := Config{Endpoint: "http://otel:4318/"}
	if got := c.address(); got != "http://otel:4318/v1/traces" {
		t.Errorf("traces go to %s", got)
	}
}
