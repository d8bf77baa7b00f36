package api

import (
	"context"
	"fmt"
	"time"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/fault"
	"github.com/maidian/maidian/pkg/store"
	"github.com/maidian/maidian/services/query/internal/columns"
	"github.com/maidian/maidian/services/query/internal/report"
)

// Journal is read for the accounting.
type Journal interface {
	Batches(ctx context.Context, after store.Cursor, limit int) ([]store.Batch, error)
}

// accountingQuery asks from when on.
type accountingQuery struct {
	Since event.Time `json:"since"` // by the clocks of the consumers; null: from the beginning
}

// Complete is false: more events come to be stored.
func (accountingQuery) Complete() bool { return false }

// accounting is what became of the events that were accepted.
type accounting struct {
	Stored       int               `json:"stored"`
	Duplicates   int               `json:"duplicates"`
	DeadLettered int               `json:"dead_lettered"`
	Erased       int               `json:"erased"`
	Definition   map[string]string `json:"definition"`
}

// accounting adds up the journal itself, not the columns: it is the proof that
// what a collector accepted was stored, also while the columns still follow.
func (a *API) accounting(p *report.Params, _ report.Env) (any, runner, error) {
	var q accountingQuery
	if text := p.String("since", ""); text != "" {
		since, err := time.Parse(time.RFC3339, text)
		if err != nil {
			return nil, nil, fault.Field("since", "must be an RFC 3339 time such as 2026-01-31T12:00:00Z, got %q", text)
		}
		q.Since = event.TimeOf(since)
	}
	return q, func(ctx context.Context, v *columns.View) (any, error) { return a.account(ctx, v.Project, q.Since) }, p.Done()
}

func (a *API) account(ctx context.Context, project string, since event.Time) (*accounting, error) {
	const page = 1000
	sum := &accounting{Definition: map[string]string{
		"stored":        "accepted events that were new",
		"duplicates":    "accepted events whose event_id was there before",
		"dead_lettered": "accepted events that cannot be stored as they are",
		"erased":        "events among those stored that were erased since",
		"since":         "entries of the journal written at that moment or later; an erasure writes those of its events again",
	}}
	for at := (store.Cursor{WrittenAt: since}); ; {
		entries, err := a.options.Journal.Batches(ctx, at, page)
		if err != nil {
			return nil, fmt.Errorf("read the journal: %w", err)
		}
		for _, b := range entries {
			at = store.After(b)
			if b.Project == project {
				sum.Stored, sum.Duplicates, sum.DeadLettered = sum.Stored+b.Stored, sum.Duplicates+b.Duplicates, sum.DeadLettered+b.DeadLettered
				sum.Erased += b.Erased
			}
		}
		if len(entries) < page {
			return sum, nil
		}
	}
}
