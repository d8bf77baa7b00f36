package rabbit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/maidian/maidian/pkg/bus"
	"github.com/maidian/maidian/pkg/bus/internal/meter"
	"github.com/maidian/maidian/pkg/bus/internal/receive"
	"github.com/prometheus/client_golang/prometheus"
	amqp "github.com/rabbitmq/amqp091-go"
	"go.uber.org/zap"
)

// Receiver takes messages off the queue, and off the queue of what could not
// be routed into it, and reconnects by itself.
type Receiver struct {
	cfg    Config
	limits bus.Limits
	log    *zap.Logger
	meter  *meter.Receive

	mu      sync.Mutex
	open    *intake // the session, while there is one
	lastErr error   // why there is none
}

var _ bus.Receiver = (*Receiver)(nil)

// NewReceiver makes a receiver; it connects in Receive.
func NewReceiver(cfg Config, limits bus.Limits, log *zap.Logger, metrics prometheus.Registerer) (*Receiver, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	limits = receive.WithDefaults(limits)
	if limits.Prefetch > 65535 {
		return nil, fmt.Errorf("RabbitMQ takes a prefetch of at most 65535, got %d", limits.Prefetch)
	}
	return &Receiver{cfg: cfg, limits: limits, log: log.Named("rabbit"), meter: meter.NewReceive(metrics), lastErr: errors.New("not started")}, nil
}

// Receive hands deliveries to handle until ctx ends. It returns an error only
// when the queue exists with other properties than configured.
func (r *Receiver) Receive(ctx context.Context, handle bus.Handler) error {
	d, err := newDialer(r.cfg, "receiver")
	if err != nil {
		return err
	}
	defer d.wg.Wait()
	return d.keep(ctx, 0, func(ctx context.Context, l *link) error { return r.serve(ctx, l, handle) }, r.lost)
}

func (r *Receiver) serve(ctx context.Context, l *link, handle bus.Handler) error {
	in, err := newIntake(&r.cfg, l, r.limits.Prefetch)
	if err != nil {
		return err
	}
	defer in.stop()
	r.setOpen(in, nil)
	r.meter.Sessions.Inc()
	defer r.meter.Sessions.Dec()
	loop := receive.Loop[amqp.Delivery]{Session: in, Handle: handle, Limits: r.limits, Meter: r.meter, Log: r.log}
	loop.Run(ctx)
	r.setOpen(nil, errors.New("reconnecting"))
	if ctx.Err() != nil {
		return nil
	}
	<-l.gone
	return l.reason
}

func (r *Receiver) setOpen(in *intake, err error) {
	r.mu.Lock()
	r.open, r.lastErr = in, err
	r.mu.Unlock()
}

func (r *Receiver) lost(err error) {
	r.meter.Reconnects.Inc()
	r.mu.Lock()
	first := r.lastErr == nil || r.lastErr.Error() != err.Error()
	r.open, r.lastErr = nil, err
	r.mu.Unlock()
	if first {
		r.log.Warn("receiving session lost; opening another", zap.Error(err))
	}
}

// Ready is nil while a session is open.
func (r *Receiver) Ready() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open == nil {
		return unavailable(fmt.Errorf("no receiving session: %w", r.lastErr))
	}
	if r.open.over() {
		return unavailable(errors.New("no receiving session: the connection is lost"))
	}
	return nil
}

// held is the number of messages that the receiver has and has not settled.
func (r *Receiver) held() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open == nil {
		return 0
	}
	return r.open.held()
}

// acknowledger is the part of a channel that settles deliveries.
type acknowledger interface {
	Ack(tag uint64, multiple bool) error
	Nack(tag uint64, multiple, requeue bool) error
}

