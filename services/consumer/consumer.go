// Package consumer is the service that brings events from the queue to the
// store. Any number of them may run on one queue.
package consumer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/maidian/maidian/pkg/bus"
	"github.com/maidian/maidian/pkg/bus/rabbit"
	"github.com/maidian/maidian/pkg/proc"
	"github.com/maidian/maidian/pkg/pulse"
	"github.com/maidian/maidian/pkg/secret"
	"github.com/maidian/maidian/pkg/store"
	"github.com/maidian/maidian/pkg/store/mongo"
	"github.com/maidian/maidian/services/consumer/internal/backlog"
	"github.com/maidian/maidian/services/consumer/internal/deliver"
	"github.com/maidian/maidian/services/consumer/internal/forward"
	"github.com/maidian/maidian/services/consumer/internal/outgoing"
)

// Config of the consumer, from the environment.
type Config struct {
	proc.Options
	Settings
	Rabbit rabbit.Config
	Mongo  mongo.Config
}

// Validate says everything that is wrong, one line for each variable.
func (c *Config) Validate() error {
	return errors.Join(c.Options.Validate(), c.Settings.Validate(), c.Rabbit.Validate(), c.Mongo.Validate())
}

// Settings say what a consumer does and how, whichever broker and store there are.
type Settings struct {
	Roles         []string      `envconfig:"CONSUMER_ROLES" default:"store,alert,forward" desc:"what this consumer does, several separated by commas: store (events from the queue), alert (hold rules against them and tell people), forward (to other systems)"`
	Files         string        `envconfig:"FORWARD_FILES" desc:"folder that destinations of type files write below; empty: none may"`
	Near          []string      `envconfig:"FORWARD_ALLOW_NETWORKS" default:"10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,fc00::/7" desc:"networks beside the Internet in which ClickHouse, PostgreSQL, Kafka and S3 may be that events are forwarded to; 127.0.0.0/8 is this machine"`
	PublicURL     string        `envconfig:"CONSUMER_PUBLIC_URL" desc:"where people reach the query service, such as https://maidian.example: links to charts begin with it; empty: no links"`
	AlertKeep     time.Duration `envconfig:"CONSUMER_ALERT_KEEP" default:"2160h" desc:"how long firings, silences that are over and notices that were given up are kept"`
	Secret        secret.Config
	Outgoing      outgoing.Config
	Enabled       bool          `envconfig:"ANALYTICS_ENABLED" default:"true" desc:"false: take nothing off the queue"`
	BatchSize     int           `envconfig:"ANALYTICS_BATCH_SIZE" default:"1000" desc:"most events in one insert, and most messages in a batch; SQLite takes a batch at once"`
	FlushInterval time.Duration `envconfig:"ANALYTICS_FLUSH_INTERVAL" default:"20ms" desc:"longest time a message waits for others to be inserted with it"`
	BatchBytes    int           `envconfig:"CONSUMER_BATCH_BYTES" default:"1048576" desc:"bytes of messages after which a batch does not wait for more"`
	Prefetch      int           `envconfig:"CONSUMER_PREFETCH" default:"500" desc:"most unacknowledged messages for each worker"`
	Workers       int           `envconfig:"CONSUMER_WORKERS" default:"2" desc:"batches in work at the same time: while one is with the store, another is read"`
}

// Validate says everything that is wrong, one line for each variable.
func (s *Settings) Validate() (err error) {
	atLeastOne := func(name string, n int) {
		if n < 1 {
			err = errors.Join(err, fmt.Errorf("%s must be 1 or more, got %d", name, n))
		}
	}
	atLeastOne("ANALYTICS_BATCH_SIZE", s.BatchSize)
	atLeastOne("CONSUMER_BATCH_BYTES", s.BatchBytes)
	atLeastOne("CONSUMER_PREFETCH", s.Prefetch)
	atLeastOne("CONSUMER_WORKERS", s.Workers)
	if s.AlertKeep < time.Hour {
		err = errors.Join(err, fmt.Errorf("CONSUMER_ALERT_KEEP must be 1h or more, got %s", s.AlertKeep))
	}
	if s.FlushInterval < 0 || s.FlushInterval > time.Minute {
		err = errors.Join(err, fmt.Errorf("ANALYTICS_FLUSH_INTERVAL must be 0s to 1m, got %s", s.FlushInterval))
	}
	return errors.Join(err, s.validateRoles(), s.Secret.Validate(), s.Outgoing.Validate(), outgoing.CheckNetworks(nearSetting, s.Near))
}

