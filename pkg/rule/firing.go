// Package rule is what people want to be told of: a rule's definition, read
// with its mistakes told by field, and the evaluator that turns stored events
// into firings. It keeps no clock and no store: the consumer's alert role and
// the query service's preview run the same one.
package rule

import (
	"encoding/json"

	"github.com/maidian/maidian/pkg/event"
)

// Kinds of the records in the store.
const (
	RecordKind = "rule"        // a definition; its ID is the rule's
	StateKind  = "alert_state" // what the evaluator of a project remembers
	FiringKind = "firing"      // Data is a Firing as JSON; its ID is the firing's
)

// States of a firing.
const (
	StateFiring    = "firing"
	StateRecovered = "recovered"
)

// Reasons of a recovery other than that the condition no longer holds: nobody
// looks any more whether it does.
const (
	ReasonDeleted   = "rule_deleted"
	ReasonDisabled  = "rule_disabled"
	ReasonChanged   = "rule_changed"
	ReasonForgotten = "group_forgotten" // nothing has come of it for so long
)

// Firing says that a rule's condition holds, or that it no longer does. Its ID
// follows from the rule, the group and the window or event, so that an
// evaluation that is done again makes the same firing, not a second one.
type Firing struct {
	ID       string   `json:"id"`
	Rule     string   `json:"rule"` // id
	Project  string   `json:"project"`
	Name     string   `json:"name"` // the rule's
	Kind     string   `json:"kind"`
	Severity string   `json:"severity"` // info, warning or critical
	Channels []string `json:"channels"` // ids of those that are to hear of it
	GroupBy  string   `json:"group_by,omitempty"`
	Group    string   `json:"group,omitempty"` // the value of GroupBy
	Metric   string   `json:"metric,omitempty"`
	State    string   `json:"state"`            // StateFiring or StateRecovered
	Reason   string   `json:"reason,omitempty"` // of a recovery, when it is not that the condition no longer holds
	Repeat   bool     `json:"repeat,omitempty"` // it was told before and still holds

	Value     *float64 `json:"value,omitempty"`     // what was measured; nil: nothing is measured, or nothing was there
	Op        string   `json:"op,omitempty"`        // how Value compares with Threshold: gt, gte, lt or lte
	Threshold *float64 `json:"threshold,omitempty"` // in the unit of Value
	Expected  *float64 `json:"expected,omitempty"`  // what Value was before, or usually is at such an hour
	NewValue  string   `json:"new_value,omitempty"` // of new_value: what was never seen before

	Window Span       `json:"window"` // of event time
	Since  event.Time `json:"since"`  // since when the condition holds, or did until now
	At     event.Time `json:"at"`     // the moment it is about: the window's end, or the event's time
	Event  *Sample    `json:"event,omitempty"`
	Link   string     `json:"link"` // to the chart: a path on the query service
}

// Span is from From on and before To.
type Span struct {
	From event.Time `json:"from"`
	To   event.Time `json:"to"`
}

// Sample is the event that a firing is about, in brief.
type Sample struct {
	EventID    string          `json:"event_id"`
	EventType  string          `json:"event_type"`
	EventName  string          `json:"event_name,omitempty"`
	UserID     string          `json:"user_id,omitempty"`
	Timestamp  event.Time      `json:"timestamp"`
	PageURL    string          `json:"page_url,omitempty"`
	Properties json.RawMessage `json:"properties,omitempty"` // as sent
}
