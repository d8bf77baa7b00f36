package intake

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/maidian/maidian/pkg/bus"
	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/fault"
	"github.com/maidian/maidian/pkg/trace"
)

// Limits of the coalescer.
type Limits struct {
	Events   int           // most events in a message that several requests share
	Bytes    int           // most bytes in a message
	Waiting  int           // most bytes that wait for a confirm; above it requests are refused
	Deadline time.Duration // after which an unconfirmed request is refused
	Eager    int           // with fewer messages than this in flight, one is published at once
	InFlight int           // most messages in flight; full ones wait for the others above it
}

// headerRoom is kept free before a message's events: the header says how many
// there are and whose, which is known last. With more sources than there is
// room for, the message is copied behind its header.
const (
	headerRoom = 512
	sourceRoom = 192 // most bytes that one source adds
)

// Coalescer publishes the events of many requests in few messages, in the
// manner of a group commit. With little in flight a request's events go out at
// once, in a message of their own. While the broker is busy confirming, those
// of newer requests gather in one message that leaves when a confirm comes
// back, or when it is full. So messages grow with the load and nothing is ever
// delayed on purpose.
type Coalescer struct {
	publisher bus.Publisher
	limits    Limits
	counts    *counts

	mu       sync.Mutex
	open     *batch   // takes more events; nil when there is none
	full     []*batch // wait for their turn
	inFlight int
	waiting  int           // bytes not yet confirmed
	closed   bool          // takes no more
	idle     chan struct{} // closed when the last message in flight is settled; set by Close
}

// batch is a message in the making, and the requests that wait for it.
type batch struct {
	body     []byte // headerRoom, then lines
	sources  []event.Source
	events   int
	requests int
	callers  []trace.Span // of those that are traced
	begun    time.Time

	settled chan struct{} // closed once err is final
	err     error
	expiry  *time.Timer
}

// newCoalescer makes one that publishes with p.
func newCoalescer(p bus.Publisher, limits Limits, counts *counts) *Coalescer {
	limits.Bytes = min(limits.Bytes, bus.MaxBody)
	c := &Coalescer{publisher: p, limits: limits, counts: counts}
	counts.watch(c)
	return c
}

// Publish returns nil once every line has been confirmed, else
// fault.Unavailable, no later than the deadline: then some may be stored all
// the same. ends are the offsets behind each line's newline.
func (c *Coalescer) Publish(ctx context.Context, from event.Source, lines []byte, ends []int) error {
	batches, err := c.enqueue(trace.Of(ctx), from, lines, ends)
	if err != nil {
		return err
	}
	for _, b := range batches {
		<-b.settled
		err = errors.Join(err, b.err)
	}
	return unavailable(err)
}

func (c *Coalescer) enqueue(caller trace.Span, source event.Source, lines []byte, ends []int) ([]*batch, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, fault.New(fault.Unavailable, "stopping", "this server is stopping; try again")
	}
	if c.waiting+len(lines) > c.limits.Waiting {
		return nil, fault.New(fault.Unavailable, "overloaded", "too much waits for the broker; try again")
	}
	var joined []*batch
	for start, from := 0, 0; start < len(ends); {
		b, n := c.room(len(lines)-from, ends[start:], from)
		to := ends[start+n-1]
		b.body = append(b.body, lines[from:to]...)
		b.add(source, n)
		b.requests++
		if caller.Recorded() {
			b.callers = append(b.callers, caller)
		}
		c.waiting += to - from
		joined = append(joined, b)
		start, from = start+n, to
	}
	c.dispatch()
	return joined, nil
}

// room is the batch that takes the next lines, and how many of them. A request
// that fits into one message is not torn over two: it waits for one confirm.
func (c *Coalescer) room(bytes int, ends []int, from int) (*batch, int) {
	if b := c.open; b != nil && (b.events+len(ends) > c.limits.Events || b.size()+bytes > c.limits.Bytes) {
		c.seal()
	}
	if c.open == nil {
		c.open = c.begin()
	}
	n := min(len(ends), max(1, c.limits.Events-c.open.events))
	for n > 1 && c.open.size()+ends[n-1]-from > c.limits.Bytes {
		n--
	}
	return c.open, n
}

func (c *Coalescer) begin() *batch {
	b := &batch{body: bodies.get(), begun: time.Now(), settled: make(chan struct{})}
	b.expiry = time.AfterFunc(c.limits.Deadline, func() { c.settle(b, errDeadline) })
	return b
}

var errDeadline = fault.New(fault.Unavailable, "broker_timeout", "the broker has not confirmed in time; try again")

