package rabbit

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/maidian/maidian/pkg/bus"
	"github.com/maidian/maidian/pkg/bus/internal/meter"
	"github.com/maidian/maidian/pkg/fault"
	"github.com/prometheus/client_golang/prometheus"
	amqp "github.com/rabbitmq/amqp091-go"
	"go.uber.org/zap"
)

// How long Publish waits for a session when there is none: a reconnect is
// quicker than this, and a broker that is away should be said to be away at once.
const patience = time.Second

// Publisher puts messages on the queue over a few sessions, and reconnects by itself.
type Publisher struct {
	dialer *dialer
	log    *zap.Logger
	meter  *meter.Publish
	jobs   chan *job
	stop   context.CancelFunc
	wg     sync.WaitGroup // sessions

	mu       sync.Mutex
	inFlight sync.WaitGroup // Publish calls; none is added once done is closed
	done     chan struct{}  // closed by Close
	state    state
}

// state is what is known about the broker just now; its lock is the Publisher's.
type state struct {
	sessions  map[*session]bool // open ones
	downSince time.Time         // when the last one ended
	lastErr   error             // why
	refusedAt time.Time         // when the queue last refused a message; zero once it took one again
}

var _ bus.Publisher = (*Publisher)(nil)

// job is one message on its way through a session.
type job struct {
	msg  bus.Message
	done chan error // receives one answer, never blocks the session
}

// errLost: the session ended between publish and confirm.
var errLost = errors.New("the session ended before the broker confirmed")

// NewPublisher starts the sessions and returns at once; Ready says when one is
// open, Check whether one can be. The sessions end with Close, or with ctx.
func NewPublisher(ctx context.Context, cfg Config, log *zap.Logger, metrics prometheus.Registerer) (*Publisher, error) {
	d, err := newDialer(cfg, "publisher")
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(ctx)
	p := &Publisher{
		dialer: d, log: log.Named("rabbit"), meter: meter.NewPublish(metrics),
		jobs: make(chan *job), stop: stop, done: make(chan struct{}),
		state: state{sessions: map[*session]bool{}, downSince: time.Now(), lastErr: errors.New("still connecting")},
	}
	for i := range cfg.Sessions {
		p.wg.Go(func() { p.run(ctx, i) })
	}
	return p, nil
}

// run keeps one session open. A queue that exists with other properties may
// be put right by an operator, so even then it goes on trying, slowly.
func (p *Publisher) run(ctx context.Context, node int) {
	for ctx.Err() == nil {
		if p.dialer.keep(ctx, node, p.serve, p.lost) == nil {
			return
		}
		select {
		case <-time.After(longBackoff):
		case <-ctx.Done():
		}
	}
}

func (p *Publisher) lost(err error) {
	p.meter.Reconnects.Inc()
	p.mu.Lock()
	first := p.state.lastErr == nil || p.state.lastErr.Error() != err.Error()
	p.state.lastErr = err
	p.mu.Unlock()
	if first { // the same again and again is one thing for a person to know
		p.log.Warn("publishing session lost; opening another", zap.Error(err))
	}
}

// serve publishes on one link until it ends.
func (p *Publisher) serve(ctx context.Context, l *link) error {
	if err := l.ch.Confirm(false); err != nil {
		return err
	}
	s := newSession(p, l)
	p.opened(s)
	defer p.closed(s)
	return s.run(ctx)
}

func (p *Publisher) opened(s *session) {
	p.meter.Sessions.Inc()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state.sessions[s] = true
	p.state.lastErr = nil
}

func (p *Publisher) closed(s *session) {
	p.meter.Sessions.Dec()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.state.sessions, s)
	p.state.downSince = time.Now()
}

// Publish returns nil once the broker has confirmed the message and has not
// returned it. When a session is lost under it, it publishes again on the
// next one for as long as ctx allows: the same message twice is harmless.
func (p *Publisher) Publish(ctx context.Context, m bus.Message) error {
	if len(m.Body) > bus.MaxBody {
		return fault.New(fault.TooLarge, "message_too_large", "a message of %d bytes; the broker takes at most %d", len(m.Body), bus.MaxBody)
	}
	if err := p.begin(); err != nil {
		return err
	}
	defer p.inFlight.Done()
	p.meter.InFlight.Inc()
	defer p.meter.InFlight.Dec()
	started := time.Now()
	err := p.try(ctx, m)
	for errors.Is(err, errLost) {
		err = p.try(ctx, m)
	}
	if err != nil {
		return p.failed(err)
	}
	p.meter.Confirm.Observe(time.Since(started).Seconds())
	return nil
}

