// Package intake takes a request's events in: what is good is enriched and
// published, what is not is answered with its problems.
package intake

import (
	"context"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/maidian/maidian/pkg/bus"
	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/services/collector/internal/enrich"
)

// Intake is the way of events through the collector. It is safe for concurrent use.
type Intake struct {
	enricher  *enrich.Enricher
	coalescer *Coalescer
	counts    *counts
	tally     *tally
}

// New makes an intake that publishes with p.
func New(enricher *enrich.Enricher, p bus.Publisher, limits Limits, metrics prometheus.Registerer) *Intake {
	counts := newCounts(metrics)
	return &Intake{enricher: enricher, coalescer: newCoalescer(p, limits, counts), counts: counts, tally: newTally(p)}
}

// Answer says what became of a request's events.
type Answer struct {
	Accepted int             `json:"accepted"` // confirmed by the broker
	Rejected int             `json:"rejected"`
	Errors   []event.Problem `json:"errors"` // all problems of all rejected events
}

// Ready is nil when what is accepted now can be expected to be confirmed, else fault.Unavailable.
func (in *Intake) Ready() error { return in.coalescer.Ready() }

// Accept returns once the broker has confirmed every good event, or with
// fault.Unavailable: then nothing of the request counts as accepted. It does
// not end with ctx, which is asked only for the request's trace.
func (in *Intake) Accept(ctx context.Context, v *enrich.Visit, events []event.Parsed) (Answer, error) {
	answer := Answer{Errors: []event.Problem{}}
	lines := buffers.Get().(*encoded)
	defer lines.free()
	for i := range events {
		p := &events[i]
		if len(p.Problems) > 0 {
			answer.Rejected++
			answer.Errors = append(answer.Errors, p.Problems...)
			continue
		}
		in.enricher.Enrich(v, &p.Event)
		lines.add(&p.Event)
	}
	from := event.Source{Project: v.Project, Key: v.Key, Hour: v.ReceivedAt.Hour(), Events: len(lines.ends)}
	if from.Events > 0 {
		if err := in.coalescer.Publish(ctx, from, lines.bytes, lines.ends); err != nil {
			return Answer{}, err
		}
		answer.Accepted = from.Events
		in.counts.accepted.Add(float64(answer.Accepted))
		in.tally.add(from, event.Accepted, answer.Accepted)
	}
	for i := range events {
		if p := events[i].Problems; len(p) > 0 {
			in.counts.rejected.WithLabelValues(p[0].Code).Inc()
			in.tally.add(from, p[0].Code, 1)
		}
	}
	return answer, nil
}

// encoded are a request's good events as lines of a message.
type encoded struct {
	bytes []byte
	ends  []int
}

var buffers = sync.Pool{New: func() any { return new(encoded) }}

func (l *encoded) add(e *event.Event) {
	l.bytes = append(e.AppendWire(l.bytes), '\n')
	l.ends = append(l.ends, len(l.bytes))
}

// free gives the buffer back; the coalescer has copied what it needs. A very
// large one is left to the collector of garbage.
func (l *encoded) free() {
	if cap(l.bytes) > largeBody {
		return
	}
	l.bytes, l.ends = l.bytes[:0], l.ends[:0]
	buffers.Put(l)
}
