// Package allinone runs the whole pipeline in one process: the three services
// as they are, on a store and a broker inside the process, or on real servers
// in the place of either.
package allinone

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/maidian/maidian/pkg/bus"
	"github.com/maidian/maidian/pkg/bus/rabbit"
	"github.com/maidian/maidian/pkg/proc"
	"github.com/maidian/maidian/pkg/store"
	"github.com/maidian/maidian/pkg/store/mongo"
	"github.com/maidian/maidian/services/collector"
	"github.com/maidian/maidian/services/consumer"
	"github.com/maidian/maidian/services/query"
)

// Config of the all-in-one: what its own command line says, and every
// variable of the three services, from the environment.
type Config struct {
	Dir        string // data of the embedded servers
	Memory     bool   // keep nothing on disk
	RabbitNode bool   // run a private RabbitMQ node in the place of the embedded broker
	Ops        string // address of metrics and probes; empty for none

	proc.Options
	Collector collector.Settings
	Consumer  consumer.Settings
	Query     query.Settings
	Rabbit    rabbit.Config
	Mongo     mongo.Config

	UseRabbit bool // RABBITMQ_URL or RABBITMQ_HOST is set
	UseMongo  bool // MONGODB_URI is set
}

// Addresses that people get when they ask for nothing else: this machine only.
const (
	DefaultListen      = "127.0.0.1:8080"
	DefaultQueryListen = "127.0.0.1:8081"
)

// Load is the configuration of the environment.
func Load() (*Config, error) {
	c := &Config{
		Dir:       "data",
		UseRabbit: os.Getenv("RABBITMQ_URL") != "" || os.Getenv("RABBITMQ_HOST") != "",
		UseMongo:  os.Getenv("MONGODB_URI") != "",
		Ops:       os.Getenv("OPS_LISTEN"),
	}
	err := proc.Load(c)
	if os.Getenv("COLLECTOR_LISTEN") == "" {
		c.Collector.Listen = DefaultListen
	}
	if os.Getenv("QUERY_LISTEN") == "" {
		c.Query.Listen = DefaultQueryListen
	}
	if os.Getenv("FORWARD_ALLOW_NETWORKS") == "" { // who starts it is at home on this machine
		c.Consumer.Near = append(c.Consumer.Near, "127.0.0.0/8", "::1/128")
	}
	if os.Getenv("COLLECTOR_DEMO") == "" {
		c.Collector.Demo = true
	}
	if !c.UseMongo {
		c.forSQLite()
	}
	return c, err
}

// forSQLite takes larger batches than MongoDB likes: SQLite syncs once for
// each, and while it does, others are read.
func (c *Config) forSQLite() {
	for name, set := range map[string]func(){
		"ANALYTICS_BATCH_SIZE": func() { c.Consumer.BatchSize = 2000 },
		"CONSUMER_BATCH_BYTES": func() { c.Consumer.BatchBytes = 2 << 20 },
		"CONSUMER_WORKERS":     func() { c.Consumer.Workers = 3 },
	} {
		if os.Getenv(name) == "" {
			set()
		}
	}
}

// Validate says everything that is wrong, one line for each variable.
func (c *Config) Validate() error {
	return errors.Join(c.Options.Validate(), c.Collector.Validate(), c.Consumer.Validate(), c.Query.Validate(), c.Rabbit.Validate(), c.Mongo.Validate())
}

// System is the running pipeline.
type System struct {
	Collector net.Addr
	Query     net.Addr
	Ops       net.Addr // nil when there is none
	Store     store.Store
	Queue     bus.Inspector
	Demo      bool // the project demo and its well-known keys work

	cfg        *Config
	log        *zap.Logger
	registries map[string]*prometheus.Registry // by service
	parts      []*part
	once       sync.Once
	failed     chan struct{} // closed when a part has ended by itself
	err        error         // why, once failed is closed
}

// part is something that was started and has to be stopped.
type part struct {
	name string
	proc *proc.Process // nil for servers
	stop func(context.Context) error
}

// Start brings the pipeline up from its end, so that each part finds what it
// feeds: store, broker, consumer, query, collector. The error is one line.
func Start(ctx context.Context, c *Config, log *zap.Logger) (*System, error) {
	s := &System{cfg: c, log: log, registries: map[string]*prometheus.Registry{}, failed: make(chan struct{})}
	steps := []func(context.Context) error{s.checkReach, s.makeDir, s.openStore, s.openBroker, s.startOps}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return nil, errors.Join(err, s.Stop(ctx))
		}
	}
	return s, nil
}

