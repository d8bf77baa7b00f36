package rule

import "github.com/maidian/maidian/pkg/event"

// StatusKind is of the one record of a project that says how its rules are, with
// StatusID and a Status as JSON. It is written every half minute, and when rules change.
const (
	StatusKind = "alert_status"
	StatusID   = "status"
)

// Status is how the rules of a project are.
type Status struct {
	At       event.Time        `json:"at"`
	Progress event.Time        `json:"progress"` // windows up to then are judged, but for each rule's grace
	Rules    map[string]Health `json:"rules"`    // those that are evaluated, by id
}

// Health is how one rule is.
type Health struct {
	Since   event.Time `json:"since"`             // it looks at what comes from then on
	Groups  int        `json:"groups"`            // that it remembers something of
	Alarms  int        `json:"alarms"`            // of which it has told, and which have not ended
	Crowded int64      `json:"crowded,omitempty"` // events of which it could remember nothing: it has too many groups or values
}

// Status says how the rules are at a moment.
func (e *Evaluator) Status(at event.Time) Status {
	s := Status{At: at, Progress: e.progress, Rules: make(map[string]Health, len(e.rules))}
	for _, r := range e.rules {
		h := Health{Since: r.Since, Groups: len(r.Groups), Crowded: r.Crowded}
		for _, g := range r.Groups {
			if r.rule.windowed != nil && g.Alarm.Told != 0 {
				h.Alarms++
			}
		}
		s.Rules[r.rule.ID] = h
	}
	return s
}
