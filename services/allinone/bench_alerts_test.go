package allinone_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"regexp"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/maidian/maidian/pkg/proc"
	"github.com/maidian/maidian/pkg/rule"
	"github.com/maidian/maidian/pkg/store"
	"github.com/maidian/maidian/services/allinone"
)

// BenchmarkAlerts shows what rules cost and how soon people are told, each
// beside the same without them in the same run: compare what stands in a line.
// (benchtime 1x is enough; MAIDIAN_BENCH_PROFILE names a file for the CPU
// profile of a steady load with rules.)
func BenchmarkAlerts(b *testing.B) {
	b.Run("steady", func(b *testing.B) {
		for b.Loop() {
			plain, ruled := steady(b, nil), steady(b, manyRules())
			b.ReportMetric(plain.rate, "stored/s")
			b.ReportMetric(ruled.rate, "stored/s_with_rules")
			b.ReportMetric(ruled.rate/plain.rate, "of_plain")
			b.ReportMetric(plain.cores, "cores")
			b.ReportMetric(ruled.cores-plain.cores, "cores_for_rules")
			b.ReportMetric(ruled.seen, "seen_by_rules")
		}
	})
	b.Run("unlimited", func(b *testing.B) {
		var plain, ruled spent
		for b.Loop() {
			for range 2 {
				plain.add(flood(b, nil))
				ruled.add(flood(b, manyRules()))
			}
		}
		n := float64(2 * b.N * flooded)
		b.ReportMetric(n/plain.clock.Seconds(), "stored/s")
		b.ReportMetric(n/ruled.clock.Seconds(), "stored/s_with_rules")
		b.ReportMetric(plain.clock.Seconds()/ruled.clock.Seconds(), "of_plain")
		b.ReportMetric(plain.processor.Seconds()*1e6/n, "cpu-µs/event")
		b.ReportMetric(ruled.processor.Seconds()*1e6/n, "cpu-µs/event_with_rules")
	})
	b.Run("idle", func(b *testing.B) {
		for b.Loop() {
			plain, ruled := idle(b, nil), idle(b, manyRules())
			b.ReportMetric(plain, "cores")
			b.ReportMetric(ruled-plain, "cores_for_rules")
		}
	})
	b.Run("told", func(b *testing.B) {
		for b.Loop() {
			well, beside := toldWithin(b, 0), toldWithin(b, 30*time.Second)
			b.ReportMetric(well.p50.Seconds(), "p50-s")
			b.ReportMetric(well.p99.Seconds(), "p99-s")
			b.ReportMetric(beside.p50.Seconds(), "p50-s_beside_a_hanging_one")
			b.ReportMetric(beside.p99.Seconds(), "p99-s_beside_a_hanging_one")
			b.ReportMetric(beside.rate/well.rate, "storing_beside_it")
		}
	})
}

const (
	steadyRate = 2000 // events a second
	perRequest = 20
	steadyFor  = 20 * time.Second
	flooded    = 100_000 // events
)

// manyRules are a thousand of all kinds, about what the traffic is of; hardly any of them tells.
func manyRules() (rules []map[string]any) {
	random := rand.New(rand.NewPCG(1, 2))
	types := []string{"page_view", "click", "cart_add", "purchase", "error"}
	metrics := []string{"count", "users", "sum", "avg", "p95"}
	for i := range 1000 {
		selector := map[string]any{"event": types[random.IntN(len(types))], "filters": []map[string]any{
			{"property": "page_path", "op": "eq", "value": fmt.Sprint("/products/", random.IntN(50))},
		}}
		r := map[string]any{"id": fmt.Sprint("rule-", i), "event": selector}
		measured := func(kind, window string, value float64) {
			r["kind"], r["window"], r["value"] = kind, window, value
			r["metric"] = metrics[random.IntN(len(metrics))]
			if m := r["metric"]; m != "count" && m != "users" {
				r["property"] = "amount"
			}
		}
		switch k := i % 20; {
		case k < 6:
			r["kind"] = "event"
			selector["filters"] = append(selector["filters"].([]map[string]any), map[string]any{"property": "amount", "op": "gte", "value": 1e6})
		case k < 11:
			measured("threshold", "5m", 1e9)
			if k == 6 {
				r["group_by"] = "browser"
			}
		case k == 11:
			r["kind"], r["metric"], r["window"], r["value"], r["of"] = "threshold", "ratio", "5m", 1e9, "page_view"
		case k < 14:
			measured("change", "5m", 1e9)
			r["against"] = "hour"
		case k == 14:
			measured("anomaly", "1h", 0)
			delete(r, "value")
		case k == 15:
			r["kind"], r["window"] = "absence", "1h"
		case k < 18:
			r["kind"], r["property"] = "new_value", "plan"
		case k == 18:
			r["kind"], r["window"], r["more_than"] = "behaviour", "1m", 1_000_000
		default:
			r["kind"], r["metric"], r["window"], r["value"] = "pipeline", "queue_depth", "1m", 1e9
			delete(r, "event")
		}
		rules = append(rules, r)
	}
	return rules
}

