// Package ask reads what people ask of events: JSON objects whose mistakes are
// told by the path of their field, and in them filters and selectors of events,
// which are the same wherever an event is named.
package ask

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/maidian/maidian/pkg/calendar"
	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/fault"
)

// Params is one JSON object of a request, or the parameters of a GET. Reading
// a parameter declares it; Done then refuses those that nobody declared. The
// first mistake is kept with the path of its field, such as "steps[1].event",
// and the later reads go on with defaults, so a request is read top to bottom
// without a check at each line.
type Params struct {
	path   string
	values map[string]any // as encoding/json gives them, with json.Number
	text   bool           // from a URL: scalars are text
	known  []string
	failed *mistake // shared by all objects of the request
}

type mistake struct{ err error }

// ParamsFromJSON reads a POST's body. An empty body is an empty object.
func ParamsFromJSON(body []byte) (*Params, error) {
	p := &Params{values: map[string]any{}, failed: &mistake{}}
	if len(strings.TrimSpace(string(body))) == 0 {
		return p, nil
	}
	v, err := Decode(string(body))
	if err != nil {
		return nil, fault.New(fault.Invalid, "invalid_json", "the body must be one JSON object: %s", err)
	}
	object, ok := v.(map[string]any)
	if !ok {
		return nil, fault.New(fault.Invalid, "invalid_json", "the body must be a JSON object, got %s", Describe(v))
	}
	p.values = object
	return p, nil
}

// ParamsFromQuery reads a GET's parameters. A value that starts with { or [ is
// JSON (filters, selectors); all else is text, numbers too.
func ParamsFromQuery(query url.Values) (*Params, error) {
	p := &Params{values: map[string]any{}, text: true, failed: &mistake{}}
	for name, given := range query {
		if len(given) > 1 {
			return nil, fault.Field(name, "is given %d times, give it once", len(given))
		}
		value := strings.TrimSpace(given[0])
		if value == "" {
			continue
		}
		p.values[name] = value
		if value[0] == '{' || value[0] == '[' {
			v, err := Decode(value)
			if err != nil {
				return nil, fault.Field(name, "must be JSON when it starts with %q: %s", value[:1], err)
			}
			p.values[name] = v
		}
	}
	return p, nil
}

// Decode reads one JSON value and keeps numbers as they are written.
func Decode(text string) (any, error) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, errors.New("it ends too early")
		}
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows after its end")
	}
	return v, nil
}

// Set gives a parameter that stands elsewhere in the request, such as in its path.
func (p *Params) Set(name, value string) { p.values[name] = value }

// Done is the first mistake, else an error about a parameter that nobody knows.
func (p *Params) Done() error {
	p.Close()
	return p.failed.err
}

// Close refuses what was not declared; every nested object is closed by who read it.
func (p *Params) Close() {
	names := make([]string, 0, len(p.values))
	for name := range p.values {
		if !slices.Contains(p.known, name) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return
	}
	slices.Sort(names)
	slices.Sort(p.known)
	p.known = slices.Compact(p.known)
	if like := nearest(names[0], p.known); like != "" {
		p.Fail(names[0], "is not a parameter here; did you mean %q?", like)
		return
	}
	p.Fail(names[0], "is not a parameter here; there are %s", strings.Join(p.known, ", "))
}

// Mistake is the first one so far, nil when there is none.
func (p *Params) Mistake() error { return p.failed.err }

// Fail notes a mistake in a parameter, the first of the request, in words that
// go on from its name: "must be …".
func (p *Params) Fail(name, format string, args ...any) {
	if p.failed.err == nil {
		p.failed.err = fault.Field(p.at(name), format, args...)
	}
}

func (p *Params) at(name string) string {
	if p.path == "" || name == "" {
		return p.path + name
	}
	return p.path + "." + name
}

// Get is the value of a parameter, nil when it is missing or null.
func (p *Params) Get(name string) any {
	p.known = append(p.known, name)
	return p.values[name]
}

// Has says whether the parameter is given, null not counting.
func (p *Params) Has(name string) bool { return p.Get(name) != nil }

