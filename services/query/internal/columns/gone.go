package columns

import (
	"slices"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/store"
)

// Drop takes out the rows of an entry's events that are not stored any more,
// and what is known from them: all that are stored are given, and the ids of
// those that were erased. Quiet days of the entry are made whole for it.
func (t *Table) Drop(entry store.Batch, events []event.Event, erased []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.people.forget(erased)
	t.lessened = true
	places := make(map[uint16]bool, len(events))
	for i := range events {
		places[uint16(events[i].Position)] = true
	}
	batch := t.batchNumber(entry.ID)
	for _, h := range t.days {
		if len(entry.Days) > 0 && !slices.Contains(entry.Days, h.day.Number) {
			continue
		}
		if h.left == nil {
			h.left = make(map[uint32]map[uint16]bool)
		}
		h.left[batch] = places
		h.late = slices.DeleteFunc(h.late, func(l late) bool { return l.batch == batch && !places[uint16(l.event.Position)] })
		if h.day.quiet != nil {
			t.want(h)
		}
	}
	t.applied[batch] = uint32(len(events) + entry.Pruned)
	t.listed.add(batch)
	t.stale.Store(true)
}

// takeGone takes those of the rows that must go out of the tail, and says
// which rows of the day are such.
func (t *Table) takeGone(h *hot) (gone []uint32) {
	if len(h.left) == 0 {
		return nil
	}
	goes := func(batch uint32, position uint16) bool {
		places, meant := h.left[batch]
		return meant && !places[position]
	}
	for i, batch := range h.day.batches {
		if goes(batch, h.day.positions[i]) {
			gone = append(gone, uint32(i))
		}
	}
	stays := 0
	for i, r := range h.tail {
		if goes(r.batch, r.position) {
			continue
		}
		h.tail[stays] = r
		for _, f := range h.follow {
			f.codes[stays] = f.codes[i]
		}
		stays++
	}
	if less := len(gone) + len(h.tail) - stays; less > 0 {
		t.rows -= less
		t.tables.metrics.rows.Sub(float64(less))
		h.sealed = nil
	}
	h.tail = h.tail[:stays]
	for _, f := range h.follow {
		f.codes = f.codes[:stays]
	}
	h.left = nil
	return gone
}
