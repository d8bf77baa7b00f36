package mongo_test

import (
	"context"
	"crypto/rand"
	"os"
	"strings"
	"testing"
	"time"

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
