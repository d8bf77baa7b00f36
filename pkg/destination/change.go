package destination

import (
	"strings"

	"github.com/maidian/maidian/pkg/event"
)

// change puts another value in the place of a field or of every property that
// the name can mean; the absent one takes it out.
func change(e *event.Event, name string, to func(event.Value) event.Value) {
	f := event.FieldNamed(name)
	if f == nil {
		e.Properties = changed(e.Properties, strings.TrimPrefix(name, event.PropertyPrefix), to)
		return
	}
	v := f.ValueOf(e)
	if v.Kind == event.Absent {
		return
	}
	v = to(v)
	switch f.Kind {
	case event.Num:
		f.SetNumber(e, event.Number(v.Text))
	case event.Moment:
		f.SetTime(e, event.Time(v.Number))
	case event.Flag:
		f.SetFlag(e, v.Number != 0)
	default:
		f.SetText(e, v.Text)
	}
}

// changed is an object's JSON with other values under a key, literally or, where
// the key has dots, as a path into nested objects and lists of them.
func changed(object, key string, to func(event.Value) event.Value) string {
	if object == "" {
		return ""
	}
	out := []byte{'{'}
	event.EachProperty(object, func(k string, v event.Value) bool {
		switch rest, within := strings.CutPrefix(key, k+"."); {
		case k == key && v.Kind != event.Absent:
			v = to(v)
			if v.Kind == event.Absent {
				return true
			}
		case within && v.Kind == event.Compound:
			v.Text = changedWithin(v.Text, rest, to)
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(event.TextValue(k).AppendJSON(out), ':')
		out = v.AppendJSON(out)
		return true
	})
	if len(out) == 1 {
		return ""
	}
	return string(append(out, '}'))
}

func changedWithin(text, key string, to func(event.Value) event.Value) string {
	if strings.HasPrefix(text, "{") {
		if text = changed(text, key, to); text == "" {
			return "{}"
		}
		return text
	}
	out := []byte{'['}
	event.EachElement(text, func(v event.Value) bool {
		if v.Kind == event.Compound {
			v.Text = changedWithin(v.Text, key, to)
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = v.AppendJSON(out)
		return true
	})
	return string(append(out, ']'))
}

// Value is the column's value in an event.
func (c *Column) Value(e *event.Event) event.Value { return event.ValueOf(e, c.source) }

// AppendJSON writes what is sent of an event as a JSON object: the columns that
// it has, times as RFC 3339.
func (s *Shape) AppendJSON(dst []byte, e *event.Event) []byte {
	dst = append(dst, '{')
	empty := len(dst)
	for i := range s.columns {
		c := &s.columns[i]
		v := c.Value(e)
		if v.Kind == event.Absent {
			continue
		}
		if len(dst) > empty {
			dst = append(dst, ',')
		}
		dst = append(event.TextValue(c.Name).AppendJSON(dst), ':')
		if c.Field != nil && c.Field.Kind == event.Moment {
			v = event.TextValue(c.Field.TimeOf(e).String())
		}
		dst = v.AppendJSON(dst)
	}
	return append(dst, '}')
}
