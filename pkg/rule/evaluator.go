package rule

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/maidian/maidian/pkg/ask"
	"github.com/maidian/maidian/pkg/calendar"
	"github.com/maidian/maidian/pkg/event"
)

// Evaluator turns the events of one project into firings. It is used by one
// goroutine. What it does follows from its state and from what it is given, so
// whoever keeps the state together with the firings that came out repeats none.
type Evaluator struct {
	project  string
	progress event.Time
	rules    []*running // by id
	cells    int        // that the groups of all rules may weigh

	byType  map[string][]watch
	any     []watch
	row     row
	firings []Firing
}

// running is a rule and what it remembers.
type running struct {
	Definition uint64            `json:"definition"`       // its hash: another one begins anew
	Text       json.RawMessage   `json:"text,omitempty"`   // the definition itself, while its end may have to be told when it is gone
	Zone       string            `json:"zone,omitempty"`   // and that of its calendar
	Since      event.Time        `json:"since"`            // it looks at what comes from then on
	Judged     event.Time        `json:"judged,omitempty"` // windows up to this end were
	Learnt     bool              `json:"learnt,omitempty"` // what was before it, see Past
	Knows      event.Time        `json:"knows,omitempty"`  // of new_value: since when it knows all values
	Groups     map[string]*group `json:"groups,omitempty"`
	Seen       hashes            `json:"seen,omitempty"`
	Crowded    int64             `json:"crowded,omitempty"`

	rule              *Rule
	groupBy, property int                // their places in the row
	weight            int                // cells of a group
	past              map[string]*learnt // not nil: it only learns, see Past
}

// group is a value of the property that a rule is grouped by.
type group struct {
	Since   event.Time `json:"since,omitempty"`   // time of its first event; 0: it was always there
	Buckets []bucket   `json:"buckets,omitempty"` // ascending
	Last    event.Time `json:"last,omitempty"`    // time of its newest event
	Alarm   alarm      `json:"alarm"`
	History ring       `json:"history,omitempty"`
}

// watch is a selector of a rule, as the index by event type has it.
type watch struct {
	rule       *running
	conditions []condition
	of         bool // of a ratio, what is compared with
}

const (
	mostGroups    = 1000
	mostUsers     = 10_000  // groups of a behaviour rule
	ruleCells     = 1 << 19 // that the groups of one rule may weigh, 8 bytes each
	projectCells  = 1 << 22
	mostGroupName = 200    // bytes
	mostAhead     = minute // of an event's time before the evaluator's
	mostBehind    = 50_000 // steps: windows that ended earlier are not judged
)

// New evaluates a project's rules from a moment on.
func New(project string, from event.Time) *Evaluator {
	return &Evaluator{project: project, progress: from}
}

// Progress is the time up to which it was advanced.
func (e *Evaluator) Progress() event.Time { return e.progress }

// Use evaluates these rules from now on. A rule whose definition is as before
// goes on; another one begins anew, and what was told of the old one ends.
func (e *Evaluator) Use(rules []*Rule) {
	before, reasons := map[string]*running{}, map[string]string{}
	for _, s := range e.rules {
		before[s.rule.ID] = s
		reasons[s.rule.ID] = ReasonDeleted
	}
	e.rules = nil
	for _, r := range rules {
		if reasons[r.ID] = ReasonChanged; !r.Enabled {
			reasons[r.ID] = ReasonDisabled
			continue
		}
		s := before[r.ID]
		if s == nil || s.Definition != r.hash() {
			s = &running{Definition: r.hash(), Since: e.progress, Groups: map[string]*group{}, Seen: hashes{}}
		} else {
			delete(before, r.ID)
		}
		s.rule = r
		e.rules = append(e.rules, s)
	}
	slices.SortFunc(e.rules, func(a, b *running) int { return cmp.Compare(a.rule.ID, b.rule.ID) })
	for _, id := range slices.Sorted(maps.Keys(before)) {
		e.end(before[id], reasons[id])
	}
	e.index()
}

func (r *Rule) hash() uint64 {
	return xxhash.Sum64String(r.calendar.Zone.String() + "\x00" + string(r.definition))
}

