package rule

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/maidian/maidian/pkg/ask"
	"github.com/maidian/maidian/pkg/event"
)

// Silence is a time in which a rule tells nothing new: every week between two
// hours of some days, or once from one moment to another. What holds on when
// it ends is told then; the end of what was told before is told in it too.
type Silence struct {
	once     Span
	days     []time.Weekday // on which it begins
	from, to time.Duration  // since midnight; to at or before from is on the next day
}

var dayNames = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

func (r *Rule) readSilences(p *ask.Params) {
	list := p.List("silences")
	if len(list) > mostSilences {
		p.Fail("silences", "must have %d or less, got %d", mostSilences, len(list))
	}
	for i, v := range list {
		object, ok := v.(map[string]any)
		if !ok {
			p.Fail(at("silences", i), `must be such as {"days": ["sat", "sun"], "from": "22:00", "to": "08:00"} or {"from": "2026-12-24", "to": "2026-12-26"}, got %s`, ask.Describe(v))
			continue
		}
		o := p.Child(at("silences", i), object)
		r.Silences = append(r.Silences, r.readSilence(o))
		o.Close()
	}
}

func (r *Rule) readSilence(p *ask.Params) (s Silence) {
	if from, _ := p.Get("from").(string); strings.Contains(from[:min(len(from), 3)], ":") {
		s.from, s.to = clock(p, "from"), clock(p, "to")
		s.days = readDays(p)
		return s
	}
	from, _, given := p.Moment("from", r.calendar)
	_, to, ends := p.Moment("to", r.calendar)
	switch {
	case !given:
		p.Fail("from", `is required: an hour such as "22:00", a date or a time`)
	case !ends:
		p.Fail("to", "is required: a date or a time")
	case to < from:
		p.Fail("to", "must not be before from")
	}
	s.once = Span{from, to + 1}
	return s
}

func clock(p *ask.Params, name string) time.Duration {
	at, err := time.Parse("15:04", p.Required(name, `an hour such as "22:00"`))
	if err != nil {
		p.Fail(name, `must be an hour such as "22:00", got %s`, ask.Describe(p.Get(name)))
	}
	return time.Duration(at.Hour())*time.Hour + time.Duration(at.Minute())*time.Minute
}

func readDays(p *ask.Params) (days []time.Weekday) {
	for i, v := range p.List("days") {
		n := slices.Index(dayNames, fmt.Sprint(v))
		if n < 0 {
			p.Fail(at("days", i), "must be one of %s, got %s", strings.Join(dayNames, ", "), ask.Describe(v))
		}
		days = append(days, time.Weekday(n))
	}
	return days
}

// covers says whether a moment lies in it.
func (s *Silence) covers(t event.Time, zone *time.Location) bool {
	if s.once.To != 0 {
		return s.once.From <= t && t < s.once.To
	}
	local := t.Std().In(zone)
	since := time.Duration(local.Hour())*time.Hour + time.Duration(local.Minute())*time.Minute
	today, yesterday := s.on(local.Weekday()), s.on((local.Weekday()+6)%7)
	if s.from < s.to {
		return today && s.from <= since && since < s.to
	}
	return today && since >= s.from || yesterday && since < s.to
}

func (s *Silence) on(d time.Weekday) bool { return len(s.days) == 0 || slices.Contains(s.days, d) }

// silent says whether the rule tells nothing new at a moment.
func (r *Rule) silent(t event.Time) bool {
	return slices.ContainsFunc(r.Silences, func(s Silence) bool { return s.covers(t, r.calendar.Zone) })
}
