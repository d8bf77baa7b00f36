package report

import (
	"context"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/services/query/internal/columns"
)

// RealtimeRequest asks what is happening now.
type RealtimeRequest struct {
	Common
	Limit int `json:"limit"` // of the top lists
}

// RealtimeAnswer is what is happening now.
type RealtimeAnswer struct {
	RecentEvents1h int          `json:"recent_events_1h"`
	RecentEvents5m int          `json:"recent_events_5m"`
	OnlineUsers    int          `json:"online_users"`
	PerMinute      [30]int      `json:"per_minute"`
	TopPages       []ViewedPage `json:"top_pages"`
	TopEvents      []TypeStat   `json:"top_events"`
	Definition     definition   `json:"definition"`
}

const (
	minute = 60 * second
	// ahead is how far the clock of a device may run ahead before its times are
	// corrected: events that seem to come from the next minute happen now.
	ahead = minute
)

// ReadRealtime reads the request. It has no range: that is the hour until now.
func ReadRealtime(p *Params, env Env) (RealtimeRequest, error) {
	r := RealtimeRequest{Common: Common{Now: env.Now, From: env.Now - hour + 1, To: env.Now + ahead}}
	r.Timezone, r.Calendar.Zone = p.timezone(env)
	r.Filters = p.filters("filters", r.Calendar)
	r.Unit = p.unit()
	r.Limit = p.Int("limit", 10, 1, 1000)
	return r, p.Done()
}

// Realtime counts the last hour, minute by minute where it is nearest.
func Realtime(ctx context.Context, v *columns.View, r RealtimeRequest) (*RealtimeAnswer, error) {
	events, err := r.open(ctx, v, columns.Needs{Columns: []string{"page_url"}})
	if err != nil {
		return nil, err
	}
	answer := &RealtimeAnswer{Definition: r.defined(definition{
		"range":            "the last hour; events that seem to come from the next minute are taken for now",
		"online_users":     "distinct " + r.Unit.words() + ", active in the last 5 minutes",
		"recent_events_1h": "events with a timestamp in the last hour",
		"per_minute":       "events in each of the last 30 minutes, the current one last; a minute ends a whole number of minutes before as_of",
		"top":              "top_pages and top_events are of the last hour",
	})}
	online := newTally(events.who.count)
	types := newTypeStats(events.who.count)
	for i, d := range events.days {
		keep, who := events.passing(i), events.units(i)
		types.add(d, keep, who)
		for row := range d.Len() {
			if !keep.has(row) {
				continue
			}
			age := max(0, r.Now-timeOf(d, row))
			answer.RecentEvents1h++
			answer.addMinute(age)
			if age < 5*minute {
				answer.RecentEvents5m++
				if u, ok := who.of(row); ok {
					online.add(u)
				}
			}
		}
	}
	answer.OnlineUsers = online.n
	answer.TopEvents = first(types.stats(), r.Limit)
	answer.TopPages = viewedPages(first(events.valueStats("page_url", pageView), r.Limit))
	return answer, ctx.Err()
}

func (a *RealtimeAnswer) addMinute(age event.Time) {
	if back := int(age / minute); back < len(a.PerMinute) {
		a.PerMinute[len(a.PerMinute)-1-back]++
	}
}
