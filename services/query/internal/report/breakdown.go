package report

import (
	"cmp"
	"context"
	"encoding/base64"
	"slices"

	"github.com/maidian/maidian/pkg/ask"
	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/fault"
	"github.com/maidian/maidian/services/query/internal/columns"
)

// Breakdown splits an answer by the values of a property.
type Breakdown struct {
	Property    string `json:"property"`
	Attribution string `json:"attribution,omitempty"`
	StepIndex   *int   `json:"step_index,omitempty"`
	Limit       int    `json:"limit"`
}

const (
	// Other stands for all values beyond the limit.
	Other = "$other"

	defaultGroups = 25
	maxTopGroups  = 1000
)

// groups is the budget for the totals that are kept by value of a breakdown.
func (c *Common) groups(ctx context.Context) (context.Context, *budget, func()) {
	return withBudget(ctx, c.Limits.Groups, &fault.Error{
		Kind: fault.Exceeded, Code: "too_many_groups", Field: "breakdown",
		Message: "more than " + decimal(c.Limits.Groups) + " totals by value would be kept; filter, or break down by a property with fewer values",
	})
}

// breakdown reads the parameter breakdown: a property's name, or an object. With
// steps above 0 it has an attribution.
func (p *Params) breakdown(steps int) *Breakdown {
	var o *ask.Params
	switch v := p.Get("breakdown").(type) {
	case nil:
		return nil
	case string:
		o = p.Child("breakdown", map[string]any{"property": v})
	case map[string]any:
		o = p.Child("breakdown", v)
	default:
		p.Fail("breakdown", `must be {"property": "browser"}, got %s`, ask.Describe(v))
		return nil
	}
	defer o.Close()
	b := &Breakdown{Property: o.Property("property"), Limit: o.Int("limit", defaultGroups, 1, maxTopGroups)}
	if steps == 0 {
		return b
	}
	b.Attribution = o.OneOf("attribution", "first_touch", "first_touch", "last_touch", "all_events", "step")
	index := o.Int("step_index", 0, 0, max(0, steps-1))
	switch given := o.Has("step_index"); {
	case b.Attribution == "step" && !given:
		o.Fail("step_index", "is required with attribution step: an index from 0 to %d", steps-1)
	case b.Attribution == "step":
		b.StepIndex = &index
	case given:
		o.Fail("step_index", "goes with attribution step only")
	}
	return b
}

func (b *Breakdown) words() string {
	switch b.Attribution {
	case "last_touch":
		return "each unit belongs to the value of its last counted event that has one"
	case "all_events":
		return "only events with the value count for the value; a unit may belong to several"
	case "step":
		return "only events with the value fill step " + decimal(*b.StepIndex) + "; a unit may belong to several values, and to none without an event for that step"
	}
	return "each unit belongs to the value of its first counted event that has one"
}

// touch tells to which values of the breakdown's property an actor belongs.
type touch struct {
	breakdown *Breakdown
	columns   []*columns.Column
	values    []event.Value
	places    []int32 // by code: the place of its text among all, for equal times
}

func newTouch(ctx context.Context, s *source, b *Breakdown) (*touch, error) {
	t := &touch{breakdown: b, columns: s.columns[b.Property], values: s.values(b.Property)}
	order := make([]int32, len(t.values))
	for i := range order {
		order[i] = int32(i)
	}
	compared, ended := 0, false
	slices.SortFunc(order, func(a, b int32) int {
		if compared++; compared%1024 == 0 {
			ended = ended || ctx.Err() != nil
		}
		if ended { // nobody waits for the order any more: with all alike it is soon found
			return 0
		}
		return compareValues(t.values[a], t.values[b])
	})
	t.places = make([]int32, len(order))
	for place, code := range order {
		t.places[code] = int32(place)
	}
	return t, ctx.Err()
}

// once says that an actor belongs to one value, wherever its chain goes.
func (t *touch) once() bool {
	return t.breakdown.Attribution == "first_touch" || t.breakdown.Attribution == "last_touch"
}

// compareValues orders values: missing first, then flags, numbers by size, text by bytes.
func compareValues(a, b event.Value) int {
	return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Number, b.Number), cmp.Compare(a.Text, b.Text))
}

