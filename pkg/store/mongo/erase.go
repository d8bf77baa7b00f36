package mongo

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/maidian/maidian/pkg/event"
)

// tombstone stands where an erased event stood: the primary key refuses a
// late copy, and batch and position say whose copy it is.
type tombstone struct {
	Key      string `bson:"_id"`
	Project  string `bson:"project"`
	BatchID  string `bson:"batch_id"`
	Position int    `bson:"position"`
	Erased   bool   `bson:"erased"`
}

// living are events, not tombstones.
var living = bson.E{Key: "erased", Value: bson.D{{Key: "$ne", Value: true}}}

// EraseEvents is described by store.Events.
func (s *Store) EraseEvents(ctx context.Context, project string, ids []string, at event.Time) error {
	batches := make(map[string]bool)
	for some := range slices.Chunk(ids, mostInserts) {
		if err := s.bury(ctx, project, some, batches); err != nil {
			return kind(ctx, fmt.Sprintf("erase %d events", len(ids)), err)
		}
	}
	return kind(ctx, fmt.Sprintf("record the erasure of %d events", len(ids)), s.recordErased(ctx, project, batches, at))
}

// bury replaces events by tombstones and notes their batches.
func (s *Store) bury(ctx context.Context, project string, ids []string, batches map[string]bool) error {
	keys := make([]string, len(ids))
	for i, id := range ids {
		keys[i] = key(project, id)
	}
	graves, err := s.graves(ctx, bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: keys}}}})
	if err != nil {
		return err
	}
	slices.SortFunc(graves, func(a, b tombstone) int { return cmp.Compare(a.Key, b.Key) })
	writes := make([]mongo.WriteModel, 0, len(graves))
	for _, t := range graves {
		batches[t.BatchID] = true
		if !t.Erased {
			t.Erased = true
			writes = append(writes, mongo.NewReplaceOneModel().SetFilter(bson.D{{Key: "_id", Value: t.Key}}).SetReplacement(t))
		}
	}
	return update(ctx, s.events, writes)
}

// graves are what a tombstone needs of the events found.
func (s *Store) graves(ctx context.Context, filter bson.D) (graves []tombstone, err error) {
	fields := bson.D{}
	for _, name := range []string{"project", "batch_id", "position", "erased"} {
		fields = append(fields, bson.E{Key: name, Value: 1})
	}
	cursor, err := s.events.Find(ctx, filter, options.Find().SetProjection(fields))
	if err != nil {
		return nil, err
	}
	return graves, cursor.All(ctx, &graves)
}

func (s *Store) gravesOf(ctx context.Context, project string, batches []string) ([]tombstone, error) {
	return s.graves(ctx, bson.D{
		{Key: "batch_id", Value: bson.D{{Key: "$in", Value: batches}}}, {Key: "project", Value: project}, {Key: "erased", Value: true},
	})
}

// ErasedEvents is described by store.Events.
func (s *Store) ErasedEvents(ctx context.Context, project string, batches []string) (ids []string, err error) {
	for some := range slices.Chunk(batches, batchesAtOnce) {
		graves, err := s.gravesOf(ctx, project, some)
		if err != nil {
			return nil, kind(ctx, fmt.Sprintf("read what was erased of %d batches", len(batches)), err)
		}
		for _, t := range graves {
			ids = append(ids, strings.TrimPrefix(t.Key, key(project, "")))
		}
	}
	return ids, nil
}

// recordErased counts the tombstones of batches into their journal entries: all
// of them, so that an erasure that broke off can be made again. They only grow
// in number, so of two that count at once the larger is right.
func (s *Store) recordErased(ctx context.Context, project string, batches map[string]bool, at event.Time) error {
	ids := make([]string, 0, len(batches))
	for id := range batches {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for some := range slices.Chunk(ids, batchesAtOnce) {
		graves, err := s.gravesOf(ctx, project, some)
		if err != nil {
			return err
		}
		erased := make(map[string]int, len(some))
		for _, t := range graves {
			erased[t.BatchID]++
		}
		writes := make([]mongo.WriteModel, len(some))
		for i, id := range some {
			most := bson.D{{Key: "erased", Value: erased[id]}, {Key: "written_at", Value: bson.DateTime(at)}}
			writes[i] = mongo.NewUpdateOneModel().SetFilter(bson.D{{Key: "_id", Value: key(project, id)}}).SetUpdate(bson.D{{Key: "$max", Value: most}})
		}
		if err := update(ctx, s.batches, writes); err != nil {
			return err
		}
	}
	return nil
}
