package rule

import "github.com/maidian/maidian/pkg/ask"

// readBehaviour: a user does more than so many of something in a window. The
// user is the event's user_id, else its anonymous_id, else its session_id.
func readBehaviour(p *ask.Params, r *Rule) {
	w := &windowed{events: p.Selector("event", "", r.calendar), metric: metricNamed("count"), byUser: true}
	r.GroupBy = "user"
	r.readWindowed(p, w, second, second)
	w.judge = compares("gt", number(p, "more_than"))
}
