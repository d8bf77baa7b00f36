//go:build unix

package consumer_test

import (
	"context"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/maidian/maidian/pkg/bus"
	"github.com/maidian/maidian/pkg/bus/rabbit"
	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/proc"
	"github.com/maidian/maidian/pkg/store/sqlite"
	"github.com/maidian/maidian/pkg/testenv"
	"github.com/maidian/maidian/services/consumer"
)

// BenchmarkDrain lets a backlog of 100,000 events gather on a RabbitMQ of its
// own and times the consumer, from its start until the last event is stored
// and in the journal. Before and after each drain the same events are inserted
// bare into the same kind of store, by as many writers in the same batch size:
// ratio is the drain's speed over theirs.
func BenchmarkDrain(b *testing.B) {
	const backlog = 100_000
	node := testenv.StartRabbit(b)
	for _, perMessage := range []int{1, 20, 100, 500} {
		b.Run(fmt.Sprintf("%d_a_message", perMessage), func(b *testing.B) {
			messages, decoded := load(backlog, perMessage)
			var raw, drained spent
			for b.Loop() {
				raw.add(b, func() time.Duration { return bareInserts(b, decoded) })
				cfg := rabbit.Config{URL: node.URL(), Queue: testenv.QueueName(b)}.WithDefaults()
				fillRabbit(b, cfg, messages)
				drained.add(b, func() time.Duration { return drain(b, cfg, decoded) })
				raw.add(b, func() time.Duration { return bareInserts(b, decoded) })
			}
			n := float64(backlog * b.N)
			b.ReportMetric(n/drained.clock.Seconds(), "events/s")
			b.ReportMetric(2*n/raw.clock.Seconds(), "raw/s")
			b.ReportMetric(raw.clock.Seconds()/drained.clock.Seconds()/2, "ratio")
			b.ReportMetric(drained.processor.Seconds()*1e6/n, "cpu-µs/event")
			b.ReportMetric(raw.processor.Seconds()*1e6/n/2, "raw-cpu-µs/event")
		})
	}
}

// spent is time by the clock, and of this process on the processors.
type spent struct{ clock, processor time.Duration }

func (s *spent) add(b *testing.B, work func() time.Duration) {
	before := onProcessors(b)
	s.clock += work()
	s.processor += onProcessors(b) - before
}

func onProcessors(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func drain(b *testing.B, cfg rabbit.Config, all []event.Event) time.Duration {
	s, err := sqlite.Open(b.Context(), b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	metrics := prometheus.NewRegistry()
	p := proc.New("consumer", zap.NewNop(), metrics, proc.Options{Drain: 20 * time.Second})
	done := make(chan error, 1)
	start := time.Now()
	go func() {
		done <- p.Run(ctx, func(ctx context.Context, p *proc.Process) error {
			var receivers []bus.Receiver
			for range settings.Workers {
				r, err := rabbit.NewReceiver(cfg, settings.Limits(), p.Log, p.Metrics)
				if err != nil {
					return err
				}
				receivers = append(receivers, r)
			}
			return consumer.Serve(ctx, &settings, p, consumer.Deps{Receivers: receivers, Store: s})
		})
	}()
	for counted(b, metrics, "maidian_consumer_events_total") < len(all) {
		<-time.After(10 * time.Millisecond) // the effect to wait for is only in the count
	}
	took := time.Since(start)
	cancel()
	if err := <-done; err != nil {
		b.Fatal(err)
	}
	return took
}

func fillRabbit(b *testing.B, cfg rabbit.Config, messages []bus.Message) {
	pub, err := rabbit.NewPublisher(context.Background(), cfg, zap.NewNop(), nil)
	if err != nil {
		b.Fatal(err)
	}
	for pub.Ready() != nil {
		<-time.After(10 * time.Millisecond)
	}
	fill(b, &system{pub: pub}, messages)
	if err := pub.Close(context.Background()); err != nil {
		b.Fatal(err)
	}
}

// counted is the sum of a counter over its labels.
func counted(b *testing.B, metrics *prometheus.Registry, name string) (n int) {
	families, err := metrics.Gather()
	if err != nil {
		b.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				n += int(m.GetCounter().GetValue())
			}
		}
	}
	return n
}
