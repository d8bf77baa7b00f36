package receive

import (
	"testing"
	"time"

	"github.com/maidian/maidian/pkg/bus"
)

func TestWhoIsBehindWorksInLargerPieces(t *testing.T) {
	limits := bus.Limits{Prefetch: 100, Messages: 50, Bytes: 2500, Wait: time.Hour}
	for waiting, want := range map[int]int{0: 0, 1: 0, 2: 0, 3: 3, 5: 5, 8: 8, 9: 8, 60: 8} {
		l := Loop[int]{Limits: limits}
		for i := range waiting {
			l.waiting = append(l.waiting, item[int]{raw: i, size: 1000, at: time.Now()})
		}
		if got := l.group(); got != want {
			t.Errorf("%d messages of 1000 bytes wait: a group of %d, want %d", waiting, got, want)
		}
	}
}
