package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/maidian/maidian/pkg/bus"
	"github.com/maidian/maidian/pkg/bus/jetstream"
	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/proc"
	"github.com/maidian/maidian/pkg/store"
	"github.com/maidian/maidian/pkg/store/sqlite"
	"github.com/maidian/maidian/services/consumer"
)

// settings are those of the all-in-one on SQLite.
var settings = consumer.Settings{
	Enabled: true, BatchSize: 2000, BatchBytes: 2 << 20, FlushInterval: 20 * time.Millisecond, Prefetch: 500, Workers: 3,
}

// system is a real queue and a real store, and whoever takes from the one to the other.
type system struct {
	queue *jetstream.Server
	pub   bus.Publisher
	store *sqlite.Store
}

func newSystem(t testing.TB, queueDir, storeDir string) *system {
	t.Helper()
	queue, err := jetstream.Start(jetstream.Config{Dir: queueDir}, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	pub, err := queue.Publisher(nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := sqlite.Open(t.Context(), storeDir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(pub.Close(context.Background()), queue.Close(context.Background()), s.Close()); err != nil {
			t.Error(err)
		}
	})
	return &system{queue: queue, pub: pub, store: s}
}

// consume starts a consumer that works with the given store, and returns what stops it.
func (s *system) consume(t testing.TB, with store.Store) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	p := proc.New("consumer", zap.NewNop(), prometheus.NewRegistry(), proc.Options{Drain: 20 * time.Second})
	done := make(chan error, 1)
	go func() {
		done <- p.Run(ctx, func(ctx context.Context, p *proc.Process) error {
			var receivers []bus.Receiver
			for range settings.Workers {
				receivers = append(receivers, s.queue.Receiver(settings.Limits(), nil))
			}
			return consumer.Serve(ctx, &settings, p, consumer.Deps{Receivers: receivers, Store: with})
		})
	}()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(stop)
	return stop
}

func (s *system) publish(t testing.TB, project string, ids ...string) {
	t.Helper()
	if err := s.pub.Publish(t.Context(), message(project, ids...)); err != nil {
		t.Fatal(err)
	}
}

func message(project string, ids ...string) bus.Message {
	batch := uuid.Must(uuid.NewV7()).String()
	body := event.AppendHeader(nil, event.Header{Version: event.Version, BatchID: batch, Events: len(ids)})
	for i, id := range ids {
		e := event.Event{Project: project, EventID: id, EventType: "click", UserID: "u", Timestamp: 1767225600_000 + event.Time(i), ReceivedAt: event.TimeOf(time.Now())}
		body = append(e.AppendWire(body), '\n')
	}
	return bus.Message{ID: batch, Body: body}
}

// drained waits until the queue is empty: everything that was in it is settled.
func (s *system) drained(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		n, err := s.queue.Depth(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			return
		}
		<-time.After(5 * time.Millisecond) // the effect to wait for is only in the queue's count
	}
}

// sums adds up a project's journal.
func (s *system) sums(t testing.TB, project string) (stored, duplicates, dead int) {
	t.Helper()
	var at store.Cursor
	for {
		batches, err := s.store.Batches(t.Context(), at, 1000)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range batches {
			at = store.After(b)
			if b.Project == project {
				stored, duplicates, dead = stored+b.Stored, duplicates+b.Duplicates, dead+b.DeadLettered
			}
		}
		if len(batches) == 0 {
			return stored, duplicates, dead
		}
	}
}

func TestEventsReachTheStoreOnce(t *testing.T) {
	s := newSystem(t, t.TempDir(), t.TempDir())
	for i := range 50 {
		s.publish(t, "shop", fmt.Sprintf("a%d", i), fmt.Sprintf("b%d", i), "same")
	}
	s.consume(t, s.store)
	s.drained(t)
	if stored, duplicates, dead := s.sums(t, "shop"); stored != 101 || duplicates != 49 || dead != 0 {
		t.Errorf("journal says %d stored, %d duplicates, %d dead; want 101, 49, 0", stored, duplicates, dead)
	}
	e, err := s.store.Event(t.Context(), "shop", "a7")
	if err != nil || e.StoredAt == 0 || e.UserID != "u" {
		t.Errorf("event a7 is %+v, %v", e, err)
	}
}

