// Package report answers an analyst's questions from columns: each report is
// one file that holds its request, its rules in words, and the code that
// follows them. A report is a pure function of a view and a request.
package report

import (
	"cmp"
	"encoding/json"
	"time"

	"github.com/maidian/maidian/pkg/ask"
	"github.com/maidian/maidian/pkg/calendar"
	"github.com/maidian/maidian/pkg/event"
)

// Env is what a request means beside its own words.
type Env struct {
	Now      event.Time
	Timezone string // the project's; empty means UTC
	Currency string // the project's
	Limits   Limits // zero: DefaultLimits
}

// Common are the parameters that every report takes. Its JSON form is part of
// the answer's "query": sent again, it asks the same.
type Common struct {
	From     event.Time        `json:"from"` // inclusive
	To       event.Time        `json:"to"`   // inclusive
	Timezone string            `json:"timezone"`
	Filters  ask.Filters       `json:"filters"`
	Unit     Unit              `json:"unit"`
	Calendar calendar.Calendar `json:"-"`
	Now      event.Time        `json:"-"`
	Limits   Limits            `json:"-"`
}

// defined adds to a report's own words those that are the same for all.
func (c *Common) defined(words definition) definition {
	common := c.definition()
	for name, text := range map[string]string{"unit": common.Unit, "time_zone": common.TimeZone, "range": common.Range} {
		if words[name] == "" {
			words[name] = text
		}
	}
	return words
}

// Complete says whether the range is over, so that nothing that happens from
// now on changes the answer.
func (c Common) Complete() bool { return c.To < c.Now }

func (env Env) limits() Limits {
	if env.Limits == (Limits{}) {
		return DefaultLimits()
	}
	return env.Limits
}

// defaultDays is the range when a request names none.
const defaultDays = 7

// maxDays is the longest range: a hundred years.
const maxDays = 36_525

// Common reads from, to, days, timezone, filters and unit.
func (p *Params) Common(env Env) Common {
	c := p.timeRange(env)
	c.Filters = p.Filters("filters", c.Calendar)
	c.Unit = p.unit()
	return c
}

// Range reads from, to, days, timezone and filters: for reports that count nothing by unit.
func (p *Params) Range(env Env) Common {
	c := p.timeRange(env)
	c.Filters = p.Filters("filters", c.Calendar)
	return c
}

// Span reads from, to, days and timezone: for what is not asked of events.
func (p *Params) Span(env Env) Common { return p.timeRange(env) }

func (p *Params) timeRange(env Env) Common {
	c := Common{Now: env.Now, Limits: env.limits(), Calendar: calendar.Calendar{Zone: time.UTC, WeekStart: time.Monday}, Unit: Unit{Kind: UserUnit}}
	c.Timezone, c.Calendar.Zone = p.Zone("timezone", cmp.Or(env.Timezone, "UTC"))
	c.From, c.To = p.span(c.Calendar, env.Now, defaultDays)
	return c
}

// span is the range: from and to; or the days that end with to (today when it
// is missing); or from until today.
func (p *Params) span(c calendar.Calendar, now event.Time, missing int) (from, to event.Time) {
	days := p.Int("days", missing, 1, maxDays)
	first, _, hasFrom := p.Moment("from", c)
	_, last, hasTo := p.Moment("to", c)
	if !hasTo {
		last = c.Next(calendar.Day, c.Floor(calendar.Day, now)) - 1
	}
	if !hasFrom {
		y, m, d := last.Std().In(c.Zone).Date()
		first = c.StartOfDate(y, m, d-days+1)
	} else if p.Has("days") {
		p.Fail("days", `counts back from "to"; give either days or from`)
	}
	switch {
	case hasFrom && first > last && !hasTo:
		p.Fail("from", "must not be after today, got %s", first)
	case first > last:
		p.Fail("from", "must not be after to: %s is after %s", first, last)
	case last-first > maxDays*day:
		p.Fail("from", "must be at most %d days before to", maxDays)
	}
	return first, last
}

// weekStart reads on which day weeks begin.
func (p *Params) weekStart() (string, time.Weekday) {
	name := p.OneOf("week_start", "monday", "monday", "sunday")
	if name == "sunday" {
		return name, time.Sunday
	}
	return name, time.Monday
}

// interval reads the length of buckets.
func (p *Params) interval(name string, missing calendar.Interval) calendar.Interval {
	return calendar.Interval(p.OneOf(name, string(missing), string(calendar.Hour), string(calendar.Day), string(calendar.Week), string(calendar.Month)))
}

// UnitKind says whose events belong together.
type UnitKind uint8

const (
	UserUnit UnitKind = iota
	SessionUnit
	PropertyUnit // by the value of a property, such as an organisation; events without it count for nobody
)

// Unit is who is counted.
type Unit struct {
	Kind     UnitKind
	Property string // with PropertyUnit
}

// MarshalJSON writes it as a request has it.
func (u Unit) MarshalJSON() ([]byte, error) {
	switch u.Kind {
	case SessionUnit:
		return []byte(`"session"`), nil
	case PropertyUnit:
		return json.Marshal(map[string]string{"property": u.Property})
	}
	return []byte(`"user"`), nil
}

// words says in the definition who is counted.
func (u Unit) words() string {
	switch u.Kind {
	case SessionUnit:
		return "sessions"
	case PropertyUnit:
		return "values of " + u.Property + "; events without it are left out"
	}
	return "users: user_id, else the user that the anonymous_id was first seen with, else anonymous_id, else session_id"
}

func (p *Params) unit() Unit {
	switch v := p.Get("unit").(type) {
	case nil:
		return Unit{}
	case string:
		if v == "user" {
			return Unit{}
		}
		if v == "session" {
			return Unit{Kind: SessionUnit}
		}
	case map[string]any:
		o := p.Child("unit", v)
		defer o.Close()
		return Unit{Kind: PropertyUnit, Property: o.Property("property")}
	}
	p.Fail("unit", `must be "user", "session" or {"property": "<name>"}, got %s`, ask.Describe(p.Get("unit")))
	return Unit{}
}
