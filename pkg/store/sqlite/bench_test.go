//go:build unix

package sqlite_test

import (
	"database/sql"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/store/sqlite"
)

// source makes a shop's events of about 600 bytes with UUIDv7 ids. Up to
// spread milliseconds may lie between an event's id and its arrival.
type source struct {
	*rand.Rand
	now    int64
	spread int64
}

func newSource(spread time.Duration) *source {
	return &source{rand.New(rand.NewPCG(1, 2)), 1767225600000, 1 + spread.Milliseconds()}
}

func (s *source) uuid(ms int64) string {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], uint64(ms)<<16|0x7000|s.Uint64()&0xfff)
	binary.BigEndian.PutUint64(b[8:], s.Uint64()&^(3<<62)|2<<62)
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// batch is n events of one message, which arrive at 50,000 a second.
func (s *source) batch(n int) []event.Event {
	events := make([]event.Event, n)
	id := s.uuid(s.now)
	for i := range events {
		if i%50 == 49 {
			s.now++
		}
		user, product := s.IntN(100_000), s.IntN(5000)
		events[i] = event.Event{
			Project: "demo", EventID: s.uuid(s.now - s.Int64N(s.spread)), EventType: "product_view", EventName: "product_view",
			UserID: fmt.Sprint("u", user), SessionID: fmt.Sprint("s-", user), Timestamp: event.Time(s.now), ReceivedAt: event.Time(s.now), StoredAt: event.Time(s.now),
			PageURL: fmt.Sprintf("https://shop.example/products/%d", product), PageHost: "shop.example", PagePath: fmt.Sprint("/products/", product),
			PageTitle: "Shoes", Referrer: "https://search.example/?q=shoes", Browser: "Chrome", BrowserVersion: "142", OS: "Linux", DeviceType: "desktop", Country: "DE", Channel: "organic",
			Properties: fmt.Sprintf(`{"product_id":"p-%d","price":%d.5,"category":"shoes"}`, product, s.IntN(200)), BatchID: id, Position: i,
		}
	}
	return events
}

func BenchmarkInsertEvents(b *testing.B) {
	for _, size := range []int{100, 1000, 5000} {
		for _, spread := range []time.Duration{0, 3 * time.Second} {
			b.Run(fmt.Sprintf("batch=%d/spread=%v", size, spread), func(b *testing.B) { insertBesideRaw(b, size, spread) })
		}
	}
}

// insertBesideRaw gives the same batches in turn to the store and to SQL
// written by hand with the same schema, so that both meet the same moments of
// the machine. The raw side gets its rows already encoded.
func insertBesideRaw(b *testing.B, size int, spread time.Duration) {
	store, raw := open(b, b.TempDir()), newRaw(b)
	source := newSource(spread)
	var inStore, inRaw time.Duration
	n, bytes := 0, 0
	for round := 0; b.Loop(); round++ {
		events := source.batch(size)
		bodies := make([]string, len(events))
		for i := range events {
			bodies[i] = string(events[i].AppendWire(nil))
			bytes += len(bodies[i])
		}
		both := []func(){
			func() {
				inStore += timed(b, func() error { _, err := store.InsertEvents(b.Context(), events); return err })
			},
			func() { inRaw += timed(b, func() error { return raw.store(events, bodies) }) },
		}
		both[round%2]() // in turn the first, who also pays for the collector's work after the batch was made
		both[1-round%2]()
		n += size
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(n)/inStore.Seconds(), "events/s")
	b.ReportMetric(float64(n)/inRaw.Seconds(), "raw_events/s")
	b.ReportMetric(inRaw.Seconds()/inStore.Seconds(), "ratio")
	b.ReportMetric(float64(bytes)/float64(n), "B/event")
}

func timed(b *testing.B, do func() error) time.Duration {
	start := time.Now()
	if err := do(); err != nil {
		b.Fatal(err)
	}
	return time.Since(start)
}

// raw inserts rows as a careful program without a store would: one
// transaction a batch, a prepared statement of 20 rows, the same durability.
type raw struct {
	db     *sql.DB
	insert *sql.Stmt
}

const rawRows = 20 // divides every batch size

