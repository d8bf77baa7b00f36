package beside

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Question is one thing to know, as each system is asked for it. The answers
// are lines of cells between tabs, in any order.
type Question struct {
	Name  string
	Route string                                // of our query service
	Body  func(turn int) string                 // a JSON object; turns may differ where a question is to be new each time
	Lines func(answer []byte) ([]string, error) // of our answer
	SQL   func(table string, turn int) string   // ClickHouse's dialect
	Goal  float64                               // our time is at most so much of theirs
	Duck  string                                // the same for DuckDB, where the goal is held against it
}

// Now is the moment that the set is asked about "now": the evening of its last day.
var Now = time.Date(2026, 8, 29, 20, 30, 0, 0, time.UTC)

// The ranges, each up to the set's end.
const (
	last90 = `"from": "2026-06-01", "to": "2026-08-29"`
	last30 = `"from": "2026-07-31", "to": "2026-08-29"`
	last7  = `"from": "2026-08-23", "to": "2026-08-29"`

	since30 = `ts >= toDateTime64('2026-07-31 00:00:00', 3, 'UTC')`
	since7  = `ts >= toDateTime64('2026-08-23 00:00:00', 3, 'UTC')`
	day30   = `toDate('2026-07-31')`
)

// Questions are in the order of the report. Adding one is an entry here, and
// its answer by a plain loop in oracle_test.go.
func Questions() []Question {
	return []Question{
		{
			Name: "4-step ordered funnel, 7-day window, 90 days", Goal: 1.0 / 10,
			Route: "funnel", Body: always(`{` + last90 + `, "window": "7d", "steps": ` + steps("") + `}`), Lines: funnelLines,
			SQL: func(table string, _ int) string { return funnelSQL(table, "", "", "") },
		},
		{
			Name: "the same, 30 days", Goal: 1.0 / 10,
			Route: "funnel", Body: always(`{` + last30 + `, "window": "7d", "steps": ` + steps("") + `}`), Lines: funnelLines,
			SQL: func(table string, _ int) string { return funnelSQL(table, "AND "+since30, "", "") },
		},
		{
			Name: "30-day funnel by a property", Goal: 1.0 / 8,
			Route: "funnel", Body: always(`{` + last30 + `, "window": "7d", "breakdown": "platform", "steps": ` + steps("") + `}`), Lines: funnelByLines,
			SQL: func(table string, _ int) string {
				return funnelSQL(table, "AND "+since30, "argMinIf(platform, ts, event = 'view_product') AS value, ", "")
			},
		},
		{
			Name: "30-day funnel with a filter on a step, another in each turn", Goal: 1.0 / 3,
			Route: "funnel", Lines: funnelLines,
			Body: func(turn int) string {
				return `{` + last30 + `, "window": "7d", "steps": ` + steps(fmt.Sprintf(`{"property": "amount", "op": "gte", "value": %d}`, leastAmount(turn))) + `}`
			},
			SQL: func(table string, turn int) string {
				return funnelSQL(table, "AND "+since30, "", fmt.Sprintf(" AND amount >= %d", leastAmount(turn)))
			},
		},
		{
			Name: "30-day retention, first time", Goal: 1.0 / 50,
			Route: "retention", Body: always(`{` + last30 + `, "intervals": 30, "start_event": "*", "return_event": "*", "cohort": "first_time"}`), Lines: retentionLines,
			SQL: func(table string, _ int) string {
				return `SELECT ` + day30 + ` + first AS d, k, countIf(bitTest(mask, first + k)) AS c FROM (
					SELECT dateDiff('day', ` + day30 + `, least_day) AS first, mask FROM (
						SELECT user_id, min(toDate(ts)) AS least_day, groupBitOrIf(bitShiftLeft(toUInt64(1), toUInt8(toDate(ts) - ` + day30 + `)), ` + since30 + `) AS mask
						FROM ` + table + ` GROUP BY user_id) WHERE least_day >= ` + day30 + `)
					ARRAY JOIN range(30) AS k WHERE first + k < 30 GROUP BY d, k HAVING c > 0`
			},
		},
		{
			Name: "30-day retention, recurring", Goal: 1.0 / 50,
			Route: "retention", Body: always(`{` + last30 + `, "intervals": 30, "start_event": "view_product", "return_event": "purchase"}`), Lines: retentionLines,
			SQL: func(table string, _ int) string {
				return `SELECT d, k, count() FROM (SELECT arrayJoin(starts) AS d, returns FROM (
						SELECT user_id, groupUniqArrayIf(toDate(ts), event = 'view_product') AS starts, groupUniqArrayIf(toDate(ts), event = 'purchase') AS returns
						FROM ` + table + ` WHERE event IN ('view_product', 'purchase') AND ` + since30 + ` GROUP BY user_id))
					ARRAY JOIN arrayConcat([toInt32(0)], arrayFilter(x -> x > 0, arrayMap(r -> toInt32(r - d), returns))) AS k GROUP BY d, k`
			},
		},
		{
			Name: "daily events and exact unique users by type, 30 days", Goal: 1.0 / 50,
			Route: "trends", Body: always(`{` + last30 + `, "series": [{"event": "*"}, {"event": "*", "metric": "users"}], "breakdown": "event_type"}`), Lines: dailyLines,
			SQL: func(table string, _ int) string {
				return `SELECT toDate(ts) AS d, event, count(), uniqExact(user_id) FROM ` + table + ` WHERE ` + since30 + ` GROUP BY d, event`
			},
		},
		{
			Name: "top 20 pages by views and unique users, 7 days", Goal: 1.0 / 5,
			Route: "stats/pages", Body: always(`{` + last7 + `, "limit": 20}`), Lines: pagesLines, SQL: pagesSQL,
		},
		{
			Name:  "the same as daily numbers (trends by page)",
			Route: "trends", Body: always(`{` + last7 + `, "series": [{"event": "page_view"}, {"event": "page_view", "metric": "users"}], "breakdown": {"property": "page_path", "limit": 20}}`), Lines: pagesOfTrendLines,
			SQL: pagesSQL,
		},
		{
			Name: "users online in 5 minutes", Goal: 1.0 / 5,
			Route: "realtime", Body: always(`{}`), Lines: onlineLines,
			SQL: func(table string, _ int) string {
				return fmt.Sprintf(`SELECT uniqExact(user_id) FROM %s WHERE ts > %s AND ts <= %s`, table, moment(Now.Add(-5*time.Minute)), moment(Now.Add(time.Minute)))
			},
			Duck: fmt.Sprintf(`SELECT count(DISTINCT user_id) FROM events WHERE ts > TIMESTAMP '%s' AND ts <= TIMESTAMP '%s'`,
				Now.Add(-5*time.Minute).Format(time.DateTime), Now.Add(time.Minute).Format(time.DateTime)),
		},
	}
}

