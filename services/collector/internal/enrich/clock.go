package enrich

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/maidian/maidian/pkg/event"
)

const (
	// tolerance is how far a device's clock may be off before its times are
	// shifted: below, network delay and clock error cannot be told apart.
	tolerance = event.Time(time.Minute / time.Millisecond)
	// horizon is how far ahead of the server a time may lie before it is not believed.
	horizon = event.Time(24 * time.Hour / time.Millisecond)
)

// clock sets the time at which the event happened. The client's own stays in
// client_timestamp.
func (en *Enricher) clock(v *Visit, e *event.Event) {
	if e.Timestamp == 0 {
		e.Timestamp = v.ReceivedAt
		return
	}
	if skew := v.skew(); skew != 0 {
		e.Timestamp += skew
		if e.Timestamp == 0 {
			e.Timestamp = 1 // zero says that there is none
		}
		en.counts.shifted.Inc()
	}
	if e.Timestamp > v.ReceivedAt+horizon || e.Timestamp < event.Earliest { // shifted out of what is a time
		e.Timestamp = v.ReceivedAt
		en.counts.ahead.Inc()
	}
}

// skew is what to add to the device's times: received_at - sent_at where its
// clock is slow or fast by more than the tolerance, else nothing.
func (v *Visit) skew() event.Time {
	if v.SentAt == 0 {
		return 0
	}
	skew := v.ReceivedAt - v.SentAt
	if skew <= tolerance && skew >= -tolerance {
		return 0
	}
	return skew
}

// counts of what was corrected, for people who wonder about times.
type counts struct{ shifted, ahead prometheus.Counter }

func newCounts(metrics prometheus.Registerer) counts {
	vec := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "maidian_collector_time_corrections_total",
		Help: `Events whose time was changed: "skew" shifted by the device's clock error, "ahead" set to received_at.`,
	}, []string{"correction"})
	metrics.MustRegister(vec)
	return counts{shifted: vec.WithLabelValues("skew"), ahead: vec.WithLabelValues("ahead")}
}
