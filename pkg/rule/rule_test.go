package rule

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/maidian/maidian/pkg/ask"
	"github.com/maidian/maidian/pkg/calendar"
	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/fault"
)

var utc = calendar.Calendar{Zone: time.UTC, WeekStart: time.Monday}

// start is a Thursday, midnight.
const start event.Time = 1767225600_000

func read(t testing.TB, definition string, args ...any) *Rule {
	t.Helper()
	r, err := Read(fmt.Appendf(nil, definition, args...), utc)
	if err != nil {
		t.Fatalf("%s: %v", fmt.Sprintf(definition, args...), err)
	}
	return r
}

func TestDefinitionsAreRead(t *testing.T) {
	for _, text := range []string{
		`{"id": "large", "kind": "event", "event": {"event": "purchase", "filters": [{"property": "amount", "op": "gte", "value": 10000}]}, "severity": "critical", "channels": ["ops"], "cool_down": "1h", "group_by": "country"}`,
		`{"id": "errors", "kind": "threshold", "event": "error", "metric": "ratio", "of": "page_view", "window": "5m", "value": 0.05, "for": "10m", "repeat": "4h"}`,
		`{"id": "slow", "kind": "threshold", "event": "page_view", "metric": "p95", "property": "load_time", "value": 3, "group_by": "page_path", "grace": 0}`,
		`{"id": "sales", "kind": "change", "event": "purchase", "metric": "sum", "property": "amount", "against": "week", "window": "1h", "op": "lt", "value": -30, "minimum": 100}`,
		`{"id": "odd", "kind": "anomaly", "event": "sign_up", "sensitivity": 3, "direction": "down", "timezone": "Asia/Shanghai"}`,
		`{"id": "dead", "kind": "absence", "event": "*", "window": "10m", "silences": [{"days": ["sat", "sun"], "from": "22:00", "to": "08:00"}, {"from": "2026-12-24", "to": "2026-12-26"}]}`,
		`{"id": "new", "kind": "new_value", "event": "error", "property": "message", "learn": 0}`,
		`{"id": "abuse", "kind": "behaviour", "event": "login_failed", "more_than": 10, "window": "1m"}`,
		`{"id": "queue", "kind": "pipeline", "metric": "queue_depth", "value": 100000, "window": "1m", "for": "5m"}`,
	} {
		if _, err := Read([]byte(text), utc); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestMistakesAreToldByField(t *testing.T) {
	tests := map[string]string{ // what is put into a right definition → the field that is told
		`"id": "No spaces"`:          "id",
		`"id": ""`:                   "id",
		`"kind": "treshold"`:         "kind",
		`"kind": null`:               "kind",
		`"severity": "bad"`:          "severity",
		`"channels": "ops"`:          "channels",
		`"channels": ["ops", 5]`:     "channels[1]",
		`"channels": ["ops", "ops"]`: "channels[1]",
		`"event": null`:              "event",
		`"event": {"event": "a", "filters": [{"property": ""}]}`: "event.filters[0].property",
		`"event": {"event": "a", "filter": []}`:                  "event.filter",
		`"metric": "median"`:                                     "metric",
		`"metric": "avg"`:                                        "property",
		`"metric": "ratio"`:                                      "of",
		`"window": "0s"`:                                         "window",
		`"window": 1.5`:                                          "window",
		`"window": "32d"`:                                        "window",
		`"op": "eq"`:                                             "op",
		`"value": "many"`:                                        "value",
		`"value": null`:                                          "value",
		`"for": "-5m"`:                                           "for",
		`"repeat": "soon"`:                                       "repeat",
		`"group_by": "properties"`:                               "group_by",
		`"timezone": "Mars"`:                                     "timezone",
		`"silences": [{"from": "25:00", "to": "26:00"}]`:         "silences[0].from",
		`"silences": [{"from": "22:00"}]`:                        "silences[0].to",
		`"silences": [{"from": "22:00", "to": "08:00", "days": ["sunday"]}]`: "silences[0].days[0]",
		`"silences": [{"from": "2026-12-24", "to": "2026-12-01"}]`:           "silences[0].to",
		`"silences": ["night"]`:                      "silences[0]",
		`"against": "day"`:                           "against",
		`"name": "` + strings.Repeat("x", 201) + `"`: "name",
	}
	for with, field := range tests {
		p, err := ask.ParamsFromJSON([]byte(`{` + with + `}`))
		if err != nil {
			t.Fatal(err)
		}
		text := `{` + with
		for name, value := range map[string]string{"id": `"r"`, "kind": `"threshold"`, "event": `"a"`, "value": "5"} {
			if !p.Has(name) && !strings.Contains(with, `"`+name+`": `) {
				text += `, "` + name + `": ` + value
			}
		}
		_, err = Read([]byte(text+"}"), utc)
		if wrong, ok := err.(*fault.Error); !ok || wrong.Field != field {
			t.Errorf("%s}: got %v, want a mistake in %s", text, err, field)
		}
	}
}

func TestSilences(t *testing.T) {
	night := `{"from": "22:00", "to": "08:00"}`
	weekend := `{"days": ["sat"], "from": "22:00", "to": "08:00"}`
	once := `{"from": "2026-01-01T06:00:00Z", "to": "2026-01-01T07:00:00Z"}`
	tests := []struct {
		silence string
		at      event.Time // after start, a Thursday
		want    bool
	}{
		{night, 0, true},
		{night, 8*hour - 1, true},
		{night, 8 * hour, false},
		{night, 22 * hour, true},
		{weekend, 0, false},
		{weekend, 2*day + 21*hour, false},
		{weekend, 2*day + 22*hour, true},
		{weekend, 3*day + 7*hour, true},
		{weekend, 3*day + 8*hour, false},
		{weekend, 3*day + 22*hour, false},
		{once, 6*hour - 1, false},
		{once, 6 * hour, true},
		{once, 7 * hour, true},
		{once, 7*hour + 1, false},
	}
	for _, test := range tests {
		r := read(t, `{"id": "r", "kind": "event", "event": "a", "silences": [%s]}`, test.silence)
		if got := r.silent(start + test.at); got != test.want {
			t.Errorf("%s at %s: got %v, want %v", test.silence, start+test.at, got, test.want)
		}
	}
	berlin := read(t, `{"id": "r", "kind": "event", "event": "a", "timezone": "Europe/Berlin", "silences": [%s]}`, night)
	if berlin.silent(start+7*hour+30*minute) || !berlin.silent(start+21*hour) {
		t.Error("hours are not of the rule's time zone")
	}
}
