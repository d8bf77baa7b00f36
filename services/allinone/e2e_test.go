package allinone_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/zap"

	"github.com/maidian/maidian/pkg/testenv"
	"github.com/maidian/maidian/services/allinone"
)

// The same story on every pair of servers: events come in, each is stored
// once, and the answers hold them.
func TestEventsGoInAndAnswersComeOut(t *testing.T) {
	rabbit := func(c *allinone.Config) {
		c.UseRabbit, c.Rabbit.URL, c.Rabbit.Queue = true, sharedRabbit.Node(t).URL(), testenv.QueueName(t)
	}
	ferret := func(c *allinone.Config) {
		c.UseMongo, c.Mongo.URI = true, testenv.StartFerretDB(t).URI()
	}
	for name, servers := range map[string][]func(*allinone.Config){
		"JetStream and SQLite":  {},
		"in memory":             {func(c *allinone.Config) { c.Memory = true }},
		"RabbitMQ and SQLite":   {rabbit},
		"JetStream and MongoDB": {ferret},
		"RabbitMQ and MongoDB":  {rabbit, ferret},
	} {
		t.Run(name, func(t *testing.T) {
			c := config(t)
			for _, use := range servers {
				use(c)
			}
			throughTheSystem(t, start(t, c))
		})
	}
}

func throughTheSystem(t *testing.T, s *system) {
	const users = 40
	for u := range users {
		user := fmt.Sprintf("user-%02d", u)
		events := []map[string]any{visit(user+"-1", user, "2026-03-02T10:00:00Z")}
		if u%2 == 0 {
			events = append(events, map[string]any{
				"event_id": user + "-2", "event_type": "cart_add", "user_id": user, "timestamp": "2026-03-02T10:05:00Z",
				"properties": map[string]any{"product_id": "p", "$a.b": u},
			})
		}
		if u%4 == 0 {
			events = append(events, map[string]any{
				"event_id": user + "-3", "event_type": "purchase", "user_id": user, "timestamp": "2026-03-03T09:00:00Z",
				"properties": map[string]any{"amount": 10.5, "currency": "EUR"},
			})
		}
		s.send(allinone.DemoWriteKey, events...)
		if u%8 == 0 { // a retry of a client that did not hear the answer
			s.send(allinone.DemoWriteKey, events...)
		}
	}
	s.visible(allinone.DemoReadKey, "2026-03-01", "2026-03-31", 70)

	var funnel struct {
		Steps []struct {
			Users int
		} `json:"funnel_steps"`
	}
	s.ask(allinone.DemoReadKey, "funnel", map[string]any{
		"steps": []any{"page_view", map[string]any{"event": "cart_add", "filters": []any{map[string]any{"property": "properties.$a.b", "op": "gte", "value": 10}}}, "purchase"},
		"from":  "2026-03-01", "to": "2026-03-31",
	}, &funnel)
	if got := fmt.Sprint(funnel.Steps); got != "[{40} {15} {7}]" {
		t.Errorf("funnel %s, want [{40} {15} {7}]", got)
	}

	eventually(t, "the journal to add up", func() bool {
		var sum struct {
			Stored, Duplicates int
			Dead               int `json:"dead_lettered"`
		}
		s.ask(allinone.DemoReadKey, "accounting", map[string]any{}, &sum)
		return sum.Stored == 70 && sum.Duplicates == 15 && sum.Dead == 0
	})
}

func TestASecondStartFindsEverything(t *testing.T) {
	c := config(t)
	first := start(t, c)
	for i := range 30 {
		first.send(allinone.DemoWriteKey, visit(fmt.Sprintf("e%d", i), "ann", "2026-03-02T10:00:00Z"))
	}
	first.stop() // at once: what was accepted may still be on its way

	again := *c
	second := start(t, &again)
	second.visible(allinone.DemoReadKey, "2026-03-02", "2026-03-02", 30)
	second.send(allinone.DemoWriteKey, visit("e0", "ann", "2026-03-02T10:00:00Z"), visit("new", "ann", "2026-03-02T10:00:00Z"))
	second.visible(allinone.DemoReadKey, "2026-03-02", "2026-03-02", 31)
}