func (t *touch) valueOf(h *hit) uint32 {
	if len(t.columns) == 0 {
		return 0
	}
	return t.columns[h.day].Codes.At(int(h.row))
}

// each calls yield for each value that the actor belongs to, with the hits that
// count for it, until ctx ends. It may be called by several goroutines at once.
func (t *touch) each(ctx context.Context, hits []hit, yield func(value uint32, hits []hit)) {
	switch t.breakdown.Attribution {
	case "all_events":
		byValue := map[uint32][]hit{}
		for i := range hits {
			byValue[t.valueOf(&hits[i])] = append(byValue[t.valueOf(&hits[i])], hits[i])
		}
		for _, value := range t.valuesIn(hits, ^uint32(0)) {
			if ctx.Err() != nil {
				return
			}
			yield(value, byValue[value])
		}
	case "step":
		step := uint32(1) << *t.breakdown.StepIndex
		for _, value := range t.valuesIn(hits, step) {
			if ctx.Err() != nil {
				return
			}
			yield(value, t.without(hits, step, value))
		}
	case "last_touch":
		yield(t.lastTouch(hits), hits)
	default:
		yield(t.firstTouch(hits), hits)
	}
}

// valuesIn are the values of the hits that match one of the steps, ascending by code.
func (t *touch) valuesIn(hits []hit, steps uint32) []uint32 {
	var values []uint32
	for i := range hits {
		if hits[i].steps&steps != 0 {
			values = append(values, t.valueOf(&hits[i]))
		}
	}
	slices.Sort(values)
	return slices.Compact(values)
}

func (t *touch) only(hits []hit, keep func(h *hit) bool) []hit {
	var kept []hit
	for i := range hits {
		if keep(&hits[i]) {
			kept = append(kept, hits[i])
		}
	}
	return kept
}

// without takes a step from the hits that have another value.
func (t *touch) without(hits []hit, step, value uint32) []hit {
	kept := slices.Clone(hits)
	for i := range kept {
		if t.valueOf(&kept[i]) != value {
			kept[i].steps &^= step
		}
	}
	return kept
}

// firstTouch is the value at the earliest hit that has one; of equal times, the lowest value.
func (t *touch) firstTouch(hits []hit) uint32 {
	best := uint32(0)
	var at event.Time
	for i := range hits {
		if best != 0 && hits[i].at > at {
			break
		}
		if v := t.touched(&hits[i]); v != 0 && (best == 0 || t.places[v] < t.places[best]) {
			best, at = v, hits[i].at
		}
	}
	return best
}

// lastTouch is the value at the latest hit that has one; of equal times, the lowest value.
func (t *touch) lastTouch(hits []hit) uint32 {
	best := uint32(0)
	var at event.Time
	for i := len(hits) - 1; i >= 0; i-- {
		if best != 0 && hits[i].at < at {
			break
		}
		if v := t.touched(&hits[i]); v != 0 && (best == 0 || t.places[v] < t.places[best]) {
			best, at = v, hits[i].at
		}
	}
	return best
}

func (t *touch) touched(h *hit) uint32 {
	if h.steps == 0 {
		return 0
	}
	return t.valueOf(h)
}

// rank orders values by their number of actors, most first; then by value.
func (t *touch) rank(sizes map[uint32]int) []uint32 {
	values := make([]uint32, 0, len(sizes))
	for v := range sizes {
		values = append(values, v)
	}
	slices.SortFunc(values, func(a, b uint32) int {
		return cmp.Or(cmp.Compare(sizes[b], sizes[a]), cmp.Compare(t.places[a], t.places[b]))
	})
	return values
}

// label is a value as it stands in an answer; the missing one is null.
func (t *touch) label(value uint32) any {
	if int(value) >= len(t.values) || t.values[value].Kind == event.Absent {
		return nil
	}
	return t.values[value]
}

// Cursors are opaque to callers: the name after which the next page starts.

func cursorAfter(name string) string { return base64.RawURLEncoding.EncodeToString([]byte("a" + name)) }

func readCursor(cursor string) (*string, error) {
	if cursor == "" {
		return nil, nil
	}
	text, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil || len(text) == 0 || text[0] != 'a' {
		return nil, fault.Field("cursor", "must be the next_cursor of an answer to the same request")
	}
	return ptr(string(text[1:])), nil
}
