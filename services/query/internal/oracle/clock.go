package oracle

import (
	"time"

	"github.com/maidian/maidian/pkg/event"
)

// clock is the one on the wall of the request's time zone.
type clock struct {
	zone      *time.Location
	weekStart time.Weekday
}

func (c clock) date(t event.Time) string { return t.Std().In(c.zone).Format(time.DateOnly) }

// name is the interval in which an instant falls. An hour that comes twice has two names.
func (c clock) name(interval string, t event.Time) string {
	local := t.Std().In(c.zone)
	switch interval {
	case "hour":
		return local.Format("2006-01-02T15 -07:00")
	case "week":
		for local = time.Date(local.Year(), local.Month(), local.Day(), 12, 0, 0, 0, time.UTC); local.Weekday() != c.weekStart; {
			local = local.AddDate(0, 0, -1)
		}
		return local.Format(time.DateOnly)
	case "month":
		return local.Format("2006-01")
	}
	return local.Format(time.DateOnly)
}

// bucket is one interval: since ≤ t < until.
type bucket struct {
	since, until event.Time
	label        string
}

func (b bucket) holds(t event.Time) bool { return b.since <= t && t < b.until }

// tick divides every hour, and every moment at which clocks change since 1972.
const tick = 15 * minute

// at is the interval of an instant, found by walking away from it in both directions.
func (c clock) at(interval string, t event.Time) bucket {
	name := c.name(interval, t)
	b := bucket{since: t - t%tick, until: t - t%tick + tick}
	for c.name(interval, b.since-tick) == name {
		b.since -= tick
	}
	for c.name(interval, b.until) == name {
		b.until += tick
	}
	b.label = c.date(b.since)
	if interval == "hour" {
		b.label = b.since.String()
	}
	return b
}

// buckets are the intervals from that of from to that of to.
func (c clock) buckets(interval string, from, to event.Time) []bucket {
	list := []bucket{c.at(interval, from)}
	for {
		last := list[len(list)-1]
		if last.until > to {
			return list
		}
		list = append(list, c.at(interval, last.until))
	}
}

// day is the first and the last instant of a date.
func (c clock) day(date string) (first, last event.Time) {
	noon, err := time.ParseInLocation(time.DateOnly+" 15", date+" 12", c.zone)
	if err != nil {
		panic(err)
	}
	b := c.at("day", event.TimeOf(noon))
	return b.since, b.until - 1
}

func labels(buckets []bucket) []string {
	list := []string{}
	for _, b := range buckets {
		list = append(list, b.label)
	}
	return list
}

// over says of each bucket whether it has ended.
func (o *Oracle) over(buckets []bucket) []bool {
	list := []bool{}
	for _, b := range buckets {
		list = append(list, b.until <= o.now)
	}
	return list
}

// find is the bucket of an instant, or -1.
func find(buckets []bucket, t event.Time) int {
	for i, b := range buckets {
		if b.holds(t) {
			return i
		}
	}
	return -1
}
