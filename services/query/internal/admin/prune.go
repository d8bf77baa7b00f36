package admin

import (
	"context"
	"fmt"

	"github.com/maidian/maidian/pkg/ask"
	"github.com/maidian/maidian/pkg/fault"
	"github.com/maidian/maidian/pkg/store"
	"github.com/maidian/maidian/services/query/internal/prune"
)

// Pruner deletes what is old, after the request that asked for it.
type Pruner interface {
	Ask(ctx context.Context, project string, before int32, dry bool) (*store.Job, error)
}

// PruneWith is who prunes; without one nobody does.
func (a *Admin) PruneWith(p Pruner) { a.pruner = p }

// Pruning is how much of a project's past is to go.
type Pruning struct {
	OlderThan string `json:"older_than"` // whole days, such as "400d"
	DryRun    bool   `json:"dry_run"`
}

const maxRetention = 36_525 // days: a hundred years

// Prune has the project's events deleted that are older than so many days, in
// a job; on a dry run the job counts them.
func (a *Admin) Prune(ctx context.Context, project string, p Pruning) (*Job, error) {
	age, ok := ask.ParseDuration(p.OlderThan)
	const day = 24 * 60 * 60 * 1000
	if days := age / day; !ok || age%day != 0 || days < 1 || days > maxRetention {
		return nil, fault.Field("older_than", "must be 1 to %d whole days, such as \"400d\", got %.40q", maxRetention, p.OlderThan)
	}
	if _, err := a.find(ctx, project); err != nil {
		return nil, err
	}
	if a.pruner == nil {
		return nil, fault.New(fault.Unavailable, "no_pruner", "this service does not prune")
	}
	job, err := a.pruner.Ask(ctx, project, prune.Before(a.now(), int(age/day)), p.DryRun)
	if err != nil {
		return nil, fmt.Errorf("prune: %w", err)
	}
	return showJob(job), nil
}

func checkRetention(days int) error {
	if days < 0 || days > maxRetention {
		return fault.Field("retention_days", "must be 0 (for ever) or 1 to %d, got %d", maxRetention, days)
	}
	return nil
}
