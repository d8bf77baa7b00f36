// Package oracle answers every report a second time, for tests: event by event,
// in plain loops, from the rules as they are told to analysts. It knows no
// columns, codes, partitions or days, and nothing of the packages that it is
// held against. Slow is fine here; clever is not.
package oracle

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/maidian/maidian/pkg/event"
)

// Request is the JSON of a request as decoded: numbers are float64.
type Request map[string]any

// answer is what must stand in an answer, as JSON has it.
type answer = map[string]any

const (
	second = event.Time(1000)
	minute = 60 * second
	hour   = 60 * minute
	day    = 24 * hour
)

// Oracle knows a project's whole history.
type Oracle struct {
	all    []*record // in the order of time, then of batch and place in it
	joined map[string]string
	now    event.Time
}

// record is an event with those it belongs to.
type record struct {
	event.Event
	user    string
	session string
}

// New reads a history; now is when it is asked about.
func New(events []event.Event, now event.Time) *Oracle {
	o := &Oracle{now: now, joined: map[string]string{}}
	for _, e := range events {
		o.all = append(o.all, &record{Event: e})
	}
	slices.SortFunc(o.all, func(a, b *record) int {
		return cmp.Or(cmp.Compare(a.Timestamp, b.Timestamp), cmp.Compare(a.BatchID, b.BatchID), cmp.Compare(a.Position, b.Position))
	})
	o.identify()
	o.sessionize()
	return o
}

// identify: an event's user is its user_id; else the user that its anonymous_id
// was first seen with; else the anonymous_id; else the session_id.
func (o *Oracle) identify() {
	first := map[string]*record{}
	for _, r := range o.all {
		if r.UserID == "" || r.AnonymousID == "" {
			continue
		}
		known := first[r.AnonymousID]
		if known == nil || r.Timestamp == known.Timestamp && r.EventID < known.EventID {
			first[r.AnonymousID], o.joined[r.AnonymousID] = r, r.UserID
		}
	}
	for _, r := range o.all {
		r.user = cmp.Or(r.UserID, o.joined[r.AnonymousID], r.AnonymousID, r.SessionID, r.EventID)
	}
}

// sessionize: a session is the one sent; without one, the user's events less
// than or exactly 30 minutes after one another.
func (o *Oracle) sessionize() {
	type last struct {
		at   event.Time
		name string
	}
	lasts := map[string]last{}
	for _, r := range o.all {
		if r.SessionID != "" {
			r.session = r.SessionID
			continue
		}
		l, known := lasts[r.user]
		if !known || r.Timestamp-l.at > 30*minute {
			l.name = r.user + "@" + r.Timestamp.String()
		}
		l.at = r.Timestamp
		lasts[r.user], r.session = l, l.name
	}
}

// Answer is what must stand in the answer of a route such as "stats/events";
// nil when there must be none, because there is no such thing.
func (o *Oracle) Answer(route string, r Request) map[string]any {
	q := o.read(r)
	a := q.answer(route)
	if a != nil && a["complete"] == nil && route != "export" {
		a["complete"] = q.to < q.now // nothing that happens from now on belongs to it
	}
	return a
}

func (q *question) answer(route string) answer {
	if id, is := strings.CutPrefix(route, "users/"); is {
		return q.profile(id)
	}
	reports := map[string]func() answer{
		"events": q.events, "export": q.export, "stats/events": q.stats, "stats/pages": q.pages, "summary": q.summary, "realtime": q.realtime,
		"trends": q.trends, "lifecycle": q.lifecycle, "stickiness": q.stickiness, "paths": q.paths,
		"funnel": q.funnel, "funnel/users": q.funnelUsers, "funnel/explain": q.funnelExplain, "retention": q.retention, "retention/users": q.retentionUsers,
		"heatmap": q.heatmap, "recommendations": q.recommendations,
	}
	return reports[route]()
}

// question is a request with what its common parameters mean.
type question struct {
	Request
	*Oracle
	clock    clock
	from, to event.Time
	passes   test
}

// test decides one event.
type test func(r *record) bool

