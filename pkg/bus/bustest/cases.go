//go:build unix

package bustest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/maidian/maidian/pkg/bus"
	"github.com/maidian/maidian/pkg/fault"
)

func unchanged(t *testing.T, h Harness) {
	ctx, b := testContext(t), h.New(t, 0)
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	large := slices.Repeat(every, bus.MaxBody/len(every))
	bodies := map[string][]byte{
		"01890a5d-ac96-774b-bcce-b302099a8057": []byte("{}\n"),
		"empty":                                {},
		"every-byte":                           every,
		"largest":                              large,
		"looks:like.a_header":                  []byte("NATS/1.0 408 Request Timeout\r\n\r\n"),
	}
	traces := map[string]string{"every-byte": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
	p := b.Publisher(t)
	for id, body := range bodies {
		if err := p.Publish(ctx, bus.Message{ID: id, Body: body, Trace: traces[id]}); err != nil {
			t.Fatalf("publish %s: %v", id, err)
		}
	}
	got := map[string][]byte{}
	done := make(chan struct{})
	stop := receiving(ctx, t, b.Receiver(t, bus.Limits{}), func(_ context.Context, ds []bus.Delivery) []bus.Outcome {
		for _, d := range ds {
			if d.Trace != traces[d.ID] {
				t.Errorf("message %s came with trace %q, not %q", d.ID, d.Trace, traces[d.ID])
			}
			if got[d.ID] = slices.Clone(d.Body); len(got) == len(bodies) {
				close(done)
			}
		}
		return outcomes(len(ds), bus.Done)
	})
	waitFor(ctx, t, "all messages", done)
	stop()
	for id, want := range bodies {
		if string(got[id]) != string(want) {
			t.Errorf("message %s came with %d bytes, not the %d that were sent", id, len(got[id]), len(want))
		}
	}
}

func waitFor(ctx context.Context, t testing.TB, what string, done <-chan struct{}) {
	t.Helper()
	select {
	case <-done:
	case <-ctx.Done():
		t.Fatalf("waited in vain for %s", what)
	}
}

func tooLarge(t *testing.T, h Harness) {
	ctx, b := testContext(t), h.New(t, 0)
	err := b.Publisher(t).Publish(ctx, bus.Message{ID: "large", Body: make([]byte, bus.MaxBody+1)})
	if fault.KindOf(err) != fault.TooLarge {
		t.Errorf("got %v, want fault.TooLarge", err)
	}
	eventuallyDepth(ctx, t, b, 0)
}

func confirmedSurvives(t *testing.T, h Harness) {
	ctx, b := testContext(t), h.New(t, 0)
	b.Release(t)
	var confirmed []string
	runChild(ctx, t, modePublish, b, func(id string) bool {
		confirmed = append(confirmed, id)
		if len(confirmed) == 500 && h.Kill != nil {
			h.Kill(t)
		}
		return len(confirmed) < 500
	})
	if h.Start != nil {
		h.Start(t)
	}
	if len(confirmed) < 500 {
		t.Fatalf("the child had %d messages confirmed, want 500", len(confirmed))
	}
	s := newSeen()
	receiveUntil(ctx, t, b, s, func() bool { return s.has(confirmed) })
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.wrong) > 0 {
		t.Errorf("%d messages came damaged", len(s.wrong))
	}
}

func consumerKilled(t *testing.T, h Harness, mode string) {
	ctx, b := testContext(t), h.New(t, 0)
	sent := ids("m", 20)
	publishAll(ctx, t, b.Publisher(t), sent)
	b.Release(t)
	var handed []string
	runChild(ctx, t, mode, b, func(id string) bool {
		if handed = append(handed, id); len(handed) == 5 && mode == modeIn {
			// Long enough in the consumer's hands for the broker to have noted it on disk.
			select {
			case <-time.After(2 * time.Second):
			case <-ctx.Done():
			}
		}
		return len(handed) < 5
	})
	if len(handed) == 0 {
		t.Fatal("the child received nothing")
	}
	s := receiveAll(ctx, t, b, sent)
	for _, id := range handed {
		if n := s.of(id); h.CountsCrashes && n[0] < 2 {
			t.Errorf("message %s was in a killed consumer's hands and came with attempt %d, want 2 or more", id, n[0])
		}
	}
	eventuallyDepth(ctx, t, b, 0)
}

