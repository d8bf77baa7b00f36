package intake

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/maidian/maidian/pkg/bus"
	"github.com/maidian/maidian/pkg/event"
)

// tally counts what clients were told, by project, key, hour and outcome, and
// publishes its numbers through the queue that the events themselves go
// through: so they come behind the events that they count, and wait with them.
// The numbers only grow, so any later message makes up for a lost one. What a
// killed collector had not yet published stays unsaid.
type tally struct {
	publisher bus.Publisher
	collector string // this process

	telling sync.Mutex // one at a time
	mu      sync.Mutex
	counts  map[counted]*count
}

type counted struct {
	project, key string
	hour         int32
	outcome      string
}

type count struct{ events, told int }

func newTally(p bus.Publisher) *tally {
	return &tally{publisher: p, collector: uuid.NewString(), counts: map[counted]*count{}}
}

func (t *tally) add(from event.Source, outcome string, n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	of := counted{from.Project, from.Key, from.Hour, outcome}
	if t.counts[of] == nil {
		t.counts[of] = new(count)
	}
	t.counts[of].events += n
}

// mostTallies are far below what a message may hold.
const mostTallies = 1000

// tell publishes the numbers that have grown since they were last published.
func (t *tally) tell(ctx context.Context) error {
	t.telling.Lock()
	defer t.telling.Unlock()
	for some := range slices.Chunk(t.news(), mostTallies) {
		id, err := uuid.NewV7()
		if err != nil {
			return err
		}
		header := event.Header{Version: event.Version, BatchID: id.String(), Tallies: some}
		if err := t.publisher.Publish(ctx, bus.Message{ID: header.BatchID, Body: event.AppendHeader(nil, header)}); err != nil {
			return err
		}
		t.told(some)
	}
	t.forget(event.TimeOf(time.Now()).Hour() - 1)
	return nil
}

func (t *tally) news() []event.Tally {
	t.mu.Lock()
	defer t.mu.Unlock()
	var news []event.Tally
	for of, c := range t.counts {
		if c.events > c.told {
			news = append(news, event.Tally{Collector: t.collector, Project: of.project, Key: of.key, Hour: of.hour, Outcome: of.outcome, Events: c.events})
		}
	}
	return news
}

func (t *tally) told(tallies []event.Tally) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, y := range tallies {
		t.counts[counted{y.Project, y.Key, y.Hour, y.Outcome}].told = y.Events
	}
}

// forget drops what was published of the hours before one: no request takes so long.
func (t *tally) forget(before int32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for of, c := range t.counts {
		if of.hour < before && c.told == c.events {
			delete(t.counts, of)
		}
	}
}

// Tell publishes every so often what clients were told, until ctx ends. What
// cannot be published now is said the next time.
func (in *Intake) Tell(ctx context.Context, every time.Duration) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			attempt, cancel := context.WithTimeout(ctx, every)
			_ = in.tally.tell(attempt)
			cancel()
		}
	}
}

// Close waits until everything taken in is confirmed or refused, and tells the
// last numbers if it can: no event is lost when the broker is away by then.
func (in *Intake) Close(ctx context.Context) error {
	err := in.coalescer.Close(ctx)
	_ = in.tally.tell(ctx)
	return err
}

// Refused counts a request of which nobody knows how many events it held, as one.
func (in *Intake) Refused(from event.Source, code string) { in.tally.add(from, code, 1) }
