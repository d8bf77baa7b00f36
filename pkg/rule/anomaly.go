package rule

import (
	"math"
	"slices"
	"time"

	"github.com/maidian/maidian/pkg/ask"
	"github.com/maidian/maidian/pkg/event"
)

// season is what an anomaly rule remembers: for each hour of the week in the
// rule's time zone the values of the last weeks.
const (
	hoursOfWeek = 7 * 24
	seasonWeeks = 8
)

// readAnomaly: a metric over an hour, or a part of one, that is unlike what it
// was at the same hour of the weeks before. What it usually is there is the
// median; how much it usually differs, the median distance from that (1.4826 of
// which is the standard deviation of what is normally distributed), but at
// least 5 % of it, and for counts at least its square root, as chance alone
// makes them differ so much. More than "sensitivity" times that is an anomaly.
func readAnomaly(p *ask.Params, r *Rule) {
	w := r.readMeasure(p)
	if !p.Has("window") {
		p.Set("window", "1h")
	}
	r.readWindowed(p, w, 15*minute, longest)
	if hour%w.window != 0 {
		p.Fail("window", "must be 15m, 20m, 30m or 1h")
		return
	}
	parts := int(hour / w.window) // of an hour
	w.whole, w.history, w.past, w.memory = true, hoursOfWeek*seasonWeeks*parts, seasonWeeks*week, seasonWeeks*week
	w.place = func(end event.Time) int { return seasonPlace(end-w.window, r.calendar.Zone, parts) }
	sensitivity := 4.0
	if p.Has("sensitivity") {
		sensitivity = number(p, "sensitivity")
	}
	if sensitivity < 1 || sensitivity > 20 {
		p.Fail("sensitivity", "must be from 1 (tells of much) to 20 (of little)")
	}
	direction := p.OneOf("direction", "both", "both", "up", "down")
	least := p.Int("minimum_weeks", 3, 2, seasonWeeks-1) * parts
	counts := w.metric.name == "count" || w.metric.name == "users"
	w.judge = func(g *group, end event.Time, value float64, measured bool) verdict {
		if !measured {
			value = math.NaN()
		}
		usual, spread, known := g.History.season(w.place(end), seasonWeeks*parts, value, least)
		if !known || !measured {
			return verdict{}
		}
		spread = max(spread, 0.05*math.Abs(usual))
		if counts {
			spread = max(spread, math.Sqrt(usual), 1)
		}
		op, threshold := "gt", usual+sensitivity*spread
		if direction == "down" || direction == "both" && value < usual {
			op, threshold = "lt", usual-sensitivity*spread
		}
		return verdict{holds: spread > 0 && holds(op, value, threshold), value: &value, op: op, threshold: &threshold, expected: &usual}
	}
}

// seasonPlace is where the value of the window that starts at start is
// remembered: beside those of its hour of the week, by week, by part of the hour.
// Weeks are counted by local time, so that an hour of the week has one place in
// each when clocks change too; of an hour that comes twice then, the second counts.
func seasonPlace(start event.Time, zone *time.Location, parts int) int {
	local := start.Std().In(zone)
	_, offset := local.Zone()
	weeks := int((start + event.Time(offset)*second) / week)
	part := int(start%hour) * parts / int(hour)
	return ((int(local.Weekday())*24+local.Hour())*seasonWeeks+weeks%seasonWeeks)*parts + part
}

// season puts in the value of a window at its place, and says what the values
// of its hour of the week, of which size are remembered, were before: median and deviation.
func (h ring) season(place, size int, value float64, least int) (usual, spread float64, known bool) {
	h.replace(place, math.NaN())
	var before []float64
	first := place / size * size
	for _, v := range h[first : first+size] {
		if !math.IsNaN(v) {
			before = append(before, v)
		}
	}
	h.replace(place, value)
	if len(before) < least {
		return 0, 0, false
	}
	usual = median(before)
	for i, v := range before {
		before[i] = math.Abs(v - usual)
	}
	return usual, 1.4826 * median(before), true
}

// median sorts what it is given.
func median(values []float64) float64 {
	slices.Sort(values)
	n := len(values)
	return (values[(n-1)/2] + values[n/2]) / 2
}
