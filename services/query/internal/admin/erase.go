package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/fault"
	"github.com/maidian/maidian/pkg/store"
	"github.com/maidian/maidian/services/query/internal/erase"
)

// Eraser removes people for good, after the request that asked for it.
type Eraser interface {
	Ask(ctx context.Context, project string, who erase.Subject) (*store.Job, error)
	Job(ctx context.Context, project, id string) (*store.Job, error)
}

// Person is who is to be erased, by one of the two.
type Person struct {
	UserID      json.RawMessage `json:"user_id"` // a string, or an integer as events may have it
	AnonymousID *string         `json:"anonymous_id"`
}

// Job is a job as it is shown. Whom it is about is not: the answer would be a trace.
type Job struct {
	ID         string         `json:"job"`
	Project    string         `json:"project"`
	Kind       string         `json:"kind"`
	State      string         `json:"state"`
	Counts     map[string]int `json:"counts"`
	CreatedAt  event.Time     `json:"created_at"`
	StartedAt  event.Time     `json:"started_at"`
	FinishedAt event.Time     `json:"finished_at"`
	Error      *string        `json:"error"`
}

// Erase has everything about a person erased from the project, in a job.
func (a *Admin) Erase(ctx context.Context, project string, p Person) (*Job, error) {
	who, err := p.subject()
	if err != nil {
		return nil, err
	}
	if _, err := a.find(ctx, project); err != nil {
		return nil, err
	}
	job, err := a.eraser.Ask(ctx, project, who)
	if err != nil {
		return nil, fmt.Errorf("erase: %w", err)
	}
	return showJob(job), nil
}

// Job is one job of a project.
func (a *Admin) Job(ctx context.Context, project, id string) (*Job, error) {
	if _, err := a.find(ctx, project); err != nil {
		return nil, err
	}
	job, err := a.eraser.Job(ctx, project, id)
	if errors.Is(err, store.ErrNotFound) {
		return nil, fault.New(fault.NotFound, "unknown_job", "project %q has no job %q", project, id)
	}
	if err != nil {
		return nil, fmt.Errorf("read job: %w", err)
	}
	return showJob(job), nil
}

func showJob(j *store.Job) *Job {
	shown := &Job{
		ID: j.ID, Project: j.Project, Kind: j.Kind, State: j.State, Counts: j.Counts,
		CreatedAt: j.CreatedAt, StartedAt: j.StartedAt, FinishedAt: j.FinishedAt,
	}
	if j.Error != "" {
		shown.Error = &j.Error
	}
	return shown
}

func (p *Person) subject() (who erase.Subject, err error) {
	named := p.UserID != nil && string(p.UserID) != "null"
	switch {
	case named == (p.AnonymousID != nil):
		return who, fault.New(fault.Invalid, "invalid_field", `say who: either "user_id" or "anonymous_id"`)
	case !named:
		return erase.Subject{AnonymousID: *p.AnonymousID}, checkPerson("anonymous_id", *p.AnonymousID)
	}
	id := string(p.UserID)
	if isText := json.Unmarshal(p.UserID, &id) == nil; !isText && strings.Trim(strings.TrimPrefix(id, "-"), "0123456789") != "" {
		return who, fault.Field("user_id", "must be a string or an integer, got %.40s", p.UserID)
	}
	return erase.Subject{UserID: id}, checkPerson("user_id", id)
}

// maxPerson is the longest id that an event can have, in characters.
const maxPerson = 200

func checkPerson(field, id string) error {
	if n := utf8.RuneCountInString(id); n < 1 || n > maxPerson {
		return fault.Field(field, "must have 1 to %d characters, got %d", maxPerson, n)
	}
	return nil
}
