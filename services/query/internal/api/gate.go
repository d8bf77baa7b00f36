package api

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/maidian/maidian/pkg/fault"
	"github.com/maidian/maidian/pkg/trace"
)

// gate lets a few in at a time, so that heavy queries and exports leave
// processors and memory for others. Listings have a gate of their own, and what
// people watch live passes none.
type gate struct {
	slots   chan struct{}
	what    string
	waiting atomic.Int64
}

func newGate(slots int, what string) *gate {
	return &gate{slots: make(chan struct{}, slots), what: what}
}

// enter waits for a slot, as long as ctx lets it, and returns how to leave it.
func (g *gate) enter(ctx context.Context) (leave func(), err error) {
	if g == nil {
		return func() {}, nil
	}
	leave = func() { <-g.slots }
	select {
	case g.slots <- struct{}{}:
		return leave, nil // at once, even if there is no time left to wait
	default:
	}
	g.waiting.Add(1)
	defer g.waiting.Add(-1)
	_, span := trace.Step(ctx, "wait for other "+g.what)
	defer span.End(nil)
	select {
	case g.slots <- struct{}{}:
		return leave, nil
	case <-ctx.Done():
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return nil, ctx.Err()
	}
	return nil, &fault.Error{
		Kind: fault.Unavailable, Code: "busy", RetryAfter: time.Second,
		Message: "too many " + g.what + " are running: try again",
	}
}
