package pulse

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/store"
	"github.com/maidian/maidian/pkg/store/sqlite"
)

func TestWhatSeveralTellIsAddedUp(t *testing.T) {
	s, err := sqlite.Open(t.Context(), sqlite.Memory)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const now, day = event.Time(1767225600000), event.Time(86_400_000)
	tell := func(project, name, teller string, value float64, at event.Time) {
		t.Helper()
		if err := Tell(t.Context(), s, project, name, teller, value, at); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(what, project, name string, want float64, wantKnown bool) {
		t.Helper()
		if got, known, err := Sum(t.Context(), s, project, name, now-60_000); err != nil || got != want || known != wantKnown {
			t.Errorf("%s: got %g, %t, %v, want %g, %t", what, got, known, err, want, wantKnown)
		}
	}
	expect("nobody has told", "", StorageErrors, 0, false)
	tell("", StorageErrors, "a", 7, now-1)
	tell("", StorageErrors, "a", 3, now)
	tell("", StorageErrors, "b", 2, now-60_000)
	tell("", StorageErrors, "stopped", 100, now-60_001)
	tell("", StorageErrors, "long gone", 100, now-2*day)
	tell("shop", Unaccounted, "", 40, now)
	expect("two tell", "", StorageErrors, 5, true)
	expect("of a project", "shop", Unaccounted, 40, true)
	expect("of another", "blog", Unaccounted, 0, false)
	if _, err := s.Record(t.Context(), Kind, "", StorageErrors+"/long gone"); err != store.ErrNotFound {
		t.Errorf("what nobody tells any more: got %v, want it deleted", err)
	}
	if _, err := s.Record(t.Context(), Kind, "", StorageErrors+"/stopped"); err != nil {
		t.Errorf("what was told a minute ago: %v", err)
	}
}

// board counts how often it is written.
type board struct {
	Board
	mu      sync.Mutex
	written int
	last    []byte
}

func (b *board) Record(context.Context, string, string, string) (*store.Record, error) {
	return nil, store.ErrNotFound
}

func (b *board) CreateRecord(_ context.Context, r store.Record) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.written++
	b.last = r.Data
	return nil
}

func TestARateIsOfTheLastMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		b, count := &board{}, atomic.Int64{}
		count.Store(1000) // before it began
		go func() { _ = Rate(ctx, b, "x", "a", count.Load, zap.NewNop()) }()
		after := func(d time.Duration, written int, last string) {
			t.Helper()
			time.Sleep(d)
			synctest.Wait()
			b.mu.Lock()
			defer b.mu.Unlock()
			if got := string(b.last); b.written != written || len(got) < len(last) || got[:len(last)] != last {
				t.Errorf("got %d writings, the last %s; want %d, %s", b.written, got, written, last)
			}
		}
		after(10*time.Minute, 0, "")
		count.Add(5)
		after(2*time.Second, 1, `{"value":5,`)
		count.Add(2)
		after(10*time.Second, 2, `{"value":7,`)
		after(40*time.Second, 6, `{"value":7,`)
		after(11*time.Second, 7, `{"value":2,`)
		after(10*time.Minute, 8, `{"value":0,`)
	})
}
