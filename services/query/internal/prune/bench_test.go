package prune_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/store"
	"github.com/maidian/maidian/pkg/store/sqlite"
	"github.com/maidian/maidian/services/query/internal/prune"
)

// BenchmarkIngestionBesidePruning stores events for a while, in turns with and
// without a pruner at work on the same file, and prints the ratio. (benchtime 3x is enough.)
func BenchmarkIngestionBesidePruning(b *testing.B) {
	s, err := sqlite.Open(b.Context(), b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	if err := s.CreateProject(b.Context(), store.Project{ID: "shop", CreatedAt: start}); err != nil {
		b.Fatal(err)
	}
	const batches, size = 4000, 100
	for n := range batches {
		ingest(b, s, "old", n, size, start)
	}
	var alone, beside rate
	for turn := 0; b.Loop(); turn++ {
		alone.add(b, s, fmt.Sprint("alone", turn))
		stop := pruning(s)
		beside.add(b, s, fmt.Sprint("beside", turn))
		stop()
	}
	jobs, err := s.UnfinishedJobs(b.Context())
	if err != nil || len(jobs) == 0 {
		b.Fatalf("the pruner came to an end too soon: %v", err)
	}
	pruned := 0
	for _, job := range jobs {
		pruned += job.Counts["events"]
	}
	b.ReportMetric(alone.perSecond(), "alone/s")
	b.ReportMetric(beside.perSecond(), "beside/s")
	b.ReportMetric(beside.perSecond()/alone.perSecond(), "ratio")
	b.ReportMetric(float64(pruned)/beside.took.Seconds(), "pruned/s")
	b.ReportMetric(0, "ns/op")
}

// pruning has a pruner at work until it is stopped.
func pruning(s *sqlite.Store) (stop func()) {
	now := func() time.Time { return start.Std().AddDate(0, 0, 2) }
	p := prune.New(s, zap.NewNop(), nil, now, prune.Options{Poll: time.Millisecond, Grace: 1})
	jobs, _ := s.UnfinishedJobs(context.Background())
	if len(jobs) == 0 {
		_, _ = p.Ask(context.Background(), "shop", start.Day()+1, false)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = p.Run(ctx) })
	return func() { cancel(); running.Wait() }
}

// rate is how many events were stored in how much time.
type rate struct {
	events int
	took   time.Duration
}

func (r *rate) perSecond() float64 { return float64(r.events) / r.took.Seconds() }

// add stores events for five seconds, from two writers, as the consumer does.
func (r *rate) add(b *testing.B, s *sqlite.Store, name string) {
	const size = 100
	var running sync.WaitGroup
	var stored atomic.Int64
	begin := time.Now()
	for w := range 2 {
		running.Go(func() {
			for n := 0; time.Since(begin) < 5*time.Second; n++ {
				ingest(b, s, fmt.Sprint(name, "-", w), n, size, start+48*hour)
				stored.Add(size)
			}
		})
	}
	running.Wait()
	r.events, r.took = r.events+int(stored.Load()), r.took+time.Since(begin)
}

func ingest(b *testing.B, s *sqlite.Store, name string, n, size int, at event.Time) {
	events := make([]event.Event, size)
	batch := fmt.Sprintf("%s-%06d", name, n)
	for i := range events {
		events[i] = event.Event{
			Project: "shop", EventID: fmt.Sprintf("%s-%04d", batch, i), EventType: "page_view", EventName: "page_view", UserID: fmt.Sprint("user-", n%997),
			Timestamp: at + event.Time(n), ReceivedAt: at, StoredAt: at, PageURL: "https://shop.example/p/section?ref=mail", PagePath: "/p/section",
			UserAgent: "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
			Browser:   "Chrome", OS: "Linux", DeviceType: "desktop", Country: "DE", Properties: `{"amount":12.5,"plan":"team"}`, BatchID: batch, Position: i,
		}
	}
	entry := store.Batch{ID: batch, Project: "shop", WrittenAt: event.TimeOf(time.Now()), ReceivedAt: at, Stored: size, Days: []int32{at.Day()}}
	_, err := s.InsertAndRecord(b.Context(), events, func([]store.Outcome) []store.Batch { return []store.Batch{entry} })
	if err != nil {
		b.Error(err)
	}
}
