// Package mongo keeps the pipeline's data in MongoDB, one document an event,
// with the fields that people expect to find there.
//
// It asks nothing of the server but insert, find by indexed fields with sort,
// limit and projection, replace and update by _id with upsert, delete by
// indexed fields, and create index: so it runs on a standalone server, a
// replica set, a sharded cluster (shard key: hashed _id) and on compatible
// servers. Every write waits for the majority and its journal, and every read
// goes to the primary.
package mongo

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/topology"

	"github.com/maidian/maidian/pkg/store"
)

var _ store.Store = (*Store)(nil)

// Store is a store.Store on a MongoDB server. It reconnects by itself.
type Store struct {
	client      *mongo.Client
	events      *mongo.Collection
	batches     *mongo.Collection
	deadLetters *mongo.Collection
	discards    *mongo.Collection
	projects    *mongo.Collection
	segments    *mongo.Collection
	jobs        *mongo.Collection
	tallies     *mongo.Collection
	records     *mongo.Collection
}

// Open connects, waits for the server at most cfg.Start, and makes the indexes
// that are not there. The error is one line without the password.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	ctx, cancel := context.WithTimeout(ctx, cfg.Start)
	defer cancel()
	opts := cfg.client()
	at := strings.Join(opts.Hosts, ",")
	client, err := mongo.Connect(opts)
	if err != nil {
		return nil, fmt.Errorf("open store: %s", redact(cfg.URI, err))
	}
	db := client.Database(cfg.Database)
	s := &Store{
		client:      client,
		events:      db.Collection("events"),
		batches:     db.Collection("batches"),
		deadLetters: db.Collection("dead_letters"),
		discards:    db.Collection("discards"),
		projects:    db.Collection("projects"),
		segments:    db.Collection("segments"),
		jobs:        db.Collection("jobs"),
		tallies:     db.Collection("tallies"),
		records:     db.Collection("records"),
	}
	if err := client.Ping(ctx, readpref.Primary()); err != nil {
		_ = s.Close()
		return nil, fmt.Errorf("open store: MongoDB at %s cannot be used: %s", at, redact(cfg.URI, root(err)))
	}
	if err := s.checkSchema(ctx); err != nil {
		_ = s.Close()
		return nil, fmt.Errorf("open store: the database %s in MongoDB at %s cannot be used: %s", cfg.Database, at, redact(cfg.URI, root(err)))
	}
	if err := s.ensureIndexes(ctx); err != nil {
		_ = s.Close()
		return nil, fmt.Errorf("open store: create indexes in MongoDB at %s: %s", at, redact(cfg.URI, err))
	}
	return s, nil
}

// ensureIndexes makes the few indexes there are. Events have two, _id and
// this one, and no more: each further one halves how fast they are stored.
func (s *Store) ensureIndexes(ctx context.Context) error {
	for _, index := range []struct {
		on   *mongo.Collection
		keys bson.D
	}{
		{s.events, bson.D{{Key: "batch_id", Value: 1}, {Key: "position", Value: 1}}},
		{s.batches, bson.D{{Key: "written_at", Value: 1}, {Key: "batch_id", Value: 1}, {Key: "project", Value: 1}}},
		{s.deadLetters, bson.D{{Key: "project", Value: 1}, {Key: "_id", Value: 1}}},
		{s.discards, bson.D{{Key: "project", Value: 1}, {Key: "_id", Value: 1}}},
		{s.segments, bson.D{{Key: "project", Value: 1}, {Key: "day", Value: 1}, {Key: "name", Value: 1}, {Key: "part", Value: 1}}},
		{s.jobs, bson.D{{Key: "finished_at", Value: 1}, {Key: "created_at", Value: 1}}},
		{s.tallies, bson.D{{Key: "project", Value: 1}, {Key: "hour", Value: 1}}},
		{s.records, bson.D{{Key: "kind", Value: 1}, {Key: "due", Value: 1}}},
	} {
		if _, err := index.on.Indexes().CreateOne(ctx, mongo.IndexModel{Keys: index.keys}); err != nil {
			return fmt.Errorf("%s: %w", index.on.Name(), err)
		}
	}
	return nil
}

// root is what stands behind the driver's account of all the servers it tried.
func root(err error) error {
	if e := (topology.ServerSelectionError{}); errors.As(err, &e) {
		for _, server := range e.Desc.Servers {
			if server.LastError != nil {
				return server.LastError
			}
		}
	}
	return err
}

// Ping is nil when the primary answers.
func (s *Store) Ping(ctx context.Context) error {
	err := s.client.Ping(ctx, readpref.Primary())
	if err != nil && ctx.Err() == nil {
		return unavailable(fmt.Errorf("ping the store: %w", root(err)))
	}
	return kind(ctx, "ping the store", err)
}

// Close waits a little for operations under way and disconnects.
func (s *Store) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := s.client.Disconnect(ctx); err != nil && !errors.Is(err, mongo.ErrClientDisconnected) {
		return err
	}
	return nil
}
