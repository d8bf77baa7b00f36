package calendar

import (
	"testing"
	"time"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/testenv"
)

// TestCalendarFollowsTheLocalClock walks through a year minute by minute, or by
// five, and sees a new bucket exactly where the local date, hour or month turns.
func TestCalendarFollowsTheLocalClock(t *testing.T) {
	for _, name := range []string{"UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Havana", "Asia/Kolkata", "Pacific/Auckland"} {
		zone, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, interval := range []Interval{Hour, Day, Week, Month} {
			t.Run(name+" "+string(interval), func(t *testing.T) { follow(t, Calendar{zone, time.Sunday}, interval) })
		}
	}
}

func TestCalendarFollowsOddClocks(t *testing.T) {
	for name, o := range testenv.OddClocks {
		zone, err := time.LoadLocation(o.Zone)
		if err != nil {
			t.Fatal(err)
		}
		for _, interval := range []Interval{Hour, Day, Week, Month} {
			t.Run(name+", "+string(interval), func(t *testing.T) {
				followFrom(t, Calendar{zone, time.Sunday}, interval, at(o.At)-40*day, at(o.At)+40*day)
			})
		}
	}
}

func follow(t *testing.T, c Calendar, interval Interval) {
	followFrom(t, c, interval, at("2026-01-01T00:00:00Z"), at("2026-12-31T00:00:00Z"))
}

func followFrom(t *testing.T, c Calendar, interval Interval, from, to event.Time) {
	b, err := c.Cut(interval, from, to)
	if err != nil {
		t.Fatal(err)
	}
	last := clockReads(c.Zone, interval, b.Starts[0])
	step := 300 * second
	if b.Starts[0]%step != 0 {
		step = 30 * second
	}
	for ms := b.Starts[0]; ms < b.End; ms += step {
		n, key := b.Index(ms), clockReads(c.Zone, interval, ms)
		start := b.Starts[n] == ms
		if turned := key != last; turned != start && ms != b.Starts[0] {
			t.Fatalf("at %s the local clock turns to %s: %v, a bucket starts: %v", ms, key, turned, start)
		}
		if c.Floor(interval, ms) != b.Starts[n] {
			t.Fatalf("the %s of %s starts at %s, its bucket at %s", interval, ms, c.Floor(interval, ms), b.Starts[n])
		}
		last = key
	}
	if back := c.Back(interval, b.End, b.Len()); back != b.Starts[0] {
		t.Errorf("%d back from the end is %s, want %s", b.Len(), back, b.Starts[0])
	}
}

// clockReads names the interval that the clock on the wall shows; weeks start on Sunday.
func clockReads(zone *time.Location, interval Interval, t event.Time) string {
	local := t.Std().In(zone)
	switch interval {
	case Hour:
		return local.Format("2006-01-02T15 -07:00")
	case Week:
		y, m, d := local.Date()
		noon := time.Date(y, m, d, 12, 0, 0, 0, time.UTC)
		return noon.AddDate(0, 0, -int(noon.Weekday())).Format(time.DateOnly)
	case Month:
		return local.Format("2006-01")
	}
	return local.Format(time.DateOnly)
}

func TestTooManyBucketsAreRefused(t *testing.T) {
	c := Calendar{time.UTC, time.Monday}
	if _, err := c.Cut(Hour, 0, 100_000*hour); err == nil {
		t.Error("100,000 hours are taken")
	}
}

func at(s string) event.Time {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		panic(err)
	}
	return event.TimeOf(t)
}
