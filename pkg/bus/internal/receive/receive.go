// Package receive is the half of a receiver that no broker is needed for: it
// gathers deliveries into groups, runs the handler, and settles what it said.
package receive

import (
	"context"
	"math/rand/v2"
	"runtime/debug"
	"time"

	"github.com/maidian/maidian/pkg/bus"
	"github.com/maidian/maidian/pkg/bus/internal/meter"
	"go.uber.org/zap"
)

// Session is one connection's worth of deliveries, D being the broker's own kind.
type Session[D any] interface {
	// Deliveries yields messages until the session is over, then is closed.
	Deliveries() <-chan D
	// Open is the delivery as the handler sees it.
	Open(d D) bus.Delivery
	// Settle acknowledges done and gives again back to the queue. It returns
	// false when the session is over, so that the broker delivers them again.
	Settle(done, again []D) bool
	// Extend tells the broker that these are still in our hands.
	Extend(ds []D)
}

// What was not done comes back after a pause that doubles with each attempt,
// so that a store that is away is not asked in a tight loop.
const (
	firstPause = 100 * time.Millisecond
	longPause  = 5 * time.Second
)

// ExtendEvery is how often Session.Extend is called.
const ExtendEvery = time.Second

// WithDefaults fills in what a caller left at zero.
func WithDefaults(l bus.Limits) bus.Limits {
	if l.Prefetch < 1 {
		l.Prefetch = 200
	}
	if l.Messages < 1 || l.Messages > l.Prefetch {
		l.Messages = l.Prefetch
	}
	if l.Bytes < 1 {
		l.Bytes = 16 << 20
	}
	return l
}

// Loop serves one session.
type Loop[D any] struct {
	Session Session[D]
	Handle  bus.Handler
	Limits  bus.Limits
	Meter   *meter.Receive
	Log     *zap.Logger

	waiting []item[D] // received, not yet handed out
	working []item[D] // in the handler
	held    []item[D] // to be given back when their pause is over
	handled chan []bus.Outcome
	wake    *time.Timer
}

// item is one delivery in our hands.
type item[D any] struct {
	raw  D
	size int
	del  bus.Delivery
	at   time.Time // when it came or, in held, when it goes back
}

// Run serves until ctx ends or the session is over. At its return the handler
// is not running, and everything that was received is settled.
func (l *Loop[D]) Run(ctx context.Context) {
	l.handled = make(chan []bus.Outcome, 1)
	l.wake = time.NewTimer(time.Hour)
	defer l.wake.Stop()
	extend := time.NewTicker(ExtendEvery)
	defer extend.Stop()
	defer l.settleAll()
	for {
		select {
		case d, ok := <-l.Session.Deliveries():
			if !ok {
				return
			}
			l.take(d)
		case outcomes := <-l.handled:
			l.settle(outcomes)
		case <-l.wake.C:
			l.releaseDue()
		case <-extend.C:
			l.Session.Extend(l.inHand())
		case <-ctx.Done():
			return
		}
		l.handOut(ctx)
		l.setAlarm()
	}
}

func (l *Loop[D]) take(d D) {
	del := l.Session.Open(d)
	l.Meter.Held.Inc()
	l.waiting = append(l.waiting, item[D]{raw: d, size: len(del.Body), del: del, at: time.Now()})
}

// handOut starts the handler on the next group when there is one and it is free.
func (l *Loop[D]) handOut(ctx context.Context) {
	if len(l.working) > 0 {
		return
	}
	n := l.group()
	if n == 0 {
		return
	}
	l.working = append([]item[D]{}, l.waiting[:n]...)
	l.waiting = append(l.waiting[:0], l.waiting[n:]...)
	ds := make([]bus.Delivery, n)
	for i, it := range l.working {
		ds[i] = it.del
		if it.del.Attempt > 1 {
			l.Meter.Redelivered.Inc()
		}
	}
	l.Meter.Delivered.Add(float64(n))
	go l.work(ctx, ds)
}

// behind is how many times the bytes of a group may be handed out together
// when they are there already: whoever is behind works in larger pieces. But
// no more than half of what may be held, or nothing gathers for the next group.
const behind = 3