func reconnect(t *testing.T, h Harness) {
	if h.Kill == nil {
		t.Skip("the broker lives in its clients: there is nothing to reconnect to")
	}
	ctx, b := testContext(t), h.New(t, 0)
	p, s := b.Publisher(t), newSeen()
	stop := receiving(ctx, t, b.Receiver(t, bus.Limits{Prefetch: 10, Messages: 3, Wait: time.Millisecond}), func(_ context.Context, ds []bus.Delivery) []bus.Outcome {
		s.note(ds)
		return outcomes(len(ds), bus.Done)
	})
	confirmed, enough := publishing(ctx, t, p)
	eventually(ctx, t, "some messages are confirmed", func() bool { return len(confirmed()) > 20 })
	h.Kill(t)
	eventually(ctx, t, "the publisher knows that the broker is gone", func() bool { return p.Ready() != nil })
	h.Start(t)
	before := len(confirmed())
	eventually(ctx, t, "messages are confirmed again", func() bool { return len(confirmed()) > before+20 })
	enough()
	eventually(ctx, t, "all have come", func() bool { return s.has(confirmed()) })
	stop()
	s.check(t, confirmed())
	eventuallyDepth(ctx, t, b, 0)
}

// publishing publishes from several goroutines until it is told that it is
// enough; then every message that was begun has been confirmed.
func publishing(ctx context.Context, t testing.TB, p bus.Publisher) (confirmed func() []string, enough func()) {
	var mu sync.Mutex
	var list []string
	var wg sync.WaitGroup
	over := make(chan struct{})
	for worker := range 4 {
		wg.Go(func() {
			for n := 0; ; n++ {
				id := fmt.Sprintf("w%d-%06d", worker, n)
				if err := publishUntilConfirmed(ctx, p, id); err != nil {
					t.Errorf("publish %s: %v", id, err)
					return
				}
				mu.Lock()
				list = append(list, id)
				mu.Unlock()
				select {
				case <-over:
					return
				default:
				}
			}
		})
	}
	confirmed = func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(list)
	}
	enough = func() {
		close(over)
		wg.Wait()
	}
	return confirmed, enough
}

// staleAck answers a delivery after its session has been lost. The next
// session's deliveries have the same numbers; none of them may be settled by it.
func staleAck(t *testing.T, h Harness) {
	if h.Cut == nil {
		t.Skip("the broker lives in its clients: no connection is ever lost")
	}
	ctx, b := testContext(t), h.New(t, 0)
	sent := ids("m", 3)
	publishAll(ctx, t, b.Publisher(t), sent)
	first := make(chan struct{})
	answer := make(chan struct{})
	calls := 0
	again := newSeen()
	stop := receiving(ctx, t, b.Receiver(t, bus.Limits{Prefetch: 10, Messages: 3, Wait: time.Hour}), func(ctx context.Context, ds []bus.Delivery) []bus.Outcome {
		if calls++; calls == 1 {
			close(first)
			<-answer
			return outcomes(len(ds), bus.Done) // too late
		}
		again.note(ds)
		return outcomes(len(ds), bus.Again)
	})
	waitFor(ctx, t, "the first delivery", first)
	h.Cut(t, b)
	close(answer)
	eventually(ctx, t, "all are delivered again", func() bool { return again.has(sent) })
	stop()
	receiveAll(ctx, t, b, sent)
}

