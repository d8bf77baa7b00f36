package forward

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/maidian/maidian/pkg/destination"
	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/secret"
)

// Target is where the events of one destination go. It is used by one goroutine.
type Target interface {
	// Limits are what a batch may hold.
	Limits() Limits
	// Encode writes what is sent of an event. An error means that the target
	// never takes it.
	Encode(e *event.Event) ([]byte, error)
	// Send returns nil once the target has taken all items of a batch for good,
	// but for those that it marked Refused. Before an error it may mark some as
	// Taken, too; the others are then sent again, in smaller batches if the
	// error's kind is fault.Invalid or fault.TooLarge, else as they are, after
	// the error's RetryAfter if it has one.
	Send(ctx context.Context, b Batch) error
	Close() error
}

// Limits of a batch, and when it is sent.
type Limits struct {
	Events int
	Bytes  int
	Linger time.Duration // how long entries are gathered before they are sent
	// Exact batches are sent again as they were after any interruption, with
	// the same id: what they hold is kept before they are sent.
	Exact bool
	// Once says that the target counts an event again that it is sent again: what
	// it has taken is kept after each batch.
	Once bool
}

// Batch is some events in the order of the journal.
type Batch struct {
	ID    string
	Items []*Item
}

// Item is one event of a batch.
type Item struct {
	Event *event.Event // as it leaves
	Body  []byte       // by Encode

	eventID string // as it is stored
	place   destination.Place
	fate    fate
	reason  string
}

type fate uint8

const (
	unsettled fate = iota
	taken
	refused
)

// Taken says that the target has the event for good.
func (i *Item) Taken() { i.fate = taken }

// Refused says that it never takes it, and why.
func (i *Item) Refused(reason string) { i.fate, i.reason = refused, cut(reason) }

// mostReason is how much of an answer is kept.
const mostReason = 500

func cut(text string) string {
	if runes := []rune(text); len(runes) > mostReason {
		return string(runes[:mostReason]) + "…"
	}
	return text
}

// whatIsOpen is the batch without those that were taken or refused.
func (b Batch) whatIsOpen() Batch {
	left := Batch{ID: b.ID}
	for _, i := range b.Items {
		if i.fate == unsettled {
			left.Items = append(left.Items, i)
		}
	}
	return left
}

// halves of a batch have ids of their own, the same every time.
func (b Batch) halves() [2]Batch {
	middle := len(b.Items) / 2
	return [2]Batch{{b.ID + "a", b.Items[:middle]}, {b.ID + "b", b.Items[middle:]}}
}

// open makes the target of a destination. Adding a type is a file and a line here.
func open(ctx context.Context, o *opening) (Target, error) {
	switch s := o.definition.Settings.(type) {
	case *destination.Webhook:
		return o.webhook(s)
	case *destination.Files:
		return o.files(s)
	case *destination.S3:
		return o.s3(s)
	case *destination.GA4:
		return o.ga4(s)
	case *destination.Mixpanel:
		return o.mixpanel(s)
	case *destination.ClickHouse:
		return o.clickhouse(s)
	case *destination.Postgres:
		return o.postgres(ctx, s)
	case *destination.Kafka:
		return o.kafka(s)
	case *destination.BigQuery:
		return o.bigquery(ctx, s)
	case *destination.Snowflake:
		return o.snowflake(ctx, s)
	}
	return nil, fmt.Errorf("this version cannot send to a destination of type %s", o.definition.Type)
}

// opening is what a target is made of.
type opening struct {
	Env
	project    string
	definition *destination.Definition
}

// secret reads a credential by its name; none is empty.
func (o *opening) secret(name string, v secret.Value) (string, error) {
	if v == (secret.Value{}) {
		return "", nil
	}
	return o.Keys.Reveal(destination.Owner(o.project, o.definition.ID, name), v)
}

// near is for requests to a server that may be beside this one.
func (o *opening) near() *http.Transport {
	return &http.Transport{
		DialContext: o.Dial, TLSHandshakeTimeout: 10 * time.Second, ForceAttemptHTTP2: true,
		MaxIdleConnsPerHost: 2, IdleConnTimeout: 90 * time.Second,
	}
}
