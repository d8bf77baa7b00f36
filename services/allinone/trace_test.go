package allinone_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/maidian/maidian/pkg/testenv"
	"github.com/maidian/maidian/services/allinone"
)

// traces is an OpenTelemetry collector: it takes OTLP over HTTP and keeps the spans.
type traces struct {
	mu    sync.Mutex
	spans []span
}

type span struct {
	*otlp.Span
	service string
}

func (c *traces) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var sent collector.ExportTraceServiceRequest
	if err == nil {
		err = proto.Unmarshal(body, &sent)
	}
	if err != nil || r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/x-protobuf" {
		http.Error(w, fmt.Sprint(r.URL.Path, err), http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, of := range sent.ResourceSpans {
		service := ""
		for _, a := range of.Resource.Attributes {
			if a.Key == "service.name" {
				service = a.Value.GetStringValue()
			}
		}
		for _, scope := range of.ScopeSpans {
			for _, s := range scope.Spans {
				c.spans = append(c.spans, span{s, service})
			}
		}
	}
}

// named are the spans of a service that have a name.
func (c *traces) named(service, name string) (all []span) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.spans {
		if s.service == service && s.Name == name {
			all = append(all, s)
		}
	}
	return all
}

// one waits for the first span of a name.
func (c *traces) one(t *testing.T, service, name string) (found span) {
	t.Helper()
	eventually(t, service+"'s span "+name, func() bool {
		all := c.named(service, name)
		if len(all) > 0 {
			found = all[0]
		}
		return len(all) > 0
	})
	return found
}

func traced(t *testing.T, change func(*allinone.Config)) (*system, *traces) {
	t.Helper()
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "50") // milliseconds until spans are sent
	to := &traces{}
	server := httptest.NewServer(to)
	t.Cleanup(server.Close)
	c := config(t)
	c.Trace.Endpoint = server.URL
	change(c)
	return start(t, c), to
}

const (
	trackRoute = "/api/v1/analytics/track"
	stranger   = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
)

// trackWith sends an event in a trace of the sender's own.
func (s *system) trackWith(traceparent, id string) {
	s.t.Helper()
	status := 0
	eventually(s.t, "the collector to know the key", func() bool {
		status = s.callWith(http.Header{"Traceparent": {traceparent}}, http.MethodPost, s.collector+trackRoute, allinone.DemoWriteKey, visit(id, "u", "2026-03-02T10:00:00Z"), nil)
		return status != http.StatusUnauthorized && status != http.StatusServiceUnavailable
	})
	if status != http.StatusOK {
		s.t.Fatalf("got %d, want 200", status)
	}
}

// One trace goes from the request through the message on RabbitMQ to the insert into the store.
func TestATraceGoesFromTheRequestToTheStore(t *testing.T) {
	s, to := traced(t, func(c *allinone.Config) {
		c.UseRabbit, c.Rabbit.URL, c.Rabbit.Queue = true, sharedRabbit.Node(t).URL(), testenv.QueueName(t)
	})
	s.trackWith(stranger, "a")
	request := to.one(t, "maidian-collector", "POST "+trackRoute)
	before := request
	for _, next := range [][2]string{
		{"maidian-collector", "publish message"},
		{"maidian-consumer", "store message"},
		{"maidian-consumer", "store batch"},
		{"maidian-consumer", "insert"},
	} {
		one := to.one(t, next[0], next[1])
		if string(one.ParentSpanId) != string(before.SpanId) || string(one.TraceId) != string(request.TraceId) {
			t.Errorf("%s of trace %x is in %x, want it in %s %x of %x", one.Name, one.TraceId, one.ParentSpanId, before.Name, before.SpanId, request.TraceId)
		}
		before = one
	}
	message, batch := to.one(t, "maidian-consumer", "store message"), to.one(t, "maidian-consumer", "store batch")
	if len(batch.Links) != 1 || string(batch.Links[0].SpanId) != string(message.SpanId) {
		t.Errorf("the batch has the links %v, want one with its message %x", batch.Links, message.SpanId)
	}
	if len(request.ParentSpanId) != 0 || fmt.Sprintf("%x", request.TraceId) == stranger[3:35] {
		t.Errorf("a stranger chose the trace %x", request.TraceId)
	}
	s.visible(allinone.DemoReadKey, "2026-03-02", "2026-03-02", 1)
	s.ask(allinone.DemoReadKey, "funnel", map[string]any{"steps": []string{"page_view", "purchase"}, "from": "2026-03-02", "to": "2026-03-02"}, nil)
	asked, report := to.one(t, "maidian-query", "POST /api/v1/analytics/funnel"), to.one(t, "maidian-query", "report /funnel")
	if string(report.ParentSpanId) != string(asked.SpanId) {
		t.Error("the report is not in its request's span")
	}
}

// Where callers are trusted their trace is continued, and is recorded if they say so.
func TestCallersThatAreTrustedDecide(t *testing.T) {
	s, to := traced(t, func(c *allinone.Config) { c.Memory, c.Trace.Callers = true, true })
	s.trackWith(stranger[:len(stranger)-1]+"0", "unrecorded")
	s.trackWith(stranger, "recorded")
	stored := to.one(t, "maidian-consumer", "insert")
	s.stop() // sends the rest
	if fmt.Sprintf("%x", stored.TraceId) != stranger[3:35] {
		t.Errorf("got trace %x, want the caller's", stored.TraceId)
	}
	if requests := to.named("maidian-collector", "POST "+trackRoute); len(requests) != 1 || fmt.Sprintf("%x", requests[0].ParentSpanId) != stranger[36:52] {
		t.Errorf("got %v, want the request that is recorded, in its caller's span", requests)
	}
}
