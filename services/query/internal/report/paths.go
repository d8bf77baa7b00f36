package report

import (
	"cmp"
	"context"
	"slices"
	"sort"
	"strconv"

	"github.com/maidian/maidian/pkg/ask"
	"github.com/maidian/maidian/pkg/calendar"
	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/services/query/internal/columns"
)

// PathsRequest asks for the ways through a site: within each session, which
// item comes after which. An item is the page path of a page_view, or the type
// of any event, or the value of another property of any event that has one.
//
//   - Repeats of an item in a row count once.
//   - With start, a path begins at the first item at or after the first event
//     that matches; sessions without one are left out.
//   - With end, it ends with the last item at or before the first event that
//     matches, and keeps the last steps before it. With both, end is looked for
//     after start.
//   - Items with equal times stand in the order of their names.
type PathsRequest struct {
	Start *ask.Selector `json:"start,omitempty"`
	End   *ask.Selector `json:"end,omitempty"`
	By    string        `json:"by"`
	Steps int           `json:"steps"` // most items of a path
	Limit int           `json:"limit"` // most edges of the answer
	Common
}

const (
	pagePath  = "page_path"
	eventType = "event_type"
)

// ReadPaths reads the request of POST paths.
func ReadPaths(p *Params, env Env) (*PathsRequest, error) {
	r := &PathsRequest{Common: p.Common(env)}
	r.Start, r.End = p.optionalSelector("start", r.Calendar), p.optionalSelector("end", r.Calendar)
	if r.By = pagePath; p.Has("by") {
		r.By = p.Property("by")
	}
	r.Steps = p.Int("steps", 5, 2, 20)
	r.Limit = p.Int("limit", 50, 1, 10_000)
	return r, p.Done()
}

func (p *Params) optionalSelector(name string, c calendar.Calendar) *ask.Selector {
	if !p.Has(name) {
		return nil
	}
	return ptr(p.Selector(name, ask.AnyEvent, c))
}

// PathsAnswer is the answer of POST paths, most users first.
type PathsAnswer struct {
	Edges      []Edge     `json:"edges"`
	Total      int        `json:"total"` // edges, those beyond the limit too
	Definition Definition `json:"definition"`
}

// Edge is a step from one item to the next; the number before an item is its
// place in the path, from 1.
type Edge struct {
	From  string `json:"from"`
	To    string `json:"to"`
	Users int    `json:"users"`
}

// Bits of hit.steps in paths.
const (
	itemBit     = 1 << iota
	pathEndBit  // the event matches end
	pathFromBit // the event matches start
)

// edge is an Edge with its items as codes.
type edge struct {
	place    int
	from, to uint32
}

// Paths answers POST paths.
func Paths(ctx context.Context, v *columns.View, r *PathsRequest) (*PathsAnswer, error) {
	w, err := r.open(ctx, v)
	if err != nil {
		return nil, err
	}
	ctx, kept, done := withBudget(ctx, r.Limits.Edges, exceeded("too_many_edges", "the paths have more than %d different edges; filter, or take fewer steps", r.Limits.Edges))
	defer done()
	counts := make([]map[edge]int, processors())
	for i := range counts {
		counts[i] = map[edge]int{}
	}
	g := gather{source: w.source, actors: w.actors, selections: w.events}
	err = g.each(ctx, w.actors.partitions(), func(worker int, _ uint32, hits []hit) {
		before := len(counts[worker])
		w.count(hits, counts[worker], kept)
		kept.spend(len(counts[worker]) - before)
	})
	if err != nil {
		return nil, err
	}
	return w.answer(counts), nil
}

// ways is a request with what it reads.
type ways struct {
	request *PathsRequest
	source  *source
	actors  *actors
	events  []selection
	items   []*columns.Column // by day; nil for event types
	values  []event.Value
	names   []string // of event types, by code
	codes   map[string]uint32
}

func (r *PathsRequest) open(ctx context.Context, v *columns.View) (*ways, error) {
	item := ask.Selector{Event: ask.AnyEvent}
	switch r.By {
	case pagePath:
		item = ask.Selector{Event: "page_view", Filters: ask.Filters{present(pagePath)}}
	case eventType:
	default:
		item.Filters = ask.Filters{present(r.By)}
	}
	selectors := []ask.Selector{item}
	for _, s := range []*ask.Selector{r.End, r.Start} {
		if s == nil {
			s = &ask.Selector{Event: ""} // matches nothing: event types are never empty
		}
		selectors = append(selectors, *s)
	}
	names := propertiesOf(r.Filters, selectors...)
	if r.By != eventType {
		names = append(names, r.By)
	}
	needs := r.Unit.needs(names...)
	needs.Sessions = true
	src, err := open(ctx, v, r.From, r.To, needs)
	if err != nil {
		return nil, err
	}
	w := &ways{request: r, source: src, actors: src.actors(r.Unit), codes: map[string]uint32{}}
	for _, s := range selectors {
		w.events = append(w.events, src.selectWhere(s, r.Filters))
	}
	w.items, w.values = src.columns[r.By], src.values(r.By)
	w.numberTypes()
	return w, nil
}

func present(property string) ask.Filter {
	return ask.Exists(property)
}

