package columns

import (
	"math"
	"slices"
	"testing"
)

func TestNarrowCodesAreTheNumbers(t *testing.T) {
	tests := map[string]struct {
		numbers []uint32
		bytes   int64 // a row
	}{
		"none":                        {nil, 0},
		"one byte":                    {[]uint32{0, 7, 255}, 1},
		"one byte more":               {[]uint32{0, 7, 256}, 2},
		"close together, far away":    {[]uint32{math.MaxUint32 - 255, math.MaxUint32}, 1},
		"two bytes, far away":         {[]uint32{1 << 30, 1<<30 + 65535}, 2},
		"two bytes more":              {[]uint32{1 << 30, 1<<30 + 65536}, 4},
		"all of them":                 {[]uint32{0, math.MaxUint32}, 4},
		"small ones keep their codes": {[]uint32{3, 5}, 1},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := narrowed(test.numbers)
			if c.Len() != len(test.numbers) || c.bytes() != test.bytes*int64(len(test.numbers)) {
				t.Errorf("%d rows in %d bytes, want %d in %d a row", c.Len(), c.bytes(), len(test.numbers), test.bytes)
			}
			for lo := range test.numbers {
				if got := c.At(lo); got != test.numbers[lo] {
					t.Errorf("row %d: got %d, want %d", lo, got, test.numbers[lo])
				}
				if got := c.Unpack([]uint32{9}, lo, c.Len()); !slices.Equal(got, append([]uint32{9}, test.numbers[lo:]...)) {
					t.Errorf("unpacked from row %d: got %v, want %v", lo, got, test.numbers[lo:])
				}
			}
			if base, one, _, _ := c.Narrow(); one != nil && test.numbers[0] < 256 && base != 0 {
				t.Errorf("codes below 256 begin at %d, want 0: loops look them up as they are", base)
			}
		})
	}
}
