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

func (j *journal) write(project, id string, at event.Time, stored int) {
	j.entries = append(j.entries, store.Batch{ID: id, Project: project, WrittenAt: at, Stored: stored})
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
// and readers that are started again now and then from where they stood.
func TestEachEntryIsHandedOutOnce(t *testing.T) {
	for seed := range uint64(50) {
		t.Run(fmt.Sprint("alone ", seed), func(t *testing.T) { newStreet(t, seed, []string{""}).walk() })
		t.Run(fmt.Sprint("one of some projects ", seed), func(t *testing.T) { newStreet(t, seed, []string{"a", "b"}).walk() })
		t.Run(fmt.Sprint("shared ", seed), func(t *testing.T) {
			s := newStreet(t, seed, []string{"a", "b", "c", "a"})
			s.shared = NewShared(s, time.Minute, time.Duration(s.random.IntN(3))*time.Second, func() time.Time { return s.now })
			s.walk()
		})
	}
}

// street is a journal with its writers and its readers, one of each of some projects.
type street struct {
	journal
	t        *testing.T
	random   *rand.Rand
	now      time.Time
	written  map[string]int // by project; "" for all
	projects []string
	shared   *Shared
	readers  []*Feed
	got      []map[string]int
}

func newStreet(t *testing.T, seed uint64, projects []string) *street {
	return &street{
		t: t, random: rand.New(rand.NewPCG(seed, 0)), now: time.UnixMilli(1767225600000), written: map[string]int{},
		projects: projects, readers: make([]*Feed, len(projects)), got: make([]map[string]int, len(projects)),
	}
}

func (s *street) open(i int, from Position) {
	if s.readers[i] != nil {
		s.readers[i].Leave()
	}
	if s.shared != nil {
		s.readers[i] = s.shared.Feed(s.projects[i], from)
		return
	}
	s.readers[i] = OfProject(s, s.projects[i], from, time.Minute)
	s.readers[i].now = func() time.Time { return s.now }
}

func (s *street) read(i, times int) {
	for range times {
		entries, err := s.readers[i].Next(s.t.Context(), 1+s.random.IntN(200))
		if err != nil {
			s.t.Fatal(err)
		}
		for _, entry := range entries {
			s.got[i][entry.Project+entry.ID]++
		}
	}
}

func (s *street) walk() {
	for i := range s.readers {
		s.got[i] = map[string]int{}
		s.open(i, Position{})
	}
	for range 300 {
		s.now = s.now.Add(time.Duration(s.random.IntN(3000)) * time.Millisecond)
		for range s.random.IntN(4) {
			skew := time.Duration(s.random.IntN(110)-55) * time.Second
			project := string(rune('a' + s.random.IntN(4)))
			s.write(project, fmt.Sprint("batch", s.written[""]), event.TimeOf(s.now.Add(skew/2)), 1+s.random.IntN(30))
			s.written[""]++
			s.written[project]++
		}
		for i := range s.readers {
			s.read(i, s.random.IntN(3))
			if s.random.IntN(10) == 0 {
				s.open(i, kept(s.t, s.readers[i].Position()))
			}
		}
	}
	for range 20 { // long enough for looks that go back the whole overlap
		s.now = s.now.Add(10 * time.Second)
		for i := range s.readers {
			s.read(i, 20)
		}
	}
	for i, project := range s.projects {
		if len(s.got[i]) != s.written[project] {
			s.t.Errorf("%q: %d of %d entries were handed out", project, len(s.got[i]), s.written[project])
		}
		for id, times := range s.got[i] {
			if times != 1 {
				s.t.Errorf("%s was handed out %d times", id, times)
			}
		}
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
		j.write("demo", fmt.Sprint(i), event.Time(1000*i), 1)
	}
	f := OfProject(j, "demo", kept(t, At(5000)), time.Minute)
	entries, err := f.Next(t.Context(), 100)
	if err != nil || len(entries) != 5 || entries[0].ID != "5" {
		t.Errorf("from 5000 on: got %v, %v, want 5 to 9", entries, err)
	}
}

func TestWhatWasNotReadComesAgain(t *testing.T) {
	j := &journal{broken: context.DeadlineExceeded}
	j.write("demo", "a", 1000, 1)
	f := OfProject(j, "demo", Position{}, time.Minute)
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
	j.write("demo", "a", 1000, 2)
	j.entries[0].Erased = 2
	if entries, err := OfProject(j, "demo", Position{}, time.Minute).Next(t.Context(), 10); err != nil || len(entries) > 0 {
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
		j.write("demo", fmt.Sprint(i), at, 1)
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
	f := OfProject(j, "demo", kept(t, p), time.Minute)
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
		f.Know([]store.Batch{{ID: fmt.Sprint(i), WrittenAt: event.Time(1767225600000 + i)}})
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

// TestOneLooksForAll has many feeds of several projects at the journal's end.
func TestOneLooksForAll(t *testing.T) {
	j := &looks{}
	now := time.UnixMilli(1767225600000)
	s := NewShared(j, time.Minute, 100*time.Millisecond, func() time.Time { return now })
	var feeds []*Feed
	for i := range 50 {
		feeds = append(feeds, s.Feed(fmt.Sprint("project", i), At(event.TimeOf(now))))
	}
	read := func() (got int) {
		for _, f := range feeds {
			entries, err := f.Next(t.Context(), 1000)
			if err != nil {
				t.Fatal(err)
			}
			got += len(entries)
		}
		return got
	}
	read()
	j.looks = 0
	for round := range 10 {
		now = now.Add(200 * time.Millisecond)
		for i := range feeds {
			j.write(fmt.Sprint("project", i), fmt.Sprint(round), event.TimeOf(now), 1)
		}
		if got := read(); got != len(feeds) {
			t.Fatalf("round %d: got %d entries, want %d", round, got, len(feeds))
		}
	}
	if j.looks > 2*10 {
		t.Errorf("the journal was asked %d times in 10 rounds, want about once in each", j.looks)
	}
	if looked := feeds[7].Looked(); !looked.Equal(now) {
		t.Errorf("a feed has looked up to %s, want %s", looked, now)
	}
}

// looks counts how often it is asked.
type looks struct {
	journal
	looks int
}

func (l *looks) Batches(ctx context.Context, after store.Cursor, limit int) ([]store.Batch, error) {
	l.looks++
	return l.journal.Batches(ctx, after, limit)
}

func TestAFeedThatIsAwayReadsByItself(t *testing.T) {
	j := &journal{}
	now := time.UnixMilli(1767225600000)
	s := NewShared(j, time.Minute, 0, func() time.Time { return now })
	f, busy := s.Feed("shop", At(event.TimeOf(now))), s.Feed("other", At(event.TimeOf(now)))
	next := func(f *Feed) []store.Batch {
		entries, err := f.Next(t.Context(), 1<<30)
		if err != nil {
			t.Fatal(err)
		}
		return entries
	}
	next(f)
	for i := range mostAside + 5 {
		j.entries = append(j.entries, store.Batch{ID: fmt.Sprintf("%06d", i), Project: "shop", WrittenAt: event.TimeOf(now), Stored: 1})
	}
	next(busy) // what comes for the other is put aside until it is too much
	got := map[string]int{}
	for range 3 {
		for _, entry := range next(f) {
			got[entry.ID]++
		}
	}
	if len(got) != mostAside+5 {
		t.Errorf("got %d entries, want %d", len(got), mostAside+5)
	}
	for id, times := range got {
		if times != 1 {
			t.Errorf("%s was handed out %d times", id, times)
		}
	}
}

// TestAFirstLookMayFindMoreThanIsPutAside begins when more has come in one
// overlap than one look takes: it must come to an end, and nothing may be missing.
func TestAFirstLookMayFindMoreThanIsPutAside(t *testing.T) {
	j := &journal{}
	now := time.UnixMilli(1767225600000)
	s := NewShared(j, time.Minute, 100*time.Millisecond, func() time.Time { return now })
	for i := range 5 {
		j.write("a", fmt.Sprint(i), event.TimeOf(now.Add(time.Duration(i-10)*time.Second)), mostAside)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	got, f := 0, s.Feed("a", At(event.TimeOf(now.Add(-time.Minute))))
	for range 6 {
		entries, err := nextOf(ctx, f)
		if err != nil {
			t.Fatal(err)
		}
		got += len(entries)
	}
	if got != 5 {
		t.Errorf("got %d entries, want 5", got)
	}
}

// nextOf gives up with ctx: a look at a journal in memory does not ask it.
func nextOf(ctx context.Context, f *Feed) (entries []store.Batch, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		entries, err = f.Next(ctx, 1000)
	}()
	select {
	case <-done:
		return entries, err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
