package forward

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/maidian/maidian/pkg/destination"
	"github.com/maidian/maidian/pkg/store"
)

// errLost means that another process has written the state: this one no longer
// has the lease, or the destination is gone.
var errLost = errors.New("another process forwards now")

// errFinished ends a backfill.
var errFinished = errors.New("finished")

// kept is a state and the record that it is kept in.
type kept struct {
	destination.State
	place   any      // what Position says, as JSON, when the state is written
	backlog *backlog // what waits then; nil for what is not in the journal
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
	if k.Start != j.start.ID || k.Position == nil {
		k.State = destination.State{Start: j.start.ID, Sent: k.Sent, LeftOut: k.LeftOut, Refused: k.Refused}
		k.Position, err = json.Marshal(j.begin())
		k.changed = true
	}
	k.place = k.Position
	return k, err
}

// placed reads where the job stands.
func (k *kept) placed(into any) error { return json.Unmarshal(k.Position, into) }

// save writes the state. Who finds that somebody else has written it has lost the lease.
func (k *kept) save(ctx context.Context) (err error) {
	if k.Position, err = json.Marshal(k.place); err != nil {
		return err
	}
	if k.backlog != nil {
		waiting, since := k.backlog.now()
		k.Backlog, k.WaitingAt = waiting, int64(since)
	}
	k.SavedAt = time.Now().UnixMilli()
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

// saveEvery is how often a state is written that has changed, and saveAnyway one
// that has not, so that people see that somebody is at it.
const (
	saveEvery  = time.Second
	saveAnyway = 10 * time.Second
	saveBytes  = 256 << 10 // a second: larger states are written less often
)

// saveNowAndThen writes the state when it is time for it, unless it must be kept at once.
func (k *kept) saveNowAndThen(ctx context.Context) error {
	every := saveAnyway
	if k.changed {
		every = saveEvery * time.Duration(1+len(k.record.Data)/saveBytes)
	}
	if time.Since(k.savedAt) < every {
		return nil
	}
	return k.save(ctx)
}
