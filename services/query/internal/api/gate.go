package api

import (
	"context"
	"errors"
	"time"

	"github.com/maidian/maidian/pkg/fault"
)

// gate lets a few in at a time, so that heavy queries and exports leave
// processors and memory for the light ones, which pass no gate.
type gate struct {
	slots chan struct{}
	what  string
}

func newGate(slots int, what string) *gate { return &gate{make(chan struct{}, slots), what} }

// enter waits for a slot, as long as ctx lets it, and returns how to leave it.
func (g *gate) enter(ctx context.Context) (leave func(), err error) {
	if g == nil {
		return func() {}, nil
	}
	select {
	case g.slots <- struct{}{}:
		return func() { <-g.slots }, nil
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
