package forward

import (
	"encoding/json"
	"fmt"

	"github.com/maidian/maidian/pkg/destination"
	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/store"
	"github.com/maidian/maidian/services/consumer/internal/feed"
)

// job is something to be forwarded: what is new to a destination, or a range of
// the journal once more.
type job struct {
	project    string
	id         string // of its lease and its state
	revision   int64  // of the destination's record
	definition *destination.Definition
	start      startOf
	until      event.Time          // the last moment of a backfill; 0: there is no end
	resend     *destination.Resend // nil: what is sent is in the journal
}

type startOf struct {
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
	of := func(id, start string, at int64) *job {
		return &job{project: r.Project, id: id, revision: r.Revision, definition: d, start: startOf{start, event.Time(at)}}
	}
	jobs := []*job{of(r.ID, wanted.Start.ID, wanted.Start.At)}
	for _, b := range wanted.Backfills {
		again := of(r.ID+"/"+b.ID, b.ID, b.From)
		again.until = event.Time(b.To)
		jobs = append(jobs, again)
	}
	for i := range wanted.Resends {
		once := of(r.ID+"/"+wanted.Resends[i].ID, wanted.Resends[i].ID, 0)
		once.resend = &wanted.Resends[i]
		jobs = append(jobs, once)
	}
	return jobs, nil
}

// begin is where a job stands that has not begun.
func (j *job) begin() any {
	if j.resend != nil {
		return ""
	}
	return feed.At(j.start.At)
}

// key is the same as long as nothing about the job has changed.
func (j *job) key() string { return fmt.Sprintf("%s/%s@%d", j.project, j.id, j.revision) }