// intake is a receiving session: two consumers on one channel, whose
// delivery tags are one sequence.
type intake struct {
	l       *link
	answers acknowledger
	out     chan amqp.Delivery
	stopped chan struct{} // nobody reads out any more
	wg      sync.WaitGroup

	mu      sync.Mutex
	unread  int                 // received, not settled
	low     uint64              // every tag up to this one is settled
	settled map[uint64]struct{} // tags above low that are settled
}

func newIntake(cfg *Config, l *link, prefetch int) (*intake, error) {
	in := &intake{l: l, answers: l.ch, out: make(chan amqp.Delivery), stopped: make(chan struct{}), settled: map[uint64]struct{}{}}
	// The limit is each consumer's own; what could not be routed is rare.
	for queue, n := range map[string]int{cfg.Queue: prefetch, unrouted(cfg.Queue): max(1, prefetch/10)} {
		if err := l.ch.Qos(n, 0, false); err != nil {
			return nil, fmt.Errorf("set prefetch: %w", err)
		}
		deliveries, err := l.ch.Consume(queue, "", false, false, false, false, nil)
		if err != nil {
			return nil, fmt.Errorf("consume from %s: %w", queue, err)
		}
		in.wg.Go(func() { in.forward(deliveries) })
	}
	go func() {
		in.wg.Wait()
		close(in.out)
	}()
	return in, nil
}

func (in *intake) forward(deliveries <-chan amqp.Delivery) {
	for {
		select {
		case d, ok := <-deliveries:
			if !ok {
				return
			}
			in.mu.Lock()
			in.unread++
			in.mu.Unlock()
			select {
			case in.out <- d:
			case <-in.stopped:
				return
			}
		case <-in.l.gone: // one of the two consumers may have ended alone
			return
		case <-in.stopped:
			return
		}
	}
}

// stop ends the forwarding; the channel's end gives back what is still on it.
func (in *intake) stop() {
	close(in.stopped)
	in.wg.Wait()
}

func (in *intake) over() bool {
	select {
	case <-in.l.gone:
		return true
	default:
		return false
	}
}

func (in *intake) held() int {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.unread
}

func (in *intake) Deliveries() <-chan amqp.Delivery { return in.out }

func (in *intake) Open(d amqp.Delivery) bus.Delivery {
	attempt := 1
	if n, ok := d.Headers["x-delivery-count"].(int64); ok {
		attempt += int(n)
	} else if d.Redelivered {
		attempt = 2
	}
	trace, _ := d.Headers[traceHeader].(string)
	return bus.Delivery{Message: bus.Message{ID: d.MessageId, Body: d.Body, Trace: trace}, Attempt: attempt}
}

// Extend has nothing to do: RabbitMQ waits half an hour for an answer.
func (in *intake) Extend([]amqp.Delivery) {}

// Settle answers on the channel that delivered, never on another: on a later
// one the same tag is another message, which would be lost.
func (in *intake) Settle(done, again []amqp.Delivery) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.over() {
		return false
	}
	in.unread -= len(done) + len(again)
	for _, d := range again {
		if in.answers.Nack(d.DeliveryTag, false, true) != nil {
			return false
		}
		in.settled[d.DeliveryTag] = struct{}{}
	}
	tags := make([]uint64, len(done))
	for i, d := range done {
		tags[i] = d.DeliveryTag
		in.settled[d.DeliveryTag] = struct{}{}
	}
	return in.acknowledge(tags)
}

// acknowledge settles tags, which are noted as settled already: with one
// answer for all up to which nothing is open, one by one above that.
func (in *intake) acknowledge(tags []uint64) bool {
	for {
		if _, ok := in.settled[in.low+1]; !ok {
			break
		}
		in.low++
		delete(in.settled, in.low)
	}
	slices.Sort(tags)
	together := 0
	for together < len(tags) && tags[together] <= in.low {
		together++
	}
	if together > 0 && in.answers.Ack(tags[together-1], true) != nil {
		return false
	}
	for _, tag := range tags[together:] {
		if in.answers.Ack(tag, false) != nil {
			return false
		}
	}
	return true
}
