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

// segment is a segment as the collection has it.
type segment struct {
	Key     string `bson:"_id"`
	Project string `bson:"project"`
	Day     int32  `bson:"day"`
	Name    string `bson:"name"`
	Part    int    `bson:"part"`
	Data    []byte `bson:"data"`
}

func segmentOf(g *store.Segment) segment {
	// The name may hold anything and comes last, so that no two keys are written alike.
	return segment{
		Key: fmt.Sprintf("%s/%d/%d/%s", g.Project, g.Day, g.Part, g.Name), Project: g.Project,
		Day: g.Day, Name: g.Name, Part: g.Part, Data: append([]byte{}, g.Data...),
	}
}

// PutSegments is described by store.Segments.
func (s *Store) PutSegments(ctx context.Context, segments []store.Segment) error {
	docs := make([]segment, len(segments))
	for i := range segments {
		docs[i] = segmentOf(&segments[i])
	}
	slices.SortStableFunc(docs, func(a, b segment) int { return cmp.Compare(a.Key, b.Key) })
	writes := make([]mongo.WriteModel, len(docs))
	for i := range docs {
		writes[i] = mongo.NewReplaceOneModel().SetFilter(bson.D{{Key: "_id", Value: docs[i].Key}}).SetReplacement(docs[i]).SetUpsert(true)
	}
	return kind(ctx, fmt.Sprintf("put %d segments", len(segments)), update(ctx, s.segments, writes))
}

// Segments is described by store.Segments.
func (s *Store) Segments(ctx context.Context, project string, from, to int32, names []string, yield func(*store.Segment) error) error {
	order := bson.D{{Key: "day", Value: 1}, {Key: "name", Value: 1}, {Key: "part", Value: 1}}
	cursor, err := s.segments.Find(ctx, segmentsFilter(project, from, to, names), options.Find().SetSort(order))
	if err != nil {
		return kind(ctx, "read segments", err)
	}
	defer cursor.Close(context.WithoutCancel(ctx))
	for cursor.Next(ctx) {
		var doc segment
		if err := cursor.Decode(&doc); err != nil {
			return fmt.Errorf("read segments: %w", err)
		}
		if err := yield(&store.Segment{Project: doc.Project, Day: doc.Day, Name: doc.Name, Part: doc.Part, Data: doc.Data}); err != nil {
			return err
		}
	}
	return kind(ctx, "read segments", cursor.Err())
}

func segmentsFilter(project string, from, to int32, names []string) bson.D {
	filter := bson.D{{Key: "project", Value: project}, {Key: "day", Value: bson.D{{Key: "$gte", Value: from}, {Key: "$lte", Value: to}}}}
	if len(names) > 0 {
		filter = append(filter, bson.E{Key: "name", Value: bson.D{{Key: "$in", Value: names}}})
	}
	return filter
}

// DeleteSegments is described by store.Segments.
func (s *Store) DeleteSegments(ctx context.Context, project string, from, to int32, names []string) (int, error) {
	result, err := s.segments.DeleteMany(ctx, segmentsFilter(project, from, to, names))
	if err != nil {
		return 0, kind(ctx, "delete segments", err)
	}
	return int(result.DeletedCount), nil
}
