package rule

import (
	"github.com/maidian/maidian/pkg/ask"
	"github.com/maidian/maidian/pkg/event"
)

// windowed is the part of a rule that measures windows of event time. Windows
// end at the multiples of step, each is judged once: when the evaluator's time
// is Grace behind its end, with all events that came until then.
type windowed struct {
	metric   metric
	named    string       // what people know the metric by, where that is not its name
	property string       // of which the metric is, where it is of one
	events   ask.Selector // what is measured
	of       *ask.Selector
	byUser   bool // a group for each user
	window   event.Time
	step     event.Time
	whole    bool       // windows that began before the rule was there are not judged
	history  int        // values that a group remembers, each at the place of its window's end
	past     event.Time // so far back
	place    func(end event.Time) int
	memory   event.Time // a group without events is kept that long
	judge    func(g *group, end event.Time, value float64, measured bool) verdict
}

// verdict is what a rule makes of a window.
type verdict struct {
	holds     bool
	value     *float64
	op        string
	threshold *float64
	expected  *float64
}

// compares makes the judge of "value op threshold".
func compares(op string, threshold float64) func(*group, event.Time, float64, bool) verdict {
	return func(_ *group, _ event.Time, value float64, measured bool) verdict {
		if !measured {
			return verdict{}
		}
		return verdict{holds: holds(op, value, threshold), value: &value, op: op, threshold: &threshold}
	}
}

func holds(op string, value, threshold float64) bool {
	switch op {
	case "gt":
		return value > threshold
	case "gte":
		return value >= threshold
	case "lt":
		return value < threshold
	}
	return value <= threshold
}

// comparisons are the operators that compare numbers.
var comparisons = []string{"gt", "gte", "lt", "lte"}

func readOp(p *ask.Params) string { return p.OneOf("op", "gt", comparisons...) }

// readWindowed reads what all kinds with windows have. A window is judged
// several times in its length, as often as makes steps of whole seconds.
func (r *Rule) readWindowed(p *ask.Params, w *windowed, shortest, leastStep event.Time) {
	r.windowed, r.Grace = w, defaultGrace
	w.window = p.Duration("window", "5m", longest)
	switch {
	case w.window%second != 0:
		p.Fail("window", "must be whole seconds")
	case w.window < shortest:
		p.Fail("window", "must be %s or longer", ask.DurationText(shortest))
	}
	steps := event.Time(mostSteps)
	for steps > 1 && (w.window%(steps*second) != 0 || w.window/steps < leastStep) {
		steps--
	}
	w.step, w.memory = w.window/steps, w.window
	r.For, r.Repeat = optional(p, "for"), optional(p, "repeat")
	r.Recovery = p.Bool("recovery", true)
	if p.Has("grace") {
		r.Grace = optional(p, "grace")
	}
}

const (
	defaultGrace = 30 * second // an SDK sends what it holds within some seconds
	mostSteps    = 12          // a window is judged that often in its length
)

// readMeasure reads a metric of events.
func (r *Rule) readMeasure(p *ask.Params) *windowed {
	w := &windowed{events: p.Selector("event", "", r.calendar)}
	names := []string{}
	for _, m := range metrics() {
		names = append(names, m.name)
	}
	name := p.OneOf("metric", "count", names...)
	w.metric = metricNamed(name)
	if w.metric.number {
		w.property = p.Property("property")
	}
	if name == "ratio" {
		of := p.Selector("of", "", r.calendar)
		w.of = &of
	}
	r.readGroup(p)
	return w
}

// takes adds an event to a bucket; false when it is not one to be measured.
func (w *windowed) takes(b *bucket, e *event.Event, n float64) {
	b.Count++
	switch w.metric.name {
	case "users":
		b.users().add(userOf(e))
	case "sum", "avg":
		b.Sum += n
	case "p95":
		b.values().add(n)
	}
}