// put stores rules as the API does, and waits until they are evaluated.
func (s *system) put(rules []map[string]any) {
	s.t.Helper()
	for _, r := range rules {
		definition, err := json.Marshal(r)
		if err != nil {
			s.t.Fatal(err)
		}
		data, err := json.Marshal(rule.Kept{Definition: definition})
		if err == nil {
			err = s.Store.CreateRecord(s.t.Context(), store.Record{Kind: rule.RecordKind, Project: allinone.DemoProject, ID: r["id"].(string), Data: data})
		}
		if err != nil {
			s.t.Fatal(err)
		}
	}
	eventually(s.t, fmt.Sprintf("%d rules to be evaluated", len(rules)), func() bool { return len(s.health().Rules) >= len(rules) })
}

// shopping are requests with events of several types.
func shopping(requests, from int) [][]byte {
	all := make([][]byte, requests)
	for i := range all {
		events := make([]string, perRequest)
		for j := range events {
			events[j] = shopEvent(from + i*perRequest + j)
		}
		body := `{"events":[` + strings.Join(events, ",") + `]}`
		all[i] = fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: localhost\r\nX-API-Key: wk_demo\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", batchPath, len(body), body)
	}
	return all
}

func shopEvent(i int) string {
	kind, more := "page_view", ""
	switch k := i % 25; {
	case k == 0:
		kind, more = "purchase", `,"amount":%d.5,"currency":"EUR","order_id":"o"`
		more = fmt.Sprintf(more, i%300)
	case k == 1:
		kind = "error"
	case k < 4:
		kind = "cart_add"
	case k < 10:
		kind = "click"
	}
	return fmt.Sprintf(`{"event_id":"%s","event_type":"%s","user_id":"user-%d","session_id":"session-%d","timestamp":%d,`+
		`"page_url":"https://shop.example/products/%d?utm_source=news","page_title":"Product %d","referrer":"https://www.google.com/",`+
		`"user_agent":"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36",`+
		`"properties":{"plan":"plan-%d","price":12.5,"product_id":"p-%d","message":"m-%d","tags":["a","b"]%s}}`,
		uuid.Must(uuid.NewV7()), kind, i%5000, i/12, time.Now().UnixMilli(), i%500, i%500, i%20, i%500, i%7, more)
}

// begin is a system that has some rules and knows its keys.
func begin(b *testing.B, rules []map[string]any, in *inbox) *system {
	c := config(b)
	c.Ops = "127.0.0.1:0"
	in.reach(b, c)
	s := start(b, c)
	s.send(allinone.DemoWriteKey, visit("first", "u", "2026-03-02T10:00:00Z"))
	s.put(rules)
	s.settled(1)
	return s
}

// measured is what came of a load.
type measured struct {
	rate, cores float64
	seen        float64 // of the events that are stored, what part the rules have looked at by then
	p50, p99    time.Duration
}

// load sends requests at the steady rate for a while, and gives how many events were stored a second.
func (s *system) load(b *testing.B, d time.Duration) (m measured) {
	requests := int(d.Seconds() * steadyRate / perRequest)
	work := make(chan []byte, requests)
	var clients sync.WaitGroup
	for range 8 {
		clients.Go(func() {
			if err := postAll(s.collector[len("http://"):], work); err != nil {
				b.Error(err)
			}
		})
	}
	before, began := processor(b), time.Now()
	for i := range requests {
		proc.Pause(b.Context(), time.Until(began.Add(time.Duration(i)*d/time.Duration(requests))))
		work <- shopping(1, i*perRequest)[0]
	}
	close(work)
	clients.Wait()
	stored := s.stored()
	took := time.Since(began)
	m.rate, m.cores = float64(stored)/took.Seconds(), (processor(b)-before).Seconds()/took.Seconds()
	m.seen = s.seen() / float64(stored)
	return m
}

