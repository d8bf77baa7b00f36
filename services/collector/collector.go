// Package collector takes events over HTTP, checks and enriches them, and
// answers once the broker has confirmed them. It keeps nothing itself: any
// number of collectors run beside each other.
package collector

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"time"

	"go.uber.org/zap"

	"github.com/maidian/maidian/pkg/bus"
	"github.com/maidian/maidian/pkg/bus/rabbit"
	"github.com/maidian/maidian/pkg/httpx"
	"github.com/maidian/maidian/pkg/proc"
	"github.com/maidian/maidian/pkg/store"
	"github.com/maidian/maidian/pkg/store/mongo"
	"github.com/maidian/maidian/services/collector/internal/access"
	"github.com/maidian/maidian/services/collector/internal/api"
	"github.com/maidian/maidian/services/collector/internal/enrich"
	"github.com/maidian/maidian/services/collector/internal/intake"
	"github.com/maidian/maidian/services/collector/internal/limit"
)

// Config of the collector, from the environment.
type Config struct {
	proc.Options
	Settings
	Rabbit rabbit.Config
	Mongo  mongo.Config
}

// Settings are what of the configuration does not depend on which broker and
// store there are.
type Settings struct {
	Enabled         bool          `envconfig:"ANALYTICS_ENABLED" default:"true" desc:"false: events are refused with 503, to be sent again later"`
	Listen          string        `envconfig:"COLLECTOR_LISTEN" default:":8080" desc:"address the public API listens on"`
	TrustedProxies  []string      `envconfig:"COLLECTOR_TRUSTED_PROXIES" desc:"networks whose X-Forwarded-For is believed, such as 10.0.0.0/8"`
	PublishDeadline time.Duration `envconfig:"COLLECTOR_PUBLISH_DEADLINE" default:"3s" desc:"a request is answered 503 when the broker has not confirmed by then"`
	BodyTimeout     time.Duration `envconfig:"COLLECTOR_BODY_TIMEOUT" default:"15s" desc:"longest time a request's body may take"`
	MessageEvents   int           `envconfig:"COLLECTOR_MESSAGE_EVENTS" default:"500" desc:"most events in a message that requests share"`
	MessageBytes    int           `envconfig:"COLLECTOR_MESSAGE_BYTES" default:"1000000" desc:"most bytes in a message"`
	EagerMessages   int           `envconfig:"COLLECTOR_EAGER_MESSAGES" default:"4" desc:"with fewer unconfirmed messages than this a request's events leave at once, else they gather"`
	InFlight        int           `envconfig:"COLLECTOR_MESSAGES_IN_FLIGHT" default:"128" desc:"most unconfirmed messages"`
	WaitingBytes    int           `envconfig:"COLLECTOR_WAITING_BYTES" default:"134217728" desc:"most bytes of events that wait for a confirm; above it requests are answered 503"`
	Requests        int           `envconfig:"COLLECTOR_REQUESTS" default:"0" desc:"most requests worked on at a time, above it they are answered 503; 0: 256 for each processor"`
	BodyBytes       int           `envconfig:"COLLECTOR_BODY_BYTES" default:"268435456" desc:"most bytes of bodies in memory; above it requests are answered 503"`
	Rate            float64       `envconfig:"COLLECTOR_RATE" default:"0" desc:"events a second that each key may send to this collector; 0: no limit"`
	Burst           float64       `envconfig:"COLLECTOR_BURST" default:"0" desc:"events that each key may send at once; 0: ten seconds' worth"`
	ProjectsEvery   time.Duration `envconfig:"COLLECTOR_PROJECTS_EVERY" default:"500ms" desc:"how often projects and keys are read again"`
	TallyEvery      time.Duration `envconfig:"COLLECTOR_TALLY_EVERY" default:"2s" desc:"how often the accounting hears what was accepted and rejected"`
	GeoFile         string        `envconfig:"COLLECTOR_GEO_FILE" desc:"MMDB file of networks and places; none: country, region and city stay empty"`
	Demo            bool          `envconfig:"COLLECTOR_DEMO" default:"false" desc:"serve the demo page at /demo"`
}

