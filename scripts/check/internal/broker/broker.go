// Package broker connects to RabbitMQ with the bare library.
package broker

import (
	"errors"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Dial connects to the first of the addresses, separated by commas, that answers in time.
func Dial(addresses string, within time.Duration) (conn *amqp.Connection, err error) {
	var all error
	for address := range strings.SplitSeq(addresses, ",") {
		conn, err = amqp.DialConfig(address, amqp.Config{Heartbeat: 5 * time.Second, Dial: amqp.DefaultDial(within)})
		if err == nil {
			return conn, nil
		}
		all = errors.Join(all, err)
	}
	return nil, all
}
