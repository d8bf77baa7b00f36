package columns

// bitset is a set of small numbers.
type bitset []uint64

func (s bitset) has(n uint32) bool {
	word := int(n >> 6)
	return word < len(s) && s[word]>>(n&63)&1 != 0
}

func (s *bitset) add(n uint32) {
	for word := int(n >> 6); word >= len(*s); {
		*s = append(*s, 0)
	}
	(*s)[n>>6] |= 1 << (n & 63)
}
