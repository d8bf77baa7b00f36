package admin

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/maidian/maidian/pkg/ask"
	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/fault"
	"github.com/maidian/maidian/pkg/notice"
	"github.com/maidian/maidian/pkg/secret"
	"github.com/maidian/maidian/pkg/store"
)

// Channel is one as it is shown: of its secrets only that they are set.
type Channel struct {
	ID        string                      `json:"id"`
	Name      string                      `json:"name"`
	Type      string                      `json:"type"`
	Language  string                      `json:"language"`
	Timezone  string                      `json:"timezone"`
	Title     string                      `json:"title"`
	Text      string                      `json:"text"`
	Settings  map[string]string           `json:"settings"`
	Secrets   map[string][]map[string]any `json:"secrets"`
	CreatedAt event.Time                  `json:"created_at"`
	UpdatedAt event.Time                  `json:"updated_at"`
}

func showChannel(c *notice.Channel) *Channel {
	shown := &Channel{
		ID: c.ID, Name: c.Name, Type: c.Type, Language: c.Language, Timezone: c.Timezone, Title: c.Title, Text: c.Text,
		Settings: c.Settings, Secrets: map[string][]map[string]any{}, CreatedAt: c.CreatedAt, UpdatedAt: c.UpdatedAt,
	}
	for name, values := range c.Secrets {
		for _, v := range values {
			shown.Secrets[name] = append(shown.Secrets[name], v.Shown())
		}
	}
	return shown
}

// Channels are all of a project, by id.
func (a *Admin) Channels(ctx context.Context, project string) ([]*Channel, error) {
	all, err := channels.all(ctx, a, project)
	shown := make([]*Channel, len(all))
	for i := range all {
		shown[i] = showChannel(&all[i])
	}
	return shown, err
}

// Channel is one of a project.
func (a *Admin) Channel(ctx context.Context, project, id string) (*Channel, error) {
	_, c, err := channels.one(ctx, a, project, id)
	if err != nil {
		return nil, err
	}
	return showChannel(c), nil
}

// CreateChannel adds one whose id is free.
func (a *Admin) CreateChannel(ctx context.Context, project string, definition []byte) (*Channel, error) {
	c, err := a.readChannel(ctx, project, definition)
	if err != nil {
		return nil, err
	}
	return a.keepChannel(ctx, nil, c, nil)
}

// PutChannel replaces one, or creates it. A secret that is given as it is shown stays.
func (a *Admin) PutChannel(ctx context.Context, project, id string, definition []byte) (*Channel, error) {
	c, err := a.readChannel(ctx, project, definition)
	if err != nil {
		return nil, err
	}
	if c.ID != id {
		return nil, fault.Field("id", "must be %q, as in the path", id)
	}
	r, old, err := channels.one(ctx, a, project, id)
	if err != nil && fault.KindOf(err) != fault.NotFound {
		return nil, err
	}
	return a.keepChannel(ctx, r, c, old)
}

func (a *Admin) readChannel(ctx context.Context, project string, definition []byte) (*notice.Channel, error) {
	if _, err := a.find(ctx, project); err != nil {
		return nil, err
	}
	p, err := ask.ParamsFromJSON(definition)
	if err != nil {
		return nil, err
	}
	id, c := notice.ReadID(p, ""), notice.ReadChannel(p)
	c.ID, c.Project = id, project
	return &c, p.Done()
}

// keepChannel seals what is secret and writes it in the place of an old one, if there is one.
func (a *Admin) keepChannel(ctx context.Context, r *store.Record, c, old *notice.Channel) (*Channel, error) {
	for name, values := range c.Secrets {
		for i, v := range values {
			sealed, err := a.sealed(c, old, name, i, v)
			if err != nil {
				return nil, err
			}
			values[i] = sealed
		}
	}
	c.UpdatedAt = event.TimeOf(a.now())
	if c.CreatedAt = c.UpdatedAt; old != nil {
		c.CreatedAt = old.CreatedAt
	}
	return showChannel(c), channels.put(ctx, a, c.Project, c.ID, r, c, 0)
}

// sealed is a secret as it is kept. One of an older channel stays only while the
// channel goes to the same place: who may change a channel is not thereby who
// may read its secrets, for example by giving another server's name.
func (a *Admin) sealed(c, old *notice.Channel, name string, i int, v secret.Value) (secret.Value, error) {
	field := "secrets." + name
	if !v.Kept() {
		sealed, err := a.secrets.Seal(c.Owner(name), v)
		if wrong := (*fault.Error)(nil); errors.As(err, &wrong) {
			return v, &fault.Error{Kind: wrong.Kind, Code: wrong.Code, Field: field, Message: wrong.Message}
		}
		if err != nil {
			return v, fault.Field(field, "%s", err)
		}
		return sealed, nil
	}
	if old == nil || i >= len(old.Secrets[name]) {
		return v, fault.Field(field, "there is none yet that could be kept")
	}
	if old.Type != c.Type || whereTo(old) != whereTo(c) {
		return v, fault.Field(field, "must be given anew when the channel is to go elsewhere")
	}
	return old.Secrets[name][i], nil
}

// whereTo is the server that a channel's secrets are shown to.
func whereTo(c *notice.Channel) string {
	return strings.Join([]string{c.Settings["url"], c.Settings["api_url"], c.Settings["host"], c.Settings["port"], c.Settings["tls"]}, " ")
}

// DeleteChannel forgets one. Notices on their way to it are given up.
func (a *Admin) DeleteChannel(ctx context.Context, project, id string) error {
	return channels.remove(ctx, a, project, id)
}

func (a *Admin) deleted(ctx context.Context, r *store.Record) error {
	err := a.store.DeleteRecord(ctx, *r)
	if errors.Is(err, store.ErrConflict) {
		return fault.New(fault.Conflict, "changed_meanwhile", "%s was changed by somebody else at this moment", r.Key())
	}
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("delete %s: %w", r.Key(), err)
	}
	return nil
}

// TestChannel has a sample sent, once. What comes of it is the notice's state.
func (a *Admin) TestChannel(ctx context.Context, project, id string) (*notice.Notice, error) {
	if _, _, err := channels.one(ctx, a, project, id); err != nil {
		return nil, err
	}
	n := notice.Sample(project, id, "test."+random()[:12]+"/"+id)
	now := event.TimeOf(a.now())
	n.State, n.CreatedAt = notice.Waiting, now
	n.Firing.At, n.Firing.Since = now, now
	n.Firing.Window.From, n.Firing.Window.To, n.Firing.Event.Timestamp = now, now, now
	r, err := n.Record(event.TimeOf(time.Now()), 0) // the senders go by the real time
	if err == nil {
		err = a.store.CreateRecord(ctx, r)
	}
	if err != nil {
		return nil, fmt.Errorf("make notice: %w", err)
	}
	return &n, nil
}
