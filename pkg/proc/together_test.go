package proc

import (
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestTogetherDoesSomeAtTheSameTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var done, under, most atomic.Int32
		wrong, began := errors.New("wrong"), time.Now()
		err := Together(10, 4, func(i int) error {
			if n := under.Add(1); n > most.Load() {
				most.Store(n)
			}
			time.Sleep(time.Second)
			under.Add(-1)
			done.Add(1)
			if i == 3 {
				return wrong
			}
			return nil
		})
		if took := time.Since(began); !errors.Is(err, wrong) || done.Load() != 10 || most.Load() != 4 || took != 3*time.Second {
			t.Errorf("%d of 10 done, at most %d at a time, in %s, with %v; want all, 4, 3s and %v", done.Load(), most.Load(), took, err, wrong)
		}
	})
}