func full(t *testing.T, h Harness) {
	ctx, b := testContext(t), h.New(t, 10)
	p := b.Publisher(t)
	var confirmed []string
	var refused error
	for _, id := range ids("m", 1000) {
		try, cancel := context.WithTimeout(ctx, 5*time.Second)
		refused = p.Publish(try, message(id))
		expired := try.Err() != nil
		cancel()
		if refused != nil {
			if expired {
				t.Error("a full queue was only noticed at the deadline")
			}
			break
		}
		confirmed = append(confirmed, id)
	}
	wantUnavailable(t, "publishing into a full queue", refused)
	if len(confirmed) < 10 || len(confirmed) > 100 {
		t.Errorf("a queue for 10 messages took %d", len(confirmed))
	}
	wantUnavailable(t, "Ready after a refusal", p.Ready())
	s := newSeen()
	receiveUntil(ctx, t, b, s, func() bool { return s.has(confirmed) })
	if err := publishUntilConfirmed(ctx, p, "after"); err != nil {
		t.Fatalf("publish after draining: %v", err)
	}
	if err := p.Ready(); err != nil {
		t.Errorf("after draining the publisher is not ready: %v", err)
	}
	receiveAll(ctx, t, b, []string{"after"})
}

func blocked(t *testing.T, h Harness) {
	ctx, b := testContext(t), h.New(t, 0)
	p := b.Publisher(t)
	publishAll(ctx, t, p, []string{"before"})
	unblock := h.Block(t, b)
	try, cancel := context.WithTimeout(ctx, time.Second)
	err := p.Publish(try, message("during"))
	cancel()
	wantUnavailable(t, "publishing to a blocked broker", err)
	eventually(ctx, t, "the publisher is not ready", func() bool { return p.Ready() != nil })
	wantUnavailable(t, "Ready of a blocked publisher", p.Ready())
	if unblock == nil {
		return
	}
	unblock()
	publishAll(ctx, t, p, []string{"during", "after"})
	eventually(ctx, t, "the publisher is ready again", func() bool { return p.Ready() == nil })
	receiveAll(ctx, t, b, []string{"before", "during", "after"})
}

func noTime(t *testing.T, h Harness) {
	b := h.New(t, 0)
	p := b.Publisher(t)
	publishAll(testContext(t), t, p, []string{"before"})
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Publish(over, message("never")); err != nil { // it may still be confirmed in time
		wantUnavailable(t, "publishing with a context that is over", err)
	}
}

func closeDrains(t *testing.T, h Harness) {
	ctx, b := testContext(t), h.New(t, 0)
	p := b.Publisher(t)
	var mu sync.Mutex
	var confirmed []string
	var wg sync.WaitGroup
	for _, id := range ids("m", 50) {
		wg.Go(func() {
			if err := p.Publish(ctx, message(id)); err != nil {
				wantUnavailable(t, "publishing while Close runs", err)
				return
			}
			mu.Lock()
			confirmed = append(confirmed, id)
			mu.Unlock()
		})
	}
	eventually(ctx, t, "one is confirmed", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(confirmed) > 0
	})
	if err := p.Close(ctx); err != nil {
		t.Errorf("Close: %v", err)
	}
	wantUnavailable(t, "publishing after Close", p.Publish(ctx, message("late")))
	wantUnavailable(t, "Ready after Close", p.Ready())
	if err := p.Close(ctx); err != nil {
		t.Errorf("a second Close: %v", err)
	}
	wg.Wait()
	receiveAll(ctx, t, b, confirmed)
	eventuallyDepth(ctx, t, b, 0) // so what was refused is not there either
}

func forgetfulHandler(t *testing.T, h Harness) {
	ctx, b := testContext(t), h.New(t, 0)
	sent := ids("m", 4)
	publishAll(ctx, t, b.Publisher(t), sent)
	handled, calls := newSeen(), 0
	done := make(chan struct{})
	stop := receiving(ctx, t, b.Receiver(t, bus.Limits{Messages: 4, Wait: 50 * time.Millisecond}), func(_ context.Context, ds []bus.Delivery) []bus.Outcome {
		switch calls++; calls {
		case 1:
			panic("a handler's bug")
		case 2:
			return nil
		case 3:
			handled.note(ds[:1])
			return []bus.Outcome{bus.Done} // one for several
		}
		handled.note(ds)
		if handled.has(sent) {
			close(done)
		}
		return outcomes(len(ds)+3, bus.Done) // too many
	})
	waitFor(ctx, t, "all messages after the handler's bugs", done)
	stop()
	handled.check(t, sent)
	eventuallyDepth(ctx, t, b, 0)
}

