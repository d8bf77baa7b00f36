package admin

import (
	"cmp"
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

// mostRules is the most rules of a project.
const mostRules = 1000

// Rules are all of a project, by id.
func (a *Admin) Rules(ctx context.Context, project string) ([]rule.Kept, error) {
	if _, err := a.find(ctx, project); err != nil {
		return nil, err
	}
	records, err := a.store.Records(ctx, rule.RecordKind, project, "", mostRules)
	if err != nil {
		return nil, fmt.Errorf("read rules: %w", err)
	}
	all := make([]rule.Kept, len(records))
	for i := range records {
		if err := json.Unmarshal(records[i].Data, &all[i]); err != nil {
			return nil, fmt.Errorf("rule %s: %w", records[i].Key(), err)
		}
	}
	return all, nil
}

// Rule is one of a project.
func (a *Admin) Rule(ctx context.Context, project, id string) (*rule.Kept, error) {
	_, kept, err := a.rule(ctx, project, id)
	return kept, err
}

func (a *Admin) rule(ctx context.Context, project, id string) (*store.Record, *rule.Kept, error) {
	r, err := a.store.Record(ctx, rule.RecordKind, project, id)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil, fault.New(fault.NotFound, "unknown_rule", "project %q has no rule %q", project, id)
	}
	kept := &rule.Kept{}
	if err == nil {
		err = json.Unmarshal(r.Data, kept)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read rule: %w", err)
	}
	return r, kept, nil
}

// CreateRule adds one whose id is free.
func (a *Admin) CreateRule(ctx context.Context, project string, definition []byte) (*rule.Kept, error) {
	r, err := a.readRule(ctx, project, definition)
	if err != nil {
		return nil, err
	}
	if all, err := a.store.Records(ctx, rule.RecordKind, project, "", mostRules); err != nil || len(all) == mostRules {
		return nil, cmp.Or(err, error(fault.New(fault.Conflict, "too_many", "project %q has %d rules already", project, mostRules)))
	}
	record := store.Record{Kind: rule.RecordKind, Project: project, ID: r.ID}
	return a.keepRule(ctx, record, &rule.Kept{CreatedAt: event.TimeOf(a.now())}, definition, a.store.CreateRecord)
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
	record, kept, err := a.rule(ctx, project, id)
	if fault.KindOf(err) == fault.NotFound {
		return a.CreateRule(ctx, project, definition)
	}
	if err != nil {
		return nil, err
	}
	return a.keepRule(ctx, *record, kept, definition, a.store.UpdateRecord)
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

func (a *Admin) keepRule(ctx context.Context, record store.Record, kept *rule.Kept, definition []byte, write func(context.Context, store.Record) error) (*rule.Kept, error) {
	kept.Definition, kept.UpdatedAt = definition, event.TimeOf(a.now())
	var err error
	if record.Data, err = json.Marshal(kept); err != nil {
		return nil, err
	}
	err = write(ctx, record)
	if errors.Is(err, store.ErrConflict) {
		return nil, fault.New(fault.Conflict, "changed_or_taken", "rule %q is there already, or was changed by somebody else at this moment", record.ID)
	}
	if err != nil {
		return nil, fmt.Errorf("keep rule: %w", err)
	}
	return kept, nil
}

// DeleteRule ends a rule. What it has told stays.
func (a *Admin) DeleteRule(ctx context.Context, project, id string) error {
	r, _, err := a.rule(ctx, project, id)
	if err != nil {
		return err
	}
	if err := a.store.DeleteRecord(ctx, *r); err != nil && !errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("delete rule: %w", err)
	}
	return nil
}

// Preview is what a rule would have told.
type Preview struct {
	From    event.Time    `json:"from"`
	To      event.Time    `json:"to"`
	Events  int           `json:"events"`  // that were looked at
	Firings []rule.Firing `json:"firings"` // the first of them
	Total   int           `json:"total"`
}

const (
	mostPreviewDays    = 62
	mostPreviewEvents  = 2_000_000
	mostPreviewFirings = 1000
	previewedAtOnce    = 5000 // events
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
		_, kept, err := a.rule(ctx, project, id)
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
func (a *Admin) preview(ctx context.Context, project string, r *rule.Rule, into *Preview) error {
	e := rule.New(project, into.From)
	e.Use([]*rule.Rule{r})
	var entries []store.Batch
	waiting := 0
	take := func() error {
		n, err := e.Take(ctx, a.store, entries)
		into.Events, entries, waiting = into.Events+n, entries[:0], 0
		into.add(e.Firings())
		if err == nil && into.Events > mostPreviewEvents {
			err = fault.New(fault.Exceeded, "too_many_events", "there are more than %d events in these days; take fewer days", mostPreviewEvents)
		}
		return err
	}
	err := store.EachBatch(ctx, a.store, store.Cursor{WrittenAt: into.From}, func(b *store.Batch) error {
		if b.Project != project || b.Live() <= 0 {
			return nil
		}
		entries = append(entries, *b)
		if waiting += b.Stored; waiting < previewedAtOnce {
			return nil
		}
		return take()
	})
	if err == nil {
		err = take()
	}
	if err != nil {
		return err
	}
	e.Advance(into.To)
	into.add(e.Firings())
	return nil
}

func (p *Preview) add(firings []rule.Firing) {
	p.Total += len(firings)
	p.Firings = append(p.Firings, firings[:min(len(firings), mostPreviewFirings-len(p.Firings))]...)
}

// TestRule sends a sample to the rule's channels, and says which notices that are.
func (a *Admin) TestRule(ctx context.Context, project, id string) ([]string, error) {
	_, kept, err := a.rule(ctx, project, id)
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
