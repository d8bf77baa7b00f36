package notice

import (
	"slices"

	"github.com/maidian/maidian/pkg/ask"
	"github.com/maidian/maidian/pkg/calendar"
	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/rule"
)

// SilenceKind is the kind of the records that silences are; Data is a Silence as JSON.
const SilenceKind = "silence"

// Silence is a time in which a project's people are told nothing of some rules,
// for example while they work on the shop themselves.
type Silence struct {
	ID         string     `json:"id"`
	Rules      []string   `json:"rules"`      // ids; empty: all
	Severities []string   `json:"severities"` // empty: all
	From       event.Time `json:"from"`
	To         event.Time `json:"to"` // not in it
	Reason     string     `json:"reason"`
	CreatedAt  event.Time `json:"created_at"`
}

// Covers says whether nobody is told of a firing. What counts is when it
// happened, not when it was noticed; and that something is over is always told.
func (s *Silence) Covers(f *rule.Firing) bool {
	among := func(list []string, name string) bool { return len(list) == 0 || slices.Contains(list, name) }
	return f.State != rule.StateRecovered && s.From <= f.At && f.At < s.To && among(s.Rules, f.Rule) && among(s.Severities, f.Severity)
}

// most rules that one silence names.
const mostRules = 100

// ReadSilence reads a definition; its mistakes are p's. Dates are of the
// calendar's time zone. The caller gives it an ID, and closes p.
func ReadSilence(p *ask.Params, c calendar.Calendar, now event.Time) Silence {
	s := Silence{Rules: names(p, "rules"), Severities: names(p, "severities", "info", "warning", "critical"), From: now, Reason: p.String("reason", "")}
	if from, _, given := p.Moment("from", c); given {
		s.From = from
	}
	lo, hi, given := p.Moment("to", c)
	switch {
	case !given && !p.Has("to"):
		p.Fail("to", "is required: a date or a time at which the silence ends")
	case hi > lo: // a date: its whole day
		s.To = hi + 1
	default:
		s.To = lo
	}
	if given && s.To <= s.From {
		p.Fail("to", "must be after from, got %s and %s", s.To, s.From)
	}
	return s
}

// names is a list of texts, of those that are allowed if any are named.
func names(p *ask.Params, name string, allowed ...string) []string {
	list := []string{}
	for _, v := range p.List(name) {
		text, ok := v.(string)
		if !ok || len(allowed) > 0 && !slices.Contains(allowed, text) || len(list) == mostRules {
			p.Fail(name, "must be a list of at most %d texts%s, got %s", mostRules, among(allowed), ask.Describe(v))
			break
		}
		list = append(list, text)
	}
	return list
}

func among(allowed []string) string {
	if len(allowed) == 0 {
		return ""
	}
	return " from " + ask.Describe(allowed)
}
