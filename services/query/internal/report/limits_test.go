package report

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/maidian/maidian/pkg/calendar"
	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/fault"
	"github.com/maidian/maidian/services/query/internal/columns"
)

// crowd is 40 users with 10 events each, in which everything has a value of its own.
func crowd() *columns.View {
	var events []event.Event
	for i := range 400 {
		events = append(events, event.Event{
			EventID: fmt.Sprint(i), EventType: []string{"page_view", "click", "product_view"}[i/40%3], UserID: fmt.Sprint("u", i%40),
			Timestamp: at("2026-03-02T00:00:00Z") + event.Time(i)*20*second, PageURL: fmt.Sprint("https://shop.example/", i), PagePath: fmt.Sprint("/", i),
			Properties: fmt.Sprintf(`{"n":%d,"product_id":"p%d"}`, i, i), XPosition: event.Number(fmt.Sprint(i * 100)), YPosition: "1",
		})
	}
	return columns.FromEvents("demo", events)
}

const crowdRange = `"from": "2026-03-02", "to": "2026-03-02"`

// heavy lists every report with a request that keeps something of each event.
var heavy = map[string][]string{
	"funnel": {
		`"steps": ["page_view", "click"], "breakdown": {"property": "n", "attribution": "all_events"}`,
		`"steps": ["page_view", "click"], "breakdown": "n"`, `"steps": ["page_view", "click"], "order": "strict"`,
		`"steps": ["*", "*"], "view": "time_to_convert"`, `"steps": ["*", "*"], "view": "trend"`, `"steps": ["*", "*"], "order": "unordered", "unit": "session"`,
	},
	"funnel/users":    {`"steps": ["*", "*"], "step": 1`},
	"funnel/explain":  {`"steps": ["*", "*"], "user_id": "u1"`},
	"retention":       {`"period": "hour", "breakdown": {"property": "n", "attribution": "step", "step_index": 0}`, `"window": "rolling", "period": "hour"`, `"period": "hour"`},
	"retention/users": {`"period": "hour", "cohort_index": 0`},
	"trends": {
		`"series": [{"event": "*", "metric": "p50", "property": "n"}], "interval": "hour", "breakdown": "n"`,
		`"series": [{"event": "*", "metric": "users"}], "filters": [{"property": "n", "op": "exists"}]`,
		`"series": [{"event": "*", "metric": "sessions"}, "click"], "breakdown": "n"`,
	},
	"stickiness":      {``},
	"lifecycle":       {``},
	"paths":           {`"by": "page_path"`, `"by": "event_type", "unit": "session"`},
	"heatmap":         {``},
	"recommendations": {``, `"user_id": "u1"`},
	"users":           {`"id": "u1"`},
	"stats/events":    {``},
	"stats/pages":     {``},
	"summary":         {``},
	"events":          {``},
}

// all are the routes of every report.
func all() map[string]asked {
	list := map[string]asked{
		"heatmap":         readAndRun(ReadHeatmap, Heatmaps),
		"recommendations": readAndRun(ReadRecommend, Recommend),
		"users":           readAndRun(ReadProfile, Profile),
		"stats/events":    readAndRun(ReadStats, Stats),
		"stats/pages":     readAndRun(ReadPages, Pages),
		"summary":         readAndRun(ReadSummary, Summary),
		"events":          readAndRun(ReadEvents, Events),
	}
	for name, route := range routes {
		list[name] = route
	}
	return list
}

func askCrowd(ctx context.Context, t testing.TB, v *columns.View, route, body string, env Env) (any, error) {
	t.Helper()
	p, err := ParamsFromJSON([]byte("{" + strings.TrimSuffix(crowdRange+", "+body, ", ") + "}"))
	if err != nil {
		t.Fatal(err)
	}
	_, answer, err := all()[route](ctx, v, p, env)
	return answer, err
}

// Past a limit a query ends with an error that names the limit; up to it, it is answered.
func TestLimitsAreNamed(t *testing.T) {
	tests := map[string]struct {
		route, body, code string
		set               func(l *Limits, n int)
		enough            int // to be answered
	}{
		"totals of a funnel":        {"funnel", heavy["funnel"][0], "too_many_groups", func(l *Limits, n int) { l.Groups = n }, 400},
		"totals of a common funnel": {"funnel", heavy["funnel"][1], "too_many_groups", func(l *Limits, n int) { l.Groups = n }, 40},
		"values of a retention":     {"retention", heavy["retention"][0], "too_many_groups", func(l *Limits, n int) { l.Groups = n }, 400},
		"cells of a retention":      {"retention", heavy["retention"][2], "too_many_cells", func(l *Limits, n int) { l.Cells = n }, 24 * 11},
		"cells by value":            {"retention", heavy["retention"][0], "too_many_cells", func(l *Limits, n int) { l.Cells = n }, 24 * 11 * 26},
		"cells of a trend":          {"trends", heavy["trends"][0], "too_many_cells", func(l *Limits, n int) { l.Cells = n }, 25 * 27},
		"values of a percentile":    {"trends", heavy["trends"][0], "too_many_values", func(l *Limits, n int) { l.Values = n }, 400},
		"sets of a trend":           {"trends", heavy["trends"][2], "too_much_memory", func(l *Limits, n int) { l.Sets = n }, 1 << 20},
		"edges":                     {"paths", heavy["paths"][0], "too_many_edges", func(l *Limits, n int) { l.Edges = n }, 400},
		"squares":                   {"heatmap", ``, "too_many_points", func(l *Limits, n int) { l.Points = n }, 400},
		"products":                  {"recommendations", ``, "too_many_pairs", func(l *Limits, n int) { l.Pairs = n }, 400},
		"events of a user":          {"users", `"id": "u1"`, "too_many_events", func(l *Limits, n int) { l.Rows = n }, 10},
	}
	v := crowd()
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			env := testEnv
			for _, n := range []int{1, tt.enough} {
				env.Limits = DefaultLimits()
				tt.set(&env.Limits, n)
				_, err := askCrowd(t.Context(), t, v, tt.route, tt.body, env)
				var fails *fault.Error
				switch {
				case n > 1 && err != nil:
					t.Errorf("limit %d: got %v, want an answer", n, err)
				case n == 1 && (!errors.As(err, &fails) || fails.Kind != fault.Exceeded || fails.Code != tt.code || !strings.ContainsAny(fails.Message, "0123456789")):
					t.Errorf("limit 1: got %v, want %s that names the limit", err, tt.code)
				}
			}
		})
	}
}