func (w *ways) numberTypes() {
	for _, d := range w.source.days {
		for _, run := range d.Runs() {
			if _, ok := w.codes[run.Type]; !ok {
				w.codes[run.Type] = uint32(len(w.names))
				w.names = append(w.names, run.Type)
			}
		}
	}
}

// item is the code of a hit's item.
func (w *ways) item(h *hit) uint32 {
	if w.request.By != eventType {
		return w.items[h.day].Codes.At(int(h.row))
	}
	runs := w.source.days[h.day].Runs()
	n := sort.Search(len(runs), func(i int) bool { return runs[i].Hi > int(h.row) })
	return w.codes[runs[n].Type]
}

func (w *ways) name(code uint32) string {
	if w.request.By == eventType {
		return w.names[code]
	}
	return w.values[code].String()
}

// count adds an actor's edges, each once.
func (w *ways) count(hits []hit, counts map[edge]int, kept *budget) {
	var edges []edge
	w.eachSession(hits, func(session []hit) bool {
		path := w.path(session)
		for i := 1; i < len(path); i++ {
			edges = append(edges, edge{i, path[i-1], path[i]})
		}
		return !kept.spent()
	})
	slices.SortFunc(edges, edge.compare)
	for _, e := range slices.Compact(edges) {
		counts[e]++
	}
}

func (e edge) compare(o edge) int {
	return cmp.Or(cmp.Compare(e.place, o.place), cmp.Compare(e.from, o.from), cmp.Compare(e.to, o.to))
}

// sessionStretch is hits of one session that follow one another.
type sessionStretch struct {
	session uint32
	lo, hi  int
}

func (s sessionStretch) compare(o sessionStretch) int {
	return cmp.Or(cmp.Compare(s.session, o.session), cmp.Compare(s.lo, o.lo))
}

// eachSession calls visit with an actor's hits of one session after the other,
// each in the order of time, until it returns false.
func (w *ways) eachSession(hits []hit, visit func(session []hit) bool) {
	stretches := w.stretches(hits)
	for i := 0; i < len(stretches); {
		first := stretches[i]
		session := hits[first.lo:first.hi:first.hi]
		for i++; i < len(stretches) && stretches[i].session == first.session; i++ {
			session = append(session, hits[stretches[i].lo:stretches[i].hi]...)
		}
		w.settleTies(session)
		if !visit(session) {
			return
		}
	}
}

func (w *ways) stretches(hits []hit) []sessionStretch {
	var stretches []sessionStretch
	for i := range hits {
		session := w.source.days[hits[i].day].Sessions().At(int(hits[i].row))
		if n := len(stretches); n > 0 && stretches[n-1].session == session {
			stretches[n-1].hi = i + 1
		} else {
			stretches = append(stretches, sessionStretch{session, i, i + 1})
		}
	}
	slices.SortFunc(stretches, sessionStretch.compare)
	return stretches
}

// settleTies puts items of equal times in the order of their names.
func (w *ways) settleTies(hits []hit) {
	for lo := 0; lo < len(hits); {
		hi := lo + 1
		for hi < len(hits) && hits[hi].at == hits[lo].at {
			hi++
		}
		if hi > lo+1 {
			slices.SortStableFunc(hits[lo:hi], func(a, b hit) int { return cmp.Compare(w.sortName(&a), w.sortName(&b)) })
		}
		lo = hi
	}
}

func (w *ways) sortName(h *hit) string {
	if h.steps&itemBit == 0 {
		return ""
	}
	return w.name(w.item(h))
}

// path is the items of a session between its ends.
func (w *ways) path(hits []hit) []uint32 {
	if w.request.Start != nil {
		from := slices.IndexFunc(hits, func(h hit) bool { return h.steps&pathFromBit != 0 })
		if from < 0 {
			return nil
		}
		hits = hits[from:]
	}
	if w.request.End != nil {
		to := slices.IndexFunc(hits, func(h hit) bool { return h.steps&pathEndBit != 0 })
		if to < 0 {
			return nil
		}
		hits = hits[:to+1]
	}
	var path []uint32
	for i := range hits {
		if hits[i].steps&itemBit == 0 {
			continue
		}
		if item := w.item(&hits[i]); len(path) == 0 || path[len(path)-1] != item {
			path = append(path, item)
		}
	}
	if n := len(path) - w.request.Steps; n > 0 && w.request.Start == nil && w.request.End != nil {
		return path[n:]
	}
	return path[:min(len(path), w.request.Steps)]
}

func (w *ways) answer(counts []map[edge]int) *PathsAnswer {
	sum := map[edge]int{}
	for _, part := range counts {
		for e, n := range part {
			sum[e] += n
		}
	}
	edges := make([]Edge, 0, len(sum))
	for e, n := range sum {
		edges = append(edges, Edge{strconv.Itoa(e.place) + "_" + w.name(e.from), strconv.Itoa(e.place+1) + "_" + w.name(e.to), n})
	}
	slices.SortFunc(edges, func(a, b Edge) int {
		return cmp.Or(cmp.Compare(b.Users, a.Users), cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To))
	})
	d := w.request.definition()
	d.Order = "items of one session in the order of time, equal ones in a row as one; equal times by name"
	d.Times = "sessions are the client's, else they end after 30 minutes without an event"
	return &PathsAnswer{Edges: edges[:min(len(edges), w.request.Limit)], Total: len(edges), Definition: d}
}