// group is the number of waiting messages to hand out now; 0: wait for more.
func (l *Loop[D]) group() int {
	bytes := 0
	for i, it := range l.waiting {
		bytes += it.size
		if n := i + 1; n == l.Limits.Messages || bytes >= behind*l.Limits.Bytes || bytes >= l.Limits.Bytes && n >= l.Limits.Prefetch/2 {
			return n
		}
	}
	full := len(l.waiting)+len(l.held) >= l.Limits.Prefetch // no more will come
	if len(l.waiting) > 0 && (full || bytes >= l.Limits.Bytes || time.Since(l.waiting[0].at) >= l.Limits.Wait) {
		return len(l.waiting)
	}
	return 0
}

// work runs the handler and always sends an outcome for each delivery: what
// the handler leaves out, or all when it panics, is Again.
func (l *Loop[D]) work(ctx context.Context, ds []bus.Delivery) {
	outcomes := make([]bus.Outcome, len(ds))
	started := time.Now()
	defer func() {
		if r := recover(); r != nil {
			l.Log.Error("handler panicked; its messages are delivered again", zap.Any("panic", r), zap.ByteString("stack", debug.Stack()))
		}
		l.Meter.Handle.Observe(time.Since(started).Seconds())
		l.handled <- outcomes
	}()
	copy(outcomes, l.Handle(ctx, ds))
}

// settle acknowledges what is done; the rest goes back after a pause.
func (l *Loop[D]) settle(outcomes []bus.Outcome) {
	var done []D
	for i, it := range l.working {
		if outcomes[i] == bus.Done {
			done = append(done, it.raw)
			continue
		}
		it.at = time.Now().Add(pause(it.del.Attempt))
		l.held = append(l.held, it)
	}
	l.working = nil
	l.tell(done, nil)
}

func pause(attempt int) time.Duration {
	d := longPause
	if attempt < 7 {
		d = min(firstPause<<max(attempt-1, 0), longPause)
	}
	return d/2 + rand.N(d/2)
}

func (l *Loop[D]) releaseDue() {
	var due []D
	now, keep := time.Now(), l.held[:0]
	for _, it := range l.held {
		if it.at.After(now) {
			keep = append(keep, it)
		} else {
			due = append(due, it.raw)
		}
	}
	l.held = keep
	l.tell(nil, due)
}

// settleAll waits for the handler and gives back everything that is not done.
func (l *Loop[D]) settleAll() {
	if len(l.working) > 0 {
		l.settle(<-l.handled)
	}
	var again []D
	for _, it := range append(l.held, l.waiting...) {
		again = append(again, it.raw)
	}
	l.held, l.waiting = nil, nil
	l.tell(nil, again)
}

// tell settles with the broker and counts it.
func (l *Loop[D]) tell(done, again []D) {
	n := len(done) + len(again)
	if n == 0 {
		return
	}
	l.Meter.Held.Sub(float64(n))
	if !l.Session.Settle(done, again) {
		l.Meter.Lost.Add(float64(n))
		return
	}
	l.Meter.Settled.WithLabelValues("done").Add(float64(len(done)))
	l.Meter.Settled.WithLabelValues("again").Add(float64(len(again)))
}

func (l *Loop[D]) inHand() []D {
	ds := make([]D, 0, len(l.waiting)+len(l.working)+len(l.held))
	for _, part := range [][]item[D]{l.waiting, l.working, l.held} {
		for _, it := range part {
			ds = append(ds, it.raw)
		}
	}
	return ds
}

// setAlarm wakes the loop when the oldest waiting message has waited long
// enough, or the first held one goes back, whichever is sooner.
func (l *Loop[D]) setAlarm() {
	next := time.Now().Add(time.Hour)
	if len(l.waiting) > 0 && len(l.working) == 0 {
		next = l.waiting[0].at.Add(l.Limits.Wait)
	}
	for _, it := range l.held {
		if it.at.Before(next) {
			next = it.at
		}
	}
	l.wake.Reset(time.Until(next))
}
