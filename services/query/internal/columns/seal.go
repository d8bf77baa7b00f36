package columns

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/store"
	"github.com/maidian/maidian/services/query/internal/sealed"
	"github.com/maidian/maidian/services/query/internal/segment"
)

// Rest is when a day is sealed.
type Rest struct {
	Ended time.Duration // so long after it ended
	Still time.Duration // and after its last row came
}

// Seal seals the days that rest, but for those of which short says that
// events are still missing, and tells whether any was. Memory then has what is used of them.
func (t *Table) Seal(ctx context.Context, now time.Time, rest Rest, short func(day int32) bool) (any bool, err error) {
	t.View() // so that rows do not wait for somebody who looks
	defer t.tables.cache.shrink()
	for _, h := range t.atRest(now, rest, short) {
		done, err := t.sealDay(ctx, h)
		if err != nil {
			return any, fmt.Errorf("seal day %d of project %s: %w", h.day.Number, t.project, err)
		}
		any = any || done
	}
	return any, nil
}

// atRest are the days that can be sealed.
func (t *Table) atRest(now time.Time, rest Rest, short func(day int32) bool) (days []*hot) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, h := range t.days {
		ended := (h.day.Start() + dayLength).Std().Add(rest.Ended)
		if h.atRest() && h.day.Len() > 0 && !t.hides(h.day.Number) && !now.Before(ended) && now.Sub(h.grown) >= rest.Still && !short(h.day.Number) {
			days = append(days, h)
		}
	}
	return days
}

// atRest says that the day is whole and nothing waits for it or is read of it.
func (h *hot) atRest() bool {
	return h.day.quiet == nil && len(h.tail)+len(h.reached)+len(h.left) == 0 && !h.unlike && !slices.ContainsFunc(h.follow, func(f *follow) bool { return f.loading })
}

// sealDay writes the day's parts, unless they are in the store, and makes it quiet.
func (t *Table) sealDay(ctx context.Context, h *hot) (done bool, err error) {
	t.mu.Lock()
	e, day, columns := h.day, h.sealed, h.columns()
	if e.quiet != nil {
		t.mu.Unlock()
		return false, nil
	}
	batches := e.segmentBatches(&t.batches.nameList)
	nameless := e.namelessRows(t.sessions)
	t.mu.Unlock()
	if day == nil {
		day = &sealed.Day{Number: e.Number, Rows: e.Len(), Fingerprint: segment.Fingerprint(batches), Nameless: nameless}
		for _, b := range batches {
			day.Batches += sealed.BatchSum(b.ID)
		}
		if err := t.write(ctx, day, batches, columns); errors.Is(err, sealed.ErrMoved) {
			t.suspect(e)
			return false, nil
		} else if err != nil {
			return false, err
		}
	}
	return t.quieten(h, e, day), nil
}

// write puts the day's parts into the store, built from raw events, unless a
// replica has done so.
func (t *Table) write(ctx context.Context, day *sealed.Day, batches []segment.Batch, columns []string) error {
	shelf, name := t.tables.shelf, day.Segment(t.project)
	if sound, err := shelf.Sound(ctx, name, columns); sound || err != nil {
		return err
	}
	ids := make([]string, len(batches))
	for i, b := range batches {
		ids[i] = b.ID
	}
	content, err := shelf.Build(ctx, t.project, day.Number, ids, columns)
	if err != nil {
		return err
	}
	if content.Base.Day != name || content.DayOf() != *day {
		return sealed.ErrMoved
	}
	if err := shelf.Clear(ctx, name); err != nil {
		return err
	}
	return shelf.Put(ctx, content, nil)
}

// columns are the names of the columns in memory that need raw events.
func (h *hot) columns() (names []string) {
	for _, f := range h.follow {
		if f.dictionary.name != typeColumn {
			names = append(names, f.dictionary.name)
		}
	}
	slices.Sort(names)
	return names
}

// segmentBatches are the day's batches in the order of their ids.
func (d *edition) segmentBatches(names *nameList) []segment.Batch {
	rows := make(map[uint32]int)
	for _, batch := range d.batches {
		rows[batch]++
	}
	numbers := slices.SortedFunc(maps.Keys(rows), names.compare)
	batches := make([]segment.Batch, len(numbers))
	for i, n := range numbers {
		batches[i] = segment.Batch{ID: unpack(names.at(n)), Rows: rows[n]}
	}
	return batches
}

func (d *edition) namelessRows(s *sessions) (n int) {
	for _, session := range d.sessions {
		if s.isDerived(session) {
			n++
		}
	}
	return n
}

// suspect notes that a day is not as the store says; Settle builds it again.
func (t *Table) suspect(e *edition) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if h := t.byNumber[e.Number]; h != nil && h.day == e && !h.unlike {
		h.unlike = true
		t.tables.metrics.unlike.Inc()
	}
}

// quieten puts a quiet edition in the place of a whole one, unless something came meanwhile.
func (t *Table) quieten(h *hot, e *edition, day *sealed.Day) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if h.day != e || !h.atRest() || len(t.people.moved) > 0 {
		return false
	}
	q := newQuiet(t, *day)
	ongoing := slices.Clone(e.ongoing)
	q.quiet.ongoing.Store(&ongoing)
	// What hangs on the old core stays with the Views that show it.
	t.keep(q, &piece{key: pieceKey{kind: corePiece}, core: &core{runs: e.runs, kinds: e.kinds, times: e.times, users: e.users}})
	t.keep(q, &piece{key: pieceKey{kind: sessionsPiece}, sessions: narrowed(e.sessions)})
	for _, f := range h.follow {
		t.tables.cache.count(f.resident, 0)
		if held := e.holds(f.dictionary); held != nil {
			column := *held.column
			column.Codes = narrowed(column.Codes.four)
			t.keep(q, &piece{key: pieceKey{columnPiece, f.dictionary.name}, column: &column})
		} else {
			t.release(f.dictionary.name)
		}
	}
	h.day, h.follow, h.sealed, h.tail = q, nil, nil, nil
	t.stale.Store(true)
	t.tables.metrics.sealed.Inc()
	return true
}

