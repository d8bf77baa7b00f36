package alert

import "github.com/prometheus/client_golang/prometheus"

// Metrics are what people on call look at.
type Metrics struct {
	events  prometheus.Counter
	firings *prometheus.CounterVec
	failed  prometheus.Counter
	behind  *prometheus.GaugeVec
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
		behind: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "maidian_alert_lag_seconds", Help: "How far the rules' time is behind the clock.",
		}, []string{"project"}),
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
