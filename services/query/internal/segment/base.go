package segment

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/maidian/maidian/pkg/event"
)

// Base is what every report needs of a day, and what all other parts stand
// beside: its rows in canonical order, which is by event type (by name), then
// identity, then time, then batch id and position in the batch.
//
// The identity of an event is what it says of itself, a name (user id, session
// id or event id) or an anonymous id; whose user that is may be known only from
// another day, so it is not in here.
type Base struct {
	Day Day

	Types []string // ascending
	Ends  []int    // by type: the rows of Types[i] end before Ends[i], where those of the next begin

	Identities Names // names first, ascending; then anonymous ids, ascending
	Anonymous  int   // how many of them are names, and so where anonymous ids begin

	Identity []uint32 // by row: an index into Identities
	Times    []uint32 // by row: milliseconds since the day's start

	Meetings []Meeting // by anonymous id, ascending

	visits visits
}

// Meeting is the day's first event, by timestamp and then event id, that had
// both this anonymous id and a user id.
type Meeting struct {
	Anonymous string
	User      uint32 // an index into Identities, of a name
	Time      uint32 // milliseconds since the day's start
	EventID   string
}

const dayLength = 24 * 60 * 60 * 1000

// Start is the first moment of the day.
func (d *Day) Start() event.Time { return event.Time(d.Number) * dayLength }

// Rows are the rows [lo, hi) of the type with this index.
func (b *Base) Rows(kind int) (lo, hi int) {
	if kind > 0 {
		lo = b.Ends[kind-1]
	}
	return lo, b.Ends[kind]
}

// Seal makes the base's part. It fails if anything is not as Base says: what is
// sealed wrong would be wrong for long.
func (b *Base) Seal() ([]byte, error) {
	if err := b.check(); err != nil {
		return nil, fmt.Errorf("seal %s of day %d of %q: %w", BaseName, b.Day.Number, b.Day.Project, err)
	}
	w := &writer{}
	w.types(b)
	w.identities(b)
	w.rows(b)
	w.meetings(b)
	w.holds(b.Day.Rows, rowsPerByte)
	return Seal(b.Day, BaseName, w.body()), nil
}

// Base reads the base.
func (p *Part) Base() (*Base, error) {
	r, err := p.read(BaseName)
	if err != nil {
		return nil, err
	}
	b := &Base{Day: p.Day}
	rows := r.believed(uint64(p.Day.Rows), rowsPerByte)
	r.types(b, rows)
	r.identities(b, rows)
	r.rows(b, rows)
	r.meetings(b, rows)
	if err := r.end(); err != nil {
		return nil, fmt.Errorf("%s of day %d of %q: %w", BaseName, b.Day.Number, b.Day.Project, err)
	}
	return b, nil
}

func (w *writer) types(b *Base) {
	w.uvarint(uint64(len(b.Types)))
	w.texts(b.Types)
}

func (w *writer) texts(texts []string) {
	names := NamesOf(texts...)
	w.names(&names, 0, names.Len(), false)
}

func (r *reader) texts(n int) []string {
	names := r.names(n, false)
	texts := make([]string, names.Len())
	for i := range texts {
		texts[i] = names.Text(i)
	}
	return texts
}

func (r *reader) types(b *Base, rows int) {
	b.Types = r.texts(int(r.uvarint(uint64(rows))))
	if !ascending(b.Types) {
		r.fail("its event types are not in order")
	}
}

func ascending(texts []string) bool {
	for i := 1; i < len(texts); i++ {
		if texts[i-1] >= texts[i] {
			return false
		}
	}
	return true
}

func (w *writer) identities(b *Base) {
	w.uvarint(uint64(b.Anonymous))
	w.uvarint(uint64(b.Identities.Len() - b.Anonymous))
	w.names(&b.Identities, 0, b.Anonymous, true)
	w.names(&b.Identities, b.Anonymous, b.Identities.Len(), true)
}

