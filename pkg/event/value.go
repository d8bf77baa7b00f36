package event

import (
	"errors"
	"strconv"
	"strings"
)

// ValueKind is the JSON type of a property's value.
type ValueKind uint8

const (
	Absent ValueKind = iota // not there, or null
	Bool                    // Number is 1 or 0
	Numeric
	String
	Compound // an array or object; Text is its JSON
)

// Value is one property's or field's value, comparable with ==.
type Value struct {
	Kind   ValueKind
	Number float64
	Text   string // for Numeric the digits as sent, so that a value goes out as it came in
}

// TextValue is s as a value.
func TextValue(s string) Value { return Value{Kind: String, Text: s} }

// NumberValue is f as a value, with the shortest digits that mean it.
func NumberValue(f float64) Value {
	return Value{Kind: Numeric, Number: f, Text: strconv.FormatFloat(f, 'g', -1, 64)}
}

// AppendJSON writes the value as JSON; the absent one is null.
func (v Value) AppendJSON(dst []byte) []byte {
	switch v.Kind {
	case Bool:
		return strconv.AppendBool(dst, v.Number != 0)
	case Numeric, Compound:
		return append(dst, v.Text...)
	case String:
		return appendQuoted(dst, v.Text)
	}
	return append(dst, "null"...)
}

// MarshalJSON is AppendJSON.
func (v Value) MarshalJSON() ([]byte, error) { return v.AppendJSON(nil), nil }

// String is the value in words, for labels: text as it is, all else as JSON.
func (v Value) String() string {
	if v.Kind == String {
		return v.Text
	}
	return string(v.AppendJSON(nil))
}

// ValueOf is the field's value in e.
func (f *Field) ValueOf(e *Event) Value {
	if !f.present(e) && f.Kind != Flag {
		return Value{}
	}
	switch f.Kind {
	case Num:
		return numeric(string(*f.num(e)))
	case Moment:
		return numeric(strconv.FormatInt(int64(*f.time(e)), 10))
	case Flag:
		if *f.flag(e) {
			return Value{Kind: Bool, Number: 1}
		}
		return Value{Kind: Bool}
	case Object:
		return Value{Kind: Compound, Text: *f.text(e)}
	}
	return TextValue(*f.text(e))
}

func numeric(digits string) Value {
	n, _ := strconv.ParseFloat(digits, 64)
	return Value{Kind: Numeric, Number: n, Text: digits}
}

// PropertyPrefix before a name says that a property is meant, whatever event fields there are.
const PropertyPrefix = "properties."

// ValueOf is the value in e of an event field, or else of the property of that
// name; "properties.x" is the property x even where x is an event field.
func ValueOf(e *Event, name string) Value {
	if f := fieldByName[name]; f != nil {
		return f.ValueOf(e)
	}
	return Property(e.Properties, strings.TrimPrefix(name, PropertyPrefix))
}

// Property is the value under key in an object's JSON. The literal key wins;
// without one, a key with dots is a path into nested objects.
func Property(properties, key string) Value {
	if properties == "" {
		return Value{}
	}
	if raw, ok := member(properties, key); ok {
		return valueOf(raw)
	}
	for i := 0; i < len(key); i++ {
		if key[i] != '.' {
			continue
		}
		if raw, ok := member(properties, key[:i]); ok && raw[0] == '{' {
			if v := Property(raw, key[i+1:]); v.Kind != Absent {
				return v
			}
		}
	}
	return Value{}
}

// EachProperty calls yield for the keys of an object's JSON in their order, until it says false.
func EachProperty(properties string, yield func(key string, v Value) bool) {
	each(properties, func(key, raw string) bool { return yield(key, valueOf(raw)) })
}

// EachElement calls yield for the elements of an array's JSON in their order, until it says false.
func EachElement(array string, yield func(v Value) bool) {
	if array == "" {
		return
	}
	c := cursor{s: array}
	_ = c.array(func(int) error {
		raw, err := c.value(&shape{})
		if err == nil && !yield(valueOf(raw)) {
			return errStop
		}
		return err
	})
}

func member(object, key string) (found string, ok bool) {
	each(object, func(k, raw string) bool {
		if k == key {
			found, ok = raw, true
		}
		return !ok
	})
	return found, ok
}

var errStop = errors.New("stop")

// each goes over the members of an object that was checked when it came in; it stops at nonsense.
func each(object string, yield func(key, raw string) bool) {
	if object == "" {
		return
	}
	c := cursor{s: object}
	_ = c.object(func(key string) error {
		c.next()
		raw, err := c.value(&shape{})
		if err == nil && !yield(key, raw) {
			return errStop
		}
		return err
	})
}

func valueOf(raw string) Value {
	c := cursor{s: raw}
	switch b := c.next(); {
	case b == '"':
		s, _ := c.text()
		return TextValue(s)
	case b == '{' || b == '[':
		return Value{Kind: Compound, Text: raw}
	case b == 't':
		return Value{Kind: Bool, Number: 1}
	case b == 'f':
		return Value{Kind: Bool}
	case b == 'n' || b == 0:
		return Value{}
	}
	return numeric(raw)
}
