package columns

import (
	"context"
	"math"
	"runtime"
	"testing"

	"github.com/maidian/maidian/services/query/internal/sealed"
	"go.uber.org/zap"
)

// sealedShop is a shop of a million events in 90 days that are all sealed, with two columns.
func sealedShop(b *testing.B) (*vault, *sealed.Shelf) {
	b.Helper()
	s, batches := newVault(), shop(1_000_000, 20_000, 90)
	for _, batch := range batches {
		for i := range batch { // 64 bits of a session's id, as a browser makes them
			batch[i].SessionID = batch[i].SessionID[:8] + batch[i].SessionID[28:]
		}
		s.growing.put(batch)
	}
	shelf := sealed.NewShelf(s, zap.NewNop(), nil)
	tables := NewTables(s, math.MaxInt64, nil)
	tables.SealIn(shelf)
	table := tables.Project("shop")
	addAll(table, batches)
	ctx := context.Background()
	if _, err := table.View().OpenAll(ctx, Needs{Columns: []string{"page_path", "browser"}}); err != nil {
		b.Fatal(err)
	}
	if _, err := table.Seal(ctx, farAway, Rest{}, func(int32) bool { return false }); err != nil {
		b.Fatal(err)
	}
	m := table.Manifest(0, nil)
	if err := shelf.PutManifest(ctx, "shop", m); err != nil {
		b.Fatal(err)
	}
	if len(m.Days) < 90 || len(m.Open) > 0 {
		b.Fatalf("%d days are sealed and %d batches open", len(m.Days), len(m.Open))
	}
	return s, shelf
}

func restored(b *testing.B, s *vault, shelf *sealed.Shelf, budget int64) (*Table, *View) {
	b.Helper()
	tables := NewTables(s, budget, nil)
	tables.SealIn(shelf)
	table := tables.Project("shop")
	m, err := shelf.Manifest(context.Background(), "shop")
	if err == nil {
		err = table.Restore(context.Background(), m)
	}
	if err != nil {
		b.Fatal(err)
	}
	return table, table.View()
}

// BenchmarkRestore is a start from segments, without the store's part.
func BenchmarkRestore(b *testing.B) {
	s, shelf := sealedShop(b)
	stored := 0
	for _, data := range s.segments {
		stored += len(data)
	}
	for b.Loop() {
		restored(b, s, shelf, math.MaxInt64)
	}
	b.ReportMetric(1e6*float64(b.N)/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(float64(stored)/1e6, "stored-B/event")
}

// BenchmarkReadQuiet is what a query reads of cold days: their rows, sessions and two columns.
func BenchmarkReadQuiet(b *testing.B) {
	s, shelf := sealedShop(b)
	for name, n := range map[string]Needs{
		"rows": {}, "rows and a column": {Columns: []string{"page_path"}}, "rows and sessions": {Sessions: true}, "rows and refs": {Refs: true},
	} {
		b.Run(name, func(b *testing.B) {
			_, v := restored(b, s, shelf, 0)
			for b.Loop() {
				if _, err := v.OpenAll(context.Background(), n); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(1e6*float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

// BenchmarkMemoryOfQuietDays says how much a million sealed events take with
// user, time, type, page, session and one property.
func BenchmarkMemoryOfQuietDays(b *testing.B) {
	s, shelf := sealedShop(b)
	for b.Loop() {
		before := heap()
		table, v := restored(b, s, shelf, math.MaxInt64)
		b.ReportMetric(float64(heap()-before)/1e6, "B/event")
		if _, err := v.OpenAll(context.Background(), Needs{Columns: []string{"page_path", "browser"}, Sessions: true}); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(heap()-before)/1e6, "B/event-with-sessions-and-2-columns")
		b.ReportMetric(float64(table.people.identities.bytes()+table.sessions.names.bytes()+table.batches.bytes())/1e6, "B/event-of-names")
		runtime.KeepAlive(v)
	}
}
