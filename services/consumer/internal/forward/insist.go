package forward

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/maidian/maidian/pkg/fault"
	"github.com/maidian/maidian/pkg/proc"
)

// insist tries until it works, ctx ends, or another process has written the state.
func (p *pump) insist(ctx context.Context, try func() error) error {
	for {
		err := try()
		switch {
		case err == nil:
			p.recovered()
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, errLost):
			return err
		}
		if lost := p.failed(ctx, err); lost != nil {
			return lost
		}
		if !proc.Pause(ctx, p.waitAfter(err)) {
			return ctx.Err()
		}
	}
}

// longestWait is how long a server may have us wait.
const longestWait = time.Hour

func (p *pump) waitAfter(err error) time.Duration {
	wait := p.forwarder.retry.after(p.Failures)
	if e := (*fault.Error)(nil); errors.As(err, &e) {
		wait = max(wait, min(e.RetryAfter, longestWait))
	}
	return wait
}

// worthTelling is how many failures in a row a person is told of, and after how
// many, each time, a target is opened anew.
const worthTelling = 5

func (p *pump) failed(ctx context.Context, err error) error {
	p.Failures++
	p.LastError, p.LastErrorAt, p.changed = cut(err.Error()), time.Now().UnixMilli(), true
	p.errors.Inc()
	if p.Failures == worthTelling {
		p.log.Warn("a destination is away; it is tried again until it answers", zap.Error(err))
	}
	if err := p.saveNowAndThen(ctx); errors.Is(err, errLost) {
		return err
	}
	return nil
}

func (p *pump) recovered() {
	if p.Failures == 0 {
		return
	}
	if p.Failures >= worthTelling {
		p.log.Info("a destination is back", zap.Int("failures", p.Failures))
	}
	p.Failures, p.LastError, p.changed = 0, "", true
}
