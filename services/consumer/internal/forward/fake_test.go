package forward

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/maidian/maidian/pkg/destination"
	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/store"
	"github.com/maidian/maidian/pkg/store/sqlite"
	"github.com/maidian/maidian/services/consumer/internal/lease"
)

func openStore(t *testing.T) store.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Memory)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// writer stores batches of events as the consumer does.
type writer struct {
	store   store.Store
	written []string // event ids in the order of the journal
	batches int
	at      event.Time
}

func newWriter(s store.Store) *writer {
	return &writer{store: s, at: event.TimeOf(time.Now().Add(-time.Hour))}
}

// entries stores batches of one event each.
func (w *writer) entries(t testing.TB, n int) {
	t.Helper()
	var events []event.Event
	var entries []store.Batch
	for range n {
		w.at++
		id := fmt.Sprintf("batch-%06d", w.batches)
		w.batches++
		events = append(events, event.Event{Project: "demo", EventID: id, EventType: "page_view", Timestamp: w.at, ReceivedAt: w.at, StoredAt: w.at, BatchID: id})
		entries = append(entries, store.Batch{ID: id, Project: "demo", WrittenAt: w.at, ReceivedAt: w.at, Stored: 1, Days: []int32{w.at.Day()}})
		w.written = append(w.written, id)
	}
	_, err := w.store.InsertEvents(t.Context(), events)
	if err == nil {
		err = w.store.RecordBatches(t.Context(), entries)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// batch stores one of the project demo; change makes its events what they are to be.
func (w *writer) batch(t testing.TB, events int, change func(i int, e *event.Event)) {
	t.Helper()
	w.at++
	id := fmt.Sprintf("batch-%06d", w.batches)
	w.batches++
	all := make([]event.Event, events)
	for i := range all {
		e := &all[i]
		*e = event.Event{
			Project: "demo", EventID: fmt.Sprintf("%s.%d", id, i), EventType: "page_view", UserID: fmt.Sprint("user-", i%7),
			Timestamp: w.at, ReceivedAt: w.at, StoredAt: w.at, BatchID: id, Position: i,
		}
		if change != nil {
			change(i, e)
		}
		w.written = append(w.written, e.EventID)
	}
	if _, err := w.store.InsertEvents(t.Context(), all); err != nil {
		t.Fatal(err)
	}
	err := w.store.RecordBatches(t.Context(), []store.Batch{{ID: id, Project: "demo", WrittenAt: w.at, ReceivedAt: w.at, Stored: events, Days: []int32{w.at.Day()}}})
	if err != nil {
		t.Fatal(err)
	}
}

// define writes the record of a destination.
func define(t testing.TB, s store.Store, definition string, change func(*destination.Record)) {
	t.Helper()
	d, err := destination.Read([]byte(definition))
	if err != nil {
		t.Fatal(err)
	}
	wanted := destination.Record{Definition: json.RawMessage(definition)}
	r, err := s.Record(t.Context(), destination.Kind, "demo", d.ID)
	if err == nil {
		err = json.Unmarshal(r.Data, &wanted)
	} else if errors.Is(err, store.ErrNotFound) {
		r = &store.Record{Kind: destination.Kind, Project: "demo", ID: d.ID}
		err = s.CreateRecord(t.Context(), *r)
	}
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(&wanted)
	}
	if r.Data, err = json.Marshal(wanted); err != nil {
		t.Fatal(err)
	}
	if err := s.UpdateRecord(t.Context(), *r); err != nil {
		t.Fatal(err)
	}
}

const toFake = `{"id":"fake","type":"webhook","settings":{"url":"https://example.com","secrets":["s"]}}`

const mostInTests = 1000 // entries of a group

// run has a forwarder at work on a target until stop is called.
func run(t testing.TB, s Store, holder string, open func() (Target, error)) (stop func()) {
	t.Helper()
	return runWith(t, s, holder, func(*opening) (Target, error) { return open() })
}

func runWith(t testing.TB, s Store, holder string, open func(o *opening) (Target, error)) (stop func()) {
	t.Helper()
	log := zap.NewNop()
	f := New(s, lease.NewKeeper(s, holder, 300*time.Millisecond, log), Env{}, NewMetrics(prometheus.NewRegistry()), log)
	f.most = mostInTests
	f.look, f.retry, f.overlap = 2*time.Millisecond, backoff{time.Millisecond, 20 * time.Millisecond}, time.Minute
	f.open = func(_ context.Context, o *opening) (Target, error) { return open(o) }
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	return sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// fake is a target of which everything can be asked.
type fake struct {
	limits Limits
	encode func(e *event.Event) error
	send   func(ctx context.Context, b Batch) error // nil: takes everything

	mu      sync.Mutex
	took    []string // event ids in the order in which they were taken, again when sent again
	batches map[string][]string
	changed chan struct{}
}

func newFake(l Limits) *fake {
	return &fake{limits: l, batches: map[string][]string{}, changed: make(chan struct{}, 1)}
}

func (f *fake) open() (Target, error) { return f, nil }
func (f *fake) Limits() Limits        { return f.limits }
func (f *fake) Close() error          { return nil }

func (f *fake) Encode(e *event.Event) ([]byte, error) {
	if f.encode != nil {
		if err := f.encode(e); err != nil {
			return nil, err
		}
	}
	return e.AppendJSON(nil), nil
}

func (f *fake) Send(ctx context.Context, b Batch) error {
	if f.send != nil {
		if err := f.send(ctx, b); err != nil {
			return err
		}
	}
	f.take(b.Items...)
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, i := range b.Items {
		f.batches[b.ID] = append(f.batches[b.ID], i.Event.EventID)
	}
	return nil
}

func (f *fake) take(items ...*Item) {
	f.mu.Lock()
	for _, i := range items {
		f.took = append(f.took, i.Event.EventID)
	}
	f.mu.Unlock()
	select {
	case f.changed <- struct{}{}:
	default:
	}
}

// first are the events that were taken, each where it was taken first.
func (f *fake) first() (ids []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	seen := map[string]bool{}
	for _, id := range f.took {
		if !seen[id] {
			ids = append(ids, id)
		}
		seen[id] = true
	}
	return ids
}

// waitFor waits until so many different events were taken.
func (f *fake) waitFor(t testing.TB, events int) {
	t.Helper()
	f.waitUntil(t, func() bool { return len(f.first()) >= events })
}

// waitUntil waits for something that is true after some event was taken.
func (f *fake) waitUntil(t testing.TB, is func() bool) {
	t.Helper()
	timeout := time.After(time.Minute)
	for !is() {
		select {
		case <-f.changed:
		case <-timeout:
			t.Fatalf("got %d events in a minute, and wait for more", len(f.first()))
		}
	}
}

// waitForState waits until the state of a job is as wanted.
func waitForState(t testing.TB, s store.Store, id string, wanted func(*destination.State) bool) *destination.State {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	var state destination.State
	for begun := time.Now(); time.Since(begun) < time.Minute; <-tick.C {
		r, err := s.Record(t.Context(), destination.StateKind, "demo", id)
		if errors.Is(err, store.ErrNotFound) || err == nil && len(r.Data) == 0 {
			continue
		}
		state = destination.State{}
		if err == nil {
			err = json.Unmarshal(r.Data, &state)
		}
		if err != nil {
			t.Fatal(err)
		}
		if wanted(&state) {
			return &state
		}
	}
	t.Fatalf("the state of %s stays %+v", id, state)
	return nil
}

// letters are the refused events, and why.
func letters(t testing.TB, s store.Store) map[string]string {
	t.Helper()
	records, err := s.Records(t.Context(), destination.LetterKind, "demo", "", 1000)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, r := range records {
		var l destination.Letter
		if err := json.Unmarshal(r.Data, &l); err != nil {
			t.Fatal(err)
		}
		all[l.EventID] = l.Reason
	}
	return all
}

func wantSame(t testing.TB, got, want []string) {
	t.Helper()
	if slices.Equal(got, want) {
		return
	}
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			t.Fatalf("got %d events, want %d; the %d. is %s, want %s", len(got), len(want), i+1, got[i], want[i])
		}
	}
	t.Fatalf("got %d events, want %d", len(got), len(want))
}
