package oracle

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"github.com/maidian/maidian/pkg/event"
)

// other stands for all values of a breakdown beyond its limit.
const other = "$other"

// trends: numbers over time, in all and for each value of a property.
func (q *question) trends() answer {
	interval := q.text("interval", "day")
	buckets := q.clock.buckets(interval, q.from, q.to)
	values := q.values(q.records())
	series, formula := q.series(q.records(), buckets, values)
	a := answer{"buckets": labels(buckets), "complete": q.over(buckets), "series": series}
	if q.Request["formula"] != nil {
		a["formula"] = formula
	}
	if q.text("compare", "") == "previous" {
		from, to := q.beforeBuckets(interval, buckets)
		earlier := q.clock.buckets(interval, from, to)
		a["previous_buckets"] = labels(earlier)
		a["previous"], formula = q.series(q.between(from, to), earlier, q.again(values, q.between(from, to)))
		if q.Request["formula"] != nil {
			a["previous_formula"] = formula
		}
	}
	return a
}

// beforeBuckets is the range before: as many buckets when this one is whole
// ones, else as much time.
func (q *question) beforeBuckets(interval string, buckets []bucket) (from, to event.Time) {
	from, to = q.from, q.from-1
	if q.from != buckets[0].since || q.to+1 != buckets[len(buckets)-1].until {
		return q.from - (q.to - q.from + 1), to
	}
	for range buckets {
		from = q.clock.at(interval, from-1).since
	}
	return from, to
}

// group is a value of the breakdown and which events have it.
type group struct {
	value any
	has   test
}

// values of the breakdown, most frequent first in the events of all series, the
// rest together; one group without a breakdown.
func (q *question) values(rs records) []group {
	property, limit := q.property()
	if property == "" {
		return []group{{nil, func(*record) bool { return true }}}
	}
	counts := map[event.Value]int{}
	for _, s := range q.list("series") {
		for _, r := range rs.where(q.selected(s)) {
			counts[q.value(r, property)]++
		}
	}
	return q.groups(property, counts, limit)
}

// again are the same values in the range before, its others together. Where
// there were none, that range has its own.
func (q *question) again(values []group, rs records) []group {
	if len(values) == 0 {
		return q.values(rs)
	}
	chosen := slices.DeleteFunc(slices.Clone(values), func(g group) bool { return g.value == other })
	rest := func(r *record) bool { return !slices.ContainsFunc(chosen, func(g group) bool { return g.has(r) }) }
	for _, s := range q.list("series") {
		if len(rs.where(q.selected(s)).where(rest)) > 0 {
			return append(chosen, group{other, rest})
		}
	}
	return chosen
}

func (q *question) property() (name string, limit int) {
	switch b := q.Request["breakdown"].(type) {
	case string:
		return b, 25
	case map[string]any:
		return b["property"].(string), Request(b).whole("limit", 25)
	}
	return "", 0
}

func (q *question) groups(property string, counts map[event.Value]int, limit int) (list []group) {
	var order []event.Value
	for v := range counts {
		order = append(order, v)
	}
	slices.SortFunc(order, func(a, b event.Value) int { return cmp.Or(cmp.Compare(counts[b], counts[a]), compareValues(a, b)) })
	chosen := order[:min(limit, len(order))]
	for _, v := range chosen {
		list = append(list, group{valueJSON(v), func(r *record) bool { return q.value(r, property) == v }})
	}
	if len(order) > limit {
		list = append(list, group{other, func(r *record) bool { return !slices.Contains(chosen, q.value(r, property)) }})
	}
	return list
}

// compareValues: missing first, then flags, numbers by size, text by bytes.
func compareValues(a, b event.Value) int {
	return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Number, b.Number), strings.Compare(a.Text, b.Text))
}

// valueJSON is a value in an answer, nil where it is missing.
func valueJSON(v event.Value) any {
	if v.Kind == event.Absent {
		return nil
	}
	return v
}

