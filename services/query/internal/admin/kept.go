package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/fault"
	"github.com/maidian/maidian/pkg/notice"
	"github.com/maidian/maidian/pkg/rule"
	"github.com/maidian/maidian/pkg/store"
)

// kept is a kind of what projects define: records whose data is a T as JSON.
type kept[T any] struct {
	kind string // of the records, and the word for one
	most int    // of a project
}

var (
	rules    = kept[rule.Kept]{rule.RecordKind, 1000}
	channels = kept[notice.Channel]{notice.ChannelKind, 200}
	silences = kept[notice.Silence]{notice.SilenceKind, 1000} // past ones too
)

// all of a project, by id.
func (k kept[T]) all(ctx context.Context, a *Admin, project string) ([]T, error) {
	if _, err := a.find(ctx, project); err != nil {
		return nil, err
	}
	all := []T{}
	err := store.EachRecord(ctx, a.store, k.kind, project, func(r *store.Record) error {
		v, err := k.of(r)
		if err == nil {
			all = append(all, *v)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read all: %w", err)
	}
	return all, nil
}

func (k kept[T]) of(r *store.Record) (*T, error) {
	v := new(T)
	if err := json.Unmarshal(r.Data, v); err != nil {
		return nil, fmt.Errorf("read %s: %w", r.Key(), err)
	}
	return v, nil
}

// one of a project.
func (k kept[T]) one(ctx context.Context, a *Admin, project, id string) (*store.Record, *T, error) {
	r, err := a.store.Record(ctx, k.kind, project, id)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil, fault.New(fault.NotFound, "unknown_"+k.kind, "project %q has no %s %q", project, k.kind, id)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read %s: %w", k.kind, err)
	}
	v, err := k.of(r)
	return r, v, err
}

// put writes one in the place of r, or a new one where r is nil.
func (k kept[T]) put(ctx context.Context, a *Admin, project, id string, r *store.Record, v *T, due event.Time) error {
	write := a.store.UpdateRecord
	if r == nil {
		if err := k.room(ctx, a, project); err != nil {
			return err
		}
		r, write = &store.Record{Kind: k.kind, Project: project, ID: id}, a.store.CreateRecord
	}
	var err error
	if r.Data, err = json.Marshal(v); err != nil {
		return err
	}
	r.Due = due
	err = write(ctx, *r)
	if errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrNotFound) {
		return fault.New(fault.Conflict, "changed_or_taken", "%s %q is there already, or was changed by somebody else at this moment", k.kind, id)
	}
	if err != nil {
		return fmt.Errorf("keep %s: %w", k.kind, err)
	}
	return nil
}

// room is an error when a project has the most that it may have.
func (k kept[T]) room(ctx context.Context, a *Admin, project string) error {
	n := 0
	err := store.EachRecord(ctx, a.store, k.kind, project, func(*store.Record) error { n++; return nil })
	if err != nil {
		return fmt.Errorf("count: %w", err)
	}
	if n >= k.most {
		return fault.New(fault.Conflict, "too_many", "project %q has %d of the kind %s already, which is the most: delete some", project, n, k.kind)
	}
	return nil
}

// remove one of a project.
func (k kept[T]) remove(ctx context.Context, a *Admin, project, id string) error {
	r, _, err := k.one(ctx, a, project, id)
	if err != nil {
		return err
	}
	return a.deleted(ctx, r)
}
