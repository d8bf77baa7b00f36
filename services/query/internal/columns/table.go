package columns

import (
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/store"
	"github.com/maidian/maidian/services/query/internal/sealed"
	"github.com/prometheus/client_golang/prometheus"
)

// Reader gives raw events back by the batches that brought them.
type Reader = sealed.Reader

// Tables are the events of all projects.
type Tables struct {
	reader  Reader
	shelf   *sealed.Shelf // nil: nothing is sealed
	metrics *metrics
	cache   *cache
	asOf    *atomic.Int64

	mu     sync.RWMutex
	tables map[string]*Table
}

// SealIn lets days be sealed in a shelf and come back from it. It must be
// called before anything else is.
func (t *Tables) SealIn(shelf *sealed.Shelf) { t.shelf = shelf }

// NewTables is empty; raw events are read again from reader when a column is
// asked for that is not in memory. Columns and sealed days take at most budget
// bytes (QUERY_CACHE_BYTES): the least recently used leave. Metrics go to registry
// unless it is nil.
func NewTables(reader Reader, budget int64, registry prometheus.Registerer) *Tables {
	m := newMetrics(registry)
	t := &Tables{reader: reader, metrics: m, cache: &cache{budget: budget, metrics: m}, asOf: new(atomic.Int64), tables: make(map[string]*Table)}
	t.watchAge(registry)
	return t
}

// Project is the table of a project; it is empty for one that nobody has heard of.
func (t *Tables) Project(id string) *Table {
	t.mu.RLock()
	table := t.tables[id]
	t.mu.RUnlock()
	if table != nil {
		return table
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.tables[id] == nil {
		t.tables[id] = newTable(t, strings.Clone(id))
	}
	return t.tables[id]
}

// SetAsOf says that everything the journal named before at has been added.
func (t *Tables) SetAsOf(at event.Time) { t.asOf.Store(int64(at)) }

// Prepare puts all that was added in order, so that the first View of each
// project is at hand.
func (t *Tables) Prepare() {
	for _, table := range t.All() {
		table.View()
	}
}

// All are the tables of all projects that were heard of.
func (t *Tables) All() []*Table {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return slices.Collect(maps.Values(t.tables))
}

// Rows is how many events of all projects are in.
func (t *Tables) Rows() int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	rows := 0
	for _, table := range t.tables {
		rows += table.Rows()
	}
	return rows
}

// Table is one project's events: days that are complete and in order, and for
// each day the rows that came since. It is safe for use by many goroutines.
type Table struct {
	project string
	tables  *Tables
	view    atomic.Pointer[View]
	stale   atomic.Bool // view does not show all that was added

	mu           sync.Mutex
	people       *people
	sessions     *sessions
	batches      *names
	lessened     bool     // rows went that the newest may have been among
	applied      []uint32 // by batch: how many of its events are in
	kinds        kinds
	days         []*hot // ascending
	byNumber     map[int32]*hot
	newest       event.Time
	rows         int // all
	waiting      int // of them not in a Day yet
	dictionaries map[string]*shared
	flights      map[flightKey]*flight
	adding       time.Time // when adding last began
	merged       time.Time // when the last merge ended
	mergeTook    time.Duration
	asleep       int              // quiet days that something has come for: no View is made before they are whole
	retained     int32            // the first day that is not hidden: those before are on their way out of the store
	since        event.Time       // what the journal named before is in, unless it is listed
	listed       bitset           // batches that a manifest named: applied says how many of their events are in
	doubted      map[int32]uint64 // days that were built again because of the journal: their fingerprints
	opened       bitset           // those of them whose rows on open days were added
	scratch      []byte
}

// hot is one day of a table.
type hot struct {
	day    *edition  // what readers see; never nil, may be empty
	tail   []row     // what has come since
	follow []*follow // columns that fresh rows bring with them

	sealed  *sealed.Day // as which the rows of day stand in the store, or nil
	grown   time.Time   // when a row came last
	unlike  bool        // day is not as the store says, and must be built again
	wanted  bool        // the day is quiet and must be made whole
	late    []late      // what came while it was
	reached []uint32    // users whose session of the day before changed while it was

	left map[uint32]map[uint16]bool // of batches of which rows must go: the places of those that stay
}

