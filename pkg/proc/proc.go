// Package proc is a service's process: configuration, logs, metrics, health,
// and an ordered shutdown.
package proc

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/maidian/maidian/pkg/trace"
)

// Options are the settings that every service has.
type Options struct {
	LogLevel  string        `envconfig:"LOG_LEVEL" default:"info" desc:"debug, info, warn or error"`
	OpsListen string        `envconfig:"OPS_LISTEN" default:":9090" desc:"address of /metrics, /livez and /readyz; empty for none"`
	Drain     time.Duration `envconfig:"DRAIN" default:"20s" desc:"longest time a shutdown may take; shorter than terminationGracePeriodSeconds"`

	HeaderTimeout  time.Duration `envconfig:"HTTP_HEADER_TIMEOUT" default:"5s" desc:"longest time a request's header may take"`
	RequestTimeout time.Duration `envconfig:"HTTP_REQUEST_TIMEOUT" default:"30s" desc:"longest time a whole request may take to come, where nothing shorter is set"`
	IdleTimeout    time.Duration `envconfig:"HTTP_IDLE_TIMEOUT" default:"2m" desc:"how long a connection may wait for its next request"`

	Trace trace.Config
}

// Validate checks the options.
func (o *Options) Validate() (err error) {
	if _, wrong := zap.ParseAtomicLevel(o.LogLevel); wrong != nil {
		err = errors.Join(err, fmt.Errorf("LOG_LEVEL must be debug, info, warn or error, got %q", o.LogLevel))
	}
	if o.Drain <= 0 {
		err = errors.Join(err, fmt.Errorf("DRAIN must be more than 0, got %s", o.Drain))
	}
	if o.HeaderTimeout < 0 || o.RequestTimeout < 0 || o.IdleTimeout < 0 {
		err = errors.Join(err, fmt.Errorf("HTTP_HEADER_TIMEOUT, HTTP_REQUEST_TIMEOUT and HTTP_IDLE_TIMEOUT must be 0 (as by default) or more, got %s, %s and %s",
			o.HeaderTimeout, o.RequestTimeout, o.IdleTimeout))
	}
	return errors.Join(err, o.Trace.Validate())
}

// Process is one running service. Several can share a program.
type Process struct {
	Name    string
	Log     *zap.Logger
	Metrics *prometheus.Registry
	Trace   *trace.Tracer // nil: off; there once Run has begun

	options Options
	group   sync.WaitGroup
	fail    context.CancelCauseFunc
	ctx     context.Context

	mu     sync.Mutex
	stops  []step
	checks []check
}

type step struct {
	name string
	stop func(context.Context) error
}

type check struct {
	name  string
	ready func() error
}

// New makes a process that has not begun.
func New(name string, log *zap.Logger, metrics *prometheus.Registry, options Options) *Process {
	return &Process{Name: name, Log: log.Named(name), Metrics: metrics, options: options}
}

// OnStop registers the undoing of something just done. Once the process ends,
// these run one after another, the last registered first, sharing the drain time.
func (p *Process) OnStop(name string, stop func(context.Context) error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stops = append(p.stops, step{name, stop})
}

// OnReady adds a condition of /readyz. It must answer without waiting.
func (p *Process) OnReady(name string, ready func() error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.checks = append(p.checks, check{name, ready})
}

// Ready is nil when every condition holds, else what does not.
func (p *Process) Ready() (err error) {
	p.mu.Lock()
	checks := p.checks
	p.mu.Unlock()
	for _, c := range checks {
		if wrong := c.ready(); wrong != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", c.name, wrong))
		}
	}
	return err
}

// Go runs f as part of the process: its context ends when the process stops,
// the shutdown waits for it, and an error from it stops the process. It must
// not be called before Run.
func (p *Process) Go(name string, f func(ctx context.Context) error) {
	p.group.Go(func() {
		if err := f(p.ctx); err != nil && p.ctx.Err() == nil {
			p.fail(fmt.Errorf("%s: %w", name, err))
		}
	})
}

// Run calls run and then, when ctx has ended or something failed, takes down
// what was built, in reverse. It returns the first failure; the end of ctx is none.
//
// run may set up, call Go, and return: the process then lives until ctx ends.
func (p *Process) Run(ctx context.Context, run func(ctx context.Context, p *Process) error) error {
	p.ctx, p.fail = context.WithCancelCause(ctx)
	defer p.fail(nil)
	err := p.openTrace()
	if err == nil {
		err = run(p.ctx, p)
	}
	if err == nil {
		<-p.ctx.Done()
		if cause := context.Cause(p.ctx); ctx.Err() == nil {
			err = cause
		}
	}
	p.fail(err)
	return errors.Join(err, p.shutdown())
}

// openTrace is the first thing done, so that what others do at the end is traced too.
func (p *Process) openTrace() (err error) {
	p.Trace, err = trace.Open(p.ctx, "maidian-"+p.Name, Version(), p.options.Trace, p.Log)
	if p.Trace == nil {
		return err
	}
	p.OnStop("traces", func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, lastTraces)
		defer cancel()
		if err := p.Trace.Close(ctx); err != nil {
			p.Log.Warn("the last traces were not sent", zap.Error(err))
		}
		return nil
	})
	return nil
}

// lastTraces is how long a stop may wait for the OpenTelemetry collector.
const lastTraces = 2 * time.Second

func (p *Process) shutdown() (err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(p.ctx), p.options.Drain)
	defer cancel()
	for i := len(p.stops) - 1; i >= 0; i-- {
		if wrong := p.stops[i].stop(ctx); wrong != nil {
			err = errors.Join(err, fmt.Errorf("stop %s: %w", p.stops[i].name, wrong))
		}
	}
	return errors.Join(err, p.wait(ctx))
}

// wait gives the goroutines what is left of the drain time.
func (p *Process) wait(ctx context.Context) error {
	if Wait(ctx, &p.group) != nil {
		return fmt.Errorf("some work had not ended after %s", p.options.Drain)
	}
	return nil
}

// Pause waits for a time, or until ctx ends: then it is false.
func Pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// Wait waits for the group until ctx ends, and then returns ctx's error.
func Wait(ctx context.Context, group *sync.WaitGroup) error {
	done := make(chan struct{})
	go func() {
		group.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
