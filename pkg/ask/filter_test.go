package ask

import (
	"fmt"
	"testing"
	"time"

	"github.com/maidian/maidian/pkg/calendar"
	"github.com/maidian/maidian/pkg/event"
)

func TestFiltersCompareByKind(t *testing.T) {
	number := func(text string, n float64) event.Value {
		return event.Value{Kind: event.Numeric, Number: n, Text: text}
	}
	list := event.Value{Kind: event.Compound, Text: `["a", 2, true]`}
	tests := map[string]struct {
		op, operand string
		value       event.Value
		want        bool
	}{
		"text equals text":                          {"eq", `"Chrome"`, event.TextValue("Chrome"), true},
		"capital letters count":                     {"eq", `"chrome"`, event.TextValue("Chrome"), false},
		"leading zeros count between texts":         {"eq", `"7"`, event.TextValue("007"), false},
		"numbers are equal however written":         {"eq", `1e2`, number("100.0", 100), true},
		"a number equals the text of it":            {"eq", `100`, event.TextValue("100.0"), true},
		"the text of a number equals it":            {"eq", `"100"`, number("1e2", 100), true},
		"a number is no other text":                 {"eq", `100`, event.TextValue("100 USD"), false},
		"a flag equals true":                        {"eq", `true`, event.Value{Kind: event.Bool, Number: 1}, true},
		"a flag equals the text of it":              {"eq", `"false"`, event.Value{Kind: event.Bool}, true},
		"a flag is no number":                       {"eq", `1`, event.Value{Kind: event.Bool, Number: 1}, false},
		"missing equals nothing":                    {"eq", `"x"`, event.Value{}, false},
		"missing is not x":                          {"neq", `"x"`, event.Value{}, true},
		"missing is not in":                         {"not_in", `["x"]`, event.Value{}, true},
		"missing does not contain":                  {"not_contains", `"x"`, event.Value{}, true},
		"missing is not above":                      {"gt", `0`, event.Value{}, false},
		"missing is not below":                      {"lt", `0`, event.Value{}, false},
		"in":                                        {"in", `["x", 3]`, event.TextValue("3"), true},
		"not in":                                    {"not_in", `["x", 3]`, number("3", 3), false},
		"numbers order as numbers":                  {"gt", `9`, number("10", 10), true},
		"texts that read as numbers order as such":  {"lt", `10`, event.TextValue("9"), true},
		"the bound is not above itself":             {"gt", `10`, number("10", 10), false},
		"gte includes the bound":                    {"gte", `"10"`, number("10", 10), true},
		"lte includes the bound":                    {"lte", `10`, number("10", 10), true},
		"other text has no order":                   {"gt", `1`, event.TextValue("zebra"), false},
		"between includes both ends":                {"between", `[1, 3]`, number("3", 3), true},
		"between ends":                              {"between", `[1, 3]`, number("3.5", 3.5), false},
		"times order as times":                      {"gt", `"2026-03-01T00:00:00Z"`, event.TextValue("2026-03-01T01:00:00+00:30"), true},
		"after a date is after its day":             {"gt", `"2026-03-01"`, event.TextValue("2026-03-01T12:00:00Z"), false},
		"from a date on includes its day":           {"gte", `"2026-03-01"`, event.TextValue("2026-03-01T00:00:00Z"), true},
		"dates compare with dates":                  {"lte", `"2026-03-01"`, event.TextValue("2026-03-01"), true},
		"a number is no time":                       {"gt", `"2026-03-01"`, number("20270101", 20270101), false},
		"contains":                                  {"contains", `"rom"`, event.TextValue("Chrome"), true},
		"contains minds capital letters":            {"contains", `"ROM"`, event.TextValue("Chrome"), false},
		"a number contains its digits":              {"contains", `"2"`, number("123", 123), true},
		"a list contains its elements":              {"contains", `"a"`, list, true},
		"a list contains numbers":                   {"contains", `2`, list, true},
		"a list does not contain parts of elements": {"contains", `"r"`, list, false},
		"not contains":                              {"not_contains", `"a"`, list, false},
		"starts with":                               {"starts_with", `"/p/"`, event.TextValue("/p/1"), true},
		"starts with nothing":                       {"starts_with", `"/p/"`, event.TextValue("/q/p/"), false},
		"exists":                                    {"exists", `null`, number("0", 0), true},
		"false exists":                              {"exists", `null`, event.Value{Kind: event.Bool}, true},
		"missing does not exist":                    {"not_exists", `null`, event.Value{}, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			body := fmt.Sprintf(`{"filters": [{"property": "p", "op": %q, "value": %s}]}`, tt.op, tt.operand)
			p := params(t, body)
			filters := p.Filters("filters", calendar.Calendar{Zone: time.UTC})
			if err := p.Done(); err != nil {
				t.Fatal(err)
			}
			if got := filters[0].Match(tt.value); got != tt.want {
				t.Errorf("%s of %+v: got %v, want %v", body, tt.value, got, tt.want)
			}
		})
	}
}

// Times of the event itself are kept as numbers and compare with times.
func TestEventTimesCompareAsTimes(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"timestamp", "received_at"} {
		p := params(t, fmt.Sprintf(`{"filters": [
			{"property": %q, "op": "gte", "value": "2026-03-29"}, {"property": %q, "op": "lt", "value": "2026-03-30T00:00:00+02:00"}, {"property": %q, "op": "eq", "value": "2026-03-29"}]}`, name, name, name))
		filters := p.Filters("filters", calendar.Calendar{Zone: berlin})
		if err := p.Done(); err != nil {
			t.Fatal(err)
		}
		for text, want := range map[string]bool{"2026-03-28T22:59:59Z": false, "2026-03-28T23:00:00Z": true, "2026-03-29T21:59:59Z": true, "2026-03-29T22:00:00Z": false} {
			v := event.NumberValue(float64(at(t, text)))
			if got := filters[0].Match(v) && filters[1].Match(v); got != want {
				t.Errorf("%s in the day by order: got %v, want %v", text, got, want)
			}
			if got := filters[2].Match(v); got != want {
				t.Errorf("%s on the day: got %v, want %v", text, got, want)
			}
		}
	}
}

func at(t *testing.T, s string) event.Time {
	t.Helper()
	moment, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t.Fatal(err)
	}
	return event.TimeOf(moment)
}
