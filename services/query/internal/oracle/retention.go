package oracle

import (
	"cmp"
	"slices"

	"github.com/maidian/maidian/pkg/event"
)

// retention is a request's rules. Its rows are the periods of the range,
// widened to whole ones.
type retention struct {
	*question
	rows      []bucket
	intervals int
	start     test // any start event
	matching  test // a start event that matches the filters
	back      test
	length    event.Time // of a rolling interval
}

func (q *question) readRetention() *retention {
	period := q.text("period", "day")
	t := &retention{question: q, intervals: q.whole("intervals", 11)}
	if q.Request["from"] == nil && q.Request["days"] == nil {
		last := q.clock.at(period, q.to)
		for t.rows = []bucket{last}; len(t.rows) < t.intervals; {
			t.rows = slices.Insert(t.rows, 0, q.clock.at(period, t.rows[0].since-1))
		}
	} else {
		t.rows = q.clock.buckets(period, q.from, q.to)
	}
	q.from, q.to = t.rows[0].since, t.rows[len(t.rows)-1].until-1
	start, startFilters, back, backFilters := q.selected(q.Request["start_event"]), q.every(q.Request["start_filters"]), q.selected(q.Request["return_event"]), q.every(q.Request["return_filters"])
	// What kind of event starts is the selector's type and name; its filters must be matched.
	t.start = q.selected(q.Request["start_event"])
	if object, is := q.Request["start_event"].(map[string]any); is {
		t.start = q.selected(map[string]any{"event": object["event"], "name": object["name"]})
	}
	t.matching = func(r *record) bool { return start(r) && startFilters(r) && q.passes(r) }
	t.back = func(r *record) bool { return back(r) && backFilters(r) && q.passes(r) }
	t.length = map[string]event.Time{"hour": hour, "day": day, "week": 7 * day, "month": 30 * day}[period]
	return t
}

// starts are a user's first start events by row; nil where there is none.
func (t *retention) starts(theirs records) []*record {
	starts := make([]*record, len(t.rows))
	counts := t.matching
	if kind := t.text("cohort", "recurring"); kind != "recurring" {
		candidates := theirs.where(t.matching)
		if kind == "first_ever" {
			candidates = theirs.where(t.start)
		}
		counts = func(r *record) bool { return t.matching(r) && r.Timestamp == candidates[0].Timestamp }
	}
	for _, r := range theirs.where(counts) {
		if row := find(t.rows, r.Timestamp); row >= 0 && starts[row] == nil {
			starts[row] = r
		}
	}
	return starts
}

// active says whether one who started in a row came back in interval k.
func (t *retention) active(theirs records, row, k int, start event.Time) bool {
	in := bucket{since: start + event.Time(k)*t.length, until: start + event.Time(k+1)*t.length}
	if t.text("window", "calendar") == "calendar" {
		in = t.rows[row+k]
	}
	n := 0
	for _, r := range theirs {
		if t.back(r) && in.holds(r.Timestamp) && r.Timestamp >= t.from && r.Timestamp <= t.to {
			n++
		}
	}
	return n >= t.whole("min_occurrences", 1)
}

// counted: active in that interval, or for on_or_after in a later one of the range.
func (t *retention) counted(theirs records, row, k int, start event.Time) bool {
	if k == 0 {
		return true
	}
	for ; row+k < len(t.rows); k++ {
		if t.active(theirs, row, k, start) {
			return true
		}
		if t.text("mode", "on") == "on" {
			return false
		}
	}
	return false
}

func (q *question) retention() answer {
	t := q.readRetention()
	people := q.byUser(q.all)
	a := t.matrix(people)
	if q.Request["breakdown"] != nil {
		a["breakdowns"] = t.breakdowns(people)
	}
	return a
}

// matrix is the cohorts of some people, and their mean.
func (t *retention) matrix(people map[string]records) answer {
	cohorts := []answer{}
	for row, b := range t.rows {
		values, complete := make([]int, min(t.intervals, len(t.rows)-row)), []bool{}
		for k := range values {
			complete = append(complete, t.complete(row, k))
			for _, theirs := range people {
				if start := t.starts(theirs)[row]; start != nil && t.counted(theirs, row, k, start.Timestamp) {
					values[k]++
				}
			}
		}
		cohorts = append(cohorts, answer{"start": b.label, "size": values[0], "values": values, "complete": complete})
	}
	return answer{"cohorts": cohorts, "retention_data": t.mean(cohorts)}
}

