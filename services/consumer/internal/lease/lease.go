// Package lease lets one of several processes at a time do a piece of work. A
// lease is a record of the store that its holder renews; others take it when it
// has not changed for its whole time by their own clocks, however these differ.
// Who holds it anew gets a higher term, and what a holder writes is guarded by
// revisions besides: one that was held up and does not know that its time is
// over changes nothing.
package lease

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/maidian/maidian/pkg/proc"
	"github.com/maidian/maidian/pkg/store"
)

// Records is where leases are kept.
type Records interface {
	Record(ctx context.Context, kind, project, id string) (*store.Record, error)
	CreateRecord(ctx context.Context, r store.Record) error
	UpdateRecord(ctx context.Context, r store.Record) error
}

// Kind of the records that leases are.
const Kind = "lease"

// DefaultFor is how long a lease is held without being renewed.
const DefaultFor = 10 * time.Second

// state is what the record says.
type state struct {
	Holder string `json:"holder"` // empty: given back
	Term   int64  `json:"term"`   // raised whenever the holder changes
}

// Keeper takes leases for one process.
type Keeper struct {
	records Records
	holder  string // unique among all processes there ever are
	hold    time.Duration
	log     *zap.Logger
	now     func() time.Time
}

// NewKeeper takes leases as holder, each for a time that it renews.
func NewKeeper(records Records, holder string, hold time.Duration, log *zap.Logger) *Keeper {
	return &Keeper{records: records, holder: holder, hold: hold, log: log, now: time.Now}
}

// Do waits until the lease of that name is this process's, and calls work with
// the term. Work's context ends when the lease is lost or ctx ends; then work
// returns, and Do tries for the lease again until ctx ends. An error of work
// other than that ends Do, too.
func (k *Keeper) Do(ctx context.Context, project, name string, work func(ctx context.Context, term int64) error) error {
	var seen sighting
	for ctx.Err() == nil {
		held, err := k.take(ctx, project, name, &seen)
		switch {
		case err != nil:
			k.log.Warn("cannot ask for a lease", zap.String("lease", name), zap.Error(err))
		case held != nil:
			if err := k.hand(ctx, held, work); err != nil {
				return err
			}
		}
		proc.Pause(ctx, k.hold/4)
	}
	return nil
}

// sighting is since when somebody else's lease has been as it is.
type sighting struct {
	revision int64
	since    time.Time
}

// held is a lease as this process last wrote it.
type held struct {
	record store.Record
	state  state
}

// take is nil when somebody else holds the lease.
func (k *Keeper) take(ctx context.Context, project, name string, seen *sighting) (*held, error) {
	r, err := k.records.Record(ctx, Kind, project, name)
	if errors.Is(err, store.ErrNotFound) {
		r = &store.Record{Kind: Kind, Project: project, ID: name}
		err = k.records.CreateRecord(ctx, *r)
		if errors.Is(err, store.ErrConflict) {
			return nil, nil
		}
	}
	if err != nil {
		return nil, err
	}
	h := &held{record: *r}
	if len(r.Data) > 0 {
		if err := json.Unmarshal(r.Data, &h.state); err != nil {
			return nil, fmt.Errorf("lease %s: %w", r.Key(), err)
		}
	}
	if seen.since.IsZero() || seen.revision != r.Revision {
		*seen = sighting{r.Revision, k.now()}
	}
	if h.state.Holder != "" && k.now().Sub(seen.since) < k.hold {
		return nil, nil
	}
	h.state = state{k.holder, h.state.Term + 1}
	return k.write(ctx, h)
}

// write renews the lease; nil when somebody else has taken it.
func (k *Keeper) write(ctx context.Context, h *held) (*held, error) {
	data, err := json.Marshal(h.state)
	if err != nil {
		return nil, err
	}
	h.record.Data = data
	err = k.records.UpdateRecord(ctx, h.record)
	if errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	h.record.Revision++
	return h, nil
}

// hand lets work have the lease, renews it meanwhile, and gives it back.
func (k *Keeper) hand(ctx context.Context, h *held, work func(ctx context.Context, term int64) error) error {
	working, lose := context.WithCancel(ctx)
	term := h.state.Term
	var renewing sync.WaitGroup
	renewing.Go(func() { k.renew(working, h, lose) })
	err := work(working, term)
	lost := working.Err() != nil && ctx.Err() == nil
	lose()
	renewing.Wait()
	if !lost {
		k.giveBack(ctx, h)
	}
	if lost || ctx.Err() != nil {
		return nil
	}
	return err
}

// renew goes on until ctx ends or the lease is lost.
func (k *Keeper) renew(ctx context.Context, h *held, lose func()) {
	defer lose()
	sure := k.now().Add(k.hold / 2) // nobody else takes it before
	for proc.Pause(ctx, k.hold/4) {
		asked := k.now()
		within, cancel := context.WithDeadline(ctx, sure)
		still, err := k.write(within, h)
		cancel()
		switch {
		case err == nil && still == nil:
			k.log.Warn("somebody else has taken a lease", zap.String("lease", h.record.ID))
			return
		case err == nil:
			sure = asked.Add(k.hold)
		case !k.now().Before(sure):
			k.log.Warn("a lease could not be renewed in time", zap.String("lease", h.record.ID), zap.Error(err))
			return
		}
	}
}

// giveBack lets others have the lease at once. It may fail: then it runs out.
func (k *Keeper) giveBack(ctx context.Context, h *held) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	h.state.Holder = ""
	if _, err := k.write(ctx, h); err != nil {
		k.log.Warn("a lease was not given back; others get it when it has run out", zap.String("lease", h.record.ID), zap.Error(err))
	}
}
