package store

import (
	"context"

	"github.com/maidian/maidian/pkg/event"
)

// States of a job.
const (
	JobWaiting = "waiting"
	JobRunning = "running"
	JobDone    = "done"
	JobFailed  = "failed"
)

// Job is work on a project that goes on after the request that asked for it,
// and after the process that began it.
type Job struct {
	ID         string
	Project    string
	Kind       string // of work; who does it knows what Task means
	State      string
	Counts     map[string]int // what was done so far, by collection
	Error      string         // of the last try, or what ended it; empty when all is well
	CreatedAt  event.Time
	StartedAt  event.Time // zero while it waits
	FinishedAt event.Time // zero until it is done or failed
	Task       []byte     // what is to be done and how far it is; nil when it is finished

	Holder    string     // the process that works on it
	HeldUntil event.Time // until when others leave it alone
	Revision  int64      // raised by each UpdateJob
}

// Jobs are few and small.
type Jobs interface {
	// CreateJob fails with ErrConflict when the id is taken.
	CreateJob(ctx context.Context, j Job) error
	// Job is one job of a project, or ErrNotFound.
	Job(ctx context.Context, project, id string) (*Job, error)
	// UnfinishedJobs are those of all projects that have no FinishedAt, oldest first.
	UnfinishedJobs(ctx context.Context) ([]Job, error)
	// UpdateJob replaces the job whose stored Revision equals j's and raises it
	// by one; ErrConflict when somebody changed it first, ErrNotFound when there
	// is none. Once a finished job is stored, a store of this machine keeps
	// nothing of what was deleted or erased before it, in no corner of its files.
	UpdateJob(ctx context.Context, j Job) error
}
