//go:build unix

package collector_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/maidian/maidian/pkg/bus"
	"github.com/maidian/maidian/pkg/bus/jetstream"
	"github.com/maidian/maidian/pkg/bus/rabbit"
	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/proc"
	"github.com/maidian/maidian/pkg/store"
	"github.com/maidian/maidian/pkg/testenv"
	"github.com/maidian/maidian/services/collector"
)

// projects is a store with one project; wk_test is its write key.
type projects struct{}

func (projects) Projects(context.Context) ([]store.Project, error) {
	hash := fmt.Sprintf("%x", sha256.Sum256([]byte("wk_test")))
	return []store.Project{{ID: "p", Keys: []store.Key{{ID: "k", Kind: store.WriteKey, Hash: hash}}}}, nil
}

// running is a collector in a process of its own.
type running struct {
	url  string
	stop func() error // ends it in order, once
}

func serve(t *testing.T, publisher bus.Publisher, change ...func(*collector.Config)) running {
	t.Helper()
	var cfg collector.Config
	if err := proc.Load(&cfg); err != nil {
		t.Fatal(err)
	}
	cfg.Listen, cfg.PublishDeadline = "127.0.0.1:0", time.Second
	for _, c := range change {
		c(&cfg)
	}
	ctx, cancel := context.WithCancel(t.Context())
	p := proc.New("collector", zap.NewNop(), prometheus.NewRegistry(), cfg.Options)
	url, ended := make(chan string, 1), make(chan error, 1)
	go func() {
		ended <- p.Run(ctx, func(ctx context.Context, p *proc.Process) error {
			addr, err := collector.Serve(ctx, &cfg.Settings, p, collector.Deps{Publisher: publisher, Projects: projects{}})
			if err == nil {
				url <- "http://" + addr.String()
			}
			return err
		})
	}()
	stop := sync.OnceValue(func() error { cancel(); return <-ended })
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	select {
	case u := <-url:
		return running{u, stop}
	case err := <-ended:
		ended <- err
		t.Fatal(err)
	}
	panic("unreachable")
}

// post sends n events named after the request and returns the status; 0 means
// that no answer came, not even in three deadlines.
func (r running) post(t *testing.T, request string, n int) int {
	var body strings.Builder
	body.WriteString(`{"api_key":"wk_test","events":[`)
	for i := range n {
		if i > 0 {
			body.WriteByte(',')
		}
		fmt.Fprintf(&body, `{"event_type":"x","event_id":"%s-%d"}`, request, i)
	}
	body.WriteString("]}")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "POST", r.url+"/api/track/batch", strings.NewReader(body.String()))
	if err != nil {
		t.Error(err)
		return 0
	}
	req.Header.Set("Content-Type", "text/plain")
	req.Header.Set("Origin", "https://shop.example")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, resp.Body)
	if resp.Header.Get("Access-Control-Allow-Origin") != "https://shop.example" || resp.StatusCode == 503 && resp.Header.Get("Retry-After") == "" {
		t.Errorf("%d with headers %v", resp.StatusCode, resp.Header)
	}
	return resp.StatusCode
}

// accepted sends many requests at once and returns the ids of all events that were answered 200.
func (r running) accepted(t *testing.T, name string, requests, events int) map[string]bool {
	ids := map[string]bool{}
	var mu sync.Mutex
	var all sync.WaitGroup
	for i := range requests {
		all.Go(func() {
			request := fmt.Sprintf("%s%d", name, i)
			status := r.post(t, request, events)
			mu.Lock()
			defer mu.Unlock()
			if status != 200 && status != 503 {
				t.Errorf("%s: status %d", request, status)
			}
			for j := 0; status == 200 && j < events; j++ {
				ids[fmt.Sprintf("%s-%d", request, j)] = true
			}
		})
	}
	all.Wait()
	return ids
}

// drained takes events off the queue until each of want has come, and returns how often each came.
func drained(t *testing.T, r bus.Receiver, want map[string]bool) map[string]int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	got, missing := map[string]int{}, len(want)
	err := r.Receive(ctx, func(_ context.Context, ds []bus.Delivery) []bus.Outcome {
		outcomes := make([]bus.Outcome, len(ds))
		for i, d := range ds {
			_, events, bad, err := event.DecodeMessage(d.Body)
			if err != nil || len(bad) > 0 {
				t.Errorf("message %s: %v %v", d.ID, err, bad)
			}
			for _, e := range events {
				if got[e.EventID]++; got[e.EventID] == 1 && want[e.EventID] {
					missing--
				}
			}
			outcomes[i] = bus.Done
		}
		if missing == 0 {
			cancel()
		}
		return outcomes
	})
	if err != nil || missing > 0 {
		t.Errorf("%d of %d accepted events did not come: %v", missing, len(want), err)
	}
	return got
}

var limits = bus.Limits{Prefetch: 100, Messages: 50, Bytes: 1 << 20, Wait: time.Millisecond}

func TestOnJetStream(t *testing.T) {
	server, err := jetstream.Start(jetstream.Config{Dir: t.TempDir()}, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close(context.Background()) })
	publisher, err := server.Publisher(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	c := serve(t, publisher)
	accepted := c.accepted(t, "a", 300, 20)
	if len(accepted) != 6000 {
		t.Fatalf("%d of 6000 accepted", len(accepted))
	}
	for id, times := range drained(t, server.Receiver(limits, nil), accepted) {
		if times != 1 {
			t.Errorf("%s came %d times", id, times)
		}
	}
	if err := publisher.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if status := c.post(t, "late", 1); status != 503 {
		t.Errorf("with the broker gone: %d", status)
	}
}

