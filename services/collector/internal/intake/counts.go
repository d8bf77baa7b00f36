package intake

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/maidian/maidian/pkg/event"
)

// counts are the figures of the intake. No label comes from what clients send.
type counts struct {
	registry   prometheus.Registerer
	accepted   prometheus.Counter
	problems   *prometheus.CounterVec
	seconds    *prometheus.HistogramVec
	perMessage *prometheus.HistogramVec
	bytes      prometheus.Counter
}

func newCounts(metrics prometheus.Registerer) *counts {
	c := &counts{
		registry: metrics,
		accepted: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: "maidian", Subsystem: "collector", Name: "events_accepted_total",
			Help: "Events that the broker has confirmed.",
		}),
		problems: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "maidian", Subsystem: "collector", Name: "events_problems_total",
			Help: "Problems of rejected events by code; an event can have several.",
		}, []string{"code"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "maidian", Subsystem: "collector", Name: "publish_seconds",
			Help:    "Time from a message's first event to its confirm or failure.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
		}, []string{"outcome"}),
		perMessage: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "maidian", Subsystem: "collector", Name: "message_size",
			Help:    "What one message holds: events, and requests that share it.",
			Buckets: []float64{1, 2, 5, 10, 20, 50, 100, 200, 500, 1000},
		}, []string{"of"}),
		bytes: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: "maidian", Subsystem: "collector", Name: "published_bytes_total",
			Help: "Bytes of confirmed messages.",
		}),
	}
	metrics.MustRegister(c.accepted, c.problems, c.seconds, c.perMessage, c.bytes)
	return c
}

// watch shows how much waits in a coalescer.
func (c *counts) watch(of *Coalescer) {
	gauge := func(name, help string, value func() int) {
		c.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Namespace: "maidian", Subsystem: "collector", Name: name, Help: help,
		}, func() float64 {
			of.mu.Lock()
			defer of.mu.Unlock()
			return float64(value())
		}))
	}
	gauge("messages_in_flight", "Messages published and not yet confirmed.", func() int { return of.inFlight })
	gauge("waiting_bytes", "Bytes of events that wait for a confirm.", func() int { return of.waiting })
}

func (c *counts) rejected(problems []event.Problem) {
	for i := range problems {
		c.problems.WithLabelValues(problems[i].Code).Inc()
	}
}

func (c *counts) published(b *batch, err error) {
	outcome := "confirmed"
	if err != nil {
		outcome = "failed"
	} else {
		c.bytes.Add(float64(b.bytes()))
		c.perMessage.WithLabelValues("events").Observe(float64(b.events))
		c.perMessage.WithLabelValues("requests").Observe(float64(b.requests))
	}
	c.seconds.WithLabelValues(outcome).Observe(time.Since(b.begun).Seconds())
}
