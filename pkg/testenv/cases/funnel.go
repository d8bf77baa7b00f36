package cases

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

type funnelQuery struct {
	Steps       []map[string]any `json:"steps"`
	Order       string           `json:"order"`
	Window      *window          `json:"window"`
	Entry       string           `json:"entry"`
	Filters     []any            `json:"filters"`
	Exclusions  []map[string]any `json:"exclusions"`
	Breakdown   string           `json:"breakdown"`
	Attribution string           `json:"breakdown_attribution"`
	StepIndex   *int             `json:"breakdown_step"`
	FromStep    *int             `json:"from_step"`
	ToStep      *int             `json:"to_step"`
	BinCount    *int             `json:"bin_count"`
	Interval    string           `json:"interval"`
	WeekStart   string           `json:"week_start"`
	Unit        any              `json:"unit"`
	span
}

type window struct {
	Value int    `json:"value"`
	Unit  string `json:"unit"`
}

func (w window) text() string {
	return strconv.Itoa(w.Value) + map[string]string{"second": "s", "minute": "m", "hour": "h", "day": "d", "week": "w"}[w.Unit]
}

func (q *funnelQuery) body(events []givenEvent) map[string]any {
	body := map[string]any{"steps": q.Steps, "order": q.Order}
	if q.Window != nil {
		body["window"] = q.Window.text()
	}
	for name, v := range map[string]string{"entry": q.Entry, "interval": q.Interval, "week_start": q.WeekStart} {
		if v != "" {
			body[name] = v
		}
	}
	for name, v := range map[string]*int{"from_step": q.FromStep, "to_step": q.ToStep, "bin_count": q.BinCount} {
		if v != nil {
			body[name] = *v
		}
	}
	if q.Filters != nil {
		body["filters"] = q.Filters
	}
	if q.Exclusions != nil {
		body["exclusions"] = q.Exclusions
	}
	if q.Unit != nil {
		body["unit"] = q.Unit
	}
	if q.Breakdown != "" {
		breakdown := map[string]any{"property": q.Breakdown, "attribution": q.Attribution}
		if q.StepIndex != nil {
			breakdown["step_index"] = *q.StepIndex
		}
		body["breakdown"] = breakdown
	}
	q.put(body, events)
	return body
}

type funnelExpect struct {
	Counts      []int                    `json:"counts"`
	AvgSeconds  []*float64               `json:"avg_seconds"`
	Median      []*float64               `json:"median_seconds"`
	UsersAtStep map[string][]string      `json:"users_at_step"`
	ByBreakdown map[string]*funnelExpect `json:"by_breakdown"`
}

type funnelSteps struct {
	Steps []struct {
		Users  int      `json:"users"`
		Avg    *float64 `json:"avg_seconds"`
		Median *float64 `json:"median_seconds"`
	} `json:"funnel_steps"`
}

func (e *funnelExpect) verify(got funnelSteps) error {
	var counts []int
	var avg, median []*float64
	for _, s := range got.Steps {
		counts, avg, median = append(counts, s.Users), append(avg, s.Avg), append(median, s.Median)
	}
	var errs []error
	if e.Counts != nil {
		errs = append(errs, differ("users", counts, e.Counts))
	}
	if e.AvgSeconds != nil {
		errs = append(errs, differ("avg_seconds", avg, e.AvgSeconds))
	}
	if e.Median != nil {
		errs = append(errs, differ("median_seconds", median, e.Median))
	}
	return errors.Join(errs...)
}

