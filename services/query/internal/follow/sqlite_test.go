package follow

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/store"
	"github.com/maidian/maidian/pkg/store/sqlite"
	"github.com/maidian/maidian/services/query/internal/columns"
	"go.uber.org/zap"
)

func open(t testing.TB) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(context.Background(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// write stores a batch of events of half a minute each, as a consumer does.
func write(t testing.TB, s store.Store, number, size int) {
	t.Helper()
	start := event.Time(1780272000000)
	events := make([]event.Event, size)
	for i := range events {
		n := number*size + i
		events[i] = event.Event{
			Project: "shop", EventID: fmt.Sprintf("0198c5a1-7d3e-7bb2-9c55-%012d", n), EventType: []string{"page_view", "click", "purchase"}[n%7%3],
			UserID: fmt.Sprintf("user-%d", n*n%997), SessionID: fmt.Sprintf("0198c5a1-0000-7bb2-9c55-%012d", n/8),
			Timestamp: start + event.Time(n)*1000, ReceivedAt: start + event.Time(n)*1000, StoredAt: start + event.Time(n)*1000 + 50,
			PageURL: "https://shop.example/p/section?ref=mail", PagePath: fmt.Sprintf("/p/%d", n%500), PageHost: "shop.example",
			Browser: "Chrome", OS: "Linux", DeviceType: "desktop", Country: "DE", UserAgent: "Mozilla/5.0 (X11; Linux x86_64)",
			Properties: fmt.Sprintf(`{"amount":%d.5}`, n%1000),
			BatchID:    fmt.Sprintf("0198c5a1-ffff-7bb2-9c55-%012d", number), Position: i,
		}
	}
	if _, err := s.InsertEvents(context.Background(), events); err != nil {
		t.Fatal(err)
	}
	entry := store.Batch{ID: events[0].BatchID, Project: "shop", WrittenAt: event.TimeOf(time.Now()), ReceivedAt: events[0].ReceivedAt, Stored: size}
	if err := s.RecordBatches(context.Background(), []store.Batch{entry}); err != nil {
		t.Fatal(err)
	}
}

// start runs a follower until the test ends.
func start(t testing.TB, s store.Store) (*columns.Tables, *Follower) {
	t.Helper()
	tables := columns.NewTables(s, 1<<30, nil)
	f := New(s, tables, zap.NewNop(), nil, Options{})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { f.Run(ctx); close(ended) }()
	t.Cleanup(func() { cancel(); <-ended })
	return tables, f
}

// until waits for the effect.
func until(t testing.TB, what string, done func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for tick := time.NewTicker(time.Millisecond); ; <-tick.C {
		if done() {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("waited 30 s in vain: %s", what)
		default:
		}
	}
}

func TestWhatIsWrittenToSQLiteIsSeen(t *testing.T) {
	s := open(t)
	for i := range 40 {
		write(t, s, i, 25)
	}
	tables, f := start(t, s)
	until(t, "the journal is loaded", func() bool { return f.Ready() == nil })
	if got := tables.Rows(); got != 1000 {
		t.Errorf("after the first pass: got %d events, want 1000", got)
	}
	amount := firstDay(t, tables, columns.Needs{Columns: []string{"amount"}}).Column("amount")
	if got := len(amount.Values); got != 1001 { // and the absent one
		t.Errorf("values of amount: got %d, want 1001", got)
	}
	for i := range 10 {
		write(t, s, 40+i, 25)
	}
	until(t, "fresh events are visible", func() bool { return viewed(tables) == 1250 })
	seen := 0
	v := tables.Project("shop").View()
	day := firstDay(t, tables, columns.Needs{Refs: true})
	refs := make([]columns.Ref, 0, day.Len())
	for _, row := range day.ByTime() {
		refs = append(refs, day.Ref(row))
	}
	err := v.Events(context.Background(), refs[:1000], func(e *event.Event) error {
		if want := fmt.Sprintf("0198c5a1-7d3e-7bb2-9c55-%012d", seen); e.EventID != want {
			t.Fatalf("event %d by time: got %s, want %s", seen, e.EventID, want)
		}
		seen++
		return nil
	})
	if err != nil || seen != 1000 {
		t.Errorf("raw events: got %d, %v", seen, err)
	}
}

func firstDay(t testing.TB, tables *columns.Tables, n columns.Needs) *columns.Day {
	t.Helper()
	days, err := tables.Project("shop").View().OpenAll(context.Background(), n)
	if err != nil {
		t.Fatal(err)
	}
	return days[0]
}

func viewed(tables *columns.Tables) (rows int) {
	days, err := tables.Project("shop").View().OpenAll(context.Background(), columns.Needs{})
	if err != nil {
		return -1
	}
	for _, day := range days {
		rows += day.Len()
	}
	return rows
}

// BenchmarkLoadFromSQLite is a start: the whole journal into columns.
func BenchmarkLoadFromSQLite(b *testing.B) {
	s := open(b)
	const batches, size = 1000, 100
	for i := range batches {
		write(b, s, i, size)
	}
	b.ResetTimer()
	for b.Loop() {
		f := New(s, columns.NewTables(s, 1<<30, nil), zap.NewNop(), nil, Options{})
		if err := f.first(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(batches*size*float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkColumnFromSQLite is the first use of two columns.
func BenchmarkColumnFromSQLite(b *testing.B) {
	s := open(b)
	const batches, size = 1000, 100
	for i := range batches {
		write(b, s, i, size)
	}
	b.ResetTimer()
	for b.Loop() {
		b.StopTimer()
		tables := columns.NewTables(s, 1<<30, nil)
		f := New(s, tables, zap.NewNop(), nil, Options{})
		if err := f.first(context.Background()); err != nil {
			b.Fatal(err)
		}
		v := tables.Project("shop").View()
		b.StartTimer()
		if _, err := v.OpenAll(context.Background(), columns.Needs{Columns: []string{"page_path", "amount"}}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(batches*size*float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkVisible writes 100 batches of 20 events a second, so 2,000 events/s,
// and measures from the journal's entry to the View that shows it.
func BenchmarkVisible(b *testing.B) {
	s := open(b)
	tables, f := start(b, s)
	until(b, "the journal is loaded", func() bool { return f.Ready() == nil })
	var took []time.Duration
	written := 0
	tick := time.NewTicker(10 * time.Millisecond)
	for b.Loop() {
		<-tick.C
		write(b, s, written, 20)
		written++
		if written%10 != 0 {
			continue
		}
		begin := time.Now()
		until(b, "the batch is visible", func() bool { return viewed(tables) >= 20*written })
		took = append(took, time.Since(begin))
	}
	if len(took) > 0 {
		slices.Sort(took)
		b.ReportMetric(took[len(took)/2].Seconds()*1000, "p50-ms")
		b.ReportMetric(took[len(took)*99/100].Seconds()*1000, "p99-ms")
	}
}
