package report

import (
	"context"
	"math"
	"runtime"
	"slices"
	"sort"
	"sync"
	"sync/atomic"

	"github.com/maidian/maidian/pkg/ask"
	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/fault"
	"github.com/maidian/maidian/services/query/internal/columns"
)

// source is what one query reads: the days of a stretch of time, and the
// columns that its filters look at, brought into memory once.
type source struct {
	view    *columns.View
	from    event.Time // inclusive
	to      event.Time // inclusive
	days    []*columns.Day
	columns map[string][]*columns.Column // by name, then by index into days

	sessions int // all numbers of sessions are less
}

// open reads what a query needs; a name of a column may stand several times.
func open(ctx context.Context, v *columns.View, from, to event.Time, n columns.Needs) (s *source, err error) {
	s = &source{view: v, from: from, to: to, columns: map[string][]*columns.Column{}}
	bySession := slices.Contains(n.Columns, sessionField)
	n.Sessions = n.Sessions || bySession
	n.Columns = slices.Compact(slices.Sorted(slices.Values(n.Columns)))
	n.Columns = slices.DeleteFunc(n.Columns, func(name string) bool { return name == timestampField || name == sessionField })
	if s.days, err = v.Open(ctx, from, to, n); err != nil {
		return nil, err
	}
	s.sessions = v.SessionCount()
	for _, d := range s.days {
		for _, name := range n.Columns {
			s.columns[name] = append(s.columns[name], d.Column(name))
		}
	}
	if bySession {
		s.columns[sessionField] = s.sessionColumns()
	}
	return s, ctx.Err()
}

// ever is before all events, and leaves room to subtract times from it.
const ever event.Time = math.MinInt64 / 2

// values is the longest of a column's dictionaries: it holds every code of every day.
func (s *source) values(name string) []event.Value {
	var longest []event.Value
	for _, c := range s.columns[name] {
		if len(c.Values) > len(longest) {
			longest = c.Values
		}
	}
	return longest
}

// inRange is the part of a day's rows' times that lies in the source's range;
// whole says that all of them do.
func (s *source) inRange(d *columns.Day) (lo, hi uint32, whole bool) {
	start := d.Start()
	first, last := max(0, s.from-start), min(day-1, s.to-start)
	return uint32(first), uint32(last), first == 0 && last == day-1
}

// timestampField is answered from the rows' times: a dictionary of them would be as long as the day.
const timestampField = "timestamp"

// sessionField is answered from the rows' sessions, so that derived ones, which
// no raw event has, can be asked for by the ids that answers show.
const sessionField = "session_id"

func (s *source) sessionColumns() []*columns.Column {
	codes := make([]uint32, s.sessions) // by session; 0: not met yet
	values := []event.Value{{}}
	found := make([]*columns.Column, len(s.days))
	for i, d := range s.days {
		rows := d.Sessions().Unpack(nil, 0, d.Len())
		for row, session := range rows {
			if codes[session] == 0 {
				codes[session] = uint32(len(values))
				values = append(values, event.TextValue(s.view.SessionName(session)))
			}
			rows[row] = codes[session]
		}
		found[i] = &columns.Column{Codes: columns.CodesOf(rows)}
	}
	for _, c := range found {
		c.Values = values
	}
	return found
}

// matcher decides filters for many rows at once. Each filter was evaluated
// once for every value of its column's dictionary; a row is a look-up by code.
type matcher struct {
	source *source
	nodes  []node // all must hold
}

type node struct {
	and, or []node
	not     *node
	columns []*columns.Column        // by day
	yes     []bool                   // by code
	moment  func(v event.Value) bool // for the timestamp
}

// compile makes a matcher, or nil when there is nothing to check.
func (s *source) compile(fs ask.Filters) *matcher {
	if len(fs) == 0 {
		return nil
	}
	return &matcher{source: s, nodes: s.nodes(fs)}
}

func (s *source) nodes(fs []ask.Filter) []node {
	nodes := make([]node, len(fs))
	for i, f := range fs {
		switch {
		case f.And != nil:
			nodes[i].and = s.nodes(f.And)
		case f.Or != nil:
			nodes[i].or = s.nodes(f.Or)
		case f.Not != nil:
			nodes[i].not = &s.nodes([]ask.Filter{*f.Not})[0]
		case f.Property == timestampField:
			nodes[i].moment = f.Match
		default:
			nodes[i].columns = s.columns[f.Property]
			nodes[i].yes = tabulate(f.Match, s.values(f.Property))
		}
	}
	return nodes
}