// String is a text parameter, at most 2,000 bytes. A number is taken as its digits.
func (p *Params) String(name, missing string) string {
	switch v := p.Get(name).(type) {
	case nil:
		return missing
	case json.Number:
		return v.String()
	case string:
		if len(v) <= 2000 {
			return v
		}
		p.Fail(name, "must have 2000 bytes or less, got %d", len(v))
	default:
		p.Fail(name, "must be text, got %s", Describe(v))
	}
	return missing
}

// Required is a text parameter that must be there and not empty.
func (p *Params) Required(name, what string) string {
	s := p.String(name, "")
	if s == "" {
		p.Fail(name, "is required: %s", what)
	}
	return s
}

// OneOf is a text parameter with one of the allowed values.
func (p *Params) OneOf(name, missing string, allowed ...string) string {
	s := p.String(name, missing)
	if slices.Contains(allowed, s) {
		return s
	}
	hint := ""
	if like := nearest(s, allowed); like != "" {
		hint = fmt.Sprintf("; did you mean %q?", like)
	}
	p.Fail(name, "must be one of %s, got %q%s", strings.Join(allowed, ", "), s, hint)
	return missing
}

// Int is a whole number from least to most.
func (p *Params) Int(name string, missing, least, most int) int {
	v := p.Get(name)
	if v == nil {
		return missing
	}
	n, ok := p.whole(v)
	if !ok || n < least || n > most {
		p.Fail(name, "must be a whole number from %d to %d, got %s", least, most, Describe(v))
		return missing
	}
	return n
}

func (p *Params) whole(v any) (int, bool) {
	f, ok := p.number(v)
	return int(f), ok && f == math.Trunc(f) && math.Abs(f) <= 1<<53
}

func (p *Params) number(v any) (float64, bool) {
	text, isText := v.(string)
	if n, isNumber := v.(json.Number); isNumber {
		text = n.String()
	} else if !isText || !p.text {
		return 0, false
	}
	f, err := strconv.ParseFloat(text, 64)
	return f, err == nil && !math.IsInf(f, 0) && !math.IsNaN(f)
}

// Bool is true or false.
func (p *Params) Bool(name string, missing bool) bool {
	switch v := p.Get(name).(type) {
	case nil:
		return missing
	case bool:
		return v
	case string:
		if b, err := strconv.ParseBool(v); err == nil && p.text {
			return b
		}
		p.Fail(name, "must be true or false, got %q", v)
	default:
		p.Fail(name, "must be true or false, got %s", Describe(v))
	}
	return missing
}

// Child is a nested object; who reads it must close it.
func (p *Params) Child(name string, values map[string]any) *Params {
	return &Params{path: p.at(name), values: values, failed: p.failed}
}

// List is a nested list, or nil.
func (p *Params) List(name string) []any {
	switch v := p.Get(name).(type) {
	case nil:
		return nil
	case []any:
		return v
	default:
		p.Fail(name, "must be a list, got %s", Describe(v))
		return nil
	}
}

// Duration is a number of seconds or text such as "30m", "12h", "7d", "2w", "1h30m".
func (p *Params) Duration(name, missing string, most event.Time) event.Time {
	v := p.Get(name)
	if v == nil {
		v = missing
	}
	d, ok := p.ParseDuration(v)
	switch {
	case !ok:
		p.Fail(name, `must be a number of seconds or text such as "30m", "12h", "7d", "2w", got %s`, Describe(v))
	case d <= 0:
		p.Fail(name, "must be longer than 0, got %s", Describe(v))
	case d > most:
		p.Fail(name, "must be at most %s, got %s", DurationText(most), Describe(v))
	default:
		return d
	}
	return day
}

// ParseDuration reads what Duration takes.
func (p *Params) ParseDuration(v any) (event.Time, bool) {
	if seconds, ok := p.number(v); ok {
		return event.Time(math.Round(max(-1e12, min(1e12, seconds)) * 1000)), true
	}
	text, ok := v.(string)
	if !ok {
		return 0, false
	}
	return ParseDuration(text)
}

const (
	second = event.Time(1000)
	hour   = 3600 * second
	day    = 24 * hour
)

// durationUnits from long to short, so that a text is written with the longest that divides it.
var durationUnits = []struct {
	name   string
	length event.Time
}{{"w", 7 * day}, {"d", day}, {"h", hour}, {"m", 60 * second}, {"s", second}}

