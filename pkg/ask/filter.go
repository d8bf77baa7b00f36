package ask

import (
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/maidian/maidian/pkg/calendar"
	"github.com/maidian/maidian/pkg/event"
)

// Filters are conditions that must all hold.
type Filters []Filter

// Filter is a condition on one event: a property compared with a value, or
// and, or, not over others.
//
// How values compare:
//   - Numbers compare as numbers: 100 and 1e2 are equal. A number beside text
//     compares with the number that the text reads as: 100 equals "100" and "100.0".
//   - Text equals text byte by byte, capital letters and leading zeros included;
//     contains and starts_with too. They see a number as its digits and a flag as
//     true or false.
//   - true and false equal flags and the texts "true" and "false", never numbers.
//   - gt, gte, lt, lte and between order numbers with numbers, and times with
//     times (RFC 3339, or dates, which mean their whole day in the request's
//     time zone: gt is after the day, gte from its start). What is neither, or the
//     one beside the other, does not match. An event's own times (timestamp,
//     received_at, …) equal a date when they lie in its day.
//   - A list contains a value when one of its elements equals it; other
//     operators see lists and objects as their JSON text.
//   - A missing value, and null, match nothing but not_exists and the negations:
//     neq, not_in and not_contains are exactly not eq, not in, not contains.
type Filter struct {
	And, Or []Filter
	Not     *Filter

	Property string
	Op       Op
	Value    any // as sent; nil with exists and not_exists

	match predicate
}

// Op is how a property is compared.
type Op string

// ops in the order in which errors list them, each with how many values it takes.
var ops = []struct {
	name   Op
	values int // 0, 1, 2, or any number
}{
	{"eq", 1},
	{"neq", 1},
	{"in", many},
	{"not_in", many},
	{"gt", 1},
	{"gte", 1},
	{"lt", 1},
	{"lte", 1},
	{"contains", 1},
	{"not_contains", 1},
	{"starts_with", 1},
	{"exists", 0},
	{"not_exists", 0},
	{"between", 2},
}

// Ops are the names of all operators.
func Ops() []string {
	names := make([]string, len(ops))
	for i, op := range ops {
		names[i] = string(op.name)
	}
	return names
}

const (
	many          = -1
	maxFilters    = 100   // conditions in one list, nested ones included
	maxDepth      = 8     // of nesting
	maxListValues = 10000 // of in and not_in
)

// predicate decides one value.
type predicate func(v event.Value) bool

// Exists is the condition that an event has a property.
func Exists(property string) Filter {
	return Filter{Property: property, Op: "exists", match: present}
}

// Match decides the value of the filter's property; it is of a condition, not of and, or, not.
func (f *Filter) Match(v event.Value) bool { return f.match(v) }

// MarshalJSON writes the filter as a request has it.
func (f Filter) MarshalJSON() ([]byte, error) {
	switch {
	case f.And != nil:
		return json.Marshal(map[string][]Filter{"and": f.And})
	case f.Or != nil:
		return json.Marshal(map[string][]Filter{"or": f.Or})
	case f.Not != nil:
		return json.Marshal(map[string]*Filter{"not": f.Not})
	}
	return json.Marshal(struct {
		Property string `json:"property"`
		Op       Op     `json:"op"`
		Value    any    `json:"value,omitempty"`
	}{f.Property, f.Op, f.Value})
}

// MarshalJSON writes no filters as an empty list.
func (fs Filters) MarshalJSON() ([]byte, error) {
	if fs == nil {
		return []byte("[]"), nil
	}
	return json.Marshal([]Filter(fs))
}

// Filters reads a list of filters; a single one may stand without the list.
func (p *Params) Filters(name string, c calendar.Calendar) Filters {
	items := []any{p.Get(name)}
	switch v := items[0].(type) {
	case nil:
		return nil
	case []any:
		items = v
	case map[string]any:
	default:
		p.Fail(name, `must be a list of filters such as {"property": "browser", "op": "eq", "value": "Chrome"}, got %s`, Describe(v))
		return nil
	}
	left := maxFilters
	return p.filterList(name, items, c, maxDepth, &left)
}

func (p *Params) filterList(name string, items []any, c calendar.Calendar, depth int, left *int) Filters {
	fs := make(Filters, 0, len(items))
	for i, item := range items {
		fs = append(fs, p.filter(name+"["+strconv.Itoa(i)+"]", item, c, depth, left))
	}
	return fs
}

func (p *Params) filter(name string, item any, c calendar.Calendar, depth int, left *int) Filter {
	object, ok := item.(map[string]any)
	*left--
	switch {
	case !ok:
		p.Fail(name, `must be a filter such as {"property": "browser", "op": "eq", "value": "Chrome"}, got %s`, Describe(item))
		return Filter{}
	case *left < 0:
		p.Fail(name, "is one filter too many: at most %d in a list, nested ones included", maxFilters)
		return Filter{}
	case depth == 0:
		p.Fail(name, "is nested too deep: at most %d levels", maxDepth)
		return Filter{}
	}
	o := p.Child(name, object)
	defer o.Close()
	for _, key := range []string{"and", "or", "not"} {
		if _, has := object[key]; has {
			return o.combined(key, c, depth-1, left)
		}
	}
	return o.condition(c)
}

