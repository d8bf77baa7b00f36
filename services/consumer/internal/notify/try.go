package notify

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/fault"
	"github.com/maidian/maidian/pkg/notice"
	"github.com/maidian/maidian/pkg/proc"
	"github.com/maidian/maidian/pkg/store"
)

// outcome is what becomes of a notice after an attempt.
type outcome struct {
	state string
	due   event.Time
	said  string // why it failed, or what did not work though it was delivered
}

// givenUp is the outcome of one whose target has been left alone for too long.
func (n *Notifier) givenUp(told *notice.Notice) outcome {
	return outcome{notice.GivenUp, n.in(n.times.Past), cmp.Or(told.LastError, "its channel kept failing until it was too old to be told")}
}

// try is one attempt. The notice is taken first by moving its due moment behind
// the attempt's end: of several processes one succeeds in that, and when this
// one is killed the notice is due again.
func (n *Notifier) try(ctx context.Context, t *target, r store.Record, told *notice.Notice) {
	told.Attempts++
	told.LastAttempt = n.moment()
	taken, err := told.Record(n.in(n.times.Taken), r.Revision)
	if err == nil {
		err = n.store.UpdateRecord(ctx, taken)
	}
	if err != nil {
		if unlessChanged(err) != nil {
			n.log.Warn("a notice cannot be taken", zap.String("notice", told.ID), zap.Error(err))
		}
		return
	}
	taken.Revision++
	c, err := n.channel(ctx, told)
	remark := ""
	if err == nil {
		t.is(n.paceOf(c.Type))
		within, cancel := context.WithTimeout(ctx, n.times.Try)
		remark, err = n.sender.Send(within, c, told)
		cancel()
		t.heard(err, retryAfter(err), n.now())
		n.metrics.heard(c.Type, err, n.now().Sub(told.CreatedAt.Std()))
	}
	n.settle(ctx, taken, told, n.outcome(told, remark, err))
}

// channel is the notice's as it is defined now.
func (n *Notifier) channel(ctx context.Context, told *notice.Notice) (*notice.Channel, error) {
	r, err := n.store.Record(ctx, notice.ChannelKind, told.Project, told.Channel)
	if errors.Is(err, store.ErrNotFound) {
		return nil, fault.New(fault.Invalid, "unknown_channel", "project %q has no channel %q", told.Project, told.Channel)
	}
	if err != nil {
		return nil, fmt.Errorf("read channel: %w", err)
	}
	var c notice.Channel
	if err := json.Unmarshal(r.Data, &c); err != nil {
		return nil, fmt.Errorf("read channel: %w", err)
	}
	return &c, nil
}

func retryAfter(err error) time.Duration {
	if said := (*fault.Error)(nil); errors.As(err, &said) {
		return said.RetryAfter
	}
	return 0
}

// outcome decides whether it is tried again. One that somebody tries a channel
// with is tried once: he waits for the answer.
func (n *Notifier) outcome(told *notice.Notice, remark string, err error) outcome {
	if err == nil {
		return outcome{notice.Delivered, n.in(n.times.Keep), remark}
	}
	last := told.CreatedAt.Std().Add(n.times.Patient)
	if told.Test || fault.KindOf(err) == fault.Invalid || !n.now().Before(last) {
		return outcome{notice.GivenUp, n.in(n.times.Past), err.Error()}
	}
	wait := max(retryAfter(err), jitter(doubled(n.times.First, told.Attempts-1, n.times.Longest)))
	next := n.now().Add(wait)
	if next.After(last) {
		next = last
	}
	return outcome{notice.Waiting, event.TimeOf(next), err.Error()}
}

// settle writes the outcome. If the store cannot take it now, the notice is due
// again when its time is over, and people may be told twice.
func (n *Notifier) settle(ctx context.Context, r store.Record, told *notice.Notice, o outcome) {
	told.State, told.LastError = o.state, o.said
	if o.state == notice.Delivered {
		told.DeliveredAt = n.moment()
	}
	if o.state == notice.GivenUp {
		n.metrics.count(notice.GivenUp)
		n.log.Warn("a notice is given up", zap.String("project", told.Project), zap.String("notice", told.ID), zap.Int("attempts", told.Attempts), zap.String("error", o.said))
	}
	settled, err := told.Record(o.due, r.Revision)
	for wait := 100 * time.Millisecond; err == nil; wait *= 2 {
		wrong := unlessChanged(n.store.UpdateRecord(ctx, settled))
		if wrong == nil {
			return
		}
		if !proc.Pause(ctx, wait) || wait > n.times.Grace {
			err = wrong
		}
	}
	n.log.Warn("what became of a notice is not written: it is tried again", zap.String("notice", told.ID), zap.Error(err))
}
