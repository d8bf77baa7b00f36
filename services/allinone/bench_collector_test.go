package allinone_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/maidian/maidian/pkg/bus"
	"github.com/maidian/maidian/pkg/bus/jetstream"
	"github.com/maidian/maidian/pkg/bus/rabbit"
	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/proc"
	"github.com/maidian/maidian/pkg/store"
	"github.com/maidian/maidian/pkg/testenv"
	"github.com/maidian/maidian/services/allinone"
	"github.com/maidian/maidian/services/collector"
)

const benchClients = 256

// BenchmarkCollector counts events accepted in a second over HTTP, clients on
// the same machine, beside its limits in the same run: a bare gin handler that
// only decodes the same requests, one that only reads them, and bare confirmed
// publishing of the same bytes as the collector makes of them, in the same
// messages. of_decode, of_discard and of_publish are the ratios.
func BenchmarkCollector(b *testing.B) {
	brokers := map[string]func(testing.TB) bus.Publisher{"jetstream": onJetStream, "rabbitmq": onRabbit}
	for _, name := range []string{"jetstream", "rabbitmq"} {
		for _, size := range []int{1, 20, 100} {
			b.Run(fmt.Sprintf("%s/%d_a_request", name, size), func(b *testing.B) {
				publisher := brokers[name](b)
				events := 20_000 * min(size, 5)
				requests := requestsOf(events/size, size)
				decode := serveBare(b, func(c *gin.Context) {
					var body struct{ Events []map[string]any }
					if err := json.NewDecoder(c.Request.Body).Decode(&body); err != nil {
						c.Status(http.StatusBadRequest)
					}
				})
				discard := serveBare(b, func(c *gin.Context) { _, _ = io.Copy(io.Discard, c.Request.Body) })
				ours := serveCollector(b, publisher)
				messages := messagesOf(events, min(500, max(size, 100)))
				var took [4]time.Duration
				for b.Loop() {
					took[0] += sendAll(b, ours, requests)
					took[1] += sendAll(b, decode, requests)
					took[2] += sendAll(b, discard, requests)
					took[3] += publish(b, publisher, messages)
				}
				b.ReportMetric(float64(events*b.N)/took[0].Seconds(), "events/s")
				for i, limit := range []string{"decode", "discard", "publish"} {
					b.ReportMetric(took[i+1].Seconds()/took[0].Seconds(), "of_"+limit)
				}
			})
		}
	}
}

func onJetStream(t testing.TB) bus.Publisher {
	server, err := jetstream.Start(jetstream.Config{Dir: t.TempDir(), MaxMessages: 1 << 30, MaxBytes: 1 << 40}, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close(context.Background()) })
	p, err := server.Publisher(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func onRabbit(t testing.TB) bus.Publisher {
	node := sharedRabbit.Node(t)
	cfg := rabbit.Config{URL: node.URL(), Queue: testenv.QueueName(t)}.WithDefaults()
	t.Cleanup(func() { node.Ctl(t, "delete_queue", cfg.Queue) }) // nobody consumes it, and the node's memory is not endless
	p, err := rabbit.NewPublisher(context.Background(), cfg, zap.NewNop(), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close(context.Background()) })
	return p
}

// running is a process that ends with the test.
func running(t testing.TB, run func(ctx context.Context, p *proc.Process) error) {
	ctx, cancel := context.WithCancel(context.Background())
	p := proc.New("bench", zap.NewNop(), prometheus.NewRegistry(), proc.Options{Drain: 10 * time.Second})
	began, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- p.Run(ctx, func(ctx context.Context, p *proc.Process) error {
			defer close(began)
			return run(ctx, p)
		})
	}()
	<-began
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func serveBare(t testing.TB, handle gin.HandlerFunc) (address string) {
	gin.SetMode(gin.ReleaseMode)
	e := gin.New()
	e.POST(batchPath, func(c *gin.Context) {
		handle(c)
		c.JSON(http.StatusOK, gin.H{"accepted": 1})
	})
	running(t, func(_ context.Context, p *proc.Process) error {
		at, err := p.Serve("bare", "127.0.0.1:0", e)
		if err == nil {
			address = at.String()
		}
		return err
	})
	return address
}

func serveCollector(t testing.TB, publisher bus.Publisher) (address string) {
	c, err := allinone.Load()
	if err != nil {
		t.Fatal(err)
	}
	c.Collector.Listen, c.Collector.PublishDeadline = "127.0.0.1:0", 30*time.Second
	running(t, func(ctx context.Context, p *proc.Process) error {
		at, err := collector.Serve(ctx, &c.Collector, p, collector.Deps{Publisher: publisher, Projects: oneProject{}})
		if err == nil {
			address = at.String()
		}
		return err
	})
	return address
}

