package columns

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/maidian/maidian/services/query/internal/sealed"
)

// want asks for a quiet day to be made whole; until then Views stay as they are.
func (t *Table) want(h *hot) {
	t.stale.Store(true)
	if !h.wanted {
		h.wanted = true
		t.asleep++
	}
}

// disturb says what becomes of a quiet day when identities moved or sessions
// of the day before changed. Where clients name all sessions a move changes
// nothing but the order in which the day is read, so nothing is read now.
func (t *Table) disturb(h *hot, moved *moves, reached []uint32) {
	nameless := h.day.quiet.sealed.Nameless > 0
	switch {
	case len(reached) > 0 && nameless:
		h.reached = append(h.reached, reached...)
		t.want(h)
	case !moved.touch(h.day.Number) || !h.day.quiet.mayHave(moved):
	case nameless:
		t.want(h)
	default:
		t.retire(h.day)
		h.day = newQuiet(t, h.day.quiet.sealed)
		t.stale.Store(true)
	}
}

// mayHave is false if no row is of a user from whom an identity moved away.
func (q *quiet) mayHave(m *moves) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	p := q.pieces[pieceKey{kind: corePiece}]
	if p == nil || !p.landed() {
		return true
	}
	return slices.ContainsFunc(m.spans, func(s span) bool {
		return s.first <= q.day.Number && q.day.Number <= s.last && p.core.hasUser(s.user)
	})
}

// Settle makes the quiet days whole that something has come for, and builds
// those again that are not as the store says. Nothing may be added meanwhile.
func (t *Tables) Settle(ctx context.Context) error {
	for _, table := range t.All() {
		if err := table.settle(ctx); err != nil {
			return fmt.Errorf("make days of project %s whole: %w", table.project, err)
		}
	}
	return nil
}

func (t *Table) settle(ctx context.Context) error {
	for _, day := range t.suspects() {
		if err := t.rebuild(ctx, day); err != nil {
			return err
		}
	}
	for {
		h, v := t.nextWanted()
		if h == nil {
			return t.rejoin(ctx)
		}
		err := t.wake(ctx, h, v)
		if errors.Is(err, sealed.ErrMoved) {
			err = t.rebuild(ctx, h.day.Number)
		}
		if err != nil {
			return err
		}
	}
}

func (t *Table) suspects() (days []int32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, h := range t.days {
		if h.unlike && !t.hides(h.day.Number) {
			days = append(days, h.day.Number)
		}
	}
	return days
}

// nextWanted is the first day that must be made whole, and all days as they are now.
func (t *Table) nextWanted() (*hot, *View) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.asleep > 0 {
		t.merge() // it may want more
	}
	for _, h := range t.days {
		if h.wanted {
			return h, t.now()
		}
	}
	return nil, nil
}

// now is all days as they are, which need not make a View.
func (t *Table) now() *View {
	v := &View{Project: t.project, users: t.people.users, table: t}
	t.people.shared = true
	for _, h := range t.days {
		v.days = append(v.days, h.day)
	}
	return v
}

// wake makes a quiet day whole: what is missing is read first, in nobody's way.
func (t *Table) wake(ctx context.Context, h *hot, v *View) error {
	e := v.edition(h.day.Number)
	content, err := e.content(ctx, sealed.Needs{Refs: true, Sessions: true, Columns: e.quiet.columnsHeld()})
	if err != nil {
		return err
	}
	if e.quiet.sealed.Nameless > 0 {
		if err := v.knowOngoing(ctx, e.Number-1); err != nil {
			return err
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if h.day != e {
		return nil // it was changed meanwhile; it is still wanted
	}
	return t.awaken(h, content)
}

// columnsHeld are the columns that are in memory and need raw events.
func (q *quiet) columnsHeld() (names []string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for key, p := range q.pieces {
		if key.kind == columnPiece && key.column != typeColumn && p.landed() {
			names = append(names, key.column)
		}
	}
	slices.Sort(names)
	return names
}

// awaken puts a whole edition in the place of a quiet one, and then what came meanwhile.
func (t *Table) awaken(h *hot, content *sealed.Content) error {
	was := h.day
	p, err := t.placeLocked(content)
	if err != nil {
		return err
	}
	h.day = t.whole(p, t.dayBefore(h))
	h.sealed = &was.quiet.sealed
	if known := was.quiet.ongoing.Load(); known != nil {
		t.reach(h, differing(*known, h.day.ongoing))
	}
	for name := range content.Columns {
		dictionary := t.dictionary(name)
		f := &follow{dictionary: dictionary, resident: t.resident(h.day.Number, dictionary)}
		codes := p.codes(dictionary)
		h.follow = append(h.follow, f)
		h.day.publish(name, &held{dictionary.column(codes), f.resident})
		t.tables.cache.count(f.resident, columnBytes(codes))
	}
	t.retire(was)
	h.wanted = false
	t.asleep--
	t.tables.metrics.woken.Inc()
	t.addLate(h)
	return nil
}

// placeLocked orders a content by the users of now; the content has all parts.
func (t *Table) placeLocked(c *sealed.Content) (*placed, error) {
	k, err := t.known(c)
	if err != nil {
		return nil, err
	}
	return k.place(t.people.users, nil)
}

// whole is the edition of a content with all parts.
func (t *Table) whole(p *placed, before *edition) *edition {
	d := newEdition(t, p.content.Base.Day.Number)
	d.core = p.core
	d.identities = make([]uint32, len(d.users))
	for i := range d.identities {
		d.identities[i] = p.identities[p.content.Base.Identity[p.row(i)]]
	}
	if slices.Equal(d.identities, d.users) {
		d.identities = d.users
	}
	d.sessions = t.sentSessions(p)
	d.batches, d.positions = t.numberBatchesLocked(p), p.positions()
	var all bitset
	for i, session := range d.sessions {
		if session == none {
			all.add(d.users[i])
		}
	}
	if all != nil {
		t.sessions.derive(d, before, all)
	}
	return d
}

// dayBefore is the edition of the day before, or nil.
func (t *Table) dayBefore(h *hot) *edition {
	if before := t.byNumber[h.day.Number-1]; before != nil {
		return before.day
	}
	return nil
}

// reach notes that sessions of these users may go on otherwise on the next day.
func (t *Table) reach(h *hot, users []uint32) {
	if next := t.byNumber[h.day.Number+1]; next != nil && len(users) > 0 {
		next.reached = append(next.reached, users...)
		t.stale.Store(true)
		if next.day.quiet != nil && next.day.quiet.sealed.Nameless > 0 {
			t.want(next)
		}
	}
}

// addLate adds the events that came while the day was quiet, but for those
// that were in it.
func (t *Table) addLate(h *hot) {
	came := h.late
	h.late = nil
	if len(came) == 0 {
		return
	}
	t.adding = time.Now()
	there := make(map[Ref]bool, len(came))
	for _, l := range came {
		there[Ref{l.batch, uint16(l.event.Position)}] = false
	}
	for i, batch := range h.day.batches {
		ref := Ref{batch, h.day.positions[i]}
		if _, meant := there[ref]; meant {
			there[ref] = true
		}
	}
	for i := range came {
		if ref := (Ref{came[i].batch, uint16(came[i].event.Position)}); !there[ref] {
			there[ref] = true
			t.addEvent(&came[i].event, came[i].batch)
		}
	}
}
