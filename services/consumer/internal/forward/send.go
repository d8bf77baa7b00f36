package forward

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/maidian/maidian/pkg/destination"
	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/fault"
)

// together is how many batches of the journal are read back at a time: each is
// a message of the broker and so no more than a megabyte.
const together = 50

// finish sends all events of a group, and writes letters for those that are refused.
func (p *pump) finish(ctx context.Context, g *destination.Group) error {
	batch := Batch{ID: g.ID + "-0"}
	bytes, sent := 0, 0
	for ids := range slices.Chunk(p.left(g), together) {
		items, err := p.read(ctx, ids)
		if err != nil {
			return err
		}
		for _, item := range items {
			if len(batch.Items) == p.limits.Events || len(batch.Items) > 0 && bytes+len(item.Body) > p.limits.Bytes {
				if err := p.deliver(ctx, batch); err != nil {
					return err
				}
				sent++
				batch, bytes = Batch{ID: fmt.Sprint(g.ID, "-", sent)}, 0
			}
			batch.Items = append(batch.Items, item)
			bytes += len(item.Body)
		}
	}
	if err := p.deliver(ctx, batch); err != nil {
		return err
	}
	p.backlog.sent()
	p.StoredAt = max(p.StoredAt, g.At)
	p.Pending, p.changed = nil, true
	return nil
}

// left are the ids of what the destination may not have of a group.
func (p *pump) left(g *destination.Group) []string {
	switch {
	case p.resend != nil:
		return g.Events
	case g.Taken != nil:
		return g.Batches[max(0, slices.Index(g.Batches, g.Taken.Batch)):]
	}
	return g.Batches
}

// read makes items of the events of a part of a group that go to the
// destination. Those that were erased in the meantime are no more.
func (p *pump) read(ctx context.Context, ids []string) (items []*Item, err error) {
	leftOut := 0
	err = p.insist(ctx, func() error {
		items, leftOut = nil, 0
		return p.eachStored(ctx, ids, func(e *event.Event) error {
			if p.definition.Takes(e) {
				items = append(items, p.item(*e))
				return nil
			}
			leftOut++
			return p.drop(ctx, e.EventID)
		})
	})
	p.LeftOut += int64(leftOut)
	p.leftOut.Add(float64(leftOut))
	return items, err
}

// eachStored goes over stored events, of entries of the journal or of letters.
func (p *pump) eachStored(ctx context.Context, ids []string, do func(*event.Event) error) error {
	if p.resend != nil {
		return p.eachOfLetters(ctx, ids, do)
	}
	taken := p.Pending.Taken
	return p.forwarder.store.EventsOfBatches(ctx, p.project, ids, func(e *event.Event) error {
		if taken != nil && taken.Batch == e.BatchID && e.Position <= taken.Position {
			return nil
		}
		return do(e)
	})
}

// item is an event as it leaves.
func (p *pump) item(e event.Event) *Item {
	i := &Item{Event: &e, eventID: e.EventID, place: destination.Place{Batch: e.BatchID, Position: e.Position}}
	p.definition.Make(&e, p.salt)
	body, err := p.target.Encode(&e)
	if i.Body = body; err != nil {
		i.Refused(err.Error())
	}
	return i
}

// errTooMany stops a destination that refuses more than the definition lets it.
var errTooMany = errors.New("too many events were refused")

// deliver sends a batch for as long as it takes. What the target will never
// take becomes letters.
func (p *pump) deliver(ctx context.Context, b Batch) error {
	stopped := p.offer(ctx, b.whatIsOpen(), &balance{p.Refusals, p.mostRefusals()})
	if stopped != nil && !errors.Is(stopped, errTooMany) {
		return stopped
	}
	of := balance{p.Refusals, p.mostRefusals()}
	for _, i := range b.Items {
		if i.fate == unsettled { // it was stopped before
			return errTooMany
		}
		if err := p.insist(ctx, func() error { return p.settle(ctx, i) }); err != nil {
			return err
		}
		tooMany := of.with(i)
		if p.Refusals = of.refusals; tooMany {
			return errTooMany
		}
	}
	if stopped != nil || len(b.Items) == 0 {
		return stopped
	}
	if p.limits.Once {
		p.Pending.Taken = &b.Items[len(b.Items)-1].place
		return p.insist(ctx, func() error { return p.save(ctx) })
	}
	return nil
}

// settle keeps what became of an event.
func (p *pump) settle(ctx context.Context, i *Item) error {
	if i.fate == refused {
		if err := p.refuse(ctx, i); err != nil {
			return err
		}
		p.Refused++
		p.refused.Inc()
		p.refusal = i.reason
		return nil
	}
	if err := p.drop(ctx, i.eventID); err != nil {
		return err
	}
	p.Sent++
	p.sent.Inc()
	p.LastSentAt, p.changed = time.Now().UnixMilli(), true
	return nil
}

// balance is by how much refusals outweigh what was taken, and may; 0: as they like.
type balance struct{ refusals, most int }

// with is true when there are too many with another one that is settled.
func (b *balance) with(i *Item) bool {
	if i.fate != refused {
		b.refusals = max(0, b.refusals-1)
		return false
	}
	b.refusals++
	return b.most > 0 && b.refusals >= b.most
}

// mostRefusals is what the definition says. What was refused before makes no
// letters when it is refused again.
func (p *pump) mostRefusals() int {
	if p.resend != nil {
		return 0
	}
	return p.definition.PauseAfter
}

// offer halves a batch that is refused as a whole, until the one event that is
// the reason stands alone. It ends when too many do.
func (p *pump) offer(ctx context.Context, b Batch, of *balance) error {
	if len(b.Items) == 0 {
		return nil
	}
	wrong, err := p.sendUntilAnswered(ctx, b)
	if err != nil {
		return err
	}
	left := b.whatIsOpen()
	if wrong != nil && len(left.Items) > 1 {
		for _, half := range left.halves() {
			if err := p.offer(ctx, half, of); err != nil {
				return err
			}
		}
		return nil
	}
	for _, i := range left.Items {
		i.Refused(wrong.Error())
	}
	for _, i := range b.Items {
		if of.with(i) {
			return errTooMany
		}
	}
	return nil
}

// sendUntilAnswered sends what is open of a batch until the target takes it, or
// says what is wrong with it.
func (p *pump) sendUntilAnswered(ctx context.Context, b Batch) (wrong, err error) {
	err = p.insist(ctx, func() error {
		if p.Failures > 0 && p.Failures%worthTelling == 0 {
			if err := p.open(ctx); err != nil {
				return err
			}
		}
		err := p.try(ctx, b.whatIsOpen())
		if kind := fault.KindOf(err); kind == fault.Invalid || kind == fault.TooLarge {
			wrong, err = err, nil
		}
		return err
	})
	return wrong, err
}

// longestSend is how long a target may take for a batch.
const longestSend = time.Minute

func (p *pump) try(ctx context.Context, b Batch) error {
	ctx, cancel := context.WithTimeout(ctx, longestSend)
	defer cancel()
	begun := time.Now()
	err := p.target.Send(ctx, b)
	p.mine.send.Observe(time.Since(begun).Seconds())
	if err != nil {
		return err
	}
	for _, i := range b.whatIsOpen().Items {
		i.Taken()
	}
	return nil
}