// keep puts a piece into an edition that nobody else knows yet.
func (t *Table) keep(e *edition, p *piece) {
	p.done = make(chan struct{})
	close(p.done)
	p.resident = &resident{leave: func() { e.leave(p) }}
	p.resident.touch()
	e.quiet.pieces[p.key] = p
	t.tables.cache.count(p.resident, p.bytes())
}

// SealedDays are the days that are quiet now, as they are sealed.
func (t *Table) SealedDays() map[int32]sealed.Day {
	t.mu.Lock()
	defer t.mu.Unlock()
	days := make(map[int32]sealed.Day)
	for _, h := range t.days {
		if h.day.quiet != nil && !h.wanted && !t.hides(h.day.Number) {
			days[h.day.Number] = h.day.quiet.sealed
		}
	}
	return days
}

// Doubt has a sealed day built again from raw events because the journal says
// something else of it. False: that was done before, and came to the same.
func (t *Table) Doubt(day sealed.Day) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	h := t.byNumber[day.Number]
	if h == nil || h.day.quiet == nil || h.day.quiet.sealed != day || t.doubted[day.Number] == day.Fingerprint {
		return false
	}
	t.doubted[day.Number] = day.Fingerprint
	h.unlike = true
	t.tables.metrics.unlike.Inc()
	return true
}

// rebuild makes a day from the raw events of all batches that the journal names for it.
func (t *Table) rebuild(ctx context.Context, number int32) error {
	entries, err := t.tables.shelf.Entries(ctx, t.project, func(day int32) bool { return day == number })
	if err != nil {
		return err
	}
	var ids []string
	for _, entry := range entries {
		if t.Has(entry) > 0 { // the others are added when they are taken
			ids = append(ids, entry.ID)
		}
	}
	content, err := sealed.Build(ctx, t.tables.shelf.Store, t.project, number, ids, nil)
	if err != nil {
		return err
	}
	t.mu.Lock()
	now := t.now()
	t.mu.Unlock()
	if err := now.knowOngoing(ctx, number-1); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.replace(t.hotDay(number), content)
}

// replace puts a content in the place of all that is known of a day.
func (t *Table) replace(h *hot, content *sealed.Content) error {
	t.registerLocked(content.Base)
	p, err := t.placeLocked(content)
	if err != nil {
		return err
	}
	was := h.day
	fresh := newEdition(t, was.Number)
	if content.Base.Day.Rows > 0 {
		fresh = t.whole(p, t.dayBefore(h))
	}
	t.reach(h, differing(was.goings(), fresh.ongoing))
	more := fresh.Len() - was.Len() - len(h.tail)
	t.rows += more
	t.waiting -= len(h.tail)
	t.tables.metrics.rows.Add(float64(more))
	for len(h.follow) > 0 {
		t.unfollow(h, h.follow[0])
	}
	if was.quiet != nil {
		t.retire(was)
	}
	if h.wanted {
		t.asleep--
	}
	*h = hot{day: fresh, grown: time.Now()}
	t.stale.Store(true)
	return nil
}

// registerLocked makes known whom and what a day names, and returns their numbers.
func (t *Table) registerLocked(b *segment.Base) (identities, kinds []uint32) {
	identities, kinds = t.people.register(b), t.kinds.all(b.Types)
	if b.Day.Rows > 0 {
		if newest := b.Day.Start() + event.Time(slices.Max(b.Times)); t.rows == 0 || newest > t.newest {
			t.newest = newest
		}
	}
	return identities, kinds
}

// Manifest says what a start needs to know, when all that the journal named
// before a moment is in but for what is owed; nil while something waits.
func (t *Table) Manifest(before event.Time, owed []store.Batch) *sealed.Manifest {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.asleep > 0 {
		return nil
	}
	m := &sealed.Manifest{Before: int64(before), Days: []sealed.Day{}, Open: []sealed.Open{}}
	var open bitset
	for _, h := range t.days {
		switch {
		case t.hides(h.day.Number):
		case h.unlike:
			return nil
		case h.day.quiet != nil:
			m.Days = append(m.Days, h.day.quiet.sealed)
		case h.sealed != nil:
			m.Days = append(m.Days, *h.sealed)
		default:
			for _, batch := range h.day.batches {
				open.add(batch)
			}
			for i := range h.tail {
				open.add(h.tail[i].batch)
			}
		}
	}
	for _, entry := range owed {
		open.add(t.batchNumber(entry.ID))
	}
	for n, applied := range t.applied {
		if !open.has(uint32(n)) {
			continue
		}
		o := sealed.Open{ID: unpack(t.batches.at(uint32(n))), Applied: int(applied)}
		if applied == 0 && !t.listed.has(uint32(n)) && !slices.ContainsFunc(owed, func(b store.Batch) bool { return b.ID == o.ID }) {
			o.Applied = sealed.Complete // it was sealed before this process began
		}
		m.Open = append(m.Open, o)
	}
	return m
}
