package columns

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/store"
	"github.com/maidian/maidian/services/query/internal/sealed"
	"go.uber.org/zap"
)

// vault is a store with everything that sealing needs.
type vault struct {
	growing
	journal  []store.Batch
	segments map[segmentKey][]byte
	lock     sync.Mutex
}

type segmentKey struct {
	day  int32
	name string
	part int
}

func newVault() *vault { return &vault{segments: make(map[segmentKey][]byte)} }

func (s *vault) put(batch []event.Event) {
	s.growing.put(batch)
	s.lock.Lock()
	defer s.lock.Unlock()
	s.journal = append(s.journal, s.entry(batch))
}

// entry is the journal's for a batch, written when as many were there before.
func (s *vault) entry(batch []event.Event) store.Batch {
	entry := entryOf(batch)
	entry.WrittenAt = event.Time(1000 * (len(s.journal) + 1))
	for _, e := range batch {
		entry.Days = append(entry.Days, e.Timestamp.Day())
	}
	slices.Sort(entry.Days)
	entry.Days = slices.Compact(entry.Days)
	return entry
}

func (s *vault) Batches(_ context.Context, after store.Cursor, limit int) ([]store.Batch, error) {
	s.lock.Lock()
	defer s.lock.Unlock()
	var found []store.Batch
	for _, entry := range s.journal {
		if (entry.WrittenAt > after.WrittenAt || entry.WrittenAt == after.WrittenAt && entry.ID > after.ID) && len(found) < limit {
			found = append(found, entry)
		}
	}
	return found, nil
}

func (s *vault) PutSegments(_ context.Context, segments []store.Segment) error {
	s.lock.Lock()
	defer s.lock.Unlock()
	for _, segment := range segments {
		s.segments[segmentKey{segment.Day, segment.Name, segment.Part}] = slices.Clone(segment.Data)
	}
	return nil
}

func (s *vault) Segments(_ context.Context, project string, from, to int32, names []string, yield func(*store.Segment) error) error {
	s.lock.Lock()
	var found []store.Segment
	for key, data := range s.segments {
		if key.day >= from && key.day <= to && (len(names) == 0 || slices.Contains(names, key.name)) {
			found = append(found, store.Segment{Project: project, Day: key.day, Name: key.name, Part: key.part, Data: data})
		}
	}
	s.lock.Unlock()
	slices.SortFunc(found, func(a, b store.Segment) int {
		return cmp.Or(cmp.Compare(a.Day, b.Day), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Part, b.Part))
	})
	for i := range found {
		if err := yield(&found[i]); err != nil {
			return err
		}
	}
	return nil
}

// ErasedEvents are none: what is erased here leaves no tombstone.
func (s *vault) ErasedEvents(context.Context, string, []string) ([]string, error) { return nil, nil }

func (s *vault) DeleteSegments(_ context.Context, _ string, from, to int32, names []string) (int, error) {
	s.lock.Lock()
	defer s.lock.Unlock()
	before := len(s.segments)
	maps.DeleteFunc(s.segments, func(key segmentKey, _ []byte) bool {
		return key.day >= from && key.day <= to && (len(names) == 0 || slices.Contains(names, key.name))
	})
	return before - len(s.segments), nil
}

// harm damages or deletes a segment.
func (s *vault) harm(r *rand.Rand) {
	s.lock.Lock()
	defer s.lock.Unlock()
	keys := make([]segmentKey, 0, len(s.segments))
	for key := range s.segments {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(a, b segmentKey) int { return cmp.Or(cmp.Compare(a.day, b.day), cmp.Compare(a.name, b.name)) })
	if len(keys) == 0 {
		return
	}
	key := keys[r.IntN(len(keys))]
	data := slices.Clone(s.segments[key])
	switch r.IntN(3) {
	case 0:
		delete(s.segments, key)
	case 1:
		s.segments[key] = data[:r.IntN(len(data))]
	default:
		data[r.IntN(len(data))] ^= byte(1 + r.IntN(255))
		s.segments[key] = data
	}
}

// replica is a process that has the project p in memory.
type replica struct {
	t      *testing.T
	vault  *vault
	tables *Tables
	table  *Table
}

