package segment

import "slices"

// Arrange is the rows by type, user and time, given each identity's user. Rows
// of one user that have the same type and time stand in canonical order, which
// is the right one unless they are of several identities: tied says that there
// may be such rows, whose batches and positions must decide.
//
// It takes a few nanoseconds a row where sorting the rows would take many: they
// stand identity by identity already, so only the identities are sorted.
func (b *Base) Arrange(users []uint32) (rows []uint32, tied bool) {
	v, next := b.byIdentity(), b.starts()
	rows = make([]uint32, len(v.rows))
	order := make([]uint64, len(users)) // user, identity
	for identity, user := range users {
		order[identity] = uint64(user)<<32 | uint64(identity)
	}
	slices.Sort(order)
	for len(order) > 0 {
		n := 1 // identities of one user
		for n < len(order) && order[n]>>32 == order[0]>>32 {
			n++
		}
		if n > 1 {
			tied = b.merge(rows, next, order[:n]) || tied
			order = order[n:]
			continue
		}
		from, to := v.of(uint32(order[0]))
		for i := from; i < to; i++ {
			at := &next[v.kinds.at(int(i))]
			rows[*at] = v.rows[i]
			*at++
		}
		order = order[1:]
	}
	return rows, tied
}

// merge appends the visits of several identities in the order of time, and says whether any of two are at once.
func (b *Base) merge(rows, next []uint32, identities []uint64) (tied bool) {
	v := &b.visits
	var keys []uint64 // time, visit
	for _, identity := range identities {
		from, to := v.of(uint32(identity))
		for i := from; i < to; i++ {
			keys = append(keys, uint64(b.Times[v.rows[i]])<<32|uint64(i))
		}
	}
	slices.Sort(keys)
	for i, key := range keys {
		row, at := v.rows[uint32(key)], &next[v.kinds.at(int(uint32(key)))]
		tied = tied || i > 0 && key>>32 == keys[i-1]>>32 && b.Identity[row] != b.Identity[v.rows[uint32(keys[i-1])]]
		rows[*at] = row
		*at++
	}
	return tied
}
