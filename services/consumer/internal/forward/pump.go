package forward

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/maidian/maidian/pkg/destination"
	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/fault"
	"github.com/maidian/maidian/pkg/proc"
	"github.com/maidian/maidian/pkg/store"
	"github.com/maidian/maidian/services/consumer/internal/feed"
)

// pump does one job for as long as this process has its lease.
type pump struct {
	*kept
	*job
	*mine
	forwarder *Forwarder
	target    Target
	limits    Limits
	salt      string
	feed      *feed.Feed
	log       *zap.Logger
}

// work goes on from where the job stands, until ctx ends, another process has
// written its state, or there is nothing more to do.
func (f *Forwarder) work(ctx context.Context, j *job, log *zap.Logger) error {
	k, err := load(ctx, f.store, j)
	if err != nil {
		return err
	}
	if k.Done {
		return errFinished
	}
	from, err := k.position()
	if err != nil {
		return err
	}
	p := &pump{kept: k, job: j, mine: f.metrics.of(j), forwarder: f, feed: feed.New(f.store, from, f.overlap), log: log}
	defer p.keepAtStop(ctx)
	if err := p.insist(ctx, func() error { return p.open(ctx) }); err != nil {
		return err
	}
	defer func() { _ = p.target.Close() }()
	if k.Pending != nil {
		if err := p.finish(ctx, *k.Pending); err != nil {
			return err
		}
	}
	for {
		if err := p.round(ctx); err != nil {
			return err
		}
	}
}

func (p *pump) open(ctx context.Context) (err error) {
	o := &opening{p.forwarder.env, p.project, p.definition}
	if p.salt, err = o.secret("salt", p.definition.Salt); err != nil {
		return err
	}
	if p.target, err = p.forwarder.open(ctx, o); err != nil {
		return err
	}
	p.limits = p.target.Limits()
	return nil
}

// round sends what has come to the journal, if anything has.
func (p *pump) round(ctx context.Context) error {
	entries, err := p.gather(ctx)
	if err != nil {
		return err
	}
	after := p.feed.Position()
	if len(entries) == 0 {
		return p.rest(ctx, after)
	}
	group := groupOf(entries)
	if p.limits.Exact {
		p.Pending = &group
		if err := p.moveTo(ctx, after, p.save); err != nil {
			return err
		}
	}
	if err := p.finish(ctx, group); err != nil {
		return err
	}
	p.StoredAt = int64(entries[len(entries)-1].WrittenAt)
	return p.moveTo(ctx, after, p.saveNowAndThen)
}

// moveTo says that everything up to a position is sent, or planned.
func (p *pump) moveTo(ctx context.Context, to feed.Position, save func(context.Context) error) error {
	if err := p.at(to); err != nil {
		return err
	}
	return p.insist(ctx, func() error { return save(ctx) })
}

// rest is what a pump does when there is nothing to send.
func (p *pump) rest(ctx context.Context, at feed.Position) error {
	p.waiting(0)
	p.changed = p.changed || p.WaitingAt != 0
	p.WaitingAt = 0
	save := p.saveNowAndThen
	if p.until != 0 {
		p.Done, save = true, p.save
	}
	if p.changed || p.Done {
		if err := p.moveTo(ctx, at, save); err != nil {
			return err
		}
	}
	if p.Done {
		return errFinished
	}
	if !proc.Pause(ctx, p.forwarder.look) {
		return ctx.Err()
	}
	return nil
}

// leastGathered is how many events are worth a look at the journal, however small batches are.
const leastGathered = 2000

// gather are the next entries of the project: as many as make a batch, or those
// that there are once the first of them has waited long enough.
func (p *pump) gather(ctx context.Context) (entries []store.Batch, err error) {
	events, most, ready := 0, max(p.limits.Events, leastGathered), time.Now()
	for {
		var found []store.Batch
		err := p.insist(ctx, func() (err error) {
			found, err = p.feed.Next(ctx, most-events)
			return err
		})
		if err != nil {
			return nil, err
		}
		nothingNew, beyond := len(found) == 0, slices.ContainsFunc(found, p.isBeyond)
		found = slices.DeleteFunc(found, func(b store.Batch) bool { return b.Project != p.project || p.isBeyond(b) })
		if len(entries) == 0 && len(found) > 0 {
			ready = time.Now().Add(p.limits.Linger)
			p.WaitingAt = int64(found[0].WrittenAt)
		}
		entries = append(entries, found...)
		for i := range found {
			events += found[i].Stored
		}
		p.waiting(event.Time(p.WaitingAt))
		p.changed = p.changed || !nothingNew
		switch {
		case events >= most, beyond, nothingNew && (len(entries) == 0 || p.until != 0 || !time.Now().Before(ready)):
			return entries, nil
		case nothingNew && !proc.Pause(ctx, min(p.forwarder.look, time.Until(ready))):
			return nil, ctx.Err()
		}
	}
}

// isBeyond says whether an entry is after the range of a backfill.
func (p *pump) isBeyond(b store.Batch) bool { return p.until != 0 && b.WrittenAt > p.until }

// groupOf names entries by what they are, so that others never have the same name.
func groupOf(entries []store.Batch) destination.Group {
	g, all := destination.Group{}, sha256.New()
	for i := range entries {
		g.Batches = append(g.Batches, entries[i].ID)
		fmt.Fprintln(all, entries[i].ID)
	}
	g.ID = g.Batches[0] + "-" + hex.EncodeToString(all.Sum(nil)[:6])
	return g
}

// together is how many batches of the journal are read back at a time: each is
// a message of the broker and so no more than a megabyte.
const together = 50

