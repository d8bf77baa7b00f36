package notify

import (
	"math/rand/v2"
	"sync"
	"time"

	"github.com/maidian/maidian/pkg/fault"
	"github.com/maidian/maidian/services/consumer/internal/channel"
)

// target is one channel as this process knows it: how many attempts are under
// way, and until when it is left alone because it fails or wants it so.
type target struct {
	mu       sync.Mutex
	pace     channel.Pace
	sending  map[string]bool // keys of records
	began    time.Time       // the last attempt
	failures int             // in a row
	until    time.Time       // left alone
}

// admission is whether an attempt may begin.
type admission int

const (
	admitted admission = iota
	already            // it is under way
	busy               // as many are under way as it takes
	shut               // it is left alone for a while
)

// A target that fails so often in a row is left alone, for longer each time,
// and then tried by one notice before the others come.
const (
	failuresToShut = 3
	firstShut      = 15 * time.Second
	longestShut    = 10 * time.Minute
)

// admit begins an attempt, or says until when it should wait.
func (t *target) admit(key string, now time.Time) (until time.Time, why admission) {
	t.mu.Lock()
	defer t.mu.Unlock()
	atOnce := t.pace.AtOnce
	if t.failures >= failuresToShut {
		atOnce = 1
	}
	switch next := t.began.Add(t.pace.Every); {
	case t.sending[key]:
		return now, already
	case now.Before(t.until):
		return t.until, shut
	case len(t.sending) >= atOnce:
		return now.Add(time.Second), busy
	case now.Before(next):
		return next, busy
	}
	t.sending[key], t.began = true, now
	return now, admitted
}

func (t *target) leave(key string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.sending, key)
}

// is sets what the type of channel takes.
func (t *target) is(pace channel.Pace) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.pace = pace
}

// heard learns from an attempt. A refusal is an answer: the target is well.
func (t *target) heard(err error, after time.Duration, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch kind := fault.KindOf(err); {
	case err == nil || kind == fault.Invalid:
		t.failures = 0
	case kind == fault.Limited:
		t.until = now.Add(max(after, time.Second))
	default:
		if t.failures++; t.failures >= failuresToShut {
			t.until = now.Add(max(after, jitter(doubled(firstShut, t.failures-failuresToShut, longestShut))))
		}
	}
}

// doubled is a time after it was doubled so often.
func doubled(first time.Duration, times int, most time.Duration) time.Duration {
	return min(most, first<<min(times, 20))
}

// jitter is a time around d, so that what failed together does not come again together.
func jitter(d time.Duration) time.Duration {
	return d*3/4 + rand.N(d/2+1)
}
