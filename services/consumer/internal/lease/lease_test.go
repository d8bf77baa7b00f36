package lease

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/maidian/maidian/pkg/store"
	"github.com/maidian/maidian/pkg/store/sqlite"
	"github.com/maidian/maidian/pkg/store/storetest"
)

func open(t *testing.T) store.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Memory)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// TestOneHoldsIt has ten processes want the same work; each does it for a
// while and stops. Never do two work at once, and terms only rise.
func TestOneHoldsIt(t *testing.T) {
	s := open(t)
	var working, done atomic.Int32
	var terms sync.Map
	var all sync.WaitGroup
	for i := range 10 {
		all.Go(func() {
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			k := NewKeeper(s, fmt.Sprint("process-", i), 400*time.Millisecond, zap.NewNop())
			err := k.Do(ctx, "demo", "work", func(_ context.Context, term int64) error {
				if n := working.Add(1); n != 1 {
					t.Errorf("%d work at once", n)
				}
				if other, taken := terms.LoadOrStore(term, i); taken {
					t.Errorf("term %d is %d's and %d's", term, other, i)
				}
				working.Add(-1)
				done.Add(1)
				stop()
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if done.Load() != 10 {
		t.Errorf("%d of 10 have worked", done.Load())
	}
}

// TestALeaseThatRunsOutIsTakenOver has a holder that cannot reach the store any more.
func TestALeaseThatRunsOutIsTakenOver(t *testing.T) {
	s := open(t)
	cut := &storetest.Line{Store: s}
	var heard atomic.Bool
	ctx := t.Context()
	first, second := make(chan int64, 1), make(chan int64, 1)
	var all sync.WaitGroup
	defer all.Wait()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	all.Go(func() {
		_ = NewKeeper(cut, "first", 200*time.Millisecond, zap.NewNop()).Do(ctx, "", "work", func(ctx context.Context, term int64) error {
			first <- term
			<-ctx.Done() // it hears that it has lost the lease
			heard.Store(true)
			return ctx.Err()
		})
	})
	was := <-first
	cut.Cut()
	all.Go(func() {
		_ = NewKeeper(s, "second", 200*time.Millisecond, zap.NewNop()).Do(ctx, "", "work", func(ctx context.Context, term int64) error {
			if !heard.Load() {
				t.Error("the second works while the first has not heard that it must not")
			}
			second <- term
			<-ctx.Done()
			return nil
		})
	})
	if is := <-second; is <= was {
		t.Errorf("terms: got %d after %d, want a higher one", is, was)
	}
}

func TestAnErrorOfTheWorkIsPassedOn(t *testing.T) {
	broken := errors.New("broken")
	s := open(t)
	k := NewKeeper(s, "one", time.Second, zap.NewNop())
	err := k.Do(t.Context(), "", "work", func(context.Context, int64) error { return broken })
	if !errors.Is(err, broken) {
		t.Errorf("got %v, want %v", err, broken)
	}
	held, err := NewKeeper(s, "two", time.Second, zap.NewNop()).take(t.Context(), "", "work", &sighting{})
	if err != nil || held == nil {
		t.Errorf("the lease was not given back: %v, %v", held, err)
	}
}
