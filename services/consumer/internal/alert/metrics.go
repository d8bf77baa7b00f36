package alert

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/maidian/maidian/pkg/event"
)

// Metrics are what people on call look at.
type Metrics struct {
	events  prometheus.Counter
	firings *prometheus.CounterVec
	failed  prometheus.Counter
	behind  *behind
	state   *prometheus.GaugeVec
	crowded *prometheus.GaugeVec
}

// NewMetrics registers the alerts' metrics.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		events: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "maidian_alert_events_total", Help: "Stored events that rules have looked at.",
		}),
		firings: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "maidian_alert_firings_total", Help: "Firings made, by severity and state (firing or recovered).",
		}, []string{"project", "severity", "state"}),
		failed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "maidian_alert_errors_total", Help: "Times that evaluation stopped at an error and went on from what was kept.",
		}),
		behind: &behind{
			desc:     prometheus.NewDesc("maidian_alert_lag_seconds", "How far the rules' time is behind the clock.", []string{"project"}, nil),
			progress: map[string]event.Time{},
		},
		state: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "maidian_alert_state_bytes", Help: "Size of what the rules of a project remember, as it is kept.",
		}, []string{"project"}),
		crowded: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "maidian_alert_crowded_events", Help: "Events of which a rule could remember nothing, because it has too many groups or values.",
		}, []string{"project", "rule"}),
	}
	r.MustRegister(m.events, m.firings, m.failed, m.behind, m.state, m.crowded)
	return m
}

// forget takes out what is said of a project whose rules are not evaluated here any more.
func (m *Metrics) forget(project string) {
	m.behind.forget(project)
	of := prometheus.Labels{"project": project}
	m.state.DeletePartialMatch(of)
	m.crowded.DeletePartialMatch(of)
}

// behind is worked out when it is asked for: it grows while nothing goes on.
type behind struct {
	desc *prometheus.Desc

	mu       sync.Mutex
	progress map[string]event.Time // the rules' time, by project
}

func (b *behind) set(project string, progress event.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.progress[project] = progress
}

func (b *behind) forget(project string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.progress, project)
}

// Describe implements prometheus.Collector.
func (b *behind) Describe(to chan<- *prometheus.Desc) { to <- b.desc }

// Collect implements prometheus.Collector.
func (b *behind) Collect(to chan<- prometheus.Metric) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for project, progress := range b.progress {
		to <- prometheus.MustNewConstMetric(b.desc, prometheus.GaugeValue, max(0, time.Since(progress.Std()).Seconds()), project)
	}
}
