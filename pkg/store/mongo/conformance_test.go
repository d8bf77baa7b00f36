package mongo_test

import (
	"context"
	"crypto/rand"
	"os"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	driver "go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/maidian/maidian/pkg/store"
	"github.com/maidian/maidian/pkg/store/mongo"
	"github.com/maidian/maidian/pkg/store/storetest"
	"github.com/maidian/maidian/pkg/testenv"
)

// A place is a connection string, a space, and a database.
func openStore(ctx context.Context, place string) (store.Store, error) {
	uri, database, _ := strings.Cut(place, " ")
	return mongo.Open(ctx, mongo.Config{URI: uri, Database: database, Start: 20 * time.Second, Timeout: 20 * time.Second})
}

func TestMain(m *testing.M) { storetest.Main(m, openStore) }

func newDatabase() string { return "maidian_test_" + strings.ToLower(rand.Text()[:12]) }

// TestConformanceOnFerretDB is the suite as far as FerretDB v1 goes.
func TestConformanceOnFerretDB(t *testing.T) {
	server := testenv.StartFerretDB(t)
	storetest.Run(t, storetest.Harness{
		Place:      func(testing.TB) string { return server.URI() + " " + newDatabase() },
		Open:       openStore,
		MostEvents: 1500,
		OneWriter:  true,
		Restart:    func(testing.TB) { server.Kill(); server.Start() },
	})
}

// TestConformanceOnMongoDB is the whole suite, on the server that MONGODB_URI names.
func TestConformanceOnMongoDB(t *testing.T) {
	uri := os.Getenv("MONGODB_URI")
	if uri == "" {
		t.Skip("skipped: MONGODB_URI names no server")
	}
	storetest.Run(t, storetest.Harness{
		Place: func(t testing.TB) string {
			database := newDatabase()
			t.Cleanup(func() { drop(t, uri, database) })
			return uri + " " + database
		},
		Open: openStore,
	})
}

func drop(t testing.TB, uri, database string) {
	client, err := driver.Connect(options.Client().ApplyURI(uri))
	if err == nil {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		err = client.Database(database).Drop(ctx)
		client.Disconnect(ctx)
	}
	if err != nil {
		t.Errorf("drop %s: %v", database, err)
	}
}

func TestADatabaseOfANewerProgramIsRefused(t *testing.T) {
	server := testenv.StartFerretDB(t)
	place := server.URI() + " " + newDatabase()
	for range 2 { // the second finds the version that the first has written
		s, err := openStore(t.Context(), place)
		if err != nil {
			t.Fatal(err)
		}
		s.Close()
	}
	client, err := driver.Connect(options.Client().ApplyURI(server.URI()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Disconnect(t.Context())
	_, database, _ := strings.Cut(place, " ")
	schema := client.Database(database).Collection("schema")
	if _, err := schema.UpdateByID(t.Context(), "schema", bson.D{{Key: "$set", Value: bson.D{{Key: "version", Value: 99}}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := openStore(t.Context(), place); err == nil || !strings.Contains(err.Error(), "version 99, this program knows versions up to 1") {
		t.Errorf("got %v, want it to be refused by name of its version", err)
	}
}
