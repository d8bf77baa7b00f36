package deliver

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are what people on call look at.
type Metrics struct {
	events      *prometheus.CounterVec
	messages    *prometheus.CounterVec
	redelivered prometheus.Counter
	batch       prometheus.Histogram
	store       *prometheus.HistogramVec
	retries     *prometheus.CounterVec
	lag         prometheus.Histogram
}

// NewMetrics registers the consumer's metrics.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "maidian_consumer_events_total",
			Help: "Events settled, by what became of them: stored (new), own (stored by an earlier attempt of the same message), duplicate, dead.",
		}, []string{"outcome"}),
		messages: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "maidian_consumer_messages_total",
			Help: "Messages handled: done (acknowledged) or again (back to the queue).",
		}, []string{"outcome"}),
		redelivered: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "maidian_consumer_redelivered_messages_total",
			Help: "Messages that were delivered before.",
		}),
		batch: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "maidian_consumer_batch_events", Help: "Events in one insert.",
			Buckets: prometheus.ExponentialBuckets(1, 4, 8),
		}),
		store: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "maidian_consumer_store_seconds", Help: "Time of one call of the store, failed ones too.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2.5, 10),
		}, []string{"operation"}),
		retries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "maidian_consumer_store_retries_total", Help: "Calls of the store that failed and are tried again.",
		}, []string{"operation"}),
		lag: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "maidian_consumer_lag_seconds", Help: "From an event's receipt by the collector to its being stored and journalled, for each message the oldest.",
			Buckets: prometheus.ExponentialBuckets(0.01, 3, 12),
		}),
	}
	for _, name := range ends {
		m.events.WithLabelValues(name) // from the start, or the first dead letter ever would be no increase
	}
	for _, operation := range []string{"insert", "journal", "dead_letters", "tallies"} {
		m.retries.WithLabelValues(operation)
	}
	r.MustRegister(m.events, m.messages, m.redelivered, m.batch, m.store, m.retries, m.lag)
	return m
}

var ends = map[end]string{stored: "stored", own: "own", duplicate: "duplicate", dead: "dead"}

// settled counts a group that has come to its end.
func (m *Metrics) settled(g *group) {
	var count [stuck + 1]int
	for i := range g.messages {
		msg := &g.messages[i]
		if msg.Attempt > 1 {
			m.redelivered.Inc()
		}
		if !g.settled(msg) {
			m.messages.WithLabelValues("again").Inc()
			continue
		}
		m.messages.WithLabelValues("done").Inc()
		for j := msg.lo; j < msg.hi; j++ {
			count[g.fates[j].end]++
		}
		for _, l := range msg.lost {
			for _, from := range msg.runsOf(l) {
				count[dead] += from.Events
			}
		}
		m.observeLag(g, msg)
	}
	for end, name := range ends {
		m.events.WithLabelValues(name).Add(float64(count[end]))
	}
}

func (m *Metrics) observeLag(g *group, msg *message) {
	if msg.lo < msg.hi && g.events[msg.lo].ReceivedAt != 0 {
		m.lag.Observe(time.Since(g.events[msg.lo].ReceivedAt.Std()).Seconds())
	}
}
