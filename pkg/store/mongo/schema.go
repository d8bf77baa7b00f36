package mongo

import (
	"context"
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
)

// schemaVersion is that of the documents. It is raised only where programs
// of the version before would misread what newer ones write: new fields are no
// such change, older programs pass over them.
const schemaVersion = 1

// schema is the one document that says which version a database has.
type schema struct {
	ID      string `bson:"_id"`
	Version int    `bson:"version"`
}

// checkSchema writes the version into a database that has none, and refuses one that a newer program wrote.
func (s *Store) checkSchema(ctx context.Context) error {
	in := s.events.Database().Collection("schema")
	_, err := in.InsertOne(ctx, schema{"schema", schemaVersion})
	if !mongo.IsDuplicateKeyError(err) {
		return allowed(err)
	}
	var is schema
	err = in.FindOne(ctx, bson.D{{Key: "_id", Value: "schema"}}).Decode(&is)
	if err == nil && is.Version > schemaVersion {
		err = fmt.Errorf("its documents have version %d, this program knows versions up to %d: use the newer program that wrote them", is.Version, schemaVersion)
	}
	if errors.Is(err, mongo.ErrNoDocuments) { // dropped in between
		err = nil
	}
	return allowed(err)
}

// unauthorized is the server's code for a user who may not do something.
const unauthorized = 13

// allowed is nil for what the user may not ask: a collector reads projects, and nothing else.
func allowed(err error) error {
	if server := mongo.ServerError(nil); errors.As(err, &server) && server.HasErrorCode(unauthorized) {
		return nil
	}
	return err
}