func (r *reader) identities(b *Base, rows int) {
	named := int(r.uvarint(uint64(rows)))
	anonymous := int(r.uvarint(uint64(rows - named)))
	b.Identities, b.Anonymous = r.names(named, true), named
	others := r.names(anonymous, true)
	b.Identities.join(&others)
	if r.err == nil && !b.ordered() {
		r.fail("its identities are not in order")
	}
}

func (b *Base) ordered() bool {
	return b.Identities.ascending(0, b.Anonymous) && b.Identities.ascending(b.Anonymous, b.Identities.Len())
}

// The rows are written identity by identity, each in the order of time: then
// times are small differences, and what a visitor does in a minute stands
// together. As every row's type is written too, the canonical order comes back
// by appending each row to those of its type.
func (w *writer) rows(b *Base) {
	v := b.byIdentity()
	counts, firsts, gaps := make([]uint32, b.Identities.Len()), make([]uint32, b.Identities.Len()), []uint32(nil)
	for i, row := range v.rows {
		identity := b.Identity[row]
		if counts[identity]++; counts[identity] == 1 {
			firsts[identity] = b.Times[row]
		} else {
			gaps = append(gaps, b.Times[row]-b.Times[v.rows[i-1]])
		}
	}
	for i := range counts {
		counts[i]--
	}
	writeInts(w, counts)
	writeInts(w, firsts)
	writeInts(w, gaps)
	w.kinds(&v.kinds)
}

func (r *reader) rows(b *Base, rows int) {
	identities := b.Identities.Len()
	further := readInts[uint32](r, identities, uint64(rows))
	firsts := readInts[uint32](r, identities, dayLength-1)
	if r.err == nil && sum(further)+identities != rows {
		r.fail("its identities have %d rows, it has %d", sum(further)+identities, rows)
	}
	gaps := r.ints(rows-identities, dayLength-1)
	b.visits.kinds = r.kinds(rows, len(b.Types))
	if !b.count() {
		r.fail("an event type without rows, or rows without one")
	}
	if r.err != nil {
		return
	}
	b.Identity, b.Times = make([]uint32, rows), make([]uint32, rows)
	if !b.place(further, firsts, gaps) {
		r.fail("a time after the end of the day")
	}
	for i := range further { // the first one too
		further[i]++
	}
	b.visits.ends = runningSums(further)
}

// count finds where the rows of each type end, and says whether each has some, and no other.
func (b *Base) count() (ok bool) {
	b.Ends, ok = b.visits.kinds.counts(len(b.Types))
	for i, n := range b.Ends {
		ok = ok && n > 0
		if i > 0 {
			b.Ends[i] += b.Ends[i-1]
		}
	}
	return ok
}

// starts is where the rows of each type begin.
func (b *Base) starts() []uint32 {
	starts := make([]uint32, len(b.Ends))
	for i := 1; i < len(starts); i++ {
		starts[i] = uint32(b.Ends[i-1])
	}
	return starts
}

// place puts each row behind those of its type, and says whether all times are of the day.
func (b *Base) place(further, firsts []uint32, gaps *ints) bool {
	if k := &b.visits.kinds; k.wide != nil {
		return place(b, k.wide, further, firsts, gaps)
	}
	return place(b, b.visits.kinds.narrow, further, firsts, gaps)
}

func place[K uint8 | uint16](b *Base, kinds []K, further, firsts []uint32, gaps *ints) bool {
	next, identities, times := b.starts(), b.Identity, b.Times
	symbols, at, late := gaps.symbols, uint(0), uint64(0)
	for identity, more := range further {
		now := uint64(firsts[identity])
		row := next[kinds[0]]
		next[kinds[0]] = row + 1
		identities[row], times[row] = uint32(identity), uint32(now)
		for i, s := range symbols[:more] {
			open := uint(gaps.open[s]) & 63
			now += gaps.low[s]
			if open > 0 {
				now += binary.LittleEndian.Uint64(gaps.words[at>>3:]) >> (at & 7) & (1<<open - 1)
				at += open
			}
			row := next[kinds[i+1]]
			next[kinds[i+1]] = row + 1
			identities[row], times[row] = uint32(identity), uint32(now)
		}
		symbols, kinds = symbols[more:], kinds[more+1:]
		late |= dayLength - 1 - now // its sign
	}
	return late>>63 == 0
}

