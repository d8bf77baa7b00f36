// Package query is the service that answers analysts: it keeps every
// project's events as columns in memory, fed by the journal, and works reports
// out from them. Replicas know nothing of each other.
package query

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"time"

	"go.uber.org/zap"

	"github.com/maidian/maidian/pkg/fault"
	"github.com/maidian/maidian/pkg/httpx"
	"github.com/maidian/maidian/pkg/proc"
	"github.com/maidian/maidian/pkg/secret"
	"github.com/maidian/maidian/pkg/store"
	"github.com/maidian/maidian/pkg/store/mongo"
	"github.com/maidian/maidian/services/query/internal/account"
	"github.com/maidian/maidian/services/query/internal/admin"
	"github.com/maidian/maidian/services/query/internal/api"
	"github.com/maidian/maidian/services/query/internal/auth"
	"github.com/maidian/maidian/services/query/internal/columns"
	"github.com/maidian/maidian/services/query/internal/erase"
	"github.com/maidian/maidian/services/query/internal/follow"
	"github.com/maidian/maidian/services/query/internal/prune"
	"github.com/maidian/maidian/services/query/internal/sealed"
)

// Config of the query service, from the environment.
type Config struct {
	proc.Options
	Settings
	Mongo mongo.Config
}

// Settings are what of the configuration does not depend on which store there is.
type Settings struct {
	Listen         string        `envconfig:"QUERY_LISTEN" default:":8081" desc:"address the API listens on"`
	TrustedProxies []string      `envconfig:"QUERY_TRUSTED_PROXIES" desc:"networks whose X-Forwarded-For is believed, such as 10.0.0.0/8"`
	AdminKey       string        `envconfig:"QUERY_ADMIN_KEY" desc:"the admin key (ak_…) or its SHA-256 in hexadecimal; empty: no administration"`
	CacheBytes     int64         `envconfig:"QUERY_CACHE_BYTES" default:"1073741824" desc:"most bytes in memory of closed days, of columns and of what is worked out from them; the least recently used leave"`
	Deadline       time.Duration `envconfig:"QUERY_DEADLINE" default:"30s" desc:"longest time a query may take"`
	ExportDeadline time.Duration `envconfig:"QUERY_EXPORT_DEADLINE" default:"30m" desc:"longest time an export may take"`
	Concurrency    int           `envconfig:"QUERY_CONCURRENCY" default:"0" desc:"heavy queries worked on at a time, others wait; 0: as many as there are processors"`
	Exports        int           `envconfig:"QUERY_EXPORTS" default:"2" desc:"exports at a time, others wait"`
	Poll           time.Duration `envconfig:"QUERY_POLL" default:"100ms" desc:"how often the journal is asked for new events"`
	AccountsEvery  time.Duration `envconfig:"QUERY_ACCOUNTS_EVERY" default:"1m" desc:"how often it is looked whether all accepted events are accounted for, at most"`
	Secret         secret.Config
	PruneGrace     time.Duration `envconfig:"QUERY_PRUNE_GRACE" default:"30s" desc:"from hiding days that are kept no longer until deleting them: every replica must have heard of it by then"`
	TalliesKept    time.Duration `envconfig:"QUERY_TALLIES_KEPT" default:"2160h" desc:"how long what collectors counted in an hour is kept once it adds up; 0: for ever"`
}

// Validate says everything that is wrong, one line for each variable.
func (s *Settings) Validate() (err error) {
	wrong := func(ok bool, format string, args ...any) {
		if !ok {
			err = errors.Join(err, fmt.Errorf(format, args...))
		}
	}
	_, _, bad := net.SplitHostPort(s.Listen)
	wrong(bad == nil, "QUERY_LISTEN must be an address such as :8081, got %q", s.Listen)
	wrong(s.AdminKey == "" || auth.IsAdminKey(s.AdminKey), "QUERY_ADMIN_KEY must be a key that begins with %s or the SHA-256 of one, 64 hexadecimal digits", auth.AdminPrefix)
	wrong(s.CacheBytes >= 1<<20, "QUERY_CACHE_BYTES must be 1048576 or more, got %d", s.CacheBytes)
	wrong(s.Deadline > 0, "QUERY_DEADLINE must be more than 0, got %s", s.Deadline)
	wrong(s.ExportDeadline > 0, "QUERY_EXPORT_DEADLINE must be more than 0, got %s", s.ExportDeadline)
	wrong(s.Concurrency >= 0, "QUERY_CONCURRENCY must be 0 or more, got %d", s.Concurrency)
	wrong(s.Exports >= 1, "QUERY_EXPORTS must be 1 or more, got %d", s.Exports)
	wrong(s.Poll > 0 && s.Poll <= 10*time.Second, "QUERY_POLL must be more than 0 and at most 10s, got %s", s.Poll)
	wrong(s.AccountsEvery > 0, "QUERY_ACCOUNTS_EVERY must be more than 0, got %s", s.AccountsEvery)
	wrong(s.TalliesKept == 0 || s.TalliesKept >= account.LeastKept, "QUERY_TALLIES_KEPT must be 0 or %s or more, got %s", account.LeastKept, s.TalliesKept)
	wrong(s.PruneGrace == 0 || s.PruneGrace >= 10*time.Second, "QUERY_PRUNE_GRACE must be 10s or more, got %s", s.PruneGrace)
	return errors.Join(err, s.Secret.Validate())
}

