package ask

import "github.com/maidian/maidian/pkg/event"

// Hold says whether all conditions hold of an event.
func (fs Filters) Hold(e *event.Event) bool {
	for i := range fs {
		if !fs[i].Holds(e) {
			return false
		}
	}
	return true
}

// Holds says whether the condition holds of an event, and, or, not included.
func (f *Filter) Holds(e *event.Event) bool {
	switch {
	case f.And != nil:
		return Filters(f.And).Hold(e)
	case f.Or != nil:
		for i := range f.Or {
			if f.Or[i].Holds(e) {
				return true
			}
		}
		return false
	case f.Not != nil:
		return !f.Not.Holds(e)
	}
	return f.match(event.ValueOf(e, f.Property))
}

// Selects says whether the selector means an event.
func (s *Selector) Selects(e *event.Event) bool {
	return (s.Event == AnyEvent || s.Event == e.EventType) && (s.Name == "" || s.Name == e.EventName) && s.Filters.Hold(e)
}
