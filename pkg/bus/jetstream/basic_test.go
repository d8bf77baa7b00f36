package jetstream

import (
	"context"
	"testing"
	"time"

	"github.com/maidian/maidian/pkg/bus"
	"go.uber.org/zap/zaptest"
)

func TestASecondStartFindsAllMessages(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cfg := Config{Dir: t.TempDir()}
	s, err := Start(cfg, zaptest.NewLogger(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	p, err := s.Publisher()
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"a", "b", "c"} {
		if err := p.Publish(ctx, bus.Message{ID: id, Body: []byte("body of " + id)}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Start(cfg, zaptest.NewLogger(t), nil); err == nil {
		t.Error("a second server started on a directory that is in use")
	} else {
		t.Log(err)
	}
	if err := p.Close(ctx); err != nil {
		t.Error(err)
	}
	if err := s.Close(ctx); err != nil {
		t.Error(err)
	}

	s, err = Start(cfg, zaptest.NewLogger(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close(ctx)
	got := map[string]string{}
	rctx, stop := context.WithCancel(ctx)
	err = s.Receiver(bus.Limits{}).Receive(rctx, func(_ context.Context, ds []bus.Delivery) []bus.Outcome {
		out := make([]bus.Outcome, len(ds))
		for i, d := range ds {
			got[d.ID], out[i] = string(d.Body), bus.Done
		}
		if len(got) == 3 {
			stop()
		}
		return out
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 3 || got["b"] != "body of b" {
		t.Errorf("received %v, want a, b and c with their bodies", got)
	}
}
