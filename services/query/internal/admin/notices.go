package admin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/maidian/maidian/pkg/ask"
	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/fault"
	"github.com/maidian/maidian/pkg/notice"
	"github.com/maidian/maidian/pkg/store"
)

// NoticePage is a part of the list.
type NoticePage struct {
	Notices    []*notice.Notice `json:"notices"`
	NextCursor *string          `json:"next_cursor"`
}

// Notices are a project's in a state (empty: in any), by id, after a cursor.
// Where few are meant, a page may have fewer than the limit though there are more.
func (a *Admin) Notices(ctx context.Context, project, state, cursor string, limit int) (*NoticePage, error) {
	states := []string{"", notice.Waiting, notice.Delivered, notice.GivenUp, notice.Silenced}
	if !slices.Contains(states, state) {
		return nil, fault.Field("state", "must be one of %v, got %q", states[1:], state)
	}
	if _, err := a.find(ctx, project); err != nil {
		return nil, err
	}
	if cursor != "" {
		cursor = (&store.Record{Kind: notice.Kind, Project: project, ID: cursor}).Key()
	}
	page := &NoticePage{Notices: []*notice.Notice{}}
	for searched := 0; ; {
		records, err := a.store.Records(ctx, notice.Kind, project, cursor, limit)
		if err != nil {
			return nil, fmt.Errorf("read notices: %w", err)
		}
		for i := range records {
			n, err := notice.Of(&records[i])
			if err != nil {
				return nil, err
			}
			if state == "" || n.State == state {
				page.Notices = append(page.Notices, n)
			}
			cursor = records[i].Key()
			if searched++; len(page.Notices) == limit || searched == mostSearched {
				page.NextCursor = &n.ID
				return page, nil
			}
		}
		if len(records) < limit {
			return page, nil
		}
	}
}

// Notice is one of a project.
func (a *Admin) Notice(ctx context.Context, project, id string) (*notice.Notice, error) {
	_, n, err := a.notice(ctx, project, id)
	return n, err
}

func (a *Admin) notice(ctx context.Context, project, id string) (*store.Record, *notice.Notice, error) {
	r, err := a.store.Record(ctx, notice.Kind, project, id)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil, fault.New(fault.NotFound, "unknown_notice", "project %q has no notice %q: those that were delivered are forgotten after a week", project, id)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read notice: %w", err)
	}
	n, err := notice.Of(r)
	return r, n, err
}

// RetryNotice has one that was given up sent as if it were new.
func (a *Admin) RetryNotice(ctx context.Context, project, id string) (*notice.Notice, error) {
	r, n, err := a.notice(ctx, project, id)
	if err != nil {
		return nil, err
	}
	if n.State != notice.GivenUp {
		return nil, fault.New(fault.Conflict, "not_given_up", "notice %q is %s: only one that was given up is sent again", id, n.State)
	}
	n.State, n.Attempts, n.CreatedAt = notice.Waiting, 0, event.TimeOf(time.Now())
	again, err := n.Record(n.CreatedAt, r.Revision)
	if err == nil {
		err = a.store.UpdateRecord(ctx, again)
	}
	if errors.Is(err, store.ErrConflict) {
		return nil, fault.New(fault.Conflict, "changed_meanwhile", "notice %q was changed by somebody else at this moment", id)
	}
	if err != nil {
		return nil, fmt.Errorf("send notice again: %w", err)
	}
	return n, nil
}

// Silences are all of a project, by id.
func (a *Admin) Silences(ctx context.Context, project string) ([]notice.Silence, error) {
	return silences.all(ctx, a, project)
}

// CreateSilence adds one. Without an id it gets one.
func (a *Admin) CreateSilence(ctx context.Context, project string, definition []byte) (*notice.Silence, error) {
	s, err := a.readSilence(ctx, project, random()[:12], definition)
	if err != nil {
		return nil, err
	}
	return s, silences.put(ctx, a, project, s.ID, nil, s, s.To)
}

// PutSilence replaces one, or creates it.
func (a *Admin) PutSilence(ctx context.Context, project, id string, definition []byte) (*notice.Silence, error) {
	s, err := a.readSilence(ctx, project, id, definition)
	if err != nil {
		return nil, err
	}
	if s.ID != id {
		return nil, fault.Field("id", "must be %q, as in the path", id)
	}
	r, old, err := silences.one(ctx, a, project, id)
	if err != nil && fault.KindOf(err) != fault.NotFound {
		return nil, err
	}
	if old != nil {
		s.CreatedAt = old.CreatedAt
	}
	return s, silences.put(ctx, a, project, id, r, s, s.To)
}

// readSilence gives it an id where it has none.
func (a *Admin) readSilence(ctx context.Context, project, id string, definition []byte) (*notice.Silence, error) {
	c, err := a.calendar(ctx, project)
	if err != nil {
		return nil, err
	}
	p, err := ask.ParamsFromJSON(definition)
	if err != nil {
		return nil, err
	}
	now := event.TimeOf(a.now())
	s := notice.ReadSilence(p, c, now)
	s.ID, s.CreatedAt = notice.ReadID(p, id), now
	return &s, p.Done()
}

// DeleteSilence ends one.
func (a *Admin) DeleteSilence(ctx context.Context, project, id string) error {
	return silences.remove(ctx, a, project, id)
}
