package forward

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/maidian/maidian/pkg/destination"
	"github.com/maidian/maidian/pkg/event"
)

// Metrics are what people on call look at. Their labels are from the
// configuration: the destination's type, project and id.
type Metrics struct {
	events *prometheus.CounterVec
	errors *prometheus.CounterVec
	send   *prometheus.HistogramVec
	gauges [4]*prometheus.GaugeVec // as in mine
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
	}
	r.MustRegister(m.events, m.errors, m.send)
	for i, g := range [...][2]string{
		{"lag_seconds", "How long the oldest stored event waits that is not yet at the destination; 0 when there is none."},
		{"lag_entries", "Entries of the journal that wait, as far as they are counted."},
		{"lag_events", "Events that wait, those that are left out too."},
		{"paused", "1 while a destination is paused because it refused too much."},
	} {
		m.gauges[i] = prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "maidian_forward_" + g[0], Help: g[1]}, of)
		r.MustRegister(m.gauges[i])
	}
	return m
}

// mine are the metrics of one job.
type mine struct {
	sent, leftOut, refused, errors prometheus.Counter
	send                           prometheus.Observer
	lag, entries, events, paused   prometheus.Gauge
}

func labelsOf(j *job) []string { return []string{j.definition.Type, j.project, j.id} }

func (m *Metrics) of(j *job) *mine {
	labels := labelsOf(j)
	outcome := func(name string) prometheus.Counter { return m.events.WithLabelValues(append(labels, name)...) }
	gauge := func(i int) prometheus.Gauge { return m.gauges[i].WithLabelValues(labels...) }
	return &mine{
		outcome("sent"), outcome("left_out"), outcome("refused"), m.errors.WithLabelValues(labels...),
		m.send.WithLabelValues(j.definition.Type), gauge(0), gauge(1), gauge(2), gauge(3),
	}
}

// forget takes out what is no longer true when a job is not done here any more.
func (m *Metrics) forget(j *job) {
	for _, g := range m.gauges {
		g.DeleteLabelValues(labelsOf(j)...)
	}
}

// tell says how much waits, and since when; 0: nothing does.
func (m *mine) tell(waiting destination.Backlog, since event.Time) {
	m.entries.Set(float64(waiting.Entries))
	m.events.Set(float64(waiting.Events))
	m.lag.Set(0)
	if since != 0 {
		m.lag.Set(max(0, time.Since(since.Std()).Seconds()))
	}
}
