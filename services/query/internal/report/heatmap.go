package report

import (
	"cmp"
	"context"
	"maps"
	"math"
	"slices"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/services/query/internal/columns"
)

// HeatmapRequest asks where on pages people click, and how far they scroll.
type HeatmapRequest struct {
	Common
	Page  string `json:"page,omitempty"` // a page_path; missing: those with most clicks
	Grid  int    `json:"grid"`           // px, both sides of a cell
	Limit int    `json:"limit"`          // pages
}

// HeatmapAnswer is pages, most clicks first.
type HeatmapAnswer struct {
	Pages      []Heatmap  `json:"pages"`
	Total      int        `json:"total"`
	Definition definition `json:"definition"`
}

// Heatmap is one page.
type Heatmap struct {
	PagePath string  `json:"page_path"`
	Clicks   int     `json:"clicks"`
	Cells    []Cell  `json:"cells"`
	Sessions int     `json:"scroll_sessions"`
	Reach    []Reach `json:"scroll_reach"`
}

// Cell is a square of the grid, named by its upper left corner.
type Cell struct {
	X     int `json:"x"`
	Y     int `json:"y"`
	Count int `json:"count"`
}

// Reach is how many sessions scrolled at least so far.
type Reach struct {
	Depth    int     `json:"depth"` // percent of the page
	Sessions int     `json:"sessions"`
	Percent  float64 `json:"percent"`
}

// maxSquares is the most cells of one page: what lies beyond them has the fewest clicks.
const maxSquares = 10_000

// ReadHeatmap reads the request.
func ReadHeatmap(p *Params, env Env) (HeatmapRequest, error) {
	r := HeatmapRequest{
		Common: p.Common(env), Page: p.String("page", ""),
		Grid: p.Int("grid", 50, 1, 1000), Limit: p.Int("limit", 10, 1, 100),
	}
	return r, p.Done()
}

var heatColumns = []string{"page_path", "x_position", "y_position", "scroll_depth"}

// heat is what happens on one page.
type heat struct {
	clicks int
	cells  map[[2]int]int
	depths map[uint32]float64 // by session: the deepest
}

// Heatmaps adds up clicks by cell, and the deepest scroll of each session.
func Heatmaps(ctx context.Context, v *columns.View, r HeatmapRequest) (*HeatmapAnswer, error) {
	events, err := r.open(ctx, v, columns.Needs{Columns: heatColumns, Sessions: true})
	if err != nil {
		return nil, err
	}
	pages := &heats{byPath: map[string]*heat{}}
	for i := range events.days {
		if err := r.addDay(ctx, events, i, pages); err != nil {
			return nil, err
		}
	}
	answer := &HeatmapAnswer{Pages: []Heatmap{}, Total: len(pages.byPath), Definition: r.defined(definition{
		"unit":         "clicks, and sessions that scrolled",
		"cells":        "click events with x_position and y_position, in CSS px of the page, by square; x and y are its upper left corner; most clicks first",
		"scroll_reach": "sessions whose largest scroll_depth on the page is at least depth, of those with any",
		"page_path":    "as in the events; the clicks of all visits of the page",
	})}
	for _, path := range first(pages.ranked(), r.Limit) {
		answer.Pages = append(answer.Pages, pages.byPath[path].show(path, r.Grid))
	}
	return answer, nil
}

func (r *HeatmapRequest) addDay(ctx context.Context, events *reading, dayIndex int, pages *heats) error {
	d, keep := events.days[dayIndex], events.passing(dayIndex)
	paths := events.column(dayIndex, "page_path")
	value := func(name string, row int) (float64, bool) {
		v := events.column(dayIndex, name).At(row)
		return v.Number, v.Kind == event.Numeric
	}
	for _, run := range d.Runs() {
		for row := run.Lo; row < run.Hi; row++ {
			if row%(1<<16) == 0 && ctx.Err() != nil {
				return ctx.Err()
			}
			path := paths.At(row)
			if !keep.has(row) || path.Kind == event.Absent || (r.Page != "" && path.Text != r.Page) {
				continue
			}
			x, hasX := value("x_position", row)
			y, hasY := value("y_position", row)
			if run.Type == "click" && hasX && hasY {
				pages.of(path.Text).click(x, y, r.Grid)
			}
			if depth, ok := value("scroll_depth", row); ok {
				h, session := pages.of(path.Text), d.Sessions().At(row)
				h.depths[session] = max(h.depths[session], depth)
			}
		}
		if pages.points() > r.Limits.Points {
			return exceeded("too_many_points", "the pages have more than %d squares with clicks and sessions that scrolled; ask for one page, take a larger grid or a shorter range", r.Limits.Points)
		}
	}
	return ctx.Err()
}

// heats are the pages.
type heats struct{ byPath map[string]*heat }

func (p *heats) of(path string) *heat {
	h := p.byPath[path]
	if h == nil {
		h = &heat{cells: map[[2]int]int{}, depths: map[uint32]float64{}}
		p.byPath[path] = h
	}
	return h
}

// points is what is kept of all pages.
func (p *heats) points() (n int) {
	for _, h := range p.byPath {
		n += len(h.cells) + len(h.depths)
	}
	return n
}

// ranked are the pages, most clicks first.
func (p *heats) ranked() []string {
	return slices.SortedFunc(maps.Keys(p.byPath), func(a, b string) int {
		x, y := p.byPath[a], p.byPath[b]
		return cmp.Or(cmp.Compare(y.clicks, x.clicks), cmp.Compare(len(y.depths), len(x.depths)), cmp.Compare(a, b))
	})
}

func (h *heat) click(x, y float64, grid int) {
	const far = 1e6 // px; a page is never so large
	x, y = max(-far, min(far, x)), max(-far, min(far, y))
	h.clicks++
	h.cells[[2]int{int(math.Floor(x / float64(grid))), int(math.Floor(y / float64(grid)))}]++
}

func (h *heat) show(path string, grid int) Heatmap {
	m := Heatmap{PagePath: path, Clicks: h.clicks, Cells: []Cell{}, Sessions: len(h.depths)}
	for cell, n := range h.cells {
		m.Cells = append(m.Cells, Cell{cell[0] * grid, cell[1] * grid, n})
	}
	slices.SortFunc(m.Cells, func(a, b Cell) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Y, b.Y), cmp.Compare(a.X, b.X))
	})
	m.Cells = first(m.Cells, maxSquares)
	for depth := 10; depth <= 100; depth += 10 {
		reached := 0
		for _, d := range h.depths {
			if d >= float64(depth) {
				reached++
			}
		}
		m.Reach = append(m.Reach, Reach{depth, reached, percent(reached, len(h.depths))})
	}
	return m
}
