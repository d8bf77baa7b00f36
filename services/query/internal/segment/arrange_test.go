package segment

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestRowsAreArrangedByUser(t *testing.T) {
	for seed := range uint64(40) {
		b, g := someDay(seed, 500).base, rand.New(rand.NewPCG(seed, 2))
		users := make([]uint32, b.Identities.Len())
		for i := range users {
			users[i] = uint32(g.IntN(2 * len(users)))
		}
		var want []uint32
		tied := false
		for kind := range b.Types {
			lo, hi := b.Rows(kind)
			for row := lo; row < hi; row++ {
				want = append(want, uint32(row))
			}
			slices.SortStableFunc(want[lo:hi], func(x, y uint32) int {
				order := cmp.Or(cmp.Compare(users[b.Identity[x]], users[b.Identity[y]]), cmp.Compare(b.Times[x], b.Times[y]))
				tied = tied || order == 0 && b.Identity[x] != b.Identity[y]
				return order
			})
		}
		rows, told := b.Arrange(users)
		if !slices.Equal(rows, want) || tied && !told {
			t.Fatalf("seed %d: got %v, tied %v; want %v, tied %v", seed, rows, told, want, tied)
		}
	}
}