// end tells the end of what a rule has told that is no more.
func (e *Evaluator) end(s *running, reason string) {
	if s.rule.windowed == nil {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(s.Groups)) {
		e.tell(s, name, e.progress, verdict{}, s.Groups[name].Alarm.over(s.rule, e.progress, reason))
	}
}

func (e *Evaluator) index() {
	e.byType, e.any, e.row, e.cells = map[string][]watch{}, nil, row{}, 0
	for _, s := range e.rules {
		r := s.rule
		s.groupBy, s.property = e.row.place(r.GroupBy), 0
		if w := r.windowed; w != nil {
			s.property = e.row.place(w.property)
			s.weight = 8 + w.history + w.metric.cells*(int((w.window+r.Grace)/w.step)+2)
			s.Judged = max(s.Judged, s.Since-s.Since%w.step)
			if w.byUser {
				s.groupBy = -1
			}
			for _, g := range s.Groups {
				if len(g.History) != w.history {
					g.History = newRing(w.history)
				}
			}
			if r.GroupBy == "" {
				s.group(e, "", 0)
			}
			e.watch(w.events, watch{rule: s})
			if w.of != nil {
				e.watch(*w.of, watch{rule: s, of: true})
			}
		} else {
			s.property, s.weight = e.row.place(r.each.property), 8
			e.watch(r.each.events, watch{rule: s})
		}
		e.cells += s.weight * len(s.Groups)
	}
}

func (e *Evaluator) watch(selector ask.Selector, w watch) {
	w.conditions = e.row.compile(selector.Conditions())
	if selector.Event == ask.AnyEvent {
		e.any = append(e.any, w)
		return
	}
	e.byType[selector.Event] = append(e.byType[selector.Event], w)
}

// Observe looks at an event that was stored.
func (e *Evaluator) Observe(ev *event.Event) {
	e.row.show(ev)
	at := min(happened(ev), e.progress+mostAhead)
	e.observeAll(e.byType[ev.EventType], at)
	if !strings.HasPrefix(ev.EventType, sampleMark) {
		e.observeAll(e.any, at)
	}
}

// happened is when: nothing is received before it happens.
func happened(ev *event.Event) event.Time {
	if ev.ReceivedAt == 0 {
		return ev.Timestamp
	}
	return min(ev.Timestamp, ev.ReceivedAt)
}

func (e *Evaluator) observeAll(watches []watch, at event.Time) {
	for i := range watches {
		w := &watches[i]
		if !e.row.passes(w.conditions) {
			continue
		}
		name, ok := w.rule.groupOf(&e.row)
		switch {
		case !ok:
		case w.rule.rule.windowed != nil:
			w.rule.count(e, w, name, at)
		default:
			w.rule.observe(e, name, at)
		}
	}
}

// groupOf is false for an event without the property: it counts in no group.
func (s *running) groupOf(row *row) (string, bool) {
	switch {
	case s.rule.GroupBy == "":
		return "", true
	case s.groupBy < 0:
		user := userOf(row.event)
		return user, user != ""
	}
	v := row.value(s.groupBy)
	return shortened(ask.Text(v)), v.Kind != event.Absent
}

func shortened(text string) string {
	if len(text) > mostGroupName {
		return strings.ToValidUTF8(text[:mostGroupName], "")
	}
	return text
}

// count puts an event into its bucket, unless all windows that it is in were judged.
func (s *running) count(e *Evaluator, w *watch, name string, at event.Time) {
	of := s.rule.windowed
	index := floor(at, of.step)
	if event.Time(index+1)*of.step <= s.Judged+of.step-of.window {
		return
	}
	var n float64
	if of.metric.number {
		var isNumber bool
		if n, isNumber = ask.Number(e.row.value(s.property)); !isNumber {
			return
		}
	}
	g := s.group(e, name, at)
	if g == nil {
		return
	}
	if g.Last = max(g.Last, at); g.Since != 0 {
		g.Since = min(g.Since, at)
	}
	b := g.bucket(index)
	if w.of {
		b.Of++
		return
	}
	of.takes(b, e.row.event, n)
}

func floor(t, step event.Time) int64 {
	n := int64(t / step)
	if t%step < 0 {
		n--
	}
	return n
}

