package mongo

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/store"
)

// record is a record as the collection has it.
type record struct {
	Key      string        `bson:"_id"`
	Kind     string        `bson:"kind"`
	Project  string        `bson:"project"`
	ID       string        `bson:"record_id"`
	Due      bson.DateTime `bson:"due"`
	Data     []byte        `bson:"data"`
	Revision int64         `bson:"revision"`
}

func recordOf(r *store.Record) record {
	return record{r.Key(), r.Kind, r.Project, r.ID, bson.DateTime(r.Due), r.Data, r.Revision}
}

func (r *record) record() store.Record {
	return store.Record{Kind: r.Kind, Project: r.Project, ID: r.ID, Due: event.Time(r.Due), Data: r.Data, Revision: r.Revision}
}

// CreateRecord is described by store.Records.
func (s *Store) CreateRecord(ctx context.Context, r store.Record) error {
	_, err := s.records.InsertOne(ctx, recordOf(&r))
	if mongo.IsDuplicateKeyError(err) {
		return store.ErrConflict
	}
	return kind(ctx, "create record "+r.Key(), err)
}

// Record is described by store.Records.
func (s *Store) Record(ctx context.Context, kindOf, project, id string) (*store.Record, error) {
	r := store.Record{Kind: kindOf, Project: project, ID: id}
	var doc record
	err := s.records.FindOne(ctx, bson.D{{Key: "_id", Value: r.Key()}}).Decode(&doc)
	if errors.Is(err, mongo.ErrNoDocuments) {
		return nil, store.ErrNotFound
	}
	if err != nil {
		return nil, kind(ctx, "read record "+r.Key(), err)
	}
	r = doc.record()
	return &r, nil
}

// Records is described by store.Records.
func (s *Store) Records(ctx context.Context, kindOf, project, after string, limit int) ([]store.Record, error) {
	above, below := store.RecordRange(kindOf, project, after)
	records, err := list(ctx, s.records, bson.D{{Key: "_id", Value: bson.D{{Key: "$gt", Value: above}, {Key: "$lt", Value: below}}}}, bson.D{{Key: "_id", Value: 1}}, limit, (*record).record)
	return records, kind(ctx, "read records of kind "+kindOf, err)
}

// DueRecords is described by store.Records.
func (s *Store) DueRecords(ctx context.Context, kindOf string, at event.Time, limit int) ([]store.Record, error) {
	due := bson.D{{Key: "kind", Value: kindOf}, {Key: "due", Value: bson.D{{Key: "$gt", Value: bson.DateTime(0)}, {Key: "$lte", Value: bson.DateTime(at)}}}}
	records, err := list(ctx, s.records, due, bson.D{{Key: "due", Value: 1}}, limit, (*record).record)
	slices.SortFunc(records, func(a, b store.Record) int { return cmp.Or(cmp.Compare(a.Due, b.Due), cmp.Compare(a.Key(), b.Key())) })
	return records, kind(ctx, "read due records of kind "+kindOf, err)
}

// UpdateRecord is described by store.Records.
func (s *Store) UpdateRecord(ctx context.Context, r store.Record) error {
	doc := recordOf(&r)
	doc.Revision++
	return replaceRevision(ctx, s.records, "update record "+doc.Key, doc.Key, r.Revision, doc)
}

// DeleteRecord is described by store.Records.
func (s *Store) DeleteRecord(ctx context.Context, r store.Record) error {
	result, err := s.records.DeleteOne(ctx, ofRevision(r.Key(), r.Revision))
	if err != nil || result.DeletedCount == 1 {
		return kind(ctx, "delete record "+r.Key(), err)
	}
	return absent(ctx, s.records, "delete record "+r.Key(), r.Key())
}
