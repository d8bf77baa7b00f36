package rabbit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/maidian/maidian/pkg/bus"
	amqp "github.com/rabbitmq/amqp091-go"
)

// Inspector tells the depth of the queue.
//
// AMQP itself tells only what is not in a consumer's hands. So the depth
// counts besides what these receivers of this process hold, and for a moment
// misses what is on its way to them. With RABBITMQ_MANAGEMENT_URL it asks
// there, and knows what every process holds.
type Inspector struct {
	cfg       Config
	receivers []*Receiver
}

var _ bus.Inspector = (*Inspector)(nil)

// NewInspector makes an inspector; it connects for each question.
func NewInspector(cfg Config, receivers ...*Receiver) (*Inspector, error) {
	return &Inspector{cfg, receivers}, cfg.Validate()
}

// Depth is the number of messages in the queue and in the queue of what could
// not be routed into it, delivered but unacknowledged ones included.
func (i *Inspector) Depth(ctx context.Context) (int, error) {
	queues := []string{i.cfg.Queue, unrouted(i.cfg.Queue)}
	if i.cfg.ManagementURL != "" {
		return i.depthByManagement(ctx, queues)
	}
	n, err := i.count(ctx, queues)
	for _, r := range i.receivers { // asked last: what moves from the queue to a receiver is rather counted twice
		n += r.held()
	}
	return n, err
}

// DeadLettered is the number of messages that went over the delivery limit and
// wait in the dead-letter queue for a person.
func (i *Inspector) DeadLettered(ctx context.Context) (int, error) {
	return i.count(ctx, []string{dead(i.cfg.Queue)})
}

func (i *Inspector) count(ctx context.Context, queues []string) (n int, err error) {
	d, err := newDialer(i.cfg, "inspector")
	if err != nil {
		return 0, err
	}
	defer d.wg.Wait()
	l, err := d.openAny(ctx)
	if err != nil {
		return 0, err
	}
	defer d.drop(l)
	defer context.AfterFunc(ctx, func() { _ = l.raw.Close() })()
	for _, name := range queues {
		q, err := l.ch.QueueDeclarePassive(name, true, false, false, false, amqp.Table{amqp.QueueTypeArg: amqp.QueueTypeQuorum})
		if err != nil {
			return 0, unavailable(fmt.Errorf("count the messages of %s: %w", name, err))
		}
		n += q.Messages
	}
	return n, nil
}

func (i *Inspector) depthByManagement(ctx context.Context, queues []string) (n int, err error) {
	for _, name := range queues {
		one, err := i.askManagement(ctx, name)
		if err != nil {
			return 0, err
		}
		n += one
	}
	return n, nil
}

func (i *Inspector) askManagement(ctx context.Context, queue string) (int, error) {
	urls, err := i.cfg.urls()
	if err != nil {
		return 0, err
	}
	node, err := amqp.ParseURI(urls[0])
	if err != nil {
		return 0, errors.New("the address of RabbitMQ cannot be read")
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	address, err := url.Parse(i.cfg.ManagementURL)
	if err != nil {
		return 0, errors.New("RABBITMQ_MANAGEMENT_URL cannot be read")
	}
	at := address.Redacted()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address.JoinPath("api", "queues", url.PathEscape(node.Vhost), url.PathEscape(queue)).String(), nil)
	if err != nil {
		return 0, fmt.Errorf("ask %s", at)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, unavailable(fmt.Errorf("ask RabbitMQ's management at %s: %w", at, errors.Unwrap(err)))
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		return 0, unavailable(fmt.Errorf("ask RabbitMQ's management at %s for queue %s: %s", at, queue, answer.Status))
	}
	var q struct {
		Messages int `json:"messages"`
	}
	if err := json.NewDecoder(answer.Body).Decode(&q); err != nil {
		return 0, unavailable(fmt.Errorf("read the answer of RabbitMQ's management at %s: %w", at, err))
	}
	return q.Messages, nil
}