// group is the one of that name, made when there is none; nil when there are
// too many. Then those that are new are left out, and counted in Crowded.
func (s *running) group(e *Evaluator, name string, at event.Time) *group {
	if g := s.Groups[name]; g != nil {
		return g
	}
	most := mostGroups
	if s.rule.windowed != nil && s.rule.windowed.byUser {
		most = mostUsers
	}
	full := len(s.Groups) >= max(1, min(most, ruleCells/s.weight)) || e.cells+s.weight > projectCells
	if full && len(s.Groups) > 0 && !s.forgetCooled(e) {
		s.Crowded++
		return nil
	}
	g := &group{Since: at}
	if w := s.rule.windowed; w != nil {
		g.History = newRing(w.history)
	}
	s.Groups[name] = g
	e.cells += s.weight
	return g
}

// forgetCooled makes room among the groups of a rule that has no windows.
func (s *running) forgetCooled(e *Evaluator) bool {
	before := len(s.Groups)
	if s.rule.each != nil {
		maps.DeleteFunc(s.Groups, func(_ string, g *group) bool { return g.Alarm.Told+s.rule.CoolDown <= e.progress })
	}
	e.cells -= s.weight * (before - len(s.Groups))
	return len(s.Groups) < before
}

// bucket is the one of that index, made when there is none.
func (g *group) bucket(index int64) *bucket {
	at := len(g.Buckets)
	for at > 0 && g.Buckets[at-1].Index >= index {
		at--
	}
	if at == len(g.Buckets) || g.Buckets[at].Index != index {
		g.Buckets = slices.Insert(g.Buckets, at, bucket{Index: index})
	}
	return &g.Buckets[at]
}

// Advance judges the windows that are over: all events that were received
// before t have been observed, as far as is known. It never goes back.
func (e *Evaluator) Advance(t event.Time) {
	if t <= e.progress {
		return
	}
	e.progress = t
	for _, s := range e.rules {
		w := s.rule.windowed
		if w == nil {
			continue
		}
		until := t - s.rule.Grace
		if oldest := until - mostBehind*w.step; s.Judged < oldest {
			s.Judged = oldest / w.step * w.step
		}
		for end := s.Judged + w.step; end <= until; end += w.step {
			e.judge(s, end)
			s.Judged = end
		}
	}
}

// judge judges all groups of a rule at a window's end.
func (e *Evaluator) judge(s *running, end event.Time) {
	w := s.rule.windowed
	if len(s.Groups) == 0 || w.whole && end-w.window < s.Since {
		return
	}
	first := len(e.firings)
	for name, g := range s.Groups {
		if w.whole && end-w.window < g.Since {
			continue // too little is no wonder before it was there
		}
		v := g.measure(w, end)
		e.tell(s, name, end, v, g.Alarm.judged(s.rule, end, v.holds))
		g.forget(end+w.step-w.window, w.step)
		if len(g.Buckets) == 0 && s.rule.GroupBy != "" && g.Last+w.memory <= end && g.Alarm.Ended+s.rule.CoolDown <= end {
			e.tell(s, name, end, v, g.Alarm.over(s.rule, end, ReasonForgotten))
			delete(s.Groups, name)
			e.cells -= s.weight
		}
	}
	slices.SortStableFunc(e.firings[first:], func(a, b Firing) int { return cmp.Compare(a.Group, b.Group) })
}

func (g *group) measure(w *windowed, end event.Time) verdict {
	all, _ := g.sum(w, end)
	value, measured := w.metric.of(&all)
	return w.judge(g, end, value, measured)
}

// sum is what is known of a window's events, if there are any.
func (g *group) sum(w *windowed, end event.Time) (all bucket, any bool) {
	first, behind := floor(end-w.window, w.step), floor(end, w.step)
	for i := range g.Buckets {
		if b := &g.Buckets[i]; first <= b.Index && b.Index < behind {
			all.merge(b)
			any = true
		}
	}
	return all, any
}

// forget drops the buckets that end at a moment or before.
func (g *group) forget(until, step event.Time) {
	g.Buckets = slices.DeleteFunc(g.Buckets, func(b bucket) bool { return event.Time(b.Index+1)*step <= until })
}

