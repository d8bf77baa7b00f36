package rule

import (
	"slices"
	"strings"

	"github.com/maidian/maidian/pkg/ask"
	"github.com/maidian/maidian/pkg/event"
)

// pipelineMetrics are what a pipeline rule can look at: of levels the mean of
// the samples in the window, of what is counted the sum.
var pipelineMetrics = []struct{ name, metric string }{
	{"queue_depth", "avg"},         // messages on the queue
	{"consumer_lag", "avg"},        // seconds from an event's receipt until it is stored
	{"oldest_message_age", "avg"},  // seconds that the first message on the queue has waited
	{"dead_letters", "sum"},        // events that became one
	{"unaccounted_events", "avg"},  // accepted events that nothing is known of
	{"storage_errors", "sum"},      // inserts that failed
	{"alerts_behind", "avg"},       // seconds that rules are behind what is stored
	{"undelivered_notices", "avg"}, // notices that wait for their channel
}

// readPipeline: what the system says of itself over a window, compared with a number.
func readPipeline(p *ask.Params, r *Rule) {
	names := []string{}
	for _, m := range pipelineMetrics {
		names = append(names, m.name)
	}
	name := p.OneOf("metric", "", names...)
	w := &windowed{events: ask.Selector{Event: sampleType(name)}, property: "properties.value"}
	i := slices.Index(names, name)
	for _, m := range metrics() {
		if i >= 0 && m.name == pipelineMetrics[i].metric {
			w.metric = m
		}
	}
	r.readWindowed(p, w, 10*second, second)
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