func tabulate(match func(v event.Value) bool, values []event.Value) []bool {
	yes := make([]bool, len(values))
	for code, v := range values {
		yes[code] = match(v)
	}
	return yes
}

// and clears the marks of the rows, from row lo of the day on, for which a filter does not hold.
func (m *matcher) and(dayIndex, lo int, marks []bool) {
	if m != nil {
		m.all(m.nodes, dayIndex, lo, marks)
	}
}

func (m *matcher) all(nodes []node, dayIndex, lo int, marks []bool) {
	for i := range nodes {
		m.node(&nodes[i], dayIndex, lo, marks)
	}
}

func (m *matcher) node(n *node, dayIndex, lo int, marks []bool) {
	switch {
	case n.and != nil:
		m.all(n.and, dayIndex, lo, marks)
	case n.or != nil:
		m.any(n.or, dayIndex, lo, marks)
	case n.not != nil:
		held := trues(len(marks))
		m.node(n.not, dayIndex, lo, held)
		for i, h := range held {
			marks[i] = marks[i] && !h
		}
	case n.moment != nil:
		d := m.source.days[dayIndex]
		for i, t := range d.Times()[lo : lo+len(marks)] {
			marks[i] = marks[i] && n.moment(event.Value{Kind: event.Numeric, Number: float64(d.Start() + event.Time(t))})
		}
	default:
		yes, codes := n.yes, &n.columns[dayIndex].Codes
		for i := range marks {
			marks[i] = marks[i] && yes[codes.At(lo+i)]
		}
	}
}

func (m *matcher) any(nodes []node, dayIndex, lo int, marks []bool) {
	anyHeld := make([]bool, len(marks))
	for i := range nodes {
		held := trues(len(marks))
		m.node(&nodes[i], dayIndex, lo, held)
		for j, h := range held {
			anyHeld[j] = anyHeld[j] || h
		}
	}
	for i, h := range anyHeld {
		marks[i] = marks[i] && h
	}
}

func trues(n int) []bool {
	marks := make([]bool, n)
	for i := range marks {
		marks[i] = true
	}
	return marks
}

// keep says of a day's rows from lo to hi whether they are in the range and the
// filters hold; nil: of all of them.
func (s *source) keep(dayIndex, lo, hi int, match *matcher) []bool {
	first, last, whole := s.inRange(s.days[dayIndex])
	if match == nil && whole {
		return nil
	}
	keep := trues(hi - lo)
	match.and(dayIndex, lo, keep)
	if !whole {
		for i, at := range s.days[dayIndex].Times()[lo:hi] {
			keep[i] = keep[i] && first <= at && at <= last
		}
	}
	return keep
}

// selection is a selector made ready: which runs it reads and which of their rows.
type selection struct {
	event string
	match *matcher // nil: every row
}

// selectWhere makes a selector ready, with filters that hold for every event of the query.
func (s *source) selectWhere(sel ask.Selector, common ask.Filters) selection {
	return selection{sel.Event, s.compile(slices.Concat(common, sel.Conditions()))}
}

func (s selection) reads(eventType string) bool {
	return s.event == ask.AnyEvent || s.event == eventType
}

// propertiesOf are the names that the filters of a query and its selectors look at.
func propertiesOf(common ask.Filters, selectors ...ask.Selector) []string {
	var names []string
	add := func(name string) { names = append(names, name) }
	common.Properties(add)
	for _, sel := range selectors {
		sel.Conditions().Properties(add)
	}
	return names
}

// actors numbers those who are counted: users, sessions, or values of a property.
type actors struct {
	unit    Unit
	source  *source
	count   int
	columns []*columns.Column // of a property, by day
	values  []event.Value
}

func (s *source) actors(u Unit) *actors {
	a := &actors{unit: u, source: s}
	switch u.Kind {
	case SessionUnit:
		a.count = s.sessions
	case PropertyUnit:
		a.columns, a.values = s.columns[u.Property], s.values(u.Property)
		a.count = len(a.values)
	default:
		a.count = s.view.UserCount()
	}
	return a
}