// tell makes the firing of a window, if there is one.
func (e *Evaluator) tell(s *running, name string, end event.Time, v verdict, t turn) {
	if t.state == "" {
		return
	}
	w := s.rule.windowed
	f := e.firing(s, name, t.state, Span{end - w.window, end})
	f.ID = fmt.Sprintf("%s.%016x.%s.%s", s.rule.ID, xxhash.Sum64String(name), strconv.FormatInt(int64(end), 36), t.state)
	f.Metric, f.Since, f.At, f.Repeat, f.Reason = cmp.Or(w.named, w.metric.name), t.since, end, t.repeat, t.reason
	f.Value, f.Op, f.Threshold, f.Expected = v.value, v.op, v.threshold, v.expected
	e.firings = append(e.firings, f)
}

// firing is what all firings have; what is of one moment has a window that begins with it.
func (e *Evaluator) firing(s *running, name, state string, window Span) Firing {
	r := s.rule
	return Firing{
		Rule: r.ID, Project: e.project, Name: r.Name, Kind: r.Kind, Severity: r.Severity, Channels: r.Channels, GroupBy: r.GroupBy, Group: name,
		State: state, Window: window, Since: window.From, At: window.From, Link: r.link(e.project, name, window),
	}
}

// Firings are those that came out since it was last asked.
func (e *Evaluator) Firings() []Firing {
	firings := e.firings
	e.firings = nil
	return firings
}

// Crowded says of how many events nothing could be remembered, by rule: of
// groups beyond the most that a rule has, of values beyond the most it has seen.
func (e *Evaluator) Crowded() map[string]int64 {
	crowded := map[string]int64{}
	for _, s := range e.rules {
		if s.Crowded > 0 {
			crowded[s.rule.ID] = s.Crowded
		}
	}
	return crowded
}

type stateJSON struct {
	Progress event.Time          `json:"progress"`
	Rules    map[string]*running `json:"rules"`
}

// MarshalJSON is for keeping the state; the rules themselves are not in it.
func (e *Evaluator) MarshalJSON() ([]byte, error) {
	s := stateJSON{e.progress, map[string]*running{}}
	for _, r := range e.rules {
		r.keepText()
		s.Rules[r.rule.ID] = r
	}
	return json.Marshal(s)
}

// Restore is the evaluator as it was kept, with the rules as they are now.
func Restore(project string, state []byte, rules []*Rule) (*Evaluator, error) {
	var kept stateJSON
	if err := json.Unmarshal(state, &kept); err != nil {
		return nil, fmt.Errorf("state of the rules of %s: %w", project, err)
	}
	e := New(project, kept.Progress)
	byID := map[string]*Rule{}
	for _, r := range rules {
		byID[r.ID] = r
	}
	for id, s := range kept.Rules {
		if s == nil {
			continue
		}
		if s.rule = byID[id]; s.rule == nil || s.rule.hash() != s.Definition {
			s.rule = s.gone()
		}
		if s.rule == nil {
			continue
		}
		if s.Groups == nil {
			s.Groups = map[string]*group{}
		}
		if s.Seen == nil {
			s.Seen = hashes{}
		}
		e.rules = append(e.rules, s)
	}
	e.Use(rules)
	return e, nil
}

// keepText has the definition kept with the state while something that was told
// has not ended: the rule may be another one, or none, when that is to be told.
func (s *running) keepText() {
	s.Text, s.Zone = nil, ""
	for _, g := range s.Groups {
		if s.rule.windowed != nil && g.Alarm.Told != 0 {
			s.Text, s.Zone = s.rule.definition, s.rule.calendar.Zone.String()
			return
		}
	}
}

// gone is the rule as it was, nil when nothing of it has to be told.
func (s *running) gone() *Rule {
	zone, err := time.LoadLocation(s.Zone)
	if err != nil || s.Text == nil {
		return nil
	}
	r, err := Read(s.Text, calendar.Calendar{Zone: zone, WeekStart: time.Monday})
	if err != nil {
		return nil // it was written by a newer version
	}
	return r
}
