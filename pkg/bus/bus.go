// Package bus says what the pipeline needs of a message broker: one durable
// queue, a publish that is confirmed, and a receive that is acknowledged.
//
// Two adapters keep these promises: bus/rabbit (RabbitMQ, production) and
// bus/jetstream (NATS JetStream in process, one machine). bustest holds the
// conformance suite that both pass. Nothing above this package knows which
// one it has.
package bus

import (
	"context"
	"time"
)

// MaxBody is the largest message body, in bytes, that every broker we run on
// takes by default; a publisher refuses larger ones with fault.TooLarge.
const MaxBody = 1 << 20

// Message is one body on the queue. ID is a UUIDv7, the batch id: publishing
// the same message again uses the same ID.
type Message struct {
	ID    string
	Body  []byte
	Trace string // W3C traceparent of the span that publishes it; empty: nobody traces it
}

// Publisher puts messages on the queue.
type Publisher interface {
	// Publish returns nil only once the broker has confirmed that the message
	// is stored durably in the queue. Any error means that it may or may not be
	// there: trying again is safe, forgetting it is not. When the broker is
	// away, blocked, or refuses because the queue is full, the error is
	// fault.Unavailable and comes no later than ctx's deadline. The body must
	// not change until Publish has returned.
	Publish(ctx context.Context, m Message) error

	// Ready is nil when a publish started now can be expected to be confirmed,
	// else a fault.Unavailable that says why not. It never waits.
	Ready() error

	// Close refuses new messages, waits for the confirms of those in flight
	// until ctx ends, then disconnects.
	Close(ctx context.Context) error
}

// Delivery is a message on its way to a consumer.
type Delivery struct {
	Message
	// Attempt counts from 1. The broker's count: it also rises for innocent
	// messages that were in a crashed consumer's hands, so it is never by
	// itself a reason to give a message up.
	Attempt int
}

// Outcome is what the handler made of a delivery.
type Outcome uint8

const (
	Again Outcome = iota // not done: the broker shall deliver it again. The zero value, so that what a handler forgets is not lost.
	Done                 // everything is durable elsewhere: acknowledge
)

// Handler works on deliveries and returns one outcome for each, in order.
// It runs once at a time for each receiver. When ctx ends it returns soon,
// with Again for what it has not made durable.
type Handler func(ctx context.Context, ds []Delivery) []Outcome

// Receiver takes messages off the queue.
type Receiver interface {
	// Receive hands deliveries to handle in groups, and acknowledges after
	// handle has returned, on the session that delivered: after a reconnect an
	// old acknowledgement does nothing, and the broker delivers again. It
	// reconnects by itself with capped, jittered backoff and returns only when
	// ctx ends (nil) or when the queue can never be had as it is configured.
	// At its end nothing stays unsettled: what was not Done is back in the queue.
	Receive(ctx context.Context, handle Handler) error

	// Ready is nil while a session is open, else a fault.Unavailable that says why not.
	Ready() error
}

// Limits shape the groups a receiver hands out.
type Limits struct {
	Prefetch int           // most unacknowledged messages held at once
	Messages int           // most messages in a group
	Bytes    int           // a group waits for no more once its bodies reach this many bytes; up to three times as many come together when they are there
	Wait     time.Duration // after its first message a group waits no longer than this
}

// Inspector tells what is still queued; for accounting, metrics and drains.
type Inspector interface {
	// Depth is the number of messages in the queue, delivered but unacknowledged ones included.
	Depth(ctx context.Context) (int, error)
}
