package api_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/store"
	"github.com/maidian/maidian/services/query/internal/api"
)

func TestAccountingAddsUpTheJournalOfOneProject(t *testing.T) {
	s := start(t)
	entries := []store.Batch{
		{ID: "1", Project: "shop", WrittenAt: event.TimeOf(noon) - 1000, Stored: 7, Duplicates: 1},
		{ID: "2", Project: "shop", WrittenAt: event.TimeOf(noon), Stored: 5, Duplicates: 2, DeadLettered: 1},
		{ID: "2", Project: "blog", WrittenAt: event.TimeOf(noon), Stored: 100},
	}
	if err := s.store.RecordBatches(t.Context(), entries); err != nil {
		t.Fatal(err)
	}
	for since, want := range map[string][3]int{
		`{}`:                                {12, 3, 1},
		`{"since": "2026-06-15T12:00:00Z"}`: {5, 2, 1},
		`{"since": "2026-06-15T12:00:01Z"}`: {0, 0, 0},
	} {
		answer := s.post(shopKey, "/api/v1/analytics/accounting", since)
		for i, name := range []string{"stored", "duplicates", "dead_lettered"} {
			if got := fmt.Sprint(answer.json(name)); got != fmt.Sprint(want[i]) {
				t.Errorf("%s: %s is %v, want %d", since, name, got, want[i])
			}
		}
	}
	if answer := s.post(shopKey, "/api/v1/analytics/accounting", `{"since": "yesterday"}`); answer.status != 400 {
		t.Errorf("got %d, want 400", answer.status)
	}
}

