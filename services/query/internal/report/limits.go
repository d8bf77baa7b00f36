package report

import (
	"context"
	"slices"
	"sync/atomic"

	"github.com/maidian/maidian/pkg/fault"
)

// Limits bound what one query may keep in memory at a time. Past them it ends
// with an error that names the limit and what would be right. They are far above
// what a screen can show, and together stay below a few hundred megabytes.
type Limits struct {
	Cells  int // numbers of a table in the making: series, cohorts, buckets, groups
	Sets   int // bytes of sets of users and sessions
	Values int // numbers kept for percentiles
	Groups int // totals by value of a breakdown
	Edges  int // steps of paths
	Points int // squares of heatmaps and sessions that scrolled
	Pairs  int // products of users, and pairs of products
	Rows   int // events of one user
}

// DefaultLimits are those that hold where nothing else is said.
func DefaultLimits() Limits {
	return Limits{
		Cells: 2_000_000, Sets: 512 << 20, Values: 20_000_000, Groups: 250_000,
		Edges: 1_000_000, Points: 2_000_000, Pairs: 20_000_000, Rows: 5_000_000,
	}
}

// exceeded is the error past a limit.
func exceeded(code, format string, args ...any) error {
	return fault.New(fault.Exceeded, code, format, args...)
}

// budget is what the workers of a query may keep together.
type budget struct {
	left atomic.Int64
	over func()
}

// budget ends the context that it returns with an error as soon as more than n
// is spent; done must be called when the work is over.
func withBudget(ctx context.Context, n int, past error) (limited context.Context, b *budget, done func()) {
	limited, cancel := context.WithCancelCause(ctx)
	b = &budget{over: func() { cancel(past) }}
	b.left.Store(int64(n))
	return limited, b, func() { cancel(nil) }
}

// spend takes n away.
func (b *budget) spend(n int) {
	if n > 0 && b.left.Add(-int64(n)) < 0 {
		b.over()
	}
}

// spent says that nothing is left, so that whoever is in the middle of
// something keeps no more.
func (b *budget) spent() bool { return b.left.Load() < 0 }

// least are the n least of what is added, kept in little more memory than that.
type least[T any] struct {
	n       int
	compare func(a, b T) int
	list    []T
}

func (l *least[T]) add(v T) {
	l.list = append(l.list, v)
	if len(l.list) >= 2*l.n+1000 {
		l.cut()
	}
}

func (l *least[T]) cut() {
	slices.SortFunc(l.list, l.compare)
	l.list = l.list[:min(len(l.list), l.n)]
}

// leastOf are the n least of several lists, sorted.
func leastOf[T any](parts []least[T]) []T {
	if len(parts) == 0 {
		return nil
	}
	all := least[T]{n: parts[0].n, compare: parts[0].compare}
	for i := range parts {
		for _, v := range parts[i].list {
			all.add(v)
		}
	}
	all.cut()
	return all.list
}
