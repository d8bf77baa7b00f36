package rabbit

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/maidian/maidian/pkg/fault"
	amqp "github.com/rabbitmq/amqp091-go"
	"go.uber.org/zap"
)

// A channel opened while a quorum queue changes its leader may refuse
// everything for ever. One that only refuses for this long is replaced.
const refusesOnly = time.Second

// A session whose oldest confirm is this late is not counted on for new work,
// and later it is replaced: what is published to a quorum queue that has just
// come back may never be confirmed.
const (
	stalledAfter  = 2 * time.Second
	replacedAfter = 5 * time.Second
)

// session publishes on one link. One goroutine writes, another waits for the
// confirms in the order of publishing.
type session struct {
	p       *Publisher
	l       *link
	returns chan amqp.Return
	slots   chan struct{} // one for each unconfirmed message
	pending chan sent
	settled chan struct{} // closed when the settling goroutine has ended
	recycle chan struct{} // closed by it when this session should be replaced

	blocked atomic.Bool  // by an alarm
	oldest  atomic.Int64 // when the message was sent whose confirm is waited for, Unix ns; 0: none
}

// sent is a message that waits for its confirm.
type sent struct {
	j       *job
	confirm *amqp.DeferredConfirmation
	at      time.Time
}

var (
	errOnlyRefuses = errors.New("the channel only refuses; trying a new one")
	errNoConfirms  = fmt.Errorf("no confirm for %s; trying a new connection", replacedAfter)
)

func newSession(p *Publisher, l *link) *session {
	window := p.dialer.cfg.Window
	return &session{
		p: p, l: l,
		// Room for all that can be under way: the library's reader waits for
		// whoever does not read, and then nothing is read.
		returns: l.ch.NotifyReturn(make(chan amqp.Return, window)),
		slots:   make(chan struct{}, window),
		pending: make(chan sent, window),
		settled: make(chan struct{}),
		recycle: make(chan struct{}),
	}
}

// waited says whether the broker has kept a confirm back for so long.
func (s *session) waited(long time.Duration) bool {
	since := s.oldest.Load()
	return since != 0 && time.Since(time.Unix(0, since)) > long
}

// run publishes until the link ends; then all that it was given is answered.
func (s *session) run(ctx context.Context) error {
	go s.settle()
	err := s.publish(ctx)
	s.p.dialer.drop(s.l) // resolves what is unconfirmed
	close(s.pending)
	<-s.settled
	return err
}

func (s *session) publish(ctx context.Context) error {
	var block block
	defer func() { s.block(false, &block) }()
	check := time.NewTicker(time.Second)
	defer check.Stop()
	for haveSlot := false; ; {
		var slots chan struct{}
		var jobs chan *job
		switch {
		case s.blocked.Load(): // take no work that would only wait
		case haveSlot:
			jobs = s.p.jobs
		default:
			slots = s.slots
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.l.gone:
			return s.l.reason
		case <-s.recycle:
			return errOnlyRefuses
		case <-check.C:
			s.count(&block)
			if !s.blocked.Load() && s.waited(replacedAfter) {
				return errNoConfirms
			}
		case b, ok := <-s.l.blocked:
			if !ok {
				return amqp.ErrClosed
			}
			s.block(b.Active, &block)
		case slots <- struct{}{}:
			haveSlot = true
		case j := <-jobs:
			if err := s.send(j); err != nil {
				return err
			}
			haveSlot = false
		}
	}
}

// send writes one message, for which there is a slot, and queues it for its confirm.
func (s *session) send(j *job) error {
	cfg := &s.p.dialer.cfg
	confirm, err := s.l.ch.PublishWithDeferredConfirm(cfg.Queue, cfg.Queue, true, false, publishing(j.msg))
	if err != nil {
		j.done <- errLost
		return fmt.Errorf("publish: %w", err)
	}
	s.pending <- sent{j, confirm, time.Now()}
	return nil
}

// block is since when the broker blocks us, and up to when that is counted.
type block struct{ since, counted time.Time }

// block notes that the broker blocks us, or that it no longer does.
func (s *session) block(active bool, b *block) {
	s.count(b)
	if s.blocked.Swap(active) == active {
		return
	}
	if active {
		b.since, b.counted = time.Now(), time.Now()
		s.p.meter.Blocked.Inc()
		s.p.log.Warn("the broker blocks publishing (memory or disk alarm)")
		return
	}
	s.p.meter.Blocked.Dec()
	s.p.log.Info("the broker no longer blocks publishing", zap.Duration("after", time.Since(b.since)))
}

// count adds the time of a block that has not been counted.
func (s *session) count(b *block) {
	if s.blocked.Load() {
		now := time.Now()
		s.p.meter.BlockedFor.Add(now.Sub(b.counted).Seconds())
		b.counted = now
	}
}

// settle answers jobs as their confirms come. The library resolves every
// confirm as refused when the channel ends.
//
// Not NotifyPublish: it forgets a refusal that is followed by an
// acknowledgement of several messages at once.
func (s *session) settle() {
	defer close(s.settled)
	returned := map[string]bool{}
	var refusing time.Time
	for x := range s.pending {
		s.oldest.Store(x.at.UnixNano())
		<-x.confirm.Done()
		s.oldest.Store(0)
		s.drainReturns(returned)
		err := s.outcome(x, returned)
		x.j.done <- err
		<-s.slots
		refusing = s.watchRefusals(refusing, err)
	}
}

// drainReturns notes what came back unroutable. A return comes before the
// confirm of its message, so after the confirm it is here.
func (s *session) drainReturns(returned map[string]bool) {
	for {
		select {
		case r, ok := <-s.returns:
			if !ok {
				s.returns = nil
				return
			}
			s.p.meter.Returned.Inc()
			returned[r.MessageId] = true
		default:
			return
		}
	}
}

func (s *session) outcome(x sent, returned map[string]bool) error {
	switch {
	case x.confirm.Acked() && !returned[x.j.msg.ID]:
		s.p.setRefused(time.Time{})
		return nil
	case x.confirm.Acked():
		delete(returned, x.j.msg.ID)
		return unavailable(errors.New("the broker returned the message: no queue takes it"))
	case s.l.ch.IsClosed():
		return errLost
	}
	s.p.setRefused(time.Now())
	return errRefused()
}

// watchRefusals asks for a new session when this one has only refused for a
// while; refusing is since when, zero when it does not.
func (s *session) watchRefusals(refusing time.Time, err error) time.Time {
	switch {
	case !isRefused(err):
		return time.Time{}
	case refusing.IsZero():
		return time.Now()
	case time.Since(refusing) > refusesOnly:
		select {
		case <-s.recycle:
		default:
			close(s.recycle)
		}
	}
	return refusing
}

func isRefused(err error) bool {
	var e *fault.Error
	return errors.As(err, &e) && e.Code == "queue_full"
}
