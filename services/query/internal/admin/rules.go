package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/maidian/maidian/pkg/ask"
	"github.com/maidian/maidian/pkg/calendar"
	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/fault"
	"github.com/maidian/maidian/pkg/notice"
	"github.com/maidian/maidian/pkg/rule"
	"github.com/maidian/maidian/pkg/store"
)

// Rules are all of a project, by id.
func (a *Admin) Rules(ctx context.Context, project string) ([]rule.Kept, error) {
	return rules.all(ctx, a, project)
}

// Rule is one of a project.
func (a *Admin) Rule(ctx context.Context, project, id string) (*rule.Kept, error) {
	_, r, err := rules.one(ctx, a, project, id)
	return r, err
}

// CreateRule adds one whose id is free.
func (a *Admin) CreateRule(ctx context.Context, project string, definition []byte) (*rule.Kept, error) {
	r, err := a.readRule(ctx, project, definition)
	if err != nil {
		return nil, err
	}
	return a.keepRule(ctx, project, r.ID, nil, nil, definition)
}

// PutRule replaces one, or creates it.
func (a *Admin) PutRule(ctx context.Context, project, id string, definition []byte) (*rule.Kept, error) {
	r, err := a.readRule(ctx, project, definition)
	if err != nil {
		return nil, err
	}
	if r.ID != id {
		return nil, fault.Field("id", "must be %q, as in the path", id)
	}
	record, old, err := rules.one(ctx, a, project, id)
	if err != nil && fault.KindOf(err) != fault.NotFound {
		return nil, err
	}
	return a.keepRule(ctx, project, id, record, old, definition)
}

func (a *Admin) readRule(ctx context.Context, project string, definition []byte) (*rule.Rule, error) {
	c, err := a.calendar(ctx, project)
	if err != nil {
		return nil, err
	}
	return rule.Read(definition, c)
}

// calendar is of the project's time zone.
func (a *Admin) calendar(ctx context.Context, project string) (calendar.Calendar, error) {
	p, err := a.find(ctx, project)
	if err != nil {
		return calendar.Calendar{}, err
	}
	zone, err := time.LoadLocation(p.Timezone)
	return calendar.Calendar{Zone: zone, WeekStart: time.Monday}, err
}

// keepRule writes a definition in the place of an old one, if there is one.
func (a *Admin) keepRule(ctx context.Context, project, id string, record *store.Record, old *rule.Kept, definition []byte) (*rule.Kept, error) {
	now := event.TimeOf(a.now())
	r := &rule.Kept{Definition: definition, CreatedAt: now, UpdatedAt: now}
	if old != nil {
		r.CreatedAt = old.CreatedAt
	}
	return r, rules.put(ctx, a, project, id, record, r, 0)
}

// DeleteRule ends a rule. What it has told stays; of what holds it is told that nobody looks any more.
func (a *Admin) DeleteRule(ctx context.Context, project, id string) error {
	return rules.remove(ctx, a, project, id)
}

// RuleStatus is how a rule is, as those who evaluate it said last.
type RuleStatus struct {
	At       event.Time `json:"at"`
	Progress event.Time `json:"progress"`
	rule.Health
}

// RuleStatus is how a rule is.
func (a *Admin) RuleStatus(ctx context.Context, project, id string) (*RuleStatus, error) {
	if _, _, err := rules.one(ctx, a, project, id); err != nil {
		return nil, err
	}
	r, err := a.store.Record(ctx, rule.StatusKind, project, rule.StatusID)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, fmt.Errorf("read status: %w", err)
	}
	var s rule.Status
	if err == nil {
		err = json.Unmarshal(r.Data, &s)
	}
	h, there := s.Rules[id]
	if err != nil || !there {
		return nil, fault.New(fault.NotFound, "not_evaluated", "nobody evaluates rule %q: it is new or disabled, or no consumer has the role alert", id)
	}
	return &RuleStatus{s.At, s.Progress, h}, nil
}

