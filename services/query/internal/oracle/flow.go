package oracle

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/maidian/maidian/pkg/event"
)

// lifecycle: where active users come from and where they go, in whole intervals.
func (q *question) lifecycle() answer {
	buckets := q.clock.buckets(q.text("interval", "day"), q.from, q.to)
	n := len(buckets)
	fresh, returning, resurrecting, dormant := make([]int, n), make([]int, n), make([]int, n), make([]int, n)
	active := records(q.all).where(q.passes).where(q.selected(q.Request["event"]))
	before := q.clock.at(q.text("interval", "day"), buckets[0].since-1)
	for _, theirs := range q.byUser(active) {
		for i, b := range buckets {
			if i > 0 {
				before = buckets[i-1]
			} else {
				before = q.clock.at(q.text("interval", "day"), b.since-1)
			}
			here := slices.ContainsFunc(theirs, func(r *record) bool { return b.holds(r.Timestamp) })
			justBefore := slices.ContainsFunc(theirs, func(r *record) bool { return before.holds(r.Timestamp) })
			switch {
			case here && b.holds(theirs[0].Timestamp):
				fresh[i]++
			case here && justBefore:
				returning[i]++
			case here:
				resurrecting[i]++
			case justBefore:
				dormant[i]--
			}
		}
	}
	return answer{"buckets": labels(buckets), "complete": q.over(buckets), "new": fresh, "returning": returning, "resurrecting": resurrecting, "dormant": dormant}
}

// stickiness: users by the number of intervals in which they were active.
func (q *question) stickiness() answer {
	var buckets []bucket
	each := q.clock.buckets(q.text("interval", "day"), q.from, q.to)
	for part := range slices.Chunk(each, q.whole("interval_count", 1)) {
		buckets = append(buckets, bucket{part[0].since, part[len(part)-1].until, part[0].label})
	}
	data := make([]int, len(buckets))
	active := q.byUser(q.records().where(q.selected(q.Request["event"])))
	for _, theirs := range active {
		in := map[int]bool{}
		for _, r := range theirs {
			in[find(buckets, r.Timestamp)] = true
		}
		data[len(in)-1]++
	}
	return answer{"data": data, "users": len(active), "buckets": labels(buckets)}
}

// paths: what comes after what within sessions, by who is counted.
func (q *question) paths() answer {
	users := map[[2]string]map[string]bool{}
	for _, theirs := range q.byUser(q.records()) {
		who, _ := q.who(theirs[0])
		for _, visit := range theirs.by(bySession) {
			path := q.path(visit)
			for i := 1; i < len(path); i++ {
				edge := [2]string{fmt.Sprintf("%d_%s", i, path[i-1]), fmt.Sprintf("%d_%s", i+1, path[i])}
				if users[edge] == nil {
					users[edge] = map[string]bool{}
				}
				users[edge][who] = true
			}
		}
	}
	edges := []answer{}
	for edge, by := range users {
		edges = append(edges, answer{"from": edge[0], "to": edge[1], "users": len(by)})
	}
	slices.SortFunc(edges, func(a, b answer) int {
		return cmp.Or(cmp.Compare(b["users"].(int), a["users"].(int)), cmp.Compare(a["from"].(string), b["from"].(string)), cmp.Compare(a["to"].(string), b["to"].(string)))
	})
	return answer{"edges": edges[:min(len(edges), q.whole("limit", 50))], "total": len(edges)}
}

// path is a session's items between its ends; repeats in a row count once.
func (q *question) path(visit records) []string {
	visit = slices.Clone(visit)
	slices.SortStableFunc(visit, func(a, b *record) int {
		return cmp.Or(cmp.Compare(a.Timestamp, b.Timestamp), cmp.Compare(q.item(a), q.item(b)))
	})
	if start := q.Request["start"]; start != nil {
		first := slices.IndexFunc(visit, q.selected(start))
		if first < 0 {
			return nil
		}
		visit = visit[first:]
	}
	if end := q.Request["end"]; end != nil {
		visit = visit[:slices.IndexFunc(visit, q.selected(end))+1] // none without an end
	}
	var path []string
	for _, r := range visit {
		if item := q.item(r); item != "" && (len(path) == 0 || path[len(path)-1] != item) {
			path = append(path, item)
		}
	}
	steps := q.whole("steps", 5)
	if q.Request["end"] != nil && q.Request["start"] == nil {
		return path[max(0, len(path)-steps):]
	}
	return path[:min(len(path), steps)]
}

// item is what a path shows of an event; nothing of most.
func (q *question) item(r *record) string {
	by := q.text("by", "page_path")
	v := q.value(r, by)
	if v.Kind == event.Absent || by == "page_path" && r.EventType != "page_view" {
		return ""
	}
	return v.String()
}
