package stored

import (
	"context"
	"errors"
	"fmt"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"maidian-check/internal/broker"
)

// Queues are how many messages wait, as far as AMQP tells: those that a
// consumer has in its hands are not among them.
type Queues struct {
	Waiting  int // in the queue and the one for what could not be routed
	Stranded int // in the broker's own dead-letter queue
}

// ReadQueues asks the broker about the queue and those beside it.
func ReadQueues(_ context.Context, url, queue string) (q Queues, err error) {
	conn, err := broker.Dial(url, 20*time.Second)
	if err != nil {
		return q, fmt.Errorf("ask the broker: %w", err)
	}
	defer func() { _ = conn.Close() }()
	for name, n := range map[string]*int{queue: &q.Waiting, queue + ".unrouted": &q.Waiting, queue + ".dead": &q.Stranded} {
		there, err := depth(conn, name)
		if err != nil {
			return q, fmt.Errorf("queue %s: %w", name, err)
		}
		*n += there
	}
	return q, nil
}

// depth is how many messages wait in a queue. One that is not there holds
// none: whatever it held will be missed in the store.
func depth(conn *amqp.Connection, name string) (int, error) {
	ch, err := conn.Channel()
	if err != nil {
		return 0, err
	}
	defer func() { _ = ch.Close() }() // a question about a queue that is not there ends it
	found, err := ch.QueueDeclarePassive(name, true, false, false, false, nil)
	if e := (*amqp.Error)(nil); errors.As(err, &e) && e.Code == amqp.NotFound {
		return 0, nil
	}
	return found.Messages, err
}
