package mongo

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/store"
)

// tally is a tally as the collection has it.
type tally struct {
	Project   string        `bson:"project"`
	Key       string        `bson:"key"`
	Hour      int32         `bson:"hour"`
	Collector string        `bson:"collector"`
	Outcome   string        `bson:"outcome"`
	Events    int           `bson:"events"`
	WrittenAt bson.DateTime `bson:"written_at"`
}

func (y *tally) meaning() *store.Tally {
	return &store.Tally{
		Tally:     event.Tally{Collector: y.Collector, Project: y.Project, Key: y.Key, Hour: y.Hour, Outcome: y.Outcome, Events: y.Events},
		WrittenAt: event.Time(y.WrittenAt),
	}
}

func tallyID(y *store.Tally) string {
	return fmt.Sprintf("%s/%d/%s/%s/%s", y.Project, y.Hour, y.Collector, y.Key, y.Outcome)
}

// RaiseTallies is described by store.Tallies.
func (s *Store) RaiseTallies(ctx context.Context, tallies []store.Tally) error {
	sorted := slices.Clone(tallies)
	slices.SortFunc(sorted, func(a, b store.Tally) int { return cmp.Compare(tallyID(&a), tallyID(&b)) })
	writes := make([]mongo.WriteModel, len(sorted))
	for i := range sorted {
		writes[i] = raise(&sorted[i])
	}
	return kind(ctx, fmt.Sprintf("raise %d tallies", len(tallies)), update(ctx, s.tallies, writes))
}

func raise(y *store.Tally) mongo.WriteModel {
	is := bson.D{
		{Key: "project", Value: y.Project},
		{Key: "key", Value: y.Key},
		{Key: "hour", Value: y.Hour},
		{Key: "collector", Value: y.Collector},
		{Key: "outcome", Value: y.Outcome},
	}
	grows := bson.D{{Key: "events", Value: y.Events}, {Key: "written_at", Value: bson.DateTime(y.WrittenAt)}}
	return mongo.NewUpdateOneModel().SetFilter(bson.D{{Key: "_id", Value: tallyID(y)}}).
		SetUpdate(bson.D{{Key: "$set", Value: is}, {Key: "$max", Value: grows}}).SetUpsert(true)
}

// DeleteTallies is described by store.Tallies.
func (s *Store) DeleteTallies(ctx context.Context, tallies []store.Tally) (int, error) {
	deleted := 0
	for some := range slices.Chunk(tallies, mostUpdates) {
		writes := make([]mongo.WriteModel, len(some))
		for i := range some {
			y := &some[i]
			writes[i] = mongo.NewDeleteOneModel().SetFilter(bson.D{
				{Key: "_id", Value: tallyID(y)}, {Key: "events", Value: y.Events}, {Key: "written_at", Value: bson.DateTime(y.WrittenAt)},
			})
		}
		result, err := s.tallies.BulkWrite(ctx, writes)
		if err != nil {
			return deleted, kind(ctx, fmt.Sprintf("delete %d tallies", len(tallies)), err)
		}
		deleted += int(result.DeletedCount)
	}
	return deleted, nil
}

// Tallies is described by store.Tallies.
func (s *Store) Tallies(ctx context.Context, project string, from, to int32, yield func(*store.Tally) error) error {
	filter := bson.D{{Key: "project", Value: project}, {Key: "hour", Value: bson.D{{Key: "$gte", Value: from}, {Key: "$lte", Value: to}}}}
	cursor, err := s.tallies.Find(ctx, filter, options.Find().SetSort(bson.D{{Key: "hour", Value: 1}}))
	if err != nil {
		return kind(ctx, "read tallies", err)
	}
	defer cursor.Close(context.WithoutCancel(ctx))
	for cursor.Next(ctx) {
		var doc tally
		if err := cursor.Decode(&doc); err != nil {
			return fmt.Errorf("read tallies: %w", err)
		}
		if err := yield(doc.meaning()); err != nil {
			return err
		}
	}
	return kind(ctx, "read tallies", cursor.Err())
}
