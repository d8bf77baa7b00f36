package allinone_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/maidian/maidian/pkg/testenv"
	"github.com/maidian/maidian/services/allinone"
)

const metricsPage = "../../deploy/METRICS.md"

var services = []string{"collector", "consumer", "query"}

// families are what a service shows at /metrics, by name.
type families map[string]*dto.MetricFamily

// watched is a system on RabbitMQ with metrics, and with somebody who is told of alerts and forwarded to.
func watched(t *testing.T) *system {
	t.Helper()
	others := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }))
	t.Cleanup(others.Close)
	address, err := url.Parse(others.URL)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(address.Port())
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("CREDENTIAL_HOOK", "shared")
	c := config(t)
	c.Ops = "127.0.0.1:0"
	c.UseRabbit, c.Rabbit.URL, c.Rabbit.Queue = true, sharedRabbit.Node(t).URL(), testenv.QueueName(t)
	c.Consumer.Outgoing.AllowHTTP, c.Consumer.Outgoing.Ports, c.Consumer.Outgoing.Networks = true, []int{port}, []string{"127.0.0.0/8"}
	s := start(t, c)
	secret := map[string]any{"env": "CREDENTIAL_HOOK"}
	for path, made := range map[string]map[string]any{
		"channels":     {"id": "ops", "type": "webhook", "settings": map[string]any{"url": others.URL}, "secrets": map[string]any{"secret": secret}},
		"destinations": {"id": "hook", "type": "webhook", "settings": map[string]any{"url": others.URL, "secrets": []any{secret}}},
		"rules":        {"id": "bought", "kind": "event", "event": "purchase", "channels": []string{"ops"}},
	} {
		if status := s.call(http.MethodPost, s.query+"/api/v1/admin/projects/demo/"+path, allinone.DemoAdminKey, made, nil); status != http.StatusCreated {
			t.Fatalf("make one of %s: got %d", path, status)
		}
	}
	return s
}

// use does a little of everything that is counted.
func (s *system) use() {
	s.t.Helper()
	now := time.Now().UTC()
	from, to, at := now.Add(-24*time.Hour).Format(time.DateOnly), now.Add(24*time.Hour).Format(time.DateOnly), now.Format(time.RFC3339)
	eventually(s.t, "the rule to be evaluated", func() bool { return s.scrape("consumer")["maidian_alert_lag_seconds"] != nil })
	purchase := map[string]any{"event_id": "p", "event_type": "purchase", "user_id": "u", "timestamp": at, "properties": map[string]any{"amount": 1}}
	s.send(allinone.DemoWriteKey, visit("a", "u", at), purchase)
	s.send(allinone.DemoWriteKey, visit("a", "u", at)) // a duplicate
	broken := map[string]any{"events": []any{map[string]any{"event_type": 7}}}
	s.call(http.MethodPost, s.collector+"/api/v1/analytics/track/batch", allinone.DemoWriteKey, broken, nil)
	s.call(http.MethodPost, s.collector+"/api/v1/analytics/track", "wk_nobody", broken, nil)
	s.visible(allinone.DemoReadKey, from, to, 2)
	s.ask(allinone.DemoReadKey, "funnel", map[string]any{"steps": []string{"page_view", "purchase"}, "from": from, "to": to}, nil)
	s.call(http.MethodGet, s.query+"/api/v1/analytics/export?format=csv&from="+from+"&to="+to, allinone.DemoReadKey, nil, nil)
	s.call(http.MethodPost, s.query+"/api/v1/analytics/funnel", allinone.DemoReadKey, map[string]any{"steps": 1}, nil)
	eventually(s.t, "people to be told", func() bool { return s.scrape("consumer")["maidian_notify_attempts_total"] != nil })
	eventually(s.t, "the events to be forwarded", func() bool {
		return sum(s.scrape("consumer")["maidian_forward_events_total"], "outcome", "sent") >= 2
	})
}

func (s *system) scrape(service string) families {
	s.t.Helper()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	all, err := parser.TextToMetricFamilies(bytes.NewReader(s.metrics(service)))
	if err != nil {
		s.t.Fatal(err)
	}
	maps.DeleteFunc(all, func(name string, _ *dto.MetricFamily) bool { return !strings.HasPrefix(name, "maidian_") })
	return all
}

func (s *system) metrics(service string) []byte {
	s.t.Helper()
	res, err := http.Get(allinone.URL(s.Ops) + "/" + service + "/metrics")
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return text
}

// sum adds up the counters of a family that have this label.
func sum(f *dto.MetricFamily, label, value string) (total float64) {
	for _, m := range f.GetMetric() {
		for _, l := range m.GetLabel() {
			if l.GetName() == label && l.GetValue() == value {
				total += m.GetCounter().GetValue()
			}
		}
	}
	return total
}

// table is the page's part that says what there is.
func (s *system) table() string {
	var b strings.Builder
	for _, service := range services {
		fmt.Fprintf(&b, "\n### The %s's\n\n| metric | type | labels | meaning |\n| --- | --- | --- | --- |\n", service)
		all := s.scrape(service)
		for _, name := range slices.Sorted(maps.Keys(all)) {
			f, labels := all[name], map[string]bool{}
			for _, m := range f.GetMetric() {
				for _, l := range m.GetLabel() {
					labels["`"+l.GetName()+"`"] = true
				}
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", name, strings.ToLower(f.GetType().String()),
				cmp.Or(strings.Join(slices.Sorted(maps.Keys(labels)), ", "), "–"), f.GetHelp())
		}
	}
	return b.String()
}