// late is an event that came for a quiet day.
type late struct {
	event event.Event
	batch uint32
}

func newTable(tables *Tables, project string) *Table {
	t := &Table{project: project, tables: tables, retained: firstDay}
	t.empty()
	t.view.Store(&View{Project: project, table: t})
	return t
}

func (t *Table) empty() {
	t.people, t.sessions, t.batches, t.applied = newPeople(), newSessions(), newNames(), nil
	t.kinds = kinds{numbers: make(map[string]uint32)}
	t.days, t.byNumber = nil, make(map[int32]*hot)
	t.dictionaries, t.flights = make(map[string]*shared), make(map[flightKey]*flight)
	t.newest, t.rows, t.waiting, t.asleep = 0, 0, 0, 0
	t.since, t.listed, t.opened, t.doubted = math.MinInt64, nil, nil, make(map[int32]uint64)
}

// Project is whose events these are.
func (t *Table) Project() string { return t.project }

// Rows is how many events are in.
func (t *Table) Rows() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.rows
}

// Has is how many events of this journal entry are in, or have been and are pruned.
func (t *Table) Has(entry store.Batch) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.scratch = pack(t.scratch[:0], entry.ID)
	if n, ok := t.batches.lookup(t.scratch); ok && (t.applied[n] > 0 || t.listed.has(n)) {
		return int(t.applied[n])
	}
	if entry.WrittenAt < t.since {
		return all(entry)
	}
	return 0
}

// Knows says whether it is certain how many of the entry's events are in.
func (t *Table) Knows(entry store.Batch) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.scratch = pack(t.scratch[:0], entry.ID)
	n, ok := t.batches.lookup(t.scratch)
	return ok && (t.applied[n] > 0 || t.listed.has(n)) || entry.WrittenAt < t.since
}

// all is how many of the entry's events are to be in; pruned ones count as such.
func all(entry store.Batch) int { return entry.Stored - entry.Erased }

// Add puts in the events of journal entries, as they were read back by batch
// id. An entry counts once, however often it is added. The entries of which
// fewer events came than were stored are returned: add them again later.
func (t *Table) Add(entries []store.Batch, events []event.Event) (short []store.Batch) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.adding = time.Now()
	ofBatch := spansByBatch(events)
	for _, entry := range entries {
		span := ofBatch[entry.ID]
		if t.addBatch(entry, events[span[0]:span[1]]) < all(entry) {
			short = append(short, entry)
		}
	}
	t.mergeInPassing()
	return short
}

// spansByBatch are the places of each batch in events that stand batch by batch.
func spansByBatch(events []event.Event) map[string][2]int {
	spans := make(map[string][2]int)
	for lo := 0; lo < len(events); {
		hi := lo + 1
		for hi < len(events) && events[hi].BatchID == events[lo].BatchID {
			hi++
		}
		spans[events[lo].BatchID] = [2]int{lo, hi}
		lo = hi
	}
	return spans
}

// addBatch returns how many of the batch's events are in afterwards.
func (t *Table) addBatch(entry store.Batch, events []event.Event) int {
	known := len(t.applied)
	batch := t.batchNumber(entry.ID)
	have := t.applied[batch]
	if have > 0 && int(have) >= all(entry) {
		return int(have)
	}
	if int(batch) >= known {
		t.addNew(events, batch)
	} else {
		t.addMore(events, batch) // part of it may have come before
	}
	in := int(t.applied[batch])
	t.applied[batch] = uint32(max(in, min(in+entry.Pruned, all(entry))))
	return int(t.applied[batch])
}

// addNew adds a batch that nobody has heard of.
func (t *Table) addNew(events []event.Event, batch uint32) {
	for i := range events {
		t.addEvent(&events[i], batch)
	}
	t.applied[batch] = uint32(len(events)) // refused ones too: reading them again would not help
}

