package report

import (
	"math"
	"slices"
)

// tally counts distinct numbers, exactly.
type tally struct {
	bits []uint64
	n    int
}

func newTally(numbers int) *tally { return &tally{bits: make([]uint64, (numbers+63)/64)} }

// add counts n unless it was counted before.
func (t *tally) add(n uint32) {
	word, bit := n>>6, uint64(1)<<(n&63)
	if t.bits[word]&bit == 0 {
		t.bits[word] |= bit
		t.n++
	}
}

// distinctOf is how many different numbers are in the lists. The tally is empty
// before and after.
func (t *tally) distinctOf(lists [][]uint32) (n int) {
	total := 0
	for _, list := range lists {
		total += len(list)
		for _, number := range list {
			word, bit := &t.bits[number>>6], number&63
			n += int(^*word >> bit & 1) // a branch could not be foreseen
			*word |= 1 << bit
		}
	}
	if total >= len(t.bits) {
		clear(t.bits)
		return n
	}
	for _, list := range lists {
		for _, number := range list {
			t.bits[number>>6] = 0
		}
	}
	return n
}

// pairs counts, for each of many groups, its rows and its distinct users. It
// keeps 8 bytes a row instead of a set of users a group.
type pairs struct {
	groups, users []uint32
	rows          []int // by group
	numbers       int   // of users
}

func newPairs(groups, numbers int) *pairs { return &pairs{rows: make([]int, groups), numbers: numbers} }

// add counts a row of a group, and its user if it has one.
func (p *pairs) add(group, user uint32, has bool) {
	p.rows[group]++
	if has {
		p.groups = append(p.groups, group)
		p.users = append(p.users, user)
	}
}

// join adds what others have of the same groups.
func (p *pairs) join(o *pairs) {
	for g, n := range o.rows {
		p.rows[g] += n
	}
	p.groups = append(p.groups, o.groups...)
	p.users = append(p.users, o.users...)
}

// distinct is, by group, of how many users its rows are.
func (p *pairs) distinct() []int {
	words := (p.numbers + 63) / 64
	switch {
	case len(p.users) < min(p.numbers/16, words*len(p.rows)/16):
		return p.distinctOfFew()
	case len(p.rows) <= 64:
		return p.distinctInFew(words)
	}
	sorted, starts := p.byGroup()
	distinct := make([]int, len(p.rows))
	last := make([]uint32, p.numbers) // by user: one more than the last group in which it was seen
	for g := range p.rows {
		for _, u := range sorted[starts[g]:starts[g+1]] {
			if last[u] != uint32(g)+1 {
				last[u] = uint32(g) + 1
				distinct[g]++
			}
		}
	}
	return distinct
}

// distinctOfFew sorts each group's users: less work than to look at room for
// every user, and almost none where rows came by user.
func (p *pairs) distinctOfFew() []int {
	distinct := make([]int, len(p.rows))
	sorted, starts := p.byGroup()
	for g := range distinct {
		if users := sorted[starts[g]:starts[g+1]]; len(users) > 0 {
			slices.Sort(users)
			distinct[g] = len(slices.Compact(users))
		}
	}
	return distinct
}

// distinctInFew has a set of users for each group.
func (p *pairs) distinctInFew(words int) []int {
	distinct, sets := make([]int, len(p.rows)), make(userSet, len(p.rows)*words)
	for i, user := range p.users {
		sets[int(p.groups[i])*words+int(user>>6)] |= 1 << (user & 63)
	}
	for g := range distinct {
		distinct[g] = sets[g*words : (g+1)*words].len()
	}
	return distinct
}

// byGroup is the users in the order of their groups, and within one as they
// came; those of group g stand from starts[g] to starts[g+1].
func (p *pairs) byGroup() (sorted []uint32, starts []int) {
	starts = make([]int, len(p.rows)+1)
	for _, g := range p.groups {
		starts[g]++
	}
	end := 0
	for g := range starts {
		end += starts[g]
		starts[g] = end
	}
	sorted = make([]uint32, len(p.users))
	for i, g := range slices.Backward(p.groups) {
		starts[g]--
		sorted[starts[g]] = p.users[i]
	}
	return sorted, starts
}

// percent is part of whole in percent, to one decimal.
func percent(part, whole int) float64 {
	if whole == 0 {
		return 0
	}
	return math.Round(1000*float64(part)/float64(whole)) / 10
}

// bySession is something for each session. Numbers of sessions of a few days
// are close together, so that room for those between is not too much.
type bySession[T any] struct {
	base     uint32 // the number of the first one
	sessions []T    // by number, less base
}

// makeRoom makes room for the sessions of the rows of a day.
func (s *bySession[T]) makeRoom(numbers []uint32) {
	least, most := slices.Min(numbers), slices.Max(numbers)
	if len(s.sessions) == 0 {
		s.base = least
	}
	if least < s.base {
		s.sessions = slices.Concat(make([]T, s.base-least), s.sessions)
		s.base = least
	}
	if more := int(most-s.base) + 1 - len(s.sessions); more > 0 {
		if len(s.sessions)+more > cap(s.sessions) {
			s.sessions = slices.Grow(s.sessions, max(8*more, len(s.sessions))) // the next days need as much each
		}
		s.sessions = s.sessions[:len(s.sessions)+more]
	}
}
