package columns

import (
	"cmp"
	"slices"
	"sort"
)

// row is an event on its way into a day's columns.
type row struct {
	kind     uint32 // event type
	identity uint32
	time     uint32 // ms since the day's start
	session  uint32 // none: to be derived
	batch    uint32
	position uint16
}

// intake is rows that go into a day, in the order of its rows.
type intake struct {
	rows  []row
	users []uint32
	from  []uint32 // by row: its place in the unsorted rows, where its codes are
}

// arrange puts rows in the order of a day: by name of type, user, time, batch and position.
func (t *Table) arrange(rows []row) *intake {
	t.kinds.settle()
	items := make([]keyed, len(rows))
	for i := range rows {
		items[i] = keyed{userTime(t.people.users[rows[i].identity], rows[i].time), uint32(i)}
	}
	items = sortKeyed(items)
	in := &intake{rows: make([]row, len(rows)), users: make([]uint32, len(rows)), from: make([]uint32, len(rows))}
	for i, item := range items {
		items[i].key = uint64(t.kinds.rank[rows[item.row].kind])
	}
	for i, item := range sortKeyed(items) {
		in.rows[i] = rows[item.row]
		in.users[i] = t.people.users[rows[item.row].identity]
		in.from[i] = item.row
	}
	t.settleTies(in)
	return in
}

// settleTies orders rows of the same type, user and time by batch and position.
func (t *Table) settleTies(in *intake) {
	for lo := 0; lo < len(in.rows); {
		hi := lo + 1
		for hi < len(in.rows) && in.users[hi] == in.users[lo] && in.rows[hi].time == in.rows[lo].time && in.rows[hi].kind == in.rows[lo].kind {
			hi++
		}
		if hi > lo+1 {
			sort.Sort(&tie{in.rows[lo:hi], in.from[lo:hi], &t.batches.nameList})
		}
		lo = hi
	}
}

// tie is rows that differ in batch and position alone.
type tie struct {
	rows    []row
	from    []uint32
	batches *nameList
}

func (s *tie) Len() int { return len(s.rows) }
func (s *tie) Less(i, j int) bool {
	a, b := &s.rows[i], &s.rows[j]
	return compareRefs(s.batches, a.batch, a.position, b.batch, b.position) < 0
}

func (s *tie) Swap(i, j int) {
	s.rows[i], s.rows[j] = s.rows[j], s.rows[i]
	s.from[i], s.from[j] = s.from[j], s.from[i]
}

func compareRefs(batches *nameList, batchA uint32, positionA uint16, batchB uint32, positionB uint16) int {
	return cmp.Or(batches.compare(batchA, batchB), cmp.Compare(positionA, positionB))
}

// step is one of weaving: the old rows [lo, hi), then the new row add (none: no row).
type step struct{ lo, hi, add uint32 }

// plan says how old and new rows become one day. Rows in drop (ascending) are left out.
type plan struct {
	steps  []step
	runs   []Run
	kinds  []uint32 // by run
	length int
}

// planWeave merges the runs of a day with the new rows.
func (t *Table) planWeave(old *edition, drop []uint32, in *intake) *plan {
	p := &plan{steps: make([]step, 0, 2*len(in.rows)+len(drop)+len(old.runs))}
	run, next := 0, 0
	for run < len(old.runs) || next < len(in.rows) {
		kind := t.firstKind(old, run, in, next)
		start := p.length
		lo, hi := 0, 0
		if run < len(old.runs) && old.kinds[run] == kind {
			lo, hi = old.runs[run].Lo, old.runs[run].Hi
			run++
		}
		end := next
		for end < len(in.rows) && in.rows[end].kind == kind {
			end++
		}
		drop = p.merge(t, old, lo, hi, drop, in, next, end)
		next = end
		if p.length > start {
			p.runs = append(p.runs, Run{t.kinds.names[kind], start, p.length})
			p.kinds = append(p.kinds, kind)
		}
	}
	return p
}

// firstKind is the type that comes next, of the old rows or of the new.
func (t *Table) firstKind(old *edition, run int, in *intake, next int) uint32 {
	switch {
	case run == len(old.runs):
		return in.rows[next].kind
	case next == len(in.rows) || t.kinds.rank[old.kinds[run]] <= t.kinds.rank[in.rows[next].kind]:
		return old.kinds[run]
	}
	return in.rows[next].kind
}

