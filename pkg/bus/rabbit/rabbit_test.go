//go:build unix

package rabbit_test

import (
	"context"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/maidian/maidian/pkg/bus"
	"github.com/maidian/maidian/pkg/bus/bustest"
	"github.com/maidian/maidian/pkg/bus/rabbit"
	"github.com/maidian/maidian/pkg/fault"
	"github.com/maidian/maidian/pkg/testenv"
	amqp "github.com/rabbitmq/amqp091-go"
	"go.uber.org/zap"
)

var node testenv.SharedRabbit

func TestMain(m *testing.M) {
	bustest.Child(func(spec string) (bustest.Client, error) {
		var c client
		err := json.Unmarshal([]byte(spec), &c.cfg)
		return c, err
	})
	code := m.Run()
	node.Close()
	os.Exit(code)
}

type client struct{ cfg rabbit.Config }

func (c client) Publisher() (bus.Publisher, error) {
	return rabbit.NewPublisher(context.Background(), c.cfg, zap.NewNop(), nil)
}

func (c client) Receiver(l bus.Limits) (bus.Receiver, error) {
	return rabbit.NewReceiver(c.cfg, l, zap.NewNop(), nil)
}

func TestConformance(t *testing.T) {
	n := node.Node(t)
	var queue string
	bustest.Run(t, bustest.Harness{
		New: func(t testing.TB, maxMessages int64) bustest.Broker {
			queue = testenv.QueueName(t)
			return &broker{cfg: rabbit.Config{URL: n.URL(), Queue: queue, MaxMessages: maxMessages}.WithDefaults()}
		},
		Kill: func(t testing.TB) {
			awaitRegistered(t, n, queue)
			n.Kill()
		},
		Start: func(t testing.TB) {
			if err := n.Start(); err != nil {
				t.Fatal(err)
			}
		},
		Cut: func(t testing.TB, _ bustest.Broker) { n.Ctl(t, "close_all_connections", "a test") },
		Block: func(t testing.TB, _ bustest.Broker) func() {
			n.Ctl(t, "set_vm_memory_high_watermark", "0.0000001")
			unblock := sync.OnceFunc(func() { n.Ctl(t, "set_vm_memory_high_watermark", "0.4") })
			t.Cleanup(unblock)
			return unblock
		},
		CountsCrashes: true,
	})
}

// awaitRegistered waits until the node has written down that the queue exists.
// RabbitMQ 3.10 does that up to a second after it has declared it; killed
// before, it comes back with a queue that answers nothing, for ever.
func awaitRegistered(t testing.TB, n *testenv.Rabbit, queue string) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for range 1000 {
		registers, err := filepath.Glob(filepath.Join(n.Dir(), "data", "*", "quorum", "*", "names.dets"))
		if err != nil || len(registers) == 0 {
			t.Fatalf("no register of quorum queues in %s (%v)", n.Dir(), err)
		}
		register, err := os.ReadFile(registers[0])
		if err != nil {
			t.Fatal(err)
		}
		all := strings.Count(string(register), queue)
		if all > strings.Count(string(register), queue+".") { // not only the queues beside it
			return
		}
		<-tick.C
	}
	t.Fatalf("RabbitMQ has not written down that it has queue %s", queue)
}

// broker is one queue on the shared node.
type broker struct {
	cfg       rabbit.Config
	receivers []*rabbit.Receiver
}

