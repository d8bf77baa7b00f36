package rule

import (
	"math"

	"github.com/maidian/maidian/pkg/ask"
	"github.com/maidian/maidian/pkg/event"
)

// mostRemembered is how many values a group remembers: a week in steps of 5 minutes.
const mostRemembered = 2016

// readChange: a metric over a window against the same window an hour, a day or
// a week before, as a percentage: -30 is 30 % less. From nothing there is no
// percentage, and below "minimum" before none that means much.
func readChange(p *ask.Params, r *Rule) {
	w := r.readMeasure(p)
	against := map[string]event.Time{"hour": hour, "day": day, "week": week}[p.OneOf("against", "day", "hour", "day", "week")]
	leastStep := max(second, against/mostRemembered)
	r.readWindowed(p, w, max(minute, leastStep), leastStep)
	if against%w.window != 0 {
		p.Fail("window", "must divide the %s after which it is compared, such as 5m", ask.DurationText(against))
	}
	w.whole, w.history, w.past, w.memory = true, int(against/w.step), against, against+w.window
	w.place = func(end event.Time) int { return int(end/w.step) % w.history }
	op, threshold, least := readOp(p), number(p, "value"), 0.0
	if p.Has("minimum") {
		least = number(p, "minimum")
	}
	w.judge = func(g *group, end event.Time, value float64, measured bool) verdict {
		if !measured {
			value = math.NaN()
		}
		before := g.History.replace(w.place(end), value)
		change := (value - before) / math.Abs(before) * 100
		if math.IsNaN(change) || math.IsInf(change, 0) || before < least {
			return verdict{}
		}
		return verdict{holds: holds(op, change, threshold), value: &change, op: op, threshold: &threshold, expected: &before}
	}
}