// Validate says everything that is wrong, one line for each variable.
func (s *Settings) Validate() (err error) {
	positive := func(name string, ok bool, got any) {
		if !ok {
			err = errors.Join(err, fmt.Errorf("%s must be more than 0, got %v", name, got))
		}
	}
	positive("COLLECTOR_PUBLISH_DEADLINE", s.PublishDeadline > 0, s.PublishDeadline)
	positive("COLLECTOR_BODY_TIMEOUT", s.BodyTimeout > 0, s.BodyTimeout)
	positive("COLLECTOR_MESSAGE_EVENTS", s.MessageEvents > 0, s.MessageEvents)
	positive("COLLECTOR_EAGER_MESSAGES", s.EagerMessages > 0, s.EagerMessages)
	positive("COLLECTOR_TALLY_EVERY", s.TallyEvery > 0, s.TallyEvery)
	positive("COLLECTOR_PROJECTS_EVERY", s.ProjectsEvery > 0, s.ProjectsEvery)
	if _, _, wrong := net.SplitHostPort(s.Listen); wrong != nil {
		err = errors.Join(err, fmt.Errorf("COLLECTOR_LISTEN must be an address such as :8080, got %q", s.Listen))
	}
	if _, wrong := enrich.ParseProxies(s.TrustedProxies); wrong != nil {
		err = errors.Join(err, fmt.Errorf("COLLECTOR_TRUSTED_PROXIES %w", wrong))
	}
	if s.MessageBytes < 256<<10 || s.MessageBytes > bus.MaxBody {
		err = errors.Join(err, fmt.Errorf("COLLECTOR_MESSAGE_BYTES must be %d to %d, got %d", 256<<10, bus.MaxBody, s.MessageBytes))
	}
	if s.InFlight < s.EagerMessages {
		err = errors.Join(err, fmt.Errorf("COLLECTOR_MESSAGES_IN_FLIGHT must be at least COLLECTOR_EAGER_MESSAGES (%d), got %d", s.EagerMessages, s.InFlight))
	}
	const least = 16 << 20 // a few of the largest requests
	if s.WaitingBytes < least {
		err = errors.Join(err, fmt.Errorf("COLLECTOR_WAITING_BYTES must be at least %d, got %d", least, s.WaitingBytes))
	}
	if s.BodyBytes < least {
		err = errors.Join(err, fmt.Errorf("COLLECTOR_BODY_BYTES must be at least %d, got %d", least, s.BodyBytes))
	}
	if s.Requests < 0 {
		err = errors.Join(err, fmt.Errorf("COLLECTOR_REQUESTS must be 0 or more, got %d", s.Requests))
	}
	if s.Rate < 0 || s.Burst < 0 {
		err = errors.Join(err, fmt.Errorf("COLLECTOR_RATE and COLLECTOR_BURST must be 0 or more, got %g and %g", s.Rate, s.Burst))
	}
	return err
}

// Validate says everything that is wrong, one line for each variable.
func (c *Config) Validate() error {
	return errors.Join(c.Options.Validate(), c.Settings.Validate(), c.Rabbit.Validate(), c.Mongo.Validate())
}

// Run collects into RabbitMQ, with the projects of MongoDB.
func Run(ctx context.Context, cfg *Config, p *proc.Process) error {
	projects, err := mongo.Open(ctx, cfg.Mongo)
	if err != nil {
		return err
	}
	p.OnStop("store", func(context.Context) error { return projects.Close() })
	// The publisher outlives ctx: what was taken in before the stop is still confirmed.
	publisher, err := rabbit.NewPublisher(context.WithoutCancel(ctx), cfg.Rabbit, p.Log, p.Metrics)
	if err != nil {
		return err
	}
	p.OnStop("publisher", publisher.Close)
	_, err = Serve(ctx, &cfg.Settings, p, Deps{Publisher: publisher, Projects: projects})
	return err
}

