package mongo

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/maidian/maidian/pkg/store"
)

// PruneEvents is described by store.Events.
func (s *Store) PruneEvents(ctx context.Context, prunings []store.Pruning) error {
	var keys []string
	for _, p := range prunings {
		for _, id := range p.Events {
			keys = append(keys, key(p.Batch.Project, id))
		}
	}
	for some := range slices.Chunk(keys, mostInserts) {
		if _, err := s.events.DeleteMany(ctx, bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: some}}}, living}); err != nil {
			return kind(ctx, fmt.Sprintf("prune %d events", len(keys)), err)
		}
	}
	return kind(ctx, fmt.Sprintf("record what was pruned of %d batches", len(prunings)), s.recordPruned(ctx, prunings))
}

// recordPruned counts what is left of batches, tombstones among it, so that it
// is right however often it is made.
func (s *Store) recordPruned(ctx context.Context, prunings []store.Pruning) error {
	byKey := slices.SortedFunc(slices.Values(prunings), func(a, b store.Pruning) int {
		return cmp.Compare(key(a.Batch.Project, a.Batch.ID), key(b.Batch.Project, b.Batch.ID))
	})
	for some := range slices.Chunk(byKey, batchesAtOnce) {
		left, err := s.left(ctx, some)
		if err != nil {
			return err
		}
		writes := make([]mongo.WriteModel, len(some))
		for i, p := range some {
			b := &p.Batch
			as := bson.D{{Key: "_id", Value: key(b.Project, b.ID)}, {Key: "written_at", Value: bson.DateTime(b.WrittenAt)}}
			is := bson.D{{Key: "days", Value: append([]int32{}, p.Days...)}, {Key: "pruned", Value: b.Stored - left[key(b.Project, b.ID)]}}
			writes[i] = mongo.NewUpdateOneModel().SetFilter(as).SetUpdate(bson.D{{Key: "$set", Value: is}})
		}
		if err := update(ctx, s.batches, writes); err != nil {
			return err
		}
	}
	return nil
}

// left is how many documents there are of each batch.
func (s *Store) left(ctx context.Context, prunings []store.Pruning) (map[string]int, error) {
	ids := make([]string, len(prunings))
	for i := range prunings {
		ids[i] = prunings[i].Batch.ID
	}
	cursor, err := s.events.Find(ctx, bson.D{{Key: "batch_id", Value: bson.D{{Key: "$in", Value: ids}}}},
		options.Find().SetProjection(bson.D{{Key: "project", Value: 1}, {Key: "batch_id", Value: 1}}))
	if err != nil {
		return nil, err
	}
	defer cursor.Close(context.WithoutCancel(ctx))
	left := make(map[string]int, len(ids))
	for cursor.Next(ctx) {
		var e struct {
			Project string `bson:"project"`
			Batch   string `bson:"batch_id"`
		}
		if err := cursor.Decode(&e); err != nil {
			return nil, err
		}
		left[key(e.Project, e.Batch)]++
	}
	return left, cursor.Err()
}
