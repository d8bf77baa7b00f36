package follow

import (
	"context"
	"maps"
	"time"

	"go.uber.org/zap"
)

// retain follows what projects say of how long events are kept. Days that are
// not are hidden at once. Then the project starts anew beside what is here, and
// takes its place when it has caught up: so nothing is left in memory of whom
// only those days told, and a replica shows what one shows that starts afterwards.
func (f *Follower) retain(ctx context.Context, now time.Time) error {
	if f.options.Projects == nil || f.only != "" {
		return nil
	}
	if err := f.takeRenewed(ctx); err != nil || now.Before(f.retainAt) {
		return err
	}
	f.retainAt = now.Add(f.options.Retention)
	projects, err := f.options.Projects.Projects(ctx)
	if err != nil {
		return err
	}
	for _, p := range projects {
		f.outdated[p.ID] = f.tables.Project(p.ID).Retain(p.PrunedBefore) || f.outdated[p.ID]
		if f.outdated[p.ID] && f.renewed == nil {
			f.renew(ctx, p.ID)
		}
	}
	return nil
}

// renew has a project start anew, one at a time.
func (f *Follower) renew(ctx context.Context, project string) {
	aside := New(f.store, f.tables.Aside(project), f.log, nil, f.options)
	aside.only = project
	renewed := make(chan *Follower, 1)
	f.renewed = renewed
	f.renewing.Go(func() {
		err := aside.load(ctx, time.Now())
		if err != nil {
			f.log.Warn("a project could not start anew without the days that are kept no longer; trying again", zap.String("project", project), zap.Error(err))
			aside = nil
		}
		renewed <- aside
	})
}

// takeRenewed puts a project that has started anew in the place of what is here.
func (f *Follower) takeRenewed(ctx context.Context) error {
	var aside *Follower
	select {
	case aside = <-f.renewed:
		f.renewed = nil
	default:
	}
	if aside == nil {
		return nil
	}
	if err := aside.look(ctx); err != nil { // what came meanwhile
		return err
	}
	project := aside.only
	f.outdated[project] = f.tables.Renew(project, aside.tables)
	maps.DeleteFunc(f.short, func(k key, _ *debt) bool { return k.project == project })
	maps.Copy(f.short, aside.short)
	f.restored[project] = aside.restored[project]
	f.audit = audit{} // it has sums of days as they were
	f.log.Info("days that are kept no longer are out of memory", zap.String("project", project))
	return nil
}
