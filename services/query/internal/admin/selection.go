package admin

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/fault"
	"github.com/maidian/maidian/pkg/store"
)

// Selection says which of a project's dead letters are meant: by one of the three.
type Selection struct {
	IDs    []string `json:"ids"`
	All    bool     `json:"all"`
	Filter *Filter  `json:"filter"`
	DryRun bool     `json:"dry_run"` // change nothing, say what would become of them
}

// Filter means the letters for which all hold that it names.
type Filter struct {
	Reason    string `json:"reason"`     // is a part of the letter's reason
	From      Moment `json:"from"`       // first seen then or later
	To        Moment `json:"to"`         // first seen then or earlier; a date means its whole day
	EventType string `json:"event_type"` // of any event in it, as far as it can be read
	Text      string `json:"text"`       // is a part of the payload
}

// Moment is a date, an RFC 3339 time or epoch milliseconds, as sent.
type Moment string

// UnmarshalJSON takes a string or a number.
func (m *Moment) UnmarshalJSON(text []byte) error {
	if len(text) > 0 && text[0] == '"' {
		return json.Unmarshal(text, (*string)(m))
	}
	if string(text) != "null" {
		*m = Moment(text)
	}
	return nil
}

// span is the moment, and of a date its whole day.
func (m Moment) span(field string, zone *time.Location) (lo, hi event.Time, err error) {
	if ms, err := strconv.ParseInt(string(m), 10, 64); err == nil {
		return event.Time(ms), event.Time(ms), nil
	}
	if day, err := time.ParseInLocation(time.DateOnly, string(m), zone); err == nil {
		return event.TimeOf(day), event.TimeOf(day.AddDate(0, 0, 1)) - 1, nil
	}
	at, err := time.Parse(time.RFC3339, string(m))
	if err != nil {
		return 0, 0, fault.Field(field, `must be a date such as "2026-01-31", an RFC 3339 time or epoch milliseconds, got %.60q`, string(m))
	}
	return event.TimeOf(at), event.TimeOf(at), nil
}

// filter checks the project and the filter, and says of a letter whether it is meant.
func (a *Admin) filter(ctx context.Context, project string, f *Filter) (meant func(*store.DeadLetter) bool, err error) {
	zone, err := a.mustExist(ctx, project)
	if err != nil {
		return nil, err
	}
	var from, to event.Time = math.MinInt64, math.MaxInt64
	if f.From != "" {
		if from, _, err = f.From.span("from", zone); err != nil {
			return nil, err
		}
	}
	if f.To != "" {
		if _, to, err = f.To.span("to", zone); err != nil {
			return nil, err
		}
	}
	if from > to {
		return nil, fault.Field("from", "must not be after to, got %s and %s", f.From, f.To)
	}
	return func(l *store.DeadLetter) bool {
		return from <= l.FirstSeen && l.FirstSeen <= to && strings.Contains(l.Reason, f.Reason) &&
			bytes.Contains(l.Payload, []byte(f.Text)) && (f.EventType == "" || ofType(l, f.EventType))
	}, nil
}

// ofType says whether any event of the letter has the type. A broken one is
// searched for it as it would be written.
func ofType(l *store.DeadLetter, name string) bool {
	events, _, err := read(l)
	if slices.ContainsFunc(events, func(e event.Event) bool { return e.EventType == name }) {
		return true
	}
	return err != nil && bytes.Contains(l.Payload, event.TextValue(name).AppendJSON([]byte(`"event_type":`)))
}

// check refuses a selection that does not say which letters it means, or says it twice.
func (s *Selection) check() error {
	ways := 0
	for _, said := range []bool{len(s.IDs) > 0, s.All, s.Filter != nil} {
		if said {
			ways++
		}
	}
	switch {
	case ways == 0:
		return fault.Field("ids", `say which: "ids": ["…"], "filter": {…} or "all": true`)
	case ways > 1:
		return fault.Field("ids", `say which by one of "ids", "filter" and "all"`)
	case len(s.IDs) > MaxPage:
		return fault.Field("ids", "must be at most %d, got %d: use a filter", MaxPage, len(s.IDs))
	case s.Filter != nil && *s.Filter == Filter{}:
		return fault.Field("filter", `names nothing to go by: say what, or "all": true`)
	}
	return nil
}

// each calls do with the selected letters of a project. That an id is unknown
// is said before anything is done; that a filter means none, when all were seen.
func (a *Admin) each(ctx context.Context, project string, s Selection, do func(*store.DeadLetter) error) error {
	meant, err := a.filter(ctx, project, cmp.Or(s.Filter, &Filter{}))
	if err != nil {
		return err
	}
	if len(s.IDs) > 0 {
		return a.eachOf(ctx, project, s.IDs, do)
	}
	found, reasons := 0, map[string]int{}
	for after := ""; ; {
		letters, err := a.store.DeadLetters(ctx, project, after, lettersAtOnce)
		if err != nil {
			return fmt.Errorf("read dead letters: %w", err)
		}
		for i := range letters {
			l := &letters[i]
			if after = l.ID; !meant(l) {
				reasons[l.Reason]++
				continue
			}
			found++
			if err := do(l); err != nil {
				return err
			}
		}
		if len(letters) < lettersAtOnce {
			break
		}
	}
	if found == 0 && s.Filter != nil {
		return nothingMeant(project, reasons)
	}
	return nil
}

// eachOf is each for letters by their ids.
func (a *Admin) eachOf(ctx context.Context, project string, ids []string, do func(*store.DeadLetter) error) error {
	ids = slices.Compact(slices.Sorted(slices.Values(ids)))
	var unknown []string
	visit := func(do func(*store.DeadLetter) error) error {
		for _, id := range ids {
			l, err := a.letter(ctx, project, id)
			switch {
			case err != nil:
				return err
			case l == nil:
				unknown = append(unknown, id)
			default:
				if err := do(l); err != nil {
					return err
				}
			}
		}
		return nil
	}
	if err := visit(func(*store.DeadLetter) error { return nil }); err != nil {
		return err
	}
	if len(unknown) > 0 {
		return unknownLetters(project, unknown)
	}
	return visit(do) // what is gone by now, somebody else has replayed or discarded
}

// nothingMeant says what there is instead.
func nothingMeant(project string, reasons map[string]int) error {
	const mostReasons = 5
	var there []string
	for reason, n := range reasons {
		there = append(there, fmt.Sprintf("%d for %q", n, reason))
	}
	slices.Sort(there)
	if len(there) > mostReasons {
		there = append(there[:mostReasons], "…")
	}
	return fault.New(fault.NotFound, "no_dead_letters", "the filter means none of project %q's dead letters; there are: %s", project, cmp.Or(strings.Join(there, ", "), "none at all"))
}

// mustExist is the time zone of the project.
func (a *Admin) mustExist(ctx context.Context, project string) (*time.Location, error) {
	if project == AllProjects {
		return time.UTC, nil
	}
	p, err := a.find(ctx, project)
	if err != nil {
		return nil, err
	}
	zone, err := time.LoadLocation(p.Timezone)
	if err != nil {
		return nil, fmt.Errorf("time zone of project %s: %w", project, err)
	}
	return zone, nil
}