func (w *writer) meetings(b *Base) {
	n := len(b.Meetings)
	var anonymous, events Names
	users, times := make([]uint32, n), make([]uint32, n)
	for i, m := range b.Meetings {
		anonymous.Add(m.Anonymous)
		events.Add(m.EventID)
		users[i], times[i] = m.User, m.Time
	}
	w.uvarint(uint64(n))
	w.names(&anonymous, 0, n, true)
	writeInts(w, users)
	writeInts(w, times)
	w.names(&events, 0, n, false)
}

func (r *reader) meetings(b *Base, rows int) {
	n := int(r.uvarint(uint64(rows)))
	anonymous := r.names(n, true)
	users := readInts[uint32](r, n, uint64(max(b.Anonymous, 1)-1))
	times := readInts[uint32](r, n, dayLength-1)
	events := r.names(n, false)
	if r.err == nil && n > 0 && (b.Anonymous == 0 || !anonymous.ascending(0, n)) {
		r.fail("its meetings are not in order")
	}
	if r.err != nil {
		return
	}
	b.Meetings = make([]Meeting, n)
	for i := range b.Meetings {
		b.Meetings[i] = Meeting{anonymous.Text(i), users[i], times[i], events.Text(i)}
	}
}

// runningSums makes each number the sum of all up to it.
func runningSums(numbers []uint32) []uint32 {
	for i := 1; i < len(numbers); i++ {
		numbers[i] += numbers[i-1]
	}
	return numbers
}

// check holds a base that somebody made against what Base promises.
func (b *Base) check() error {
	rows := len(b.Times)
	switch {
	case b.Day.Rows != rows || len(b.Identity) != rows || rows > maxRows:
		return fmt.Errorf("the day has %d rows, identities %d, times %d", b.Day.Rows, len(b.Identity), rows)
	case len(b.Ends) != len(b.Types) || len(b.Types) > mostTypes || !ascending(b.Types):
		return fmt.Errorf("%d types with %d ends, which must be ascending and at most %d", len(b.Types), len(b.Ends), mostTypes)
	case b.Anonymous > b.Identities.Len() || !b.ordered():
		return fmt.Errorf("%d identities, of which %d are names, are not in order", b.Identities.Len(), b.Anonymous)
	}
	if err := b.checkRows(); err != nil {
		return err
	}
	return b.checkMeetings()
}

func (b *Base) checkRows() error {
	seen := make([]bool, b.Identities.Len())
	end := 0
	for kind := range b.Types {
		lo, hi := b.Rows(kind)
		if hi <= lo || hi > len(b.Times) {
			return fmt.Errorf("type %q has the rows from %d up to %d", b.Types[kind], lo, hi)
		}
		end = hi
		for row := lo; row < hi; row++ {
			if int(b.Identity[row]) >= len(seen) || b.Times[row] >= dayLength {
				return fmt.Errorf("row %d has identity %d of %d and time %d", row, b.Identity[row], len(seen), b.Times[row])
			}
			seen[b.Identity[row]] = true
			if row > lo && b.sortKey(row-1) > b.sortKey(row) {
				return fmt.Errorf("row %d stands behind its place", row)
			}
		}
	}
	if end != len(b.Times) || slices.Contains(seen, false) {
		return fmt.Errorf("types have %d of %d rows, or an identity has none", end, len(b.Times))
	}
	return nil
}

// sortKey orders the rows of a type.
func (b *Base) sortKey(row int) uint64 { return uint64(b.Identity[row])<<32 | uint64(b.Times[row]) }

func (b *Base) checkMeetings() error {
	for i, m := range b.Meetings {
		if int(m.User) >= b.Anonymous || m.Time >= dayLength || i > 0 && b.Meetings[i-1].Anonymous >= m.Anonymous {
			return fmt.Errorf("meeting %d, %+v, is not in order or of no name", i, m)
		}
	}
	if len(b.Meetings) > len(b.Times) {
		return fmt.Errorf("%d meetings of %d rows", len(b.Meetings), len(b.Times))
	}
	return nil
}