func funnel(raw json.RawMessage) (Case, error) {
	var given struct {
		header
		Query  funnelQuery  `json:"query"`
		Expect funnelExpect `json:"expect"`
	}
	if err := strictly(raw, &given); err != nil {
		return Case{}, err
	}
	c := given.newCase()
	body := given.Query.body(given.Events)
	c.Asks = append(c.Asks, Ask{"funnel", body, 200, func(text []byte) error {
		got, err := answer[struct {
			funnelSteps
			Breakdowns []struct {
				Value any `json:"value"`
				funnelSteps
			} `json:"breakdowns"`
		}](text)
		errs := []error{err}
		if given.Expect.Counts != nil {
			errs = append(errs, given.Expect.verify(got.funnelSteps))
		}
		if given.Expect.ByBreakdown == nil {
			return errors.Join(errs...)
		}
		if len(got.Breakdowns) != len(given.Expect.ByBreakdown) {
			errs = append(errs, fmt.Errorf("got %d breakdowns, want %d: %s", len(got.Breakdowns), len(given.Expect.ByBreakdown), text))
		}
		for _, b := range got.Breakdowns {
			name := valueName(b.Value)
			if want := given.Expect.ByBreakdown[name]; want == nil {
				errs = append(errs, fmt.Errorf("breakdown %q is not expected", name))
			} else if err := want.verify(b.funnelSteps); err != nil {
				errs = append(errs, fmt.Errorf("breakdown %q: %w", name, err))
			}
		}
		return errors.Join(errs...)
	}})
	delete(body, "view")
	plain := maps.Clone(body)
	delete(plain, "breakdown")
	for step, users := range given.Expect.UsersAtStep {
		n, err := strconv.Atoi(step)
		if err != nil {
			return Case{}, err
		}
		c.Asks = append(c.Asks, usersAt(plain, n-1, users))
	}
	return c, nil
}

// valueName is how the case files write a breakdown's value; the missing one is empty.
func valueName(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	}
	text, _ := json.Marshal(v)
	return string(text)
}

func usersAt(funnel map[string]any, step int, want []string) Ask {
	body := maps.Clone(funnel)
	body["step"], body["limit"] = step, 1000
	return Ask{"funnel/users", body, 200, func(text []byte) error {
		got, err := answer[struct {
			Users []struct {
				UserID string `json:"user_id"`
			} `json:"users"`
		}](text)
		if err != nil {
			return err
		}
		names := []string{}
		for _, u := range got.Users {
			names = append(names, u.UserID)
		}
		sorted := append([]string{}, want...)
		slices.Sort(sorted)
		slices.Sort(names)
		return differ(fmt.Sprintf("users at step %d", step), names, sorted)
	}}
}

func funnelTrend(raw json.RawMessage) (Case, error) {
	type row struct {
		Bucket    string  `json:"bucket"`
		Entered   int     `json:"entered"`
		Converted int     `json:"converted"`
		Rate      float64 `json:"rate"`
	}
	var given struct {
		header
		Query  funnelQuery `json:"query"`
		Expect struct {
			Rows []row `json:"rows"`
		} `json:"expect"`
	}
	if err := strictly(raw, &given); err != nil {
		return Case{}, err
	}
	c := given.newCase()
	body := given.Query.body(given.Events)
	body["view"] = "trend"
	c.Asks = []Ask{{"funnel", body, 200, func(text []byte) error {
		got, err := answer[struct {
			Rows []row `json:"rows"`
		}](text)
		for _, rows := range [][]row{got.Rows, given.Expect.Rows} {
			for i := range rows {
				rows[i].Rate = math.Round(rows[i].Rate*10) / 10
				rows[i].Bucket = instant(rows[i].Bucket)
			}
		}
		return errors.Join(err, differ("rows", got.Rows, given.Expect.Rows))
	}}}
	return c, nil
}

func timeToConvert(raw json.RawMessage) (Case, error) {
	type conversion struct {
		Bins    [][2]float64 `json:"bins"`
		Average *float64     `json:"average_seconds"`
	}
	var given struct {
		header
		Query  funnelQuery `json:"query"`
		Expect conversion  `json:"expect"`
	}
	if err := strictly(raw, &given); err != nil {
		return Case{}, err
	}
	c := given.newCase()
	body := given.Query.body(given.Events)
	body["view"] = "time_to_convert"
	c.Asks = []Ask{{"funnel", body, 200, func(text []byte) error {
		got, err := answer[conversion](text)
		return errors.Join(err, differ("conversion", got, given.Expect))
	}}}
	return c, nil
}