// nearSetting is what opens networks to destinations that are near.
const nearSetting = "FORWARD_ALLOW_NETWORKS"

// Limits are what the receivers of this configuration hand out at a time. A
// message holds at least one event, so a batch's events bound its messages.
func (s *Settings) Limits() bus.Limits {
	return bus.Limits{
		Prefetch: s.Prefetch,
		Messages: min(s.Prefetch, s.BatchSize),
		Bytes:    s.BatchBytes,
		Wait:     s.FlushInterval,
	}
}

// Warehouse is a type of destination whose client is so heavy that only
// bin/consumer has it.
type Warehouse = forward.Warehouse

// Run consumes from RabbitMQ into MongoDB, and forwards to warehouses too.
func Run(ctx context.Context, cfg *Config, p *proc.Process, warehouses ...Warehouse) error {
	s, err := mongo.Open(ctx, cfg.Mongo)
	if err != nil {
		return err
	}
	p.OnStop("store", func(context.Context) error { return s.Close() })
	receivers, queue, err := cfg.receivers(p)
	if err != nil {
		return err
	}
	return Serve(ctx, &cfg.Settings, p, Deps{Receivers: receivers, Store: s, Queue: queue, Warehouses: warehouses})
}

// receivers are a worker's each, and who tells how much is in the queue and in their hands.
func (c *Config) receivers(p *proc.Process) (receivers []bus.Receiver, queue bus.Inspector, err error) {
	var ours []*rabbit.Receiver
	for range c.Workers {
		r, err := rabbit.NewReceiver(c.Rabbit, c.Limits(), p.Log, p.Metrics)
		if err != nil {
			return nil, nil, err
		}
		receivers, ours = append(receivers, r), append(ours, r)
	}
	queue, err = rabbit.NewInspector(c.Rabbit, ours...)
	return receivers, queue, err
}

// Deps are the servers that a consumer works with; whoever made them closes
// them, after the consumer's process has stopped.
type Deps struct {
	Receivers []bus.Receiver // a worker each
	Store     store.Store
	Queue     bus.Inspector // for rules about the pipeline; nil: they know nothing of the queue

	Warehouses []Warehouse // that can be forwarded to
}

// Serve does what its roles are until the process stops; without any it stores.
func Serve(_ context.Context, s *Settings, p *proc.Process, deps Deps) error {
	for _, r := range roles() {
		if slices.Contains(s.Roles, r.name) || len(s.Roles) == 0 && r.name == "store" {
			if err := r.start(s, p, deps); err != nil {
				return fmt.Errorf("role %s: %w", r.name, err)
			}
		}
	}
	return nil
}

// storing brings events from the queue to the store, and lets the process stop
// only once every worker has finished or given back what it has.
func (s *Settings) storing(p *proc.Process, deps Deps) error {
	d := deliver.New(deps.Store, s.BatchSize, p.Log, deliver.NewMetrics(p.Metrics))
	handle := traced(p.Trace, d.Handle)
	if deps.Queue != nil {
		waits := backlog.New(deps.Queue, p.Metrics, p.Log)
		p.Go("backlog", waits.Run)
		handle = waits.Over(handle)
	}
	p.OnReady("store", d.Ready)
	p.Go("storage errors", func(ctx context.Context) error {
		return pulse.Rate(ctx, deps.Store, pulse.StorageErrors, uuid.NewString(), d.Failures, p.Log)
	})
	if !s.Enabled {
		p.Log.Warn("ANALYTICS_ENABLED is false: nothing is taken off the queue")
		return nil
	}
	var workers sync.WaitGroup
	p.OnStop("workers", func(ctx context.Context) error { return wait(ctx, &workers) })
	for _, r := range deps.Receivers {
		p.OnReady("queue", r.Ready)
		workers.Add(1)
		p.Go("worker", func(ctx context.Context) error {
			defer workers.Done()
			return r.Receive(ctx, handle)
		})
	}
	return nil
}

func wait(ctx context.Context, workers *sync.WaitGroup) error {
	if err := proc.Wait(ctx, workers); err != nil {
		return fmt.Errorf("a batch is still with the store: %w", err)
	}
	return nil
}