// complete: no event to come can change it, and a rolling interval ends in the range.
func (t *retention) complete(row, k int) bool {
	last := len(t.rows) - 1
	switch {
	case k == 0:
		return t.rows[row].until <= t.now
	case t.text("window", "calendar") == "rolling":
		end := t.rows[row].until - 1 + event.Time(k+1)*t.length
		if t.text("mode", "on") == "on_or_after" {
			end = max(end, t.rows[last].until)
		}
		return end <= t.rows[last].until && end <= t.now
	case t.text("mode", "on") == "on_or_after":
		return t.rows[last].until <= t.now
	}
	return t.rows[row+k].until <= t.now
}

// mean is weighted, over the cohorts in which an interval is complete.
func (t *retention) mean(cohorts []answer) []answer {
	points := []answer{}
	for k := range cohorts[0]["values"].([]int) {
		users, size, any := 0, 0, false
		for _, c := range cohorts {
			if values := c["values"].([]int); k < len(values) && c["complete"].([]bool)[k] {
				users, size, any = users+values[k], size+values[0], true
			}
		}
		point := answer{"day": k, "users": users, "retention_rate": nil}
		if any {
			point["retention_rate"] = percent(users, size)
		}
		points = append(points, point)
	}
	return points
}

// breakdowns are by the value of each user's first or last counted event of the
// range that has one.
func (t *retention) breakdowns(people map[string]records) []answer {
	property, limit := t.property()
	b := Request(t.Request["breakdown"].(map[string]any))
	f := &funnel{question: t.question}
	byValue := map[event.Value]map[string]records{}
	counts := map[event.Value]int{}
	for who, theirs := range people {
		var counted []hit
		for _, r := range theirs {
			if r.Timestamp >= t.from && r.Timestamp <= t.to && (t.matching(r) || t.back(r)) {
				counted = append(counted, hit{record: r})
			}
		}
		if len(counted) == 0 || !slices.ContainsFunc(t.starts(theirs), func(r *record) bool { return r != nil }) {
			continue
		}
		v := f.touched(counted, property, b.text("attribution", "first_touch"))
		counts[v]++
		if byValue[v] == nil {
			byValue[v] = map[string]records{}
		}
		byValue[v][who] = theirs
	}
	order := []event.Value{}
	for v := range counts {
		order = append(order, v)
	}
	slices.SortFunc(order, func(a, b event.Value) int { return cmp.Or(cmp.Compare(counts[b], counts[a]), compareValues(a, b)) })
	list, others := []answer{}, map[string]records{}
	for i, v := range order {
		if i < limit {
			list = append(list, t.part(valueJSON(v), byValue[v]))
			continue
		}
		for who, theirs := range byValue[v] {
			others[who] = theirs
		}
	}
	if len(others) > 0 {
		list = append(list, t.part(other, others))
	}
	return list
}

func (t *retention) part(value any, people map[string]records) answer {
	a := t.matrix(people)
	a["value"] = value
	return a
}

// retentionUsers are those of a cohort, most active first, then by name.
func (q *question) retentionUsers() answer {
	t := q.readRetention()
	row := q.whole("cohort_index", 0)
	list := []answer{}
	for who, theirs := range q.byUser(q.all) {
		start := t.starts(theirs)[row]
		if start == nil {
			continue
		}
		intervals := []int{}
		for k := range min(t.intervals, len(t.rows)-row) {
			if k == 0 || t.active(theirs, row, k, start.Timestamp) {
				intervals = append(intervals, k)
			}
		}
		if only := q.whole("interval", 0); t.counted(theirs, row, only, start.Timestamp) {
			list = append(list, answer{"user_id": who, "intervals": intervals})
		}
	}
	slices.SortFunc(list, func(a, b answer) int {
		return cmp.Or(cmp.Compare(len(b["intervals"].([]int)), len(a["intervals"].([]int))), cmp.Compare(a["user_id"].(string), b["user_id"].(string)))
	})
	return answer{"users": list}
}