// finish sends all events of a group, and writes letters for those that are refused.
func (p *pump) finish(ctx context.Context, g destination.Group) error {
	batch := Batch{ID: g.ID + "-0"}
	bytes, sent := 0, 0
	for ids := range slices.Chunk(g.Batches, together) {
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
	p.Pending, p.changed = nil, true
	return nil
}

// read makes items of the events of some batches that go to the destination.
// Those that were erased in the meantime are no more.
func (p *pump) read(ctx context.Context, ids []string) (items []*Item, err error) {
	leftOut := 0
	err = p.insist(ctx, func() error {
		items, leftOut = nil, 0
		return p.forwarder.store.EventsOfBatches(ctx, p.project, ids, func(e *event.Event) error {
			if !p.definition.Takes(e) {
				leftOut++
				return nil
			}
			items = append(items, p.item(*e))
			return nil
		})
	})
	p.LeftOut += int64(leftOut)
	p.leftOut.Add(float64(leftOut))
	return items, err
}

func (p *pump) item(e event.Event) *Item {
	i := &Item{Event: &e, eventID: e.EventID, batchID: e.BatchID}
	p.definition.Make(&e, p.salt)
	body, err := p.target.Encode(&e)
	if i.Body = body; err != nil {
		i.Refused(err.Error())
	}
	return i
}

// deliver sends a batch for as long as it takes. What the target will never
// take becomes letters.
func (p *pump) deliver(ctx context.Context, b Batch) error {
	if left := b.whatIsOpen(); len(left.Items) > 0 {
		if err := p.send(ctx, left); err != nil {
			return err
		}
		p.LastSentAt, p.changed = time.Now().UnixMilli(), true
	}
	refusals := 0
	for _, i := range b.Items {
		if i.fate == refused {
			refusals++
			if err := p.insist(ctx, func() error { return p.write(ctx, i) }); err != nil {
				return err
			}
		}
	}
	p.Sent += int64(len(b.Items) - refusals)
	p.Refused += int64(refusals)
	p.sent.Add(float64(len(b.Items) - refusals))
	p.refused.Add(float64(refusals))
	return nil
}

// send halves a batch that is refused as a whole, until the one event that is
// the reason stands alone.
func (p *pump) send(ctx context.Context, b Batch) error {
	var wrong error
	err := p.insist(ctx, func() error {
		err := p.try(ctx, b)
		switch kind := fault.KindOf(err); {
		case err == nil:
			return nil
		case kind == fault.Invalid, kind == fault.TooLarge:
			wrong = err
			return nil
		}
		b = b.whatIsOpen()
		return err
	})
	b = b.whatIsOpen()
	switch {
	case err != nil || wrong == nil || len(b.Items) == 0:
		return err
	case len(b.Items) == 1:
		b.Items[0].Refused(wrong.Error())
		return nil
	}
	for _, half := range b.halves() {
		if err := p.send(ctx, half); err != nil {
			return err
		}
	}
	return nil
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
	for _, i := range b.Items {
		if i.fate == unsettled {
			i.Taken()
		}
	}
	return nil
}

// write keeps a letter. It has the id of its event, so one is enough however
// often the event is sent.
func (p *pump) write(ctx context.Context, i *Item) error {
	data, err := json.Marshal(destination.Letter{
		EventID: i.eventID, BatchID: i.batchID, Destination: p.definition.ID, Reason: i.reason, At: time.Now().UnixMilli(),
	})
	if err != nil {
		return err
	}
	err = p.records.CreateRecord(ctx, store.Record{
		Kind: destination.LetterKind, Project: p.project, ID: p.definition.ID + "/" + i.eventID, Data: data,
	})
	if errors.Is(err, store.ErrConflict) {
		return nil
	}
	return err
}

// insist tries until it works, ctx ends, or another process has written the state.
func (p *pump) insist(ctx context.Context, try func() error) error {
	for {
		err := try()
		switch {
		case err == nil:
			p.recovered()
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, errLost):
			return err
		}
		if lost := p.failed(ctx, err); lost != nil {
			return lost
		}
		if !proc.Pause(ctx, p.waitAfter(err)) {
			return ctx.Err()
		}
	}
}

// longestWait is how long a server may have us wait.
const longestWait = time.Hour

func (p *pump) waitAfter(err error) time.Duration {
	wait := p.forwarder.retry.after(p.Failures)
	if e := (*fault.Error)(nil); errors.As(err, &e) {
		wait = max(wait, min(e.RetryAfter, longestWait))
	}
	return wait
}

// worthTelling is how many failures in a row a person is told of.
const worthTelling = 5

func (p *pump) failed(ctx context.Context, err error) error {
	p.Failures++
	p.LastError, p.LastErrorAt, p.changed = cut(err.Error()), time.Now().UnixMilli(), true
	p.errors.Inc()
	p.waiting(event.Time(p.WaitingAt))
	if p.Failures == worthTelling {
		p.log.Warn("a destination is away; it is tried again until it answers", zap.Error(err))
	}
	if err := p.saveNowAndThen(ctx); errors.Is(err, errLost) {
		return err
	}
	return nil
}

func (p *pump) recovered() {
	if p.Failures == 0 {
		return
	}
	if p.Failures >= worthTelling {
		p.log.Info("a destination is back", zap.Int("failures", p.Failures))
	}
	p.Failures, p.LastError, p.changed = 0, "", true
}

// keepAtStop keeps how far the job is, although ctx has ended.
func (p *pump) keepAtStop(ctx context.Context) {
	if !p.changed {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if err := p.save(ctx); err != nil && !errors.Is(err, errLost) {
		p.log.Warn("how far a destination is was not kept; some events are sent again", zap.Error(err))
	}
}
