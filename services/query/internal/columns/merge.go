package columns

import (
	"slices"
	"time"

	"github.com/maidian/maidian/pkg/event"
)

// View is the project's events now. It costs nothing when nothing came since
// the last one; else the rows that came are woven into their days first.
func (t *Table) View() *View {
	asOf := event.Time(t.tables.asOf.Load()) // before looking: what it promises was added before
	v := t.view.Load()
	if !t.stale.Load() && v.AsOf == asOf {
		return v
	}
	t.mu.Lock()
	v = t.viewLocked(asOf)
	t.mu.Unlock()
	t.tables.cache.shrink()
	return v
}

func (t *Table) viewLocked(asOf event.Time) *View {
	v := t.view.Load()
	if !t.stale.Load() {
		if v.AsOf >= asOf {
			return v
		}
		next := *v
		next.AsOf = asOf
		t.view.Store(&next)
		return &next
	}
	if t.resting() {
		return v
	}
	t.merge()
	if t.asleep > 0 {
		return v // until these days are whole
	}
	return t.publish(asOf)
}

const (
	large = 1_000_000 // rows in days with news from which on merging is rationed
	rest  = 4         // times as long as a merge took must pass before the next
)

// resting is true while another merge would take too large a share of a core.
// The View is then a little older and says so in AsOf. It never happens to
// days of usual size.
func (t *Table) resting() bool {
	if time.Since(t.merged) >= rest*t.mergeTook {
		return false
	}
	rows := 0
	for _, h := range t.days {
		if len(h.tail) > 0 {
			rows += h.day.Len()
		}
	}
	return rows > large
}

func (t *Table) publish(asOf event.Time) *View {
	v := &View{
		Project: t.project, Newest: t.newest, AsOf: asOf,
		RetainedFrom: t.retainedFrom(),

		days:       make([]*edition, 0, len(t.days)),
		identities: t.people.identities.nameList,
		users:      t.people.users,
		table:      t,
	}
	t.people.shared = true
	for _, h := range t.days {
		if h.day.Len() > 0 && !t.hides(h.day.Number) {
			v.days = append(v.days, h.day)
		}
	}
	t.sessions.names.show()
	t.batches.show()
	t.view.Store(v)
	t.stale.Store(false)
	return v
}

const (
	fewWaiting  = 1 << 17
	manyWaiting = 1 << 20
)

// mergeInPassing keeps rows from piling up while nobody asks for a View, as in
// the first load. It waits for a quarter of what is there, so that all merges
// together cost a small multiple of the rows.
func (t *Table) mergeInPassing() {
	if t.waiting >= min(max(t.rows/4, fewWaiting), manyWaiting) {
		t.merge()
	}
}

// merge brings every day up to date: rows that came, identities that got
// another user, and sessions that reach over midnight, day by day forward.
func (t *Table) merge() {
	if t.lacksOngoing() {
		return
	}
	start := time.Now()
	moved := t.people.takeMoved()
	var before *edition
	var reached []uint32 // users whose session of the day before changed
	for _, h := range t.days {
		if before != nil && h.day.Number != before.Number+1 {
			before, reached = nil, nil
		}
		if h.day.quiet != nil {
			t.disturb(h, &moved, reached)
			reached = nil
		} else {
			reached = t.refresh(h, before, &moved, append(reached, h.reached...))
			h.reached = nil
		}
		before = h.day
	}
	t.waiting = 0
	t.merged, t.mergeTook = time.Now(), time.Since(start)
	t.tables.metrics.merge.Observe(t.mergeTook.Seconds())
}

// lacksOngoing wakes the quiet days of which it must be known which derived
// sessions go on after them, for the rows that came on the next day.
func (t *Table) lacksOngoing() (lacks bool) {
	for _, h := range t.days {
		if h.day.quiet != nil || len(h.tail)+len(h.reached)+len(t.people.moved) == 0 {
			continue
		}
		if before := t.byNumber[h.day.Number-1]; before != nil && before.day.quiet != nil && before.day.quiet.ongoing.Load() == nil {
			t.want(before)
			lacks = true
		}
	}
	return lacks
}

// refresh makes the next version of a day if there is any news for it. It
// returns the users whose sessions of the next day may change.
func (t *Table) refresh(h *hot, before *edition, moved *moves, reached []uint32) []uint32 {
	var drop []uint32
	if moved.touch(h.day.Number) {
		drop = h.day.takeOut(moved)
	}
	gone := t.takeGone(h)
	if len(h.tail) == 0 && len(drop) == 0 && len(gone) == 0 && !t.sessions.starts(h.day, reached) {
		return nil
	}
	old := h.day
	if len(gone) > 0 {
		drop = slices.DeleteFunc(drop, func(row uint32) bool { _, is := slices.BinarySearch(gone, row); return is })
	}
	t.takeBack(h, drop)
	if len(gone) > 0 {
		drop = slices.Sorted(slices.Values(slices.Concat(drop, gone)))
	}
	in := t.arrange(h.tail)
	p := t.planWeave(old, drop, in)
	h.day = t.woven(old, p, in)
	h.day.ongoing = old.ongoing
	t.weaveColumns(h, old, p, in)
	h.emptyTail()
	return t.deriveSessions(h.day, before, old, drop, in, reached)
}

// takeBack puts the dropped rows, with their codes, among those that came.
func (t *Table) takeBack(h *hot, drop []uint32) {
	for _, i := range drop {
		h.tail = append(h.tail, h.day.row(i))
	}
	for _, f := range h.follow {
		codes := h.day.codesOf(f.dictionary)
		for _, i := range drop {
			if codes == nil {
				f.codes = append(f.codes, unread)
			} else {
				f.codes = append(f.codes, codes[i])
			}
		}
	}
}

// deriveSessions derives anew for the users whose rows without a client's
// session came, went, or may continue a session of the day before.
func (t *Table) deriveSessions(d, before, old *edition, drop []uint32, in *intake, reached []uint32) []uint32 {
	var touched bitset
	for i := range in.rows {
		if in.rows[i].session == none {
			touched.add(in.users[i])
		}
	}
	for _, i := range drop {
		touched.add(old.users[i])
	}
	for _, user := range reached {
		touched.add(user)
	}
	if touched == nil {
		return nil
	}
	return t.sessions.derive(d, before, touched)
}

const keepTail = 1 << 12

// emptyTail keeps the room of a day that gets rows all the time.
func (h *hot) emptyTail() {
	if cap(h.tail) > keepTail {
		h.tail = nil
	}
	h.tail = h.tail[:0]
	for _, f := range h.follow {
		if cap(f.codes) > keepTail {
			f.codes = nil
		}
		f.codes = f.codes[:0]
	}
}