// windowFunnel maps ClickHouse's windowFunnel: its default is our semantics of
// that name, strict_once and strict_increase are rules that can be asked for.
// strict_order with strict_deduplication is our strict order where no condition
// is repeated.
func windowFunnel(raw json.RawMessage) (Case, error) {
	var given struct {
		header
		Rows       map[string][][2]any `json:"rows"`
		Conditions []struct {
			Op    string `json:"op"`
			Value any    `json:"value"`
		} `json:"conditions"`
		Field  string         `json:"field"`
		Window int            `json:"window"`
		Modes  []string       `json:"modes"`
		Expect map[string]int `json:"expect"`
	}
	if err := strictly(raw, &given); err != nil {
		return Case{}, err
	}
	c := Case{ID: given.ID, Title: fmt.Sprint("windowFunnel ", given.Modes)}
	var steps []any
	distinct := map[string]bool{}
	for _, condition := range given.Conditions {
		if condition.Op != "eq" {
			return Case{}, fmt.Errorf("condition op %q is not mapped", condition.Op)
		}
		steps = append(steps, valueName(condition.Value))
		distinct[valueName(condition.Value)] = true
	}
	body := map[string]any{"steps": steps, "semantics": "clickhouse", "window": given.Window, "from": "2024-01-01", "to": "2024-12-31"}
	slices.Sort(given.Modes)
	switch modes := strings.Join(given.Modes, " "); {
	case len(steps) < 2:
		c.Skip = "a funnel has two steps or more"
	case modes == "":
	case modes == "strict_once":
		body["event_use"] = "once"
	case modes == "strict_increase":
		body["ties"] = "increasing"
	case modes == "strict_increase strict_once":
		body["ties"], body["event_use"] = "increasing", "once"
	case modes == "strict_deduplication strict_order" && len(distinct) == len(steps):
		body["order"] = "strict"
	default:
		c.Skip = fmt.Sprintf("windowFunnel in mode %v has rules of its own", given.Modes)
	}
	for _, user := range slices.Sorted(maps.Keys(given.Rows)) {
		for i, row := range given.Rows[user] {
			at := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(row[0].(float64)) * time.Second)
			c.Events = append(c.Events, Sent{EventID: fmt.Sprintf("%s-%s-%d", given.ID, user, i), EventType: valueName(row[1]), UserID: user, Timestamp: at.Format(time.RFC3339)})
		}
	}
	for step := range steps {
		var users []string
		for user, level := range given.Expect {
			if level > step {
				users = append(users, user)
			}
		}
		c.Asks = append(c.Asks, usersAt(body, step, users))
	}
	return c, nil
}

type invalidCase struct {
	ID        string         `json:"id"`
	Steps     int            `json:"steps"`
	Exclusion map[string]any `json:"exclusion"`
	Order     string         `json:"order"`
}

func invalidRequests(given []invalidCase) []Case {
	var list []Case
	for _, g := range given {
		var steps []string
		for i := range g.Steps {
			steps = append(steps, "step "+strconv.Itoa(i))
		}
		exclusion := maps.Clone(g.Exclusion)
		exclusion["event"] = "excluded"
		body := map[string]any{"steps": steps, "order": g.Order, "exclusions": []any{exclusion}}
		list = append(list, Case{ID: g.ID, Title: "invalid exclusion", Asks: []Ask{{"funnel", body, 400, func([]byte) error { return nil }}}})
	}
	return list
}

type fallbackCase struct {
	Configured *int `json:"configured"`
	Effective  int  `json:"effective_days"`
}

// fallbacks are windows that other systems replace in silence; here 0 or less is refused.
func fallbacks(given []fallbackCase) []Case {
	var list []Case
	for _, g := range given {
		body := map[string]any{"steps": []string{"a", "b"}}
		ask := Ask{"funnel", body, 200, func(text []byte) error {
			got, err := answer[struct {
				Query struct {
					Window string `json:"window"`
				} `json:"query"`
			}](text)
			return errors.Join(err, differ("window", got.Query.Window, strconv.Itoa(g.Effective)+"d"))
		}}
		id := "default"
		if g.Configured != nil {
			id = strconv.Itoa(*g.Configured)
			body["window"] = id + "d"
			if *g.Configured <= 0 {
				ask.Status, ask.Verify = 400, func([]byte) error { return nil }
			}
		}
		list = append(list, Case{ID: "window-" + id, Title: "window of " + id + " days", Asks: []Ask{ask}})
	}
	return list
}

// instant brings a date or a time into one form.
func instant(s string) string {
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t.UTC().Format(time.RFC3339)
	}
	return s
}
