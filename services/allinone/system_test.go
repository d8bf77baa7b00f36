package allinone_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/maidian/maidian/pkg/proc"
	"github.com/maidian/maidian/pkg/testenv"
	"github.com/maidian/maidian/services/allinone"
	"github.com/maidian/maidian/services/consumer"
)

var sharedRabbit testenv.SharedRabbit

// asConsumer makes the test binary a consumer: a process of its own, which a test can kill.
const asConsumer = "MAIDIAN_TEST_AS_CONSUMER"

func TestMain(m *testing.M) {
	if os.Getenv(asConsumer) != "" {
		var cfg consumer.Config
		os.Exit(proc.Main("consumer", &cfg, func(ctx context.Context, p *proc.Process) error {
			return consumer.Run(ctx, &cfg, p)
		}))
	}
	code := m.Run()
	sharedRabbit.Close()
	os.Exit(code)
}

// system is a running all-in-one and a person at its two doors.
type system struct {
	*allinone.System
	t         testing.TB
	collector string
	query     string
	stop      func()
}

// config is an all-in-one on the embedded servers, with a data directory of its own.
func config(t testing.TB) *allinone.Config {
	t.Helper()
	c, err := allinone.Load()
	if err != nil {
		t.Fatal(err)
	}
	c.Dir, c.UseRabbit, c.UseMongo, c.Ops = t.TempDir(), false, false, ""
	c.Collector.Listen, c.Query.Listen = "127.0.0.1:0", "127.0.0.1:0"
	return c
}

func start(t testing.TB, c *allinone.Config) *system {
	t.Helper()
	running, err := allinone.Start(t.Context(), c, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	s := &system{System: running, t: t, collector: allinone.URL(running.Collector), query: allinone.URL(running.Query)}
	stopped := false
	s.stop = func() {
		if !stopped {
			stopped = true
			if err := running.Stop(context.Background()); err != nil {
				t.Errorf("stop: %v", err)
			}
		}
	}
	t.Cleanup(s.stop)
	return s
}

// call is one request; the answer is decoded into out when that is not nil.
func (s *system) call(method, url, key string, body, out any) int {
	s.t.Helper()
	return s.callWith(http.Header{}, method, url, key, body, out)
}

func (s *system) callWith(header http.Header, method, url, key string, body, out any) int {
	s.t.Helper()
	var text io.Reader
	if body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			s.t.Fatal(err)
		}
		text = bytes.NewReader(encoded)
	}
	req, err := http.NewRequest(method, url, text)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header = header
	req.Header.Set("X-Api-Key", key)
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	if out != nil && res.StatusCode < 300 {
		if err := json.Unmarshal(answer, out); err != nil {
			s.t.Fatalf("%s %s: %v in %s", method, url, err, answer)
		}
	}
	return res.StatusCode
}

// send sends events and wants them accepted. A key that was made just now may
// need a moment until the collector knows it.
func (s *system) send(key string, events ...map[string]any) {
	s.t.Helper()
	var answer struct{ Accepted int }
	status := 0
	eventually(s.t, "the collector to know the key", func() bool {
		status = s.call(http.MethodPost, s.collector+"/api/v1/analytics/track/batch", key, map[string]any{"events": events}, &answer)
		return status != http.StatusUnauthorized
	})
	if status != http.StatusOK || answer.Accepted != len(events) {
		s.t.Fatalf("sent %d events, got %d, %+v", len(events), status, answer)
	}
}

// ask is a report about a range.
func (s *system) ask(key, report string, question map[string]any, out any) {
	s.t.Helper()
	if status := s.call(http.MethodPost, s.query+"/api/v1/analytics/"+report, key, question, out); status != http.StatusOK {
		s.t.Fatalf("%s %v: got %d", report, question, status)
	}
}

// visible waits until a project's answers hold so many events in a range.
func (s *system) visible(key, from, to string, want int) {
	s.t.Helper()
	var answer struct{ Total int }
	eventually(s.t, fmt.Sprintf("%d events to be visible", want), func() bool {
		s.ask(key, "stats/events", map[string]any{"from": from, "to": to}, &answer)
		return answer.Total >= want
	})
	if answer.Total != want {
		s.t.Fatalf("%d events are visible, want %d", answer.Total, want)
	}
}

// eventually waits for an effect. How long is no promise of the system, only
// when the test gives up.
func eventually(t testing.TB, what string, effect func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !effect() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("gave up waiting for %s", what)
		}
	}
}

// visit is a page view of a user at a time.
func visit(id, user, at string) map[string]any {
	return map[string]any{"event_id": id, "event_type": "page_view", "user_id": user, "timestamp": at, "page_url": "https://shop.example/"}
}
