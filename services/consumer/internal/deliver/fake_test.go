package deliver

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/maidian/maidian/pkg/bus"
	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/fault"
	"github.com/maidian/maidian/pkg/store"
)

// memory is a store in a few maps. Events whose id says so fail as a real
// store could: "bad…" can never be stored, "panic…" crashes the code,
// "odd…" fails for no known reason. It stores what stands before the failing
// one, which is the worst that the store interface allows.
type memory struct {
	mu      sync.Mutex
	events  map[string]event.Event
	batches map[[2]string]store.Batch
	letters map[string]store.DeadLetter
	tallies []store.Tally
	errs    map[string][]error // by operation: taken one a call, before anything is done
	inserts int
}

func newMemory() *memory {
	return &memory{
		events: map[string]event.Event{}, batches: map[[2]string]store.Batch{},
		letters: map[string]store.DeadLetter{}, errs: map[string][]error{},
	}
}

func (m *memory) fail(operation string) error {
	errs := m.errs[operation]
	if len(errs) == 0 {
		return nil
	}
	m.errs[operation] = errs[1:]
	return errs[0]
}

func (m *memory) InsertEvents(ctx context.Context, events []event.Event) ([]store.Outcome, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.inserts++
	if err := m.fail("insert"); err != nil {
		return nil, err
	}
	outcomes := make([]store.Outcome, len(events))
	for i, e := range events {
		switch {
		case strings.HasPrefix(e.EventID, "bad"):
			return nil, fault.New(fault.Invalid, "bad", "event %s is bad", e.EventID)
		case strings.HasPrefix(e.EventID, "odd"):
			return nil, fmt.Errorf("odd")
		case strings.HasPrefix(e.EventID, "panic"):
			panic("index out of range")
		}
		key := e.Project + "/" + e.EventID
		if there, ok := m.events[key]; !ok {
			m.events[key] = e
		} else if there.BatchID == e.BatchID && there.Position == e.Position {
			outcomes[i] = store.Own
		} else {
			outcomes[i] = store.Duplicate
		}
	}
	return outcomes, nil
}

func (m *memory) RecordBatches(_ context.Context, batches []store.Batch) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.fail("journal"); err != nil {
		return err
	}
	for _, b := range batches {
		b.Days = slices.Clone(b.Days)
		m.batches[[2]string{b.ID, b.Project}] = b
	}
	return nil
}

func (m *memory) PutDeadLetters(_ context.Context, letters []store.DeadLetter) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.fail("dead_letters"); err != nil {
		return err
	}
	for _, l := range letters {
		m.letters[l.ID] = l
	}
	return nil
}

func (m *memory) RaiseTallies(_ context.Context, tallies []store.Tally) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.fail("tallies"); err != nil {
		return err
	}
	m.tallies = append(m.tallies, tallies...)
	return nil
}

func (m *memory) Ping(context.Context) error { return m.fail("ping") }

var quiet = zap.NewNop()

func testMetrics() *Metrics { return NewMetrics(prometheus.NewRegistry()) }

func deliverer(t testing.TB, s Store) *Deliverer {
	return New(s, 1000, zaptest.NewLogger(t), NewMetrics(prometheus.NewRegistry()))
}

// msg is a message of the shop's events with these ids, on 1970-01-02.
func msg(batch string, ids ...string) bus.Delivery {
	events := make([]event.Event, len(ids))
	for i, id := range ids {
		events[i] = event.Event{Project: "shop", EventID: id, EventType: "click", Timestamp: 86400_000 + event.Time(i), ReceivedAt: 86400_500}
	}
	return deliveryOf(batch, events...)
}

func deliveryOf(batch string, events ...event.Event) bus.Delivery {
	body := event.AppendHeader(nil, event.Header{Version: event.Version, BatchID: batch, Events: len(events)})
	for i := range events {
		body = append(events[i].AppendWire(body), '\n')
	}
	return bus.Delivery{Message: bus.Message{ID: batch, Body: body}, Attempt: 1}
}
