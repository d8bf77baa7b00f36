package rule

import "github.com/maidian/maidian/pkg/ask"

// readAbsence: no such event in a window. Of groups it tells of those that were
// there before; they are forgotten after a day.
func readAbsence(p *ask.Params, r *Rule) {
	w := &windowed{events: p.Selector("event", "", r.calendar), metric: metricNamed("count"), whole: true}
	r.readGroup(p)
	r.readWindowed(p, w, minute, second)
	w.memory = w.window + day
	w.judge = compares("lt", 1)
}
