package report

import (
	"context"
	"slices"

	"github.com/maidian/maidian/pkg/ask"
	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/services/query/internal/columns"
)

// kernel finds the chains of the common funnel fast: users, steps in order, no
// optional steps or exclusions, and every step of an event type of its own, so
// that an event serves one step at most. Its chains are the finder's, which
// tests hold it to.
//
// Each partition of users goes through three loops without branches that
// depend on the data. One brings the steps' rows into one sequence, each a
// word: time above user above step. One follows the sequence and keeps, for each
// user and step, the start of the latest chain that has come so far; the
// first one that came to the deepest step wins. One walks the sequence again,
// from the start that won, each step as early as can be.
type kernel struct {
	funnel *funnel
	days   []kernelDay
	bias   uint64 // added to times less origin, so that 0, never, is before any window
	origin event.Time
}

// kernelDay is what a day has for the steps.
type kernelDay struct {
	day    *columns.Day
	order  []uint8 // which step's row comes next, by user, time and step
	tracks []track // by step
	kept   bool    // only some rows count, as tracks' keep says
}

// track is a step's rows of a day.
type track struct {
	run, lo, hi int    // run is -1 where the day has none
	keep        []bool // by row from lo on; nil: all rows
}

// kernel is nil when the funnel is not a common one.
func (f *funnel) kernel() *kernel {
	p := &f.plan
	if f.request.Unit.Kind != UserUnit || p.order != ordered || p.optional != 0 || len(p.exclusions) > 0 || !p.common() || f.touch != nil && !f.touch.once() {
		return nil
	}
	types := map[string]bool{ask.AnyEvent: true}
	for _, s := range f.stepEvents {
		if types[s.event] {
			return nil
		}
		types[s.event] = true
	}
	return &kernel{funnel: f, bias: uint64(p.window) + 1}
}

// Words of the sequence: the step in the lowest bits, the user's place in the
// partition above it, and the time above that. 43 bits of milliseconds are 279 years.
const (
	wordStepBits = 5
	wordUserBits = 16
	wordStep     = 1<<wordStepBits - 1
	wordUser     = 1<<wordUserBits - 1
	wordTime     = wordStepBits + wordUserBits
)

// visitor is called for every user that entered, in several goroutines; worker
// says in which of them, so that results need no lock. Times are those of the
// steps done; they are good until it returns.
type visitor func(worker int, user uint32, times []uint64)

// each calls visit for the users, with as little room for each as the steps need.
func (k *kernel) each(ctx context.Context, visit visitor) error {
	if err := k.open(ctx); err != nil {
		return err
	}
	switch steps := k.funnel.plan.steps; {
	case steps <= 4:
		return eachUser[[8]uint64](ctx, k, visit)
	case steps <= 8:
		return eachUser[[16]uint64](ctx, k, visit)
	}
	return eachUser[[64]uint64](ctx, k, visit)
}

func eachUser[S slots](ctx context.Context, k *kernel, visit visitor) error {
	parts := k.funnel.actors.partitions()
	return parallelWith(ctx, len(parts),
		func(worker int) *kernelWork[S] { return &kernelWork[S]{kernel: k, worker: worker} },
		func(ctx context.Context, w *kernelWork[S], i int) error { return w.run(ctx, parts[i], visit) })
}

// totals adds up every user's chain, and those by value of the breakdown.
func (k *kernel) totals(ctx context.Context) (*stepTotal, map[uint32]*stepTotal, error) {
	var values []uint32
	if k.funnel.touch != nil {
		var err error
		if values, err = k.funnel.touched(ctx); err != nil {
			return nil, nil, err
		}
	}
	ctx, kept, done := k.funnel.request.groups(ctx)
	defer done()
	totals := make([]stepTotal, processors())
	groups := make([]map[uint32]*stepTotal, len(totals))
	for i := range groups {
		groups[i] = map[uint32]*stepTotal{}
	}
	err := k.each(ctx, func(worker int, user uint32, times []uint64) {
		totals[worker].addTimes(times)
		if values != nil {
			totalOf(groups[worker], values[user], kept).addTimes(times)
		}
	})
	if err != nil {
		return nil, nil, err
	}
	return merge(totals), mergeGroups(groups), nil
}

// chains calls visit for every user that entered, with its chain; which hits
// filled the steps is not told.
func (k *kernel) chains(ctx context.Context, visit func(worker int, user uint32, c *chain)) error {
	chains := make([]chain, processors())
	return k.each(ctx, func(worker int, user uint32, times []uint64) {
		c := &chains[worker]
		c.depth, c.done = len(times), 1<<len(times)-1
		for step, at := range times {
			c.at[step] = k.origin + event.Time(at-k.bias)
		}
		visit(worker, user, c)
	})
}

