package rule

import (
	"slices"

	"github.com/maidian/maidian/pkg/ask"
	"github.com/maidian/maidian/pkg/event"
)

// row is an event as many rules look at it: each property that any of them
// names is looked up once at most.
type row struct {
	event  *event.Event
	names  []string
	values []event.Value
	known  []bool
}

// place is where the values of a property are.
func (r *row) place(name string) int {
	at := slices.Index(r.names, name)
	if at < 0 {
		at = len(r.names)
		r.names, r.values, r.known = append(r.names, name), append(r.values, event.Value{}), append(r.known, false)
	}
	return at
}

func (r *row) show(e *event.Event) {
	r.event = e
	clear(r.known)
}

func (r *row) value(place int) event.Value {
	if !r.known[place] {
		r.values[place], r.known[place] = event.ValueOf(r.event, r.names[place]), true
	}
	return r.values[place]
}

// condition is a filter that knows the place of its property.
type condition struct {
	place   int
	filter  *ask.Filter
	and, or []condition
	not     *condition
}

func (r *row) compile(filters ask.Filters) (all []condition) {
	for i := range filters {
		all = append(all, r.condition(&filters[i]))
	}
	return all
}

func (r *row) condition(f *ask.Filter) condition {
	switch {
	case f.And != nil:
		return condition{and: r.compile(f.And)}
	case f.Or != nil:
		return condition{or: r.compile(f.Or)}
	case f.Not != nil:
		not := r.condition(f.Not)
		return condition{not: &not}
	}
	return condition{place: r.place(f.Property), filter: f}
}

func (r *row) passes(all []condition) bool {
	for i := range all {
		if !r.holds(&all[i]) {
			return false
		}
	}
	return true
}

func (r *row) holds(c *condition) bool {
	switch {
	case c.filter != nil:
		return c.filter.Match(r.value(c.place))
	case c.not != nil:
		return !r.holds(c.not)
	case c.or != nil:
		return slices.ContainsFunc(c.or, func(c condition) bool { return r.holds(&c) })
	}
	return r.passes(c.and)
}
