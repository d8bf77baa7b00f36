package api

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/maidian/maidian/pkg/trace"
)

// metrics are the figures that a person on call looks at.
type metrics struct {
	seconds *prometheus.HistogramVec
	lag     prometheus.Histogram
}

func newMetrics(registry prometheus.Registerer) *metrics {
	m := &metrics{
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "maidian_query_report_seconds",
			Help:    "Time to work out a report, waiting for a slot not included.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"report", "outcome"}),
		lag: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "maidian_query_freshness_lag_seconds",
			Help:    "How old the newest known state of the journal was when an answer was made.",
			Buckets: []float64{.1, .25, .5, 1, 2, 5, 15, 60, 300, 3600},
		}),
	}
	registry.MustRegister(m.seconds, m.lag)
	return m
}

// watch shows who is inside a gate and who waits before it.
func (m *metrics) watch(registry prometheus.Registerer, gates ...*gate) {
	for _, g := range gates {
		gauge := func(name, help string, value func() float64) {
			registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: prometheus.Labels{"gate": g.what}}, value))
		}
		gauge("maidian_query_running_requests", "Requests that are being worked on, by the gate that bounds them.", func() float64 { return float64(len(g.slots)) })
		gauge("maidian_query_waiting_requests", "Requests that wait until others have left their gate.", func() float64 { return float64(g.waiting.Load()) })
	}
}

// begin is the start of a report; what it returns is called at the end.
func (m *metrics) begin(ctx context.Context, report string) (context.Context, func(err error)) {
	start := time.Now()
	ctx, span := trace.Step(ctx, "report "+report)
	return ctx, func(err error) {
		outcome := "ok"
		if err != nil {
			outcome = "error"
		}
		m.seconds.WithLabelValues(report, outcome).Observe(time.Since(start).Seconds())
		span.End(err)
	}
}
