package rule

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"
)

func encode(raw []byte) []byte { return base64.StdEncoding.AppendEncode(nil, raw) }

func decode(text []byte) ([]byte, error) { return base64.StdEncoding.AppendDecode(nil, text) }

// words are what eight-byte numbers are kept as.
func words(n int, word func(i int) uint64) []byte {
	raw := make([]byte, 0, 8*n)
	for i := range n {
		raw = binary.LittleEndian.AppendUint64(raw, word(i))
	}
	return encode(raw)
}

func eachWord(text []byte, yield func(word uint64)) error {
	raw, err := decode(text)
	if err != nil || len(raw)%8 != 0 {
		return fmt.Errorf("%d bytes of numbers, must be a multiple of 8 in base64", len(raw))
	}
	for word := range slices.Chunk(raw, 8) {
		yield(binary.LittleEndian.Uint64(word))
	}
	return nil
}

// ring remembers the values of windows, each in a place that follows from the
// window's end. What was never there is not a number.
type ring []float64

func newRing(n int) ring {
	r := make(ring, n)
	for i := range r {
		r[i] = math.NaN()
	}
	return r
}

// replace puts a value in and gives the one that was there.
func (r ring) replace(at int, value float64) (before float64) {
	before, r[at] = r[at], value
	return before
}

// MarshalText is for keeping it: JSON has no word for what is not a number.
func (r ring) MarshalText() ([]byte, error) {
	return words(len(r), func(i int) uint64 { return math.Float64bits(r[i]) }), nil
}

// UnmarshalText reads what MarshalText wrote.
func (r *ring) UnmarshalText(text []byte) error {
	*r = nil
	return eachWord(text, func(word uint64) { *r = append(*r, math.Float64frombits(word)) })
}

// hashes are the values that were seen.
type hashes map[uint64]struct{}

// MarshalText is for keeping them.
func (h hashes) MarshalText() ([]byte, error) {
	sorted := slices.Sorted(maps.Keys(h))
	return words(len(sorted), func(i int) uint64 { return sorted[i] }), nil
}

// UnmarshalText reads what MarshalText wrote.
func (h *hashes) UnmarshalText(text []byte) error {
	*h = hashes{}
	return eachWord(text, func(word uint64) { (*h)[word] = struct{}{} })
}