// oneProject is what a collector knows of the store here.
type oneProject struct{}

func (oneProject) Projects(context.Context) ([]store.Project, error) {
	hash := sha256.Sum256([]byte(allinone.DemoWriteKey))
	key := store.Key{ID: "k", Kind: store.WriteKey, Hash: hex.EncodeToString(hash[:])}
	return []store.Project{{ID: allinone.DemoProject, IPPolicy: store.IPMask, Keys: []store.Key{key}}}, nil
}

const batchPath = "/api/v1/analytics/track/batch"

// requestsOf are whole HTTP requests, ready to be written to a connection.
func requestsOf(n, size int) [][]byte {
	requests := make([][]byte, n)
	for i := range requests {
		events := make([]string, size)
		for j := range events {
			events[j] = visitJSON(i*size + j)
		}
		body := `{"events":[` + strings.Join(events, ",") + `]}`
		requests[i] = fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: localhost\r\nX-API-Key: wk_demo\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", batchPath, len(body), body)
	}
	return requests
}

func visitJSON(i int) string {
	return fmt.Sprintf(`{"event_id":"%s","event_type":"page_view","user_id":"user-%d","anonymous_id":"device-%d","session_id":"session-%d","timestamp":%d,`+
		`"page_url":"https://shop.example/products/%d?utm_source=news&utm_medium=email","page_title":"Product %d","referrer":"https://www.google.com/",`+
		`"user_agent":"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36",`+
		`"screen_resolution":"1920x1080","viewport_size":"1280x720","load_time":0.42,"properties":{"plan":"pro","price":12.5,"tags":["a","b"]}}`,
		uuid.Must(uuid.NewV7()), i%5000, i%7000, i/12, time.Now().UnixMilli(), i%500, i%500)
}

// sendAll writes the requests over a few connections and wants 200 for each.
func sendAll(b *testing.B, address string, requests [][]byte) time.Duration {
	work := make(chan []byte, len(requests))
	for _, r := range requests {
		work <- r
	}
	close(work)
	start := time.Now()
	var clients sync.WaitGroup
	for range benchClients {
		clients.Go(func() {
			if err := postAll(address, work); err != nil {
				b.Error(err)
			}
		})
	}
	clients.Wait()
	return time.Since(start)
}

// postAll reads answers by hand: an HTTP client would cost as much as the servers that are measured.
func postAll(address string, work <-chan []byte) error {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	answer := bufio.NewReader(conn)
	for request := range work {
		if _, err := conn.Write(request); err != nil {
			return err
		}
		if err := expectOK(answer); err != nil {
			return err
		}
	}
	return nil
}

func expectOK(r *bufio.Reader) error {
	status, length := "", 0
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return err
		}
		line = bytes.TrimRight(line, "\r\n")
		if status == "" {
			status = string(line)
		}
		if value, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			length, _ = strconv.Atoi(string(value))
		}
		if len(line) == 0 {
			break
		}
	}
	if _, err := r.Discard(length); err != nil {
		return err
	}
	if !strings.HasPrefix(status, "HTTP/1.1 200") {
		return fmt.Errorf("got %s", status)
	}
	return nil
}

// messagesOf are the same events as messages of the size that the collector makes.
func messagesOf(events, size int) []bus.Message {
	messages := make([]bus.Message, 0, events/size)
	for at := 0; at < events; at += size {
		id := uuid.Must(uuid.NewV7()).String()
		body := event.AppendHeader(nil, event.Header{Version: event.Version, BatchID: id, Events: size})
		for i := range size {
			r, _ := event.ParseOne(visitJSON(at+i), "")
			e := r.Events[0].Event
			e.Project, e.ReceivedAt = "demo", e.Timestamp
			e.Browser, e.BrowserVersion, e.OS, e.OSVersion, e.DeviceType = "Chrome", "130.0.0.0", "Windows", "10", "desktop"
			e.PageHost, e.PagePath, e.UTMSource, e.UTMMedium, e.Channel, e.IPAddress = "shop.example", "/products/1", "news", "email", "Email", "127.0.0.0"
			body = append(e.AppendWire(body), '\n')
		}
		messages = append(messages, bus.Message{ID: id, Body: body})
	}
	return messages
}

func publish(b *testing.B, p bus.Publisher, messages []bus.Message) time.Duration {
	work := make(chan bus.Message, len(messages))
	for _, m := range messages {
		work <- m
	}
	close(work)
	start := time.Now()
	var publishers sync.WaitGroup
	for range benchClients {
		publishers.Go(func() {
			for m := range work {
				if err := p.Publish(b.Context(), m); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	publishers.Wait()
	return time.Since(start)
}
