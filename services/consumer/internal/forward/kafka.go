package forward

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/maidian/maidian/pkg/destination"
	"github.com/maidian/maidian/pkg/event"
)

// kafka produces a record for each event, with the user as its key, so that a
// user's events stay in their order; acknowledged by all replicas in sync.
type kafka struct {
	settings *destination.Kafka
	shape    *destination.Shape
	client   *kgo.Client
}

func (o *opening) kafka(s *destination.Kafka) (Target, error) {
	password, err := o.secret("password", s.Password)
	if err != nil {
		return nil, err
	}
	options := []kgo.Opt{
		kgo.SeedBrokers(s.Brokers...), kgo.DefaultProduceTopic(s.Topic), kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.Dialer(o.dialKafka(s.TLS)),
		kgo.RecordDeliveryTimeout(longestSend - 10*time.Second),
	}
	if mechanism := saslOf(s, password); mechanism != nil {
		options = append(options, kgo.SASL(mechanism))
	}
	client, err := kgo.NewClient(options...)
	if err != nil {
		return nil, err
	}
	return &kafka{s, &o.definition.Shape, client}, nil
}

// dialKafka makes connections as the guard lets it.
func (o *opening) dialKafka(encrypted bool) Dial {
	dial := o.Dial
	if dial == nil {
		dial = (&net.Dialer{Timeout: 10 * time.Second}).DialContext
	}
	if !encrypted {
		return dial
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		plain, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		c := tls.Client(plain, &tls.Config{MinVersion: tls.VersionTLS12, ServerName: host})
		if err := c.HandshakeContext(ctx); err != nil {
			return nil, errors.Join(err, plain.Close())
		}
		return c, nil
	}
}

func saslOf(s *destination.Kafka, password string) sasl.Mechanism {
	switch s.SASL {
	case "plain":
		return plain.Auth{User: s.Username, Pass: password}.AsMechanism()
	case "scram-sha-256":
		return scram.Auth{User: s.Username, Pass: password}.AsSha256Mechanism()
	case "scram-sha-512":
		return scram.Auth{User: s.Username, Pass: password}.AsSha512Mechanism()
	}
	return nil
}

func (k *kafka) Limits() Limits { return Limits{Events: k.settings.Batch, Bytes: 16 << 20, Once: true} }

func (k *kafka) Encode(e *event.Event) ([]byte, error) { return k.shape.AppendJSON(nil, e), nil }

func (k *kafka) Send(ctx context.Context, b Batch) (first error) {
	records := make([]*kgo.Record, len(b.Items))
	of := make(map[*kgo.Record]*Item, len(b.Items))
	for i, item := range b.Items {
		key := item.Event.EventID
		if v := visitorOf(item.Event); v.client != "" {
			key = v.client
		}
		records[i] = &kgo.Record{Key: []byte(key), Value: item.Body, Headers: []kgo.RecordHeader{{Key: "event_id", Value: []byte(item.Event.EventID)}}}
		of[records[i]] = item
	}
	for _, result := range k.client.ProduceSync(ctx, records...) {
		item := of[result.Record]
		switch {
		case result.Err == nil:
			item.Taken()
		case errors.Is(result.Err, kerr.MessageTooLarge), errors.Is(result.Err, kerr.InvalidRecord):
			item.Refused(result.Err.Error())
		case first == nil:
			first = result.Err
		}
	}
	return first
}

func (k *kafka) Close() error {
	k.client.Close()
	return nil
}
