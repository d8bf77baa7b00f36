package forward

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/maidian/maidian/pkg/destination"
	"github.com/maidian/maidian/pkg/store"
	"github.com/maidian/maidian/services/consumer/internal/feed"
)

// errLost means that another process has written the state: this one no longer
// has the lease, or the destination is gone.
var errLost = errors.New("another process forwards now")

// errFinished ends a backfill.
var errFinished = errors.New("finished")

// kept is a state and the record that it is kept in.
type kept struct {
	destination.State
	records Store
	record  store.Record
	savedAt time.Time
	changed bool
}

// load reads the state of a job, or makes one that begins where the job does.
func load(ctx context.Context, records Store, j *job) (*kept, error) {
	k := &kept{records: records}
	r, err := records.Record(ctx, destination.StateKind, j.project, j.id)
	if errors.Is(err, store.ErrNotFound) {
		r = &store.Record{Kind: destination.StateKind, Project: j.project, ID: j.id}
		if err = records.CreateRecord(ctx, *r); errors.Is(err, store.ErrConflict) {
			return nil, errLost
		}
	}
	if err != nil {
		return nil, err
	}
	k.record = *r
	if len(r.Data) > 0 {
		if err := json.Unmarshal(r.Data, &k.State); err != nil {
			return nil, fmt.Errorf("state of destination %s: %w", j.id, err)
		}
	}
	if k.Start == j.start.ID && k.Position != nil {
		return k, nil
	}
	k.State = destination.State{Start: j.start.ID, Sent: k.Sent, LeftOut: k.LeftOut, Refused: k.Refused}
	return k, k.at(feed.At(j.start.At))
}

// position is where the feed goes on.
func (k *kept) position() (p feed.Position, err error) {
	return p, json.Unmarshal(k.Position, &p)
}

func (k *kept) at(p feed.Position) (err error) {
	k.changed = true
	k.Position, err = json.Marshal(p)
	return err
}

// save writes the state. Who finds that somebody else has written it has lost the lease.
func (k *kept) save(ctx context.Context) (err error) {
	if k.record.Data, err = json.Marshal(k.State); err != nil {
		return err
	}
	err = k.records.UpdateRecord(ctx, k.record)
	if errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrNotFound) {
		return errLost
	}
	if err != nil {
		return fmt.Errorf("keep the state: %w", err)
	}
	k.record.Revision++
	k.savedAt, k.changed = time.Now(), false
	return nil
}

// saveEvery is how often a state is written while nothing has to be kept at once.
const saveEvery = time.Second

// saveNowAndThen writes what has changed, at most once a second.
func (k *kept) saveNowAndThen(ctx context.Context) error {
	if !k.changed || time.Since(k.savedAt) < saveEvery {
		return nil
	}
	return k.save(ctx)
}
