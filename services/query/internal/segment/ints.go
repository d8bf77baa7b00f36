package segment

import (
	"encoding/binary"
	"math/bits"
	"slices"
)

// Integers are written as a symbol each, which is Huffman-coded, and the bits
// that the symbol leaves open, which are packed. A symbol tells the number's
// magnitude and its next few bits: how many is chosen for each list, so small
// numbers are symbols themselves, and evenly spread ones cost no more than
// their bits. Times between events, ranks of values and distances of sorted
// names come within some hundredths of a bit of their entropy.
//
// Numbers have at most 56 bits: with the offset of its first one, what is open
// of a number then fits into a 64-bit word.
type integer interface{ ~uint16 | ~uint32 | ~uint64 }

// symbolOf is v's symbol when m bits below the leading one are in it, and how many bits it leaves open.
func symbolOf(v uint64, m uint) (symbol uint64, open uint) {
	if v < 1<<m {
		return v, 0
	}
	open = uint(bits.Len64(v)) - 1 - m
	return uint64(open)<<m + v>>open, open
}

// writeInts writes a list whose length is known from elsewhere.
func writeInts[T integer](w *writer, values []T) {
	if len(values) == 0 {
		return
	}
	w.b = append(w.b, encodeInts(w, values)...)
}

// encodeInts puts as many bits of a number into its symbol as is best for the first of the list.
func encodeInts[T integer](w *writer, values []T) []byte {
	most := uint64(slices.Max(values))
	sample := values[:min(len(values), huffBlock/4)]
	m, least := uint(0), -1
	for try := range uint(8) {
		if last, _ := symbolOf(most, try); last > 255 {
			break
		}
		symbols, open := split(sample, try)
		if size := len(w.shortest(symbols, false)) + len(open); least < 0 || size < least {
			m, least = try, size
		}
		if most < 2<<try { // all are symbols already
			break
		}
	}
	symbols, open := split(values, m)
	b := binary.AppendUvarint([]byte{byte(m)}, most)
	b = append(b, w.shortest(symbols, true)...)
	return append(b, open...)
}

// split is the numbers' symbols and the open bits behind each other.
func split[T integer](values []T, m uint) (symbols, open []byte) {
	symbols = make([]byte, len(values))
	var word uint64
	var filled uint
	for i, v := range values {
		symbol, n := symbolOf(uint64(v), m)
		symbols[i] = byte(symbol)
		word |= (uint64(v) & (1<<n - 1)) << filled
		for filled += n; filled >= 8; filled -= 8 {
			open = append(open, byte(word))
			word >>= 8
		}
	}
	if filled > 0 {
		open = append(open, byte(word))
	}
	if open != nil { // so that each number can be read in one word
		open = append(open, make([]byte, 8)...)
	}
	return symbols, open
}

// ints is a list of numbers that was checked and can be read.
type ints struct {
	most    uint64 // of what is promised; a damaged list may have numbers up to twice that
	symbols []byte
	low     [256]uint64 // by symbol: its least number
	open    [256]uint8  // by symbol: how many bits follow
	words   []byte      // nil if none follow any
}

// ints begins to read n numbers, of which none should be above most.
func (r *reader) ints(n int, most uint64) *ints {
	list := &ints{}
	if n == 0 || r.err != nil {
		return list
	}
	m := uint(r.byte())
	list.most = r.uvarint(most)
	last, _ := symbolOf(list.most, min(m, 8))
	if m > 7 || last > 255 {
		r.fail("numbers up to %d with %d bits in their symbols before byte %d", most, m, r.at)
		return list
	}
	for s := range last + 1 {
		list.low[s] = s
		if s >= 2<<m {
			list.open[s] = uint8(s>>m - 1)
			list.low[s] = (s - uint64(list.open[s])<<m) << list.open[s]
		}
	}
	list.symbols = r.stream(n)
	counts := countBytes(list.symbols)
	if most := highest(counts); most > int(last) {
		r.fail("symbol %d where %d is the last before byte %d", most, last, r.at)
	}
	total := 0
	for s, n := range counts {
		total += n * int(list.open[s])
	}
	if total > 0 {
		list.words = r.bytes((total+7)/8 + 8)
	}
	return list
}

// readInts reads n numbers, of which none may be above most.
func readInts[T integer](r *reader, n int, most uint64) []T {
	list := r.ints(n, most)
	if n == 0 || r.err != nil {
		return nil
	}
	out := make([]T, n)
	if list.words == nil {
		for i, s := range list.symbols {
			out[i] = T(list.low[s])
		}
		return out
	}
	at, over := uint(0), uint64(0)
	for i, s := range list.symbols {
		open := uint(list.open[s]) & 63
		v := list.low[s] + binary.LittleEndian.Uint64(list.words[at>>3:])>>(at&7)&(1<<open-1)
		at += open
		over |= list.most - v // its sign
		out[i] = T(v)
	}
	if over>>63 != 0 {
		r.fail("a number above %d before byte %d", list.most, r.at)
	}
	return out
}

// countBytes is how often each byte is there.
func countBytes(b []byte) *[256]int {
	var apart [4][256]uint32 // so that equal neighbours need not wait for each other
	for ; len(b) >= 4; b = b[4:] {
		apart[0][b[0]]++
		apart[1][b[1]]++
		apart[2][b[2]]++
		apart[3][b[3]]++
	}
	for _, c := range b {
		apart[0][c]++
	}
	var counts [256]int
	for c := range counts {
		counts[c] = int(apart[0][c]) + int(apart[1][c]) + int(apart[2][c]) + int(apart[3][c])
	}
	return &counts
}

// highest is the largest byte that is there.
func highest(counts *[256]int) int {
	most := 0
	for c, n := range counts {
		if n > 0 {
			most = c
		}
	}
	return most
}

// zigzag makes small numbers of small differences of either sign.
func zigzag(d int64) uint64 { return uint64(d<<1 ^ d>>63) }

func unzigzag(v uint64) int64 { return int64(v>>1) ^ -int64(v&1) }
