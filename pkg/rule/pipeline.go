package rule

import (
	"strings"

	"github.com/maidian/maidian/pkg/ask"
	"github.com/maidian/maidian/pkg/event"
)

// pipelineMetrics are what a pipeline rule can look at: the mean of the samples in the window.
var pipelineMetrics = []string{
	"queue_depth",        // messages on the queue, of all projects
	"oldest_message_age", // seconds that a message on the queue can have waited, at most
	"consumer_lag",       // seconds from receipt to storage of what was stored last
	"dead_letters",       // of the project, at most 1,000 are counted
	"unaccounted_events", // of the project, accepted in the last two days and neither stored nor dead letters after ten minutes
	"storage_errors",     // calls of the store that failed within a minute, of all consumers
	"alerts_behind",      // seconds that the rules of the project are behind what is stored
}

// readPipeline: what the system says of itself over a window, compared with a number.
func readPipeline(p *ask.Params, r *Rule) {
	name := p.OneOf("metric", "", pipelineMetrics...)
	w := &windowed{events: ask.Selector{Event: sampleType(name)}, metric: metricNamed("avg"), property: "properties.value", named: name}
	r.readWindowed(p, w, 10*second, second)
	if !p.Has("grace") {
		r.Grace = 0 // a sample is never late
	}
	w.judge = compares(readOp(p), number(p, "value"))
}

// sampleMark begins the event types of samples, which no client can send: it is not printable.
const sampleMark = "\x00"

func sampleType(metric string) string { return sampleMark + metric }

// PipelineMetrics are the pipeline metrics that some rule in use looks at.
func (e *Evaluator) PipelineMetrics() (names []string) {
	for eventType := range e.byType {
		if name, ok := strings.CutPrefix(eventType, sampleMark); ok {
			names = append(names, name)
		}
	}
	return names
}

// Sample is what the pipeline said of itself at a moment.
func (e *Evaluator) Sample(metric string, at event.Time, value float64) {
	e.Observe(&event.Event{
		EventType: sampleType(metric), Timestamp: at,
		Properties: string(event.NumberValue(value).AppendJSON([]byte(`{"value":`))) + "}",
	})
}