const (
	tableBegins = "<!-- what the running system shows; make metrics writes it -->\n"
	tableEnds   = "\n<!-- the end of it -->"
)

func TestMetrics(t *testing.T) {
	s := watched(t)
	s.use()
	t.Run("the page says what the system shows", s.asThePageSays)
	t.Run("names are as Prometheus advises", s.wellNamed)
	t.Run("dashboards and alerts work in Prometheus", s.inPrometheus)
	t.Run("strangers make no series", s.indifferentToStrangers)
}

// asThePageSays holds the page to what the running system shows: that, and
// nothing else. With METRICS=write the page is written.
func (s *system) asThePageSays(t *testing.T) {
	text, err := os.ReadFile(metricsPage)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, _ := strings.Cut(string(text), tableBegins)
	documented, after, ok := strings.Cut(rest, tableEnds)
	if !ok {
		t.Fatalf("%s lacks the lines %q and %q", metricsPage, tableBegins, tableEnds)
	}
	shown := s.table()
	if os.Getenv("METRICS") == "write" {
		if err := os.WriteFile(metricsPage, []byte(before+tableBegins+shown+tableEnds+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	told := strings.Split(documented, "\n")
	for line := range strings.SplitSeq(shown, "\n") {
		at := slices.Index(told, line)
		if at < 0 {
			t.Errorf("shown and not in %s (make metrics): %s", metricsPage, line)
			continue
		}
		told = slices.Delete(told, at, at+1)
	}
	for _, line := range told {
		t.Errorf("in %s and not shown: %s", metricsPage, line)
	}
}

func (s *system) wellNamed(t *testing.T) {
	for _, service := range services {
		problems, err := promlint.New(bytes.NewReader(s.metrics(service))).Lint()
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range problems {
			if strings.HasPrefix(p.Metric, "maidian_") {
				t.Errorf("%s: %s: %s", service, p.Metric, p.Text)
			}
		}
		for name := range s.scrape(service) {
			if part := strings.SplitN(name, "_", 3); len(part) < 3 || !slices.Contains([]string{"bus", "collector", "consumer", "alert", "notify", "forward", "query", "build"}, part[1]) {
				t.Errorf("%s: %s is not maidian_<part>_<what>", service, name)
			}
		}
	}
}

// What strangers choose never becomes a label: however much they vary it, no series come of it.
func (s *system) indifferentToStrangers(t *testing.T) {
	s.provoke("Xq1first", 3)
	before := s.series()
	s.provoke("Xq2second", 60)
	after := s.series()
	for _, one := range after {
		if strings.Contains(strings.ToLower(one), "xq") {
			t.Errorf("a stranger's words are a label: %s", one)
		}
	}
	if came := len(after) - len(before); came > 20 { // those of ours that were not there yet
		t.Errorf("%d series came of 60 times as much variety", came)
	}
}

// series are all there are, without their values.
func (s *system) series() (all []string) {
	for _, service := range services {
		for line := range strings.Lines(string(s.metrics(service))) {
			if series, _, ok := strings.Cut(line, " "); ok && strings.HasPrefix(series, "maidian_") {
				all = append(all, series)
			}
		}
	}
	return all
}

// provoke puts a word into everything that a stranger chooses.
func (s *system) provoke(word string, times int) {
	s.t.Helper()
	for i := range times {
		w := fmt.Sprint(word, i)
		e := map[string]any{
			"event_type": w, "event_name": w, "event_id": w, "user_id": w, "session_id": w, "page_url": "https://" + w + ".example/" + w,
			"referrer": "https://" + w + ".example/", "properties": map[string]any{w: w, "$" + w: 1}, "element_id": w,
		}
		bad := map[string]any{"event_type": "purchase", w: w, "properties": map[string]any{"amount": w}}
		for _, r := range []struct{ method, url, key string }{
			{http.MethodPost, s.collector + "/api/v1/analytics/track/batch", allinone.DemoWriteKey},
			{http.MethodPost, s.collector + "/api/v1/analytics/track/batch", w},
			{http.MethodPost, s.collector + "/" + w, w},
			{strings.ToUpper(w), s.collector + "/api/v1/analytics/track", w},
			{http.MethodGet, s.collector + "/api/v1/analytics/pixel.gif?api_key=" + w + "&event_type=" + w, ""},
			{http.MethodGet, s.query + "/api/v1/analytics/" + w, allinone.DemoReadKey},
			{http.MethodGet, s.query + "/api/v1/analytics/users/" + w, allinone.DemoReadKey},
			{http.MethodGet, s.query + "/api/v1/analytics/stats/events?days=1&timezone=" + w + "&" + w + "=1", allinone.DemoReadKey},
			{http.MethodGet, s.query + "/api/v1/admin/projects/" + w, allinone.DemoAdminKey},
			{http.MethodPost, s.query + "/api/v1/analytics/trends", w},
		} {
			s.raw(r.method, r.url, r.key, w, map[string]any{"events": []any{e, bad}, "series": []any{w}})
		}
	}
}

// raw is a request with a stranger's headers, whatever is answered.
func (s *system) raw(method, address, key, word string, body any) {
	s.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		s.t.Fatal(err)
	}
	req, err := http.NewRequest(method, address, bytes.NewReader(text))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header = http.Header{
		"X-Api-Key": {key}, "Content-Type": {"application/json"}, "User-Agent": {word}, "Origin": {"https://" + word + ".example"},
		"X-Maidian-Sdk": {word}, "X-Request-Id": {word}, "Traceparent": {word}, "Accept": {word},
	}
	req.Host = word + ".example"
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, res.Body)
	res.Body.Close()
}
