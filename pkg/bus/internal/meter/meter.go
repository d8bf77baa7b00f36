// Package meter holds what both adapters count, under the same names, so that
// a dashboard shows any broker.
package meter

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// Publish counts what happens to messages on their way to the broker.
type Publish struct {
	Confirm    prometheus.Histogram   // seconds from Publish to the broker's confirm
	InFlight   prometheus.Gauge       // messages waiting for their confirm
	Failed     *prometheus.CounterVec // messages not confirmed, by reason
	Returned   prometheus.Counter     // messages the broker could not route
	Blocked    prometheus.Gauge       // sessions that the broker keeps from publishing now
	BlockedFor prometheus.Counter     // seconds
	Sessions   prometheus.Gauge       // open publishing sessions
	Reconnects prometheus.Counter     // sessions that ended unasked
}

// NewPublish registers the publisher's metrics; two publishers of one
// registry add to the same ones. A nil registerer counts for nobody.
func NewPublish(r prometheus.Registerer) *Publish {
	return &Publish{
		Confirm: register(r, prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "maidian_bus_confirm_seconds",
			Help:    "Time from handing a message to the broker until it confirmed that it is stored.",
			Buckets: []float64{.0005, .001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5},
		})),
		InFlight: register(r, gauge("maidian_bus_in_flight_messages", "Messages published and not yet confirmed.")),
		Failed: register(r, counters("maidian_bus_failed_messages_total",
			"Messages that the broker did not confirm, by reason: unavailable, full (the queue refuses), unconfirmed (in time).", "reason", "unavailable", "full", "unconfirmed")),
		Returned:   register(r, counter("maidian_bus_returned_messages_total", "Messages that the broker returned because no queue took them.")),
		Blocked:    register(r, gauge("maidian_bus_blocked_sessions", "Publishing sessions that the broker blocks now (memory or disk alarm).")),
		BlockedFor: register(r, counter("maidian_bus_blocked_seconds_total", "Time that publishing sessions were blocked, all added up.")),
		Sessions:   register(r, gauge("maidian_bus_publish_sessions", "Open publishing sessions.")),
		Reconnects: register(r, counter("maidian_bus_publish_reconnects_total", "Publishing sessions that were lost or thrown away.")),
	}
}

// Receive counts what happens to messages on their way from the broker.
type Receive struct {
	Delivered   prometheus.Counter     // messages handed to the handler
	Redelivered prometheus.Counter     // of those, not for the first time
	Settled     *prometheus.CounterVec // by outcome: done, again
	Lost        prometheus.Counter     // outcomes that came after their session had ended
	Held        prometheus.Gauge       // messages received and not settled
	Sessions    prometheus.Gauge       // open receiving sessions
	Reconnects  prometheus.Counter     // sessions that ended unasked
	Handle      prometheus.Histogram   // seconds of one group in the handler
}

// NewReceive registers the receiver's metrics; several receivers of one
// registry add to the same ones. A nil registerer counts for nobody.
func NewReceive(r prometheus.Registerer) *Receive {
	return &Receive{
		Delivered:   register(r, counter("maidian_bus_delivered_messages_total", "Messages handed to the handler.")),
		Redelivered: register(r, counter("maidian_bus_redelivered_messages_total", "Messages handed to the handler that had been delivered before.")),
		Settled:     register(r, counters("maidian_bus_settled_messages_total", "Messages settled with the broker, by outcome: done, again.", "outcome", "done", "again")),
		Lost:        register(r, counter("maidian_bus_lost_settlements_total", "Outcomes that came too late for their session; the broker delivers those messages again.")),
		Held:        register(r, gauge("maidian_bus_held_messages", "Messages received and not yet settled.")),
		Sessions:    register(r, gauge("maidian_bus_receive_sessions", "Open receiving sessions.")),
		Reconnects:  register(r, counter("maidian_bus_receive_reconnects_total", "Receiving sessions that were lost or thrown away.")),
		Handle: register(r, prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "maidian_bus_handle_seconds",
			Help:    "Time that the handler took for one group of messages.",
			Buckets: []float64{.001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10, 30},
		})),
	}
}

func gauge(name, help string) prometheus.Gauge {
	return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
}

func counter(name, help string) prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
}

// counters are by the values of a label, each there from the start: what
// appears with its first count has not increased.
func counters(name, help, label string, values ...string) *prometheus.CounterVec {
	v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{label})
	for _, value := range values {
		v.WithLabelValues(value)
	}
	return v
}

// register returns the collector that now counts under this name: c, or the
// equal one that was there before.
func register[C prometheus.Collector](r prometheus.Registerer, c C) C {
	if r == nil {
		return c
	}
	err := r.Register(c)
	if already := (prometheus.AlreadyRegisteredError{}); errors.As(err, &already) {
		if before, ok := already.ExistingCollector.(C); ok {
			return before
		}
	}
	if err != nil {
		panic(err) // two metrics of one name and different shapes: a bug of this package
	}
	return c
}
