package columns

import (
	"slices"
	"strings"
	"sync"
	"weak"

	"github.com/maidian/maidian/pkg/event"
)

// dictionary numbers the values of one column of a project. It only grows, so
// that a slice of its values taken at any time stays right.
type dictionary struct {
	name  string
	cache *cache

	mu    sync.Mutex
	size  int64 // bytes, about
	codes map[event.Value]uint32
	all   []event.Value // by code
}

// unread is the code of a row whose value was not read yet. No reader sees it.
const unread = ^uint32(0)

func newDictionary(name string, c *cache) *dictionary {
	return &dictionary{name: name, cache: c, codes: map[event.Value]uint32{{}: 0}, all: []event.Value{{}}}
}

// code is the value's number, given now when it is new.
func (d *dictionary) code(v event.Value) uint32 {
	if v.Kind == event.Absent {
		return 0
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	code, ok := d.codes[v]
	if ok {
		return code
	}
	v.Text = strings.Clone(v.Text) // it may be a piece of a much longer text
	code = uint32(len(d.all))
	d.codes[v] = code
	d.all = append(d.all, v)
	d.grow(int64(len(v.Text)) + valueCost)
	return code
}

func (d *dictionary) grow(bytes int64) {
	d.size += bytes
	d.cache.total.Add(bytes)
}

// charge counts all of the dictionary in the cache again, or with sign -1 no more.
func (d *dictionary) charge(sign int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cache.total.Add(sign * d.size)
}

// valueCost is about what a value takes besides its text: twice itself, its code, and a part of the map.
const valueCost = 100

func (d *dictionary) values() []event.Value {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.all
}

// column is a complete column over this dictionary.
func (d *dictionary) column(codes []uint32) *Column {
	return &Column{Codes: CodesOf(codes), Values: d.values(), dictionary: d}
}

// shared is where a table keeps a column's dictionary. When no day of the table
// has the column any more only a weak pointer stays: a report that still holds
// a Column keeps the dictionary, so its next column speaks of the same codes.
type shared struct {
	held  *dictionary // while inUse > 0
	faded weak.Pointer[dictionary]
	inUse int // days that have the column, or are getting it
}

// dictionary is the column's, with one more use of it.
func (t *Table) dictionary(name string) *dictionary {
	s := t.dictionaries[name]
	if s == nil {
		s = &shared{}
		t.dictionaries[name] = s
	}
	s.inUse++
	if s.held != nil {
		return s.held
	}
	if s.held = s.faded.Value(); s.held != nil {
		s.held.charge(+1)
		return s.held
	}
	s.held = newDictionary(name, t.tables.cache)
	s.faded = weak.Make(s.held)
	return s.held
}

// release takes back one use of the column's dictionary.
func (t *Table) release(name string) {
	s := t.dictionaries[name]
	if s.inUse--; s.inUse == 0 {
		s.held.charge(-1)
		s.held = nil
	}
}

// canonical is the one name under which a column is kept: "amount" and
// "properties.amount" are the same property.
func canonical(name string) string {
	if event.FieldNamed(name) != nil || strings.HasPrefix(name, event.PropertyPrefix) {
		return name
	}
	return event.PropertyPrefix + name
}

// canonicals are the canonical names, each once.
func canonicals(names []string) []string {
	canon := make([]string, len(names))
	for i, name := range names {
		canon[i] = canonical(name)
	}
	slices.Sort(canon)
	return slices.Compact(canon)
}
