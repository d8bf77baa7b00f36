package notify

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/maidian/maidian/pkg/fault"
	"github.com/maidian/maidian/pkg/notice"
)

// Metrics of notices.
type Metrics struct {
	attempts *prometheus.CounterVec
	ended    *prometheus.CounterVec
	delay    prometheus.Histogram
}

// NewMetrics registers them.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "maidian_notify_attempts_total", Help: "Attempts to tell people, by type of channel and result (delivered, limited, refused, failed).",
		}, []string{"type", "result"}),
		ended: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "maidian_notify_unsent_notices_total", Help: "Notices that nobody was told of, by why (given_up, silenced).",
		}, []string{"why"}),
		delay: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "maidian_notify_delay_seconds", Help: "Time from the notice's making to its delivery.",
			Buckets: []float64{.05, .1, .25, .5, 1, 2, 5, 15, 60, 600, 3600, 86400},
		}),
	}
	for _, why := range []string{notice.GivenUp, notice.Silenced} {
		m.ended.WithLabelValues(why) // from the start, or the first ever would be no increase
	}
	r.MustRegister(m.attempts, m.ended, m.delay)
	return m
}

func (m *Metrics) count(why string) { m.ended.WithLabelValues(why).Inc() }

func (m *Metrics) heard(kind string, err error, since time.Duration) {
	result := "failed"
	switch fault.KindOf(err) {
	case fault.Limited:
		result = "limited"
	case fault.Invalid:
		result = "refused"
	}
	if err == nil {
		result = notice.Delivered
		m.delay.Observe(since.Seconds())
	}
	m.attempts.WithLabelValues(kind, result).Inc()
}
