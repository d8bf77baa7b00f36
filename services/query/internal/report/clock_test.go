package report

import (
	"testing"
	"time"
)

// TestCalendarFollowsTheLocalClock walks through a year minute by minute, or by
// five, and sees a new bucket exactly where the local date, hour or month turns.
func TestCalendarFollowsTheLocalClock(t *testing.T) {
	for _, name := range zones {
		zone, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, interval := range []Interval{Hour, Day, Week, Month} {
			t.Run(name+" "+string(interval), func(t *testing.T) { follow(t, Calendar{zone, time.Sunday}, interval) })
		}
	}
}

func follow(t *testing.T, c Calendar, interval Interval) {
	b, err := c.Cut(interval, at("2026-01-01T00:00:00Z"), at("2026-12-31T00:00:00Z"))
	if err != nil {
		t.Fatal(err)
	}
	o := &oracleRetention{period: string(interval), zone: c.Zone, sunday: true}
	last := o.key(b.Starts[0])
	for ms := b.Starts[0]; ms < b.End; ms += 5 * 60 * second {
		n, key := b.Index(ms), o.key(ms)
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

func TestTooManyBucketsAreRefused(t *testing.T) {
	c := Calendar{time.UTC, time.Monday}
	if _, err := c.Cut(Hour, 0, 100_000*hour); err == nil {
		t.Error("100,000 hours are taken")
	}
}