func attempts(t *testing.T, h Harness) {
	ctx, b := testContext(t), h.New(t, 0)
	publishAll(ctx, t, b.Publisher(t), []string{"again", "done"})
	s := newSeen()
	stop := receiving(ctx, t, b.Receiver(t, bus.Limits{Messages: 2, Wait: time.Millisecond}), func(_ context.Context, ds []bus.Delivery) []bus.Outcome {
		s.note(ds)
		out := outcomes(len(ds), bus.Done)
		for i, d := range ds {
			if d.ID == "again" && d.Attempt < 4 {
				out[i] = bus.Again
			}
		}
		return out
	})
	eventually(ctx, t, "the fourth attempt", func() bool { return len(s.of("again")) == 4 })
	stop()
	if got := s.of("again"); !slices.Equal(got, []int{1, 2, 3, 4}) {
		t.Errorf("attempts of a message that is not done are %v, want 1 2 3 4", got)
	}
	if got := s.of("done"); !slices.Equal(got, []int{1}) {
		t.Errorf("attempts of a message that is done at once are %v, want 1", got)
	}
	eventuallyDepth(ctx, t, b, 0)
}

func sharing(t *testing.T, h Harness) {
	ctx, b := testContext(t), h.New(t, 0)
	sent := ids("m", 60)
	s := newSeen()
	both := make(chan struct{})
	var working atomic.Int64
	start := func() func() {
		first := true
		return receiving(ctx, t, b.Receiver(t, bus.Limits{Prefetch: 2, Messages: 1}), func(ctx context.Context, ds []bus.Delivery) []bus.Outcome {
			if first { // wait for the other one: this proves that both got something
				if first = false; working.Add(1) == 2 {
					close(both)
				}
				select {
				case <-both:
				case <-ctx.Done():
				}
			}
			s.note(ds)
			return outcomes(len(ds), bus.Done)
		})
	}
	stopA, stopB := start(), start()
	publishAll(ctx, t, b.Publisher(t), sent)
	eventually(ctx, t, "all have come", func() bool { return s.has(sent) })
	stopA()
	stopB()
	s.check(t, sent)
	eventuallyDepth(ctx, t, b, 0)
}

func limits(t *testing.T, h Harness) {
	ctx, b := testContext(t), h.New(t, 0)
	p := b.Publisher(t)
	for _, id := range ids("m", 30) {
		if err := p.Publish(ctx, bus.Message{ID: id, Body: make([]byte, 1000)}); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		limits bus.Limits
		want   int
	}{
		"messages":                 {bus.Limits{Prefetch: 20, Messages: 7, Wait: time.Hour}, 7},
		"bytes":                    {bus.Limits{Prefetch: 20, Messages: 20, Bytes: 2500, Wait: time.Hour}, 3},
		"prefetch below messages":  {bus.Limits{Prefetch: 5, Messages: 100, Wait: time.Hour}, 5},
		"time, with too few to it": {bus.Limits{Prefetch: 60, Messages: 60, Wait: 300 * time.Millisecond}, 30},
	} {
		got := make(chan int, 1)
		stop := receiving(ctx, t, b.Receiver(t, c.limits), func(ctx context.Context, ds []bus.Delivery) []bus.Outcome {
			select {
			case got <- len(ds):
			default:
			}
			<-ctx.Done() // Again for all of them
			return nil
		})
		select {
		case n := <-got:
			if n != c.want {
				t.Errorf("%s: a group of %d messages, want %d", name, n, c.want)
			}
		case <-ctx.Done():
			t.Fatalf("%s: no group came", name)
		}
		stop()
		eventuallyDepth(ctx, t, b, 30)
	}
}

