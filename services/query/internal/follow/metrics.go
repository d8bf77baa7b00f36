package follow

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	events       prometheus.Counter
	failures     prometheus.Counter
	missed       prometheus.Counter
	late         prometheus.Gauge
	shortBatches prometheus.Gauge
	shortEvents  prometheus.Gauge
	auditMissing prometheus.Gauge
	auditSurplus prometheus.Gauge
	auditUnlike  prometheus.Gauge
	looks        prometheus.Histogram
	visible      prometheus.Histogram
}

// newMetrics are registered unless registry is nil.
func newMetrics(registry prometheus.Registerer) *metrics {
	m := &metrics{
		events:       counter("events_total", "Events that were read back from the store and added."),
		failures:     counter("failures_total", "Looks at the journal that failed and are tried again."),
		missed:       counter("missed_events_total", "Events that following the journal missed and the audit added."),
		late:         gauge("late_seconds", "How far behind the newest entry a usual look at the journal begins."),
		shortBatches: gauge("short_batches", "Batches of which the store gave fewer events than the journal says."),
		shortEvents:  gauge("short_events", "Events that these batches lack."),
		auditMissing: gauge("audit_missing_events", "Events of the journal that were not in memory, by the last whole comparison."),
		auditSurplus: gauge("audit_surplus_events", "Events in memory beyond those of the journal, by the last whole comparison."),
		auditUnlike:  gauge("audit_unlike_dates", "Sealed days whose batches or events were not those of the journal, by the last whole comparison."),
		looks:        histogram("look_seconds", "Time of one look at the journal, with the reading of new events."),
		visible:      histogram("visible_seconds", "From a batch's earliest receipt by the collector to its being visible in answers."),
	}
	if registry != nil {
		registry.MustRegister(m.events, m.failures, m.missed, m.late, m.shortBatches, m.shortEvents,
			m.auditMissing, m.auditSurplus, m.auditUnlike, m.looks, m.visible)
	}
	return m
}

const prefix = "maidian_query_follow_"

func counter(name, help string) prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{Name: prefix + name, Help: help})
}

func gauge(name, help string) prometheus.Gauge {
	return prometheus.NewGauge(prometheus.GaugeOpts{Name: prefix + name, Help: help})
}

func histogram(name, help string) prometheus.Histogram {
	return prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: prefix + name, Help: help, Buckets: []float64{.001, .005, .01, .05, .1, .2, .3, .5, .75, 1, 2, 5, 15, 60},
	})
}
