package load

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"maidian-check/internal/broker"
	"maidian-check/internal/ledger"
	"maidian-check/internal/traffic"
)

// poisonNumbers begin where no event of the load comes: the events that
// travel beside the poison are the plan's as well.
const poisonNumbers = 500_000_000

// poisoner puts messages on the queue that no collector would: parts of them
// cannot be read, and the events beside those parts are innocent.
type poisoner struct {
	url, queue string
	plan       *traffic.Plan
	book       *ledger.Writer
	work       chan func()
	all        sync.WaitGroup

	conn *amqp.Connection
	ch   *amqp.Channel
	next int
}

func newPoisoner(url, queue string, plan *traffic.Plan, book *ledger.Writer) *poisoner {
	p := &poisoner{url: url, queue: queue, plan: plan, book: book, work: make(chan func(), 1000)}
	p.all.Go(func() {
		for spoil := range p.work {
			spoil()
		}
	})
	return p
}

func (p *poisoner) close() {
	close(p.work)
	p.all.Wait()
	p.drop()
}

// spoil publishes one message. Batches of poison have numbers below zero.
func (p *poisoner) spoil(project string, number int) {
	p.work <- func() {
		message := p.message(project, number)
		id := -1 - number
		if p.book.Sync(ledger.Line{Batch: &message.Batch}, ledger.Line{Try: &ledger.Try{ID: id, Batch: id, At: ledger.Now()}}) != nil {
			return
		}
		done := &ledger.Done{Try: id, Status: 200, Accepted: len(message.Events)}
		if err := p.publish(message); err != nil {
			done = &ledger.Done{Try: id, Error: "poison: " + err.Error()}
			p.drop()
		}
		done.At = ledger.Now()
		p.book.Note(ledger.Line{Done: done})
	}
}

// message is one of four ways to be unreadable.
type message struct {
	ledger.Batch
	id   string
	body []byte
}

func (p *poisoner) message(project string, number int) *message {
	r := p.plan.Random("poison", number)
	m := &message{Batch: ledger.Batch{ID: -1 - number, Project: project}}
	m.id = fmt.Sprintf("%08x-0000-7000-8000-%012x", p.plan.Seed&0xffffffff, number)
	switch r.IntN(4) {
	case 0: // no message at all
		m.body = fmt.Appendf(nil, "poison %d of %d: this is no message", number, p.plan.Seed)
		m.Letters = []string{traffic.HashText(m.body)}
	case 1: // it says that there is more
		m.body = append(p.header(m, 2), p.innocent(project, nil)...)
		m.Letters = []string{traffic.HashText(m.body)}
	case 2: // a line in the middle is torn
		m.mixed(p, project, fmt.Sprintf(`{"project":%q,"event_id":"torn-%d-%d","event_ty`, project, p.plan.Seed, number))
	case 3: // an event without a type
		m.mixed(p, project, fmt.Sprintf(`{"project":%q,"event_id":"typeless-%d-%d","timestamp":1}`, project, p.plan.Seed, number))
	}
	return m
}

func (p *poisoner) header(m *message, events int) []byte {
	return fmt.Appendf(nil, "{\"maidian\":1,\"batch\":%q,\"events\":%d}\n", m.id, events)
}

// mixed puts the bad line between two innocent ones.
func (m *message) mixed(p *poisoner, project, bad string) {
	m.body = append(p.header(m, 3), p.innocent(project, m)...)
	m.body = append(m.body, bad+"\n"...)
	m.body = append(m.body, p.innocent(project, m)...)
	m.Letters = []string{traffic.HashText([]byte(bad))}
}

// innocent is a good event's line, written into the ledger's batch of m when it is to be stored.
func (p *poisoner) innocent(project string, m *message) []byte {
	e, k := p.good(project)
	e.Want["project"], e.Want["received_at"] = project, ledger.Now()
	if at, ok := e.Want["client_timestamp"]; ok {
		e.Want["timestamp"] = at
	} else {
		e.Want["timestamp"] = e.Want["received_at"]
	}
	line, err := json.Marshal(e.Want)
	if err != nil {
		panic(err)
	}
	if m != nil {
		for _, added := range []string{"project", "received_at", "timestamp"} {
			delete(e.Want, added)
		}
		m.Events = append(m.Events, ledger.Event{K: k, ID: e.ID, Hash: e.Hash(), Kind: traffic.Good})
	}
	return append(line, '\n')
}

func (p *poisoner) good(project string) (traffic.Event, int) {
	for {
		k := poisonNumbers + p.next
		p.next++
		if e := p.plan.Event(project, k); e.Kind == traffic.Good {
			return e, k
		}
	}
}

// publish returns nil once the broker has confirmed.
func (p *poisoner) publish(m *message) (err error) {
	if p.conn == nil {
		if err := p.open(); err != nil {
			return err
		}
	}
	conn := p.conn
	late := time.AfterFunc(5*time.Second, func() { _ = conn.CloseDeadline(time.Now()) }) // in an alarm the library waits for ever
	defer late.Stop()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	confirm, err := p.ch.PublishWithDeferredConfirmWithContext(ctx, p.queue, p.queue, false, false, amqp.Publishing{
		DeliveryMode: amqp.Persistent, MessageId: m.id, Body: m.body,
	})
	if err != nil {
		return err
	}
	acked, err := confirm.WaitContext(ctx)
	if err == nil && !acked {
		err = errors.New("the queue refused it")
	}
	return err
}

func (p *poisoner) open() (err error) {
	if p.conn, err = broker.Dial(p.url, 3*time.Second); err != nil {
		p.conn = nil
		return err
	}
	if p.ch, err = p.conn.Channel(); err == nil {
		err = p.ch.Confirm(false)
	}
	return err
}

func (p *poisoner) drop() {
	if p.conn != nil {
		_ = p.conn.CloseDeadline(time.Now().Add(time.Second)) // it may be lost already
		p.conn = nil
	}
}