// The consumer dies at each point on the way, another one takes over, and the
// journal adds up as if nothing had happened.
func TestCrashAnywhereLosesAndDoublesNothing(t *testing.T) {
	for _, at := range []string{"before insert", "after insert", "before journal", "after journal"} {
		t.Run(at, func(t *testing.T) {
			s := newSystem(t, t.TempDir(), t.TempDir())
			for i := range 30 {
				s.publish(t, "shop", fmt.Sprintf("a%d", i), fmt.Sprintf("b%d", i), fmt.Sprintf("a%d", (i+1)%30))
			}
			dead := make(chan struct{})
			stop := s.consume(t, &dying{Store: s.store, at: at, dead: dead})
			<-dead
			stop()
			s.consume(t, s.store)
			s.drained(t)
			if stored, duplicates, dead := s.sums(t, "shop"); stored != 60 || duplicates != 30 || dead != 0 {
				t.Errorf("journal says %d stored, %d duplicates, %d dead; want 60, 30, 0", stored, duplicates, dead)
			}
		})
	}
}

// dying is the store as a consumer sees it that dies at one point: from then
// on nothing it does has an effect.
type dying struct {
	store.Store
	at   string
	dead chan struct{}
	once sync.Once
	gone atomic.Bool
}

var errDead = errors.New("the process is dead")

func (d *dying) dies(at string) error {
	if d.at == at {
		d.gone.Store(true)
		d.once.Do(func() { close(d.dead) })
	}
	if d.gone.Load() {
		return errDead
	}
	return nil
}

func (d *dying) InsertEvents(ctx context.Context, events []event.Event) ([]store.Outcome, error) {
	if err := d.dies("before insert"); err != nil {
		return nil, err
	}
	outcomes, err := d.Store.InsertEvents(ctx, events)
	return outcomes, errors.Join(err, d.dies("after insert"))
}

func (d *dying) RecordBatches(ctx context.Context, batches []store.Batch) error {
	if err := d.dies("before journal"); err != nil {
		return err
	}
	return errors.Join(d.Store.RecordBatches(ctx, batches), d.dies("after journal"))
}

func (d *dying) Ping(ctx context.Context) error {
	return errors.Join(d.dies("ping"), d.Store.Ping(ctx))
}

func TestUnreadableMessageHoldsUpNobody(t *testing.T) {
	s := newSystem(t, t.TempDir(), t.TempDir())
	if err := s.pub.Publish(t.Context(), bus.Message{ID: "stranger", Body: []byte("hello")}); err != nil {
		t.Fatal(err)
	}
	s.publish(t, "shop", "a")
	s.consume(t, s.store)
	s.drained(t)
	letters, err := s.store.DeadLetters(t.Context(), "*", "", 10)
	if err != nil || len(letters) != 1 || string(letters[0].Payload) != "hello" || letters[0].Position != -1 {
		t.Errorf("dead letters %+v, %v", letters, err)
	}
	if stored, _, _ := s.sums(t, "shop"); stored != 1 {
		t.Errorf("%d stored, want 1", stored)
	}
}

// What was erased is not brought back by a client's retry, nor by the broker's.
func TestErasedEventsStayErased(t *testing.T) {
	s := newSystem(t, t.TempDir(), t.TempDir())
	first := message("shop", "a", "b", "c")
	if err := s.pub.Publish(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	s.consume(t, s.store)
	s.drained(t)
	if err := s.store.EraseEvents(t.Context(), "shop", []string{"a", "b"}, event.TimeOf(time.Now())); err != nil {
		t.Fatal(err)
	}
	again := first
	again.ID = "redelivered"
	if err := s.pub.Publish(t.Context(), again); err != nil {
		t.Fatal(err)
	}
	s.publish(t, "shop", "a", "d")
	s.drained(t)
	if stored, duplicates, dead := s.sums(t, "shop"); stored != 4 || duplicates != 1 || dead != 0 {
		t.Errorf("journal says %d stored, %d duplicates, %d dead; want 4, 1, 0", stored, duplicates, dead)
	}
	for id, want := range map[string]error{"a": store.ErrNotFound, "b": store.ErrNotFound, "c": nil, "d": nil} {
		if _, err := s.store.Event(t.Context(), "shop", id); !errors.Is(err, want) {
			t.Errorf("event %s: got %v, want %v", id, err, want)
		}
	}
	entries, err := s.store.Batches(t.Context(), store.Cursor{}, 10)
	if err != nil || len(entries) != 2 || entries[0].Erased+entries[1].Erased != 2 {
		t.Errorf("journal %+v, %v; want two entries, one with 2 erased", entries, err)
	}
}