func newReplica(t *testing.T, s *vault, budget int64) *replica {
	t.Helper()
	r := &replica{t: t, vault: s, tables: NewTables(s, budget, nil)}
	r.tables.SealIn(sealed.NewShelf(s, zap.NewNop(), nil))
	r.table = r.tables.Project("p")
	return r
}

func (r *replica) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *replica) view() *View {
	r.t.Helper()
	for {
		r.must(r.tables.Settle(r.t.Context()))
		v := r.table.View()
		if r.table.asleep > 0 { // it found a day that must be made whole first
			continue
		}
		_, err := v.OpenAll(r.t.Context(), Needs{Sessions: true, Refs: true})
		if err == nil {
			return v
		}
		if !errors.Is(err, sealed.ErrMoved) { // else it is built again
			r.t.Fatal(err)
		}
	}
}

// farAway is when every day has come to rest.
var farAway = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)

func (r *replica) seal() {
	r.t.Helper()
	r.view()
	_, err := r.table.Seal(r.t.Context(), farAway, Rest{}, func(int32) bool { return false })
	r.must(err)
}

// note writes the manifest for all that the journal names before a moment.
func (r *replica) note(upTo event.Time) {
	r.t.Helper()
	r.view()
	if m := r.table.Manifest(upTo, nil); m != nil {
		r.must(r.tables.shelf.PutManifest(r.t.Context(), "p", m))
	}
}

// restarted is another process that begins with what is in the store.
func (r *replica) restarted(budget int64) *replica {
	r.t.Helper()
	next := newReplica(r.t, r.vault, budget)
	m, err := next.tables.shelf.Manifest(r.t.Context(), "p")
	r.must(err)
	if m != nil {
		r.must(next.table.Restore(r.t.Context(), m))
		for _, o := range m.Open {
			next.table.AddOpen(m, r.vault.held.batches[o.ID])
		}
	}
	next.catchUp()
	return next
}

// catchUp adds what the journal names and is not in.
func (r *replica) catchUp() {
	for _, entry := range r.vault.journal {
		if r.table.Has(entry) < entry.Stored {
			if short := r.table.Add([]store.Batch{entry}, r.vault.held.batches[entry.ID]); short != nil {
				r.t.Errorf("all events of %s came: short is %v", entry.ID, short)
			}
		}
	}
}

// TestSealingChangesNothing adds random histories while days are sealed,
// evicted, woken and damaged, processes start from what is in the store, and
// another replica does the same: everything that can be read must stay as the oracle says.
func TestSealingChangesNothing(t *testing.T) {
	for seed := range uint64(400) {
		r := rand.New(rand.NewPCG(seed, 3))
		budgets := []int64{math.MaxInt64, 0, 500}
		batches := split(r, history(r, 1+r.IntN(60)))
		r.Shuffle(len(batches), func(i, j int) { batches[i], batches[j] = batches[j], batches[i] })
		s := newVault()
		one, other := newReplica(t, s, budgets[r.IntN(3)]), newReplica(t, s, budgets[r.IntN(3)])
		var all []event.Event
		var kept []*View
		var tales [][]told
		for i, batch := range batches {
			s.put(batch)
			all = append(all, addDisturbed(t, r, one.table, s.journal[len(s.journal)-1], batch)...)
			for range r.IntN(4) {
				switch r.IntN(8) {
				case 0:
					one.seal()
				case 1:
					one.note(event.Time(1000 * (i + 1 - r.IntN(3))))
				case 2:
					s.harm(r)
				case 3:
					one = one.restarted(budgets[r.IntN(3)])
				case 4:
					other.catchUp()
					other.seal()
					other.note(event.Time(1000 * (i + 1)))
				case 5:
					one, other = other, one
					one.catchUp()
				case 6:
					v := one.view()
					compareTales(t, seed, fmt.Sprint("kept after batch ", i), tell(t, v), oracle(all))
					kept, tales = append(kept, v), append(tales, oracle(all))
				default:
					compareTales(t, seed, fmt.Sprint("after batch ", i), tell(t, one.view()), oracle(all))
				}
			}
			if t.Failed() {
				return
			}
		}
		one.catchUp()
		compareTales(t, seed, "at the end", tell(t, one.view()), oracle(all))
		one.seal()
		compareTales(t, seed, "all sealed", tell(t, one.view()), oracle(all))
		one.note(event.Time(1000 * (len(batches) + 1)))
		compareTales(t, seed, "started from segments", tell(t, one.restarted(math.MaxInt64).view()), oracle(all))
		if t.Failed() {
			return
		}
		for i, v := range kept {
			// A View that is older than a sealing may find its day gone, but never another in its place.
			if _, err := v.OpenAll(t.Context(), everything); err == nil {
				compareTales(t, seed, "kept View", tell(t, v), tales[i])
			} else if !errors.Is(err, sealed.ErrMoved) {
				t.Errorf("seed %d, kept View: %v", seed, err)
			}
		}
	}
}