func TestOnRabbitMQ(t *testing.T) {
	node := testenv.StartRabbit(t)
	cfg := rabbit.Config{URL: node.URL(), Queue: testenv.QueueName(t)}.WithDefaults()
	publisher, err := rabbit.NewPublisher(context.Background(), cfg, zap.NewNop(), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		publisher.Close(ctx)
	})
	c := serve(t, publisher)
	eventually(t, c, "opened", 200)
	accepted := c.accepted(t, "a", 300, 20)

	node.Ctl(t, "set_vm_memory_high_watermark", "0.0000001")
	eventually(t, c, "blocked", 503)
	during := c.accepted(t, "b", 50, 20)
	if len(during) > 0 {
		t.Errorf("%d events accepted while the broker takes nothing", len(during))
	}
	node.Ctl(t, "set_vm_memory_high_watermark", "0.4")
	eventually(t, c, "unblocked", 200)

	node.Kill()
	eventually(t, c, "killed", 503)
	if err := node.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, c, "back", 200)
	for id := range c.accepted(t, "c", 100, 20) {
		accepted[id] = true
	}
	if len(accepted) != 8000 {
		t.Errorf("%d of 8000 accepted while nothing was wrong", len(accepted))
	}
	receiver, err := rabbit.NewReceiver(cfg, limits, zap.NewNop(), nil)
	if err != nil {
		t.Fatal(err)
	}
	drained(t, receiver, accepted)
}

// eventually sends until the answer has the status.
func eventually(t *testing.T, c running, name string, status int) {
	t.Helper()
	last := 0
	for i, deadline := 0, time.Now().Add(30*time.Second); time.Now().Before(deadline); i++ {
		if last = c.post(t, fmt.Sprintf("%s%d", name, i), 1); last == status {
			return
		}
	}
	t.Fatalf("%s: the last status was %d, not %d", name, last, status)
}

// slow confirms events when told to.
type slow struct{ confirm chan struct{} }

func (s slow) Publish(_ context.Context, m bus.Message) error {
	if h, _, _, err := event.DecodeMessage(m.Body); err != nil || h.Events > 0 {
		<-s.confirm
	}
	return nil
}
func (slow) Ready() error                { return nil }
func (slow) Close(context.Context) error { return nil }

func TestAStopLetsRequestsFinish(t *testing.T) {
	s := slow{make(chan struct{})}
	c := serve(t, s)
	status, stopped := make(chan int, 1), make(chan error, 1)
	go func() { status <- c.post(t, "r", 3) }()
	s.confirm <- struct{}{} // the request is with the broker: only then it takes this
	if got := <-status; got != 200 {
		t.Fatalf("status %d", got)
	}
	go func() { status <- c.post(t, "s", 3) }()
	publishing := make(chan struct{})
	go func() { s.confirm <- struct{}{}; close(publishing) }()
	<-publishing
	go func() { stopped <- c.stop() }()
	if got := <-status; got != 200 {
		t.Errorf("a request during the stop: %d", got)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if got := c.post(t, "t", 1); got != 0 {
		t.Errorf("after the stop: %d", got)
	}
}

func TestEveryWrongVariableIsOneLine(t *testing.T) {
	for name, value := range map[string]string{
		"COLLECTOR_LISTEN": "8080", "COLLECTOR_TRUSTED_PROXIES": "ten", "COLLECTOR_PUBLISH_DEADLINE": "0s", "COLLECTOR_RATE": "-1", "COLLECTOR_REQUESTS": "-1",
		"COLLECTOR_MESSAGE_BYTES": "5", "COLLECTOR_WAITING_BYTES": "1", "MONGODB_URI": "http://x", "RABBITMQ_PORT": "tcp://10.0.0.1:5672", "LOG_LEVEL": "loud",
	} {
		t.Setenv(name, value)
	}
	err := proc.Load(new(collector.Config))
	if err == nil {
		t.Fatal("taken")
	}
	for _, name := range []string{
		"COLLECTOR_LISTEN", "COLLECTOR_TRUSTED_PROXIES", "COLLECTOR_PUBLISH_DEADLINE", "COLLECTOR_RATE", "COLLECTOR_REQUESTS",
		"COLLECTOR_MESSAGE_BYTES", "COLLECTOR_WAITING_BYTES", "MONGODB_URI", "RABBITMQ_PORT", "LOG_LEVEL",
	} {
		if n := strings.Count("\n"+err.Error(), "\n"+name+" "); n != 1 {
			t.Errorf("%s stands at the beginning of %d lines of:\n%s", name, n, err)
		}
	}
}

func TestDefaultsAreValid(t *testing.T) {
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); strings.HasPrefix(name, "COLLECTOR_") || strings.HasPrefix(name, "RABBITMQ_") || strings.HasPrefix(name, "MONGODB_") {
			t.Skipf("skipped: %s is set", name)
		}
	}
	if err := proc.Load(new(collector.Config)); err != nil {
		t.Error(err)
	}
}
