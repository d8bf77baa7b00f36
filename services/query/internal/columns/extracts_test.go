package columns

import (
	"context"
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/maidian/maidian/pkg/event"
)

// randomDay is a day of users with numbers of a wide range, with many equal times.
func randomDay(t *testing.T, r *rand.Rand, rows, users int) (*View, *Day) {
	t.Helper()
	events := make([]event.Event, rows)
	for i := range events {
		events[i] = event.Event{
			EventID: fmt.Sprint(i), EventType: []string{"a", "b", "c", "d"}[r.IntN(4)], UserID: fmt.Sprint("u", r.IntN(users)),
			Timestamp: event.Time(r.IntN(96)) * quarter,
		}
	}
	v := FromEvents("demo", events)
	days, err := v.OpenAll(context.Background(), Needs{})
	if err != nil {
		t.Fatal(err)
	}
	return v, days[0]
}

func TestRowsOfUsersAreFound(t *testing.T) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 1))
		_, d := randomDay(t, r, 20_000, 1+r.IntN(3*UserBlock))
		for n, run := range d.Runs() {
			lo, hi := uint32(r.IntN(4*UserBlock)), uint32(r.IntN(4*UserBlock))
			if r.IntN(2) == 0 {
				lo, hi = lo/UserBlock*UserBlock, hi/UserBlock*UserBlock
			}
			if lo > hi {
				lo, hi = hi, lo
			}
			from, to := d.RowsOf(n, lo, hi)
			for row := run.Lo; row < run.Hi; row++ {
				if user := d.Users()[row]; (from <= row && row < to) != (lo <= user && user < hi) {
					t.Fatalf("seed %d: row %d of user %d, rows %d to %d are said to be of users %d to %d", seed, row, user, from, to, lo, hi)
				}
			}
		}
	}
}

func TestPartsAreWhatTheRowsSay(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 2))
		v, d := randomDay(t, r, 1+r.IntN(500), 1+r.IntN(5000))
		words := (v.UserCount() + 63) / 64
		for range 10 {
			run := r.IntN(len(d.Runs())+1) - 1
			lo, hi := uint32(r.IntN(int(dayLength))), uint32(r.IntN(int(dayLength)))
			if r.IntN(2) == 0 {
				lo, hi = lo/quarter*quarter, hi/quarter*quarter+quarter-1
			}
			users, rows := make([]uint64, words), 0
			for i, at := range d.Times() {
				if lo <= at && at <= hi && (run == AnyType || d.Runs()[run].Lo <= i && i < d.Runs()[run].Hi) {
					rows++
					users[d.Users()[i]>>6] |= 1 << (d.Users()[i] & 63)
				}
			}
			count := 0
			for _, word := range users {
				count += bits.OnesCount64(word)
			}
			p := d.Part(run, lo, hi)
			if p.Rows != rows || p.Users != count || !slices.Equal(p.Bits(words), users) {
				t.Fatalf("seed %d: run %d from %d to %d: got %d rows of %d users, want %d of %d", seed, run, lo, hi, p.Rows, p.Users, rows, count)
			}
		}
	}
}

func TestInterleavedRowsStandByUserTimeAndType(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 3))
		_, d := randomDay(t, r, 1+r.IntN(500), 1+r.IntN(50))
		types := []string{"d", "none", "a", "b"}
		next := make([]int, len(types))
		rows := 0
		for n, name := range types {
			if run, ok := d.RunOf(name); ok {
				next[n] = d.Runs()[run].Lo
				rows += d.Runs()[run].Hi - d.Runs()[run].Lo
			}
		}
		order := d.Interleaved(types)
		if len(order) != rows {
			t.Fatalf("seed %d: %d of %d rows", seed, len(order), rows)
		}
		var before [3]uint32
		for i, n := range order {
			row := next[n]
			next[n]++
			now := [3]uint32{d.Users()[row], d.Times()[row], uint32(n)}
			if slices.Compare(before[:], now[:]) > 0 {
				t.Fatalf("seed %d: %v stands before %v at %d", seed, before, now, i)
			}
			before = now
		}
	}
}

// What is worked out from a day counts as memory in use, and leaves under the
// budget and with the day.
func TestExtractsAreCountedAndLeave(t *testing.T) {
	v, d := randomDay(t, rand.New(rand.NewPCG(1, 4)), 1000, 50)
	cache := v.table.tables.cache
	before := cache.total.Load()
	want := d.Part(AnyType, 0, uint32(dayLength-1)).Users
	d.Interleaved([]string{"a", "b"})
	if cache.total.Load() <= before {
		t.Fatalf("%d bytes are counted, as before", before)
	}
	cache.budget = 0
	cache.shrink()
	cache.budget = math.MaxInt64
	if got := cache.total.Load(); got != before {
		t.Fatalf("%d bytes are counted after all left, want %d", got, before)
	}
	if got := d.Part(AnyType, 0, uint32(dayLength-1)).Users; got != want {
		t.Fatalf("made anew it has %d users, want %d", got, want)
	}
	runtime.KeepAlive(v) // until here; from here on nobody holds the day
	for deadline := time.Now().Add(10 * time.Second); cache.total.Load() != before; runtime.Gosched() {
		if runtime.GC(); time.Now().After(deadline) {
			t.Fatalf("%d bytes are counted after the day is gone, want %d", cache.total.Load(), before)
		}
	}
}

type countedRows int

func (n countedRows) Bytes() int64 { return int64(n) }

// An extract speaks of codes: it is kept until they mean something else, and
// what takes its place is not counted twice.
func TestExtractsAreMadeAnewWhereCodesAre(t *testing.T) {
	_, d := randomDay(t, rand.New(rand.NewPCG(1, 5)), 100, 10)
	cache := d.edition.table.tables.cache
	before, made := cache.total.Load(), 0
	ask := func() {
		d.Extract("rows", []string{"page_path"}, func() Extract {
			made++
			return countedRows(d.Len())
		})
	}
	for want, codes := range map[string]*Column{"a dictionary": {dictionary: &dictionary{}}, "another": {dictionary: &dictionary{name: "another"}}} {
		d.columns = map[string]*Column{"page_path": codes}
		was := made
		ask()
		ask()
		if made != was+1 {
			t.Errorf("%s: made %d times, want once", want, made-was)
		}
		if got := cache.total.Load() - before; got != int64(d.Len()) {
			t.Errorf("%s: %d bytes are counted, want %d", want, got, d.Len())
		}
	}
}
