package allinone

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"github.com/maidian/maidian/pkg/bus"
	"github.com/maidian/maidian/pkg/bus/jetstream"
	"github.com/maidian/maidian/pkg/bus/rabbit"
	"github.com/maidian/maidian/pkg/proc"
	"github.com/maidian/maidian/pkg/store"
	"github.com/maidian/maidian/pkg/store/mongo"
	"github.com/maidian/maidian/pkg/store/sqlite"
	"github.com/maidian/maidian/pkg/testenv/rabbitnode"
	"github.com/maidian/maidian/services/allinone/internal/recent"
	"github.com/maidian/maidian/services/collector"
	"github.com/maidian/maidian/services/consumer"
	"github.com/maidian/maidian/services/query"
)

// openStore opens MongoDB where one is named, else SQLite in the data directory.
func (s *System) openStore(ctx context.Context) (err error) {
	if s.Store, err = s.cfg.openStore(ctx); err != nil {
		return err
	}
	s.Store = recent.Over(s.Store, mostRecent)
	s.parts = append(s.parts, &part{name: "store", stop: func(context.Context) error { return s.Store.Close() }})
	return s.demoProject(ctx)
}

func (c *Config) openStore(ctx context.Context) (store.Store, error) {
	switch {
	case c.UseMongo:
		return openMongo(ctx, c.Mongo)
	case c.Memory:
		return openSQLite(ctx, sqlite.Memory)
	}
	return openSQLite(ctx, c.path("store"))
}

// OpenData opens the store that a system has left or, on MongoDB, uses.
func (c *Config) OpenData(ctx context.Context) (store.Store, error) {
	if _, err := os.Stat(c.path("store")); !c.UseMongo && err != nil {
		return nil, fmt.Errorf("there is no data of maidian serve: %w", err)
	}
	return c.openStore(ctx)
}

// mostRecent is the most events that wait in memory to be followed: a few seconds' worth.
const mostRecent = 200_000

// openMongo and openSQLite return the interface only when there is a store in it.
func openMongo(ctx context.Context, c mongo.Config) (store.Store, error) {
	s, err := mongo.Open(ctx, c)
	if err != nil {
		return nil, err
	}
	return s, nil
}

func openSQLite(ctx context.Context, dir string) (store.Store, error) {
	s, err := sqlite.Open(ctx, dir)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// openBroker opens the broker and, on it, the services.
func (s *System) openBroker(ctx context.Context) error {
	if s.cfg.RabbitNode {
		if err := s.startNode(); err != nil {
			return err
		}
	}
	if s.cfg.UseRabbit || s.cfg.RabbitNode {
		return s.onRabbit(ctx)
	}
	return s.onJetStream(ctx)
}

// startNode runs a RabbitMQ of our own, whose data lies beside the store's.
func (s *System) startNode() error {
	node, err := rabbitnode.Start(s.cfg.path("rabbitmq"), s.log)
	if err != nil {
		return err
	}
	s.parts = append(s.parts, &part{name: "rabbitmq", stop: func(context.Context) error { node.Close(); return nil }})
	s.cfg.Rabbit.URL = node.URL()
	return nil
}

func (s *System) onRabbit(ctx context.Context) error {
	if err := rabbit.Check(ctx, s.cfg.Rabbit); err != nil {
		return err
	}
	publisher, err := rabbit.NewPublisher(context.WithoutCancel(ctx), s.cfg.Rabbit, s.log, s.registry("collector"))
	if err != nil {
		return err
	}
	var receivers []bus.Receiver
	var ours []*rabbit.Receiver
	for range s.cfg.Consumer.Workers {
		r, err := rabbit.NewReceiver(s.cfg.Rabbit, s.cfg.Consumer.Limits(), s.log, s.registry("consumer"))
		if err != nil {
			return err
		}
		receivers, ours = append(receivers, r), append(ours, r)
	}
	if s.Queue, err = rabbit.NewInspector(s.cfg.Rabbit, ours...); err != nil {
		return err
	}
	return s.startServices(ctx, publisher, receivers)
}

func (s *System) onJetStream(ctx context.Context) error {
	server, err := jetstream.Start(jetstream.Config{
		Dir: s.cfg.path("broker"), Memory: s.cfg.Memory, MaxMessages: s.cfg.Rabbit.MaxMessages,
	}, s.log)
	if err != nil {
		return err
	}
	s.parts = append(s.parts, &part{name: "broker", stop: server.Close})
	s.Queue = server
	publisher, err := server.Publisher(s.registry("collector"))
	if err != nil {
		return err
	}
	var receivers []bus.Receiver
	for range s.cfg.Consumer.Workers {
		receivers = append(receivers, server.Receiver(s.cfg.Consumer.Limits(), s.registry("consumer")))
	}
	return s.startServices(ctx, publisher, receivers)
}

func (s *System) startServices(ctx context.Context, publisher bus.Publisher, receivers []bus.Receiver) error {
	s.parts = append(s.parts, &part{name: "publisher", stop: publisher.Close})
	if err := s.run(ctx, "consumer", func(ctx context.Context, p *proc.Process) error {
		return consumer.Serve(ctx, &s.cfg.Consumer, p, consumer.Deps{Receivers: receivers, Store: s.Store, Queue: s.Queue})
	}); err != nil {
		return err
	}
	if !s.cfg.UseRabbit && s.cfg.Consumer.Enabled {
		s.parts = append(s.parts, &part{name: "queue", stop: s.drainQueue})
	}
	if err := s.run(ctx, "query", func(ctx context.Context, p *proc.Process) (err error) {
		s.Query, err = query.Serve(ctx, &s.cfg.Query, p, query.Deps{Store: s.Store})
		return err
	}); err != nil {
		return err
	}
	return s.run(ctx, "collector", func(ctx context.Context, p *proc.Process) (err error) {
		s.Collector, err = collector.Serve(ctx, &s.cfg.Collector, p, collector.Deps{Publisher: publisher, Projects: s.Store})
		return err
	})
}

// URL is an address as others on this machine reach it.
func URL(a net.Addr) string {
	host, port, err := net.SplitHostPort(a.String())
	if err != nil {
		return "http://" + a.String()
	}
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port)
}

// Places says in a few words where the data is.
func (c *Config) Places() string {
	data, queue := "SQLite in "+c.path("store"), "queue on JetStream in "+c.path("broker")
	if c.Memory {
		data, queue = "in memory, gone at the end", "queue too"
	}
	if c.UseMongo {
		data = "MongoDB, database " + c.Mongo.Database
	}
	switch {
	case c.RabbitNode:
		queue = "queue on a private RabbitMQ node in " + c.path("rabbitmq")
	case c.UseRabbit:
		queue = "queue " + c.Rabbit.Queue + " on RabbitMQ"
	}
	return data + "; " + queue
}

func (c *Config) path(name string) string { return filepath.Join(c.Dir, name) }