// addMore adds what is not there yet.
func (t *Table) addMore(events []event.Event, batch uint32) {
	there := t.positions(batch)
	for i := range events {
		if e := &events[i]; !there[e.Position] {
			there[e.Position] = true
			t.addEvent(e, batch)
		}
	}
	t.applied[batch] = uint32(len(there))
}

// batchNumber is the number of a batch, given now when it is new.
func (t *Table) batchNumber(id string) uint32 {
	t.scratch = pack(t.scratch[:0], id)
	batch, fresh := t.batches.number(t.scratch)
	if fresh {
		t.applied = append(t.applied, 0)
	}
	return batch
}

// positions are the places of a batch that are in already, but for those of
// quiet days: these are looked up when the day is whole.
func (t *Table) positions(batch uint32) map[int]bool {
	there := make(map[int]bool)
	for _, h := range t.days {
		for _, l := range h.late {
			if l.batch == batch {
				there[l.event.Position] = true
			}
		}
		for i, b := range h.day.batches {
			if b == batch {
				there[int(h.day.positions[i])] = true
			}
		}
		for i := range h.tail {
			if h.tail[i].batch == batch {
				there[int(h.tail[i].position)] = true
			}
		}
	}
	return there
}

func (t *Table) addEvent(e *event.Event, batch uint32) {
	if !sealed.Fits(e) {
		t.tables.metrics.refused.Inc()
		return
	}
	day := e.Timestamp.Day()
	if t.hides(day) {
		return
	}
	h := t.hotDay(day)
	if h.day.quiet != nil {
		h.late = append(h.late, late{*e, batch})
		t.want(h)
		return
	}
	h.sealed, h.grown = nil, t.adding
	h.tail = append(h.tail, row{
		kind:     t.kinds.number(e.EventType),
		identity: t.people.identify(e),
		time:     uint32(e.Timestamp - event.Time(day)*dayLength),
		session:  t.sessions.sent(e.SessionID),
		batch:    batch,
		position: uint16(e.Position),
	})
	if places := h.left[batch]; places != nil {
		places[uint16(e.Position)] = true // it came after what was erased went
	}
	for _, f := range h.follow {
		f.codes = append(f.codes, f.dictionary.code(event.ValueOf(e, f.dictionary.name)))
	}
	if t.rows == 0 || e.Timestamp > t.newest {
		t.newest = e.Timestamp
	}
	t.rows++
	t.waiting++
	t.tables.metrics.rows.Inc()
	t.stale.Store(true)
}

func (t *Table) hotDay(number int32) *hot {
	if h := t.byNumber[number]; h != nil {
		return h
	}
	h := &hot{day: newEdition(t, number)}
	t.putDay(h)
	return h
}

func (t *Table) putDay(h *hot) {
	number := h.day.Number
	t.byNumber[number] = h
	at, _ := slices.BinarySearchFunc(t.days, number, func(h *hot, n int32) int { return int(h.day.Number) - int(n) })
	t.days = slices.Insert(t.days, at, h)
}

// find is the identity that a name means, among the first ones.
func (t *Table) find(name string, limit int) (uint32, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.people.find(name, limit)
}

// kinds are the event types.
type kinds struct {
	numbers map[string]uint32
	names   []string
	rank    []uint32 // by number: its place among all names
}

func (k *kinds) number(name string) uint32 {
	if n, ok := k.numbers[name]; ok {
		return n
	}
	n := uint32(len(k.names))
	name = strings.Clone(name)
	k.numbers[name] = n
	k.names = append(k.names, name)
	return n
}

func (k *kinds) all(names []string) []uint32 {
	numbers := make([]uint32, len(names))
	for i, name := range names {
		numbers[i] = k.number(name)
	}
	return numbers
}

// settle brings rank up to date.
func (k *kinds) settle() {
	if len(k.rank) == len(k.names) {
		return
	}
	order := make([]uint32, len(k.names))
	for i := range order {
		order[i] = uint32(i)
	}
	slices.SortFunc(order, func(a, b uint32) int { return strings.Compare(k.names[a], k.names[b]) })
	k.rank = make([]uint32, len(order))
	for i, n := range order {
		k.rank[n] = uint32(i)
	}
}
