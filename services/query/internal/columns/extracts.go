package columns

import (
	"cmp"
	"math/bits"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"weak"
)

// extracts are what is worked out from a day's rows when a report first needs it,
// and kept, because a Day never changes: who was active, and how the rows of
// several types follow one another.
type extracts struct {
	fences atomic.Pointer[[][]uint32] // by run, by block of users: the first row of that block or a later one

	mu       sync.Mutex
	resident *resident // once something is kept
	bytes    int64     // of all that follows
	parts    map[partKey]*Part
	orders   map[string][]uint8
	made     map[string]*madeExtract // by name
}

func (c *core) keptPart(key partKey) *Part {
	c.extracts.mu.Lock()
	defer c.extracts.mu.Unlock()
	if r := c.extracts.resident; r != nil {
		r.touch()
	}
	return c.extracts.parts[key]
}

func (c *core) keptOrder(key string) []uint8 {
	c.extracts.mu.Lock()
	defer c.extracts.mu.Unlock()
	if r := c.extracts.resident; r != nil {
		r.touch()
	}
	return c.extracts.orders[key]
}

// keepExtract adds an extract of so many bytes. All of a day's leave together,
// when memory is short or when the day itself goes.
func (d *Day) keepExtract(bytes int64, put func(x *extracts)) {
	cache, x := d.edition.table.tables.cache, &d.extracts
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.resident == nil {
		day := weak.Make(d.core) // the cache must not hold what nobody else does
		r := &resident{leave: func() {
			if c := day.Value(); c != nil {
				c.dropExtracts(cache)
			}
		}}
		r.touch()
		runtime.AddCleanup(d.core, func(r *resident) { cache.count(r, 0) }, r)
		x.resident = r
	}
	put(x)
	x.bytes += bytes
	cache.count(x.resident, x.bytes)
}

func (c *core) dropExtracts(cache *cache) {
	x := &c.extracts
	x.mu.Lock()
	defer x.mu.Unlock()
	x.parts, x.orders, x.made, x.bytes = nil, nil, nil, 0
	cache.count(x.resident, 0)
}

// Extract is what a report works out from all rows of a day.
type Extract interface{ Bytes() int64 }

type madeExtract struct {
	Extract
	codes []weak.Pointer[dictionary] // whose codes it speaks
}

// Extract is what work makes of the day's rows. It is kept by its name for the
// next who asks, for as long as the codes of these columns mean the same.
func (d *Day) Extract(name string, columns []string, work func() Extract) Extract {
	codes := make([]weak.Pointer[dictionary], len(columns))
	for i, column := range columns {
		codes[i] = weak.Make(d.Column(column).dictionary)
	}
	if made := d.keptExtract(name); made != nil && slices.Equal(made.codes, codes) {
		return made.Extract
	}
	made := &madeExtract{work(), codes}
	d.keepExtract(made.Bytes(), func(x *extracts) {
		if x.made == nil {
			x.made = make(map[string]*madeExtract)
		}
		if old := x.made[name]; old != nil {
			x.bytes -= old.Bytes()
		}
		x.made[name] = made
	})
	return made.Extract
}

func (c *core) keptExtract(name string) *madeExtract {
	c.extracts.mu.Lock()
	defer c.extracts.mu.Unlock()
	if r := c.extracts.resident; r != nil {
		r.touch()
	}
	return c.extracts.made[name]
}

// UserBlock is how many users' rows can be found without a search: those with
// numbers from a multiple of it to the next.
const UserBlock = 1 << 12

// RowsOf are the rows [from, to) of the users lo ≤ number < hi in a run.
func (d *Day) RowsOf(run int, lo, hi uint32) (from, to int) {
	if lo%UserBlock == 0 && hi%UserBlock == 0 {
		fences := d.fencesOf(run)
		last := len(fences) - 1
		return int(fences[min(int(lo/UserBlock), last)]), int(fences[min(int(hi/UserBlock), last)])
	}
	r := d.runs[run]
	users := d.users[r.Lo:r.Hi]
	from, _ = slices.BinarySearch(users, lo)
	to, _ = slices.BinarySearch(users, hi)
	return r.Lo + from, r.Lo + to
}

func (d *Day) fencesOf(run int) []uint32 {
	if fences := d.extracts.fences.Load(); fences != nil {
		return (*fences)[run]
	}
	fences := make([][]uint32, len(d.runs))
	for i, r := range d.runs {
		fences[i] = fence(d.users, r)
	}
	d.extracts.fences.Store(&fences)
	return fences[run]
}

func fence(users []uint32, r Run) []uint32 {
	fences := make([]uint32, users[r.Hi-1]/UserBlock+2)
	row := r.Lo
	for block := range fences {
		within, _ := slices.BinarySearch(users[row:r.Hi], uint32(block)*UserBlock)
		row += within
		fences[block] = uint32(row)
	}
	return fences
}

// AnyType stands for all runs of a day together.
const AnyType = -1

// partKey is a part of a day: the rows of one run, or of all, with times from lo to hi.
type partKey struct {
	run    int
	lo, hi uint32
}

// Part is how many rows a part of a day has, and whose they are.
type Part struct {
	Rows, Users int

	bits []uint64 // by user number, or where few of all users are in it:
	list []uint32 // their numbers
}

