package sealed

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	rebuilt *prometheus.CounterVec
	written prometheus.Counter
}

func newMetrics(registry prometheus.Registerer) *metrics {
	m := &metrics{
		rebuilt: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "maidian_query_rebuilt_segments_total", Help: "Sealed parts that could not be used and were built from raw events, by what was wrong with them.",
		}, []string{"reason"}),
		written: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "maidian_query_written_segment_bytes_total", Help: "Bytes of sealed parts that were written to the store.",
		}),
	}
	for _, reason := range []string{"missing", "foreign", "stale", "damaged"} {
		m.rebuilt.WithLabelValues(reason)
	}
	if registry != nil {
		registry.MustRegister(m.rebuilt, m.written)
	}
	return m
}
