// Package halves runs the pipeline in two processes on RabbitMQ and SQLite:
// one collects, the other stores and answers queries. So either can be hurt
// alone, at the speed of the embedded store, which belongs to one process.
package halves

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/maidian/maidian/pkg/bus"
	"github.com/maidian/maidian/pkg/bus/rabbit"
	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/proc"
	"github.com/maidian/maidian/pkg/store"
	"github.com/maidian/maidian/pkg/store/sqlite"
	"github.com/maidian/maidian/services/collector"
	"github.com/maidian/maidian/services/consumer"
	"github.com/maidian/maidian/services/query"
)

// Names of the projects that both halves know from the start.
func Names() []string { return []string{"amber", "birch", "coral"} }

// Key of a project: kind is store.WriteKey or store.ReadKey.
func Key(project, kind string) string { return kind[:1] + "k_" + project }

func projects() (all []store.Project) {
	for _, name := range Names() {
		p := store.Project{ID: name, Name: name, IPPolicy: store.IPMask, CreatedAt: 1}
		for _, kind := range []string{store.WriteKey, store.ReadKey} {
			sum := sha256.Sum256([]byte(Key(name, kind)))
			p.Keys = append(p.Keys, store.Key{ID: name + kind, Kind: kind, Prefix: kind[:1] + "k_", Hash: hex.EncodeToString(sum[:]), CreatedAt: event.Time(1)})
		}
		all = append(all, p)
	}
	return all
}

// Collecting is the configuration of the first half.
type Collecting struct {
	proc.Options
	collector.Settings
	Rabbit rabbit.Config
}

// Validate says everything that is wrong, one line for each variable.
func (c *Collecting) Validate() error {
	return errors.Join(c.Options.Validate(), c.Settings.Validate(), c.Rabbit.Validate())
}

// Collect is the collector on RabbitMQ, with projects that never change.
func Collect(ctx context.Context, c *Collecting, p *proc.Process) error {
	publisher, err := rabbit.NewPublisher(context.WithoutCancel(ctx), c.Rabbit, p.Log, p.Metrics)
	if err != nil {
		return err
	}
	p.OnStop("publisher", publisher.Close)
	_, err = collector.Serve(ctx, &c.Settings, p, collector.Deps{Publisher: publisher, Projects: known{}})
	return err
}

type known struct{}

func (known) Projects(context.Context) ([]store.Project, error) { return projects(), nil }

// Storing is the configuration of the second half.
type Storing struct {
	proc.Options
	Consumer consumer.Settings
	Query    query.Settings
	Rabbit   rabbit.Config
	Dir      string `envconfig:"STORE_DIR" default:"data" desc:"directory of the store"`
}

// Validate says everything that is wrong, one line for each variable.
func (c *Storing) Validate() error {
	return errors.Join(c.Options.Validate(), c.Consumer.Validate(), c.Query.Validate(), c.Rabbit.Validate())
}

// Store is the consumer and the query service on RabbitMQ and SQLite.
func Store(ctx context.Context, c *Storing, p *proc.Process) error {
	s, err := sqlite.Open(ctx, c.Dir)
	if err != nil {
		return err
	}
	p.OnStop("store", func(context.Context) error { return s.Close() })
	for _, project := range projects() {
		if err := s.CreateProject(ctx, project); err != nil && !errors.Is(err, store.ErrConflict) {
			return fmt.Errorf("make project %s: %w", project.ID, err)
		}
	}
	var receivers []bus.Receiver
	for range c.Consumer.Workers {
		r, err := rabbit.NewReceiver(c.Rabbit, c.Consumer.Limits(), p.Log, p.Metrics)
		if err != nil {
			return err
		}
		receivers = append(receivers, r)
	}
	if err := consumer.Serve(ctx, &c.Consumer, p, consumer.Deps{Receivers: receivers, Store: &hurt{Store: s, dir: c.Dir}}); err != nil {
		return err
	}
	_, err = query.Serve(ctx, &c.Query, p, query.Deps{Store: s})
	return err
}
