package beside

import (
	"cmp"
	"slices"
	"time"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/testenv/seeded"
)

// history is the set as plain lists: the events of each user in the order of time.
type history map[uint64][]seeded.Row

func historyOf(s Set) history {
	h := history{}
	for row := range seeded.Rows(s.Events, s.Users, s.Days) {
		h[row.User()] = append(h[row.User()], *row)
	}
	return h
}

// oracles answer the questions by loops that anybody can check, by name.
var oracles = map[string]func(h history, turn int) []string{
	"4-step ordered funnel, 7-day window, 90 days": func(h history, _ int) []string {
		return h.funnel(0, 0, noValue)
	},
	"the same, 30 days": func(h history, _ int) []string {
		return h.funnel(60, 0, noValue)
	},
	"30-day funnel by a property": func(h history, _ int) []string {
		return h.funnel(60, 0, func(r *seeded.Row) []any { return []any{r.Platform()} })
	},
	"30-day funnel with a filter on a step, another in each turn": func(h history, turn int) []string {
		return h.funnel(60, float64(leastAmount(turn)), noValue)
	},
	"30-day retention, first time":                         func(h history, _ int) []string { return h.firstTimeRetention() },
	"30-day retention, recurring":                          func(h history, _ int) []string { return h.recurringRetention() },
	"daily events and exact unique users by type, 30 days": func(h history, _ int) []string { return h.daily() },
	"top 20 pages by views and unique users, 7 days":       func(h history, _ int) []string { return h.topPages() },
	"the same as daily numbers (trends by page)":           func(h history, _ int) []string { return h.topPages() },
	"users online in 5 minutes":                            func(h history, _ int) []string { return h.online() },
}

func noValue(*seeded.Row) []any { return nil }

// dayOf is the day of the set, from 0, and dateOf how it is written.
func dayOf(t event.Time) int { return int((t - seeded.Start) / seeded.Day) }

func dateOf(day int) string {
	return (seeded.Start + event.Time(day)*seeded.Day).Std().Format(time.DateOnly)
}

var stepOf = map[string]int{"view_product": 1, "add_to_cart": 2, "begin_checkout": 3, "purchase": 4}

// funnel tries every start of every user, and counts users by their deepest step.
func (h history) funnel(fromDay int, leastAmount float64, value func(*seeded.Row) []any) []string {
	counts := tally{}
	for _, rows := range h {
		rows = slices.DeleteFunc(slices.Clone(rows), func(r seeded.Row) bool {
			step := stepOf[r.Type()]
			return step == 0 || dayOf(r.Timestamp) < fromDay || step == 4 && r.Amount < leastAmount
		})
		slices.SortStableFunc(rows, func(a, b seeded.Row) int {
			return cmp.Or(cmp.Compare(a.Timestamp, b.Timestamp), cmp.Compare(stepOf[a.Type()], stepOf[b.Type()]))
		})
		deepest := 0
		for i := range rows {
			if stepOf[rows[i].Type()] == 1 {
				deepest = max(deepest, depth(rows[i:]))
			}
		}
		if deepest > 0 {
			counts[line(append(value(&rows[0]), deepest)...)]++
		}
	}
	return counts.lines()
}

// depth is how far a chain comes that begins with the first row.
func depth(rows []seeded.Row) int {
	reached := 1
	for _, r := range rows[1:] {
		if r.Timestamp-rows[0].Timestamp > 7*seeded.Day {
			break
		}
		if stepOf[r.Type()] == reached+1 {
			reached++
		}
	}
	return reached
}

func (h history) firstTimeRetention() []string {
	counts := tally{}
	for _, rows := range h {
		first := dayOf(rows[0].Timestamp)
		if first < 60 {
			continue
		}
		for day := range days(rows, "") {
			counts[line(dateOf(first), day-first)]++
		}
	}
	return counts.lines()
}

func (h history) recurringRetention() []string {
	counts := tally{}
	for _, rows := range h {
		returns := days(rows, "purchase")
		for start := range days(rows, "view_product") {
			if start < 60 {
				continue
			}
			counts[line(dateOf(start), 0)]++
			for day := range returns {
				if day > start {
					counts[line(dateOf(start), day-start)]++
				}
			}
		}
	}
	return counts.lines()
}

// days are those on which there is an event of the type, or of any.
func days(rows []seeded.Row, kind string) map[int]bool {
	days := map[int]bool{}
	for _, r := range rows {
		if kind == "" || r.Type() == kind {
			days[dayOf(r.Timestamp)] = true
		}
	}
	return days
}

func (h history) daily() []string {
	events, users := tally{}, tally{}
	for _, rows := range h {
		seen := map[string]bool{}
		for _, r := range rows {
			if day := dayOf(r.Timestamp); day >= 60 {
				key := line(dateOf(day), r.Type())
				events[key]++
				seen[key] = true
			}
		}
		users.add(seen)
	}
	return events.with(users)
}

func (h history) topPages() []string {
	views, users := tally{}, tally{}
	for _, rows := range h {
		seen := map[string]bool{}
		for _, r := range rows {
			if r.Type() == "page_view" && dayOf(r.Timestamp) >= 83 {
				views[r.Page()]++
				seen[r.Page()] = true
			}
		}
		users.add(seen)
	}
	pages := slices.Collect(func(yield func(string) bool) {
		for page := range views {
			if !yield(page) {
				return
			}
		}
	})
	slices.SortFunc(pages, func(a, b string) int { return cmp.Or(cmp.Compare(views[b], views[a]), cmp.Compare(a, b)) })
	for _, page := range pages[20:] {
		delete(views, page)
	}
	return views.with(users)
}

func (h history) online() []string {
	now := event.TimeOf(Now)
	online := 0
	for _, rows := range h {
		if slices.ContainsFunc(rows, func(r seeded.Row) bool { return now-r.Timestamp < 5*60_000 && r.Timestamp-now <= 60_000 }) {
			online++
		}
	}
	return []string{line(online)}
}

// tally counts lines.
type tally map[string]int

func (t tally) add(seen map[string]bool) {
	for key := range seen {
		t[key]++
	}
}

func (t tally) lines() (lines []string) {
	for key, n := range t {
		lines = append(lines, line(key, n))
	}
	return lines
}

// with has the count of another tally behind each line.
func (t tally) with(other tally) (lines []string) {
	for key, n := range t {
		lines = append(lines, line(key, n, other[key]))
	}
	return lines
}
