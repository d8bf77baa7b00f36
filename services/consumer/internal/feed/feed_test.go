package feed

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/store"
)

// journal is a list of entries, kept in the order of the journal.
type journal struct {
	entries []store.Batch
	broken  error
}

func (j *journal) write(id string, at event.Time, stored int) {
	j.entries = append(j.entries, store.Batch{ID: id, Project: "demo", WrittenAt: at, Stored: stored})
	slices.SortFunc(j.entries, func(a, b store.Batch) int { return compare(store.After(a), store.After(b)) })
}

func compare(a, b store.Cursor) int {
	if a.WrittenAt != b.WrittenAt {
		return int(a.WrittenAt - b.WrittenAt)
	}
	return slices.Compare([]string{a.ID, a.Project}, []string{b.ID, b.Project})
}

func (j *journal) Batches(_ context.Context, after store.Cursor, limit int) (some []store.Batch, err error) {
	for _, entry := range j.entries {
		if compare(store.After(entry), after) > 0 && len(some) < limit {
			some = append(some, entry)
		}
	}
	return some, j.broken
}

// TestEachEntryIsHandedOutOnce has several writers with clocks that differ,
// and a reader that is started again now and then from where it stood.
func TestEachEntryIsHandedOutOnce(t *testing.T) {
	for seed := range uint64(50) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 0))
			j, now, written := &journal{}, time.UnixMilli(1767225600000), 0
			open := func(from Position) *Feed {
				f := New(j, from, time.Minute)
				f.now = func() time.Time { return now }
				return f
			}
			f, got := open(Position{}), map[string]int{}
			read := func(times int) {
				for range times {
					entries, err := f.Next(t.Context(), 1+random.IntN(200))
					if err != nil {
						t.Fatal(err)
					}
					for _, entry := range entries {
						got[entry.ID]++
					}
				}
			}
			for range 300 {
				now = now.Add(time.Duration(random.IntN(3000)) * time.Millisecond)
				for range random.IntN(4) {
					skew := time.Duration(random.IntN(110)-55) * time.Second
					j.write(fmt.Sprint("batch", written), event.TimeOf(now.Add(skew/2)), 1+random.IntN(30))
					written++
				}
				read(random.IntN(3))
				if random.IntN(10) == 0 {
					f = open(kept(t, f.Position()))
				}
			}
			for range 20 { // long enough for looks that go back the whole overlap
				now = now.Add(10 * time.Second)
				read(20)
			}
			if len(got) != written {
				t.Errorf("%d of %d entries were handed out", len(got), written)
			}
			for id, times := range got {
				if times != 1 {
					t.Errorf("%s was handed out %d times", id, times)
				}
			}
		})
	}
}

// kept is a position that was written and read.
func kept(t *testing.T, p Position) (back Position) {
	t.Helper()
	data, err := json.Marshal(p)
	if err == nil {
		err = json.Unmarshal(data, &back)
	}
	if err != nil {
		t.Fatal(err)
	}
	return back
}

func TestAFeedFromAMomentHasNothingOlder(t *testing.T) {
	j := &journal{}
	for i := range 10 {
		j.write(fmt.Sprint(i), event.Time(1000*i), 1)
	}
	f := New(j, kept(t, At(5000)), time.Minute)
	entries, err := f.Next(t.Context(), 100)
	if err != nil || len(entries) != 5 || entries[0].ID != "5" {
		t.Errorf("from 5000 on: got %v, %v, want 5 to 9", entries, err)
	}
}

func TestWhatWasNotReadComesAgain(t *testing.T) {
	j := &journal{broken: context.DeadlineExceeded}
	j.write("a", 1000, 1)
	f := New(j, Position{}, time.Minute)
	if entries, err := f.Next(t.Context(), 10); err == nil {
		t.Errorf("the journal cannot be read: got %v and no error", entries)
	}
	j.broken = nil
	if entries, err := f.Next(t.Context(), 10); err != nil || len(entries) != 1 {
		t.Errorf("then it can be: got %v, %v, want one entry", entries, err)
	}
}