// seal closes the open batch to more events.
func (c *Coalescer) seal() {
	c.full = append(c.full, c.open)
	c.open = nil
}

// dispatch publishes what may leave now.
func (c *Coalescer) dispatch() {
	if c.open != nil && (c.inFlight+len(c.full) < c.limits.Eager || c.open.events >= c.limits.Events) {
		c.seal()
	}
	for len(c.full) > 0 && c.inFlight < c.limits.InFlight {
		b := c.full[0]
		c.full[0], c.full = nil, c.full[1:]
		if b.over() {
			c.waiting -= b.bytes()
			continue
		}
		c.inFlight++
		go c.publish(b)
	}
	if c.idle != nil && c.quiet() {
		close(c.idle)
		c.idle = nil
	}
}

// publish hands one batch to the broker. It is nobody's request any more: one
// whose client went away is published all the same, once.
func (c *Coalescer) publish(b *batch) {
	ctx, cancel := context.WithDeadline(context.Background(), b.begun.Add(c.limits.Deadline))
	defer cancel()
	ctx, span := trace.Publish(ctx, "publish message", b.callers)
	span.Count("maidian.events", b.events)
	span.Count("maidian.requests", b.requests)
	err := c.send(ctx, b, span.Parent())
	span.End(err)
	c.counts.published(b, err)
	c.settle(b, err)

	c.mu.Lock()
	defer c.mu.Unlock()
	c.inFlight--
	c.waiting -= b.bytes()
	if err == nil { // after an error somebody may still look at it
		bodies.put(b.body)
	}
	c.dispatch()
}

func (c *Coalescer) send(ctx context.Context, b *batch, traceparent string) error {
	id, err := uuid.NewV7()
	if err != nil {
		return err
	}
	name := id.String()
	header := event.AppendHeader(make([]byte, 0, headerRoom), event.Header{Version: event.Version, BatchID: name, Events: b.events, Sources: b.sources})
	return c.publisher.Publish(ctx, bus.Message{ID: name, Body: b.behind(header), Trace: traceparent})
}

// behind is the message: a header and the lines.
func (b *batch) behind(header []byte) []byte {
	start := headerRoom - len(header)
	if start < 0 {
		return append(header, b.body[headerRoom:]...)
	}
	copy(b.body[start:], header)
	return b.body[start:]
}

// add notes whose the next lines are.
func (b *batch) add(from event.Source, n int) {
	b.events += n
	if last := len(b.sources) - 1; last >= 0 && b.sources[last].Key == from.Key && b.sources[last].Hour == from.Hour && b.sources[last].Project == from.Project {
		b.sources[last].Events += n
		return
	}
	from.Events = n
	b.sources = append(b.sources, from)
}

// size is the most bytes that the message has with one more source.
func (b *batch) size() int { return len(b.body) + sourceRoom*(len(b.sources)+1) }

// settle tells the waiting requests, the first time it is called for a batch.
func (c *Coalescer) settle(b *batch, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if b.over() {
		return
	}
	b.expiry.Stop()
	b.err = err
	close(b.settled)
	if b == c.open { // expired before it could leave: nobody shall join it
		c.seal()
		c.dispatch()
	}
}

func (b *batch) over() bool {
	select {
	case <-b.settled:
		return true
	default:
		return false
	}
}

func (b *batch) bytes() int { return len(b.body) - headerRoom }

func (c *Coalescer) quiet() bool { return c.inFlight == 0 && c.open == nil && len(c.full) == 0 }

// Ready is nil when what arrives now can be expected to be confirmed.
func (c *Coalescer) Ready() error { return unavailable(c.publisher.Ready()) }

// Close takes no more and waits until everything is settled.
func (c *Coalescer) Close(ctx context.Context) error {
	c.mu.Lock()
	c.closed = true
	if c.quiet() {
		c.mu.Unlock()
		return nil
	}
	c.idle = make(chan struct{})
	idle := c.idle
	c.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return errors.New("events are still waiting for the broker's confirm")
	}
}

// retryAfter is what senders are asked to wait when the broker does not say.
const retryAfter = 5 * time.Second

// unavailable makes any failure to publish one that is tried again: nothing
// was accepted, and nothing about the events is wrong.
func unavailable(err error) error {
	if err == nil {
		return nil
	}
	f := &fault.Error{
		Kind: fault.Unavailable, Code: "broker_unavailable", RetryAfter: retryAfter, Err: err,
		Message: "the broker cannot confirm now, so nothing was accepted; try again",
	}
	if known := (*fault.Error)(nil); errors.As(err, &known) && known.Kind == fault.Unavailable && known.RetryAfter > 0 {
		f.RetryAfter = known.RetryAfter
	}
	return f
}
