package rule

import (
	"encoding/json"
	"net/url"

	"github.com/maidian/maidian/pkg/ask"
)

// mostFiltersShown is the most bytes of filters in a link: mail and chats cut what is longer.
const mostFiltersShown = 2000

// link is the page with the charts of the day before the window's end, of the
// events that the rule looks at: a path on the query service.
func (r *Rule) link(project, group string, w Span) string {
	q := url.Values{
		"project": {project}, "from": {min(w.From, w.To-day).String()}, "to": {w.To.String()}, "timezone": {r.calendar.Zone.String()},
	}
	for _, filters := range []ask.Filters{append(r.types(), r.shown(group)...), r.types()} {
		text, err := json.Marshal(filters)
		if err == nil && len(filters) > 0 && len(text) <= mostFiltersShown {
			q.Set("filters", string(text))
			break
		}
	}
	return "/api/v1/analytics/report?" + q.Encode()
}

// types are the filters for the types of the events that the rule looks at.
func (r *Rule) types() ask.Filters {
	first := r.selector()
	types := []string{first.Event}
	if r.windowed != nil && r.windowed.of != nil {
		types = append(types, r.windowed.of.Event)
	}
	for _, t := range types {
		if t == ask.AnyEvent || r.Kind == "pipeline" {
			return nil
		}
	}
	return ask.Filters{{Property: "event_type", Op: "in", Value: types}}
}

// shown are the filters for one group besides; a ratio shows all that it compares.
func (r *Rule) shown(group string) (all ask.Filters) {
	if r.windowed == nil || r.windowed.of == nil {
		all = r.selector().Conditions()
	}
	if group == "" || len(group) == mostGroupName {
		return all
	}
	among := ask.Filter{Property: r.GroupBy, Op: "eq", Value: group}
	if r.windowed != nil && r.windowed.byUser {
		among = ask.Filter{}
		for _, id := range []string{"user_id", "anonymous_id", "session_id"} {
			among.Or = append(among.Or, ask.Filter{Property: id, Op: "eq", Value: group})
		}
	}
	return append(all[:len(all):len(all)], among)
}

func (r *Rule) selector() ask.Selector {
	if r.windowed != nil {
		return r.windowed.events
	}
	return r.each.events
}