func (p *Params) combined(key string, c calendar.Calendar, depth int, left *int) Filter {
	v := p.Get(key)
	items, isList := v.([]any)
	if key == "not" && !isList {
		f := p.filter(key, v, c, depth, left)
		return Filter{Not: &f}
	}
	if !isList || len(items) == 0 {
		p.Fail(key, "must be a list of one or more filters, got %s", Describe(v))
		return Filter{}
	}
	fs := p.filterList(key, items, c, depth, left)
	switch key {
	case "not":
		return Filter{Not: &Filter{And: fs}}
	case "or":
		return Filter{Or: fs}
	}
	return Filter{And: fs}
}

func (p *Params) condition(c calendar.Calendar) Filter {
	f := Filter{Property: p.Property("property")}
	f.Op = Op(p.OneOf("op", "eq", Ops()...))
	f.Value = p.Get("value")
	values := p.filterValues(f)
	if p.failed.err == nil {
		f.match = p.compile(f, values, c)
	}
	return f
}

// filterValues are the operands, checked for number and kind.
func (p *Params) filterValues(f Filter) []any {
	list, isList := f.Value.([]any)
	want := ops[slices.IndexFunc(ops, func(o struct {
		name   Op
		values int
	},
	) bool {
		return o.name == f.Op
	})].values
	switch {
	case want == 0:
		if b, isBool := f.Value.(bool); f.Value != nil && (!isBool || !b) {
			p.Fail("value", "is not needed with %s; leave it out", f.Op)
		}
		return nil
	case want == many && (!isList || len(list) == 0 || len(list) > maxListValues):
		p.Fail("value", "must be a list of 1 to %d values with %s, got %s", maxListValues, f.Op, Describe(f.Value))
		return nil
	case want == 2 && len(list) != 2:
		p.Fail("value", "must be a list of two values, lowest first, with between, got %s", Describe(f.Value))
		return nil
	case want == 1 && isList:
		p.Fail("value", "must be one value with %s, got a list; use in or not_in for several", f.Op)
		return nil
	case want == 1:
		list = []any{f.Value}
	}
	for i, v := range list {
		name := "value"
		if want != 1 {
			name += "[" + strconv.Itoa(i) + "]"
		}
		switch v.(type) {
		case nil:
			p.Fail(name, "must be a text, a number, true or false; for missing values use not_exists")
		case map[string]any, []any:
			p.Fail(name, "must be a text, a number, true or false, got %s", Describe(v))
		}
	}
	return list
}

func (p *Params) compile(f Filter, values []any, c calendar.Calendar) predicate {
	operands := make([]operand, len(values))
	field := event.FieldNamed(f.Property)
	for i, v := range values {
		operands[i] = newOperand(v, c)
		operands[i].ofTimes = field != nil && field.Kind == event.Moment
	}
	ordered := func(test func(of, to span) bool) predicate {
		return p.ordering(operands[0], "value", c, test)
	}
	switch f.Op {
	case "eq", "in":
		return equalsAny(operands)
	case "neq", "not_in":
		return negate(equalsAny(operands))
	case "contains":
		return containing(operands[0])
	case "not_contains":
		return negate(containing(operands[0]))
	case "starts_with":
		return func(v event.Value) bool {
			return v.Kind != event.Absent && strings.HasPrefix(Text(v), operands[0].text)
		}
	case "not_exists":
		return func(v event.Value) bool { return v.Kind == event.Absent }
	case "gt":
		return ordered(span.after)
	case "gte":
		return ordered(span.notBefore)
	case "lt":
		return ordered(span.before)
	case "lte":
		return ordered(span.notAfter)
	case "between":
		low := p.ordering(operands[0], "value[0]", c, span.notBefore)
		high := p.ordering(operands[1], "value[1]", c, span.notAfter)
		return func(v event.Value) bool { return low(v) && high(v) }
	}
	return present // exists
}

func present(v event.Value) bool { return v.Kind != event.Absent }

func negate(p predicate) predicate { return func(v event.Value) bool { return !p(v) } }

// operand is a filter's value in every way in which it can be compared.
type operand struct {
	text     string
	number   float64
	isNumber bool // it is a number, or text that reads as one
	isText   bool
	moment   span
	isMoment bool
	ofTimes  bool // it is compared with an event's own times, which are numbers of milliseconds
}

func newOperand(v any, c calendar.Calendar) operand {
	switch v := v.(type) {
	case bool:
		return operand{text: strconv.FormatBool(v)}
	case json.Number:
		n, err := v.Float64()
		return operand{text: v.String(), number: n, isNumber: err == nil}
	case string:
		o := operand{text: v, isText: true}
		o.number, o.isNumber = readNumber(v)
		o.moment, o.isMoment = readMoment(v, c)
		return o
	}
	return operand{}
}

