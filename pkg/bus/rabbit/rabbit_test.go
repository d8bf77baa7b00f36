package rabbit

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/maidian/maidian/pkg/bus"
	"github.com/maidian/maidian/pkg/testenv"
	"go.uber.org/zap/zaptest"
)

var node testenv.SharedRabbit

func TestMain(m *testing.M) {
	code := m.Run()
	node.Close()
	os.Exit(code)
}

func TestSmoke(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	n := node.Node(t)
	cfg := Config{URL: n.URL(), Queue: testenv.QueueName(t)}.WithDefaults()
	if err := Check(ctx, cfg); err != nil {
		t.Fatal(err)
	}
	log := zaptest.NewLogger(t)
	p, err := NewPublisher(ctx, cfg, log, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		if err := p.Publish(ctx, bus.Message{ID: fmt.Sprint(i), Body: []byte("x")}); err != nil {
			t.Fatal(err)
		}
	}
	r, _ := NewReceiver(cfg, bus.Limits{Messages: 3}, log, nil)
	rctx, stop := context.WithCancel(ctx)
	got := 0
	if err := r.Receive(rctx, func(_ context.Context, ds []bus.Delivery) []bus.Outcome {
		out := make([]bus.Outcome, len(ds))
		for i := range ds {
			out[i] = bus.Done
			got++
		}
		if got == 10 {
			stop()
		}
		return out
	}); err != nil {
		t.Fatal(err)
	}
	i, _ := NewInspector(cfg)
	if n, err := i.Depth(ctx); n != 0 || err != nil {
		t.Error(n, err)
	}
	if err := p.Close(ctx); err != nil {
		t.Error(err)
	}
	for _, u := range []string{"amqp://guest:geheim@" + n.Addr() + "/", "amqp://guest:guest@" + n.Addr() + "/nope", "amqp://guest:guest@127.0.0.1:1/"} {
		c := cfg
		c.URL = u
		t.Log(Check(ctx, c))
	}
	c := cfg
	c.MaxMessages++
	t.Log(Check(ctx, c))
}
