package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/fault"
	"github.com/maidian/maidian/pkg/store"
)

// tally counts the outcomes of events over writers.
type tally struct {
	mu     sync.Mutex
	counts map[string]map[store.Outcome]int // by event id
	winner map[string]string                // by event id, the batch that stored it
}

func (c *tally) add(events []event.Event, got []store.Outcome) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range events {
		id := events[i].EventID
		if c.counts[id] == nil {
			c.counts[id] = map[store.Outcome]int{}
		}
		if c.counts[id][got[i]]++; got[i] == store.Stored {
			c.winner[id] = events[i].BatchID
		}
	}
}

func newTally() *tally {
	return &tally{counts: map[string]map[store.Outcome]int{}, winner: map[string]string{}}
}

// concurrentWriters has many batches carry the same events in different orders.
func concurrentWriters(t *testing.T, h Harness) {
	s := h.fresh(t)
	writers, ids, rounds := 12, 300, 5
	if h.OneWriter {
		writers, ids, rounds = 3, 60, 2
	}
	all := newTally()
	var running sync.WaitGroup
	for w := range writers {
		g := newGenerator(t)
		running.Go(func() {
			for round := range rounds {
				events := batchOf(fmt.Sprintf("w%d-%d", w, round), fmt.Sprintf("r%d", round), ids)
				for i := range events {
					events[i].Position = i
				}
				g.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
				got, err := s.InsertEvents(t.Context(), events)
				if err != nil {
					t.Errorf("writer %d: %v", w, err)
					return
				}
				all.add(events, got)
			}
		})
	}
	running.Wait()
	for id, counts := range all.counts {
		if counts[store.Stored] != 1 || counts[store.Duplicate] != writers-1 {
			t.Fatalf("event %s: stored %d times, a duplicate %d times, own %d times; want 1, %d, 0", id, counts[store.Stored], counts[store.Duplicate], counts[store.Own], writers-1)
		}
	}
	if len(all.counts) != ids*rounds {
		t.Fatalf("got outcomes of %d events, want %d", len(all.counts), ids*rounds)
	}
	stored := map[string]int{}
	for w := range writers {
		for round := range rounds {
			for _, e := range read(t, s, "demo", fmt.Sprintf("w%d-%d", w, round)) {
				if stored[e.EventID]++; all.winner[e.EventID] != e.BatchID {
					t.Fatalf("event %s lies in batch %s, batch %s was told that it stored it", e.EventID, e.BatchID, all.winner[e.EventID])
				}
			}
		}
	}
	if len(stored) != ids*rounds {
		t.Fatalf("%d events are stored, want %d", len(stored), ids*rounds)
	}
}

// concurrentRedelivery has writers store one batch at the same time, as after a broker's hasty redelivery.
func concurrentRedelivery(t *testing.T, h Harness) {
	s := h.fresh(t)
	writers := 4
	if h.OneWriter {
		writers = 2
	}
	for round := range 5 {
		events := batchOf(fmt.Sprint("b", round), fmt.Sprint("e", round), 100)
		all := newTally()
		var running sync.WaitGroup
		for range writers {
			running.Go(func() {
				got, err := s.InsertEvents(t.Context(), events)
				if err != nil {
					t.Error(err)
					return
				}
				all.add(events, got)
			})
		}
		running.Wait()
		for id, counts := range all.counts {
			if counts[store.Stored] != 1 || counts[store.Own] != writers-1 {
				t.Fatalf("event %s: stored %d times, own %d times, a duplicate %d times; want 1, %d, 0", id, counts[store.Stored], counts[store.Own], counts[store.Duplicate], writers-1)
			}
		}
	}
}

// readersAndWriters follows the journal while it is written: every entry's events are there.
func readersAndWriters(t *testing.T, h Harness) {
	s := h.fresh(t)
	batches := 200
	if h.MostEvents > 0 {
		batches = 20
	}
	const size = 20
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	written := make(chan error, 1)
	go func() {
		written <- func() error {
			for i := range batches {
				id := fmt.Sprintf("b%04d", i)
				if _, err := s.InsertEvents(ctx, batchOf(id, id, size)); err != nil {
					return err
				}
				if err := s.RecordBatches(ctx, []store.Batch{{ID: id, Project: "demo", WrittenAt: event.Time(1 + i), Stored: size}}); err != nil {
					return err
				}
			}
			return nil
		}()
	}()
	after := store.Cursor{}
	for seen := 0; seen < batches; {
		select {
		case err := <-written:
			if err != nil {
				t.Fatal(err)
			}
		default:
		}
		for _, b := range journal(t, s, after, 50) {
			if n := len(read(t, s, b.Project, b.ID)); n != b.Stored {
				t.Fatalf("batch %s has %d events, its entry says %d", b.ID, n, b.Stored)
			}
			after = store.After(b)
			seen++
		}
	}
}