// longHandler works longer than any broker's patience that is measured in seconds.
func longHandler(t *testing.T, h Harness) {
	ctx, b := testContext(t), h.New(t, 0)
	sent := ids("m", 3)
	publishAll(ctx, t, b.Publisher(t), sent)
	s := newSeen()
	handle := func(ctx context.Context, ds []bus.Delivery) []bus.Outcome {
		s.note(ds)
		select {
		case <-time.After(5 * time.Second): // the work
		case <-ctx.Done():
		}
		return outcomes(len(ds), bus.Done)
	}
	l := bus.Limits{Prefetch: 5, Messages: 3, Wait: 10 * time.Millisecond}
	stopA := receiving(ctx, t, b.Receiver(t, l), handle)
	stopB := receiving(ctx, t, b.Receiver(t, l), handle)
	eventually(ctx, t, "all have come", func() bool { return s.has(sent) })
	eventuallyDepth(ctx, t, b, 0)
	stopA()
	stopB()
	for _, id := range sent {
		if got := s.of(id); !slices.Equal(got, []int{1}) {
			t.Errorf("message %s was delivered with attempts %v, want once", id, got)
		}
	}
}

func endSettles(t *testing.T, h Harness) {
	ctx, b := testContext(t), h.New(t, 0)
	sent := ids("m", 20)
	publishAll(ctx, t, b.Publisher(t), sent)
	working := make(chan struct{})
	var finished []string
	stop := receiving(ctx, t, b.Receiver(t, bus.Limits{Prefetch: 12, Messages: 4, Wait: time.Millisecond}), func(ctx context.Context, ds []bus.Delivery) []bus.Outcome {
		if len(finished) == 0 {
			close(working)
		}
		<-ctx.Done()
		out := outcomes(len(ds), bus.Again)
		out[0] = bus.Done // made durable just before the end
		finished = append(finished, ds[0].ID)
		return out
	})
	waitFor(ctx, t, "the handler", working)
	stop()
	if len(finished) != 1 {
		t.Fatalf("the handler ran %d times, want once: its context had ended", len(finished))
	}
	eventuallyDepth(ctx, t, b, len(sent)-1)
	receiveAll(ctx, t, b, slices.DeleteFunc(sent, func(id string) bool { return id == finished[0] }))
}

func depth(t *testing.T, h Harness) {
	ctx, b := testContext(t), h.New(t, 0)
	eventuallyDepth(ctx, t, b, 0)
	publishAll(ctx, t, b.Publisher(t), ids("m", 7))
	eventuallyDepth(ctx, t, b, 7)
	working, finish := make(chan struct{}), make(chan struct{})
	stop := receiving(ctx, t, b.Receiver(t, bus.Limits{Prefetch: 5, Messages: 3}), func(ctx context.Context, ds []bus.Delivery) []bus.Outcome {
		select {
		case <-finish:
		default:
			close(working)
			<-finish
		}
		return outcomes(len(ds), bus.Done)
	})
	waitFor(ctx, t, "the handler", working)
	eventuallyDepth(ctx, t, b, 7)
	close(finish)
	eventuallyDepth(ctx, t, b, 0)
	stop()
}

func receiverReady(t *testing.T, h Harness) {
	ctx, b := testContext(t), h.New(t, 0)
	r := b.Receiver(t, bus.Limits{})
	wantUnavailable(t, "Ready before Receive", r.Ready())
	stop := receiving(ctx, t, r, func(_ context.Context, ds []bus.Delivery) []bus.Outcome { return outcomes(len(ds), bus.Done) })
	eventually(ctx, t, "the receiver is ready", func() bool { return r.Ready() == nil })
	stop()
	wantUnavailable(t, "Ready after Receive", r.Ready())
}
