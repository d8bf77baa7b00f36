package allinone_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/maidian/maidian/services/allinone"
)

// receiver is a system of others that takes events by a webhook.
type receiver struct {
	mu     sync.Mutex
	got    []string // event ids in the order in which they came
	told   chan struct{}
	broken bool
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.broken {
		http.Error(w, "out of order", http.StatusInternalServerError)
		return
	}
	var body struct {
		Events []struct {
			EventID string `json:"event_id"`
		}
	}
	if err := json.NewDecoder(request.Body).Decode(&body); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	for _, e := range body.Events {
		r.got = append(r.got, e.EventID)
	}
	select {
	case r.told <- struct{}{}:
	default:
	}
}

func (r *receiver) breaks(broken bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.broken = broken
}

// wait returns once so many events have come, with all that have.
func (r *receiver) wait(t testing.TB, events int) []string {
	t.Helper()
	timeout := time.After(time.Minute)
	for {
		r.mu.Lock()
		got := append([]string(nil), r.got...)
		r.mu.Unlock()
		if len(got) >= events {
			return got
		}
		select {
		case <-r.told:
		case <-timeout:
			t.Fatalf("got %d events in a minute, want %d", len(got), events)
		}
	}
}

// TestStoredEventsAreForwarded sends events through the whole system to a webhook
// that is away at first, over a restart, and then once more.
func TestStoredEventsAreForwarded(t *testing.T) {
	to := &receiver{told: make(chan struct{}, 1)}
	server := httptest.NewServer(to)
	defer server.Close()
	address, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(address.Port())
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("CREDENTIAL_HOOK", "shared")

	c := config(t)
	c.Consumer.Outgoing.AllowHTTP, c.Consumer.Outgoing.Ports, c.Consumer.Outgoing.Networks = true, []int{port}, []string{"127.0.0.0/8"}
	s := start(t, c)
	destinations := s.query + "/api/v1/admin/projects/" + allinone.DemoProject + "/destinations"
	definition := map[string]any{"id": "hook", "type": "webhook", "settings": map[string]any{"url": server.URL, "secrets": []any{map[string]any{"env": "CREDENTIAL_HOOK"}}}}
	if status := s.call(http.MethodPost, destinations, allinone.DemoAdminKey, definition, nil); status != http.StatusCreated {
		t.Fatalf("got %d, want 201", status)
	}
	track := func(from, to int) {
		for i := from; i < to; i++ {
			e := map[string]any{"event_id": fmt.Sprint("e", i), "event_type": "click", "user_id": "ann"}
			if status := s.call(http.MethodPost, s.collector+"/api/v1/analytics/track", allinone.DemoWriteKey, e, nil); status != http.StatusOK {
				t.Fatalf("got %d, want 200", status)
			}
		}
	}
	to.breaks(true)
	track(0, 20)
	s.stop()
	to.breaks(false)
	s = start(t, c)
	destinations = s.query + "/api/v1/admin/projects/" + allinone.DemoProject + "/destinations"
	track(20, 30)
	came := map[string]bool{}
	for events := 30; len(came) < 30; events++ {
		for _, id := range to.wait(t, events) {
			came[id] = true
		}
	}
	before := len(to.wait(t, 30))
	again := map[string]any{"from": "2020-01-01", "to": "2100-01-01"}
	if status := s.call(http.MethodPost, destinations+"/hook/replay", allinone.DemoAdminKey, again, nil); status != http.StatusOK {
		t.Fatalf("got %d, want 200", status)
	}
	to.wait(t, before+30)
}