func endedContext(t *testing.T, h Harness) {
	s := h.fresh(t)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	events := batchOf("b", "e", 10)
	never := func(*event.Event) error { return nil }
	insert(t, s, batchOf("a", "a", 1))
	for name, call := range map[string]func() error{
		"InsertEvents":      func() error { _, err := s.InsertEvents(ended, events); return err },
		"EventsOfBatches":   func() error { return s.EventsOfBatches(ended, "demo", []string{"a"}, never) },
		"Event":             func() error { _, err := s.Event(ended, "demo", "a-00000"); return err },
		"EraseEvents":       func() error { return s.EraseEvents(ended, "demo", []string{"a-00000"}, 1) },
		"ErasedEvents":      func() error { _, err := s.ErasedEvents(ended, "demo", []string{"a"}); return err },
		"RecordBatches":     func() error { return s.RecordBatches(ended, []store.Batch{{ID: "b"}}) },
		"Batches":           func() error { _, err := s.Batches(ended, store.Cursor{}, 10); return err },
		"PutDeadLetters":    func() error { return s.PutDeadLetters(ended, []store.DeadLetter{{ID: "d"}}) },
		"DeadLetters":       func() error { _, err := s.DeadLetters(ended, "*", "", 10); return err },
		"DeleteDeadLetters": func() error { _, err := s.DeleteDeadLetters(ended, []string{"d"}); return err },
		"Projects":          func() error { _, err := s.Projects(ended); return err },
		"CreateProject":     func() error { return s.CreateProject(ended, store.Project{ID: "p"}) },
		"UpdateProject":     func() error { return s.UpdateProject(ended, store.Project{ID: "p"}) },
		"CreateJob":         func() error { return s.CreateJob(ended, store.Job{ID: "j", Project: "p"}) },
		"Job":               func() error { _, err := s.Job(ended, "p", "j"); return err },
		"UnfinishedJobs":    func() error { _, err := s.UnfinishedJobs(ended); return err },
		"UpdateJob":         func() error { return s.UpdateJob(ended, store.Job{ID: "j", Project: "p"}) },
		"PutSegments":       func() error { return s.PutSegments(ended, []store.Segment{{Project: "p"}}) },
		"Segments":          func() error { return s.Segments(ended, "p", 0, 1, nil, func(*store.Segment) error { return nil }) },
		"DeleteSegments":    func() error { _, err := s.DeleteSegments(ended, "p", 0, 1, nil); return err },
	} {
		if err := call(); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: got %v, want context.Canceled", name, err)
		}
	}
	late, cancel := context.WithDeadline(t.Context(), time.Unix(1, 0))
	defer cancel()
	if _, err := s.InsertEvents(late, events); !errors.Is(err, context.DeadlineExceeded) || fault.KindOf(err) != fault.Unavailable {
		t.Errorf("after the deadline: got %v, want a fault.Unavailable of context.DeadlineExceeded", err)
	}
	// One that ends in the middle leaves the store usable, and the events can be sent again.
	for i := range 20 {
		middle, cancel := context.WithCancel(t.Context())
		batch := batchOf(fmt.Sprint("m", i), fmt.Sprint("m", i), h.size(500)/5)
		running := make(chan error, 1)
		go func() { _, err := s.InsertEvents(middle, batch); running <- err }()
		cancel()
		if err := <-running; err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want context.Canceled", err)
		}
		for j, o := range insert(t, s, batch) {
			if o == store.Duplicate {
				t.Fatalf("event %d is a duplicate of itself", j)
			}
		}
	}
	if err := s.Ping(t.Context()); err != nil {
		t.Error(err)
	}
}

func closed(t *testing.T, h Harness) {
	s := h.fresh(t)
	if err := s.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("closing again: %v", err)
	}
	_, err := s.InsertEvents(t.Context(), batchOf("b", "e", 1))
	for call, err := range map[string]error{"InsertEvents": err, "Ping": s.Ping(t.Context())} {
		if fault.KindOf(err) != fault.Unavailable {
			t.Errorf("%s of a closed store: got %v, want a fault.Unavailable", call, err)
		}
	}
}
