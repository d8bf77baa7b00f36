package report

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/maidian/maidian/pkg/event"
)

// zones with a change of clocks at midnight, by half an hour, in the south, and none.
var zones = []string{"UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Havana", "Asia/Kolkata", "Pacific/Auckland"}

// randomEvents are a few users' events around the days on which clocks change.
func randomEvents(r *rand.Rand, n int) []event.Event {
	around := []string{"2026-03-29T00:00:00Z", "2026-10-25T00:00:00Z", "2026-03-08T06:00:00Z", "2026-11-01T05:00:00Z", "2026-04-04T14:00:00Z"}
	base := at(around[r.IntN(len(around))]) - 2*day
	step := []event.Time{second, hour / 2, 5 * hour, day}[r.IntN(4)]
	events := make([]event.Event, n)
	for i := range events {
		user := string(rune('a' + r.IntN(4)))
		e := event.Event{
			Project: "demo", EventID: fmt.Sprintf("e%03d", i), EventType: []string{"view", "cart", "buy", "refund"}[r.IntN(4)],
			Timestamp: base + event.Time(r.IntN(12))*step + event.Time(r.IntN(2)*r.IntN(int(hour))),
			BatchID:   fmt.Sprintf("b%d", r.IntN(3)), Position: i,
		}
		e.EventName = e.EventType
		switch r.IntN(4) {
		case 0:
			e.AnonymousID = "anon-" + user // joined to the user if it is ever sent with it
		case 1:
			e.AnonymousID, e.UserID = "anon-"+user, user
		default:
			e.UserID = user
		}
		if r.IntN(3) > 0 {
			e.Properties = fmt.Sprintf(`{"plan":"%c","amount":%d}`, 'x'+rune(r.IntN(3)), r.IntN(4))
		}
		e.Browser = []string{"", "Chrome", "Firefox"}[r.IntN(3)]
		events[i] = e
	}
	return events
}

// randomCondition is a list of filters.
func randomCondition(r *rand.Rand) json.RawMessage {
	all := []string{
		`[]`,
		`[]`,
		`[{"property":"plan","op":"eq","value":"x"}]`,
		`[{"property":"plan","op":"neq","value":"x"}]`,
		`[{"property":"properties.plan","op":"not_exists"}]`,
		`[{"property":"amount","op":"gte","value":2},{"property":"browser","op":"exists"}]`,
		`[{"or":[{"property":"browser","op":"in","value":["Chrome"]},{"not":{"property":"amount","op":"between","value":[1,2]}}]}]`,
	}
	return json.RawMessage(all[r.IntN(len(all))])
}

// randomRange is a range with its parameters: dates of a zone, or instants, or all there is.
func randomRange(r *rand.Rand, events []event.Event) (parameters map[string]any, from, to event.Time) {
	zone := zones[r.IntN(len(zones))]
	loc, err := time.LoadLocation(zone)
	if err != nil {
		panic(err)
	}
	a, b := events[r.IntN(len(events))].Timestamp, events[r.IntN(len(events))].Timestamp
	from, to = min(a, b), max(a, b)
	parameters = map[string]any{"timezone": zone, "from": int64(from), "to": to.String()}
	if r.IntN(2) == 0 {
		first, last := from.Std().In(loc).Format(time.DateOnly), to.Std().In(loc).Format(time.DateOnly)
		parameters["from"], parameters["to"] = first, last
		from, to = firstOf(loc, first), firstAfter(loc, last)-1
	}
	return parameters, from, to
}

// firstOf and firstAfter look for the first instant of a date, and after it, minute by minute.
func firstOf(loc *time.Location, date string) event.Time {
	return firstInstant(date, func(t time.Time) bool { return t.In(loc).Format(time.DateOnly) >= date })
}

func firstAfter(loc *time.Location, date string) event.Time {
	return firstInstant(date, func(t time.Time) bool { return t.In(loc).Format(time.DateOnly) > date })
}

func firstInstant(date string, reached func(time.Time) bool) event.Time {
	t, err := time.Parse(time.DateOnly, date)
	if err != nil {
		panic(err)
	}
	for t = t.Add(-15 * time.Hour); !reached(t); t = t.Add(time.Minute) {
	}
	return event.TimeOf(t)
}
