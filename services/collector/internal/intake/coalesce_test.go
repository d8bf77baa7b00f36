package intake

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/maidian/maidian/pkg/bus"
	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/fault"
)

// broker takes a while to confirm, and may refuse or be blocked.
type broker struct {
	latency func() time.Duration
	refuse  func(n int) error // by the number of the message, from 1
	blocked bool

	mu       sync.Mutex
	messages []bus.Message
	begun    int
	flying   int
	most     int // in flight at a time
}

func (b *broker) Publish(ctx context.Context, m bus.Message) error {
	b.mu.Lock()
	b.begun++
	n := b.begun
	b.flying++
	b.most = max(b.most, b.flying)
	b.mu.Unlock()
	defer func() { b.mu.Lock(); b.flying--; b.mu.Unlock() }()
	if b.blocked {
		select {} // for ever: the coalescer must not depend on the publisher's manners
	}
	if b.latency != nil {
		select {
		case <-time.After(b.latency()):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if b.refuse != nil {
		if err := b.refuse(n); err != nil {
			return err
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.messages = append(b.messages, bus.Message{ID: m.ID, Body: bytes.Clone(m.Body)})
	return nil
}
func (b *broker) Ready() error                { return nil }
func (b *broker) Close(context.Context) error { return nil }

var wide = Limits{Events: 500, Bytes: 1e6, Waiting: 64 << 20, Deadline: 3 * time.Second, Eager: 4, InFlight: 64}

func coalescer(b *broker, change func(*Limits)) *Coalescer {
	limits := wide
	if change != nil {
		change(&limits)
	}
	return newCoalescer(b, limits, newCounts(prometheus.NewRegistry()))
}

// linesOf are n events of one request, as its intake encodes them.
func linesOf(request string, n, padding int) (l encoded) {
	for i := range n {
		e := event.Event{Project: "p", EventID: fmt.Sprintf("%s-%d", request, i), EventType: "x", PageTitle: strings.Repeat("x", padding)}
		l.add(&e)
	}
	return l
}

// someone sends what it does not matter who sends.
var someone = event.Source{Project: "shop", Key: "k1", Hour: 490896}

// stored are the event ids of all confirmed messages; it checks the messages too.
func (b *broker) stored(t *testing.T, limits Limits) map[string]int {
	t.Helper()
	b.mu.Lock() // a message that was confirmed at its very deadline has nobody who waited for it
	defer b.mu.Unlock()
	ids := map[string]int{}
	for _, m := range b.messages {
		h, events, bad, err := event.DecodeMessage(m.Body)
		if err != nil || len(bad) > 0 || h.BatchID != m.ID || len(m.Body) > limits.Bytes || len(events) > limits.Events {
			t.Fatalf("message %+v of %d bytes, %d events: %v %v", h, len(m.Body), len(events), bad, err)
		}
		for _, e := range events {
			ids[e.EventID]++
		}
	}
	return ids
}

func (c *Coalescer) expectNothingLeft(t *testing.T) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waiting != 0 || !c.quiet() {
		t.Errorf("left over: %d bytes, %d in flight, %d full", c.waiting, c.inFlight, len(c.full))
	}
}

func TestAnIdleCoalescerPublishesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &broker{}
		c := coalescer(b, nil)
		begun := time.Now()
		l := linesOf("r", 20, 0)
		if err := c.Publish(t.Context(), someone, l.bytes, l.ends); err != nil {
			t.Fatal(err)
		}
		if waited := time.Since(begun); waited != 0 || len(b.messages) != 1 {
			t.Errorf("waited %s for %d messages", waited, len(b.messages))
		}
	})
}