// Validate says everything that is wrong, one line for each variable.
func (c *Config) Validate() error {
	return errors.Join(c.Options.Validate(), c.Settings.Validate(), c.Mongo.Validate())
}

// Run answers queries about the events in MongoDB until ctx ends.
func Run(ctx context.Context, c *Config, p *proc.Process) error {
	s, err := mongo.Open(ctx, c.Mongo)
	if err != nil {
		return err
	}
	p.OnStop("store", func(context.Context) error { return s.Close() })
	_, err = Serve(ctx, &c.Settings, p, Deps{Store: s})
	return err
}

// Deps is what the query service works with; whoever made it closes it, after
// the service's process has stopped.
type Deps struct {
	Store store.Store
	Now   func() time.Time // what "now" means to reports; time.Now when nil
}

// Serve answers queries until the process stops, and returns the address it
// listens on.
func Serve(ctx context.Context, s *Settings, p *proc.Process, deps Deps) (net.Addr, error) {
	keys := auth.New(deps.Store, s.AdminKey)
	if err := keys.Refresh(ctx); err != nil {
		return nil, err
	}
	p.Go("projects", func(ctx context.Context) error {
		keys.Follow(ctx, auth.Every, func(err error) { p.Log.Warn("projects not read again", zap.Error(err)) })
		return nil
	})

	tables := columns.NewTables(deps.Store, s.CacheBytes, p.Metrics)
	shelf := sealed.NewShelf(deps.Store, p.Log, p.Metrics)
	tables.SealIn(shelf)
	follower := follow.New(deps.Store, tables, p.Log, p.Metrics, follow.Options{Every: s.Poll, Shelf: shelf, Projects: deps.Store})
	p.OnReady("journal", follower.Ready)
	p.Go("journal", follower.Run)

	shown := views{tables, follower}
	eraser := erase.New(deps.Store, shown, p.Log, time.Now, erase.Options{})
	p.Go("erasures", eraser.Run)

	pruner := prune.New(deps.Store, p.Log, p.Metrics, time.Now, prune.Options{Grace: s.PruneGrace})
	p.Go("retention", pruner.Run)

	watcher := account.NewWatcher(deps.Store, p.Log, p.Metrics)
	p.Go("accounts", func(ctx context.Context) error { return watcher.Run(ctx, s.AccountsEvery) })
	p.Go("tallies", account.NewPruner(deps.Store, s.TalliesKept, p.Log).Run)

	administration := admin.New(deps.Store, keys, eraser, time.Now)
	secrets, err := secret.Open(s.Secret)
	if err != nil {
		return nil, err
	}
	administration.SealWith(secrets)
	administration.PruneWith(pruner)

	h, err := api.New(p, shown, keys, administration, s.api(deps))
	if err != nil {
		return nil, err
	}
	addr, err := httpx.Serve(p, s.Listen, h)
	if err == nil {
		p.Log.Info("answering queries", zap.Stringer("address", addr))
	}
	return addr, err
}

func (s *Settings) api(deps Deps) api.Options {
	heavy, now := s.Concurrency, deps.Now
	if heavy == 0 {
		heavy = runtime.GOMAXPROCS(0)
	}
	if now == nil {
		now = time.Now
	}
	return api.Options{
		Deadline: s.Deadline, ExportDeadline: s.ExportDeadline, Heavy: heavy, Exports: s.Exports,
		TrustedProxies: s.TrustedProxies, Accounts: deps.Store, Now: now,
	}
}

// views are the projects' events once all that is stored has been read: an
// answer from half of them would look like any other.
type views struct {
	tables   *columns.Tables
	follower *follow.Follower
}

func (v views) View(_ context.Context, project string) (*columns.View, error) {
	if err := v.follower.Ready(); err != nil {
		return nil, &fault.Error{Kind: fault.Unavailable, Code: "loading", Message: err.Error(), RetryAfter: time.Second}
	}
	return v.tables.Project(project).View(), nil
}
