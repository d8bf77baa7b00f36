package feed

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

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
	for _, text := range []string{`{"newest":"x"}`, `{"newest":1,"known":"AAAA"}`, `[]`} {
		var p Position
		if err := json.Unmarshal([]byte(text), &p); err == nil {
			t.Errorf("%s: got %+v, want an error", text, p)
		}
	}
}
