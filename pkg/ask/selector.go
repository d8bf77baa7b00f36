package ask

import (
	"encoding/json"

	"github.com/maidian/maidian/pkg/calendar"
	"github.com/maidian/maidian/pkg/event"
)

// Selector names events: by type, and if wanted by event_name and filters.
// AnyEvent as the type is every event.
type Selector struct {
	Event   string
	Name    string
	Filters Filters
}

// AnyEvent selects events of every type.
const AnyEvent = "*"

// MarshalJSON writes the short form where it says everything.
func (s Selector) MarshalJSON() ([]byte, error) {
	if s.Name == "" && len(s.Filters) == 0 {
		return json.Marshal(s.Event)
	}
	return json.Marshal(struct {
		Event   string  `json:"event"`
		Name    string  `json:"name,omitempty"`
		Filters Filters `json:"filters"`
	}{s.Event, s.Name, s.Filters})
}

// Label is the selector in a few words: its name, else its type.
func (s Selector) Label() string {
	if s.Name != "" {
		return s.Name
	}
	return s.Event
}

// Conditions are the filters, with the name as one of them.
func (s Selector) Conditions() Filters {
	if s.Name == "" {
		return s.Filters
	}
	named := Filter{Property: "event_name", Op: "eq", Value: s.Name, match: func(v event.Value) bool { return Text(v) == s.Name }}
	return append(Filters{named}, s.Filters...)
}

const selectorShape = `must be an event type such as "purchase", "*", or {"event": "purchase", "filters": […]}`

// Selector reads an event selector; missing gives the one for a missing value.
func (p *Params) Selector(name, missing string, c calendar.Calendar) Selector {
	v := p.Get(name)
	if v == nil {
		if missing == "" {
			p.Fail(name, "is required: "+selectorShape)
		}
		return Selector{Event: missing}
	}
	return p.SelectorWith(name, v, c, nil)
}

// SelectorWith reads a selector; more reads further parameters of its object form.
func (p *Params) SelectorWith(name string, v any, c calendar.Calendar, more func(o *Params)) Selector {
	switch v := v.(type) {
	case string:
		if v == "" {
			p.Fail(name, selectorShape+`, got ""`)
		}
		return Selector{Event: v}
	case map[string]any:
		o := p.Child(name, v)
		s := Selector{Event: o.Required("event", `an event type, or "*" for any event`), Name: o.String("name", ""), Filters: o.Filters("filters", c)}
		if more != nil {
			more(o)
		}
		o.Close()
		return s
	}
	p.Fail(name, selectorShape+", got %s", Describe(v))
	return Selector{}
}