var seenEvents = regexp.MustCompile(`(?m)^maidian_alert_events_total (\S+)`)

// seen is how many events rules have looked at, as the metric says.
func (s *system) seen() (n float64) {
	if s.Ops == nil {
		return 0
	}
	answer, err := http.Get(allinone.URL(s.Ops) + "/consumer/metrics")
	if err != nil {
		s.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err == nil {
		_, err = fmt.Sscan(string(seenEvents.FindSubmatch(text)[1]), &n)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

// stored is how many events the journal tells of.
func (s *system) stored() int {
	var sum struct{ Stored int }
	if status := s.call(http.MethodPost, s.query+"/api/v1/analytics/accounting", allinone.DemoReadKey, map[string]any{}, &sum); status != http.StatusOK {
		s.t.Fatalf("accounting: got %d", status)
	}
	return sum.Stored
}

func processor(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func steady(b *testing.B, rules []map[string]any) measured {
	s := begin(b, rules, newInbox(b))
	defer s.stop()
	if file := os.Getenv("MAIDIAN_BENCH_PROFILE"); file != "" && rules != nil {
		to, err := os.Create(file)
		if err == nil {
			err = pprof.StartCPUProfile(to)
		}
		if err != nil {
			b.Fatal(err)
		}
		defer to.Close()
		defer pprof.StopCPUProfile()
	}
	return s.load(b, steadyFor)
}

// idle is how many cores a system takes that has nothing to do.
func idle(b *testing.B, rules []map[string]any) float64 {
	s := begin(b, rules, newInbox(b))
	defer s.stop()
	before, began := processor(b), time.Now()
	proc.Pause(b.Context(), steadyFor)
	return (processor(b) - before).Seconds() / time.Since(began).Seconds()
}

// spent is time by the clock, and of this process on the processors.
type spent struct{ clock, processor time.Duration }

func (s *spent) add(o spent) { s.clock, s.processor = s.clock+o.clock, s.processor+o.processor }

// flood is what it takes until as much is stored as fast as it goes.
func flood(b *testing.B, rules []map[string]any) spent {
	s := begin(b, rules, newInbox(b))
	defer s.stop()
	requests := shopping(flooded/perRequest, 0)
	before, began := processor(b), time.Now()
	sendAll(b, s.collector[len("http://"):], requests)
	s.settled(flooded + 1)
	return spent{time.Since(began), processor(b) - before}
}

// toldWithin is how long it takes from the answer of the collector to an event
// until a webhook tells of it, under a steady load with all rules, while another
// channel is told of the same and takes its time.
func toldWithin(b *testing.B, other time.Duration) (m measured) {
	in, slow := newInbox(b), newInbox(b)
	slow.answer = other
	c := config(b)
	in.reach(b, c)
	slow.reach(b, c)
	s := start(b, c)
	defer s.stop()
	defer slow.CloseClientConnections()
	probe := map[string]any{"id": "probe", "kind": "event", "event": "probe"}
	other2 := maps.Clone(probe)
	other2["id"] = "slow"
	s.watch("ops", in, probe)
	s.watch("slow", slow, other2)
	s.put(manyRules())

	accepted := map[string]time.Time{}
	ctx, stop := context.WithCancel(b.Context())
	var probing sync.WaitGroup
	probing.Go(func() {
		for i := 0; proc.Pause(ctx, 50*time.Millisecond); i++ {
			id := fmt.Sprint("probe-", i)
			s.send(allinone.DemoWriteKey, map[string]any{"event_type": "probe", "event_id": id, "user_id": "ada"})
			accepted[id] = time.Now()
		}
	})
	m = s.load(b, steadyFor)
	stop()
	probing.Wait()
	eventually(b, "all probes to be told", func() bool { return len(in.messages()) >= len(accepted) })

	in.mu.Lock()
	defer in.mu.Unlock()
	var took []time.Duration
	for told := range maps.Values(in.told) {
		took = append(took, told.at.Sub(accepted[told.Data.Event.EventID]))
	}
	slices.Sort(took)
	m.p50, m.p99 = took[len(took)/2], took[len(took)*99/100]
	return m
}
