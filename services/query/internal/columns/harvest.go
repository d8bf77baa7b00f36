package columns

import (
	"slices"

	"github.com/maidian/maidian/pkg/event"
)

// harvest is the codes of a day's events by where the events are, as they come
// from the store: from it any version of the day can take its column.
type harvest struct {
	first    uint32  // the smallest batch number
	batches  []strip // by batch number, less first
	length   int
	expected []*dictionary // whose codes the raw events must give
	codes    map[*dictionary][]uint32
}

// strip is the places of a batch's events.
type strip struct{ start, size uint32 }

func newHarvest(d *edition) *harvest {
	h := &harvest{codes: make(map[*dictionary][]uint32)}
	if d.Len() == 0 {
		return h
	}
	h.first = slices.Min(d.batches)
	h.batches = make([]strip, slices.Max(d.batches)-h.first+1)
	for i, batch := range d.batches {
		s := &h.batches[batch-h.first]
		s.size = max(s.size, uint32(d.positions[i])+1)
	}
	for i := range h.batches {
		h.batches[i].start = uint32(h.length)
		h.length += int(h.batches[i].size)
	}
	return h
}

func (h *harvest) expect(d *dictionary) {
	h.expected = append(h.expected, d)
	h.codes[d] = slices.Repeat([]uint32{unread}, h.length)
}

// takeColumn takes the codes from a version of the day that has them.
func (h *harvest) takeColumn(d *dictionary, day *edition, codes []uint32) {
	taken := slices.Repeat([]uint32{unread}, h.length)
	for i, code := range codes {
		place, _ := h.place(day.batches[i], day.positions[i])
		taken[place] = code
	}
	h.codes[d] = taken
}

// take notes the event's codes. Events of different batches may be taken at the same time.
func (h *harvest) take(e *event.Event, batch uint32) {
	if e.Position < 0 || e.Position > 0xffff {
		return
	}
	place, ok := h.place(batch, uint16(e.Position))
	if !ok {
		return
	}
	for _, d := range h.expected {
		h.codes[d][place] = d.code(event.ValueOf(e, d.name))
	}
}

// code is the code of the event at that place, or unread.
func (h *harvest) code(d *dictionary, batch uint32, position uint16) uint32 {
	place, ok := h.place(batch, position)
	if !ok {
		return unread
	}
	return h.codes[d][place]
}

func (h *harvest) place(batch uint32, position uint16) (uint32, bool) {
	i := batch - h.first // wraps around to a large number when it is smaller
	if int(i) >= len(h.batches) || uint32(position) >= h.batches[i].size {
		return 0, false
	}
	return h.batches[i].start + uint32(position), true
}