func (b *broker) Publisher(t testing.TB) bus.Publisher {
	p, err := rabbit.NewPublisher(context.Background(), b.cfg, zap.NewNop(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := p.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return p
}

func (b *broker) Receiver(t testing.TB, l bus.Limits) bus.Receiver {
	r, err := rabbit.NewReceiver(b.cfg, l, zap.NewNop(), nil)
	if err != nil {
		t.Fatal(err)
	}
	b.receivers = append(b.receivers, r)
	return r
}

func (b *broker) Depth(ctx context.Context) (int, error) {
	i, err := rabbit.NewInspector(b.cfg, b.receivers...)
	if err != nil {
		return 0, err
	}
	return i.Depth(ctx)
}

func (b *broker) Spec() string {
	spec, _ := json.Marshal(b.cfg) // plain fields
	return string(spec)
}

func (b *broker) Release(testing.TB) {}

func TestCheckSaysInOneLineWhatIsWrong(t *testing.T) {
	n := node.Node(t)
	good := rabbit.Config{URL: n.URL(), Queue: testenv.QueueName(t)}.WithDefaults()
	if err := rabbit.Check(t.Context(), good); err != nil {
		t.Fatal(err)
	}
	with := func(change func(*rabbit.Config)) rabbit.Config {
		c := good
		change(&c)
		return c
	}
	for name, c := range map[string]struct {
		cfg  rabbit.Config
		want string
	}{
		"password":      {with(func(c *rabbit.Config) { c.URL = "amqp://guest:s3cret@" + n.Addr() + "/" }), `refuses user "guest"`},
		"its own words": {with(func(c *rabbit.Config) { c.URL = "amqp://guest:s3cret@" + n.Addr() + "/" }), "Login was refused"}, // which it says only to those who ask
		"virtual host":  {with(func(c *rabbit.Config) { c.URL = n.URL() + "nowhere" }), `no virtual host "nowhere"`},
		"nobody there":  {with(func(c *rabbit.Config) { c.URL = "amqp://guest:s3cret@127.0.0.1:1/" }), "RabbitMQ at 127.0.0.1:1"},
		"other limits":  {with(func(c *rabbit.Config) { c.MaxMessages++ }), "made with other properties"},
		"no address":    {with(func(c *rabbit.Config) { c.URL = "http://guest:s3cret@x" }), "RABBITMQ_URL"},
		"kubernetes":    {with(func(c *rabbit.Config) { c.URL, c.Port = "", "tcp://10.0.0.1:5672" }), "Kubernetes"},
	} {
		err := rabbit.Check(t.Context(), c.cfg)
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		if text := err.Error(); !strings.Contains(text, c.want) || strings.Contains(text, "s3cret") || strings.Contains(text, "\n") {
			t.Errorf("%s: got %q, want one line with %q and without the password", name, text, c.want)
		}
	}
}

// A connection that is half dead takes our words and never answers. There must
// be time left for the other nodes.
func TestASilentNodeDoesNotHoldUpTheOthers(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0") // its backlog takes the connection
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 9*time.Second)
	defer cancel()
	urls := "amqp://guest:guest@" + silent.Addr().String() + "/," + node.Node(t).URL()
	if err := rabbit.Check(ctx, rabbit.Config{URL: urls, Queue: testenv.QueueName(t)}.WithDefaults()); err != nil {
		t.Error(err)
	}
}

func BenchmarkRabbitMQ(b *testing.B) {
	n := node.Node(b)
	bustest.Bench(b, func(t testing.TB) bustest.Broker {
		return &broker{cfg: rabbit.Config{URL: n.URL(), Queue: testenv.QueueName(t)}.WithDefaults()}
	})
}

// A broker that is frozen keeps its connections open and says nothing.
func TestAFrozenBrokerIsNotReadyAndComesBack(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	n := testenv.StartRabbit(t)
	b := &broker{cfg: rabbit.Config{URL: n.URL(), Queue: testenv.QueueName(t)}.WithDefaults()}
	p := b.Publisher(t)
	await(ctx, t, func() bool { return p.Ready() == nil })
	if err := n.Pause(); err != nil {
		t.Fatal(err)
	}
	short, stop := context.WithTimeout(ctx, 500*time.Millisecond)
	err := p.Publish(short, bus.Message{ID: "m", Body: []byte("m")})
	stop()
	if fault.KindOf(err) != fault.Unavailable {
		t.Errorf("publish to a frozen broker: got %v, want fault.Unavailable", err)
	}
	await(ctx, t, func() bool { return fault.KindOf(p.Ready()) == fault.Unavailable })
	if err := n.Resume(); err != nil {
		t.Fatal(err)
	}
	await(ctx, t, func() bool { return p.Publish(ctx, bus.Message{ID: "m", Body: []byte("m")}) == nil })
}

// Whoever deletes the binding by mistake loses nothing: what the exchange
// cannot route is kept, and receivers take it from there.
func TestUnroutedMessagesAreReceivedAllTheSame(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	n := node.Node(t)
	b := &broker{cfg: rabbit.Config{URL: n.URL(), Queue: testenv.QueueName(t)}.WithDefaults()}
	p := b.Publisher(t)
	await(ctx, t, func() bool { return p.Ready() == nil })
	unbind(t, n.URL(), b.cfg.Queue)
	if err := p.Publish(ctx, bus.Message{ID: "stray", Body: []byte("s")}); err != nil {
		t.Fatal(err)
	}
	if depth, err := b.Depth(ctx); err != nil || depth != 1 {
		t.Errorf("the depth is %d (%v), want 1: what could not be routed is still to be done", depth, err)
	}
	rctx, stop := context.WithCancel(ctx)
	var got []string
	err := b.Receiver(t, bus.Limits{}).Receive(rctx, func(_ context.Context, ds []bus.Delivery) []bus.Outcome {
		for _, d := range ds {
			got = append(got, d.ID)
		}
		stop()
		return []bus.Outcome{bus.Done}
	})
	if err != nil || len(got) != 1 || got[0] != "stray" {
		t.Errorf("received %v (%v), want the message that could not be routed", got, err)
	}
}

// What crashes its consumers again and again ends in the dead-letter queue,
// and what is beside it does not.
func TestOverTheDeliveryLimitAMessageIsKeptAside(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	n := node.Node(t)
	b := &broker{cfg: rabbit.Config{URL: n.URL(), Queue: testenv.QueueName(t), DeliveryLimit: 2}.WithDefaults()}
	p := b.Publisher(t)
	for _, id := range []string{"bad", "good"} {
		if err := p.Publish(ctx, bus.Message{ID: id, Body: []byte(id)}); err != nil {
			t.Fatal(err)
		}
	}
	i, err := rabbit.NewInspector(b.cfg)
	if err != nil {
		t.Fatal(err)
	}
	rctx, stop := context.WithCancel(ctx)
	received := make(chan error)
	go func() {
		received <- b.Receiver(t, bus.Limits{Messages: 1}).Receive(rctx, func(_ context.Context, ds []bus.Delivery) []bus.Outcome {
			if ds[0].ID == "bad" {
				return nil
			}
			return []bus.Outcome{bus.Done}
		})
	}()
	await(ctx, t, func() bool {
		dead, err := i.DeadLettered(ctx)
		return err == nil && dead == 1
	})
	stop()
	if err := <-received; err != nil {
		t.Error(err)
	}
	if depth, err := i.Depth(ctx); err != nil || depth != 0 {
		t.Errorf("the depth is %d (%v), want 0", depth, err)
	}
}

// Nothing has to be started first: a publisher waits for its broker.
func TestAPublisherMayStartBeforeItsBroker(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	n := testenv.StartRabbit(t)
	n.Stop()
	b := &broker{cfg: rabbit.Config{URL: n.URL(), Queue: testenv.QueueName(t)}.WithDefaults()}
	p := b.Publisher(t)
	short, stop := context.WithTimeout(ctx, 10*time.Second)
	err := p.Publish(short, bus.Message{ID: "m", Body: []byte("m")})
	if fault.KindOf(err) != fault.Unavailable || short.Err() != nil {
		t.Errorf("publish without a broker: got %v, want fault.Unavailable before the deadline", err)
	}
	stop()
	if err := n.Start(); err != nil {
		t.Fatal(err)
	}
	await(ctx, t, func() bool { return p.Publish(ctx, bus.Message{ID: "m", Body: []byte("m")}) == nil })
}

func await(ctx context.Context, t *testing.T, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal("waited in vain")
		}
	}
}

func unbind(t *testing.T, url, queue string) {
	t.Helper()
	conn, err := amqp.Dial(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	ch, err := conn.Channel()
	if err == nil {
		err = ch.QueueUnbind(queue, queue, queue, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
}