func TestProjectsNeverMix(t *testing.T) {
	s := start(t, config(t))
	type project struct {
		WriteKey string `json:"write_key"`
		ReadKey  string `json:"read_key"`
	}
	var a, b project
	for id, p := range map[string]*project{"shop-a": &a, "shop-b": &b} {
		if status := s.call(http.MethodPost, s.query+"/api/v1/admin/projects", allinone.DemoAdminKey, map[string]any{"id": id, "name": id}, p); status >= 300 {
			t.Fatalf("make %s: got %d", id, status)
		}
	}
	same := visit("same-id", "ann", "2026-03-02T10:00:00Z")
	s.send(a.WriteKey, same, visit("only-a", "ann", "2026-03-02T11:00:00Z"))
	s.send(b.WriteKey, same)
	s.visible(a.ReadKey, "2026-03-01", "2026-03-31", 2)
	s.visible(b.ReadKey, "2026-03-01", "2026-03-31", 1)
	s.visible(allinone.DemoReadKey, "2026-03-01", "2026-03-31", 0)
	for what, status := range map[string]int{
		"reading with a write key":   s.call(http.MethodGet, s.query+"/api/v1/analytics/events", a.WriteKey, nil, nil),
		"reading with no key":        s.call(http.MethodGet, s.query+"/api/v1/analytics/events", "", nil, nil),
		"sending with a read key":    s.call(http.MethodPost, s.collector+"/api/v1/analytics/track", a.ReadKey, same, nil),
		"administering with another": s.call(http.MethodGet, s.query+"/api/v1/admin/projects", a.ReadKey, nil, nil),
	} {
		if status != http.StatusUnauthorized && status != http.StatusForbidden {
			t.Errorf("%s: got %d", what, status)
		}
	}
}

func TestDemoKeysWorkOnThisMachineOnly(t *testing.T) {
	c := config(t)
	start(t, c).stop()

	open := *c
	open.Query.AdminKey = ""
	open.Collector.Listen = "0.0.0.0:0"
	if _, err := allinone.Start(t.Context(), &open, zap.NewNop()); err == nil || !strings.Contains(err.Error(), "QUERY_ADMIN_KEY") {
		t.Fatalf("got %v, want a refusal that names QUERY_ADMIN_KEY", err)
	}

	own := open
	own.Query.AdminKey = "ak_my-own-key-0123456789"
	s := start(t, &own)
	if status := s.call(http.MethodPost, s.collector+"/api/v1/analytics/track", allinone.DemoWriteKey, visit("x", "u", "2026-03-02T10:00:00Z"), nil); status != http.StatusUnauthorized {
		t.Errorf("the demo's write key is answered %d on an open address, want 401", status)
	}
	if status := s.call(http.MethodGet, s.query+"/api/v1/admin/projects", allinone.DemoAdminKey, nil, nil); status != http.StatusUnauthorized && status != http.StatusForbidden {
		t.Errorf("the demo's admin key is answered %d on an open address", status)
	}
	s.stop()

	back := *c
	start(t, &back).send(allinone.DemoWriteKey, visit("x", "u", "2026-03-02T10:00:00Z"))
}

func TestWhatStopsAStartIsOneLine(t *testing.T) {
	running := start(t, config(t))
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		change func(*allinone.Config)
		want   string
	}{
		"taken collector port": {func(c *allinone.Config) { c.Collector.Listen = running.Collector.String() }, "address already in use"},
		"taken query port":     {func(c *allinone.Config) { c.Query.Listen = running.System.Query.String() }, "address already in use"},
		"taken ops port":       {func(c *allinone.Config) { c.Ops = running.Collector.String() }, "address already in use"},
		"directory is a file":  {func(c *allinone.Config) { c.Dir = file }, "data directory"},
		"no RabbitMQ there": {func(c *allinone.Config) {
			c.UseRabbit, c.Rabbit.URL = true, "amqp://guest:secret@127.0.0.1:1/"
		}, "127.0.0.1:1"},
		"no MongoDB there": {func(c *allinone.Config) {
			c.UseMongo, c.Mongo.URI, c.Mongo.Start = true, "mongodb://me:secret@127.0.0.1:1/", 1e9
		}, "127.0.0.1:1"},
	} {
		t.Run(name, func(t *testing.T) {
			c := config(t)
			tt.change(c)
			_, err := allinone.Start(t.Context(), c, zap.NewNop())
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "secret") {
				t.Errorf("got %q, want one line with %q and no password", err, tt.want)
			}
		})
	}
}

func TestOpsShowEachServicesMetrics(t *testing.T) {
	c := config(t)
	c.Ops = "127.0.0.1:0"
	s := start(t, c)
	s.send(allinone.DemoWriteKey, visit("x", "u", "2026-03-02T10:00:00Z"))
	for _, path := range []string{"/livez", "/readyz", "/collector/metrics", "/consumer/metrics", "/query/metrics"} {
		eventually(t, path, func() bool {
			return s.call(http.MethodGet, allinone.URL(s.Ops)+path, "", nil, nil) == http.StatusOK
		})
	}
}
