//go:build unix

package bustest

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/maidian/maidian/pkg/bus"
)

// eventSize is the usual size of an event on the wire.
const eventSize = 700

// Bench measures confirmed publishing and consuming by the number of events in
// a message, with as many publishers at once as requests wait in a collector.
func Bench(b *testing.B, newBroker func(t testing.TB) Broker) {
	for _, events := range []int{1, 20, 100} {
		body := bytes.Repeat([]byte("e"), events*eventSize)
		b.Run(fmt.Sprintf("publish/events=%d", events), func(b *testing.B) {
			p := newBroker(b).Publisher(b)
			awaitReady(b, p)
			b.ResetTimer()
			publishN(b, p, body, b.N)
			report(b, events)
		})
		b.Run(fmt.Sprintf("consume/events=%d", events), func(b *testing.B) {
			broker := newBroker(b)
			p := broker.Publisher(b)
			awaitReady(b, p)
			publishN(b, p, body, b.N)
			b.ResetTimer()
			consumeN(b, broker.Receiver(b, bus.Limits{Prefetch: 1000, Messages: 200, Bytes: 8 << 20, Wait: time.Millisecond}), b.N)
			report(b, events)
		})
	}
}

func awaitReady(b *testing.B, p bus.Publisher) {
	eventually(testContext(b), b, "the publisher is ready", func() bool { return p.Ready() == nil })
}

func publishN(b *testing.B, p bus.Publisher, body []byte, n int) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range 256 {
		wg.Go(func() {
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				if err := p.Publish(context.Background(), bus.Message{ID: fmt.Sprint(i), Body: body}); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func consumeN(b *testing.B, r bus.Receiver, n int) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	got := 0
	err := r.Receive(ctx, func(_ context.Context, ds []bus.Delivery) []bus.Outcome {
		if got += len(ds); got >= n {
			cancel()
		}
		return outcomes(len(ds), bus.Done)
	})
	if err != nil || got < n {
		b.Errorf("received %d of %d messages (%v)", got, n, err)
	}
}

func report(b *testing.B, events int) {
	perSecond := float64(b.N) / b.Elapsed().Seconds()
	b.ReportMetric(perSecond, "msgs/s")
	b.ReportMetric(perSecond*float64(events), "events/s")
	b.ReportMetric(0, "ns/op") // messages are the unit here
}
