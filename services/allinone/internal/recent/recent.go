// Package recent spares a process that both stores events and follows the
// journal the reading back of what it has just written: a fifth of all its work.
package recent

import (
	"context"
	"sync"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/store"
)

// Store is a store that keeps the events of a batch in memory from their
// insert until they are read for the first time, when it is sure that it has
// them all, and a little longer for others who follow: reports, rules and
// destinations do so beside each other. In every other case the store below answers.
type Store struct {
	store.Store
	most int

	mu      sync.Mutex
	batches map[key]*batch
	order   []key // oldest first; some may be gone from batches
	events  int
	again   []key // those that were read, first those that were so first; likewise
	read    int   // events of those
}

// readAgain is what part of the events that are kept may be such as were read.
const readAgain = 10

type key struct{ id, project string }

// batch is what this process inserted of a batch.
type batch struct {
	events []*event.Event
	unsure bool // an earlier attempt stored some of it, or the insert did not follow positions
	whole  bool // the journal names as many events as there are here
	read   bool
}

// Over keeps at most so many events above another store.
func Over(s store.Store, most int) *Store {
	return &Store{Store: s, most: most, batches: map[key]*batch{}}
}

// InsertEvents is the store's, and remembers what was new. The events are not
// copied: like the consumer, callers leave them alone from here on.
func (s *Store) InsertEvents(ctx context.Context, events []event.Event) ([]store.Outcome, error) {
	outcomes, err := s.Store.InsertEvents(ctx, events)
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range events {
		k := key{events[i].BatchID, events[i].Project}
		switch {
		case err != nil:
			s.forget(k)
		case outcomes[i] == store.Stored:
			s.keep(k, &events[i])
		case outcomes[i] == store.Own:
			s.of(k).unsure = true
		}
	}
	s.shrink()
	return outcomes, err
}

func (s *Store) of(k key) *batch {
	b := s.batches[k]
	if b == nil {
		b = &batch{}
		s.batches[k] = b
		s.order = append(s.order, k)
	}
	return b
}

func (s *Store) keep(k key, e *event.Event) {
	b := s.of(k)
	if n := len(b.events); b.whole || n > 0 && b.events[n-1].Position >= e.Position {
		b.unsure = true
	}
	b.events = append(b.events, e)
	s.events++
}

func (s *Store) forget(k key) {
	if b := s.batches[k]; b != nil {
		if s.events -= len(b.events); b.read {
			s.read -= len(b.events)
		}
		delete(s.batches, k)
	}
}

// shrink forgets the oldest batches above the limit.
func (s *Store) shrink() {
	for len(s.order) > 0 && (s.events > s.most || len(s.order) > s.most || s.batches[s.order[0]] == nil) {
		s.forget(s.order[0])
		s.order = s.order[1:]
	}
}

// RecordBatches is the store's. An entry says how many events the batch has;
// when they are not the ones that are here, those here are forgotten.
func (s *Store) RecordBatches(ctx context.Context, entries []store.Batch) error {
	err := s.Store.RecordBatches(ctx, entries)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, entry := range entries {
		k := key{entry.ID, entry.Project}
		if b := s.batches[k]; err != nil || b == nil || b.unsure || len(b.events) != entry.Stored {
			s.forget(k)
		} else {
			b.whole = true
		}
	}
	return err
}

// EventsOfBatches answers from memory what it can.
func (s *Store) EventsOfBatches(ctx context.Context, project string, ids []string, yield func(*event.Event) error) error {
	below := 0 // ids before this one have been answered
	for i, id := range ids {
		events := s.take(key{id, project})
		if events == nil {
			continue
		}
		if err := s.below(ctx, project, ids[below:i], yield); err != nil {
			return err
		}
		for _, e := range events {
			if err := yield(e); err != nil {
				return err
			}
		}
		below = i + 1
	}
	return s.below(ctx, project, ids[below:], yield)
}

func (s *Store) below(ctx context.Context, project string, ids []string, yield func(*event.Event) error) error {
	if len(ids) == 0 {
		return ctx.Err()
	}
	return s.Store.EventsOfBatches(ctx, project, ids, yield)
}

// take hands a whole batch over.
func (s *Store) take(k key) []*event.Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.batches[k]
	if b == nil || !b.whole || b.unsure {
		return nil
	}
	if !b.read {
		b.read = true
		s.again = append(s.again, k)
		s.read += len(b.events)
	}
	for s.read > s.most/readAgain {
		s.forget(s.again[0])
		s.again = s.again[1:]
	}
	return b.events
}

// EraseEvents is the store's. It forgets first: whoever sees the entries that
// it writes must not read from here what they say is gone.
func (s *Store) EraseEvents(ctx context.Context, project string, ids []string, at event.Time) error {
	s.forgetAll()
	return s.Store.EraseEvents(ctx, project, ids, at)
}

// PruneEvents is the store's. It forgets first: what is gone must not be read from here.
func (s *Store) PruneEvents(ctx context.Context, prunings []store.Pruning) error {
	s.forgetAll()
	return s.Store.PruneEvents(ctx, prunings)
}

// Close forgets everything and closes the store.
func (s *Store) Close() error {
	s.forgetAll()
	return s.Store.Close()
}

func (s *Store) forgetAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.batches, s.order, s.events, s.again, s.read = map[key]*batch{}, nil, 0, nil, 0
}
