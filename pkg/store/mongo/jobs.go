package mongo

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/store"
)

// job is a job as the collection has it.
type job struct {
	Key        string         `bson:"_id"`
	ID         string         `bson:"job_id"`
	Project    string         `bson:"project"`
	Kind       string         `bson:"kind"`
	State      string         `bson:"state"`
	Counts     map[string]int `bson:"counts"`
	Error      string         `bson:"error"`
	CreatedAt  bson.DateTime  `bson:"created_at"`
	StartedAt  bson.DateTime  `bson:"started_at"`
	FinishedAt bson.DateTime  `bson:"finished_at"`
	Task       []byte         `bson:"task,omitempty"`
	Holder     string         `bson:"holder"`
	HeldUntil  bson.DateTime  `bson:"held_until"`
	Revision   int64          `bson:"revision"`
}

func jobOf(j *store.Job) job {
	return job{
		Key: key(j.Project, j.ID), ID: j.ID, Project: j.Project, Kind: j.Kind, State: j.State, Counts: j.Counts, Error: j.Error,
		CreatedAt: bson.DateTime(j.CreatedAt), StartedAt: bson.DateTime(j.StartedAt), FinishedAt: bson.DateTime(j.FinishedAt),
		Task: j.Task, Holder: j.Holder, HeldUntil: bson.DateTime(j.HeldUntil), Revision: j.Revision,
	}
}

func (j *job) job() store.Job {
	return store.Job{
		ID: j.ID, Project: j.Project, Kind: j.Kind, State: j.State, Counts: j.Counts, Error: j.Error,
		CreatedAt: event.Time(j.CreatedAt), StartedAt: event.Time(j.StartedAt), FinishedAt: event.Time(j.FinishedAt),
		Task: j.Task, Holder: j.Holder, HeldUntil: event.Time(j.HeldUntil), Revision: j.Revision,
	}
}

// CreateJob is described by store.Jobs.
func (s *Store) CreateJob(ctx context.Context, j store.Job) error {
	_, err := s.jobs.InsertOne(ctx, jobOf(&j))
	if mongo.IsDuplicateKeyError(err) {
		return store.ErrConflict
	}
	return kind(ctx, "create job "+j.ID, err)
}

// Job is described by store.Jobs.
func (s *Store) Job(ctx context.Context, project, id string) (*store.Job, error) {
	var doc job
	err := s.jobs.FindOne(ctx, bson.D{{Key: "_id", Value: key(project, id)}}).Decode(&doc)
	if errors.Is(err, mongo.ErrNoDocuments) {
		return nil, store.ErrNotFound
	}
	if err != nil {
		return nil, kind(ctx, "read job "+id, err)
	}
	j := doc.job()
	return &j, nil
}

// UnfinishedJobs is described by store.Jobs.
func (s *Store) UnfinishedJobs(ctx context.Context) ([]store.Job, error) {
	jobs, err := list(ctx, s.jobs, bson.D{{Key: "finished_at", Value: bson.DateTime(0)}}, bson.D{{Key: "created_at", Value: 1}}, 0, (*job).job)
	slices.SortFunc(jobs, func(a, b store.Job) int {
		return cmp.Or(cmp.Compare(a.CreatedAt, b.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
	return jobs, kind(ctx, "read unfinished jobs", err)
}

// UpdateJob is described by store.Jobs.
func (s *Store) UpdateJob(ctx context.Context, j store.Job) error {
	doc := jobOf(&j)
	doc.Revision++
	return replaceRevision(ctx, s.jobs, "update job "+j.ID, doc.Key, j.Revision, doc)
}

// replaceRevision replaces a document if it still has this revision.
func replaceRevision(ctx context.Context, in *mongo.Collection, doing, id string, revision int64, doc any) error {
	result, err := in.ReplaceOne(ctx, ofRevision(id, revision), doc)
	if err != nil || result.MatchedCount == 1 {
		return kind(ctx, doing, err)
	}
	return absent(ctx, in, doing, id)
}

func ofRevision(id string, revision int64) bson.D {
	return bson.D{{Key: "_id", Value: id}, {Key: "revision", Value: revision}}
}

// absent says why there is no document of the revision that was looked for.
func absent(ctx context.Context, in *mongo.Collection, doing, id string) error {
	err := in.FindOne(ctx, bson.D{{Key: "_id", Value: id}}).Err()
	switch {
	case errors.Is(err, mongo.ErrNoDocuments):
		return store.ErrNotFound
	case err != nil:
		return kind(ctx, doing, err)
	}
	return store.ErrConflict
}