func always(body string) func(int) string { return func(int) string { return body } }

func leastAmount(turn int) int { return 50 + turn }

// steps are the funnel's; the last may have a filter.
func steps(filter string) string {
	return `["view_product", "add_to_cart", "begin_checkout", {"event": "purchase", "filters": [` + filter + `]}]`
}

// funnelSQL counts users by their deepest step, and by value when there is one.
func funnelSQL(table, where, value, last string) string {
	group := "level"
	if value != "" {
		group = "value, level"
	}
	return `SELECT ` + group + `, count() FROM (SELECT user_id, ` + value + `windowFunnel(604800000)(toUInt64(toUnixTimestamp64Milli(ts)),
		event = 'view_product', event = 'add_to_cart', event = 'begin_checkout', event = 'purchase'` + last + `) AS level
		FROM ` + table + ` WHERE event IN ('view_product', 'add_to_cart', 'begin_checkout', 'purchase') ` + where + ` GROUP BY user_id)
		WHERE level > 0 GROUP BY ` + group
}

func pagesSQL(table string, _ int) string {
	return `SELECT page, count() AS c, uniqExact(user_id) FROM ` + table + ` WHERE event = 'page_view' AND ` + since7 + ` GROUP BY page ORDER BY c DESC, page LIMIT 20`
}

