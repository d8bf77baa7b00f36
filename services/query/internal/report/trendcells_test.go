package report

import (
	"math"
	"testing"
)

func TestSumsHave15Digits(t *testing.T) {
	a, b := 0.1, 0.2
	for v, want := range map[float64]float64{
		a + b: 0.3, 0: 0, 1e300: 1e300, -1e300: -1e300, 1e-300: 1e-300, 123456789012345678: 123456789012346000,
		math.MaxFloat64: math.MaxFloat64, math.SmallestNonzeroFloat64: math.SmallestNonzeroFloat64, math.Inf(1): math.Inf(1),
	} {
		if got := digits15(v); got != want {
			t.Errorf("%v: got %v, want %v", v, got, want)
		}
	}
}
