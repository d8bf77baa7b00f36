package segment

import (
	"slices"
	"sync"
)

// visits is the order of rows by identity, time and type.
type visits struct {
	kinds kinds    // the type of each
	ends  []uint32 // by identity: where its visits end
	rows  []uint32 // where each stands in canonical order
	once  sync.Once
}

// byIdentity is the order in which most of a day is written.
func (b *Base) byIdentity() *visits {
	v := &b.visits
	v.once.Do(func() {
		if v.ends == nil {
			b.visit()
			return
		}
		next := b.starts()
		v.rows = make([]uint32, len(b.Times))
		for i := range v.rows {
			to := &next[v.kinds.at(i)]
			v.rows[i] = *to
			*to++
		}
	})
	return v
}

// of is where the visits of an identity are.
func (v *visits) of(identity uint32) (from, to uint32) {
	if identity > 0 {
		from = v.ends[identity-1]
	}
	return from, v.ends[identity]
}

// visit finds the order from the rows.
func (b *Base) visit() {
	v := &b.visits
	ends := make([]uint32, b.Identities.Len()+1)
	for _, identity := range b.Identity {
		ends[identity+1]++
	}
	v.ends = runningSums(ends)[1:]
	keys, next := make([]uint64, len(b.Times)), slices.Clone(ends) // of rows by identity: time, row
	for row, identity := range b.Identity {
		keys[next[identity]] = uint64(b.Times[row])<<32 | uint64(row)
		next[identity]++
	}
	for identity := range v.ends {
		slices.Sort(keys[ends[identity]:ends[identity+1]])
	}
	v.rows = make([]uint32, len(keys))
	of := make([]uint16, len(keys))
	for i, key := range keys {
		v.rows[i] = uint32(key)
		kind, _ := slices.BinarySearch(b.Ends, int(v.rows[i])+1)
		of[i] = uint16(kind)
	}
	v.kinds = kindsOf(of, len(b.Types))
}

// kinds are types by number: in a byte each, unless there are too many of them.
type kinds struct {
	narrow []uint8
	wide   []uint16
}

const (
	narrowTypes = 1 << 8
	mostTypes   = 1 << 16 // of a day
)

func kindsOf(of []uint16, types int) kinds {
	if types > narrowTypes {
		return kinds{wide: of}
	}
	k := kinds{narrow: make([]uint8, len(of))}
	for i, kind := range of {
		k.narrow[i] = uint8(kind)
	}
	return k
}

func (k *kinds) at(i int) int {
	if k.wide != nil {
		return int(k.wide[i])
	}
	return int(k.narrow[i])
}

func (w *writer) kinds(k *kinds) {
	if k.wide != nil {
		writeInts(w, k.wide)
	} else {
		w.stream(k.narrow)
	}
}

func (r *reader) kinds(rows, types int) kinds {
	if types > narrowTypes {
		return kinds{wide: readInts[uint16](r, rows, mostTypes-1)}
	}
	return kinds{narrow: r.stream(rows)}
}

// counts are how many there are of each type; not ok if there are others.
func (k *kinds) counts(types int) (counts []int, ok bool) {
	if k.wide == nil {
		all := countBytes(k.narrow)
		return all[:types], len(k.narrow) == 0 || highest(all) < types
	}
	counts = make([]int, types)
	for _, kind := range k.wide {
		if int(kind) >= types {
			return counts, false
		}
		counts[kind]++
	}
	return counts, true
}