func TestErasedEntriesAreNotHandedOut(t *testing.T) {
	j := &journal{}
	j.write("a", 1000, 2)
	j.entries[0].Erased = 2
	if entries, err := New(j, Position{}, time.Minute).Next(t.Context(), 10); err != nil || len(entries) > 0 {
		t.Errorf("all of its events are erased: got %v, %v, want nothing", entries, err)
	}
}

func TestADamagedPositionIsRefused(t *testing.T) {
	for _, text := range []string{`{"newest":"x"}`, `{"newest":1,"known":"AAAA"}`, `{"newest":1,"marks":"AQAA"}`, `{"newest":1,"marks":"AgIB"}`, `[]`} {
		var p Position
		if err := json.Unmarshal([]byte(text), &p); err == nil {
			t.Errorf("%s: got %+v, want an error", text, p)
		}
	}
}

// TestPositionsOfTheFormBeforeAreRead goes on from one that the version before kept.
func TestPositionsOfTheFormBeforeAreRead(t *testing.T) {
	j, known := &journal{}, []byte(nil)
	for i := range 40 {
		at := event.Time(1767225600000 + 7*i)
		j.write(fmt.Sprint(i), at, 1)
		if i%2 == 0 {
			known = binary.LittleEndian.AppendUint64(known, xxhash.Sum64String("demo/"+fmt.Sprint(i)))
			known = binary.LittleEndian.AppendUint64(known, uint64(at))
		}
	}
	before, err := json.Marshal(map[string]any{"newest": 1767225600000 + 7*39, "known": known})
	if err != nil {
		t.Fatal(err)
	}
	var p Position
	if err := json.Unmarshal(before, &p); err != nil {
		t.Fatal(err)
	}
	f := New(j, kept(t, p), time.Minute)
	f.now = func() time.Time { return time.UnixMilli(1767225600000 + 300) }
	entries, err := f.Next(t.Context(), 100)
	if err != nil || len(entries) != 20 || entries[0].ID != "1" || entries[19].ID != "39" {
		t.Errorf("got %d entries, %v, want the 20 with odd numbers", len(entries), err)
	}
}

func TestMarksReadBack(t *testing.T) {
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 0))
		m, entries := marks{}, make([]store.Batch, random.IntN(500))
		for i := range entries {
			entries[i] = store.Batch{ID: fmt.Sprint(random.Uint64()), Project: "demo", WrittenAt: event.Time(random.Int64N(1 + 1<<random.IntN(42)))}
			m.add(&entries[i])
		}
		written := m.append(nil)
		back, err := readMarks(written)
		if err != nil || !maps.EqualFunc(m, back, slices.Equal[[]uint64]) {
			t.Fatalf("seed %d: got %v, %v, want %v", seed, back, err, m)
		}
		for i := range entries {
			other := entries[i]
			other.ID += "x"
			if !back.has(&entries[i]) || back.has(&other) {
				t.Fatalf("seed %d: of %+v: got %t, and %t of another", seed, entries[i], back.has(&entries[i]), back.has(&other))
			}
		}
	}
}

// TestABusyPositionIsSmall has a thousand entries a second.
func TestABusyPositionIsSmall(t *testing.T) {
	const entries = 300_000
	f := New(&journal{}, Position{}, DefaultOverlap)
	for i := range entries {
		f.know(&store.Batch{ID: fmt.Sprint(i), WrittenAt: event.Time(1767225600000 + i)})
	}
	data, err := json.Marshal(f.Position())
	if per := len(data) / entries; err != nil || per > 8 {
		t.Errorf("got %d bytes an entry, %v, want 8", per, err)
	}
}

func FuzzMarks(f *testing.F) {
	f.Add(marks{1: {2, 3}, 100: {1<<48 - 1}}.append(nil))
	f.Add([]byte{marksVersion, 1, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1})
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := readMarks(data)
		if err != nil {
			return
		}
		again, err := readMarks(m.append(nil))
		if err != nil || !maps.EqualFunc(m, again, slices.Equal[[]uint64]) {
			t.Errorf("got %v, %v, want %v", again, err, m)
		}
	})
}