// addTimes adds a chain of steps that are all required.
func (t *stepTotal) addTimes(times []uint64) {
	t.users[0]++
	for step := 1; step < len(times); step++ {
		t.users[step]++
		t.times[step] = append(t.times[step], event.Time(times[step]-times[step-1]))
	}
}

// open makes the days ready, all at once.
func (k *kernel) open(ctx context.Context) error {
	source := k.funnel.source
	k.days = make([]kernelDay, len(source.days))
	if len(k.days) > 0 {
		k.origin = source.days[0].Start()
	}
	types := make([]string, len(k.funnel.stepEvents))
	for i, s := range k.funnel.stepEvents {
		types[i] = s.event
	}
	return parallel(ctx, len(k.days), func(_ context.Context, i int) error {
		d := source.days[i]
		k.days[i] = kernelDay{day: d, order: d.Interleaved(types), tracks: make([]track, len(types))}
		for step := range types {
			k.days[i].open(k.funnel, i, step)
		}
		if k.days[i].kept {
			k.days[i].keepAll()
		}
		return nil
	})
}

func (d *kernelDay) open(f *funnel, dayIndex, step int) {
	run, ok := d.day.RunOf(f.stepEvents[step].event)
	if !ok {
		d.tracks[step].run = -1
		return
	}
	r := d.day.Runs()[run]
	d.tracks[step] = track{run: run, lo: r.Lo, hi: r.Hi, keep: f.source.keep(dayIndex, r.Lo, r.Hi, f.stepEvents[step].match)}
	d.kept = d.kept || d.tracks[step].keep != nil
}

// keepAll lets the steps that keep all rows say so row by row.
func (d *kernelDay) keepAll() {
	for step := range d.tracks {
		if t := &d.tracks[step]; t.keep == nil && t.run >= 0 {
			t.keep = trues(t.hi - t.lo)
		}
	}
}

// slots are what is kept of a user. While the sequence is followed, the first
// half holds, by step, the start of the latest chain that has come to it, and
// the second half that of the first one. While it is walked, slot 0 holds the
// start that won, slot n+1 when step n was done, and the last two the next step
// and how many there are.
type slots interface {
	[8]uint64 | [16]uint64 | [64]uint64
}

// kernelWork is what one goroutine uses for one partition after the other.
type kernelWork[S slots] struct {
	kernel *kernel
	worker int
	words  []uint64
	users  []S
}

func (w *kernelWork[S]) run(ctx context.Context, p partition, visit visitor) error {
	w.words = w.words[:0]
	w.users = append(w.users[:0], make([]S, p.hi-p.lo)...)
	for i := range w.kernel.days {
		if err := ctx.Err(); err != nil {
			return err
		}
		from := len(w.words)
		w.gather(&w.kernel.days[i], p)
		if len(w.words) > maxHits {
			return tooManyHits()
		}
		if err := w.chunks(ctx, w.words[from:], w.follow); err != nil {
			return err
		}
	}
	for u := range w.users {
		w.turn(&w.users[u])
	}
	if err := w.chunks(ctx, w.words, w.walk); err != nil {
		return err
	}
	var times [maxSteps]uint64
	for u := range w.users {
		s := &w.users[u]
		if depth := (*s)[len(*s)-1]; depth > 0 {
			for step := range depth {
				times[step] = (*s)[step+1]
			}
			visit(w.worker, p.lo+uint32(u), times[:depth])
		}
	}
	return nil
}

// chunks lets a cancelled query end within a heavy user's events.
func (w *kernelWork[S]) chunks(ctx context.Context, words []uint64, work func(words []uint64)) error {
	const chunk = 1 << 20
	for len(words) > chunk {
		work(words[:chunk])
		if words = words[chunk:]; ctx.Err() != nil {
			return ctx.Err()
		}
	}
	work(words)
	return nil
}

// head is where a step's rows are read next.
type head struct {
	users, times []uint32
	keep         []bool
	next         int
}

// gather appends the words of a day's rows.
func (w *kernelWork[S]) gather(d *kernelDay, p partition) {
	var heads [wordStep + 1]head
	skipped, n := 0, 0
	for step := range d.tracks {
		t := &d.tracks[step]
		if t.run < 0 {
			continue
		}
		lo, hi := d.day.RowsOf(t.run, p.lo, p.hi)
		heads[step] = head{users: d.day.Users()[lo:hi], times: d.day.Times()[lo:hi]}
		if d.kept {
			heads[step].keep = t.keep[lo-t.lo : hi-t.lo]
		}
		skipped, n = skipped+lo-t.lo, n+hi-lo
	}
	at := len(w.words)
	w.words = slices.Grow(w.words, n)[:at+n]
	// The user's place is its number less the partition's first; so is the base, once for all.
	base := (uint64(d.day.Start()-w.kernel.origin)+w.kernel.bias)<<wordTime - uint64(p.lo)<<wordStepBits
	if d.kept {
		n = interleaveKept(w.words[at:], d.order[skipped:skipped+n], &heads, base)
	} else {
		interleave(w.words[at:], d.order[skipped:skipped+n], &heads, base)
	}
	w.words = w.words[:at+n]
}