// Preview is what a rule would have told.
type Preview struct {
	From     event.Time    `json:"from"`
	To       event.Time    `json:"to"`       // up to then it is what the rule would have told
	Complete bool          `json:"complete"` // To is now; false: there was more than is read for a preview
	Events   int           `json:"events"`   // that were looked at
	Firings  []rule.Firing `json:"firings"`  // the first of them
	Total    int           `json:"total"`
}

const (
	mostPreviewDays    = 62
	mostPreviewed      = 2_000_000 // events and entries of the journal, and as many of what was before
	mostPreviewFirings = 1000
)

// PreviewRule evaluates a rule on what was stored in the past days, as if it had
// begun then: the one that is there, or as a definition has it.
func (a *Admin) PreviewRule(ctx context.Context, project, id string, asked []byte) (*Preview, error) {
	p, err := ask.ParamsFromJSON(asked)
	if err != nil {
		return nil, err
	}
	days := p.Int("days", 7, 1, mostPreviewDays)
	definition, given := p.Get("definition").(map[string]any)
	if !given && p.Has("definition") {
		p.Fail("definition", "must be a rule, got %s", ask.Describe(p.Get("definition")))
	}
	if err := p.Done(); err != nil {
		return nil, err
	}
	r, err := a.previewed(ctx, project, id, definition)
	if err != nil {
		return nil, err
	}
	r.Enabled = true
	now := event.TimeOf(a.now())
	preview := &Preview{From: now - event.Time(days)*24*3_600_000, To: now, Firings: []rule.Firing{}}
	return preview, a.preview(ctx, project, r, preview)
}

func (a *Admin) previewed(ctx context.Context, project, id string, definition map[string]any) (*rule.Rule, error) {
	if definition == nil {
		_, kept, err := rules.one(ctx, a, project, id)
		if err != nil {
			return nil, err
		}
		return a.readRule(ctx, project, kept.Definition)
	}
	text, err := json.Marshal(definition)
	if err != nil {
		return nil, err
	}
	r, err := a.readRule(ctx, project, text)
	if wrong := (*fault.Error)(nil); errors.As(err, &wrong) && wrong.Field != "" {
		wrong.Field = "definition." + wrong.Field
	}
	if err == nil && r.ID != id {
		err = fault.Field("definition.id", "must be %q, as in the path", id)
	}
	return r, err
}

// preview reads the journal as the one who evaluates would have.
func (a *Admin) preview(ctx context.Context, project string, r *rule.Rule, into *Preview) (err error) {
	e := rule.New(project, into.From)
	e.Use([]*rule.Rule{r})
	if past := e.Past(); past != nil {
		if err := past.Read(ctx, a.store, a.store, mostPreviewed); err != nil {
			return err
		}
		e.Learn(past)
	}
	into.Events, into.Complete, err = e.Replay(ctx, a.store, a.store, into.To, mostPreviewed, into.add)
	into.To = e.Progress()
	return err
}

func (p *Preview) add(firings []rule.Firing) {
	p.Total += len(firings)
	p.Firings = append(p.Firings, firings[:min(len(firings), mostPreviewFirings-len(p.Firings))]...)
}

// TestRule sends a sample to the rule's channels, and says which notices that are.
func (a *Admin) TestRule(ctx context.Context, project, id string) ([]string, error) {
	_, kept, err := rules.one(ctx, a, project, id)
	if err != nil {
		return nil, err
	}
	r, err := a.readRule(ctx, project, kept.Definition)
	if err != nil {
		return nil, fmt.Errorf("rule %s: %w", id, err)
	}
	if len(r.Channels) == 0 {
		return nil, fault.New(fault.Conflict, "no_channels", "rule %q names no channels that could be tried", id)
	}
	now := event.TimeOf(a.now())
	f := r.Example(project, "test."+random()[:12], now)
	sent := []string{}
	for _, channel := range r.Channels {
		n := notice.For(f, channel, now)
		n.Test = true
		record, err := n.Record(now, 0)
		if err == nil {
			err = a.store.CreateRecord(ctx, record)
		}
		if err != nil {
			return nil, fmt.Errorf("make notice: %w", err)
		}
		sent = append(sent, n.ID)
	}
	return sent, nil
}
