package oracle

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/maidian/maidian/pkg/event"
)

// stats: events by type, most first, and by every day of the range.
func (q *question) stats() answer {
	days := []answer{}
	for _, b := range q.clock.buckets("day", q.from, q.to) {
		of := q.records().where(func(r *record) bool { return b.holds(r.Timestamp) })
		days = append(days, answer{"date": b.label, "count": len(of), "users": q.users(of)})
	}
	return answer{"total": len(q.records()), "by_type": q.top("event_type", byType, q.records(), math.MaxInt), "by_day": days}
}

// top counts by a text, most first, then by the text; events without it are left out.
func (q *question) top(name string, of func(r *record) string, rs records, limit int) []answer {
	list := []answer{}
	for text, those := range rs.by(of) {
		if text != "" {
			list = append(list, answer{name: text, "count": len(those), "users": q.users(those)})
		}
	}
	sortBy(list, "count", name)
	return list[:min(limit, len(list))]
}

// sortBy puts the most of a number first, then orders by a text.
func sortBy(list []answer, number, text string) {
	slices.SortFunc(list, func(a, b answer) int {
		return cmp.Or(cmp.Compare(b[number].(int), a[number].(int)), cmp.Compare(a[text].(string), b[text].(string)))
	})
}

// viewed is the top of pages, by views.
func (q *question) viewed(rs records, limit int) []answer {
	list := q.top("page_url", func(r *record) string { return r.PageURL }, rs.ofType("page_view"), limit)
	for _, page := range list {
		page["views"] = page["count"]
		delete(page, "count")
	}
	return list
}

// pages: how each page did, most views first.
func (q *question) pages() answer {
	list := []answer{}
	views := q.records().ofType("page_view").where(func(r *record) bool { return r.PageURL != "" })
	slices.SortFunc(views, func(a, b *record) int { // the order of arrival decides nothing
		return cmp.Or(cmp.Compare(a.Timestamp, b.Timestamp), cmp.Compare(a.PageURL, b.PageURL), cmp.Compare(b.PageTitle, a.PageTitle))
	})
	timed := q.records().where(func(r *record) bool { return r.EventType == "page_view" || r.EventType == "page_leave" })
	for url, of := range views.by(func(r *record) string { return r.PageURL }) {
		entries, bounces, exits, title := 0, 0, 0, ""
		for _, visit := range views.by(bySession) {
			if visit[0].PageURL == url {
				entries++
				if len(visit) == 1 {
					bounces++
				}
			}
			if visit[len(visit)-1].PageURL == url {
				exits++
			}
		}
		for _, r := range of {
			title = cmp.Or(r.PageTitle, title) // the newest
		}
		here := timed.where(func(r *record) bool { return r.PageURL == url })
		list = append(list, answer{
			"page_url": url, "page_title": title, "views": len(of), "users": q.users(of),
			"avg_load_time": mean(of, func(r *record) event.Number { return r.LoadTime }),
			"avg_duration":  mean(here, func(r *record) event.Number { return r.Duration }),
			"bounce_rate":   percent(bounces, entries), "exit_rate": percent(exits, len(of)),
		})
	}
	sortBy(list, "views", "page_url")
	total, offset := len(list), q.whole("offset", 0)
	return answer{"pages": list[min(offset, total):min(offset+q.whole("limit", 50), total)], "total": total}
}

// mean is to the millisecond, nil of nothing.
func mean(rs records, of func(r *record) event.Number) any {
	sum, n := 0.0, 0.0
	for _, r := range rs {
		if f, is := of(r).Float(); is {
			sum, n = sum+f, n+1
		}
	}
	if n == 0 {
		return nil
	}
	return math.Round(sum/n*1000) / 1000
}

// percent is to a tenth; of nothing it is 0.
func percent(part, whole int) float64 {
	if whole == 0 {
		return 0
	}
	return math.Round(float64(part)/float64(whole)*1000) / 10
}

// summary: a range at a glance, beside the one of equal length before.
func (q *question) summary() answer {
	from, to := q.before()
	now, limit := q.records(), q.whole("limit", 10)
	hours := make([]int, 24)
	for _, r := range now {
		hours[r.Timestamp.Std().In(q.clock.zone).Hour()]++
	}
	field := func(name string) func(r *record) string {
		return func(r *record) string { return event.ValueOf(&r.Event, name).Text }
	}
	return answer{
		"overview": q.overview(now, q.from), "previous": q.overview(q.between(from, to), from),
		"previous_range": answer{"from": from, "to": to}, "hours": hours,
		"top_events": q.top("event_type", byType, now, limit), "top_pages": q.viewed(now, limit),
		"top_referrers": q.top("referrer", field("referrer"), now.ofType("page_view"), limit),
		"devices":       q.top("device_type", field("device_type"), now, limit),
		"browsers":      q.top("browser", field("browser"), now, limit),
		"countries":     q.top("country", field("country"), now, limit),
		"channels":      q.top("channel", field("channel"), now, limit),
	}
}

// before is the range that ends just before this one: as many calendar days
// when this one is whole days, else as much time.
func (q *question) before() (from, to event.Time) {
	first, last := q.clock.at("day", q.from), q.clock.at("day", q.to)
	if first.since != q.from || last.until != q.to+1 {
		return q.from - (q.to - q.from + 1), q.from - 1
	}
	date, err := time.Parse(time.DateOnly, first.label)
	if err != nil {
		panic(err)
	}
	days := len(q.clock.buckets("day", q.from, q.to))
	from, _ = q.clock.day(date.AddDate(0, 0, -days).Format(time.DateOnly))
	return from, q.from - 1
}

func (q *question) overview(rs records, from event.Time) answer {
	var revenue float64
	for _, r := range rs.ofType("purchase") {
		if n, is := number(event.Property(r.Properties, "amount")); is {
			revenue += n
		}
	}
	var length event.Time
	sessions := rs.by(bySession)
	for _, of := range sessions {
		length += of[len(of)-1].Timestamp - of[0].Timestamp
	}
	bounced, viewing := 0, rs.ofType("page_view").by(bySession)
	for _, views := range viewing {
		if len(views) == 1 {
			bounced++
		}
	}
	fresh := rs.by(func(r *record) string { return r.user })
	for _, r := range q.all {
		if r.Timestamp < from {
			delete(fresh, r.user)
		}
	}
	return answer{
		"total_events": len(rs), "active_users": q.users(rs), "new_users": len(fresh), "sessions": len(sessions),
		"page_views": len(rs.ofType("page_view")), "avg_session_duration": math.Round(float64(length)/float64(max(1, len(sessions)))) / 1000,
		"bounce_rate": percent(bounced, len(viewing)), "revenue": revenue,
	}
}

// realtime: the hour until now, in which devices whose clocks are up to a
// minute ahead are seen as well.
func (q *question) realtime() answer {
	rs, limit := q.between(q.now-hour+1, q.now+minute), q.whole("limit", 10)
	newest := rs.where(func(r *record) bool { return r.Timestamp > q.now-5*minute })
	minutes := make([]int, 30)
	for i := range minutes {
		until := q.now - event.Time(29-i)*minute
		for _, r := range rs {
			if r.Timestamp > until-minute && (r.Timestamp <= until || i == 29) {
				minutes[i]++
			}
		}
	}
	return answer{
		"complete": false, "recent_events_1h": len(rs), "recent_events_5m": len(newest), "online_users": q.users(newest), "per_minute": minutes,
		"top_pages": q.viewed(rs, limit), "top_events": q.top("event_type", byType, rs, limit),
	}
}
