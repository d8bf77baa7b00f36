package mongo

import (
	"context"
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/fault"
	"github.com/maidian/maidian/pkg/store"
)

// mostInserts is how many documents one command inserts.
const mostInserts = 1000

func unstorable(format string, args ...any) error {
	return fault.New(fault.Invalid, "unstorable", format, args...)
}

// InsertEvents is described by store.Events.
func (s *Store) InsertEvents(ctx context.Context, events []event.Event) ([]store.Outcome, error) {
	docs := make([]any, len(events))
	for i := range events {
		doc, err := encode(&events[i])
		if err != nil {
			return nil, err
		}
		docs[i] = doc
	}
	outcomes := make([]store.Outcome, len(events)) // all Stored
	for from := 0; from < len(events); from += mostInserts {
		to := min(from+mostInserts, len(events))
		if err := s.insertSome(ctx, events[from:to], docs[from:to], outcomes[from:to]); err != nil {
			return nil, kind(ctx, fmt.Sprintf("store %d events", len(events)), err)
		}
	}
	return outcomes, nil
}

// insertSome inserts in any order, so that one refused document does not hold up the rest.
func (s *Store) insertSome(ctx context.Context, events []event.Event, docs []any, outcomes []store.Outcome) error {
	_, err := s.events.InsertMany(ctx, docs, options.InsertMany().SetOrdered(false))
	if err == nil {
		return nil
	}
	refused, err := duplicatesOf(err)
	if err != nil {
		return err
	}
	return s.lookUp(ctx, events, refused, outcomes)
}

// duplicatesOf are the places of the documents that were refused because
// their _id is taken, when that is all that went wrong.
func duplicatesOf(err error) ([]int, error) {
	bulk := mongo.BulkWriteException{}
	if !errors.As(err, &bulk) || bulk.WriteConcernError != nil {
		return nil, err
	}
	places := make([]int, 0, len(bulk.WriteErrors))
	for _, e := range bulk.WriteErrors {
		if !isDuplicate(e.Code) {
			return nil, err
		}
		places = append(places, e.Index)
	}
	return places, nil
}

// lookUp tells, of refused events, those that an earlier attempt of the same message stored.
func (s *Store) lookUp(ctx context.Context, events []event.Event, refused []int, outcomes []store.Outcome) error {
	ids := make([]string, len(refused))
	for i, at := range refused {
		ids[i] = key(events[at].Project, events[at].EventID)
	}
	cursor, err := s.events.Find(ctx, bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: ids}}}},
		options.Find().SetProjection(bson.D{{Key: "batch_id", Value: 1}, {Key: "position", Value: 1}}))
	if err != nil {
		return err
	}
	var found []struct {
		ID       string `bson:"_id"`
		BatchID  string `bson:"batch_id"`
		Position int    `bson:"position"`
	}
	if err := cursor.All(ctx, &found); err != nil {
		return err
	}
	type place struct {
		batch    string
		position int
	}
	there := make(map[string]place, len(found))
	for _, f := range found {
		there[f.ID] = place{f.BatchID, f.Position}
	}
	for i, at := range refused {
		p, ok := there[ids[i]]
		if !ok { // erased or rolled back in between: the next attempt will find out
			return fault.New(fault.Unavailable, "store_unavailable", "event %s was refused as a duplicate and is not there", ids[i])
		}
		outcomes[at] = store.Duplicate
		if p == (place{events[at].BatchID, events[at].Position}) {
			outcomes[at] = store.Own
		}
	}
	return nil
}

// batchesAtOnce is how many batches one find reads, each at most one message.
const batchesAtOnce = 16

// EventsOfBatches is described by store.Events.
func (s *Store) EventsOfBatches(ctx context.Context, project string, ids []string, yield func(*event.Event) error) error {
	for from := 0; from < len(ids); from += batchesAtOnce {
		some := ids[from:min(from+batchesAtOnce, len(ids))]
		batches, err := s.eventsOf(ctx, project, some)
		if err != nil {
			return kind(ctx, fmt.Sprintf("read %d batches", len(ids)), err)
		}
		for _, id := range some {
			for _, e := range batches[id] {
				if err := yield(e); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (s *Store) eventsOf(ctx context.Context, project string, ids []string) (map[string][]*event.Event, error) {
	cursor, err := s.events.Find(ctx,
		bson.D{{Key: "batch_id", Value: bson.D{{Key: "$in", Value: ids}}}, {Key: "project", Value: project}, living},
		options.Find().SetSort(bson.D{{Key: "batch_id", Value: 1}, {Key: "position", Value: 1}}))
	if err != nil {
		return nil, err
	}
	defer cursor.Close(context.WithoutCancel(ctx))
	batches := make(map[string][]*event.Event, len(ids))
	for cursor.Next(ctx) {
		e, err := decode(cursor.Current)
		if err != nil {
			return nil, err
		}
		batches[e.BatchID] = append(batches[e.BatchID], e)
	}
	return batches, cursor.Err()
}

// Event is described by store.Events.
func (s *Store) Event(ctx context.Context, project, id string) (*event.Event, error) {
	doc, err := s.events.FindOne(ctx, bson.D{{Key: "_id", Value: key(project, id)}, living}).Raw()
	if errors.Is(err, mongo.ErrNoDocuments) {
		return nil, store.ErrNotFound
	}
	if err != nil {
		return nil, kind(ctx, "read event "+id, err)
	}
	return decode(doc)
}
