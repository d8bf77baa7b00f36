package columns

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/maidian/maidian/pkg/event"
)

type metrics struct {
	rows        prometheus.Gauge
	columnBytes prometheus.Gauge
	uses        prometheus.Counter
	loads       prometheus.Counter
	evictions   prometheus.Counter
	gone        prometheus.Counter
	refused     prometheus.Counter
	load        prometheus.Histogram
	merge       prometheus.Histogram
	sealedUses  prometheus.Counter
	sealedReads prometheus.Counter
	woken       prometheus.Counter
	sealed      prometheus.Counter
	unlike      prometheus.Counter
}

// newMetrics are registered unless registry is nil.
func newMetrics(registry prometheus.Registerer) *metrics {
	buckets := prometheus.ExponentialBuckets(0.0001, 4, 9)
	m := &metrics{
		rows: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "maidian_query_column_rows", Help: "Events in memory, of all projects.",
		}),
		columnBytes: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "maidian_query_column_bytes", Help: "Memory of what may leave it: columns that were asked for, their dictionaries, sealed days.",
		}),
		uses: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "maidian_query_column_uses_total", Help: "Columns of a day that reports asked for, in memory or not.",
		}),
		loads: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "maidian_query_column_loads_total", Help: "Columns of a day that were read from the store.",
		}),
		evictions: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "maidian_query_column_evictions_total", Help: "Columns of a day that left memory for others.",
		}),
		gone: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "maidian_query_gone_events_total", Help: "Rows whose raw event was not in the store when a column was read.",
		}),
		refused: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "maidian_query_refused_events_total", Help: "Events that cannot be in columns because of an impossible place in their batch.",
		}),
		load: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "maidian_query_column_load_seconds", Help: "Time to read columns of some days from the store.", Buckets: buckets,
		}),
		merge: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "maidian_query_merge_seconds", Help: "Time to weave the events that came into their days.", Buckets: buckets,
		}),
		sealedUses: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "maidian_query_sealed_uses_total", Help: "Pieces of sealed days that reports asked for, in memory or not.",
		}),
		sealedReads: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "maidian_query_sealed_reads_total", Help: "Pieces of sealed days that were brought into memory.",
		}),
		woken: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "maidian_query_woken_dates_total", Help: "Sealed days that were made whole because something came for them.",
		}),
		sealed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "maidian_query_sealed_dates_total", Help: "Days that were sealed.",
		}),
		unlike: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "maidian_query_unlike_dates_total", Help: "Days whose events in memory or in segments were not those of the store or the journal, and that were built again.",
		}),
	}
	if registry != nil {
		registry.MustRegister(m.rows, m.columnBytes, m.uses, m.loads, m.evictions, m.gone, m.refused, m.load, m.merge,
			m.sealedUses, m.sealedReads, m.woken, m.sealed, m.unlike)
	}
	return m
}

// watchAge shows how old what answers are made of is; before all was read for
// the first time, how long that has taken.
func (t *Tables) watchAge(registry prometheus.Registerer) {
	if registry == nil {
		return
	}
	begun := time.Now()
	registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "maidian_query_journal_age_seconds", Help: "Time since the journal was last read to its end, or since the start.",
	}, func() float64 {
		if at := t.asOf.Load(); at != 0 {
			return max(0, time.Since(event.Time(at).Std()).Seconds())
		}
		return time.Since(begun).Seconds()
	}))
}