// of are the actors of a day's rows, by row; absent says that number 0 is nobody.
func (a *actors) of(dayIndex int) (numbers *columns.Codes, absent bool) {
	switch a.unit.Kind {
	case SessionUnit:
		return a.source.days[dayIndex].Sessions(), false
	case PropertyUnit:
		return &a.columns[dayIndex].Codes, true
	}
	users := columns.CodesOf(a.source.days[dayIndex].Users())
	return &users, false
}

// name is how an actor stands in an answer.
func (a *actors) name(n uint32) string {
	switch a.unit.Kind {
	case SessionUnit:
		return a.source.view.SessionName(n)
	case PropertyUnit:
		return a.values[n].String()
	}
	return a.source.view.UserName(n)
}

// number finds an actor by its name.
func (a *actors) number(name string) (uint32, bool) {
	switch a.unit.Kind {
	case UserUnit:
		return a.source.view.UserNumber(name)
	case PropertyUnit:
		n := slices.IndexFunc(a.values, func(v event.Value) bool { return v.Kind != event.Absent && v.String() == name })
		return uint32(n), n >= 0
	}
	for n := range a.count {
		if a.source.view.SessionName(uint32(n)) == name {
			return uint32(n), true
		}
	}
	return 0, false
}

// needs is what is read to tell units apart, with these columns.
func (u Unit) needs(names ...string) columns.Needs {
	if u.Kind == PropertyUnit {
		names = append(names, u.Property)
	}
	return columns.Needs{Columns: names, Sessions: u.Kind == SessionUnit}
}

// stretch is the part of a run whose rows belong to actors lo … hi-1: a slice
// of it where rows stand by actor, else all of it.
func (a *actors) stretch(dayIndex int, run columns.Run, lo, hi uint32) (from, to int) {
	if a.unit.Kind != UserUnit {
		return run.Lo, run.Hi
	}
	d := a.source.days[dayIndex]
	n, _ := d.RunOf(run.Type)
	return d.RowsOf(n, lo, hi)
}

// hit is one row that a query reads: when, whose, and which selectors it matches.
type hit struct {
	at     event.Time
	actor  uint32
	steps  uint32 // bit n: selector n
	day    uint32 // index into the source's days
	row    uint32
	others uint32 // bit n: excluded event n
}

// maxHits is the most rows that one query may hold in memory at a time, over all its workers.
const maxHits = 16_000_000

func tooManyHits() error {
	return fault.New(fault.Exceeded, "too_many_events", "the query would hold more than %d matching events in memory at once; shorten the range or filter further", maxHits)
}

// partition is actors lo … hi-1, worked on by one goroutine.
type partition struct{ lo, hi uint32 }

// partitions cuts the actors so that the work of each part fits into caches
// and a cancelled query ends soon. Units whose rows are scattered are cut as
// little as memory allows, since each part has to look at every row.
func (a *actors) partitions() []partition {
	rows := 0
	for _, d := range a.source.days {
		rows += d.Len()
	}
	n := max(processors(), rows/rowsTogether)
	size := (a.count + n - 1) / n
	if a.unit.Kind == UserUnit {
		blocks := min(max(1, a.count/(mostPartitions*columns.UserBlock)), partitionMost/columns.UserBlock)
		size = blocks * columns.UserBlock
	}
	parts := []partition{{0, 0}}[:0]
	for lo := 0; lo < a.count; lo += size {
		parts = append(parts, partition{uint32(lo), uint32(lo + size)})
	}
	return parts
}

const (
	rowsTogether   = 2 << 20 // rows of scattered units that are gathered at a time
	mostPartitions = 256     // as long as they are not too large
	partitionMost  = 1 << 16 // users: a place in one takes wordUserBits
)

// eachPartition runs work for every partition on all processors and stops at
// the first error, or when ctx ends. Index says which partition it is.
func eachPartition(ctx context.Context, parts []partition, work func(ctx context.Context, index int, p partition) error) error {
	return parallel(ctx, len(parts), func(ctx context.Context, i int) error { return work(ctx, i, parts[i]) })
}

// parallel runs work(0) … work(n-1) on all processors.
func parallel(ctx context.Context, n int, work func(ctx context.Context, i int) error) error {
	return parallelWith(ctx, n, func(int) struct{} { return struct{}{} }, func(ctx context.Context, _ struct{}, i int) error { return work(ctx, i) })
}

