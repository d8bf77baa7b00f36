package report

import (
	"cmp"
	"context"
	"slices"

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
	r := RealtimeRequest{Common: Common{Now: env.Now, Limits: env.limits(), From: env.Now - hour + 1, To: env.Now + ahead}}
	r.Timezone, r.Calendar.Zone = p.Zone("timezone", cmp.Or(env.Timezone, "UTC"))
	r.Filters = p.Filters("filters", r.Calendar)
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
	now, err := readMoments(ctx, events, r.Now)
	if err != nil {
		return nil, err
	}
	answer.RecentEvents1h, answer.RecentEvents5m, answer.PerMinute = now.hour, now.fiveMinutes, now.perMinute
	answer.OnlineUsers = now.online.distinct()[0]
	answer.TopEvents = first(now.types(), r.Limit)
	answer.TopPages = viewedPages(first(now.pages(), r.Limit))
	return answer, ctx.Err()
}

// readMoments reads pieces of the days on all processors.
func readMoments(ctx context.Context, events *reading, now event.Time) (*moments, error) {
	type piece struct {
		day int
		run columns.Run
	}
	const together = 16 * rowsAtOnce
	var pieces []piece
	for i, d := range events.days {
		for _, run := range d.Runs() {
			for lo := run.Lo; lo < run.Hi; lo += together {
				pieces = append(pieces, piece{i, columns.Run{Type: run.Type, Lo: lo, Hi: min(lo+together, run.Hi)}})
			}
		}
	}
	found := make([]*moments, processors())
	err := parallelWith(ctx, len(pieces), func(worker int) *moments {
		found[worker] = newMoments(events)
		return found[worker]
	}, func(_ context.Context, m *moments, i int) error {
		m.add(pieces[i].day, pieces[i].run, now)
		return nil
	})
	all := newMoments(events)
	for _, m := range found {
		if m != nil {
			all.join(m)
		}
	}
	return all, err
}

// moments is the few events of the last hour: no set of all users is made for them.
type moments struct {
	events         *reading
	online         *pairs // in one group
	ofType, ofPage *pairs
	names          []string // of types

	hour, fiveMinutes int // events
	perMinute         [30]int

	rows [rowsAtOnce]uint32
}

func newMoments(events *reading) *moments {
	m := &moments{events: events, names: events.typeNames(), online: newPairs(1, events.who.count)}
	m.ofType = newPairs(len(m.names), events.who.count)
	m.ofPage = newPairs(len(events.values("page_url")), events.who.count)
	return m
}

func (m *moments) add(dayIndex int, run columns.Run, now event.Time) {
	d, who := m.events.days[dayIndex], m.events.units(dayIndex)
	pages := &m.events.column(dayIndex, "page_url").Codes
	kind := uint32(slices.Index(m.names, run.Type))
	m.eachRow(dayIndex, run, func(row int) {
		user, has := who.of(row)
		m.ofType.add(kind, user, has)
		if page := pages.At(row); page != 0 && run.Type == pageView {
			m.ofPage.add(page, user, has)
		}
		if m.addAge(max(0, now-timeOf(d, row))) {
			m.online.add(0, user, has)
		}
	})
}

func (m *moments) join(o *moments) {
	m.hour += o.hour
	m.fiveMinutes += o.fiveMinutes
	for i, n := range o.perMinute {
		m.perMinute[i] += n
	}
	m.online.join(o.online)
	m.ofType.join(o.ofType)
	m.ofPage.join(o.ofPage)
}

// eachRow calls visit for the rows of a run that count. Those in the range are
// found some at a time, so that their numbers take no memory that is not near.
func (m *moments) eachRow(dayIndex int, run columns.Run, visit func(row int)) {
	d := m.events.days[dayIndex]
	first, last, _ := m.events.inRange(d)
	for lo := run.Lo; lo < run.Hi; lo += len(m.rows) {
		times := d.Times()[lo:min(lo+len(m.rows), run.Hi)]
		n := rowsBetween(&m.rows, times, first, last)
		if n == 0 {
			continue
		}
		var keep passing
		if m.events.match != nil {
			keep = trues(len(times))
			m.events.match.and(dayIndex, lo, keep)
		}
		for _, row := range m.rows[:n] {
			if keep.has(int(row)) {
				visit(lo + int(row))
			}
		}
	}
}

const rowsAtOnce = 1 << 10

// rowsBetween finds the rows with times from lo to hi, and says how many there
// are. Most have other ones, so that it takes no branches.
func rowsBetween(rows *[rowsAtOnce]uint32, times []uint32, lo, hi uint32) (n int) {
	for row, at := range times {
		rows[n&(rowsAtOnce-1)] = uint32(row)
		in := 0
		if at-lo <= hi-lo {
			in = 1
		}
		n += in
	}
	return n
}

func (m *moments) types() []TypeStat {
	stats := []TypeStat{}
	for n, users := range m.ofType.distinct() {
		if rows := m.ofType.rows[n]; rows > 0 {
			stats = append(stats, TypeStat{m.names[n], rows, users})
		}
	}
	sortTypes(stats)
	return stats
}

func (m *moments) pages() []ValueStat {
	return valueStatsOf("page_url", m.events.values("page_url"), m.ofPage)
}

// addAge counts an event of that age; true when it is one of the last minutes.
func (m *moments) addAge(age event.Time) bool {
	m.hour++
	if back := int(age / minute); back < len(m.perMinute) {
		m.perMinute[len(m.perMinute)-1-back]++
	}
	if age >= 5*minute {
		return false
	}
	m.fiveMinutes++
	return true
}
