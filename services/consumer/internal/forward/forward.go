// Package forward sends stored events on to other systems. Each destination
// follows the journal by itself, with a lease so that one process at a time
// forwards to it, and a state that says how far it is: at least once, in the
// order of the journal, for as long as it takes. A destination that is away
// holds up nobody but itself.
package forward

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/http"
	"time"

	"go.uber.org/zap"

	"github.com/maidian/maidian/pkg/destination"
	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/proc"
	"github.com/maidian/maidian/pkg/secret"
	"github.com/maidian/maidian/pkg/store"
	"github.com/maidian/maidian/services/consumer/internal/feed"
	"github.com/maidian/maidian/services/consumer/internal/lease"
)

// Store is what forwarding needs of it.
type Store interface {
	feed.Journal
	Event(ctx context.Context, project, id string) (*event.Event, error)
	EventsOfBatches(ctx context.Context, project string, ids []string, yield func(*event.Event) error) error
	Record(ctx context.Context, kind, project, id string) (*store.Record, error)
	Records(ctx context.Context, kind, project, after string, limit int) ([]store.Record, error)
	CreateRecord(ctx context.Context, r store.Record) error
	UpdateRecord(ctx context.Context, r store.Record) error
	DeleteRecord(ctx context.Context, r store.Record) error
}

// Env is what targets are made with.
type Env struct {
	Web    Doer   // for addresses on the Internet
	Dial   Dial   // for servers that may be beside this one
	Folder string // that files may be written below; empty: nowhere
	Keys   *secret.Keys

	Warehouses []Warehouse // that this program has a client for
}

// Dial makes connections, or refuses to.
type Dial = func(ctx context.Context, network, address string) (net.Conn, error)

// Doer makes requests.
type Doer interface {
	Do(r *http.Request) (*http.Response, error)
}

// Forwarder forwards to every destination there is.
type Forwarder struct {
	store   Store
	leases  *lease.Keeper
	env     Env
	metrics *Metrics
	log     *zap.Logger

	look    time.Duration // how often destinations and the journal are looked at
	overlap time.Duration // see feed
	most    int           // entries of a group: their ids are in the state while they are sent
	retry   backoff
	open    func(ctx context.Context, o *opening) (Target, error)
}

// New forwards with leases taken by this process.
func New(s Store, leases *lease.Keeper, env Env, metrics *Metrics, log *zap.Logger) *Forwarder {
	return &Forwarder{
		store: s, leases: leases, env: env, metrics: metrics, log: log,
		look: 500 * time.Millisecond, overlap: feed.DefaultOverlap, most: 20_000, retry: backoff{200 * time.Millisecond, time.Minute}, open: open,
	}
}

// running is a job at work.
type running struct {
	stop context.CancelFunc
	done chan struct{}
}

// Run forwards until ctx ends, and then lets every destination keep how far it is.
func (f *Forwarder) Run(ctx context.Context) error {
	at := map[string]*running{}
	defer func() {
		for _, r := range at {
			<-r.done
		}
	}()
	told := ""
	for ctx.Err() == nil {
		wanted, err := f.wanted(ctx)
		if err != nil && ctx.Err() == nil && err.Error() != told {
			f.log.Warn("cannot read all destinations", zap.Error(err))
			told = err.Error()
		}
		if wanted != nil {
			f.adjust(ctx, at, wanted)
		}
		proc.Pause(ctx, 2*f.look)
	}
	return nil
}

// pageOfRecords is how many destinations are read at a time.
const pageOfRecords = 500

// wanted are the jobs of all destinations by key; nil when they cannot be read.
// A destination that makes no sense is left out and told of.
func (f *Forwarder) wanted(ctx context.Context) (wanted map[string]*job, wrong error) {
	wanted = map[string]*job{}
	after := ""
	for {
		page, err := f.store.Records(ctx, destination.Kind, "*", after, pageOfRecords)
		if err != nil {
			return nil, err
		}
		for i := range page {
			jobs, err := jobsOf(&page[i])
			wrong = errors.Join(wrong, err)
			for _, j := range jobs {
				wanted[j.key()] = j
			}
			after = page[i].Key()
		}
		if len(page) < pageOfRecords {
			return wanted, wrong
		}
	}
}

// adjust stops what is no longer wanted and starts what is new. A destination
// that was changed is both; its old job has ended before the new one begins.
func (f *Forwarder) adjust(ctx context.Context, at map[string]*running, wanted map[string]*job) {
	for key, r := range at {
		if wanted[key] == nil {
			r.stop()
		}
	}
	for key, r := range at {
		if wanted[key] == nil {
			<-r.done
			delete(at, key)
		}
	}
	for key, j := range wanted {
		if at[key] != nil {
			continue
		}
		working, stop := context.WithCancel(ctx)
		r := &running{stop, make(chan struct{})}
		at[key] = r
		go func() {
			defer close(r.done)
			defer stop()
			f.hold(working, j)
		}()
	}
}

// hold does a job whenever this process has its lease, until it is finished or ctx ends.
func (f *Forwarder) hold(ctx context.Context, j *job) {
	log := f.log.With(zap.String("destination", j.id), zap.String("project", j.project))
	err := f.leases.Do(ctx, j.project, destination.LeaseID(j.id), func(ctx context.Context, _ int64) error {
		err := f.work(ctx, j, log)
		if err != nil && !errors.Is(err, errFinished) && ctx.Err() == nil {
			log.Warn("forwarding begins anew", zap.Error(err))
			return nil
		}
		return err
	})
	if err != nil && !errors.Is(err, errFinished) && ctx.Err() == nil {
		log.Error("forwarding has ended", zap.Error(err))
	}
}

// backoff is how long to wait after failures: doubled each time, up to a
// longest, and not the same for all who wait for the same server.
type backoff struct{ first, most time.Duration }

func (b backoff) after(failures int) time.Duration {
	d := b.most
	if doubled := b.first << min(failures-1, 20); doubled < d {
		d = doubled
	}
	return d/2 + rand.N(d/2+1)
}
