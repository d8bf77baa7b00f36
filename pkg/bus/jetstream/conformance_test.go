//go:build unix

package jetstream_test

import (
	"context"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/maidian/maidian/pkg/bus"
	"github.com/maidian/maidian/pkg/bus/bustest"
	"github.com/maidian/maidian/pkg/bus/jetstream"
	"go.uber.org/zap"
)

func TestMain(m *testing.M) {
	bustest.Child(func(spec string) (bustest.Client, error) {
		dir, limit, _ := strings.Cut(spec, " ")
		n, err := strconv.ParseInt(limit, 10, 64)
		if err != nil {
			return nil, err
		}
		s, err := jetstream.Start(jetstream.Config{Dir: dir, MaxMessages: n}, zap.NewNop())
		return client{s}, err
	})
	os.Exit(m.Run())
}

type client struct{ s *jetstream.Server }

func (c client) Publisher() (bus.Publisher, error)           { return c.s.Publisher(nil) }
func (c client) Receiver(l bus.Limits) (bus.Receiver, error) { return c.s.Receiver(l, nil), nil }

func TestConformance(t *testing.T) {
	bustest.Run(t, bustest.Harness{
		New: newBroker,
		// The nearest thing to a broker in trouble: it is stopped under its clients.
		Block: func(t testing.TB, b bustest.Broker) func() {
			b.Release(t)
			return nil
		},
	})
}

func BenchmarkJetStream(b *testing.B) {
	bustest.Bench(b, func(t testing.TB) bustest.Broker { return newBroker(t, 0) })
}

func newBroker(t testing.TB, maxMessages int64) bustest.Broker {
	b := &broker{cfg: jetstream.Config{Dir: t.TempDir(), MaxMessages: maxMessages}}
	t.Cleanup(func() { b.Release(t) })
	return b
}

// broker is an embedded server that is started when it is needed.
type broker struct {
	cfg    jetstream.Config
	mu     sync.Mutex
	server *jetstream.Server
}

func (b *broker) open(t testing.TB) *jetstream.Server {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.server == nil {
		s, err := jetstream.Start(b.cfg, zap.NewNop())
		if err != nil {
			t.Fatal(err)
		}
		b.server = s
	}
	return b.server
}

func (b *broker) Publisher(t testing.TB) bus.Publisher {
	p, err := b.open(t).Publisher(nil)
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

func (b *broker) Receiver(t testing.TB, l bus.Limits) bus.Receiver { return b.open(t).Receiver(l, nil) }

func (b *broker) Depth(ctx context.Context) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.server == nil {
		var err error
		if b.server, err = jetstream.Start(b.cfg, zap.NewNop()); err != nil {
			return 0, err
		}
	}
	return b.server.Depth(ctx)
}

func (b *broker) Spec() string { return b.cfg.Dir + " " + strconv.FormatInt(b.cfg.MaxMessages, 10) }

func (b *broker) Release(t testing.TB) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.server == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := b.server.Close(ctx); err != nil {
		t.Error(err)
	}
	b.server = nil
}
