// Package calendar cuts time into the hours, days, weeks and months of a time zone.
package calendar

import (
	"slices"
	"strconv"
	"time"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/fault"
)

// Interval is the unit in which time is cut into buckets.
type Interval string

const (
	Hour  Interval = "hour"
	Day   Interval = "day"
	Week  Interval = "week"
	Month Interval = "month"
)

const (
	second = event.Time(1000)
	hour   = 3600 * second
	day    = 24 * hour
)

// Length is the interval on a clock that knows no time zones: 24 h for a day,
// 30 days for a month. Rolling retention counts in it.
func (i Interval) Length() event.Time {
	switch i {
	case Hour:
		return hour
	case Week:
		return 7 * day
	case Month:
		return 30 * day
	}
	return day
}

// Calendar cuts time into the hours, days, weeks and months of one time zone.
// A day starts at the first instant of its date, so it has 23 or 25 hours
// when the clocks change, and starts at 01:00 where they change at midnight.
type Calendar struct {
	Zone      *time.Location
	WeekStart time.Weekday
}

// StartOfDate is the first instant of a date; a date that the zone skipped
// (Samoa, 2011-12-30) starts and ends with the next one.
func (c Calendar) StartOfDate(y int, m time.Month, d int) event.Time {
	midnight := time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
	at := midnight.Add(-48 * time.Hour).In(c.Zone)
	for {
		_, offset := at.Zone()
		start, end := at.ZoneBounds()
		first := midnight.Add(-time.Duration(offset) * time.Second)
		if !start.IsZero() && first.Before(start) {
			first = start
		}
		if end.IsZero() || first.Before(end) {
			return event.TimeOf(first)
		}
		at = end
	}
}

// Floor is the start of the interval in which t falls.
func (c Calendar) Floor(i Interval, t event.Time) event.Time {
	if i == Hour {
		return c.floorHour(t)
	}
	y, m, d := t.Std().In(c.Zone).Date()
	start := c.startOf(i, y, m, d)
	// Where clocks go back over midnight a date comes twice: its start is the first.
	for next := c.Next(i, start); next <= t; next = c.Next(i, start) {
		start = next
	}
	return start
}

func (c Calendar) startOf(i Interval, y int, m time.Month, d int) event.Time {
	switch i {
	case Week:
		back := int(time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Weekday()-c.WeekStart+7) % 7
		return c.StartOfDate(y, m, d-back)
	case Month:
		return c.StartOfDate(y, m, 1)
	}
	return c.StartOfDate(y, m, d)
}

// floorHour cuts at the full hours of the local clock; hours are of real
// length, so the hour that comes twice in autumn is two buckets.
func (c Calendar) floorHour(t event.Time) event.Time {
	local := t.Std().In(c.Zone)
	_, offset := local.Zone()
	shifted := t + event.Time(offset)*second
	start := t - mod(shifted, hour)
	if changed, _ := local.ZoneBounds(); !changed.IsZero() {
		start = max(start, event.TimeOf(changed))
	}
	return start
}

// Next is the start of the interval after the one that starts at start.
func (c Calendar) Next(i Interval, start event.Time) event.Time {
	local := start.Std().In(c.Zone)
	y, m, d := local.Date()
	switch i {
	case Hour:
		_, offset := local.Zone()
		next := start - mod(start+event.Time(offset)*second, hour) + hour
		if _, changes := local.ZoneBounds(); !changes.IsZero() {
			next = min(next, event.TimeOf(changes))
		}
		return next
	case Week:
		return c.StartOfDate(y, m, d+7)
	case Month:
		return c.StartOfDate(y, m+1, 1)
	}
	next := c.StartOfDate(y, m, d+1)
	for skip := 2; next <= start; skip++ {
		next = c.StartOfDate(y, m, d+skip)
	}
	return next
}

// Back is the start of the interval n intervals before the one that starts at start.
func (c Calendar) Back(i Interval, start event.Time, n int) event.Time {
	for ; n > 0; n-- {
		start = c.Floor(i, start-1)
	}
	return start
}

// Label names the interval that starts at start: its date, or for hours the time in UTC.
func (c Calendar) Label(i Interval, start event.Time) string {
	if i == Hour {
		return start.String()
	}
	return start.Std().In(c.Zone).Format(time.DateOnly)
}

// Buckets are consecutive intervals: bucket n is [Starts[n], Starts[n+1]), the
// last one ends at End.
type Buckets struct {
	Calendar Calendar
	Interval Interval
	Starts   []event.Time
	End      event.Time
}

// MaxBuckets is the most buckets that an answer may have.
const MaxBuckets = 10_000

// Cut makes the buckets from the one in which from falls to the one in which to falls.
func (c Calendar) Cut(i Interval, from, to event.Time) (*Buckets, error) {
	if int64(to-from)/int64(i.Length()) > MaxBuckets {
		return nil, tooManyBuckets(i)
	}
	b := &Buckets{Calendar: c, Interval: i}
	at := c.Floor(i, from)
	for at <= to {
		b.Starts = append(b.Starts, at)
		at = c.Next(i, at)
	}
	if len(b.Starts) > MaxBuckets {
		return nil, tooManyBuckets(i)
	}
	b.End = at
	return b, nil
}

func tooManyBuckets(i Interval) error {
	return &fault.Error{
		Kind: fault.Exceeded, Code: "too_many_buckets", Field: "from", // which every report has, unlike an interval
		Message: "the range has more than " + strconv.Itoa(MaxBuckets) + " buckets of one " + string(i) + "; take a shorter range or longer buckets",
	}
}

// Len is the number of buckets.
func (b *Buckets) Len() int { return len(b.Starts) }

// EndOf is where bucket n ends: its events are before that.
func (b *Buckets) EndOf(n int) event.Time {
	if n+1 < len(b.Starts) {
		return b.Starts[n+1]
	}
	return b.End
}

// Index is the bucket in which t falls, or -1.
func (b *Buckets) Index(t event.Time) int {
	if t >= b.End {
		return -1
	}
	n, exact := slices.BinarySearch(b.Starts, t)
	if exact {
		return n
	}
	return n - 1
}

// Labels are the buckets' names, in order.
func (b *Buckets) Labels() []string {
	labels := make([]string, len(b.Starts))
	for n, start := range b.Starts {
		labels[n] = b.Calendar.Label(b.Interval, start)
	}
	return labels
}

// Complete says of each bucket whether it is over at now: an event that
// happens from now on falls into a later one.
func (b *Buckets) Complete(now event.Time) []bool {
	complete := make([]bool, len(b.Starts))
	for n := range complete {
		complete[n] = b.EndOf(n) <= now
	}
	return complete
}

// Group makes buckets of n intervals each, counted from the first; the last may be shorter.
func (b *Buckets) Group(n int) *Buckets {
	grouped := &Buckets{Calendar: b.Calendar, Interval: b.Interval, End: b.End}
	for i := 0; i < len(b.Starts); i += n {
		grouped.Starts = append(grouped.Starts, b.Starts[i])
	}
	return grouped
}

func mod(a, b event.Time) event.Time { return (a%b + b) % b }