func (o *Oracle) read(r Request) *question {
	q := &question{Request: r, Oracle: o}
	zone, err := time.LoadLocation(q.text("timezone", "UTC"))
	if err != nil {
		panic(err)
	}
	q.clock = clock{zone, time.Monday}
	if q.text("week_start", "monday") == "sunday" {
		q.clock.weekStart = time.Sunday
	}
	q.from, q.to = q.span(7)
	q.passes = q.every(r["filters"])
	return q
}

// span: a date means its whole day; without from, the last so many days.
func (q *question) span(days int) (from, to event.Time) {
	_, to = q.moment(cmpOr(q.Request["to"], any(q.clock.date(q.now))))
	if q.Request["from"] != nil {
		from, _ = q.moment(q.Request["from"])
		return from, to
	}
	first, err := time.Parse(time.DateOnly, q.clock.date(to))
	if err != nil {
		panic(err)
	}
	from, _ = q.moment(first.AddDate(0, 0, 1-q.whole("days", days)).Format(time.DateOnly))
	return from, to
}

func (q *question) moment(v any) (first, last event.Time) {
	switch v := v.(type) {
	case float64:
		return event.Time(v), event.Time(v)
	case string:
		if t, err := time.Parse(time.RFC3339, v); err == nil {
			return event.TimeOf(t), event.TimeOf(t)
		}
		return q.clock.day(v)
	}
	panic(fmt.Sprintf("no moment: %v", v))
}

func cmpOr(v, missing any) any {
	if v == nil {
		return missing
	}
	return v
}

func (r Request) text(name, missing string) string {
	if s, is := r[name].(string); is {
		return s
	}
	return missing
}

func (r Request) whole(name string, missing int) int {
	if n, is := r[name].(float64); is {
		return int(n)
	}
	return missing
}

// flag is false where it is missing.
func (r Request) flag(name string) bool { return r[name] == true }

func (r Request) list(name string) []any {
	list, _ := r[name].([]any)
	return list
}

// seconds of a duration: a number, or text with one unit.
func (r Request) seconds(name string, missing event.Time) event.Time {
	switch v := r[name].(type) {
	case float64:
		return event.Time(v * 1000)
	case string:
		units := map[byte]event.Time{'s': second, 'm': minute, 'h': hour, 'd': day, 'w': 7 * day}
		n := 0
		if _, err := fmt.Sscan(v[:len(v)-1], &n); err != nil {
			panic(err)
		}
		return event.Time(n) * units[v[len(v)-1]]
	}
	return missing
}

// records of the range that pass the filters.
func (q *question) records() records { return q.between(q.from, q.to) }

func (q *question) between(from, to event.Time) (some records) {
	for _, r := range q.all {
		if r.Timestamp >= from && r.Timestamp <= to && q.passes(r) {
			some = append(some, r)
		}
	}
	return some
}

// who is counted for an event, if anybody.
func (q *question) who(r *record) (string, bool) {
	switch unit := q.Request["unit"].(type) {
	case string:
		if unit == "session" {
			return r.session, true
		}
	case map[string]any:
		v := q.value(r, unit["property"].(string))
		return v.String(), v.Kind != event.Absent
	}
	return r.user, true
}

func (q *question) users(of records) int {
	seen := map[string]bool{}
	for _, r := range of {
		if who, is := q.who(r); is {
			seen[who] = true
		}
	}
	return len(seen)
}

// byUser are the records of each who is counted.
func (q *question) byUser(of records) map[string]records {
	by := map[string]records{}
	for _, r := range of {
		if who, is := q.who(r); is {
			by[who] = append(by[who], r)
		}
	}
	return by
}

// records in the order of time.
type records []*record

func (rs records) where(holds test) (some records) {
	for _, r := range rs {
		if holds(r) {
			some = append(some, r)
		}
	}
	return some
}

func (rs records) by(key func(r *record) string) map[string]records {
	parts := map[string]records{}
	for _, r := range rs {
		parts[key(r)] = append(parts[key(r)], r)
	}
	return parts
}

func (rs records) ofType(t string) records {
	return rs.where(func(r *record) bool { return r.EventType == t })
}

func bySession(r *record) string { return r.session }
func byType(r *record) string    { return r.EventType }
