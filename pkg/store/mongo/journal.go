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

// batch is a journal entry as the collection has it.
type batch struct {
	Key          string        `bson:"_id,omitempty"`
	ID           string        `bson:"batch_id"`
	Project      string        `bson:"project"`
	WrittenAt    bson.DateTime `bson:"written_at"`
	ReceivedAt   bson.DateTime `bson:"received_at"`
	Stored       int           `bson:"stored"`
	Duplicates   int           `bson:"duplicates"`
	DeadLettered int           `bson:"dead_lettered"`
	Erased       int           `bson:"erased,omitempty"` // left out of what RecordBatches writes
	Pruned       int           `bson:"pruned,omitempty"` // likewise
	Days         []int32       `bson:"days"`
	Accounts     []account     `bson:"accounts"`
}

type account struct {
	Key          string         `bson:"key"`
	Hour         int32          `bson:"hour"`
	Stored       int            `bson:"stored"`
	Duplicates   int            `bson:"duplicates"`
	DeadLettered int            `bson:"dead_lettered"`
	Dropped      map[string]int `bson:"dropped_by_sdk,omitempty"`
}

func batchOf(b *store.Batch) batch {
	accounts := make([]account, len(b.Accounts)) // never null
	for i, a := range b.Accounts {
		accounts[i] = account(a)
	}
	return batch{
		Key: key(b.Project, b.ID), ID: b.ID, Project: b.Project,
		WrittenAt: bson.DateTime(b.WrittenAt), ReceivedAt: bson.DateTime(b.ReceivedAt),
		Stored: b.Stored, Duplicates: b.Duplicates, DeadLettered: b.DeadLettered, Days: append([]int32{}, b.Days...), Accounts: accounts,
	}
}

func (b *batch) entry() store.Batch {
	var accounts []store.Account
	for _, a := range b.Accounts {
		accounts = append(accounts, store.Account(a))
	}
	return store.Batch{
		ID: b.ID, Project: b.Project, WrittenAt: event.Time(b.WrittenAt), ReceivedAt: event.Time(b.ReceivedAt),
		Stored: b.Stored, Duplicates: b.Duplicates, DeadLettered: b.DeadLettered, Erased: b.Erased, Pruned: b.Pruned, Days: append([]int32(nil), b.Days...), Accounts: accounts,
	}
}

// RecordBatches is described by store.Journal.
func (s *Store) RecordBatches(ctx context.Context, batches []store.Batch) error {
	docs := make([]batch, len(batches))
	for i := range batches {
		docs[i] = batchOf(&batches[i])
	}
	// Stable, so that of an entry given twice the later one stays.
	slices.SortStableFunc(docs, func(a, b batch) int { return cmp.Compare(a.Key, b.Key) })
	inserts, changes := make([]mongo.WriteModel, len(docs)), make([]mongo.WriteModel, len(docs))
	for i := range docs {
		d := &docs[i]
		id := bson.E{Key: "_id", Value: d.Key}
		d.Key = "" // the upsert takes it from there
		inserts[i] = mongo.NewUpdateOneModel().SetFilter(bson.D{id}).SetUpdate(bson.D{{Key: "$setOnInsert", Value: d}}).SetUpsert(true)
		changes[i] = mongo.NewUpdateOneModel().SetFilter(bson.D{id, d.saysOther()}).SetUpdate(bson.D{{Key: "$set", Value: d}})
	}
	known, err := upsert(ctx, s.batches, inserts)
	if err == nil && known > 0 {
		err = update(ctx, s.batches, changes)
	}
	return kind(ctx, fmt.Sprintf("record %d batches", len(batches)), err)
}

// saysOther is of an entry that says something else of the batch's events.
func (b *batch) saysOther() bson.E {
	differs := func(field string, value any) bson.D {
		return bson.D{{Key: field, Value: bson.D{{Key: "$ne", Value: value}}}}
	}
	return bson.E{Key: "$or", Value: bson.A{
		differs("received_at", b.ReceivedAt), differs("stored", b.Stored), differs("duplicates", b.Duplicates),
		differs("dead_lettered", b.DeadLettered), differs("days", b.Days),
	}}
}

// mostUpdates is how many updates one command carries; compatible servers break on more.
const mostUpdates = 80

// update is upsert for those who need not know what was there.
func update(ctx context.Context, in *mongo.Collection, writes []mongo.WriteModel) error {
	_, err := upsert(ctx, in, writes)
	return err
}

// upsert runs updates that stand in the order of their keys: concurrent ones
// in random orders deadlock on some servers. Two that insert the same key at
// once make one of them fail as a duplicate; trying again then updates. Known
// is how many of them found a document.
func upsert(ctx context.Context, in *mongo.Collection, writes []mongo.WriteModel) (known int64, err error) {
	for some := range slices.Chunk(writes, mostUpdates) {
		var result *mongo.BulkWriteResult
		for range 3 {
			if result, err = in.BulkWrite(ctx, some, options.BulkWrite().SetOrdered(true)); !mongo.IsDuplicateKeyError(err) {
				break
			}
		}
		if err != nil {
			return 0, err
		}
		known += result.MatchedCount
	}
	return known, nil
}

// Batches is described by store.Journal.
func (s *Store) Batches(ctx context.Context, after store.Cursor, limit int) ([]store.Batch, error) {
	batches, err := s.journal(ctx, after, limit)
	return batches, kind(ctx, "read the journal", err)
}

func (s *Store) journal(ctx context.Context, after store.Cursor, limit int) ([]store.Batch, error) {
	if limit <= 0 {
		return nil, nil
	}
	at := bson.DateTime(after.WrittenAt)
	// The first condition alone gives the index its range; the others only
	// skip the few of the same millisecond that lie before the cursor.
	filter := bson.D{{Key: "written_at", Value: bson.D{{Key: "$gte", Value: at}}}, {Key: "$or", Value: bson.A{
		bson.D{{Key: "written_at", Value: bson.D{{Key: "$gt", Value: at}}}},
		bson.D{{Key: "batch_id", Value: bson.D{{Key: "$gt", Value: after.ID}}}},
		bson.D{{Key: "batch_id", Value: after.ID}, {Key: "project", Value: bson.D{{Key: "$gt", Value: after.Project}}}},
	}}}
	order := bson.D{{Key: "written_at", Value: 1}, {Key: "batch_id", Value: 1}, {Key: "project", Value: 1}}
	return list(ctx, s.batches, filter, order, limit, (*batch).entry)
}