// checked is a context that ends when it was asked n times whether it has.
type checked struct {
	context.Context
	left  atomic.Int64
	after atomic.Int64 // how often it was asked when it had ended
	done  chan struct{}
}

func endsAt(n int) *checked {
	c := &checked{Context: context.Background(), done: make(chan struct{})}
	c.left.Store(int64(n))
	return c
}

func (c *checked) Done() <-chan struct{} { return c.done }

func (c *checked) Err() error {
	switch left := c.left.Add(-1); {
	case left > 0:
		return nil
	case left == 0:
		close(c.done)
	default:
		c.after.Add(1)
	}
	return context.Canceled
}

// At whatever moment its caller goes, a query gives an error and no answer.
func TestAQueryEndsWhenItsContextDoes(t *testing.T) {
	v := crowd()
	for route, bodies := range heavy {
		for _, body := range bodies {
			for n := 1; n < 1000; n += 1 + n/8 {
				ctx := endsAt(n)
				answer, err := askCrowd(ctx, t, v, route, body, testEnv)
				if ctx.left.Load() > 0 {
					break // it was answered before
				}
				if err != nil && !errors.Is(err, context.Canceled) {
					t.Errorf("%s %s: ended at check %d with %v", route, body, n, err)
				}
				if err == nil && n < 3 {
					t.Errorf("%s %s: ended at check %d, and was answered %v", route, body, n, answer)
				}
			}
		}
	}
}

// One user's history may be long: its search ends in the middle, too.
func TestASearchEndsInTheMiddleOfAnActor(t *testing.T) {
	hits := make([]hit, 200_000)
	for i := range hits {
		hits[i] = hit{at: event.Time(i), steps: 1 << (i % 3), others: uint32(i % 7 / 6)}
	}
	for _, order := range []order{ordered, strict, unordered} {
		ctx := endsAt(3)
		f := finder{plan: plan{steps: 3, order: order, window: 1 << 40, exclusions: []stepSpan{{0, 2}}}, ctx: ctx}
		f.best(hits, anytime)
		if f.work > 5*1024 {
			t.Errorf("order %d: %d units of work were done, want it to end at the third check", order, f.work)
		}
	}
	w := walker{ctx: endsAt(2), request: &RetentionRequest{Cohort: "recurring", Intervals: 1, Mode: "on", periods: &calendar.Buckets{End: forever}}}
	for i := range 100 {
		w.request.periods.Starts = append(w.request.periods.Starts, event.Time(2000*i))
	}
	cells := 0
	w.walk(hits, func(int) { cells++ })
	if cells > 100 {
		t.Errorf("%d cells were counted after the context had ended", cells)
	}
}

func TestOrderingTheValuesOfABreakdownEnds(t *testing.T) {
	values := make([]event.Value, 100_000)
	for i := range values {
		values[i] = event.TextValue(fmt.Sprint(i * 7919 % len(values)))
	}
	s := &source{columns: map[string][]*columns.Column{"n": {{Values: values}}}}
	if _, err := newTouch(endsAt(3), s, &Breakdown{Property: "n"}); !errors.Is(err, context.Canceled) {
		t.Errorf("a context that ends in the middle: got %v, want %v", err, context.Canceled)
	}
}

// BenchmarkStop prints how long a query goes on after its caller has gone.
func BenchmarkStop(b *testing.B) {
	var events []event.Event
	for i := range 1_000_000 {
		events = append(events, event.Event{
			EventID: fmt.Sprint(i), EventType: []string{"page_view", "click", "product_view"}[i%7%3], UserID: fmt.Sprint("u", i*7919%50_000),
			Timestamp: at("2026-03-02T00:00:00Z") + event.Time(i)*80, PagePath: fmt.Sprint("/", i%500), Properties: fmt.Sprintf(`{"n":%d,"product_id":"p%d"}`, i%1000, i%300),
		})
	}
	v := columns.FromEvents("demo", events)
	for _, route := range slices.Sorted(func(yield func(string) bool) {
		for name := range heavy {
			if !yield(name) {
				return
			}
		}
	}) {
		for _, body := range heavy[route] {
			b.Run(route+" "+body, func(b *testing.B) {
				if _, err := askCrowd(b.Context(), b, v, route, body, testEnv); err != nil {
					b.Skip(err)
				}
				worst := time.Duration(0)
				for i := 0; b.Loop(); i++ {
					ctx, cancel := context.WithCancel(b.Context())
					var gone atomic.Int64
					time.AfterFunc(time.Duration(1+i%20)*time.Millisecond, func() { gone.Store(time.Now().UnixNano()); cancel() })
					_, err := askCrowd(ctx, b, v, route, body, testEnv)
					if errors.Is(err, context.Canceled) {
						worst = max(worst, time.Duration(time.Now().UnixNano()-gone.Load()))
					}
					cancel()
				}
				b.ReportMetric(float64(worst.Microseconds())/1000, "ms-to-stop")
			})
		}
	}
}
