package oracle

import (
	"bytes"
	"cmp"
	"encoding/json"
	"math"
	"slices"
	"strings"

	"github.com/maidian/maidian/pkg/event"
)

// listed are the records of the range that events and export show.
func (q *question) listed() records {
	return q.records().where(func(r *record) bool {
		user, kind := q.text("user_id", ""), q.text("event_type", "")
		return (user == "" || r.user == q.called(user)) && (kind == "" || r.EventType == kind)
	})
}

// called is the user whom an id means: the user of that name, or whom the
// anonymous id was joined to.
func (o *Oracle) called(id string) string {
	for _, r := range o.all {
		if r.user == id {
			return id
		}
	}
	return cmp.Or(o.joined[id], id)
}

// events: newest first. What comes before the cursor is not the oracle's to know.
func (q *question) events() answer {
	list := shown(q.listed())
	slices.Reverse(list)
	return answer{"events": list}
}

// export: all events of the range, oldest first.
func (q *question) export() answer { return answer{"events": shown(q.listed())} }

// shown are events as they go out, with the sessions that they count for.
func shown(rs records) []any {
	list := []any{}
	for _, r := range rs {
		list = append(list, r.shown())
	}
	return list
}

func (r *record) shown() any {
	e := r.Event
	e.SessionID = r.session
	d := json.NewDecoder(bytes.NewReader(e.AppendJSON(nil)))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		panic(err)
	}
	return v
}

// profile: one user, sessions newest first.
func (q *question) profile(id string) answer {
	user := q.called(id)
	theirs := records(q.all)
	whole := true
	if q.Request["from"] != nil || q.Request["to"] != nil || q.Request["days"] != nil {
		theirs, whole = q.between(q.from, q.to), false
	}
	theirs = theirs.where(q.passes).where(func(r *record) bool { return r.user == user })
	if !slices.ContainsFunc(q.all, func(r *record) bool { return r.user == user }) {
		return nil
	}
	a := answer{
		"user_id": user, "user_ids": idsOf(theirs, func(r *record) string { return r.UserID }), "anonymous_ids": idsOf(theirs, func(r *record) string { return r.AnonymousID }),
		"first_seen": nil, "last_seen": nil, "latest": nil, "total_events": len(theirs), "total_sessions": len(theirs.by(bySession)),
		"by_type": q.top("event_type", byType, theirs, math.MaxInt), "sessions": []any{}, "next_cursor": nil, "ids_complete": true,
	}
	if whole {
		a["complete"] = false
	}
	for _, t := range a["by_type"].([]answer) {
		delete(t, "users")
	}
	if len(theirs) > 0 {
		first, last := theirs[0], theirs[len(theirs)-1]
		a["first_seen"], a["last_seen"], a["latest"], a["sessions"] = first.Timestamp, last.Timestamp, last.shown(), visits(theirs)
	}
	return a
}

func idsOf(rs records, of func(r *record) string) []string {
	ids := []string{}
	for id := range rs.by(of) {
		if id != "" {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

func visits(theirs records) []answer {
	list := []answer{}
	for name, of := range theirs.by(bySession) {
		first, last := of[0].Timestamp, of[len(of)-1].Timestamp
		list = append(list, answer{
			"session_id": name, "started_at": first, "ended_at": last, "duration": float64(last-first) / 1000, "total_events": len(of), "events": shown(of),
		})
	}
	slices.SortFunc(list, func(a, b answer) int {
		if x, y := a["started_at"].(event.Time), b["started_at"].(event.Time); x != y {
			return int(y - x)
		}
		return strings.Compare(b["session_id"].(string), a["session_id"].(string))
	})
	return list
}
