package rule

import "github.com/maidian/maidian/pkg/event"

// alarm is where a group stands with its rule.
type alarm struct {
	Since event.Time `json:"since,omitempty"` // the condition has held since; 0: it does not
	Told  event.Time `json:"told,omitempty"`  // when it was last told that it holds; 0: it was not
	Ended event.Time `json:"ended,omitempty"` // when something that was told came to its end
}

// turn is what there is to tell of an alarm.
type turn struct {
	state  string // empty: nothing
	since  event.Time
	repeat bool
	reason string
}

// judged is what is to be told after a window's verdict.
func (a *alarm) judged(r *Rule, end event.Time, holds bool) turn {
	if !holds {
		return a.over(r, end, "")
	}
	if a.Since == 0 {
		a.Since = end
	}
	switch {
	case end-a.Since < r.For || r.silent(end):
		return turn{}
	case a.Told == 0 && a.Ended != 0 && end < a.Ended+r.CoolDown:
		return turn{}
	case a.Told != 0 && (r.Repeat == 0 || end < a.Told+r.Repeat):
		return turn{}
	}
	repeat := a.Told != 0
	a.Told = end
	return turn{state: StateFiring, since: a.Since, repeat: repeat}
}

// over ends it: who was told that it holds is told that it does not, or that
// nobody looks any more.
func (a *alarm) over(r *Rule, end event.Time, reason string) (t turn) {
	if a.Told != 0 {
		if a.Ended = end; r.Recovery {
			t = turn{state: StateRecovered, since: a.Since, reason: reason}
		}
	}
	a.Since, a.Told = 0, 0
	return t
}