func moment(t time.Time) string {
	return `toDateTime64('` + t.Format("2006-01-02 15:04:05.000") + `', 3, 'UTC')`
}

// funnelSteps is how many users each step has.
type funnelSteps []struct{ Users int }

// lines are the users by their deepest step.
func (s funnelSteps) lines(value ...any) (lines []string) {
	for i := range s {
		deepest := s[i].Users
		if i+1 < len(s) {
			deepest -= s[i+1].Users
		}
		if deepest > 0 {
			lines = append(lines, line(append(value, i+1, deepest)...))
		}
	}
	return lines
}

func funnelLines(answer []byte) ([]string, error) {
	var a struct {
		Steps funnelSteps `json:"funnel_steps"`
	}
	err := json.Unmarshal(answer, &a)
	return a.Steps.lines(), err
}

func funnelByLines(answer []byte) (lines []string, err error) {
	var a struct {
		Breakdowns []struct {
			Value string
			Steps funnelSteps `json:"funnel_steps"`
		}
	}
	err = json.Unmarshal(answer, &a)
	for _, b := range a.Breakdowns {
		lines = append(lines, b.Steps.lines(b.Value)...)
	}
	return lines, err
}

func retentionLines(answer []byte) (lines []string, err error) {
	var a struct {
		Cohorts []struct {
			Start  string
			Values []int
		}
	}
	err = json.Unmarshal(answer, &a)
	for _, c := range a.Cohorts {
		for k, users := range c.Values {
			if users > 0 {
				lines = append(lines, line(c.Start, k, users))
			}
		}
	}
	return lines, err
}

// trends is an answer with the series "count" and "users" for each value of a breakdown.
type trends struct {
	Buckets []string
	Series  []struct {
		Label  string
		Value  string
		Values []int
		Total  int
	}
}

// each calls yield with the counts and users of each value.
func (t *trends) each(yield func(value string, counts, users []int, total, distinct int)) {
	for i := range t.Series {
		for j := range t.Series {
			a, b := &t.Series[i], &t.Series[j]
			if a.Label == "A" && b.Label == "B" && a.Value == b.Value {
				yield(a.Value, a.Values, b.Values, a.Total, b.Total)
			}
		}
	}
}

func dailyLines(answer []byte) (lines []string, err error) {
	var t trends
	if err := json.Unmarshal(answer, &t); err != nil {
		return nil, err
	}
	t.each(func(kind string, counts, users []int, _, _ int) {
		for i, n := range counts {
			if n > 0 {
				lines = append(lines, line(t.Buckets[i], kind, n, users[i]))
			}
		}
	})
	return lines, nil
}

func pagesOfTrendLines(answer []byte) (lines []string, err error) {
	var t trends
	if err := json.Unmarshal(answer, &t); err != nil {
		return nil, err
	}
	t.each(func(page string, _, _ []int, views, users int) {
		if page != "$other" {
			lines = append(lines, line(page, views, users))
		}
	})
	return lines, nil
}

func pagesLines(answer []byte) (lines []string, err error) {
	var a struct {
		Pages []struct {
			URL   string `json:"page_url"`
			Views int
			Users int
		}
	}
	err = json.Unmarshal(answer, &a)
	for _, p := range a.Pages {
		lines = append(lines, line(strings.TrimPrefix(p.URL, "https://shop.example"), p.Views, p.Users))
	}
	return lines, err
}

func onlineLines(answer []byte) ([]string, error) {
	var a struct {
		Online int `json:"online_users"`
	}
	err := json.Unmarshal(answer, &a)
	return []string{strconv.Itoa(a.Online)}, err
}
