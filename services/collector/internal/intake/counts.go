package intake

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// counts are the figures of the intake. No label comes from what clients send.
type counts struct {
	registry prometheus.Registerer
	accepted prometheus.Counter
	rejected *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	events   prometheus.Histogram
	requests prometheus.Histogram
	bytes    prometheus.Counter
}

func newCounts(metrics prometheus.Registerer) *counts {
	perMessage := func(name, help string) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: []float64{1, 2, 5, 10, 20, 50, 100, 200, 500, 1000}})
	}
	c := &counts{
		registry: metrics,
		accepted: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "maidian_collector_accepted_events_total",
			Help: "Events that the broker has confirmed.",
		}),
		rejected: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "maidian_collector_rejected_events_total",
			Help: "Events that were answered with a problem, by the code of the first one.",
		}, []string{"reason"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "maidian_collector_publish_seconds",
			Help:    "Time from a message's first event to its confirm or failure.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
		}, []string{"outcome"}),
		events:   perMessage("maidian_collector_message_events", "Events in one confirmed message."),
		requests: perMessage("maidian_collector_message_requests", "Requests that shared one confirmed message."),
		bytes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "maidian_collector_published_bytes_total",
			Help: "Bytes of confirmed messages.",
		}),
	}
	metrics.MustRegister(c.accepted, c.rejected, c.seconds, c.events, c.requests, c.bytes)
	return c
}

// watch shows how much waits in a coalescer.
func (c *counts) watch(of *Coalescer) {
	gauge := func(name, help string, value func() int) {
		c.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 {
			of.mu.Lock()
			defer of.mu.Unlock()
			return float64(value())
		}))
	}
	gauge("maidian_collector_in_flight_messages", "Messages published and not yet confirmed.", func() int { return of.inFlight })
	gauge("maidian_collector_waiting_bytes", "Bytes of events that wait for a confirm.", func() int { return of.waiting })
}

func (c *counts) published(b *batch, err error) {
	outcome := "confirmed"
	if err != nil {
		outcome = "failed"
	} else {
		c.bytes.Add(float64(b.bytes()))
		c.events.Observe(float64(b.events))
		c.requests.Observe(float64(b.requests))
	}
	c.seconds.WithLabelValues(outcome).Observe(time.Since(b.begun).Seconds())
}
