package columns

import (
	"maps"
	"slices"

	"github.com/maidian/maidian/pkg/event"
)

// held is a complete column of a day.
type held struct {
	column   *Column
	resident *resident
}

// begun is a column of which some rows are not read yet.
type begun struct {
	dictionary *dictionary
	codes      []uint32
}

// follow is a column that a day has or is getting: rows that come bring their codes with them.
type follow struct {
	dictionary *dictionary
	resident   *resident
	codes      []uint32 // of the rows in the day's tail
	loading    bool
}

func (d *edition) heldColumn(name string) *held {
	all := d.columns.Load()
	if all == nil {
		return nil
	}
	h := (*all)[name]
	if h != nil {
		h.resident.touch()
	}
	return h
}

// publish makes a column known to readers of this version of the day.
func (d *edition) publish(name string, h *held) {
	d.changeColumns(func(all map[string]*held) { all[name] = h })
}

func (d *edition) withdraw(name string) {
	d.changeColumns(func(all map[string]*held) { delete(all, name) })
}

func (d *edition) changeColumns(change func(map[string]*held)) {
	for {
		old := d.columns.Load()
		next := make(map[string]*held)
		if old != nil {
			next = maps.Clone(*old)
		}
		change(next)
		if d.columns.CompareAndSwap(old, &next) {
			return
		}
	}
}

// codesOf are the day's codes in this dictionary, some of them perhaps unread, or nil.
func (d *edition) codesOf(dictionary *dictionary) []uint32 {
	if h := d.holds(dictionary); h != nil {
		return h.column.Codes.four
	}
	if b := d.begun[dictionary.name]; b.dictionary == dictionary {
		return b.codes
	}
	return nil
}

// holds is the dictionary's column if the day has it complete, else nil.
func (d *edition) holds(dictionary *dictionary) *held {
	all := d.columns.Load()
	if all == nil {
		return nil
	}
	if h := (*all)[dictionary.name]; h != nil && h.column.dictionary == dictionary {
		return h
	}
	return nil
}

// weaveColumns gives the new version of a day the columns of the old one, with
// the codes that fresh rows brought.
func (t *Table) weaveColumns(h *hot, old *edition, p *plan, in *intake) {
	for _, f := range h.follow {
		codes := weaveCodes(p, old.codesOf(f.dictionary), func(i uint32) uint32 { return f.codes[in.from[i]] })
		if old.holds(f.dictionary) == nil && slices.Contains(codes, unread) {
			if h.day.begun == nil {
				h.day.begun = make(map[string]begun)
			}
			h.day.begun[f.dictionary.name] = begun{f.dictionary, codes}
			continue
		}
		h.day.publish(f.dictionary.name, &held{f.dictionary.column(codes), f.resident})
		t.tables.cache.count(f.resident, columnBytes(codes))
	}
}

func weaveCodes(p *plan, old []uint32, added func(i uint32) uint32) []uint32 {
	if old != nil {
		return weave(p, old, added)
	}
	out := make([]uint32, 0, p.length)
	for _, step := range p.steps {
		if step.add != none {
			out = append(out, added(step.add))
		}
		for range step.hi - step.lo {
			out = append(out, unread)
		}
	}
	return out
}

func columnBytes(codes []uint32) int64 { return 4 * int64(len(codes)) }

// complete are the day's codes with those that were read put where they were missing.
func (d *edition) complete(dictionary *dictionary, read *harvest, gone func(int)) []uint32 {
	codes := slices.Clone(d.codesOf(dictionary))
	if codes == nil {
		codes = slices.Repeat([]uint32{unread}, d.Len())
	}
	if dictionary.name == typeColumn {
		d.typeCodes(dictionary, codes)
		return codes
	}
	missing := 0
	for i, code := range codes {
		if code != unread {
			continue
		}
		if codes[i] = read.code(dictionary, d.batches[i], d.positions[i]); codes[i] == unread {
			codes[i] = 0
			missing++
		}
	}
	gone(missing)
	return codes
}

// typeColumn needs no raw events: rows stand by type.
const typeColumn = "event_type"

func (d *core) typeCodes(dictionary *dictionary, codes []uint32) {
	for _, run := range d.runs {
		code := dictionary.code(event.TextValue(run.Type))
		for i := run.Lo; i < run.Hi; i++ {
			codes[i] = code
		}
	}
}

// resident is what takes the memory of a day's column.
func (t *Table) resident(day int32, dictionary *dictionary) *resident {
	r := &resident{}
	r.leave = func() { t.evict(r, day, dictionary) }
	r.touch()
	return r
}

// evict lets a column of a day go.
func (t *Table) evict(r *resident, day int32, dictionary *dictionary) {
	t.mu.Lock()
	defer t.mu.Unlock()
	h := t.byNumber[day]
	at := slices.IndexFunc(h.follow, func(f *follow) bool { return f.resident == r })
	if at < 0 || h.follow[at].loading {
		return
	}
	h.day.withdraw(dictionary.name)
	t.unfollow(h, h.follow[at])
	t.tables.metrics.evictions.Inc()
}

// unfollow forgets a column of a day.
func (t *Table) unfollow(h *hot, f *follow) {
	h.follow = slices.DeleteFunc(h.follow, func(other *follow) bool { return other == f })
	t.tables.cache.count(f.resident, 0)
	t.release(f.dictionary.name)
}
