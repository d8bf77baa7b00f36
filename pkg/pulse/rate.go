package pulse

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/proc"
)

const (
	tick    = time.Second
	between = Lately / 6 // two writings
)

// Rate tells until ctx ends by how much a count that only grows has grown
// within Lately. While it rests nothing is written.
func Rate(ctx context.Context, s Board, name, teller string, count func() int64, log *zap.Logger) error {
	var counts [Lately / tick]int64 // the oldest at next
	begun := count()
	for i := range counts {
		counts[i] = begun
	}
	before, last := int64(0), time.Time{}
	for next := 0; proc.Pause(ctx, tick); next = (next + 1) % len(counts) {
		now := count()
		grown := now - counts[next]
		counts[next] = now
		if grown == 0 && before == 0 || time.Since(last) < between {
			continue
		}
		if err := Tell(ctx, s, "", name, teller, float64(grown), event.TimeOf(time.Now())); err != nil {
			log.Debug("a rate is not told now", zap.String("name", name), zap.Error(err))
			continue
		}
		before, last = grown, time.Now()
	}
	return nil
}