// Deps are the collector's broker and store.
type Deps struct {
	Publisher bus.Publisher
	Projects  interface {
		Projects(ctx context.Context) ([]store.Project, error)
	}
}

// Serve answers requests until the process stops, and returns the address it
// listens on. It does not close what it was given.
func Serve(ctx context.Context, s *Settings, p *proc.Process, deps Deps) (net.Addr, error) {
	keys := follow(ctx, s, p, deps)
	in, err := takeIn(s, p, deps)
	if err != nil {
		return nil, err
	}
	h, err := handler(s, p, keys, in)
	if err != nil {
		return nil, err
	}
	addr, err := httpx.Serve(p, s.Listen, h)
	if err == nil {
		p.Log.Info("collecting", zap.Stringer("address", addr))
	}
	return addr, err
}

// follow keeps the projects known. The store may be away at the start: then
// the collector is not ready, and answers 503 until it has read them.
func follow(ctx context.Context, s *Settings, p *proc.Process, deps Deps) *access.Keys {
	keys := access.New(deps.Projects)
	if err := keys.Refresh(ctx); err != nil {
		p.Log.Warn("projects not read yet", zap.Error(err))
	}
	p.OnReady("projects", keys.Ready)
	p.Go("projects", func(ctx context.Context) error {
		keys.Follow(ctx, s.ProjectsEvery, p.Log)
		return nil
	})
	return keys
}

// takeIn builds the way of events to the broker.
func takeIn(s *Settings, p *proc.Process, deps Deps) (*intake.Intake, error) {
	geo, err := places(s, p)
	if err != nil {
		return nil, err
	}
	enricher, err := enrich.New(p.Metrics, p.Log, geo)
	if err != nil {
		return nil, err
	}
	in := intake.New(enricher, deps.Publisher, intake.Limits{
		Events: s.MessageEvents, Bytes: s.MessageBytes, Waiting: s.WaitingBytes,
		Deadline: s.PublishDeadline, Eager: s.EagerMessages, InFlight: s.InFlight,
	}, p.Metrics)
	p.OnStop("intake", in.Close)
	p.Go("tally", func(ctx context.Context) error { return in.Tell(ctx, s.TallyEvery) })
	return in, nil
}

func places(s *Settings, p *proc.Process) (*enrich.Geo, error) {
	if s.GeoFile == "" {
		return nil, nil
	}
	geo, err := enrich.OpenGeo(s.GeoFile)
	if err != nil {
		return nil, fmt.Errorf("COLLECTOR_GEO_FILE: %w", err)
	}
	p.Go("geo file", func(ctx context.Context) error { return geo.Watch(ctx, 30*time.Second, p.Log) })
	return geo, nil
}

// requests are as many as keep the processors busy while others wait for the
// broker, and few enough that each has its turn soon.
func (s *Settings) requests() int {
	if s.Requests > 0 {
		return s.Requests
	}
	return 256 * runtime.GOMAXPROCS(0)
}

func handler(s *Settings, p *proc.Process, keys *access.Keys, in *intake.Intake) (http.Handler, error) {
	proxies, err := enrich.ParseProxies(s.TrustedProxies)
	if err != nil {
		return nil, fmt.Errorf("COLLECTOR_TRUSTED_PROXIES %w", err)
	}
	burst := s.Burst
	if burst == 0 {
		burst = 10 * s.Rate
	}
	a := &api.API{
		Enabled: s.Enabled, Demo: s.Demo, BodyTimeout: s.BodyTimeout, Proxies: proxies,
		Keys: keys, Intake: in, Ready: p.Ready,
		Rate: limit.NewRate(s.Rate, burst), Memory: limit.NewMemory(int64(s.BodyBytes), p.Metrics), Requests: limit.NewRequests(s.requests(), p.Metrics),
	}
	return a.Handler(p)
}