// ParseDuration reads text such as "30m", "-7d" or "1h30m".
func ParseDuration(text string) (event.Time, bool) {
	rest, negative := strings.CutPrefix(strings.TrimSpace(text), "-")
	if rest == "" {
		return 0, false
	}
	total := 0.0
	for rest != "" {
		digits := strings.IndexFunc(rest, func(r rune) bool { return (r < '0' || r > '9') && r != '.' })
		if digits <= 0 {
			return 0, false
		}
		n, err := strconv.ParseFloat(rest[:digits], 64)
		unit := slices.IndexFunc(durationUnits, func(u struct {
			name   string
			length event.Time
		},
		) bool {
			return u.name == rest[digits:digits+1]
		})
		if err != nil || unit < 0 || n > 1e9 {
			return 0, false
		}
		total += n * float64(durationUnits[unit].length)
		rest = rest[digits+1:]
	}
	if negative {
		total = -total
	}
	return event.Time(math.Round(total)), true
}

// DurationText writes a duration so that it reads back as the same: "14d", "90s".
func DurationText(d event.Time) string {
	for _, unit := range durationUnits[1:] {
		if d%unit.length == 0 {
			return strconv.FormatInt(int64(d/unit.length), 10) + unit.name
		}
	}
	return strconv.FormatFloat(float64(d)/1000, 'f', -1, 64) + "s"
}

// Moment is a time as a span of one instant, or a date as the span of its day.
func (p *Params) Moment(name string, c calendar.Calendar) (lo, hi event.Time, given bool) {
	v := p.Get(name)
	if v == nil {
		return 0, 0, false
	}
	if ms, ok := p.whole(v); ok {
		return event.Time(ms), event.Time(ms), true
	}
	text, _ := v.(string)
	lo, hi, ok := parseMoment(text, c)
	if !ok {
		p.Fail(name, `must be a date such as "2026-01-31", an RFC 3339 time or epoch milliseconds, got %s`, Describe(v))
	}
	return lo, hi, ok
}

// parseMoment reads a date as the span of its day and a time as a span of one instant.
func parseMoment(text string, c calendar.Calendar) (lo, hi event.Time, ok bool) {
	if len(text) < len(time.DateOnly) || text[4] != '-' {
		return 0, 0, false
	}
	if date, err := time.Parse(time.DateOnly, text); err == nil {
		y, m, d := date.Date()
		return c.StartOfDate(y, m, d), c.StartOfDate(y, m, d+1) - 1, true
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return 0, 0, false
	}
	return event.TimeOf(t), event.TimeOf(t), true
}

// Describe shows a value in an error, cut short.
func Describe(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprintf("a %T", v)
	}
	if len(text) > 60 {
		return string(text[:60]) + "…"
	}
	return string(text)
}

// nearest is the candidate that name is most probably a misspelling of, or "".
func nearest(name string, candidates []string) string {
	best, least := "", max(1, len(name)/3)+1
	for _, c := range candidates {
		if d := editDistance(name, c); d < least {
			best, least = c, d
		}
	}
	return best
}

// editDistance is the Levenshtein distance; long names are cut, since they are no misspellings.
func editDistance(a, b string) int {
	a, b = a[:min(len(a), 40)], b[:min(len(b), 40)]
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		above := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := above
			if a[i] != b[j] {
				cost = 1 + min(above, row[j], row[j+1])
			}
			above, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}

// Property reads the name of an event field or property.
func (p *Params) Property(name string) string {
	s := p.Required(name, `the name of an event field ("page_path") or of a property ("plan", "properties.plan")`)
	switch {
	case s == "properties":
		p.Fail(name, `must name one property, such as "properties.plan"`)
	case len(s) > 300:
		p.Fail(name, "must have 300 bytes or less, got %d", len(s))
	}
	return s
}

// Zone reads the IANA name of a time zone.
func (p *Params) Zone(name, missing string) (string, *time.Location) {
	given := p.String(name, missing)
	zone, err := time.LoadLocation(given)
	if err != nil || given == "" || given == "Local" {
		p.Fail(name, `must be an IANA name such as "Europe/Berlin" or "UTC", got %q`, given)
		return "UTC", time.UTC
	}
	return given, zone
}
