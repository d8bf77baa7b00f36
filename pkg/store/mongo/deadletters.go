package mongo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/store"
)

// deadLetter is a dead letter as the collection has it.
type deadLetter struct {
	ID        string        `bson:"_id"`
	Project   string        `bson:"project"`
	Key       string        `bson:"key"`
	Hour      int32         `bson:"hour"`
	BatchID   string        `bson:"batch_id"`
	Position  int           `bson:"position"`
	Reason    string        `bson:"reason"`
	Payload   []byte        `bson:"payload"`
	Attempts  int           `bson:"attempts"`
	FirstSeen bson.DateTime `bson:"first_seen"`
}

func (d *deadLetter) letter() store.DeadLetter {
	return store.DeadLetter{
		ID: d.ID, Project: d.Project, Key: d.Key, Hour: d.Hour, BatchID: d.BatchID, Position: d.Position, Reason: d.Reason,
		Payload: d.Payload, Attempts: d.Attempts, FirstSeen: event.Time(d.FirstSeen),
	}
}

// PutDeadLetters is described by store.DeadLetters.
func (s *Store) PutDeadLetters(ctx context.Context, letters []store.DeadLetter) error {
	sorted := slices.Clone(letters)
	slices.SortStableFunc(sorted, func(a, b store.DeadLetter) int { return cmp.Compare(a.ID, b.ID) })
	writes := make([]mongo.WriteModel, len(sorted))
	for i := range sorted {
		writes[i] = putDeadLetter(&sorted[i])
	}
	return kind(ctx, fmt.Sprintf("put %d dead letters", len(letters)), update(ctx, s.deadLetters, writes))
}

func putDeadLetter(l *store.DeadLetter) mongo.WriteModel {
	payload := l.Payload
	if payload == nil {
		payload = []byte{} // nil would be null
	}
	set := bson.D{
		{Key: "project", Value: l.Project},
		{Key: "key", Value: l.Key},
		{Key: "hour", Value: l.Hour},
		{Key: "batch_id", Value: l.BatchID},
		{Key: "position", Value: l.Position},
		{Key: "reason", Value: l.Reason},
		{Key: "payload", Value: payload},
		{Key: "attempts", Value: l.Attempts},
	}
	first := bson.D{{Key: "first_seen", Value: bson.DateTime(l.FirstSeen)}}
	return mongo.NewUpdateOneModel().SetFilter(bson.D{{Key: "_id", Value: l.ID}}).
		SetUpdate(bson.D{{Key: "$set", Value: set}, {Key: "$setOnInsert", Value: first}}).SetUpsert(true)
}

// DeadLetters is described by store.DeadLetters.
func (s *Store) DeadLetters(ctx context.Context, project, after string, limit int) ([]store.DeadLetter, error) {
	letters, err := listOf(ctx, s.deadLetters, project, after, limit, (*deadLetter).letter)
	return letters, kind(ctx, "read dead letters", err)
}

// DeadLetter is described by store.DeadLetters.
func (s *Store) DeadLetter(ctx context.Context, id string) (*store.DeadLetter, error) {
	var doc deadLetter
	err := s.deadLetters.FindOne(ctx, bson.D{{Key: "_id", Value: id}}).Decode(&doc)
	if errors.Is(err, mongo.ErrNoDocuments) {
		return nil, store.ErrNotFound
	}
	if err != nil {
		return nil, kind(ctx, "read dead letter "+id, err)
	}
	letter := doc.letter()
	return &letter, nil
}

// listOf reads the documents of a project, or of all of them, after an id.
func listOf[D, T any](ctx context.Context, c *mongo.Collection, project, after string, limit int, meaning func(*D) T) ([]T, error) {
	if limit <= 0 {
		return nil, nil
	}
	filter := bson.D{{Key: "_id", Value: bson.D{{Key: "$gt", Value: after}}}}
	if project != "*" {
		filter = append(filter, bson.E{Key: "project", Value: project})
	}
	return list(ctx, c, filter, bson.D{{Key: "_id", Value: 1}}, limit, meaning)
}

// list reads documents of one kind and what they mean.
func list[D, T any](ctx context.Context, c *mongo.Collection, filter, order bson.D, limit int, meaning func(*D) T) ([]T, error) {
	cursor, err := c.Find(ctx, filter, options.Find().SetSort(order).SetLimit(int64(limit)))
	if err != nil {
		return nil, err
	}
	var docs []D
	if err := cursor.All(ctx, &docs); err != nil {
		return nil, err
	}
	var found []T
	for i := range docs {
		found = append(found, meaning(&docs[i]))
	}
	return found, nil
}

// DeleteDeadLetters is described by store.DeadLetters.
func (s *Store) DeleteDeadLetters(ctx context.Context, ids []string) (int, error) {
	deleted := 0
	for some := range slices.Chunk(ids, mostInserts) {
		result, err := s.deadLetters.DeleteMany(ctx, bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: some}}}})
		if err != nil {
			return deleted, kind(ctx, fmt.Sprintf("delete %d dead letters", len(ids)), err)
		}
		deleted += int(result.DeletedCount)
	}
	return deleted, nil
}
