package proc

import "sync"

// Together does n things, so many at the same time, and returns once all are
// done, with the first error: writing to a store takes it little longer for
// many than for one.
func Together(n, atOnce int, do func(i int) error) error {
	var (
		group sync.WaitGroup
		once  sync.Once
		first error
	)
	slots := make(chan struct{}, atOnce)
	for i := range n {
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			if err := do(i); err != nil {
				once.Do(func() { first = err })
			}
		})
	}
	group.Wait()
	return first
}