func TestAccountingSetsTalliesAgainstTheJournal(t *testing.T) {
	s := start(t)
	hour, now := event.TimeOf(noon).Hour(), event.TimeOf(noon)
	tally := func(collector, key string, h int32, outcome string, events int, written event.Time) store.Tally {
		return store.Tally{WrittenAt: written, Tally: event.Tally{Collector: collector, Project: "shop", Key: key, Hour: h, Outcome: outcome, Events: events}}
	}
	elsewhere := tally("c1", "k1", hour-1, event.Accepted, 99, now)
	elsewhere.Project = "blog"
	err := s.store.RaiseTallies(t.Context(), []store.Tally{
		tally("c1", "k1", hour-1, event.Accepted, 10, now-3_600_000), tally("c2", "k1", hour-1, event.Accepted, 5, now-3_000_000),
		tally("c1", "k1", hour-1, "invalid_field", 3, now), tally("c2", "k1", hour-1, "invalid_field", 1, now), tally("c2", "k1", hour-1, "too_large", 2, now),
		tally("c1", "k2", hour-1, event.Accepted, 8, now-599_000),
		tally("c1", "k1", hour, event.Accepted, 4, now-1000),
		tally("c1", "k1", hour-50, event.Accepted, 1000, now), elsewhere,
	})
	if err != nil {
		t.Fatal(err)
	}
	err = s.store.RecordBatches(t.Context(), []store.Batch{
		{ID: "1", Project: "shop", WrittenAt: now - 3_600_000, Stored: 15, Duplicates: 1, DeadLettered: 2, Accounts: []store.Account{
			{Key: "k1", Hour: hour - 1, Stored: 9, DeadLettered: 2, Dropped: map[string]int{"full": 6}}, {Key: "k2", Hour: hour - 1, Stored: 5}, {Key: "k1", Hour: hour, Stored: 1, Duplicates: 1},
		}},
		{ID: "2", Project: "shop", WrittenAt: now, Stored: 6, Accounts: []store.Account{{Key: "k1", Hour: hour, Stored: 5, Dropped: map[string]int{"full": 2, "expired": 1}}, {Key: "", Hour: 0, Stored: 1}}},
		{ID: "3", Project: "shop", WrittenAt: now, ReceivedAt: now - 3_600_000, Stored: 7}, // an older consumer's
		{ID: "4", Project: "blog", WrittenAt: now, Stored: 50, Accounts: []store.Account{{Key: "k1", Hour: hour - 1, Stored: 50}}},
		{ID: "5", Project: "shop", WrittenAt: now - 86_400_000, Stored: 3, Accounts: []store.Account{{Key: "k1", Hour: hour - 24, Stored: 3}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	a := s.get(shopKey, "accounting", "from", "2026-06-15T11:30:00Z", "to", "2026-06-15T12:00:00Z").ok()
	row := func(i int, key string, hour string, accepted, stored, duplicates, dead int, rejected string, queued, unclaimed, difference int, dropped string) {
		t.Helper()
		a.has(fmt.Sprint("rows.", i), fmt.Sprintf(
			`{"accepted":%d,"dead_lettered":%d,"difference":%d,"dropped_by_sdk":%s,"duplicates":%d,"hour":"2026-06-15T%s:00:00.000Z","key":"%s","queued":%d,"rejected":%s,"stored":%d,"unclaimed":%d}`,
			accepted, dead, difference, dropped, duplicates, hour, key, queued, rejected, stored, unclaimed))
	}
	row(0, "", "11", 0, 7, 0, 0, `{}`, 0, 7, 0, `{}`)
	row(1, "k1", "11", 15, 9, 0, 2, `{"invalid_field":4,"too_large":2}`, 0, 0, 4, `{"full":6}`)
	row(2, "k2", "11", 8, 5, 0, 0, `{}`, 3, 0, 0, `{}`)
	row(3, "", "12", 0, 1, 0, 0, `{}`, 0, 1, 0, `{}`)
	row(4, "k1", "12", 4, 6, 1, 0, `{}`, 0, 3, 0, `{"expired":1,"full":2}`)
	if a.json("rows.5") != nil {
		t.Errorf("there are more rows: %s", a.body)
	}
	for name, want := range map[string]string{
		"accepted": "27", "stored": "28", "duplicates": "1", "dead_lettered": "2", "queued": "3", "unclaimed": "11", "difference": "4",
		"erased": "0", "dropped_by_sdk": `{"expired":1,"full":8}`, "rejected": `{"invalid_field":4,"too_large":2}`,
	} {
		a.has(name, want)
	}
	s.post(shopKey, "accounting", `{"days": 1}`).ok().has("difference", "4")
	s.post(shopKey, "accounting", `{"from": "2026-06-01", "to": "2026-06-02"}`).ok().has("rows", "[]")
	if both := s.post(shopKey, "accounting", `{"days": 1, "since": "2026-06-15T12:00:00Z"}`); both.status != 400 || both.json("error.field") != "since" {
		t.Errorf("both since and a range: got %d %s, want 400", both.status, both.body)
	}
}

// numbered is an event of a device with its SDK's number, and what it says besides.
func numbered(device, properties, clock string) event.Event {
	return event.Event{EventType: "click", AnonymousID: device, Timestamp: at(clock), Properties: properties}
}

func TestGapsInTheNumbersOfDevices(t *testing.T) {
	s := start(t)
	var events []event.Event
	for _, n := range []string{`1`, `2`, `5`, `6`, `6`, `10`} { // 3, 4, 7, 8, 9 are missing
		events = append(events, numbered("a", `{"$sequence":`+n+`}`, "10:10:00"))
	}
	events[2].Properties = `{"$sequence":5,"$dropped":{"full":2}}`
	events = append(events,
		numbered("b", `{"$sequence":8,"$dropped":{"expired":90}}`, "10:10:00"), numbered("b", `{"$sequence":4}`, "11:00:00"), // 5, 6, 7
		numbered("whole", `{"$sequence":7}`, "10:00:00"), numbered("whole", `{"$sequence":8,"$dropped":{"full":3}}`, "10:00:01"),
		numbered("late", `{"$sequence":1}`, "09:59:59"), numbered("late", `{"$sequence":9}`, "10:00:00"), numbered("late", `{"$sequence":2}`, "12:00:00"), // out of the hours but one
		numbered("none", `{"n":1}`, "10:00:00"),
		numbered("", `{"$sequence":1}`, "10:00:00"), numbered("", `{"$sequence":5}`, "10:00:00"),
	)
	for i, n := range []string{`"x"`, `-1`, `1e300`, `1.5`, `null`, `[1,9]`, `{"a":9}`, `true`, `99999999999`, `""`, `0`} {
		events = append(events, numbered("joker", `{"$sequence":`+n+`,"$dropped":[1e300]}`, fmt.Sprintf("10:00:%02d", i)))
	}
	events = append(events, numbered("jumper", `{"$sequence":1,"$dropped":"all"}`, "10:00:00"), numbered("jumper", `{"$sequence":2147483648,"$dropped":{"full":-7}}`, "10:00:00"))
	s.send("shop", events[:9]...)
	s.send("shop", events[9:]...)

	ask := func(more ...string) answer {
		return s.get(shopKey, "accounting", append([]string{"from", "2026-06-15T10:30:00Z", "to", "2026-06-15T11:00:00Z"}, more...)...).ok()
	}
	ask().has("sequence_gaps", `{"devices":5,"devices_with_gaps":2,"missing":8,"reported_dropped":5}`)
	ask("devices", "true").has("sequence_gaps.worst", `[`+
		`{"anonymous_id":"a","events":6,"first":1,"last":10,"missing":5,"reported_dropped":2},`+
		`{"anonymous_id":"b","events":2,"first":4,"last":8,"missing":3,"reported_dropped":3}]`)
	ask().has("difference", "0")
	s.get(blogKey, "accounting", "days", "1", "devices", "true").ok().has("sequence_gaps", `{"devices":0,"devices_with_gaps":0,"missing":0,"reported_dropped":0,"worst":[]}`)
	if bad := s.post(shopKey, "accounting", `{"devices": true}`); bad.status != 400 || bad.json("error.field") != "devices" {
		t.Errorf("without a range: got %d %s, want 400", bad.status, bad.body)
	}
}

func TestTheWorstTwentyDevicesAreListed(t *testing.T) {
	s := start(t)
	var events []event.Event
	for device := range 50 {
		name := fmt.Sprintf("d%02d", device)
		events = append(events, numbered(name, `{"$sequence":1}`, "10:00:00"), numbered(name, fmt.Sprintf(`{"$sequence":%d}`, device+2), "10:00:00"))
	}
	s.send("shop", events...)
	a := s.get(shopKey, "accounting", "days", "1", "devices", "true").ok()
	a.has("sequence_gaps.devices_with_gaps", "49")
	a.has("sequence_gaps.missing", "1225")
	a.has("sequence_gaps.worst.0.anonymous_id", `"d49"`)
	a.has("sequence_gaps.worst.19.missing", "30")
	if a.json("sequence_gaps.worst.20") != nil {
		t.Errorf("more than twenty are listed: %s", a.body)
	}
}

// Reading the journal is heavy work: it has to wait where heavy reports do.
func TestAccountingWaitsForItsTurn(t *testing.T) {
	s := startWith(t, api.Options{Heavy: 1, Deadline: 200 * time.Millisecond})
	s.slow = make(chan struct{})
	summary := make(chan answer, 1)
	go func() { summary <- s.get(blogKey, "summary") }()
	codes := map[any]bool{}
	for !codes["busy"] { // until the report has the one place
		codes[s.get(shopKey, "accounting", "days", "1").json("error.code")] = true
		select {
		case <-summary:
			go func() { summary <- s.get(blogKey, "summary") }()
		default:
		}
	}
	close(s.slow)
	<-summary
	s.get(shopKey, "accounting", "days", "1").ok()
}
