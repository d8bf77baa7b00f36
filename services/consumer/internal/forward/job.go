package forward

import (
	"encoding/json"
	"fmt"

	"github.com/maidian/maidian/pkg/destination"
	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/store"
)

// job is something to be forwarded: what is new to a destination, or a range of
// the journal once more.
type job struct {
	project    string
	id         string // of its lease and its state
	revision   int64  // of the destination's record
	definition *destination.Definition
	start      start
	until      event.Time // the last moment of a backfill; 0: there is no end
}

type start struct {
	ID string
	At event.Time
}

// jobsOf are those of a destination's record: none while it is not enabled.
func jobsOf(r *store.Record) ([]*job, error) {
	var wanted destination.Record
	err := json.Unmarshal(r.Data, &wanted)
	if err != nil {
		return nil, fmt.Errorf("destination %s: %w", r.Key(), err)
	}
	d, err := destination.Read(wanted.Definition)
	if err != nil {
		return nil, fmt.Errorf("destination %s: %w", r.Key(), err)
	}
	if !d.Enabled {
		return nil, nil
	}
	live := &job{r.Project, r.ID, r.Revision, d, start{wanted.Start.ID, event.Time(wanted.Start.At)}, 0}
	jobs := []*job{live}
	for _, b := range wanted.Backfills {
		jobs = append(jobs, &job{r.Project, r.ID + "/" + b.ID, r.Revision, d, start{b.ID, event.Time(b.From)}, event.Time(b.To)})
	}
	return jobs, nil
}

// key is the same as long as nothing about the job has changed.
func (j *job) key() string { return fmt.Sprintf("%s/%s@%d", j.project, j.id, j.revision) }
