package columns

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// resident is what takes memory and may leave it: a column of a day, whatever
// editions the day goes through, or a piece of a quiet day.
type resident struct {
	leave func()
	bytes int64 // as counted in the cache
	used  atomic.Int64
}

func (r *resident) touch() { r.used.Store(time.Now().UnixNano()) }

// cache keeps what may leave memory, of all projects, within a number of bytes.
type cache struct {
	budget  int64
	metrics *metrics

	total     atomic.Int64 // of the residents, and of the dictionaries in use
	mu        sync.Mutex
	residents map[*resident]struct{}
}

// count sets what a resident takes. Zero takes it out.
func (c *cache) count(r *resident, bytes int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.residents == nil {
		c.residents = make(map[*resident]struct{})
	}
	c.total.Add(bytes - r.bytes)
	r.bytes = bytes
	if bytes > 0 {
		c.residents[r] = struct{}{}
	} else {
		delete(c.residents, r)
	}
	c.metrics.columnBytes.Set(float64(c.total.Load()))
}

// shrink lets the least recently used residents go until a tenth of the budget
// is free, if it is spent. The caller holds no table.
func (c *cache) shrink() {
	if c.total.Load() <= c.budget {
		return
	}
	for _, r := range c.leastUsedFirst() {
		if c.total.Load() <= c.budget/10*9 {
			break
		}
		r.leave()
	}
}

func (c *cache) leastUsedFirst() []*resident {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make([]aged, 0, len(c.residents))
	for r := range c.residents {
		all = append(all, aged{r, r.used.Load()}) // once: it may change while we sort
	}
	slices.SortFunc(all, func(a, b aged) int { return cmp.Compare(a.used, b.used) })
	residents := make([]*resident, len(all))
	for i := range all {
		residents[i] = all[i].resident
	}
	return residents
}

type aged struct {
	resident *resident
	used     int64
}