// merge plans one type: old rows [lo, hi) and new rows [next, end).
func (p *plan) merge(t *Table, old *edition, lo, hi int, drop []uint32, in *intake, next, end int) []uint32 {
	for ; next < end; next++ {
		at := t.placeOf(old, lo, hi, &in.rows[next], in.users[next])
		drop = p.keep(uint32(lo), uint32(at), drop)
		p.steps = append(p.steps, step{add: uint32(next)})
		p.length++
		lo = at
	}
	return p.keep(uint32(lo), uint32(hi), drop)
}

// keep plans the old rows [lo, hi) without the dropped ones.
func (p *plan) keep(lo, hi uint32, drop []uint32) []uint32 {
	for len(drop) > 0 && drop[0] < hi {
		p.span(lo, drop[0])
		lo = drop[0] + 1
		drop = drop[1:]
	}
	p.span(lo, hi)
	return drop
}

func (p *plan) span(lo, hi uint32) {
	if lo < hi {
		p.steps = append(p.steps, step{lo, hi, none})
		p.length += int(hi - lo)
	}
}

// placeOf is the first old row in [lo, hi) that comes after r. It looks near
// lo first, because new rows come in order.
func (t *Table) placeOf(old *edition, lo, hi int, r *row, user uint32) int {
	step := 1
	for lo+step < hi && t.before(old, lo+step, r, user) {
		lo += step
		step *= 2
	}
	hi = min(hi, lo+step)
	return lo + sort.Search(hi-lo, func(i int) bool { return !t.before(old, lo+i, r, user) })
}

// before says whether the old row i comes before r.
func (t *Table) before(old *edition, i int, r *row, user uint32) bool {
	a, b := userTime(old.users[i], old.times[i]), userTime(user, r.time)
	if a != b {
		return a < b
	}
	return compareRefs(&t.batches.nameList, old.batches[i], old.positions[i], r.batch, r.position) < 0
}

// weave makes one column of the plan's rows.
func weave[T any](p *plan, old []T, added func(i uint32) T) []T {
	out := make([]T, 0, p.length)
	for _, step := range p.steps {
		if step.add == none {
			out = append(out, old[step.lo:step.hi]...)
		} else {
			out = append(out, added(step.add))
		}
	}
	return out
}

// woven is the day that the plan describes, without sessions derived and without columns.
func (t *Table) woven(old *edition, p *plan, in *intake) *edition {
	d := newEdition(t, old.Number)
	d.runs, d.kinds = p.runs, p.kinds
	d.times = weave(p, old.times, func(i uint32) uint32 { return in.rows[i].time })
	d.users = weave(p, old.users, func(i uint32) uint32 { return in.users[i] })
	d.sessions = weave(p, old.sessions, func(i uint32) uint32 { return in.rows[i].session })
	d.batches = weave(p, old.batches, func(i uint32) uint32 { return in.rows[i].batch })
	d.positions = weave(p, old.positions, func(i uint32) uint16 { return in.rows[i].position })
	d.identities = d.users
	if old.joined() || in.joined() {
		d.identities = weave(p, old.identities, func(i uint32) uint32 { return in.rows[i].identity })
	}
	return d
}

// joined says whether an identity of the day is not its own user. Only such
// days keep identities beside users.
func (d *edition) joined() bool {
	return len(d.users) > 0 && &d.identities[0] != &d.users[0]
}

func (in *intake) joined() bool {
	for i := range in.rows {
		if in.rows[i].identity != in.users[i] {
			return true
		}
	}
	return false
}

// takeOut are the rows of moved identities, which must be put in again under their users.
func (d *edition) takeOut(m *moves) (drop []uint32) {
	for i, identity := range d.identities {
		if m.identities.has(identity) {
			drop = append(drop, uint32(i))
		}
	}
	return drop
}

// row is the old row i as one on its way in. A derived session is derived anew.
func (d *edition) row(i uint32) row {
	run, _ := slices.BinarySearchFunc(d.runs, int(i), func(r Run, at int) int { return cmp.Compare(r.Hi, at+1) })
	r := row{d.kinds[run], d.identities[i], d.times[i], d.sessions[i], d.batches[i], d.positions[i]}
	if d.table.sessions.derived.has(r.session) {
		r.session = none
	}
	return r
}
