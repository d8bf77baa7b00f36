package jetstream

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/maidian/maidian/pkg/bus"
	"github.com/maidian/maidian/pkg/bus/internal/meter"
	"github.com/maidian/maidian/pkg/fault"
	"github.com/nats-io/nats.go"
	js "github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
)

// Most publishes that wait for their confirm at once. The server syncs one
// after the other, so more than what keeps it busy only makes it slower.
const window = 16

// Publisher puts messages on the embedded queue.
type Publisher struct {
	server *Server
	conn   *nats.Conn
	js     js.JetStream
	meter  *meter.Publish
	slots  chan struct{} // one for each publish in flight
	done   chan struct{} // closed by Close

	close  sync.Once
	mu     sync.Mutex
	fullAt time.Time // when the queue last refused because it is full; zero once it took one again
}

var _ bus.Publisher = (*Publisher)(nil)

// Publisher opens a publisher; any number may work at once. A nil registerer counts for nobody.
func (s *Server) Publisher(metrics prometheus.Registerer) (*Publisher, error) {
	conn, err := s.connect("publisher")
	if err != nil {
		return nil, err
	}
	stream, err := js.New(conn)
	if err != nil {
		conn.Close()
		return nil, err
	}
	p := &Publisher{server: s, conn: conn, js: stream, meter: meter.NewPublish(metrics), slots: make(chan struct{}, window), done: make(chan struct{})}
	p.meter.Sessions.Inc()
	return p, nil
}

// Publish returns nil once the message's file has been synced.
func (p *Publisher) Publish(ctx context.Context, m bus.Message) error {
	if len(m.Body) > bus.MaxBody {
		return fault.New(fault.TooLarge, "message_too_large", "a message of %d bytes; the broker takes at most %d", len(m.Body), bus.MaxBody)
	}
	if err := p.begin(ctx); err != nil {
		p.meter.Failed.WithLabelValues("unavailable").Inc()
		return err
	}
	defer p.end()
	started := time.Now()
	_, err := p.js.PublishMsg(ctx, natsMessage(m), js.WithRetryAttempts(0))
	if err != nil {
		return p.refused(err)
	}
	p.meter.Confirm.Observe(time.Since(started).Seconds())
	p.markFull(time.Time{})
	return nil
}

func natsMessage(m bus.Message) *nats.Msg {
	header := nats.Header{idHeader: {m.ID}}
	if m.Trace != "" {
		header[traceHeader] = []string{m.Trace}
	}
	return &nats.Msg{Subject: subject, Data: m.Body, Header: header}
}

// begin takes a slot, or says why there is none to be had.
func (p *Publisher) begin(ctx context.Context) error {
	if err := p.open(); err != nil {
		return err
	}
	select {
	case p.slots <- struct{}{}:
	case <-p.done:
		return errClosed()
	case <-ctx.Done():
		return unavailable("the broker is busy: %d messages wait for their confirm", window)
	}
	p.meter.InFlight.Inc()
	if err := p.open(); err != nil { // Close may have come meanwhile; it waits for slots taken before
		p.end()
		return err
	}
	return nil
}

func (p *Publisher) end() {
	p.meter.InFlight.Dec()
	<-p.slots
}

// open is nil while messages are taken at all.
func (p *Publisher) open() error {
	select {
	case <-p.done:
		return errClosed()
	default:
		return p.server.running()
	}
}

func errClosed() error { return unavailable("the publisher is closed") }

// Ready is nil when a publish can be expected to be confirmed.
func (p *Publisher) Ready() error {
	if err := p.open(); err != nil {
		return err
	}
	p.mu.Lock()
	full := time.Since(p.fullAt) < time.Second
	p.mu.Unlock()
	if full {
		return queueFull(nil)
	}
	if !p.conn.IsConnected() {
		return unavailable("no connection to the embedded broker")
	}
	return nil
}

// refused turns the broker's refusal into one our callers act on.
func (p *Publisher) refused(err error) error {
	var api *js.APIError
	if errors.As(err, &api) && api.ErrorCode == js.ErrorCode(storeFailed) {
		p.markFull(time.Now())
		p.meter.Failed.WithLabelValues("full").Inc()
		return queueFull(err)
	}
	p.meter.Failed.WithLabelValues("unconfirmed").Inc()
	e := unavailable("the broker did not confirm")
	e.Err = err
	return e
}

// The server's code for "maximum messages exceeded", "maximum bytes exceeded" and every other store failure.
const storeFailed = 10077

func queueFull(cause error) *fault.Error {
	e := unavailable("the queue takes no more messages until some are consumed")
	e.Code, e.Err = "queue_full", cause
	return e
}

func (p *Publisher) markFull(at time.Time) {
	p.mu.Lock()
	p.fullAt = at
	p.mu.Unlock()
}

// Close refuses new messages and waits for the confirms of those in flight.
func (p *Publisher) Close(ctx context.Context) (err error) {
	p.close.Do(func() {
		close(p.done)
		err = p.drain(ctx)
		p.conn.Close()
		p.meter.Sessions.Dec()
	})
	return err
}

// drain returns once every slot is ours, so that nothing is in flight.
func (p *Publisher) drain(ctx context.Context) error {
	for range window {
		select {
		case p.slots <- struct{}{}:
		case <-ctx.Done():
			return unavailable("closed before the broker had confirmed everything")
		}
	}
	return nil
}