func interleave(words []uint64, order []uint8, heads *[wordStep + 1]head, base uint64) {
	words = words[:len(order)]
	for i, step := range order {
		h := &heads[step&wordStep]
		row := h.next
		h.next++
		words[i] = base + uint64(h.times[row])<<wordTime + uint64(h.users[row])<<wordStepBits + uint64(step)
	}
}

func interleaveKept(words []uint64, order []uint8, heads *[wordStep + 1]head, base uint64) (n int) {
	for _, step := range order {
		h := &heads[step&wordStep]
		row := h.next
		h.next++
		words[n] = base + uint64(h.times[row])<<wordTime + uint64(h.users[row])<<wordStepBits + uint64(step)
		kept := 0
		if h.keep[row] {
			kept = 1
		}
		n += kept
	}
	return n
}

// follow finds the start of the latest chain, and of the first, that comes to each step.
func (w *kernelWork[S]) follow(words []uint64) {
	window, once := uint64(w.kernel.funnel.plan.window), w.kernel.funnel.plan.first
	users := w.users
	for _, word := range words {
		s := &users[word>>wordStepBits&wordUser]
		step, at := word&wordStep%uint64(len(*s)/2), word>>wordTime
		before, start := (*s)[(step-1)%uint64(len(*s))], (*s)[step]
		if step == 0 {
			before = at
		}
		if once && step == 0 && start != 0 {
			before = start
		}
		if at-before <= window {
			start = before
		}
		(*s)[step] = start
		first := (*s)[step+uint64(len(*s)/2)]
		if first == 0 {
			first = start
		}
		(*s)[step+uint64(len(*s)/2)] = first
	}
}

// turn makes the slots ready for walking.
func (w *kernelWork[S]) turn(s *S) {
	depth, start := 0, uint64(0)
	for depth < len(*s)/2 && (*s)[depth+len(*s)/2] != 0 {
		start = (*s)[depth+len(*s)/2]
		depth++
	}
	(*s)[0], (*s)[len(*s)-2], (*s)[len(*s)-1] = start, 0, uint64(depth)
}

// walk notes when each step was done: the first time at or after the step before.
func (w *kernelWork[S]) walk(words []uint64) {
	users := w.users
	for _, word := range words {
		s := &users[word>>wordStepBits&wordUser]
		step, at := word&wordStep%uint64(len(*s)/2), word>>wordTime
		next, depth, before, done := (*s)[len(*s)-2], (*s)[len(*s)-1], (*s)[step], (*s)[step+1]
		hit := uint64(0)
		if step == next {
			hit = 1
		}
		if step >= depth {
			hit = 0
		}
		if at < before {
			hit = 0
		}
		if hit != 0 {
			done = at
		}
		(*s)[step+1], (*s)[len(*s)-2] = done, next+hit
	}
}

// touched are the values that users belong to, by user, when each belongs to one.
func (f *funnel) touched(ctx context.Context) ([]uint32, error) {
	n := f.actors.count
	t := &toucher{funnel: f, values: make([]uint32, n), at: make([]event.Time, n), later: f.touch.breakdown.Attribution == "last_touch"}
	parts := f.actors.partitions()
	return t.values, parallelWith(ctx, len(parts), func(int) *[]uint32 { return new([]uint32) }, func(ctx context.Context, codes *[]uint32, i int) error {
		for day := range f.source.days {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			t.day(day, parts[i], codes)
		}
		return nil
	})
}

// toucher notes the value of each user's first, or last, event that has one.
type toucher struct {
	funnel *funnel
	later  bool // the last
	values []uint32
	at     []event.Time // when the value was touched
}

func (t *toucher) day(dayIndex int, p partition, codes *[]uint32) {
	f := t.funnel
	d := f.source.days[dayIndex]
	for _, s := range f.stepEvents {
		run, ok := d.RunOf(s.event)
		if !ok {
			continue
		}
		lo, hi := d.RowsOf(run, p.lo, p.hi)
		keep := f.source.keep(dayIndex, lo, hi, s.match)
		*codes = f.touch.columns[dayIndex].Codes.Unpack((*codes)[:0], lo, hi)
		users, times := d.Users()[lo:hi], d.Times()[lo:hi]
		for i, code := range *codes {
			if code != 0 && (keep == nil || keep[i]) {
				t.touch(users[i], d.Start()+event.Time(times[i]), code)
			}
		}
	}
}

func (t *toucher) touch(user uint32, at event.Time, code uint32) {
	if value := t.values[user]; value != 0 {
		switch before := t.at[user]; {
		case at == before:
			if places := t.funnel.touch.places; places[value] <= places[code] {
				return
			}
		case at > before != t.later:
			return
		}
	}
	t.values[user], t.at[user] = code, at
}
