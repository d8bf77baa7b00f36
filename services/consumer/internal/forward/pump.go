package forward

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/maidian/maidian/pkg/destination"
	"github.com/maidian/maidian/pkg/proc"
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
	letters   string // of a resend: the key behind which the next letters are
	refusal   string // why the last of the refused events was
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
	p := &pump{kept: k, job: j, mine: f.metrics.of(j), forwarder: f, log: log}
	if err := p.goOn(); err != nil {
		return err
	}
	defer f.metrics.forget(j)
	defer p.keepAtStop(ctx)
	counting, stop := context.WithCancel(ctx)
	var watch sync.WaitGroup
	defer watch.Wait()
	defer stop()
	watch.Go(func() { p.watch(counting) })
	if p.Paused != nil && p.Paused.Revision == j.revision {
		return p.pause(ctx)
	}
	err = p.run(ctx)
	if errors.Is(err, errTooMany) {
		return p.pause(ctx)
	}
	return err
}

// goOn takes up the journal, or the letters, where the state says.
func (p *pump) goOn() error {
	if p.resend != nil {
		return p.placed(&p.letters)
	}
	var from feed.Position
	if err := p.placed(&from); err != nil {
		return err
	}
	p.feed = feed.New(p.forwarder.store, from, p.forwarder.overlap)
	if p.until == 0 {
		p.backlog = newBacklog(p.forwarder, p.project, from, &p.State)
	}
	return nil
}

// run opens the target and sends group by group.
func (p *pump) run(ctx context.Context) error {
	if p.Paused != nil { // it has been changed since
		p.Paused, p.Refusals, p.changed = nil, 0, true
	}
	p.paused.Set(0)
	defer func() {
		if p.target != nil {
			_ = p.target.Close()
		}
	}()
	if err := p.insist(ctx, func() error { return p.open(ctx) }); err != nil {
		return err
	}
	if p.Pending != nil {
		if err := p.finish(ctx, p.Pending); err != nil {
			return err
		}
	}
	for {
		if err := p.round(ctx); err != nil {
			return err
		}
	}
}

// open opens the target, anew if there is one: its credentials may be others now.
func (p *pump) open(ctx context.Context) error {
	o := &opening{p.forwarder.env, p.project, p.definition}
	salt, err := o.secret("salt", p.definition.Salt)
	if err != nil {
		return err
	}
	target, err := p.forwarder.open(ctx, o)
	if err != nil {
		return err
	}
	if p.target != nil {
		_ = p.target.Close()
	}
	p.target, p.limits, p.salt = target, target.Limits(), salt
	return nil
}

// round sends what has come to the journal, if anything has.
func (p *pump) round(ctx context.Context) error {
	group, err := p.gather(ctx)
	if err != nil {
		return err
	}
	p.place = p.placeNow()
	if group == nil {
		return p.rest(ctx)
	}
	p.Pending, p.changed = group, true
	save := p.saveNowAndThen
	if p.limits.Exact || p.limits.Once {
		save = p.save
	}
	if err := p.insist(ctx, func() error { return save(ctx) }); err != nil {
		return err
	}
	if err := p.finish(ctx, group); err != nil {
		return err
	}
	return p.insist(ctx, func() error { return p.saveNowAndThen(ctx) })
}

// placeNow is behind all that was gathered.
func (p *pump) placeNow() any {
	if p.resend != nil {
		return p.letters
	}
	return p.feed.Position()
}

// rest is what a pump does when there is nothing to send.
func (p *pump) rest(ctx context.Context) error {
	if p.feed == nil || p.until != 0 {
		p.Done = true
		if err := p.insist(ctx, func() error { return p.save(ctx) }); err != nil {
			return err
		}
		return errFinished
	}
	position := p.place.(feed.Position)
	p.backlog.none(position)
	p.StoredAt = max(p.StoredAt, int64(position.Newest))
	p.changed = p.changed || p.WaitingAt != 0 || p.Backlog != (destination.Backlog{})
	if err := p.insist(ctx, func() error { return p.saveNowAndThen(ctx) }); err != nil {
		return err
	}
	if !proc.Pause(ctx, p.forwarder.look) {
		return ctx.Err()
	}
	return nil
}

// pause sends no more until the destination is changed, which ends ctx.
func (p *pump) pause(ctx context.Context) error {
	p.paused.Set(1)
	if p.Paused == nil {
		reason := fmt.Sprintf("of the last events, %d more were refused than taken, the last with: %s", p.Refusals, p.refusal)
		p.Paused = &destination.Pause{Revision: p.revision, Reason: reason, At: time.Now().UnixMilli()}
		p.changed = true
		p.log.Warn("a destination is paused: it refuses too much; change or resume it", zap.String("reason", reason))
	}
	for {
		if err := p.insist(ctx, func() error { return p.saveNowAndThen(ctx) }); err != nil {
			return err
		}
		if !proc.Pause(ctx, p.forwarder.look) {
			return ctx.Err()
		}
	}
}

// watch counts what waits, and tells it, until ctx ends.
func (p *pump) watch(ctx context.Context) {
	for p.backlog != nil && proc.Pause(ctx, countEvery*p.forwarder.look) {
		if err := p.backlog.count(ctx); err != nil && ctx.Err() == nil {
			p.log.Warn("cannot count what waits for a destination", zap.Error(err))
		}
		waiting, since := p.backlog.now()
		p.tell(waiting, since)
	}
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
