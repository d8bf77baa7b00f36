package trace

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.uber.org/zap"
)

// Config has the names that OpenTelemetry gives them. Of the others that it
// knows, its SDK itself reads those about headers, certificates, timeouts,
// compression, batches, limits, the service's name and resource attributes.
type Config struct {
	Endpoint   string `envconfig:"OTEL_EXPORTER_OTLP_ENDPOINT" desc:"OpenTelemetry collector that traces go to, by OTLP over HTTP, such as http://otel:4318; empty: no traces"`
	Whole      string `envconfig:"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT" desc:"its whole address for traces, where that is not the endpoint's /v1/traces"`
	Protocol   string `envconfig:"OTEL_EXPORTER_OTLP_PROTOCOL" default:"http/protobuf" desc:"http/protobuf is the one that is spoken"`
	Sampler    string `envconfig:"OTEL_TRACES_SAMPLER" default:"parentbased_always_on" desc:"which requests are traced: always_on, always_off, traceidratio, or one of them behind parentbased_"`
	SamplerArg string `envconfig:"OTEL_TRACES_SAMPLER_ARG" desc:"the share that traceidratio traces, 0 to 1"`
	Disabled   bool   `envconfig:"OTEL_SDK_DISABLED" default:"false" desc:"true: no traces, whatever the others say"`
	Callers    bool   `envconfig:"TRACE_CALLERS" default:"false" desc:"continue the trace that a request's traceparent names: only where no stranger can send requests"`
}

func (c *Config) on() bool { return !c.Disabled && (c.Endpoint != "" || c.Whole != "") }

// Validate says everything that is wrong, one line for each variable.
func (c *Config) Validate() (err error) {
	if !c.on() {
		return nil
	}
	for name, address := range map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": c.Endpoint, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": c.Whole} {
		u, wrong := url.Parse(address)
		if address != "" && (wrong != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
			err = errors.Join(err, fmt.Errorf("%s must be an address such as http://otel:4318, got %q", name, address))
		}
	}
	if c.Protocol != "" && c.Protocol != "http/protobuf" {
		err = errors.Join(err, fmt.Errorf("OTEL_EXPORTER_OTLP_PROTOCOL must be http/protobuf, got %q", c.Protocol))
	}
	_, wrong := c.sampler()
	return errors.Join(err, wrong)
}

func (c *Config) address() string {
	if c.Whole != "" {
		return c.Whole
	}
	return strings.TrimSuffix(c.Endpoint, "/") + "/v1/traces"
}

func (c *Config) sampler() (sdk.Sampler, error) {
	name, parentBased := strings.CutPrefix(c.Sampler, "parentbased_")
	var s sdk.Sampler
	switch name {
	case "always_on", "":
		s = sdk.AlwaysSample()
	case "always_off":
		s = sdk.NeverSample()
	case "traceidratio":
		share, err := strconv.ParseFloat(c.SamplerArg, 64)
		if c.SamplerArg == "" {
			share, err = 1, nil
		}
		if err != nil || !(share >= 0 && share <= 1) {
			return nil, fmt.Errorf("OTEL_TRACES_SAMPLER_ARG must be a number from 0 to 1, got %q", c.SamplerArg)
		}
		s = sdk.TraceIDRatioBased(share)
	default:
		return nil, fmt.Errorf("OTEL_TRACES_SAMPLER must be always_on, always_off, traceidratio, or one of them behind parentbased_, got %q", c.Sampler)
	}
	if parentBased {
		s = sdk.ParentBased(s)
	}
	return s, nil
}

// Open is nil where traces are off. A collector that is away is no error, now
// or later: its traces are lost, and nothing waits for it.
func Open(ctx context.Context, service, version string, c Config, log *zap.Logger) (*Tracer, error) {
	if !c.on() {
		return nil, nil
	}
	sampler, err := c.sampler()
	if err != nil {
		return nil, err
	}
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(c.address()))
	if err != nil {
		return nil, fmt.Errorf("traces: %w", err)
	}
	described, err := resource.New(ctx, resource.WithTelemetrySDK(), resource.WithAttributes(
		attribute.String("service.name", service), attribute.String("service.version", version)), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("traces: OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	provider := sdk.NewTracerProvider(sdk.WithSampler(sampler), sdk.WithResource(described), sdk.WithBatcher(&logged{SpanExporter: exporter, log: log}))
	return &Tracer{provider: provider, tracer: provider.Tracer(scope), callers: c.Callers}, nil
}

// logged tells our log of what the SDK would tell a logger of the whole program.
type logged struct {
	sdk.SpanExporter
	log  *zap.Logger
	away bool // told already; the SDK exports one batch at a time
}

func (l *logged) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	err := l.SpanExporter.ExportSpans(ctx, spans)
	if err != nil && !l.away {
		l.log.Warn("traces are lost: the OpenTelemetry collector does not take them", zap.Int("spans", len(spans)), zap.Error(err))
	}
	l.away = err != nil
	return nil
}
