package columns

import "math/bits"

// keyed is a row with what it is sorted by.
type keyed struct {
	key uint64
	row uint32
}

const digit = 11 // bits sorted by in one pass

// sortKeyed sorts by key and keeps the order of equal keys: a radix sort,
// because millions of rows are put in order while somebody waits.
func sortKeyed(items []keyed) []keyed {
	if len(items) < 2 {
		return items
	}
	var used uint64
	for i := range items {
		used |= items[i].key
	}
	spare := make([]keyed, len(items))
	for shift := 0; shift < bits.Len64(used); shift += digit {
		if sortDigit(items, spare, shift) {
			items, spare = spare, items
		}
	}
	return items
}

// sortDigit moves items into sorted in the order of one digit of their keys,
// unless all have the same.
func sortDigit(items, sorted []keyed, shift int) bool {
	const mask = 1<<digit - 1
	var places [1 << digit]uint32
	for i := range items {
		places[items[i].key>>shift&mask]++
	}
	if places[items[0].key>>shift&mask] == uint32(len(items)) {
		return false
	}
	sum := uint32(0)
	for i, n := range places {
		places[i] = sum
		sum += n
	}
	for i := range items {
		place := &places[items[i].key>>shift&mask]
		sorted[*place] = items[i]
		*place++
	}
	return true
}

// userTime is the key by which rows of a type stand: user, then time of day.
func userTime(user, time uint32) uint64 { return uint64(user)<<timeBits | uint64(time) }

const timeBits = 27 // of the milliseconds of a day
