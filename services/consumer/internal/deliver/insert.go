package deliver

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	"go.uber.org/zap"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/fault"
	"github.com/maidian/maidian/pkg/store"
	"github.com/maidian/maidian/pkg/trace"
)

// patience is how often an insert that fails for no known reason is tried
// before the events are taken apart to find the one that it fails on.
const patience = 3

// insertAtOnce inserts all events of a group together with their journal,
// where the store can: that saves transactions. It is for groups without
// trouble, in which the journal waits for nothing else. Where it does not
// succeed nothing is known, and all goes on step by step.
func (d *Deliverer) insertAtOnce(ctx context.Context, g *group) (done bool, err error) {
	if d.atOnce == nil || g.recorded || len(g.events) == 0 || g.hasLetters() {
		return false, nil
	}
	outcomes, err := d.tryInsert(ctx, g.events, func(ctx context.Context, events []event.Event) ([]store.Outcome, error) {
		return d.atOnce.InsertAndRecord(ctx, events, func(became []store.Outcome) []store.Batch { return written(g.journalIf(became)) })
	})
	if err != nil {
		return false, ctx.Err()
	}
	d.away.over(d.log)
	note(g.fates, outcomes)
	g.recorded = true
	return true, nil
}

// insertSome gives each of the events that has no fate yet its fate. It returns an error only
// when ctx has ended.
func (d *Deliverer) insertSome(ctx context.Context, events []event.Event, fates []fate, tries int) error {
	if decided(fates) {
		return d.insertUndecided(ctx, events, fates, tries)
	}
	for try := 1; ; try++ {
		outcomes, err := d.tryInsert(ctx, events, d.store.InsertEvents)
		switch d.judge(ctx, err, try >= tries) {
		case fine:
			d.away.over(d.log)
			note(fates, outcomes)
			return nil
		case never:
			return d.halve(ctx, events, fates, fate{dead, reason(err)})
		case unclear:
			return d.halve(ctx, events, fates, fate{end: stuck})
		}
		if err := d.waitFor(ctx, "insert", err, try); err != nil {
			return err
		}
	}
}

// halve looks for the events that an insert fails on: in a thousand events one
// bad one costs twenty inserts more, and the others are stored.
func (d *Deliverer) halve(ctx context.Context, events []event.Event, fates []fate, alone fate) error {
	if len(events) == 1 {
		fates[0] = alone
		return nil
	}
	half := len(events) / 2
	if err := d.insertSome(ctx, events[:half], fates[:half], 1); err != nil {
		return err
	}
	return d.insertSome(ctx, events[half:], fates[half:], 1)
}

// decided says whether any event has its fate before the insert: a rare thing.
func decided(fates []fate) bool {
	for i := range fates {
		if fates[i].end != pending {
			return true
		}
	}
	return false
}

// insertUndecided is insertSome without the events whose fate is known.
func (d *Deliverer) insertUndecided(ctx context.Context, events []event.Event, fates []fate, tries int) error {
	var at []int
	var rest []event.Event
	for i := range fates {
		if fates[i].end == pending {
			at, rest = append(at, i), append(rest, events[i])
		}
	}
	if len(rest) == 0 {
		return nil
	}
	became := make([]fate, len(rest))
	if err := d.insertSome(ctx, rest, became, tries); err != nil {
		return err
	}
	for i, f := range became {
		fates[at[i]] = f
	}
	return nil
}

type insert func(context.Context, []event.Event) ([]store.Outcome, error)

// tryInsert is one insert in which a panic is an error like any other.
func (d *Deliverer) tryInsert(ctx context.Context, events []event.Event, insert insert) (outcomes []store.Outcome, err error) {
	defer func() {
		if p := recover(); p != nil {
			d.log.Error("panic while storing events", zap.Int("events", len(events)), zap.Any("panic", p), zap.ByteString("stack", debug.Stack()))
			err = &panicked{p}
		}
	}()
	d.metrics.batch.Observe(float64(len(events)))
	err = d.timed(ctx, "insert", func(ctx context.Context) (err error) {
		trace.Of(ctx).Count("maidian.events", len(events))
		outcomes, err = insert(ctx, events)
		return err
	})
	if err == nil && len(outcomes) != len(events) {
		err = fmt.Errorf("the store answered %d outcomes for %d events", len(outcomes), len(events))
	}
	return outcomes, err
}

// panicked is a panic of the code that an event went through.
type panicked struct{ value any }

func (p *panicked) Error() string { return fmt.Sprintf("panic while storing: %v", p.value) }

// verdict is the decision about a failed insert, the one place at this edge
// where the kind of a failure becomes one.
type verdict uint8

const (
	fine    verdict = iota
	wait            // the store is away: hold everything and try again
	never           // at least one event can never be stored
	unclear         // the store is there and fails all the same, again and again
)

func (d *Deliverer) judge(ctx context.Context, err error, impatient bool) verdict {
	var p *panicked
	switch {
	case err == nil:
		return fine
	case ctx.Err() != nil:
		return wait // which ends at once
	case fault.KindOf(err) == fault.Invalid, errors.As(err, &p):
		return never
	case fault.KindOf(err) == fault.Unavailable, !impatient:
		return wait
	case d.store.Ping(ctx) != nil:
		return wait
	}
	return unclear
}

func reason(err error) string {
	if p := (*panicked)(nil); errors.As(err, &p) {
		return p.Error()
	}
	return "the store refuses it: " + err.Error()
}

func note(fates []fate, outcomes []store.Outcome) {
	ends := [...]end{store.Stored: stored, store.Own: own, store.Duplicate: duplicate}
	for i, o := range outcomes {
		fates[i] = fate{end: ends[o]}
	}
}