func newRaw(b *testing.B) *raw {
	db, err := sql.Open("sqlite", "file:"+filepath.Join(b.TempDir(), "raw.db")+"?_pragma=synchronous(FULL)&_pragma=wal_autocheckpoint(8192)&_pragma=cache_size(-65536)")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { db.Close() })
	db.SetMaxOpenConns(1)
	if _, err := db.Exec(`PRAGMA journal_mode = WAL;
		CREATE TABLE events (project TEXT NOT NULL, event_id TEXT NOT NULL, batch_id TEXT NOT NULL, position INTEGER NOT NULL, body TEXT NOT NULL,
			PRIMARY KEY (project, event_id)) STRICT;
		CREATE INDEX events_batch ON events (batch_id, position)`); err != nil {
		b.Fatal(err)
	}
	insert, err := db.Prepare(`INSERT OR IGNORE INTO events VALUES ` + strings.Repeat("(?,?,?,?,?),", rawRows-1) + "(?,?,?,?,?)")
	if err != nil {
		b.Fatal(err)
	}
	return &raw{db, insert}
}

func (r *raw) store(events []event.Event, bodies []string) error {
	tx, err := r.db.Begin()
	if err != nil {
		return err
	}
	defer tx.Rollback()
	insert := tx.Stmt(r.insert)
	var args []any
	for i := range events {
		e := &events[i]
		args = append(args, e.Project, e.EventID, e.BatchID, e.Position, bodies[i])
		if (i+1)%rawRows == 0 {
			if _, err := insert.Exec(args...); err != nil {
				return err
			}
			args = args[:0]
		}
	}
	return tx.Commit()
}

// processor is the time that this process has spent computing: other than the
// clock's, it says the same on a busy machine.
func processor() time.Duration {
	var use syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &use)
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}

// BenchmarkGrowth fills one store with as many events as STORE_GROWTH says and
// prints the speed of each tenth. It is long, so it runs only when asked for.
func BenchmarkGrowth(b *testing.B) {
	total, _ := strconv.Atoi(os.Getenv("STORE_GROWTH"))
	if total == 0 {
		b.Skip("STORE_GROWTH says how many events to grow to, such as 5000000")
	}
	const size = 1000
	dir := b.TempDir()
	store, source := open(b, dir), newSource(0)
	var tenths, costs [10]float64
	for t := range tenths {
		var took, computed time.Duration
		for range total / 10 / size {
			events := source.batch(size)
			start, before := time.Now(), processor()
			if _, err := store.InsertEvents(b.Context(), events); err != nil {
				b.Fatal(err)
			}
			took += time.Since(start)
			computed += processor() - before
		}
		tenths[t] = float64(total/10) / took.Seconds()
		costs[t] = computed.Seconds() * 1e6 / float64(total/10)
		b.Logf("to %8d events: %6.0f events/s, %.1f µs of processor an event", total/10*(t+1), tenths[t], costs[t])
	}
	info, err := os.Stat(filepath.Join(dir, "maidian.db"))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(tenths[0], "first_events/s")
	b.ReportMetric(tenths[9], "last_events/s")
	b.ReportMetric(costs[9]/costs[0], "cost_growth")
	b.ReportMetric(float64(info.Size())/float64(total), "B/event")
}

func BenchmarkEventsOfBatches(b *testing.B) {
	s := open(b, b.TempDir())
	source := newSource(0)
	var ids []string
	for range 50 {
		events := source.batch(1000)
		ids = append(ids, events[0].BatchID)
		if _, err := s.InsertEvents(b.Context(), events); err != nil {
			b.Fatal(err)
		}
	}
	n := 0
	for b.Loop() {
		err := s.EventsOfBatches(b.Context(), "demo", ids, func(*event.Event) error { n++; return nil })
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkSharedTransactions has many callers store small messages at once.
func BenchmarkSharedTransactions(b *testing.B) {
	for _, where := range []string{"disk", sqlite.Memory} {
		b.Run(where, func(b *testing.B) {
			dir := where
			if where == "disk" {
				dir = b.TempDir()
			}
			s := open(b, dir)
			seeds := make(chan uint64, 1)
			seeds <- 1
			b.SetParallelism(32)
			b.RunParallel(func(pb *testing.PB) {
				seed := <-seeds
				seeds <- seed + 1
				source := newSource(0)
				source.Rand = rand.New(rand.NewPCG(seed, seed))
				for pb.Next() {
					if _, err := s.InsertEvents(b.Context(), source.batch(20)); err != nil {
						b.Error(err)
						return
					}
				}
			})
			b.ReportMetric(20*float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}
