package consumer_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/maidian/maidian/pkg/bus"
	"github.com/maidian/maidian/pkg/bus/rabbit"
	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/proc"
	"github.com/maidian/maidian/pkg/store"
	"github.com/maidian/maidian/pkg/store/sqlite"
	"github.com/maidian/maidian/pkg/testenv"
	"github.com/maidian/maidian/services/consumer"
)

// replica starts one consumer on a RabbitMQ queue, and returns what stops it.
func replica(t testing.TB, cfg rabbit.Config, s consumer.Settings, into store.Store) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	p := proc.New("consumer", zap.NewNop(), prometheus.NewRegistry(), proc.Options{Drain: 20 * time.Second})
	done := make(chan error, 1)
	go func() {
		done <- p.Run(ctx, func(ctx context.Context, p *proc.Process) error {
			var receivers []bus.Receiver
			for range s.Workers {
				r, err := rabbit.NewReceiver(cfg, s.Limits(), p.Log, p.Metrics)
				if err != nil {
					return err
				}
				receivers = append(receivers, r)
			}
			return consumer.Serve(ctx, &s, p, consumer.Deps{Receivers: receivers, Store: into})
		})
	}()
	return sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// paced is a store whose every write takes the same time, and no processor: a
// server that is never the limit.
type paced struct {
	store.Store
	takes  time.Duration
	events atomic.Int64
}

func (p *paced) InsertEvents(ctx context.Context, events []event.Event) ([]store.Outcome, error) {
	<-time.After(p.takes) // it stands for a server's answer
	p.events.Add(int64(len(events)))
	return make([]store.Outcome, len(events)), ctx.Err()
}

func (p *paced) RecordBatches(ctx context.Context, _ []store.Batch) error { return ctx.Err() }

// BenchmarkScale drains the same backlog from RabbitMQ by one consumer and by
// two, in turns, where the store is never the limit, and prints the ratio.
func BenchmarkScale(b *testing.B) {
	const backlog, perMessage = 30_000, 10
	node := testenv.StartRabbit(b)
	inner, err := sqlite.Open(b.Context(), sqlite.Memory)
	if err != nil {
		b.Fatal(err)
	}
	defer inner.Close()
	s := settings
	s.Workers, s.BatchSize, s.Prefetch = 1, 250, 50
	messages, _ := load(backlog, perMessage)
	took := map[int]time.Duration{}
	for b.Loop() {
		for _, replicas := range []int{1, 2, 2, 1} {
			cfg := rabbit.Config{URL: node.URL(), Queue: testenv.QueueName(b)}.WithDefaults()
			fillRabbit(b, cfg, messages)
			into := &paced{Store: inner, takes: 100 * time.Millisecond}
			start := time.Now()
			var stops []func()
			for range replicas {
				stops = append(stops, replica(b, cfg, s, into))
			}
			for into.events.Load() < backlog {
				<-time.After(time.Millisecond) // the effect to wait for is only in the count
			}
			took[replicas] += time.Since(start)
			for _, stop := range stops {
				stop()
			}
		}
	}
	n := float64(2 * backlog * b.N)
	b.ReportMetric(n/took[1].Seconds(), "one/s")
	b.ReportMetric(n/took[2].Seconds(), "two/s")
	b.ReportMetric(took[1].Seconds()/took[2].Seconds(), "ratio")
	b.ReportMetric(0, "ns/op")
}

// TestTwentyConsumersComeAndGo has consumers start and stop, in order and all
// at once, while events come in: each event is stored once, and the journal
// says so.
func TestTwentyConsumersComeAndGo(t *testing.T) {
	const consumers, messages, perMessage = 20, 800, 10
	node := testenv.StartRabbit(t)
	cfg := rabbit.Config{URL: node.URL(), Queue: testenv.QueueName(t)}.WithDefaults()
	into, err := sqlite.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer into.Close()
	pub, err := rabbit.NewPublisher(t.Context(), cfg, zap.NewNop(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer pub.Close(context.Background())
	eventually(t, "the publisher to be ready", func() bool { return pub.Ready() == nil })

	publishing, published := context.WithCancel(t.Context())
	var busy sync.WaitGroup
	busy.Go(func() {
		defer published()
		for m := range messages {
			var ids []string
			for i := range perMessage {
				ids = append(ids, fmt.Sprintf("e-%d-%d", m, i))
			}
			for sent := message("shop", ids...); ; { // the same message until it is confirmed
				err := pub.Publish(t.Context(), sent)
				if err == nil {
					break
				}
				if t.Context().Err() != nil {
					return
				}
			}
		}
	})
	s := settings
	s.Workers, s.BatchSize, s.Prefetch = 2, 200, 40
	for n := range consumers {
		busy.Go(func() {
			random := rand.New(rand.NewPCG(uint64(n), 1))
			for publishing.Err() == nil {
				stop := replica(t, cfg, s, into)
				select {
				case <-time.After(time.Duration(random.IntN(700)) * time.Millisecond): // how long it lives decides nothing
				case <-publishing.Done():
				}
				stop()
			}
		})
	}
	busy.Wait()
	defer replica(t, cfg, s, into)()
	stored := func() (sum store.Batch, events int) {
		err := store.EachBatch(t.Context(), into, store.Cursor{}, func(entry *store.Batch) error {
			sum.Stored, sum.Duplicates, sum.DeadLettered = sum.Stored+entry.Stored, sum.Duplicates+entry.Duplicates, sum.DeadLettered+entry.DeadLettered
			return into.EventsOfBatches(t.Context(), "shop", []string{entry.ID}, func(*event.Event) error { events++; return nil })
		})
		if err != nil {
			t.Fatal(err)
		}
		return sum, events
	}
	eventually(t, "all events to be stored", func() bool { _, events := stored(); return events >= messages*perMessage })
	if sum, events := stored(); events != messages*perMessage || sum.Stored != events || sum.Duplicates+sum.DeadLettered > 0 {
		t.Errorf("%d events are stored, the journal says %d, %d duplicates, %d dead letters; want %d and none", events, sum.Stored, sum.Duplicates, sum.DeadLettered, messages*perMessage)
	}
}

// eventually waits for an effect. How long is no promise, only when the test gives up.
func eventually(t testing.TB, what string, effect func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(2 * time.Minute); !effect(); {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("gave up waiting for %s", what)
		}
	}
}
