package receive

import (
	"testing"
	"time"

	"github.com/maidian/maidian/pkg/bus"
)

func TestWhoIsBehindWorksInLargerPieces(t *testing.T) {
	for prefetch, groups := range map[int]map[int]int{
		100: {0: 0, 1: 0, 2: 0, 3: 3, 5: 5, 8: 8, 9: 8, 60: 8},
		10:  {2: 0, 3: 3, 5: 5, 6: 5, 9: 5},
		4:   {2: 0, 3: 3, 4: 3},
	} {
		for waiting, want := range groups {
			if got := groupOf(waiting, prefetch); got != want {
				t.Errorf("of %d messages of 1000 bytes, when %d may be held, a group has %d, want %d", waiting, prefetch, got, want)
			}
		}
	}
}

// groupOf is the size of a group when so many messages wait.
func groupOf(waiting, prefetch int) int {
	l := Loop[int]{Limits: bus.Limits{Prefetch: prefetch, Messages: 50, Bytes: 2500, Wait: time.Hour}}
	for i := range waiting {
		l.waiting = append(l.waiting, item[int]{raw: i, size: 1000, at: time.Now()})
	}
	return l.group()
}
