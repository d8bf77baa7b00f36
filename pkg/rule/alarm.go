package rule

import "github.com/maidian/maidian/pkg/event"

// alarm is where a group stands with its rule.
type alarm struct {
	Since event.Time `json:"since,omitempty"` // the condition has held since; 0: it does not
	Told  event.Time `json:"told,omitempty"`  // when it was last told that it holds; 0: it was not
	Ended event.Time `json:"ended,omitempty"` // when something that was told came to its end
}

// judged is what is to be told after a window's verdict: a state, or "".
func (a *alarm) judged(r *Rule, end event.Time, holds bool) (state string, repeat bool) {
	if !holds {
		told := a.Told != 0
		a.Since, a.Told = 0, 0
		if !told {
			return "", false
		}
		if a.Ended = end; r.Recovery {
			state = StateRecovered
		}
		return state, false
	}
	if a.Since == 0 {
		a.Since = end
	}
	switch {
	case end-a.Since < r.For || r.silent(end):
		return "", false
	case a.Told == 0 && a.Ended != 0 && end < a.Ended+r.CoolDown:
		return "", false
	case a.Told != 0 && (r.Repeat == 0 || end < a.Told+r.Repeat):
		return "", false
	}
	repeat = a.Told != 0
	a.Told = end
	return StateFiring, repeat
}
