package consumer_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/maidian/maidian/pkg/bus"
	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/store/sqlite"
)

// BenchmarkConsumer counts events stored in a second from a full queue, beside
// bare inserts of the same events into the same kind of store by as many
// writers and in the same batch size: what the queue, reading, journal and
// acknowledgement cost. ratio is the one over the other.
func BenchmarkConsumer(b *testing.B) {
	for _, perMessage := range []int{20, 100, 500} {
		b.Run(fmt.Sprintf("%d_a_message", perMessage), func(b *testing.B) {
			const events = 60_000
			messages, decoded := load(events, perMessage)
			var raw, consumed time.Duration
			for b.Loop() {
				raw += bareInserts(b, decoded)
				consumed += consumeAll(b, messages)
			}
			n := float64(events * b.N)
			b.ReportMetric(n/consumed.Seconds(), "events/s")
			b.ReportMetric(n/raw.Seconds(), "raw/s")
			b.ReportMetric(raw.Seconds()/consumed.Seconds(), "ratio")
		})
	}
}

func load(n, perMessage int) ([]bus.Message, []event.Event) {
	var messages []bus.Message
	var all []event.Event
	now := time.Now()
	for at := 0; at < n; {
		batch := uuid.Must(uuid.NewV7()).String()
		size := min(perMessage, n-at)
		body := event.AppendHeader(nil, event.Header{Version: event.Version, BatchID: batch, Events: size})
		for i := range size {
			e := visit(at+i, now)
			body = append(e.AppendWire(body), '\n')
			e.BatchID, e.Position = batch, i
			all = append(all, e)
		}
		messages = append(messages, bus.Message{ID: batch, Body: body})
		at += size
	}
	return messages, all
}

// visit is an event as the collector publishes it.
func visit(i int, now time.Time) event.Event {
	return event.Event{
		Project: "shop", EventID: uuid.Must(uuid.NewV7()).String(), EventType: "page_view", EventName: "page_view",
		UserID: fmt.Sprintf("user-%d", i%5000), AnonymousID: fmt.Sprintf("device-%d", i%7000), SessionID: fmt.Sprintf("session-%d", i/12),
		Timestamp: event.TimeOf(now), ClientTimestamp: event.TimeOf(now), ReceivedAt: event.TimeOf(now),
		PageURL: fmt.Sprintf("https://shop.example/products/%d?utm_source=news", i%500), PageTitle: "Product", PageHost: "shop.example",
		PagePath: fmt.Sprintf("/products/%d", i%500), Referrer: "https://www.google.com/", ScreenResolution: "1920x1080",
		IPAddress: "203.0.113.0", Browser: "Chrome", BrowserVersion: "130", OS: "Windows", OSVersion: "10", DeviceType: "desktop",
		UTMSource: "news", Channel: "Email", SDK: "web/1.0", Properties: `{"price":12.5,"category":"shoes","tags":["a","b"]}`,
	}
}

func bareInserts(b *testing.B, events []event.Event) time.Duration {
	s, err := sqlite.Open(b.Context(), b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	start := time.Now()
	work := make(chan []event.Event, len(events)/settings.BatchSize+1)
	for at := 0; at < len(events); at += settings.BatchSize {
		work <- events[at:min(at+settings.BatchSize, len(events))]
	}
	close(work)
	done := make(chan error)
	for range settings.Workers {
		go func() {
			for part := range work {
				if _, err := s.InsertEvents(b.Context(), part); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range settings.Workers {
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
	return time.Since(start)
}

func consumeAll(b *testing.B, messages []bus.Message) time.Duration {
	s := newSystem(b, b.TempDir(), b.TempDir())
	fill(b, s, messages)
	start := time.Now()
	stop := s.consume(b, s.store)
	s.drained(b)
	took := time.Since(start)
	stop()
	return took
}

// fill publishes many messages at a time: one after another each would wait for a sync of its own.
func fill(b *testing.B, s *system, messages []bus.Message) {
	work := make(chan bus.Message)
	done := make(chan error)
	const publishers = 64
	for range publishers {
		go func() {
			var failed error
			for m := range work {
				if err := s.pub.Publish(b.Context(), m); err != nil {
					failed = err
				}
			}
			done <- failed
		}()
	}
	for _, m := range messages {
		work <- m
	}
	close(work)
	for range publishers {
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
}
