package notice

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/maidian/maidian/pkg/calendar"
	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/rule"
)

// start is a Thursday, midnight.
const (
	start  event.Time = 1767225600_000
	second event.Time = 1000
	minute            = 60 * second
	hour              = 60 * minute
	week              = 168 * hour
)

// TestTheWordsForEachKind has a rule of each kind tell of something, and holds
// what people read of it against testdata. After a change of words, UPDATE=1
// writes it anew: read it then.
func TestTheWordsForEachKind(t *testing.T) {
	see := func(e *rule.Evaluator, at event.Time, kind, properties string) {
		e.Advance(start + at)
		e.Observe(&event.Event{
			EventID: "e1", EventType: kind, UserID: "ada", Country: "DE", PageURL: "https://shop.example/cart", Properties: properties, Timestamp: start + at, ReceivedAt: start + at,
		})
	}
	cases := []struct {
		kind, definition string
		happens          func(e *rule.Evaluator)
	}{
		{"event", `"event": {"event": "purchase", "filters": [{"property": "amount", "op": "gte", "value": 10000}]}, "severity": "critical", "group_by": "country"`, func(e *rule.Evaluator) { see(e, minute, "purchase", `{"amount": 12500}`) }},
		{"threshold", `"event": "error", "metric": "ratio", "of": "page_view", "value": 0.05, "window": "5m", "repeat": "5m"`, func(e *rule.Evaluator) {
			see(e, 0, "page_view", "")
			see(e, minute, "error", "")
			see(e, 6*minute, "page_view", "")
			see(e, 6*minute, "error", "")
			e.Advance(start + 20*minute)
		}},
		{"change", `"event": "purchase", "metric": "sum", "property": "amount", "against": "hour", "window": "15m", "op": "lt", "value": -30`, func(e *rule.Evaluator) {
			for at := event.Time(0); at < 3*hour; at += 5 * minute {
				see(e, at, "purchase", `{"amount": 100}`)
			}
			e.Advance(start + 4*hour)
		}},
		{"anomaly", `"event": "sign_up"`, func(e *rule.Evaluator) {
			for w := range event.Time(4) {
				for i := range (9 + w) * (1 + w/3*9) {
					see(e, w*week+9*hour+i*second, "sign_up", "")
				}
			}
			e.Advance(start + 4*week)
		}},
		{"absence", `"event": "heartbeat", "window": "10m", "group_by": "country"`, func(e *rule.Evaluator) {
			see(e, 15*minute, "heartbeat", "")
			e.Advance(start + 48*hour)
		}},
		{"new_value", `"event": "error", "property": "message", "learn": 0`, func(e *rule.Evaluator) { see(e, minute, "error", `{"message": "out of memory"}`) }},
		{"behaviour", `"event": "login_failed", "window": "1m", "more_than": 2`, func(e *rule.Evaluator) {
			for i := range event.Time(3) {
				see(e, i*second, "login_failed", "")
			}
			e.Advance(start + minute)
			e.Use(nil)
		}},
		{"pipeline", `"metric": "queue_depth", "window": "1m", "value": 100000`, func(e *rule.Evaluator) {
			e.Sample("queue_depth", start+minute, 123456)
			e.Advance(start + 2*minute)
		}},
	}
	var kinds []string
	for language, zone := range map[string]string{English: "Europe/Berlin", Chinese: "Asia/Shanghai"} {
		var all strings.Builder
		kinds = nil
		for _, c := range cases {
			kinds = append(kinds, c.kind)
			r, err := rule.Read(fmt.Appendf(nil, `{"id": %q, "name": "The rule of %s", "kind": %q, "channels": ["ops"], %s}`, c.kind, c.kind, c.kind, c.definition), calendar.Calendar{Zone: time.UTC, WeekStart: time.Monday})
			if err != nil {
				t.Fatalf("%s: %v", c.kind, err)
			}
			e := rule.New("shop", start)
			e.Use([]*rule.Rule{r})
			c.happens(e)
			firings := e.Firings()
			if len(firings) == 0 {
				t.Fatalf("%s: nothing was told", c.kind)
			}
			for _, f := range firings {
				n := For(f, "ops", start)
				m := Write(&n, &Channel{Language: language, Timezone: zone}, "")
				fmt.Fprintf(&all, "%s\n%s\n\n", m.Title, m.Text)
			}
		}
		file := filepath.Join("testdata", "words."+language+".txt")
		if os.Getenv("UPDATE") != "" {
			if err := os.WriteFile(file, []byte(all.String()), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil || all.String() != string(want) {
			t.Errorf("%s: %v, got\n%s", file, err, all.String())
		}
	}
	if !slices.Equal(kinds, rule.Kinds()) {
		t.Errorf("got the kinds %v, want %v", kinds, rule.Kinds())
	}
}