func TestRequestsShareMessagesWhileConfirmsAreOutstanding(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &broker{latency: func() time.Duration { return 10 * time.Millisecond }}
		c := coalescer(b, nil)
		var requests sync.WaitGroup
		for i := range 200 {
			requests.Go(func() {
				l := linesOf(fmt.Sprint(i), 20, 0)
				if err := c.Publish(t.Context(), someone, l.bytes, l.ends); err != nil {
					t.Error(err)
				}
			})
		}
		requests.Wait()
		// The first four leave alone; of the other 196, 25 fill a message.
		if ids := b.stored(t, wide); len(ids) != 4000 || len(b.messages) != 4+8 {
			t.Errorf("%d events in %d messages", len(ids), len(b.messages))
		}
	})
}

func TestALargeRequestIsSplitAndConfirmedAsAWhole(t *testing.T) {
	tests := map[string]struct {
		events, padding int
		refused         int // this message
		messages        int
	}{
		"by events":          {1000, 0, 0, 2},
		"by bytes":           {60, 60_000, 0, 4},
		"one part refused":   {1000, 0, 2, 1},
		"the first refused":  {1000, 0, 1, 1},
		"exactly one":        {500, 0, 0, 1},
		"one more than that": {501, 0, 0, 2},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			b := &broker{refuse: func(n int) error {
				if n == test.refused {
					return fault.New(fault.Unavailable, "full", "full")
				}
				return nil
			}}
			c := coalescer(b, nil)
			l := linesOf("r", test.events, test.padding)
			err := c.Publish(t.Context(), someone, l.bytes, l.ends)
			if (err != nil) != (test.refused > 0) || err != nil && fault.KindOf(err) != fault.Unavailable {
				t.Errorf("got %v", err)
			}
			ids := b.stored(t, wide)
			if len(b.messages) != test.messages || err == nil && len(ids) != test.events {
				t.Errorf("%d events in %d messages, want %d messages", len(ids), len(b.messages), test.messages)
			}
		})
	}
}

func TestABlockedBrokerIsAnsweredAtTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &broker{latency: func() time.Duration { return time.Hour }}
		c := coalescer(b, nil)
		var requests sync.WaitGroup
		begun := time.Now()
		for i := range 300 { // some in flight, some in full messages, some in the open one
			requests.Go(func() {
				l := linesOf(fmt.Sprint(i), 20, 0)
				if err := c.Publish(t.Context(), someone, l.bytes, l.ends); fault.KindOf(err) != fault.Unavailable {
					t.Errorf("got %v", err)
				}
				if waited := time.Since(begun); waited != wide.Deadline {
					t.Errorf("answered after %s", waited)
				}
			})
		}
		requests.Wait()
		synctest.Wait()
		c.expectNothingLeft(t)
	})
}

func TestAPublisherThatNeverReturnsIsNotWaitedFor(t *testing.T) {
	b := &broker{blocked: true} // outside synctest: its goroutine stays for ever
	c := coalescer(b, func(l *Limits) { l.Deadline = 20 * time.Millisecond })
	l := linesOf("r", 1, 0)
	if err := c.Publish(t.Context(), someone, l.bytes, l.ends); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("got %v", err)
	}
}

func TestWhatWaitsIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &broker{latency: func() time.Duration { return time.Second }}
		c := coalescer(b, func(l *Limits) { l.Waiting = 100_000 })
		var requests sync.WaitGroup
		refused := 0
		for i := range 100 {
			requests.Go(func() {
				l := linesOf(fmt.Sprint(i), 1, 10_000)
				begun := time.Now()
				if err := c.Publish(t.Context(), someone, l.bytes, l.ends); err != nil {
					refused++
					if time.Since(begun) != 0 {
						t.Error("refused late")
					}
				}
			})
			synctest.Wait()
		}
		requests.Wait()
		if ids := b.stored(t, wide); len(ids) != 9 || refused != 91 {
			t.Errorf("%d confirmed, %d refused", len(ids), refused)
		}
		l := linesOf("later", 1, 10_000)
		if err := c.Publish(t.Context(), someone, l.bytes, l.ends); err != nil {
			t.Errorf("once confirmed there is room again: %v", err)
		}
	})
}

func TestNeverMoreInFlightThanAllowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &broker{latency: func() time.Duration { return time.Millisecond }}
		c := coalescer(b, func(l *Limits) { l.InFlight, l.Events = 6, 10 })
		var requests sync.WaitGroup
		for i := range 500 {
			requests.Go(func() {
				l := linesOf(fmt.Sprint(i), 10, 0)
				if err := c.Publish(t.Context(), someone, l.bytes, l.ends); err != nil {
					t.Error(err)
				}
			})
		}
		requests.Wait()
		if b.most != 6 {
			t.Errorf("%d in flight", b.most)
		}
	})
}

func TestCloseWaitsForWhatWasTakenIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &broker{latency: func() time.Duration { return time.Second }}
		c := coalescer(b, nil)
		var requests sync.WaitGroup
		for i := range 20 {
			requests.Go(func() {
				l := linesOf(fmt.Sprint(i), 1, 0)
				if err := c.Publish(t.Context(), someone, l.bytes, l.ends); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		if err := c.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if ids := b.stored(t, wide); len(ids) != 20 {
			t.Errorf("closed with %d of 20 confirmed", len(ids))
		}
		l := linesOf("late", 1, 0)
		if err := c.Publish(t.Context(), someone, l.bytes, l.ends); fault.KindOf(err) != fault.Unavailable {
			t.Errorf("after Close: %v", err)
		}
		requests.Wait()
		if err := coalescer(b, nil).Close(t.Context()); err != nil {
			t.Errorf("an unused one: %v", err)
		}
	})
}

func TestCloseGivesUpWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &broker{latency: func() time.Duration { return time.Second }}
		c := coalescer(b, nil)
		go func() {
			l := linesOf("r", 1, 0)
			c.Publish(t.Context(), someone, l.bytes, l.ends)
		}()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if err := c.Close(ctx); err == nil {
			t.Error("closed before the confirm")
		}
		time.Sleep(2 * time.Second) // synthetic
	})
}

// Whatever the broker does, in whatever order: a nil answer means stored, an
// event is in at most one confirmed message, and nothing is left over.
func TestConfirmedMeansStoredOnce(t *testing.T) {
	for seed := range uint64(30) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 7))
			var dice sync.Mutex
			roll := func(n int) int { dice.Lock(); defer dice.Unlock(); return random.IntN(n) }
			b := &broker{
				latency: func() time.Duration { return time.Duration(roll(4000)) * time.Millisecond },
				refuse: func(int) error {
					if roll(5) == 0 {
						return errors.New("lost")
					}
					return nil
				},
			}
			limits := Limits{Events: 50, Bytes: 300_000, Waiting: 5e6, Deadline: 3 * time.Second, Eager: 1 + roll(4), InFlight: 5}
			c := newCoalescer(b, limits, newCounts(prometheus.NewRegistry()))
			confirmed := map[string]int{}
			var mu sync.Mutex
			var requests sync.WaitGroup
			for i := range 200 {
				requests.Go(func() {
					time.Sleep(time.Duration(roll(2000)) * time.Millisecond)
					n := 1 + roll(120)
					l := linesOf(fmt.Sprint(i), n, roll(500))
					if c.Publish(t.Context(), someone, l.bytes, l.ends) == nil {
						mu.Lock()
						defer mu.Unlock()
						confirmed[fmt.Sprint(i)] = n
					}
				})
			}
			requests.Wait()
			time.Sleep(10 * time.Second)
			ids := b.stored(t, limits)
			for request, n := range confirmed {
				for i := range n {
					if ids[fmt.Sprintf("%s-%d", request, i)] == 0 {
						t.Fatalf("seed %d: event %d of request %s was confirmed and is not stored", seed, i, request)
					}
				}
			}
			for id, times := range ids {
				if times > 1 {
					t.Errorf("seed %d: %s stands in %d messages", seed, id, times)
				}
			}
			c.expectNothingLeft(t)
			if len(confirmed) == 0 || len(confirmed) == 200 {
				t.Logf("seed %d: %d of 200 confirmed shows little", seed, len(confirmed))
			}
		})
	}
}
