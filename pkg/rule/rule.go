package rule

import (
	"cmp"
	"encoding/json"
	"regexp"
	"slices"
	"strconv"

	"github.com/maidian/maidian/pkg/ask"
	"github.com/maidian/maidian/pkg/calendar"
	"github.com/maidian/maidian/pkg/event"
)

// Rule is a definition that was read: what every kind has, and what its own
// kind makes of it.
type Rule struct {
	ID       string
	Name     string
	Kind     string
	Enabled  bool
	Severity string
	Channels []string
	GroupBy  string // a property; each of its values is judged by itself

	For      event.Time // the condition must hold that long
	CoolDown event.Time // after an alarm has ended, or an event was told, that long nothing is told of its group
	Repeat   event.Time // while it holds it is told again that often; 0: once
	Recovery bool       // its end is told too
	Grace    event.Time // how late an event may come and still count
	Silences []Silence

	definition []byte
	calendar   calendar.Calendar
	windowed   *windowed // kinds that measure windows
	each       *each     // kinds that look at each event by itself
}

// Kept is what the record of a rule holds.
type Kept struct {
	Definition json.RawMessage `json:"definition"`
	CreatedAt  event.Time      `json:"created_at"`
	UpdatedAt  event.Time      `json:"updated_at"`
}

// kind is one of the kinds of rule: it reads what it alone has.
type kind struct {
	name string
	read func(p *ask.Params, r *Rule)
}

// kinds in the order in which errors list them. Adding one is a file and a line here.
func kinds() []kind {
	return []kind{
		{"event", readEvent},
		{"threshold", readThreshold},
		{"change", readChange},
		{"anomaly", readAnomaly},
		{"absence", readAbsence},
		{"new_value", readNewValue},
		{"behaviour", readBehaviour},
		{"pipeline", readPipeline},
	}
}

// Kinds are the names of all kinds.
func Kinds() []string {
	var names []string
	for _, k := range kinds() {
		names = append(names, k.name)
	}
	return names
}

const (
	second = event.Time(1000)
	minute = 60 * second
	hour   = 60 * minute
	day    = 24 * hour
	week   = 7 * day

	mostChannels = 20
	mostSilences = 50
	longest      = 31 * day // of any duration in a rule
)

var idPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,39}$`)

// Read reads a definition, a JSON object. Dates and hours in it are of the
// calendar's time zone unless it names one itself.
func Read(definition []byte, c calendar.Calendar) (*Rule, error) {
	p, err := ask.ParamsFromJSON(definition)
	if err != nil {
		return nil, err
	}
	r := &Rule{definition: definition, calendar: c}
	_, r.calendar.Zone = p.Zone("timezone", c.Zone.String())
	r.readCommon(p)
	name := p.OneOf("kind", "", Kinds()...)
	if err := p.Mistake(); err != nil {
		return nil, err
	}
	all := kinds()
	k := all[slices.IndexFunc(all, func(k kind) bool { return k.name == name })]
	r.Kind = k.name
	k.read(p, r)
	if err := p.Done(); err != nil {
		return nil, err
	}
	return r, nil
}

func (r *Rule) readCommon(p *ask.Params) {
	r.ID = p.Required("id", `1 to 40 of a-z, 0-9, _ and -, such as "large-purchase"`)
	if r.ID != "" && !idPattern.MatchString(r.ID) {
		p.Fail("id", "must be 1 to 40 of a-z, 0-9, _ and -, and begin with one of the first two, got %q", r.ID)
	}
	r.Name = text(p, "name", r.ID, 200)
	text(p, "description", "", 2000)
	r.Enabled = p.Bool("enabled", true)
	r.Severity = p.OneOf("severity", "warning", "info", "warning", "critical")
	r.Channels = readNames(p, "channels")
	r.CoolDown = optional(p, "cool_down")
	r.readSilences(p)
}

func text(p *ask.Params, name, missing string, most int) string {
	s := p.String(name, missing)
	if len([]rune(s)) > most {
		p.Fail(name, "must have %d characters or less, got %d", most, len([]rune(s)))
	}
	return s
}

// optional is a duration that may be missing or 0.
func optional(p *ask.Params, name string) event.Time {
	if d, ok := p.ParseDuration(p.Get(name)); !p.Has(name) || ok && d == 0 {
		return 0
	}
	return p.Duration(name, "", longest)
}

func readNames(p *ask.Params, field string) []string {
	names := []string{}
	for i, v := range p.List(field) {
		name, ok := v.(string)
		switch {
		case !ok || !idPattern.MatchString(name):
			p.Fail(at(field, i), "must be the id of a channel, got %s", ask.Describe(v))
		case slices.Contains(names, name):
			p.Fail(at(field, i), "is there twice: %q", name)
		case len(names) == mostChannels:
			p.Fail(field, "must have %d or less", mostChannels)
		}
		names = append(names, name)
	}
	return names
}

func at(list string, i int) string { return list + "[" + strconv.Itoa(i) + "]" }

// readGroup is for the kinds whose groups are the values of a property.
func (r *Rule) readGroup(p *ask.Params) {
	if p.Has("group_by") {
		r.GroupBy = p.Property("group_by")
	}
}

// number is a required number.
func number(p *ask.Params, name string) float64 {
	v, isNumber := p.Get(name).(json.Number)
	f, err := v.Float64()
	switch {
	case !p.Has(name):
		p.Fail(name, "is required: a number")
	case !isNumber || err != nil:
		p.Fail(name, "must be a number, got %s", ask.Describe(p.Get(name)))
	}
	return f
}

// Example is a firing as the rule makes them, of nothing that has happened.
func (r *Rule) Example(project, id string, now event.Time) Firing {
	f := New(project, now).firing(&running{rule: r}, "", StateFiring, Span{now, now + 1})
	if f.ID = id; r.windowed != nil {
		w := r.windowed
		v := w.judge(&group{History: newRing(w.history)}, now, 0, true)
		f.Metric, f.Window = cmp.Or(w.named, w.metric.name), Span{now - w.window, now}
		f.Value, f.Op, f.Threshold = v.value, v.op, v.threshold
	}
	return f
}
