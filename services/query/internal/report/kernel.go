package report

import (
	"context"
	"slices"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/services/query/internal/columns"
)

// kernel answers the common funnel fast: users, steps in order, any entry, no
// optional steps or exclusions, and every step of an event type of its own, so
// that an event serves one step at most. Its answers equal the finder's, which
// tests hold it to.
//
// It packs each step's events into one word, time above step, so that sorting a
// user's few words puts ties into the order of the steps. One pass then keeps,
// for each step, the start of the latest chain that has come so far; and the
// times come from a second, greedy walk from the start that won.
type kernel struct {
	funnel *funnel
	types  map[string]int // event type → step
}

// kernel is nil when the funnel is not a common one.
func (f *funnel) kernel() *kernel {
	p := &f.plan
	if f.touch != nil || f.request.Unit.Kind != UserUnit || p.order != ordered || p.first || p.optional != 0 || len(p.exclusions) > 0 || !p.common() {
		return nil
	}
	k := &kernel{f, map[string]int{}}
	for i, s := range f.stepEvents {
		if _, taken := k.types[s.event]; taken || s.event == AnyEvent {
			return nil
		}
		k.types[s.event] = i
	}
	return k
}

const stepBits = 5

func (k *kernel) run(ctx context.Context) (*stepTotal, error) {
	parts := k.funnel.actors.partitions()
	totals := make([]stepTotal, len(parts))
	err := eachPartition(ctx, parts, func(ctx context.Context, i int, p partition) error {
		w := kernelWork{kernel: k, partition: p, ends: make([]int32, p.hi-p.lo+1)}
		return w.run(ctx, &totals[i])
	})
	return merge(totals), err
}

// kernelWork is one partition's part.
type kernelWork struct {
	kernel *kernel
	partition
	ends  []int32  // by user: where its words end
	words []uint64 // by user, time above step
}

// stretch is a part of a run that holds one step's events.
type stretch struct {
	day, lo, hi, step int
	first, last       uint32 // of the times that lie in the range
	whole             bool
	marks             []bool // nil: all rows
}

func (w *kernelWork) run(ctx context.Context, total *stepTotal) error {
	stretches, err := w.stretches(ctx)
	if err != nil {
		return err
	}
	for i := range stretches {
		w.count(&stretches[i])
	}
	if w.start() > maxHits {
		return tooManyHits()
	}
	for i := range stretches {
		w.place(&stretches[i])
	}
	return w.users(ctx, total)
}

func (w *kernelWork) stretches(ctx context.Context) ([]stretch, error) {
	var found []stretch
	f := w.kernel.funnel
	for i, d := range f.source.days {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		for _, run := range d.Runs() {
			step, ok := w.kernel.types[run.Type]
			if !ok {
				continue
			}
			lo, hi := f.actors.stretch(i, run, w.lo, w.hi)
			if lo < hi {
				found = append(found, w.stretch(d, i, lo, hi, step))
			}
		}
	}
	return found, nil
}

func (w *kernelWork) stretch(d *columns.Day, dayIndex, lo, hi, step int) stretch {
	s := stretch{day: dayIndex, lo: lo, hi: hi, step: step}
	f := w.kernel.funnel
	s.first, s.last, s.whole = f.source.inRange(d)
	match := f.stepEvents[step].match
	if match == nil && s.whole {
		return s
	}
	s.marks = trues(hi - lo)
	match.and(dayIndex, lo, s.marks)
	if !s.whole {
		for i, t := range d.Times()[lo:hi] {
			s.marks[i] = s.marks[i] && s.first <= t && t <= s.last
		}
	}
	return s
}

func (w *kernelWork) count(s *stretch) {
	users := w.kernel.funnel.source.days[s.day].Users()[s.lo:s.hi]
	ends := w.ends
	if s.marks == nil {
		for _, u := range users {
			ends[u-w.lo]++
		}
		return
	}
	for i, u := range users {
		if s.marks[i] {
			ends[u-w.lo]++
		}
	}
}

// start turns counts into places, and makes room.
func (w *kernelWork) start() int {
	sum := int32(0)
	for i, n := range w.ends {
		w.ends[i] = sum
		sum += n
	}
	if sum <= maxHits {
		w.words = make([]uint64, sum)
	}
	return int(sum)
}

func (w *kernelWork) place(s *stretch) {
	d := w.kernel.funnel.source.days[s.day]
	users, times := d.Users()[s.lo:s.hi], d.Times()[s.lo:s.hi]
	base := uint64(d.Start()-w.origin())<<stepBits | uint64(s.step)
	for i, u := range users {
		if s.marks != nil && !s.marks[i] {
			continue
		}
		place := &w.ends[u-w.lo]
		w.words[*place] = base + uint64(times[i])<<stepBits
		*place++
	}
}

// origin is before all times of the query, so that none is negative.
func (w *kernelWork) origin() event.Time { return w.kernel.funnel.source.days[0].Start() }

func (w *kernelWork) users(ctx context.Context, total *stepTotal) error {
	from := int32(0)
	for u, to := range w.ends[:w.hi-w.lo] {
		if u%4096 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if words := w.words[from:to]; len(words) > 0 {
			sortWords(words)
			w.user(words, total)
		}
		from = to
	}
	return nil
}

// sortWords sorts by insertion where that is quickest: a user's few words come
// nearly in order, day after day.
func sortWords(words []uint64) {
	if len(words) > 64 {
		slices.Sort(words)
		return
	}
	for i := 1; i < len(words); i++ {
		x := words[i]
		k := i
		for ; k > 0 && words[k-1] > x; k-- {
			words[k] = words[k-1]
		}
		words[k] = x
	}
}

// user follows one user's events. starts[n] is one more than the start of the
// latest chain that has come to step n-1, 0 for none; starts[0] is the event itself.
func (w *kernelWork) user(words []uint64, total *stepTotal) {
	var starts, won [maxSteps + 1]uint64
	window := uint64(w.kernel.funnel.plan.window)
	for _, word := range words {
		step, at := word&(1<<stepBits-1), word>>stepBits+1
		starts[0] = at
		start := starts[step]
		if start != 0 && at-start <= window {
			starts[step+1] = start
			if won[step+1] == 0 {
				won[step+1] = start
			}
		}
	}
	depth := 0
	for depth < maxSteps && won[depth+1] != 0 {
		depth++
	}
	if depth > 0 {
		w.walk(words, won[depth]-1, depth, total)
	}
}

// walk counts the chain that begins at start, each step as early as can be.
func (w *kernelWork) walk(words []uint64, start uint64, depth int, total *stepTotal) {
	step, before := 0, event.Time(start)
	for _, word := range words {
		if word < start<<stepBits || int(word&(1<<stepBits-1)) != step {
			continue
		}
		at := event.Time(word >> stepBits)
		total.users[step]++
		if step > 0 {
			total.times[step] = append(total.times[step], at-before)
		}
		before = at
		if step++; step == depth {
			return
		}
	}
}