// begin counts a publish in, so that Close waits for it.
func (p *Publisher) begin() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.done:
		return unavailable(errors.New("the publisher is closed"))
	default:
	}
	p.inFlight.Add(1)
	return nil
}

// try gives the message to one session and waits for its answer.
func (p *Publisher) try(ctx context.Context, m bus.Message) error {
	j := &job{msg: m, done: make(chan error, 1)}
	if err := p.hand(ctx, j); err != nil {
		return err
	}
	select {
	case err := <-j.done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("the broker did not confirm in time: %w", ctx.Err())
	}
}

// hand waits for a session that takes the job, but not for one that will not come soon.
func (p *Publisher) hand(ctx context.Context, j *job) error {
	wait, err := p.worthWaiting()
	if err != nil {
		return err
	}
	var enough <-chan time.Time
	if wait >= 0 {
		t := time.NewTimer(wait)
		defer t.Stop()
		enough = t.C
	}
	select {
	case p.jobs <- j:
		return nil
	case <-enough:
	case <-ctx.Done():
	}
	if err := p.Ready(); err != nil {
		return err
	}
	return unavailable(errors.New("all publishing sessions are busy"))
}

// worthWaiting is how long to wait for a session to take a message: as long as
// the caller likes (-1) while one is open, a moment when the last has just
// been lost, not at all when the broker blocks us.
func (p *Publisher) worthWaiting() (time.Duration, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.anyBlocked():
		return 0, errBlocked()
	case len(p.state.sessions) > 0:
		return -1, nil
	}
	return max(0, patience-time.Since(p.state.downSince)), nil
}

// failed counts a failure and makes it one our callers act on.
func (p *Publisher) failed(err error) error {
	reason := "unavailable"
	e := (*fault.Error)(nil)
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		reason = "unconfirmed"
	case errors.As(err, &e) && e.Code == "queue_full":
		reason = "full"
	}
	p.meter.Failed.WithLabelValues(reason).Inc()
	if e != nil || errors.As(err, &e) {
		return err
	}
	return unavailable(err)
}

// Ready is nil while a session is open that the broker confirms on, and the
// queue has not just refused a message.
func (p *Publisher) Ready() error {
	select {
	case <-p.done:
		return unavailable(errors.New("the publisher is closed"))
	default:
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch s := p.state; {
	case p.anyBlocked():
		return errBlocked()
	case len(s.sessions) == 0 && s.lastErr != nil:
		return unavailable(fmt.Errorf("no publishing session: %w", s.lastErr))
	case len(s.sessions) == 0:
		return unavailable(errors.New("no publishing session"))
	case time.Since(s.refusedAt) < time.Second:
		return errRefused()
	}
	for s := range p.state.sessions {
		if !s.waited(stalledAfter) {
			return nil
		}
	}
	return unavailable(fmt.Errorf("the broker has not confirmed for more than %s", stalledAfter))
}

// anyBlocked: an alarm is the whole cluster's, but the broker tells it only to
// connections that publish. So one that knows speaks for all. The lock is held.
func (p *Publisher) anyBlocked() bool {
	for s := range p.state.sessions {
		if s.blocked.Load() {
			return true
		}
	}
	return false
}

func errBlocked() error {
	return unavailable(errors.New("the broker blocks publishing (memory or disk alarm)"))
}

func (p *Publisher) setRefused(at time.Time) {
	p.mu.Lock()
	p.state.refusedAt = at
	p.mu.Unlock()
}

func errRefused() error {
	e := unavailable(errors.New("the queue takes no more messages until some are consumed"))
	e.Code = "queue_full"
	return e
}

// Close refuses new messages, waits for the confirms of those in flight until
// ctx ends, and disconnects.
func (p *Publisher) Close(ctx context.Context) error {
	p.mu.Lock()
	select {
	case <-p.done:
	default:
		close(p.done)
	}
	p.mu.Unlock()
	confirmed := make(chan struct{})
	go func() {
		p.inFlight.Wait()
		close(confirmed)
	}()
	var err error
	select {
	case <-confirmed:
	case <-ctx.Done():
		err = unavailable(errors.New("closed before the broker had confirmed everything"))
	}
	p.stop()
	p.wg.Wait()
	p.dialer.wg.Wait()
	return err
}

const traceHeader = "traceparent"

// publishing is the message as RabbitMQ gets it.
func publishing(m bus.Message) amqp.Publishing {
	var headers amqp.Table
	if m.Trace != "" {
		headers = amqp.Table{traceHeader: m.Trace}
	}
	return amqp.Publishing{
		Headers:      headers,
		ContentType:  "application/x-ndjson",
		DeliveryMode: amqp.Persistent,
		MessageId:    m.ID,
		AppId:        "maidian",
		Body:         m.Body,
	}
}
