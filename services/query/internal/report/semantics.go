package report

import (
	"encoding/json"
	"maps"
	"slices"

	"github.com/maidian/maidian/pkg/ask"
	"github.com/maidian/maidian/pkg/event"
)

// Rules are those of a funnel's rules in which systems differ. Why each system
// has the ones that it has stands in README.md.
type Rules struct {
	Semantics       string `json:"semantics,omitempty"` // whose rules fill in what the request left open
	Window          period `json:"window"`
	WindowFrom      string `json:"window_from"`
	Entry           string `json:"entry"`
	RangeOf         string `json:"range_of"`
	Ties            string `json:"ties"`
	Grace           period `json:"grace"`
	EventUse        string `json:"event_use"`
	ExclusionEffect string `json:"exclusion_effect"`
}

// period is a duration that goes out as text, such as "14d".
type period event.Time

// MarshalJSON writes the duration so that it reads back as the same.
func (p period) MarshalJSON() ([]byte, error) { return json.Marshal(ask.DurationText(event.Time(p))) }

// ownRules hold where neither the request nor its semantics say otherwise.
func ownRules() Rules {
	return Rules{
		Window: period(14 * day), WindowFrom: "first_step", Entry: "any", RangeOf: "chain",
		Ties: "any", EventUse: "once", ExclusionEffect: "void",
	}
}

// rulesOf are the rules of a system.
func rulesOf(system string) Rules {
	r := ownRules()
	r.Semantics = system
	switch system {
	case "mixpanel":
		r.Window, r.Entry, r.RangeOf = period(7*day), "first", "entry"
		r.Grace, r.ExclusionEffect = period(2*second), "stop"
	case "clickhouse":
		r.EventUse = "many"
	case "umami":
		r.Window, r.WindowFrom, r.EventUse = period(hour), "previous_step", "many"
	}
	return r
}

const (
	maxWindow = 3650 * day
	maxGrace  = 60 * second
)

// rules reads the rules of a funnel. What the request says wins over its
// semantics, and rules that mean nothing in its order are our own.
func (p *Params) rules(order string) Rules {
	r := ownRules()
	if p.Has("semantics") {
		r = rulesOf(p.OneOf("semantics", "posthog", "posthog", "mixpanel", "clickhouse", "umami"))
	}
	r.Window = period(p.Duration("window", ask.DurationText(event.Time(r.Window)), maxWindow))
	r.Entry = p.OneOf("entry", r.Entry, "any", "first")
	r.RangeOf = p.OneOf("range_of", r.RangeOf, "chain", "entry")
	if order == "unordered" {
		r.ExclusionEffect = "void"
	}
	r.ExclusionEffect = p.OneOf("exclusion_effect", r.ExclusionEffect, "void", "stop")
	if order != "ordered" {
		own := ownRules()
		r.WindowFrom, r.Ties, r.Grace, r.EventUse = own.WindowFrom, own.Ties, own.Grace, own.EventUse
	}
	r.WindowFrom = p.OneOf("window_from", r.WindowFrom, "first_step", "previous_step")
	r.Ties = p.OneOf("ties", r.Ties, "any", "increasing")
	r.EventUse = p.OneOf("event_use", r.EventUse, "once", "many")
	r.Grace = p.grace(r)
	p.checkRules(&r, order)
	return r
}

// grace reads a duration that may be 0; it is what is left of a system's when ties must increase.
func (p *Params) grace(r Rules) period {
	if !p.Has("grace") {
		if r.Ties == "increasing" {
			return 0
		}
		return r.Grace
	}
	d, ok := p.ParseDuration(p.Get("grace"))
	if !ok || d < 0 || d > maxGrace {
		p.Fail("grace", `must be a number of seconds or text such as "2s", from 0 to %s, got %s`, ask.DurationText(maxGrace), ask.Describe(p.Get("grace")))
		return 0
	}
	return period(d)
}

// checkRules refuses rules that say nothing, or not what one would think, beside others.
func (p *Params) checkRules(r *Rules, order string) {
	own := ownRules()
	other := map[string]bool{
		"window_from": r.WindowFrom != own.WindowFrom, "ties": r.Ties != own.Ties, "event_use": r.EventUse != own.EventUse, "grace": r.Grace != own.Grace,
	}
	for _, name := range slices.Sorted(maps.Keys(other)) {
		if other[name] && order != "ordered" {
			p.Fail(name, "goes with order ordered only, not with %s", order)
		}
	}
	switch {
	case r.ExclusionEffect == "stop" && order == "unordered":
		p.Fail("exclusion_effect", "must be void without order: the unit then keeps the first step and goes no further")
	case r.Grace > 0 && r.Ties == "increasing":
		p.Fail("grace", "cannot go with ties increasing: one lets steps come earlier, the other makes them come later")
	}
}

// apply puts the rules into a plan for a range that ends at to.
func (r *Rules) apply(p *plan, to event.Time) {
	p.window, p.first = event.Time(r.Window), r.Entry == "first"
	p.sliding, p.increasing, p.reuse = r.WindowFrom == "previous_step", r.Ties == "increasing", r.EventUse == "many"
	p.grace, p.stops = event.Time(r.Grace), r.ExclusionEffect == "stop" && len(p.exclusions) > 0
	if r.RangeOf == "entry" {
		p.lastEntry = to
	}
}

// define says the rules in words.
func (r *Rules) define(d *Definition, order string) {
	if r.Semantics != "" {
		d.Semantics = "the rules of " + systemNames[r.Semantics] + ", but for those that the request names itself"
	}
	d.Window = ask.DurationText(event.Time(r.Window)) + " from the first step of a chain, its end included"
	if r.WindowFrom == "previous_step" {
		d.Window = ask.DurationText(event.Time(r.Window)) + " from each step to the next, its end included"
	}
	if r.RangeOf == "entry" {
		d.Range += "; only first steps have to lie there, later ones may follow while the window runs"
	}
	d.Entry = map[string]string{"any": "a chain may start at any first step in the range", "first": "only the first first step in the range starts a chain"}[r.Entry]
	d.Ties = r.ties()
	d.Choice = "the chain that gets deepest; of those the one that gets there first, then the one with most optional steps, then the one that starts last"
	if order == "unordered" {
		d.Choice = "the first start from which most different steps are done; each step's earliest event"
	}
}

var systemNames = map[string]string{"posthog": "PostHog", "mixpanel": "Mixpanel", "clickhouse": "ClickHouse's windowFunnel", "umami": "Umami"}

func (r *Rules) ties() string {
	words := "events with equal timestamps are taken in whichever order gets further"
	switch {
	case r.Ties == "increasing":
		words = "each step is later than the one before it; events with equal timestamps do not follow each other"
	case r.Grace > 0:
		words = "steps may come up to " + ask.DurationText(event.Time(r.Grace)) + " before the step that they follow"
	}
	if r.EventUse == "many" {
		return words + "; one event may serve several steps"
	}
	return words + "; one event serves one step"
}

// exclusions says what an excluded event does.
func (r *Rules) exclusions(order string) string {
	switch {
	case order == "unordered":
		return "with an excluded event in every chain that gets deepest, the unit keeps the first step and goes no further"
	case r.ExclusionEffect == "stop":
		return "an attempt with an excluded event after from_step was reached and before to_step was keeps the steps that it has and goes no further"
	}
	return "an attempt with an excluded event after from_step was reached and before to_step was is void from its first step on"
}
