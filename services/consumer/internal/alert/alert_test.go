package alert

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/rule"
	"github.com/maidian/maidian/pkg/store"
	"github.com/maidian/maidian/pkg/store/sqlite"
	"github.com/maidian/maidian/services/consumer/internal/lease"
)

// town is a store that several processes work with, and the time that all of them have.
type town struct {
	*sqlite.Store
	clock     atomic.Int64
	began     event.Time
	saveEvery time.Duration // of its processes
	queue     Queue
}

func newTown(t *testing.T) *town {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Memory)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	w := &town{Store: s, began: event.TimeOf(time.Now().Truncate(time.Minute)), saveEvery: 20 * time.Millisecond}
	w.clock.Store(int64(w.began))
	if err := s.CreateProject(t.Context(), store.Project{ID: "shop", Timezone: "Europe/Berlin"}); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *town) now() event.Time { return event.Time(w.clock.Load()) }

func (w *town) rule(t *testing.T, id, definition string) {
	t.Helper()
	data, err := json.Marshal(rule.Kept{Definition: json.RawMessage(definition)})
	if err == nil {
		err = w.CreateRecord(t.Context(), store.Record{Kind: rule.RecordKind, Project: "shop", ID: id, Data: data})
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (w *town) alerts(with Store, name string) *Alerts {
	a := New(with, w.queue, lease.NewKeeper(with, name, time.Second, zap.NewNop()), func() {}, NewMetrics(prometheus.NewRegistry()), zap.NewNop())
	a.look, a.share, a.saveEvery, a.now = 5*time.Millisecond, 0, w.saveEvery, func() time.Time { return w.now().Std() }
	return a
}

// process evaluates with a store until it is stopped.
func (w *town) process(t *testing.T, name string, with Store) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	a := w.alerts(with, name)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := a.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
	stop = sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(stop)
	return stop
}

// store stores events of now and journals them.
func (w *town) store(t *testing.T, project, batch string, types ...string) {
	t.Helper()
	var events []event.Event
	for i, kind := range types {
		events = append(events, event.Event{
			Project: project, EventID: fmt.Sprint(batch, "-", i), EventType: kind, UserID: "ada", Timestamp: w.now() + event.Time(i),
			ReceivedAt: w.now() + event.Time(i), BatchID: batch, Position: i,
		})
	}
	if _, err := w.InsertEvents(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	entry := store.Batch{ID: batch, Project: project, WrittenAt: w.now(), ReceivedAt: w.now(), Stored: len(events)}
	if err := w.RecordBatches(t.Context(), []store.Batch{entry}); err != nil {
		t.Fatal(err)
	}
}

func (w *town) firings(t *testing.T) (firings []rule.Firing) {
	t.Helper()
	records, err := w.Records(t.Context(), rule.FiringKind, "*", "", 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		var f rule.Firing
		if err := json.Unmarshal(r.Data, &f); err != nil || f.ID != r.ID || f.Project != r.Project || r.Due == 0 {
			t.Fatalf("record %s: %s, %v", r.Key(), r.Data, err)
		}
		firings = append(firings, f)
	}
	return firings
}

// until waits for an effect.
func until(t *testing.T, what string, seen func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for !seen() {
		select {
		case <-deadline:
			t.Fatalf("waited in vain: %s", what)
		case <-time.After(2 * time.Millisecond): // the effect to wait for is only in the store
		}
	}
}

// memory is what the snapshot holds, when there is one that no firings wait for.
func (w *town) memory(t *testing.T) (m memory, settled bool) {
	t.Helper()
	k := &kept{store: w.Store}
	r, err := w.Record(t.Context(), rule.StateKind, "shop", stateID)
	if errors.Is(err, store.ErrNotFound) || err == nil && len(r.Data) == 0 {
		return m, false
	}
	if err == nil {
		k.record = *r
		err = unpack(r.Data, &k.root)
	}
	if err == nil && k.Snapshot.Parts > 0 {
		err = k.get(t.Context(), k.Snapshot, &m)
	}
	if errors.Is(err, store.ErrNotFound) { // the next one was written just now
		return m, false
	}
	if err != nil {
		t.Fatal(err)
	}
	return m, k.Snapshot.Parts > 0 && len(k.Firings) == 0 && len(k.Steps) == 0
}

func (w *town) status(t *testing.T) (s rule.Status, err error) {
	t.Helper()
	r, err := w.Record(t.Context(), rule.StatusKind, "shop", rule.StatusID)
	if err == nil {
		err = json.Unmarshal(r.Data, &s)
	}
	return s, err
}

// settled waits until everything up to now was judged and written.
func (w *town) settled(t *testing.T) {
	t.Helper()
	until(t, "the state is of now", func() bool {
		m, there := w.memory(t)
		var e struct {
			Progress event.Time `json:"progress"`
		}
		return there && json.Unmarshal(m.Evaluator, &e) == nil && e.Progress >= w.now()
	})
}

// rules waits until so many are evaluated.
func (w *town) rules(t *testing.T, want int) {
	t.Helper()
	until(t, fmt.Sprintf("%d rules are evaluated", want), func() bool {
		m, _ := w.memory(t)
		var e struct {
			Rules map[string]any `json:"rules"`
		}
		return json.Unmarshal(m.Evaluator, &e) == nil && len(e.Rules) == want
	})
}

// dying is the store as a process sees it that dies at one of its calls: done
// or not, and from then on nothing that it does has an effect.
type dying struct {
	Store
	left  atomic.Int64
	after bool // the last call still has its effect
	dead  chan struct{}
}

var errDead = errors.New("the process is dead")

func (d *dying) call(do func() error) error {
	n := d.left.Add(-1)
	if n == 0 {
		defer close(d.dead)
	}
	if n < 0 || n == 0 && !d.after {
		return errDead
	}
	err := do()
	if n == 0 {
		return errDead
	}
	return err
}

func (d *dying) CreateRecord(ctx context.Context, r store.Record) error {
	return d.call(func() error { return d.Store.CreateRecord(ctx, r) })
}

func (d *dying) UpdateRecord(ctx context.Context, r store.Record) error {
	return d.call(func() error { return d.Store.UpdateRecord(ctx, r) })
}

func (d *dying) DeleteRecord(ctx context.Context, r store.Record) error {
	return d.call(func() error { return d.Store.DeleteRecord(ctx, r) })
}

func (d *dying) EventsOfBatches(ctx context.Context, project string, ids []string, yield func(*event.Event) error) error {
	return d.call(func() error { return d.Store.EventsOfBatches(ctx, project, ids, yield) })
}

// TestStoppedAnywhereNothingIsLostOrDoubled has a process die at its n-th call
// of the store, for many n, and another one take over: from a snapshot that is
// written all the time, or from one that is old and the steps since.
func TestStoppedAnywhereNothingIsLostOrDoubled(t *testing.T) {
	for _, saveEvery := range []time.Duration{10 * time.Millisecond, time.Hour} {
		for n := range 20 {
			t.Run(fmt.Sprint("snapshots every ", saveEvery, ", call ", n+1), func(t *testing.T) {
				t.Parallel()
				w := newTown(t)
				w.rule(t, "each", `{"id": "each", "kind": "event", "event": "purchase"}`)
				w.rule(t, "burst", `{"id": "burst", "kind": "threshold", "event": "click", "value": 2, "window": "10s", "severity": "critical"}`)
				stop := w.process(t, "first", w.Store)
				w.settled(t)
				stop()

				w.saveEvery = saveEvery
				d := &dying{Store: w.Store, after: n%2 == 0, dead: make(chan struct{})}
				d.left.Store(int64(n + 1))
				w.process(t, "dying", d)
				want := w.bursts(t, 0, 3)
				<-d.dead
				stop = w.process(t, "second", w.Store)
				want = append(want, w.bursts(t, 3, 5)...)
				until(t, "all is told", func() bool { return len(w.firings(t)) >= len(want) })
				stop()

				var got []string
				for _, f := range w.firings(t) {
					got = append(got, fmt.Sprint(f.Rule, " ", f.State, " ", int64(f.At-w.began)/60_000))
				}
				slices.Sort(got)
				slices.Sort(want)
				if !slices.Equal(got, want) {
					t.Errorf("got  %v\nwant %v", got, want)
				}
			})
		}
	}
}

// bursts stores some clicks and a purchase in the middle of each of some minutes, and says what is to come of it.
func (w *town) bursts(t *testing.T, from, to int) (want []string) {
	for i := from; i < to; i++ {
		w.clock.Store(int64(w.began) + int64(i)*60_000 + 5000)
		w.store(t, "shop", fmt.Sprint("batch", i), "click", "click", "purchase", "click")
		w.store(t, "other", fmt.Sprint("other", i), "click", "click", "purchase", "click")
		want = append(want, fmt.Sprint("each firing ", i), fmt.Sprint("burst firing ", i), fmt.Sprint("burst recovered ", i))
	}
	w.clock.Store(int64(w.began) + int64(to)*60_000)
	return want
}

func TestRulesAreTakenUpAsTheyAre(t *testing.T) {
	w := newTown(t)
	w.rule(t, "each", `{"id": "each", "kind": "event", "event": "purchase"}`)
	w.process(t, "only", w.Store)
	w.settled(t)
	w.store(t, "shop", "b1", "purchase", "refund")
	until(t, "the purchase is told", func() bool { return len(w.firings(t)) == 1 })
	w.rule(t, "back", `{"id": "back", "kind": "event", "event": "refund"}`)
	w.rules(t, 2)
	w.store(t, "shop", "b2", "refund")
	until(t, "the refund after it is told", func() bool { return len(w.firings(t)) == 2 })
	r, err := w.Record(t.Context(), rule.RecordKind, "shop", "each")
	if err == nil {
		err = w.DeleteRecord(t.Context(), *r)
	}
	if err != nil {
		t.Fatal(err)
	}
	w.rules(t, 1)
	w.clock.Add(1000)
	w.store(t, "shop", "b3", "purchase", "refund")
	until(t, "the next refund is told", func() bool { return len(w.firings(t)) == 3 })
	for _, f := range w.firings(t) {
		if f.Event == nil || f.Event.UserID != "ada" || (f.Rule == "each") != (f.Event.EventID == "b1-0") {
			t.Errorf("firing %+v is not of a purchase while its rule was there, nor of a refund", f)
		}
	}
}

// TestWindowsWaitForABacklog has events come that were received long before they were stored.
func TestWindowsWaitForABacklog(t *testing.T) {
	w := newTown(t)
	w.rule(t, "silent", `{"id": "silent", "kind": "absence", "event": "click", "window": "1m"}`)
	w.process(t, "only", w.Store)
	w.settled(t)
	// Ten minutes are worked off at a minute's distance each; in all of them there were clicks.
	for i := range 10 {
		received := w.began + event.Time(i)*30_000
		w.clock.Store(int64(w.began) + 600_000 + int64(i)*1000)
		e := event.Event{Project: "shop", EventID: fmt.Sprint(i), EventType: "click", Timestamp: received, ReceivedAt: received, BatchID: fmt.Sprint("b", i)}
		if i == 0 {
			w.clock.Store(int64(w.began) + 1000)
		}
		if _, err := w.InsertEvents(t.Context(), []event.Event{e}); err != nil {
			t.Fatal(err)
		}
		if err := w.RecordBatches(t.Context(), []store.Batch{{ID: e.BatchID, Project: "shop", WrittenAt: w.now(), ReceivedAt: received, Stored: 1}}); err != nil {
			t.Fatal(err)
		}
	}
	until(t, "the silence after the last click is told", func() bool {
		w.clock.Add(10_000)
		return len(w.firings(t)) > 0
	})
	if f := w.firings(t)[0]; f.At < w.began+9*30_000+60_000 {
		t.Errorf("silence is told at %s, %s after the first click, though clicks were on their way", f.At, (f.At - w.began).Std().Format("04:05"))
	}
}

func TestLateness(t *testing.T) {
	var l lateness
	l.see(&store.Batch{WrittenAt: 100_000, ReceivedAt: 40_000})
	for now, want := range map[event.Time]event.Time{100_000: 60_000, 159_999: 60_000, 160_000: 0} {
		if got := l.by(now); got != want {
			t.Errorf("at %d: got %d, want %d", now, got, want)
		}
	}
	l.see(&store.Batch{WrittenAt: 100_000, ReceivedAt: 100_500})
	if got := l.by(100_001); got != 0 {
		t.Errorf("received after it was written, by clocks that differ: got %d, want 0", got)
	}
}
