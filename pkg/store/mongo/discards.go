package mongo

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/store"
)

// discard is a discard as the collection has it.
type discard struct {
	ID        string        `bson:"_id,omitempty"`
	Letter    string        `bson:"letter_id"`
	Project   string        `bson:"project"`
	BatchID   string        `bson:"batch_id"`
	Position  int           `bson:"position"`
	FirstSeen bson.DateTime `bson:"first_seen"`
	At        bson.DateTime `bson:"at"`
	By        string        `bson:"by"`
	Address   string        `bson:"address"`
	Reason    string        `bson:"reason"`
}

func (d *discard) meaning() store.Discard {
	return store.Discard{
		ID: d.ID, Letter: d.Letter, Project: d.Project, BatchID: d.BatchID, Position: d.Position,
		FirstSeen: event.Time(d.FirstSeen), At: event.Time(d.At), By: d.By, Address: d.Address, Reason: d.Reason,
	}
}

// PutDiscards is described by store.DeadLetters.
func (s *Store) PutDiscards(ctx context.Context, discards []store.Discard) error {
	sorted := slices.Clone(discards)
	slices.SortStableFunc(sorted, func(a, b store.Discard) int { return cmp.Compare(a.ID, b.ID) })
	writes := make([]mongo.WriteModel, len(sorted))
	for i := range sorted {
		d := &sorted[i]
		writes[i] = mongo.NewUpdateOneModel().SetFilter(bson.D{{Key: "_id", Value: d.ID}}).SetUpsert(true).
			SetUpdate(bson.D{{Key: "$set", Value: discard{ // the upsert takes _id from its filter
				Letter: d.Letter, Project: d.Project, BatchID: d.BatchID, Position: d.Position,
				FirstSeen: bson.DateTime(d.FirstSeen), At: bson.DateTime(d.At), By: d.By, Address: d.Address, Reason: d.Reason,
			}}})
	}
	return kind(ctx, fmt.Sprintf("put %d discards", len(discards)), update(ctx, s.discards, writes))
}

// Discards is described by store.DeadLetters.
func (s *Store) Discards(ctx context.Context, project, after string, limit int) ([]store.Discard, error) {
	discards, err := listOf(ctx, s.discards, project, after, limit, (*discard).meaning)
	return discards, kind(ctx, "read discards", err)
}
