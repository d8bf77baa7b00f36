package columns

import "slices"

// Codes are numbers by row, in as few bytes as the largest needs. The zero
// value has no rows.
type Codes struct {
	base uint32 // added to those of one and two bytes
	one  []uint8
	two  []uint16
	four []uint32
}

// CodesOf are these numbers as they are.
func CodesOf(numbers []uint32) Codes { return Codes{four: numbers} }

// At is the number of a row.
func (c *Codes) At(row int) uint32 {
	switch {
	case c.one != nil:
		return c.base + uint32(c.one[row])
	case c.two != nil:
		return c.base + uint32(c.two[row])
	}
	return c.four[row]
}

// Len is the number of rows.
func (c *Codes) Len() int { return len(c.one) + len(c.two) + len(c.four) }

// Unpack appends the numbers of the rows [lo, hi) to dst.
func (c *Codes) Unpack(dst []uint32, lo, hi int) []uint32 {
	switch {
	case c.one != nil:
		return widen(dst, c.base, c.one[lo:hi])
	case c.two != nil:
		return widen(dst, c.base, c.two[lo:hi])
	}
	return append(dst, c.four[lo:hi]...)
}

// Narrow are the numbers as they are kept: one of the slices has all rows, the
// others are nil, and base must be added to those of one and two bytes. Loops
// over many rows choose once by it.
func (c *Codes) Narrow() (base uint32, one []uint8, two []uint16, four []uint32) {
	return c.base, c.one, c.two, c.four
}

func widen[T uint8 | uint16](dst []uint32, base uint32, numbers []T) []uint32 {
	dst = slices.Grow(dst, len(numbers))
	for _, n := range numbers {
		dst = append(dst, base+uint32(n))
	}
	return dst
}

// narrowed are the same numbers in as few bytes as they need.
func narrowed(numbers []uint32) Codes {
	if len(numbers) == 0 {
		return Codes{}
	}
	least, most := slices.Min(numbers), slices.Max(numbers)
	if most <= 0xffff && (most > 0xff) == (most-least > 0xff) {
		least = 0
	}
	switch span := most - least; {
	case span <= 0xff:
		return Codes{base: least, one: shorten[uint8](numbers, least)}
	case span <= 0xffff:
		return Codes{base: least, two: shorten[uint16](numbers, least)}
	}
	return Codes{four: numbers}
}

func shorten[T uint8 | uint16](numbers []uint32, base uint32) []T {
	short := make([]T, len(numbers))
	for i, n := range numbers {
		short[i] = T(n - base)
	}
	return short
}

// bytes is what the numbers occupy.
func (c *Codes) bytes() int64 {
	return int64(len(c.one)) + 2*int64(len(c.two)) + 4*int64(len(c.four))
}
