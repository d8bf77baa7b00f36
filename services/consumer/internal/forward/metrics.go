package forward

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/maidian/maidian/pkg/event"
)

// Metrics are what people on call look at. Their labels are from the
// configuration: the destination's type, project and id.
type Metrics struct {
	events *prometheus.CounterVec
	errors *prometheus.CounterVec
	send   *prometheus.HistogramVec
	lag    *prometheus.GaugeVec
}

// NewMetrics registers the forwarders' metrics.
func NewMetrics(r prometheus.Registerer) *Metrics {
	of := []string{"type", "project", "destination"}
	m := &Metrics{
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "maidian_forward_events_total",
			Help: "Events by what became of them: sent, left_out (the definition does not send them) or refused (by the destination, for good).",
		}, append(of, "outcome")),
		errors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "maidian_forward_errors_total", Help: "Batches that a destination did not take and that are tried again.",
		}, of),
		send: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "maidian_forward_send_seconds", Help: "Time of one batch's sending, failed ones too.",
			Buckets: prometheus.ExponentialBuckets(0.001, 3, 10),
		}, []string{"type"}),
		lag: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "maidian_forward_lag_seconds", Help: "How long the oldest stored event waits that is not yet at the destination; 0 when there is none.",
		}, of),
	}
	r.MustRegister(m.events, m.errors, m.send, m.lag)
	return m
}

// mine are the metrics of one destination.
type mine struct {
	sent, leftOut, refused, errors prometheus.Counter
	send                           prometheus.Observer
	lag                            prometheus.Gauge
}

func (m *Metrics) of(j *job) *mine {
	labels := []string{j.definition.Type, j.project, j.id}
	outcome := func(name string) prometheus.Counter { return m.events.WithLabelValues(append(labels, name)...) }
	return &mine{
		outcome("sent"), outcome("left_out"), outcome("refused"),
		m.errors.WithLabelValues(labels...), m.send.WithLabelValues(j.definition.Type), m.lag.WithLabelValues(labels...),
	}
}

// forget takes a destination's out that is no longer forwarded here.
func (m *Metrics) forget(j *job) {
	m.lag.DeleteLabelValues(j.definition.Type, j.project, j.id)
}

// waiting is since when the oldest event waits; 0: none does.
func (m *mine) waiting(since event.Time) {
	if since == 0 {
		m.lag.Set(0)
		return
	}
	m.lag.Set(max(0, time.Since(since.Std()).Seconds()))
}
