package rabbit

import (
	"fmt"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Everything that belongs to the queue has a name that begins with the queue's.
//
//	analytics_events            exchange ──▶ queue, refuses when full
//	analytics_events.unrouted   alternate exchange ──▶ queue: what the exchange could not route; receivers take from it too
//	analytics_events.dead       dead-letter exchange ──▶ queue: what went over the delivery limit
func unrouted(queue string) string { return queue + ".unrouted" }
func dead(queue string) string     { return queue + ".dead" }

// declare makes all of it, or checks that it is there as it should be. Both
// sides call it for each session, so neither has to be started first.
func declare(ch *amqp.Channel, c *Config) error {
	nets := []string{unrouted(c.Queue), dead(c.Queue)}
	for _, name := range nets {
		if err := declareQueue(ch, name, "fanout", nil, amqp.Table{amqp.QueueTypeArg: amqp.QueueTypeQuorum, "x-delivery-limit": int64(1 << 30)}); err != nil {
			return err
		}
	}
	return declareQueue(ch, c.Queue, "direct", amqp.Table{"alternate-exchange": unrouted(c.Queue)}, amqp.Table{
		amqp.QueueTypeArg:           amqp.QueueTypeQuorum, // always said: another default may be set on the server
		amqp.QueueMaxLenArg:         c.MaxMessages,
		amqp.QueueMaxLenBytesArg:    c.MaxBytes,
		amqp.QueueOverflowArg:       amqp.QueueOverflowRejectPublish, // refuse the new, never drop the old
		"x-delivery-limit":          c.DeliveryLimit,                 // always said: without one, version 4 takes 20
		"x-dead-letter-exchange":    dead(c.Queue),
		"x-dead-letter-routing-key": c.Queue,
		"x-dead-letter-strategy":    "at-least-once",
	})
}

// declareQueue makes an exchange and a queue of the same name and binds them.
func declareQueue(ch *amqp.Channel, name, kind string, exchange, queue amqp.Table) error {
	if err := ch.ExchangeDeclare(name, kind, true, false, false, false, exchange); err != nil {
		return fmt.Errorf("declare exchange %s: %w", name, err)
	}
	if _, err := ch.QueueDeclare(name, true, false, false, false, queue); err != nil {
		return fmt.Errorf("declare queue %s: %w", name, err)
	}
	if err := ch.QueueBind(name, name, name, false, nil); err != nil {
		return fmt.Errorf("bind queue %s: %w", name, err)
	}
	return nil
}