// quarter is what the edges of parts that are kept are multiples of: time zones
// and their changes of clocks cut days there, moments do not.
const quarter = 15 * 60 * 1000

// Part is the rows of a run, or of all for AnyType, with times from lo to hi,
// both inclusive. It is kept for the next who asks unless its edges are moments.
func (d *Day) Part(run int, lo, hi uint32) *Part {
	key := partKey{run, lo, hi}
	if p := d.keptPart(key); p != nil {
		return p
	}
	p := d.part(key)
	if lo%quarter == 0 && (hi+1)%quarter == 0 {
		d.keepExtract(p.bytes(), func(x *extracts) {
			if x.parts == nil {
				x.parts = make(map[partKey]*Part)
			}
			x.parts[key] = p
		})
	}
	return p
}

func (d *Day) part(key partKey) *Part {
	if key.run == AnyType {
		return d.partOfAll(key)
	}
	r := d.runs[key.run]
	p := &Part{}
	last := none
	for row := r.Lo; row < r.Hi; row++ {
		if at := d.times[row]; at < key.lo || at > key.hi {
			continue
		}
		p.Rows++
		if user := d.users[row]; user != last {
			last = user
			p.list = append(p.list, user)
		}
	}
	p.settle()
	return p
}

// partOfAll puts the parts of all types together.
func (d *Day) partOfAll(key partKey) *Part {
	p := &Part{}
	var all []uint64
	for run := range d.runs {
		one := d.Part(run, key.lo, key.hi)
		p.Rows += one.Rows
		if short := one.words() - len(all); short > 0 {
			all = append(all, make([]uint64, short)...)
		}
		one.AddTo(all)
	}
	for i, word := range all {
		for ; word != 0; word &= word - 1 {
			p.list = append(p.list, uint32(i)<<6+uint32(bits.TrailingZeros64(word)))
		}
	}
	p.settle()
	return p
}

// settle keeps whichever takes less memory, the list or bits.
func (p *Part) settle() {
	p.Users = len(p.list)
	if p.Users == 0 {
		return
	}
	if words := int(p.list[p.Users-1]>>6) + 1; words <= p.Users/2 {
		p.bits = make([]uint64, words)
		for _, user := range p.list {
			p.bits[user>>6] |= 1 << (user & 63)
		}
		p.list = nil
		return
	}
	p.list = slices.Clip(slices.Clone(p.list))
}

func (p *Part) bytes() int64 { return 8*int64(len(p.bits)) + 4*int64(len(p.list)) + partCost }

const partCost = 128 // about, of an empty part and its place in the map

// words is how many words AddTo needs.
func (p *Part) words() int {
	if n := len(p.list); n > 0 {
		return int(p.list[n-1]>>6) + 1
	}
	return len(p.bits)
}

// AddTo sets the bits of the part's users: bit n%64 of word n/64.
func (p *Part) AddTo(set []uint64) {
	for i, word := range p.bits {
		set[i] |= word
	}
	for _, user := range p.list {
		set[user>>6] |= 1 << (user & 63)
	}
}

// Bits are the users as AddTo sets them, in that many words. They must not be changed.
func (p *Part) Bits(words int) []uint64 {
	if len(p.bits) >= words {
		return p.bits[:words]
	}
	set := make([]uint64, words)
	p.AddTo(set)
	return set
}

// Interleaved is the order by user and time in which the rows of several types
// follow one another: each number says whose next row is the next one; of equal
// times, the type that is named first. The rows of one type stand in that order
// already, so the numbers are all that is needed to go through them as one.
func (d *Day) Interleaved(types []string) []uint8 {
	key := strings.Join(types, "\x00")
	if order := d.keptOrder(key); order != nil {
		return order
	}
	order := d.interleave(types)
	d.keepExtract(int64(len(order)), func(x *extracts) {
		if x.orders == nil {
			x.orders = make(map[string][]uint8)
		}
		x.orders[key] = order
	})
	return order
}

// lane is what is left of a run, while runs are put in one order.
type lane struct {
	next  uint64 // the first row's user and time, above the type's place
	rows  []uint32
	times []uint32
	place uint64
}

const placeBits = 5 // of the place among the types

// over is after every row.
const over = ^uint64(0)

func (l *lane) step() {
	if len(l.rows) == 0 {
		l.next = over
		return
	}
	l.next = userTime(l.rows[0], l.times[0])<<placeBits | l.place
	l.rows, l.times = l.rows[1:], l.times[1:]
}

func (d *Day) interleave(types []string) []uint8 {
	var lanes []lane
	total := 0
	for place, name := range types {
		if run, ok := d.RunOf(name); ok {
			r := d.runs[run]
			lanes = append(lanes, lane{rows: d.users[r.Lo:r.Hi], times: d.times[r.Lo:r.Hi], place: uint64(place)})
			lanes[len(lanes)-1].step()
			total += r.Hi - r.Lo
		}
	}
	order := make([]uint8, total)
	for i := range order {
		first := 0
		for n := range lanes {
			if lanes[n].next < lanes[first].next {
				first = n
			}
		}
		order[i] = uint8(lanes[first].place)
		lanes[first].step()
	}
	return order
}

// RunOf is the place of a type among the day's runs.
func (d *Day) RunOf(eventType string) (run int, ok bool) {
	return slices.BinarySearchFunc(d.runs, eventType, func(r Run, name string) int { return cmp.Compare(r.Type, name) })
}