// makeDir says early, and in words about the directory, that it cannot be used.
func (s *System) makeDir(context.Context) error {
	if s.cfg.Memory {
		return nil
	}
	if s.cfg.Consumer.Files == "" {
		s.cfg.Consumer.Files = filepath.Join(s.cfg.Dir, "files")
	}
	if err := os.MkdirAll(s.cfg.Dir, 0o755); err != nil {
		return fmt.Errorf("the data directory cannot be made: %w", err)
	}
	if _, err := os.ReadDir(s.cfg.Dir); err != nil {
		return fmt.Errorf("the data directory cannot be read: %w", err)
	}
	return nil
}

// run starts a service as a process of its own, so that it can be stopped
// while those that it feeds go on.
func (s *System) run(ctx context.Context, name string, setup func(context.Context, *proc.Process) error) error {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	p := proc.New(name, s.log, s.registry(name), s.cfg.Options)
	up, done := make(chan struct{}), make(chan struct{})
	var err error
	go func() {
		defer close(done)
		err = p.Run(ctx, func(ctx context.Context, p *proc.Process) error {
			if err := setup(ctx, p); err != nil {
				return err
			}
			close(up)
			return nil
		})
		if ctx.Err() == nil {
			s.fail(name, err)
		}
	}()
	stop := func(context.Context) error {
		cancel()
		<-done // a process keeps its own drain time
		return err
	}
	select {
	case <-up:
		s.parts = append(s.parts, &part{name: name, proc: p, stop: stop})
		return nil
	case <-done:
		cancel()
		return explain(err)
	}
}

// registry holds what a service counts; its side of the broker is opened before it starts.
func (s *System) registry(service string) *prometheus.Registry {
	if s.registries[service] == nil {
		s.registries[service] = proc.Registry(service)
	}
	return s.registries[service]
}

// explain puts what a person has to do before what the system says.
func explain(err error) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%w: stop the program that uses it, or choose another address with -listen and -query-listen", err)
	}
	return err
}

// Stop takes the pipeline down from its beginning, each part drained before
// the next, so that what was accepted is stored, or waits in the queue.
func (s *System) Stop(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	var errs []error
	for i := len(s.parts) - 1; i >= 0; i-- {
		part := s.parts[i]
		within, cancel := context.WithTimeout(ctx, s.cfg.Drain)
		if err := part.stop(within); err != nil {
			errs = append(errs, fmt.Errorf("stop %s: %w", part.name, err))
		}
		cancel()
	}
	s.parts = nil
	return errors.Join(errs...)
}

// Failed is closed when a part has ended though nobody asked it to; Err says why.
func (s *System) Failed() <-chan struct{} { return s.failed }

// Err is why the system failed, once Failed is closed.
func (s *System) Err() error { return s.err }

// fail notes the first failure.
func (s *System) fail(name string, err error) {
	s.once.Do(func() {
		s.err = fmt.Errorf("%s ended: %w", name, err)
		close(s.failed)
	})
}

// Ready is nil when every service is.
func (s *System) Ready() (err error) {
	for _, part := range s.parts {
		if part.proc != nil {
			err = errors.Join(err, part.proc.Ready())
		}
	}
	return err
}

// startOps serves each service's metrics under its name, and probes for all of them.
func (s *System) startOps(ctx context.Context) error {
	if s.cfg.Ops == "" {
		return nil
	}
	mux := http.NewServeMux()
	for _, part := range s.parts {
		if part.proc != nil {
			mux.Handle("/"+part.name+"/", http.StripPrefix("/"+part.name, part.proc.Ops()))
		}
	}
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := s.Ready(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	return s.run(ctx, "operations", func(_ context.Context, p *proc.Process) (err error) {
		s.Ops, err = p.Serve("operations server", s.cfg.Ops, mux)
		return err
	})
}

// drainQueue gives the consumer a while to empty the embedded queue; what is
// left is there again at the next start.
func (s *System) drainQueue(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Drain/2)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		n, err := s.Queue.Depth(ctx)
		if n == 0 || err != nil {
			return nil // not ours to report: nothing is lost
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			s.log.Warn("messages wait in the queue for the next start", zap.Int("messages", n))
			return nil
		}
	}
}