// series are all series for every value, and the formula.
func (q *question) series(rs records, buckets []bucket, values []group) (list []answer, formula answer) {
	text := q.text("formula", "")
	all := q.computed(text, rs, buckets)
	formula = answer{"values": all.values, "total": all.total}
	_, isBroken := q.Request["breakdown"]
	if isBroken {
		parts := []answer{}
		for _, g := range values {
			c := q.computed(text, rs.where(g.has), buckets)
			parts = append(parts, answer{"value": g.value, "values": c.values, "total": c.total})
		}
		formula["breakdowns"] = parts
	}
	list = []answer{}
	for i, s := range q.list("series") {
		s := asSeries(s)
		for _, g := range values {
			of := rs.where(g.has).where(q.selected(map[string]any(s)))
			line := q.line(s, of, buckets)
			list = append(list, answer{
				"label": s.text("label", string(rune('A'+i))), "event": cmp.Or(s.text("name", ""), s.text("event", "")), "metric": s.text("metric", "count"),
				"value": g.value, "values": line.values, "total": line.total,
			})
		}
	}
	return list, formula
}

func asSeries(s any) Request {
	if text, is := s.(string); is {
		return Request{"event": text}
	}
	return s.(map[string]any)
}

type line struct {
	values []float64
	total  float64
}

func (q *question) line(s Request, of records, buckets []bucket) line {
	l := line{total: q.metric(s, of)}
	for _, b := range buckets {
		l.values = append(l.values, q.metric(s, of.where(func(r *record) bool { return b.holds(r.Timestamp) })))
	}
	return l
}

// metric of nothing is 0.
func (q *question) metric(s Request, of records) float64 {
	var numbers []float64
	for _, r := range of {
		if n, is := number(q.value(r, s.text("property", ""))); is {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	switch metric := s.text("metric", "count"); {
	case metric == "count":
		return float64(len(of))
	case metric == "users":
		return float64(q.users(of))
	case metric == "sessions":
		return float64(len(of.by(bySession)))
	case len(numbers) == 0:
		return 0
	case metric == "min":
		return numbers[0]
	case metric == "max":
		return numbers[len(numbers)-1]
	case metric[0] == 'p':
		return percentile(numbers, map[string]float64{"p50": 0.5, "p90": 0.9, "p99": 0.99}[metric])
	default:
		sum := 0.0
		for _, n := range numbers {
			sum += n
		}
		if metric == "avg" {
			return sum / float64(len(numbers))
		}
		return sum
	}
}

// percentile lies between the two nearest numbers in proportion.
func percentile(sorted []float64, part float64) float64 {
	place := part * float64(len(sorted)-1)
	low, high := sorted[int(math.Floor(place))], sorted[int(math.Ceil(place))]
	return low + (high-low)*(place-math.Floor(place))
}

// computed is the formula, bucket by bucket. It knows those that the tests ask.
func (q *question) computed(formula string, rs records, buckets []bucket) line {
	var of []line
	for _, s := range q.list("series") {
		s := asSeries(s)
		of = append(of, q.line(s, rs.where(q.selected(map[string]any(s))), buckets))
	}
	compute := Formulas[formula]
	if compute == nil {
		return line{}
	}
	pick := func(bucket int) (a, b float64) {
		at := func(l line) float64 {
			if bucket < 0 {
				return l.total
			}
			return l.values[bucket]
		}
		return at(of[0]), at(of[len(of)-1])
	}
	c := line{total: compute(pick(-1))}
	for i := range buckets {
		c.values = append(c.values, compute(pick(i)))
	}
	return c
}

// Formulas of the first series, A, and the last one, B, with what they mean. A
// division by zero is 0.
var Formulas = map[string]func(a, b float64) float64{
	"B/A*100":       func(a, b float64) float64 { return over(b, a) * 100 },
	"A + B*2":       func(a, b float64) float64 { return a + b*2 },
	"(A-B)/(A+B)":   func(a, b float64) float64 { return over(a-b, a+b) },
	"-A + 1.5":      func(a, _ float64) float64 { return -a + 1.5 },
	"A - B - 1 / 2": func(a, b float64) float64 { return a - b - 0.5 },
}

func over(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}
