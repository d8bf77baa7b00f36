package rule

import (
	"encoding/json"
	"slices"

	"github.com/cespare/xxhash/v2"

	"github.com/maidian/maidian/pkg/ask"
	"github.com/maidian/maidian/pkg/event"
)

// each is the part of a rule that looks at each event by itself.
type each struct {
	events   ask.Selector
	property string     // of new_value
	learn    event.Time // of new_value: so long values are only learned

	compared  *ask.Filter // the first that compares a number: what people read of the event
	threshold float64
}

// eachGrace is how old an event may be that is still told of: a phone that was
// off for the night, but not the history that somebody imports.
const eachGrace = day

// readEach reads what the kinds have that look at events by themselves.
func (r *Rule) readEach(p *ask.Params) {
	r.Grace = eachGrace
	if p.Has("grace") {
		r.Grace = p.Duration("grace", "", longest)
	}
	r.each = &each{events: p.Selector("event", "", r.calendar)}
	r.each.findCompared()
	r.readGroup(p)
}

func (e *each) findCompared() {
	for i := range e.events.Filters {
		f := &e.events.Filters[i]
		n, isNumber := f.Value.(json.Number)
		threshold, err := n.Float64()
		if slices.Contains(comparisons, string(f.Op)) && isNumber && err == nil {
			e.compared, e.threshold = f, threshold
			return
		}
	}
}

// readEvent: each event that the selector means.
func readEvent(p *ask.Params, r *Rule) { r.readEach(p) }

// readNewValue: a value of a property that was never seen before, of each group by itself.
func readNewValue(p *ask.Params, r *Rule) {
	r.readEach(p)
	r.each.property = p.Property("property")
	r.each.learn = day
	if p.Has("learn") {
		r.each.learn = optional(p, "learn")
	}
}

// mostSeen is the most values that a new_value rule remembers. When there are
// more, no further one is new to anybody, and the rule is silent: see Crowded.
const mostSeen = 10_000

// observe tells of an event, if there is something to tell.
func (s *running) observe(e *Evaluator, group string, at event.Time) {
	r, row, value := s.rule, &e.row, ""
	if at < e.progress-r.Grace && s.past == nil {
		return
	}
	if r.each.property != "" {
		v := row.value(s.property)
		if v.Kind == event.Absent {
			return
		}
		if value = shortened(ask.Text(v)); !s.isNew(group, value) || at < s.knows()+r.each.learn {
			return
		}
	}
	if s.past != nil || r.silent(at) || !s.cooled(e, group, at) {
		return
	}
	f := e.firing(s, group, StateFiring, Span{at, at + 1})
	f.ID = r.ID + "." + row.event.EventID
	f.NewValue, f.Event = value, sample(row.event)
	if c := r.each.compared; c != nil {
		if n, isNumber := ask.Number(event.ValueOf(row.event, c.Property)); isNumber {
			f.Metric, f.Value, f.Op, f.Threshold = c.Property, &n, string(c.Op), &r.each.threshold
		}
	}
	e.firings = append(e.firings, f)
}

// knows is since when it knows which values there were.
func (s *running) knows() event.Time {
	if s.Knows != 0 {
		return s.Knows
	}
	return s.Since
}

// isNew remembers a value.
func (s *running) isNew(group, value string) bool {
	h := xxhash.Sum64String(group + "\x00" + value)
	if _, seen := s.Seen[h]; seen {
		return false
	}
	if len(s.Seen) >= mostSeen {
		s.Crowded++
		return false
	}
	s.Seen[h] = struct{}{}
	return true
}

// cooled says whether the group's last event is long enough ago, and notes this one.
// Where there are too many groups to remember, it is better told too often.
func (s *running) cooled(e *Evaluator, name string, at event.Time) bool {
	if s.rule.CoolDown == 0 {
		return true
	}
	g := s.group(e, name, at)
	if g == nil {
		return true
	}
	if g.Alarm.Told != 0 && at < g.Alarm.Told+s.rule.CoolDown {
		return false
	}
	g.Alarm.Told = at
	return true
}

// mostSampled is the most bytes of properties that a firing carries.
const mostSampled = 4096

func sample(e *event.Event) *Sample {
	s := &Sample{EventID: e.EventID, EventType: e.EventType, EventName: e.EventName, UserID: userOf(e), Timestamp: e.Timestamp, PageURL: e.PageURL}
	if len(e.Properties) <= mostSampled {
		s.Properties = json.RawMessage(e.Properties)
	}
	return s
}