// everything is all that tell asks for.
var everything = Needs{Columns: []string{"event_id", "page_path", "amount", "event_type"}, Sessions: true, Refs: true}

// TestReplicasSealTheSameBytes lets events come to two replicas in different orders.
func TestReplicasSealTheSameBytes(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 9))
		batches := split(r, history(r, 60))
		sealedBy := func() map[segmentKey][]byte {
			r.Shuffle(len(batches), func(i, j int) { batches[i], batches[j] = batches[j], batches[i] })
			one := newReplica(t, newVault(), math.MaxInt64)
			for _, batch := range batches {
				one.vault.put(batch)
			}
			one.catchUp()
			tell(t, one.view()) // so that there are columns
			one.seal()
			return one.vault.segments
		}
		if a, b := sealedBy(), sealedBy(); len(a) == 0 || !maps.EqualFunc(a, b, slices.Equal) {
			t.Fatalf("seed %d: two replicas sealed different bytes in %d and %d segments", seed, len(a), len(b))
		}
	}
}

// TestNoDamagedByteIsBelieved changes each byte of everything that is sealed,
// one after the other, and cuts every part short.
func TestNoDamagedByteIsBelieved(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	batches := split(r, history(r, 14))
	s := newVault()
	one := newReplica(t, s, math.MaxInt64)
	var all []event.Event
	for _, batch := range batches {
		s.put(batch)
		all = append(all, batch...)
	}
	one.catchUp()
	tell(t, one.view()) // so that there are columns
	one.seal()
	one.note(event.Time(1000 * (len(batches) + 1)))
	want := oracle(all)
	sound := maps.Clone(s.segments)
	harmed := 0
	for key, data := range sound {
		for i := range data {
			s.segments = maps.Clone(sound)
			harm := slices.Clone(data)
			if harm[i] ^= byte(1 + r.IntN(255)); i%7 == 0 {
				harm = harm[:i]
			}
			s.segments[key] = harm
			compareTales(t, uint64(i), fmt.Sprintf("byte %d of %v", i, key), tell(t, one.restarted(math.MaxInt64).view()), want)
			if harmed++; t.Failed() {
				return
			}
		}
	}
	if harmed < 500 {
		t.Errorf("only %d bytes were sealed, so this shows little", harmed)
	}
}

// TestReadersAreNotDisturbedBySealing lets readers look while events come for
// all days and these are sealed, evicted and woken.
func TestReadersAreNotDisturbedBySealing(t *testing.T) {
	for name, budget := range map[string]int64{"all fits": math.MaxInt64, "some fits": 40_000, "nothing fits": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			one := newReplica(t, newVault(), budget)
			batches := traffic(rand.New(rand.NewPCG(7, 7)), 60, 20)
			done := make(chan struct{})
			var at sync.WaitGroup
			for range 3 {
				at.Go(func() { readUntil(t, one.table, done) })
			}
			at.Go(func() { sealUntil(t, one, done) })
			for _, batch := range batches {
				one.vault.put(batch)
				one.table.Add([]store.Batch{entryOf(batch)}, batch)
				one.must(one.tables.Settle(t.Context()))
			}
			close(done)
			at.Wait()
			if err := checkView(one.view()); err != nil {
				t.Error(err)
			}
			if got := one.table.Rows(); got != 1200 {
				t.Errorf("rows: got %d, want 1200", got)
			}
		})
	}
}

func sealUntil(t *testing.T, r *replica, done chan struct{}) {
	for {
		if _, err := r.table.Seal(t.Context(), farAway, Rest{}, func(int32) bool { return false }); err != nil {
			t.Error(err)
			return
		}
		select {
		case <-done:
			return
		default:
		}
	}
}