// processors is how many goroutines a query works in at most.
func processors() int { return runtime.GOMAXPROCS(0) }

// parallelWith runs work for 0 … n-1 on all processors; each goroutine has
// something of its own for all that it works on, which begin makes from the
// goroutine's number.
func parallelWith[W any](ctx context.Context, n int, begin func(worker int) W, work func(ctx context.Context, with W, i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var wg sync.WaitGroup
	for worker := range min(n, processors()) {
		wg.Go(func() {
			with := begin(worker)
			for i := next.Add(1) - 1; i < int64(n) && ctx.Err() == nil; i = next.Add(1) - 1 {
				if err := work(ctx, with, int(i)); err != nil {
					cancel(err)
				}
				runtime.Gosched() // lets what is light and waits for a processor go first
			}
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

// gather collects a partition's rows that match a selector or an exclusion,
// actor by actor and in the order of time. With all, rows that match none are
// in as well: strict funnels look at them.
type gather struct {
	source     *source
	actors     *actors
	selections []selection
	exclusions []selection
	all        *selection // the rows that stand in between, for strict order

	hits    []hit
	sorted  []hit
	first   []hit // room for merging
	ends    []int // of stretches in order
	marks   []bool
	steps   []uint32
	others  []uint32
	offsets []int
}

// each calls visit for every actor that has hits, in several goroutines; worker
// says in which, so that results need no lock and are as many as processors.
func (g gather) each(ctx context.Context, parts []partition, visit func(worker int, actor uint32, hits []hit)) error {
	type own struct {
		gather
		worker int
	}
	return parallelWith(ctx, len(parts),
		func(worker int) *own { return &own{g, worker} },
		func(ctx context.Context, w *own, i int) error {
			return w.run(ctx, parts[i], func(actor uint32, hits []hit) { visit(w.worker, actor, hits) })
		})
}

// run calls yield for each actor that has hits; the slice is good until yield returns.
func (g *gather) run(ctx context.Context, p partition, yield func(actor uint32, hits []hit)) error {
	g.hits = g.hits[:0]
	for i, d := range g.source.days {
		if err := ctx.Err(); err != nil {
			return err
		}
		for _, run := range d.Runs() {
			if err := g.read(ctx, i, d, run, p); err != nil {
				return err
			}
		}
		if len(g.hits) > maxHits/runtime.GOMAXPROCS(0) {
			return tooManyHits()
		}
	}
	if err := g.sort(ctx, p); err != nil {
		return err
	}
	return g.deliver(ctx, p, yield)
}

// read gathers from a run, some rows at a time.
func (g *gather) read(ctx context.Context, dayIndex int, d *columns.Day, run columns.Run, p partition) error {
	if !g.wants(run.Type) {
		return nil
	}
	lo, hi := g.actors.stretch(dayIndex, run, p.lo, p.hi)
	for ; lo < hi; lo += 1 << 16 {
		if err := ctx.Err(); err != nil {
			return err
		}
		g.rows(dayIndex, d, run, lo, min(lo+1<<16, hi), p)
	}
	return nil
}

func (g *gather) rows(dayIndex int, d *columns.Day, run columns.Run, lo, hi int, p partition) {
	g.steps = append(g.steps[:0], make([]uint32, hi-lo)...)
	g.others = append(g.others[:0], make([]uint32, hi-lo)...)
	g.mark(g.selections, g.steps, dayIndex, run.Type, lo)
	g.mark(g.exclusions, g.others, dayIndex, run.Type, lo)
	between := g.between(dayIndex, run.Type, lo, hi)
	first, last, _ := g.source.inRange(d)
	numbers, absent := g.actors.of(dayIndex)
	times, start := d.Times(), d.Start()
	for i := range g.steps {
		row := lo + i
		actor, at := numbers.At(row), times[row]
		if g.steps[i]|g.others[i] == 0 && !between(i) || at < first || at > last || actor < p.lo || actor >= p.hi || absent && actor == 0 {
			continue
		}
		g.hits = append(g.hits, hit{start + event.Time(at), actor, g.steps[i], uint32(dayIndex), uint32(row), g.others[i]})
	}
}

func (g *gather) wants(eventType string) bool {
	reads := func(s selection) bool { return s.reads(eventType) }
	return g.all != nil && g.all.reads(eventType) || slices.ContainsFunc(g.selections, reads) || slices.ContainsFunc(g.exclusions, reads)
}

// mark sets bit n of each row that selection n takes.
func (g *gather) mark(selections []selection, bits []uint32, dayIndex int, eventType string, lo int) {
	for n, s := range selections {
		if !s.reads(eventType) {
			continue
		}
		if s.match == nil {
			for i := range bits {
				bits[i] |= 1 << n
			}
			continue
		}
		g.fill(len(bits))
		s.match.and(dayIndex, lo, g.marks)
		for i, m := range g.marks {
			if m {
				bits[i] |= 1 << n
			}
		}
	}
}

func (g *gather) between(dayIndex int, eventType string, lo, hi int) func(i int) bool {
	switch {
	case g.all == nil || !g.all.reads(eventType):
		return func(int) bool { return false }
	case g.all.match == nil:
		return func(int) bool { return true }
	}
	g.fill(hi - lo)
	g.all.match.and(dayIndex, lo, g.marks)
	return func(i int) bool { return g.marks[i] }
}

func (g *gather) fill(n int) {
	g.marks = slices.Grow(g.marks[:0], n)[:n]
	for i := range g.marks {
		g.marks[i] = true
	}
}

// sort brings hits into the order of actors by counting, then each actor's into
// the order of time: they come nearly so, day after day.
func (g *gather) sort(ctx context.Context, p partition) error {
	n := int(p.hi - p.lo)
	g.offsets = append(g.offsets[:0], make([]int, n+1)...)
	for i := range g.hits {
		if i%(1<<18) == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		g.offsets[g.hits[i].actor-p.lo+1]++
	}
	for i := range n {
		g.offsets[i+1] += g.offsets[i]
	}
	g.sorted = slices.Grow(g.sorted[:0], len(g.hits))[:len(g.hits)]
	for i := range g.hits {
		if i%(1<<18) == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		k := g.hits[i].actor - p.lo
		g.sorted[g.offsets[k]] = g.hits[i]
		g.offsets[k]++ // ends as the start of the next actor
	}
	return ctx.Err()
}

func (g *gather) deliver(ctx context.Context, p partition, yield func(actor uint32, hits []hit)) error {
	start, checked := 0, 0
	for k, end := range g.offsets[:p.hi-p.lo] {
		if start == end {
			continue
		}
		if end-checked > 1<<12 {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			checked = end
		}
		hits := g.sorted[start:end]
		if err := g.inTime(ctx, hits); err != nil {
			return err
		}
		yield(p.lo+uint32(k), hits)
		start = end
	}
	return nil
}

// inTime puts hits in the order of time and leaves those of equal time as they
// stand. They come as a few stretches that are in order, one a day and type:
// neighbours are merged until one is left.
func (g *gather) inTime(ctx context.Context, hits []hit) error {
	g.ends = g.ends[:0]
	for i := 1; i <= len(hits); i++ {
		if i == len(hits) || hits[i].at < hits[i-1].at {
			g.ends = append(g.ends, i)
		}
	}
	for len(g.ends) > 1 {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		g.mergeNeighbours(hits)
	}
	return nil
}

// mergeNeighbours merges each stretch with odd number into the one before it.
func (g *gather) mergeNeighbours(hits []hit) {
	lo, merged := 0, g.ends[:0]
	for i := 0; i < len(g.ends); i += 2 {
		hi := g.ends[i]
		if i+1 < len(g.ends) {
			g.first = append(g.first[:0], hits[lo:hi]...)
			mergeHits(hits[lo:g.ends[i+1]], g.first, hits[hi:g.ends[i+1]])
			hi = g.ends[i+1]
		}
		merged, lo = append(merged, hi), hi
	}
	g.ends = merged
}

// mergeHits merges two stretches into room of which the second is the end.
func mergeHits(room, first, second []hit) {
	for len(first) > 0 {
		if len(second) > 0 && second[0].at < first[0].at {
			room[0], second = second[0], second[1:]
		} else {
			room[0], first = first[0], first[1:]
		}
		room = room[1:]
	}
}

// within are the hits with since ≤ at < until.
func within(hits []hit, since, until event.Time) []hit {
	lo := sort.Search(len(hits), func(i int) bool { return hits[i].at >= since })
	hi := sort.Search(len(hits), func(i int) bool { return hits[i].at >= until })
	return hits[lo:max(lo, hi)]
}