func readNumber(text string) (float64, bool) {
	if text == "" || !strings.ContainsAny(text[:1], "+-.0123456789") || strings.ContainsAny(text, "xX_pP") {
		return 0, false
	}
	n, err := strconv.ParseFloat(text, 64)
	return n, err == nil && !math.IsInf(n, 0) && !math.IsNaN(n)
}

func readMoment(text string, c calendar.Calendar) (span, bool) {
	lo, hi, ok := parseMoment(text, c)
	return span{float64(lo), float64(hi)}, ok
}

// equals says whether a stored value is the operand.
func (o operand) equals(v event.Value) bool {
	switch v.Kind {
	case event.Numeric:
		if o.ofTimes && o.isMoment {
			return o.moment.lo <= v.Number && v.Number <= o.moment.hi
		}
		return o.isNumber && o.number == v.Number
	case event.Bool:
		return o.text == Text(v)
	case event.String:
		if o.isNumber && !o.isText {
			n, ok := readNumber(v.Text)
			return ok && n == o.number
		}
		return o.text == v.Text
	case event.Compound:
		return o.text == v.Text
	}
	return false
}

func equalsAny(operands []operand) predicate {
	return func(v event.Value) bool {
		return slices.ContainsFunc(operands, func(o operand) bool { return o.equals(v) })
	}
}

func containing(o operand) predicate {
	return func(v event.Value) bool {
		if v.Kind == event.Compound && strings.HasPrefix(v.Text, "[") {
			return slices.ContainsFunc(elements(v.Text), o.equals)
		}
		return v.Kind != event.Absent && strings.Contains(Text(v), o.text)
	}
}

// elements are the scalars in a JSON list.
func elements(list string) []event.Value {
	decoded, _ := Decode(list)
	items, _ := decoded.([]any)
	values := make([]event.Value, 0, len(items))
	for _, item := range items {
		switch item := item.(type) {
		case string:
			values = append(values, event.Value{Kind: event.String, Text: item})
		case json.Number:
			n, _ := item.Float64()
			values = append(values, event.Value{Kind: event.Numeric, Number: n, Text: item.String()})
		case bool:
			values = append(values, flagValue(item))
		}
	}
	return values
}

func flagValue(b bool) event.Value {
	if b {
		return event.Value{Kind: event.Bool, Number: 1}
	}
	return event.Value{Kind: event.Bool}
}

// Text is a value as people write it.
func Text(v event.Value) string {
	switch v.Kind {
	case event.Bool:
		return strconv.FormatBool(v.Number != 0)
	case event.Numeric:
		if v.Text == "" {
			return strconv.FormatFloat(v.Number, 'f', -1, 64)
		}
	}
	return v.Text
}

// span is what an ordering compares: a number or an instant as both ends, a date as its day.
type span struct{ lo, hi float64 }

func (s span) after(of span) bool     { return s.lo > of.hi }
func (s span) notBefore(of span) bool { return s.lo >= of.lo }
func (s span) before(of span) bool    { return s.hi < of.lo }
func (s span) notAfter(of span) bool  { return s.hi <= of.hi }

// ordering compares numbers with a number, or moments with a moment.
func (p *Params) ordering(o operand, name string, c calendar.Calendar, test func(of, to span) bool) predicate {
	switch {
	case o.isNumber:
		to := span{o.number, o.number}
		return func(v event.Value) bool {
			n, ok := Number(v)
			return ok && test(span{n, n}, to)
		}
	case o.isMoment:
		return func(v event.Value) bool {
			at, ok := o.momentOf(v, c)
			return ok && test(at, o.moment)
		}
	}
	p.Fail(name, "must be a number, a date or an RFC 3339 time here, got %q", o.text)
	return nil
}

// Number is a value as a number: one, or text that reads as one.
func Number(v event.Value) (float64, bool) {
	switch v.Kind {
	case event.Numeric:
		return v.Number, true
	case event.String:
		return readNumber(v.Text)
	}
	return 0, false
}

func (o operand) momentOf(v event.Value, c calendar.Calendar) (span, bool) {
	switch {
	case v.Kind == event.String:
		return readMoment(v.Text, c)
	case v.Kind == event.Numeric && o.ofTimes:
		return span{v.Number, v.Number}, true
	}
	return span{}, false
}

// Properties calls yield for each name that the filters look at.
func (fs Filters) Properties(yield func(name string)) {
	for i := range fs {
		f := &fs[i]
		switch {
		case f.And != nil:
			Filters(f.And).Properties(yield)
		case f.Or != nil:
			Filters(f.Or).Properties(yield)
		case f.Not != nil:
			Filters{*f.Not}.Properties(yield)
		default:
			yield(f.Property)
		}
	}
}
