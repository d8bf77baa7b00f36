package report

import "math/bits"

// matching gives steps hits of their own: each hit serves one step at most.
// It grows along alternating paths, so what was served stays served.
type matching struct {
	masks []uint32      // by hit: the steps that it can serve
	of    [maxSteps]int // by step: its hit, or -1
	by    []int         // by hit: its step, or -1
	size  int

	seen uint32
}

// load starts with these hits and serves no step yet.
func (m *matching) load(hits []hit) {
	m.masks = m.masks[:0]
	for i := range hits {
		m.masks = append(m.masks, hits[i].steps)
	}
	m.clear()
}

func (m *matching) clear() {
	m.by = m.by[:0]
	for range m.masks {
		m.by = append(m.by, -1)
	}
	for s := range m.of {
		m.of[s] = -1
	}
	m.size = 0
}

// choose serves all of must, then those of may that it can, lowest first, until
// most are served; false when must cannot be served, or are more than most.
// The hits that serve them are in of.
func (m *matching) choose(must, may uint32, most int) (taken uint32, ok bool) {
	if bits.OnesCount32(must) > min(most, len(m.masks)) {
		return 0, false
	}
	m.clear()
	for rest := must; rest != 0; rest &= rest - 1 {
		if !m.serve(bits.TrailingZeros32(rest)) {
			return 0, false
		}
	}
	taken = must
	for rest := may; rest != 0 && m.size < most; rest &= rest - 1 {
		if step := bits.TrailingZeros32(rest); m.serve(step) {
			taken |= 1 << step
		}
	}
	return taken, true
}

// serve finds a hit for a step, moving others to other hits where that frees one.
func (m *matching) serve(step int) bool {
	m.seen = 0
	if !m.place(step) {
		return false
	}
	m.size++
	return true
}

func (m *matching) place(step int) bool {
	m.seen |= 1 << step
	for i, mask := range m.masks {
		if mask&(1<<step) != 0 && m.by[i] < 0 {
			m.of[step], m.by[i] = i, step
			return true
		}
	}
	for i, mask := range m.masks {
		if mask&(1<<step) == 0 || m.seen&(1<<m.by[i]) != 0 {
			continue
		}
		if m.place(m.by[i]) {
			m.of[step], m.by[i] = i, step
			return true
		}
	}
	return false
}

// add gives one more hit, numbered n, if a step more can be served with it.
// The steps served before stay served, by hits that were added before.
func (m *matching) add(mask uint32, n int) {
	for len(m.masks) <= n {
		m.masks, m.by = append(m.masks, 0), append(m.by, -1)
	}
	m.masks[n] = mask
	m.seen = 0
	if m.use(n) {
		m.size++
	} else {
		m.masks[n] = 0 // never needed: a later hit cannot make it useful
	}
}

func (m *matching) use(n int) bool {
	for rest := m.masks[n] &^ m.seen; rest != 0; rest &= rest - 1 {
		step := bits.TrailingZeros32(rest)
		if m.seen&(1<<step) != 0 {
			continue
		}
		m.seen |= 1 << step
		if holder := m.of[step]; holder < 0 || m.use(holder) {
			m.of[step], m.by[n] = n, step
			return true
		}
	}
	return false
}

// stepTally counts the hits in a window by the steps that they can serve.
type stepTally struct {
	single [maxSteps]int  // hits that serve one step only
	other  map[uint32]int // by mask: hits that serve several
}

// count adds or takes away hits.
func (t *stepTally) count(hits []hit, by int) {
	for i := range hits {
		mask := hits[i].steps
		switch {
		case mask == 0:
		case mask&(mask-1) == 0:
			t.single[bits.TrailingZeros32(mask)] += by
		default:
			if t.other == nil {
				t.other = map[uint32]int{}
			}
			if t.other[mask] += by; t.other[mask] == 0 {
				delete(t.other, mask)
			}
		}
	}
}

// most is how many steps could be served if hits were not used up.
func (t *stepTally) most() int {
	seen := uint32(0)
	for step, n := range t.single {
		if n > 0 {
			seen |= 1 << step
		}
	}
	for mask := range t.other {
		seen |= mask
	}
	return bits.OnesCount32(seen)
}

// steps is how many different steps can be served, each by a hit of its own.
func (t *stepTally) steps(m *matching) int {
	if len(t.other) == 0 {
		return t.most()
	}
	m.load(nil)
	for step, n := range t.single {
		if n > 0 {
			m.add(1<<step, len(m.masks))
		}
	}
	for mask, n := range t.other {
		for range min(n, maxSteps) {
			m.add(mask, len(m.masks))
		}
	}
	return m.size
}
