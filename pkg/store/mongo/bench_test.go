package mongo_test

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	driver "go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/testenv"
)

// BenchmarkInsertEvents gives the same events in turn to the adapter and to
// the driver's InsertMany of plain documents with the same two indexes, on
// the server that MONGODB_URI names, else on FerretDB.
func BenchmarkInsertEvents(b *testing.B) {
	uri := os.Getenv("MONGODB_URI")
	if uri == "" {
		uri = testenv.StartFerretDB(b).URI()
	}
	for _, size := range []int{100, 500} {
		b.Run(fmt.Sprintf("batch=%d", size), func(b *testing.B) { insertBesideDriver(b, uri, size) })
	}
}

func insertBesideDriver(b *testing.B, uri string, size int) {
	database := newDatabase()
	b.Cleanup(func() { drop(b, uri, database) })
	s, err := openStore(b.Context(), uri+" "+database)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	client, err := driver.Connect(options.Client().ApplyURI(uri))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { client.Disconnect(context.Background()) })
	raw := client.Database(database).Collection("raw")
	if _, err := raw.Indexes().CreateOne(b.Context(), driver.IndexModel{Keys: bson.D{{Key: "batch_id", Value: 1}, {Key: "position", Value: 1}}}); err != nil {
		b.Fatal(err)
	}
	var inStore, inRaw time.Duration
	n := 0
	for b.Loop() {
		events, docs := shopEvents(n, size)
		start := time.Now()
		if _, err := s.InsertEvents(b.Context(), events); err != nil {
			b.Fatal(err)
		}
		between := time.Now()
		if _, err := raw.InsertMany(b.Context(), docs, options.InsertMany().SetOrdered(false)); err != nil {
			b.Fatal(err)
		}
		inStore += between.Sub(start)
		inRaw += time.Since(between)
		n += size
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(n)/inStore.Seconds(), "events/s")
	b.ReportMetric(float64(n)/inRaw.Seconds(), "raw_events/s")
	b.ReportMetric(inRaw.Seconds()/inStore.Seconds(), "ratio")
}

// shopEvents are n events after the first from, and the same as documents for the driver.
func shopEvents(from, n int) ([]event.Event, []any) {
	events, docs := make([]event.Event, n), make([]any, n)
	batch := fmt.Sprintf("0190b4a0-0000-7000-8000-%012d", from)
	for i := range events {
		id, at := fmt.Sprintf("0190b4a0-0000-7000-9000-%012d", from+i), int64(1767225600000+from+i)
		url := fmt.Sprintf("https://shop.example/products/%d", i)
		events[i] = event.Event{
			Project: "demo", EventID: id, EventType: "product_view", EventName: "product_view", UserID: "u1", SessionID: "s1",
			Timestamp: event.Time(at), ReceivedAt: event.Time(at), StoredAt: event.Time(at), PageURL: url, PageTitle: "Shoes", Browser: "Chrome", OS: "Linux",
			Properties: `{"product_id":"p-1","price":12.5,"category":"shoes"}`, BatchID: batch, Position: i,
		}
		docs[i] = bson.D{
			{Key: "_id", Value: "demo/" + id},
			{Key: "project", Value: "demo"},
			{Key: "event_id", Value: id},
			{Key: "event_type", Value: "product_view"},
			{Key: "event_name", Value: "product_view"},
			{Key: "user_id", Value: "u1"},
			{Key: "session_id", Value: "s1"},
			{Key: "timestamp", Value: bson.DateTime(at)},
			{Key: "received_at", Value: bson.DateTime(at)},
			{Key: "stored_at", Value: bson.DateTime(at)},
			{Key: "page_url", Value: url},
			{Key: "page_title", Value: "Shoes"},
			{Key: "browser", Value: "Chrome"},
			{Key: "os", Value: "Linux"},
			{Key: "properties", Value: bson.D{{Key: "product_id", Value: "p-1"}, {Key: "price", Value: 12.5}, {Key: "category", Value: "shoes"}}},
			{Key: "batch_id", Value: batch},
			{Key: "position", Value: i},
		}
	}
	return events, docs
}
