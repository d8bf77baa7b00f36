//go:build unix

package bustest

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/maidian/maidian/pkg/bus"
	"github.com/maidian/maidian/pkg/fault"
)

// How long a test may take before something is taken to be lost.
const patience = time.Minute

// bodyOf is the body of the message with this id in all tests, so that any
// process can tell whether it came whole.
func bodyOf(id string) []byte {
	seed := sha256.Sum256([]byte(id))
	r := rand.NewChaCha8(seed)
	body := make([]byte, 1+int(seed[0])*16)
	_, _ = r.Read(body) // never fails
	return body
}

func message(id string) bus.Message { return bus.Message{ID: id, Body: bodyOf(id)} }

func ids(prefix string, n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("%s-%04d", prefix, i)
	}
	return list
}

func publishAll(ctx context.Context, t testing.TB, p bus.Publisher, ids []string) {
	t.Helper()
	var wg sync.WaitGroup
	for part := range slices.Chunk(ids, len(ids)/8+1) {
		wg.Go(func() {
			for _, id := range part {
				if err := publishUntilConfirmed(ctx, p, id); err != nil {
					t.Errorf("publish %s: %v", id, err)
				}
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

// publishUntilConfirmed is what every client does: the same message again
// until the broker has confirmed it.
func publishUntilConfirmed(ctx context.Context, p bus.Publisher, id string) error {
	for {
		try, cancel := context.WithTimeout(ctx, 5*time.Second)
		err := p.Publish(try, message(id))
		cancel()
		if err == nil || ctx.Err() != nil {
			return err
		}
		if fault.KindOf(err) != fault.Unavailable {
			return fmt.Errorf("an error of kind %d, want fault.Unavailable: %w", fault.KindOf(err), err)
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// seen notes what handlers got.
type seen struct {
	mu       sync.Mutex
	attempts map[string][]int // by id, in the order of delivery
	wrong    []string         // ids whose bodies were not what was sent
}

func newSeen() *seen { return &seen{attempts: map[string][]int{}} }

func (s *seen) note(ds []bus.Delivery) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range ds {
		s.attempts[d.ID] = append(s.attempts[d.ID], d.Attempt)
		if string(d.Body) != string(bodyOf(d.ID)) {
			s.wrong = append(s.wrong, d.ID)
		}
	}
}

func (s *seen) has(ids []string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range ids {
		if len(s.attempts[id]) == 0 {
			return false
		}
	}
	return true
}

func (s *seen) of(id string) []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.attempts[id])
}

func (s *seen) check(t testing.TB, want []string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.wrong) > 0 {
		t.Errorf("the bodies of %d messages are not what was sent, such as %q", len(s.wrong), s.wrong[0])
	}
	var lost []string
	for _, id := range want {
		if len(s.attempts[id]) == 0 {
			lost = append(lost, id)
		}
	}
	if len(lost) > 0 {
		t.Errorf("%d of %d messages are lost, such as %q", len(lost), len(want), lost[0])
	}
	wanted := map[string]bool{}
	for _, id := range want {
		wanted[id] = true
	}
	for id := range s.attempts {
		if !wanted[id] {
			t.Errorf("a message %q came that nobody sent", id)
		}
	}
}

func outcomes(n int, o bus.Outcome) []bus.Outcome {
	return slices.Repeat([]bus.Outcome{o}, n)
}

// receiving runs a receiver in the background; the function ends it and waits.
func receiving(ctx context.Context, t testing.TB, r bus.Receiver, handle bus.Handler) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- r.Receive(ctx, handle) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Receive returned %v, want nil at the end of its context", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// receiveUntil takes and acknowledges until enough says so.
func receiveUntil(ctx context.Context, t testing.TB, b Broker, s *seen, enough func() bool) {
	t.Helper()
	done := make(chan struct{})
	once := sync.Once{}
	stop := receiving(ctx, t, b.Receiver(t, bus.Limits{Prefetch: 100, Messages: 20, Wait: 5 * time.Millisecond}), func(_ context.Context, ds []bus.Delivery) []bus.Outcome {
		s.note(ds)
		if enough() {
			once.Do(func() { close(done) })
		}
		return outcomes(len(ds), bus.Done)
	})
	defer stop()
	select {
	case <-done:
	case <-ctx.Done():
		t.Errorf("not everything came within %s", patience)
	}
}

// receiveAll takes and acknowledges until every id has come.
func receiveAll(ctx context.Context, t testing.TB, b Broker, want []string) *seen {
	t.Helper()
	s := newSeen()
	receiveUntil(ctx, t, b, s, func() bool { return s.has(want) })
	s.check(t, want)
	return s
}

// eventually waits until ok.
func eventually(ctx context.Context, t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

// eventuallyDepth waits until the queue has this many messages, and says so
// several times in a row: what is on its way to a receiver may be missed once.
func eventuallyDepth(ctx context.Context, t testing.TB, b Broker, want int) {
	t.Helper()
	var got, times int
	var err error
	defer func() {
		if t.Failed() {
			t.Logf("the depth was last %d (%v)", got, err)
		}
	}()
	eventually(ctx, t, fmt.Sprintf("%d messages are queued", want), func() bool {
		if got, err = b.Depth(ctx); err != nil || got != want {
			times = 0
			return false
		}
		times++
		return times == 3
	})
}

func wantUnavailable(t testing.TB, what string, err error) {
	t.Helper()
	if fault.KindOf(err) != fault.Unavailable {
		t.Errorf("%s: got %v, want fault.Unavailable", what, err)
	}
}
