package oracle

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/maidian/maidian/pkg/event"
)

// every is a list of filters, all of which must hold.
func (q *question) every(filters any) test {
	list, _ := filters.([]any)
	return func(r *record) bool {
		for _, f := range list {
			if !q.holds(f.(map[string]any), r) {
				return false
			}
		}
		return true
	}
}

func (q *question) holds(f map[string]any, r *record) bool {
	if some, is := f["or"].([]any); is {
		return slices.ContainsFunc(some, func(f any) bool { return q.holds(f.(map[string]any), r) })
	}
	if not, is := f["not"].(map[string]any); is {
		return !q.holds(not, r)
	}
	v := q.value(r, f["property"].(string))
	list, _ := f["value"].([]any)
	switch op := f["op"]; op {
	case "eq":
		return equal(v, f["value"])
	case "neq":
		return !equal(v, f["value"])
	case "in", "not_in":
		return slices.ContainsFunc(list, func(of any) bool { return equal(v, of) }) == (op == "in")
	case "gt", "gte", "lt", "lte":
		return ordered(v, f["value"], op.(string))
	case "between":
		return ordered(v, list[0], "gte") && ordered(v, list[1], "lte")
	case "contains", "not_contains":
		return contains(v, f["value"].(string)) == (op == "contains")
	case "starts_with":
		return v.Kind != event.Absent && strings.HasPrefix(written(v), f["value"].(string))
	case "exists":
		return v.Kind != event.Absent
	case "not_exists":
		return v.Kind == event.Absent
	}
	panic(fmt.Sprint("no such filter: ", f))
}

// value is an event's field or property; a derived session is the event's too.
func (q *question) value(r *record, name string) event.Value {
	if name == "session_id" {
		return event.TextValue(r.session)
	}
	return event.ValueOf(&r.Event, name)
}

// written is a value as people write it.
func written(v event.Value) string {
	if v.Kind == event.Bool {
		return strconv.FormatBool(v.Number != 0)
	}
	return v.Text
}

// equal: numbers by size, and beside text the number that it reads as; flags
// and their names; text byte by byte.
func equal(v event.Value, of any) bool {
	switch of := of.(type) {
	case float64:
		n, is := number(v)
		return is && n == of
	case bool:
		return v.Kind != event.Numeric && v.Kind != event.Absent && written(v) == strconv.FormatBool(of)
	case string:
		if v.Kind == event.Numeric {
			n, err := strconv.ParseFloat(of, 64)
			return err == nil && n == v.Number
		}
		return v.Kind != event.Absent && written(v) == of
	}
	panic(fmt.Sprint("no value: ", of))
}

// number is a number, or the one that a text reads as.
func number(v event.Value) (float64, bool) {
	switch v.Kind {
	case event.Numeric:
		return v.Number, true
	case event.String:
		n, err := strconv.ParseFloat(v.Text, 64)
		return n, err == nil
	}
	return 0, false
}

// ordered compares with a number.
func ordered(v event.Value, of any, op string) bool {
	n, is := number(v)
	limit := of.(float64)
	switch op {
	case "gt":
		return is && n > limit
	case "gte":
		return is && n >= limit
	case "lt":
		return is && n < limit
	}
	return is && n <= limit
}

// contains: a list contains what equals one of its elements, text its parts.
func contains(v event.Value, part string) bool {
	var list []any
	if v.Kind == event.Compound && json.Unmarshal([]byte(v.Text), &list) == nil {
		return slices.Contains(list, any(part))
	}
	return v.Kind != event.Absent && strings.Contains(written(v), part)
}

// selected is a selector: an event type, "*", or an object with them, a name and filters.
func (q *question) selected(selector any) test {
	object, is := selector.(map[string]any)
	if !is {
		object = map[string]any{"event": cmpOr(selector, "*")}
	}
	passes := q.every(object["filters"])
	name, _ := object["name"].(string)
	return func(r *record) bool {
		return (object["event"] == "*" || object["event"] == r.EventType) && (name == "" || name == r.EventName) && passes(r)
	}
}
