package report

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/store"
	"github.com/maidian/maidian/pkg/testenv/seeded"
	"github.com/maidian/maidian/services/query/internal/columns"
)

// seededSet is the set that figures are given for, as a store: raw events are
// made again from its rows whenever they are read, so ten million of them take
// the memory of the rows alone.
type seededSet struct{ rows []seeded.Row }

const seededBatch = 1000 // events

func newSeededSet(events int) *seededSet {
	s := &seededSet{make([]seeded.Row, 0, events)}
	for row := range seeded.Rows(events, events/(seeded.Events/seeded.Users), seeded.Days) {
		s.rows = append(s.rows, *row)
	}
	return s
}

func (s *seededSet) batches() int { return (len(s.rows) + seededBatch - 1) / seededBatch }

func (s *seededSet) batch(n int) []seeded.Row {
	return s.rows[n*seededBatch : min((n+1)*seededBatch, len(s.rows))]
}

func batchName(n int) string { return fmt.Sprintf("batch-%08d", n) }

// EventsOfBatches makes columns.Reader of it.
func (s *seededSet) EventsOfBatches(ctx context.Context, project string, ids []string, yield func(*event.Event) error) error {
	for _, id := range ids {
		n, err := strconv.Atoi(id[len("batch-"):])
		if err != nil {
			return err
		}
		for i := range s.batch(n) {
			e := s.event(project, n, i)
			if err := yield(&e); err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}

func (s *seededSet) event(project string, batch, position int) event.Event {
	e := s.rows[batch*seededBatch+position].Event()
	e.Project, e.BatchID, e.Position = project, batchName(batch), position
	e.EventID = strconv.Itoa(batch*seededBatch + position)
	return e
}

// view is all of the set as columns.
func (s *seededSet) view() *columns.View {
	table := columns.NewTables(s, math.MaxInt64, nil).Project("seeded")
	events := make([]event.Event, 0, seededBatch)
	for n := range s.batches() {
		events = events[:0]
		for i := range s.batch(n) {
			events = append(events, s.event("seeded", n, i))
		}
		table.Add([]store.Batch{{ID: batchName(n), Project: "seeded", Stored: len(events)}}, events)
	}
	return table.View()
}

// seededView is of a million events, or of as many as BENCH_EVENTS says.
var seededView = sync.OnceValue(func() *columns.View {
	n := 1_000_000
	if given, err := strconv.Atoi(os.Getenv("BENCH_EVENTS")); err == nil {
		n = given
	}
	return newSeededSet(n).view()
})

const (
	seeded90 = `"from": "2026-06-01", "to": "2026-08-29"`
	seeded30 = `"from": "2026-07-31", "to": "2026-08-29"`
	seeded7  = `"from": "2026-08-23", "to": "2026-08-29"`
	shopping = `"steps": ["view_product", "add_to_cart", "begin_checkout", "purchase"], "window": "7d"`
)

func BenchmarkSeeded(b *testing.B) {
	benchmarks := []struct{ name, route, body string }{
		{"funnel, 90 days", "funnel", `{` + seeded90 + `, ` + shopping + `}`},
		{"funnel, 30 days", "funnel", `{` + seeded30 + `, ` + shopping + `}`},
		{"funnel, 30 days by platform", "funnel", `{` + seeded30 + `, ` + shopping + `, "breakdown": "platform"}`},
		{"funnel, 90 days with a filter", "funnel", `{` + seeded90 + `, "window": "7d", "steps": ["view_product", "add_to_cart", "begin_checkout", {"event": "purchase", "filters": [{"property": "amount", "op": "gt", "value": 50}]}]}`},
		{"funnel, 90 days from page to page", "funnel", `{` + seeded90 + `, "window": "7d", "steps": [{"event": "page_view", "filters": [{"property": "page_path", "op": "eq", "value": "/p/000/section"}]}, {"event": "page_view", "filters": [{"property": "page_path", "op": "eq", "value": "/p/001/section"}]}, "purchase"]}`},
		{"funnel, 90 days, without order", "funnel", `{` + seeded90 + `, ` + shopping + `, "order": "unordered"}`},
		{"funnel, 90 days, strict", "funnel", `{` + seeded90 + `, ` + shopping + `, "order": "strict"}`},
		{"funnel, 90 days, with an exclusion", "funnel", `{` + seeded90 + `, ` + shopping + `, "exclusions": [{"event": "share", "from_step": 1, "to_step": 2}]}`},
		{"funnel, 90 days, first entry", "funnel", `{` + seeded90 + `, ` + shopping + `, "entry": "first"}`},
		{"funnel, 90 days, time to convert", "funnel", `{` + seeded90 + `, ` + shopping + `, "view": "time_to_convert"}`},
		{"funnel, 30 days, trend", "funnel", `{` + seeded30 + `, ` + shopping + `, "view": "trend"}`},
		{"funnel, 90 days, in Shanghai", "funnel", `{` + seeded90 + `, ` + shopping + `, "timezone": "Asia/Shanghai"}`},
		{"retention, 30 days, first time", "retention", `{` + seeded30 + `, "intervals": 30, "cohort": "first_time"}`},
		{"retention, 30 days, recurring", "retention", `{` + seeded30 + `, "intervals": 30, "start_event": "view_product", "return_event": "purchase"}`},
		{"retention, 30 days, recurring, in Shanghai", "retention", `{` + seeded30 + `, "intervals": 30, "start_event": "view_product", "return_event": "purchase", "timezone": "Asia/Shanghai"}`},
		{"retention, 30 days, with a filter", "retention", `{` + seeded30 + `, "intervals": 30, "filters": [{"property": "platform", "op": "eq", "value": "ios"}]}`},
		{"retention, 12 weeks", "retention", `{` + seeded90 + `, "period": "week", "intervals": 12}`},
		{"events and users by type, 30 days", "trends", `{` + seeded30 + `, "series": ["*", {"event": "*", "metric": "users"}], "breakdown": "event_type"}`},
		{"purchases, 30 days", "trends", `{` + seeded30 + `, "series": ["purchase", {"event": "purchase", "metric": "users"}, {"event": "purchase", "metric": "sum", "property": "amount"}, {"event": "purchase", "metric": "p90", "property": "amount"}]}`},
		{"events by country, 30 days", "trends", `{` + seeded30 + `, "series": ["page_view", {"event": "page_view", "metric": "users"}], "breakdown": "country"}`},
		{"events and users by platform, 30 days, filtered", "trends", `{` + seeded30 + `, "series": [{"event": "*", "metric": "users"}], "breakdown": "platform", "filters": [{"property": "country", "op": "eq", "value": "CN"}]}`},
		{"stats of events, 30 days", "stats/events", `{` + seeded30 + `}`},
		{"top pages, 7 days", "stats/pages", `{` + seeded7 + `, "limit": 20}`},
		{"summary, 7 days", "summary", `{` + seeded7 + `}`},
		{"summary, 30 days", "summary", `{` + seeded30 + `}`},
		{"realtime", "realtime", `{}`},
		{"lifecycle, 30 days", "lifecycle", `{` + seeded30 + `}`},
		{"stickiness, 30 days", "stickiness", `{` + seeded30 + `}`},
		{"paths, 7 days", "paths", `{` + seeded7 + `}`},
		{"paths of events, 7 days", "paths", `{` + seeded7 + `, "by": "event_type"}`},
	}
	v := seededView()
	for _, bb := range benchmarks {
		b.Run(bb.name, func(b *testing.B) {
			answer := func() {
				if err := askSeeded(v, bb.route, bb.body); err != nil {
					b.Fatal(err)
				}
			}
			answer() // its columns come into memory
			b.ReportAllocs()
			before := processorTime()
			for b.Loop() {
				answer()
			}
			b.ReportMetric(float64((processorTime()-before).Microseconds())/1000/float64(b.N), "cpu-ms/op")
		})
	}
}

// processorTime is what all processors together have worked for this process:
// unlike the clock it says the same while others work on the machine.
func processorTime() time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		return 0
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// askSeeded answers a request that is made an hour and a half before the end of the set.
func askSeeded(v *columns.View, route, body string) error {
	p, err := ParamsFromJSON([]byte(body))
	if err != nil {
		return err
	}
	_, answer, err := seededRoutes[route](context.Background(), v, p, Env{Now: seeded.Start + seeded.Days*seeded.Day - 3*hour/2})
	if err != nil {
		return err
	}
	_, err = json.Marshal(answer)
	return err
}

var seededRoutes = func() map[string]asked {
	all := maps.Clone(routes)
	all["stats/events"] = readAndRun(ReadStats, Stats)
	all["stats/pages"] = readAndRun(ReadPages, Pages)
	all["summary"] = readAndRun(ReadSummary, Summary)
	all["realtime"] = readAndRun(ReadRealtime, Realtime)
	return all
}()

// TestSeededAnswers holds answers to those that ClickHouse gives for the full set.
func TestSeededAnswers(t *testing.T) {
	if os.Getenv("SEEDED_FULL") == "" {
		t.Skip("skipped: SEEDED_FULL=1 with BENCH_EVENTS=10000000 makes the set of 10 million events")
	}
	v := seededView()
	for days, want := range map[string][]int{seeded90: {176717, 135586, 102268, 79283}, seeded30: {106617, 74755, 53731, 40679}} {
		a := answerOf[FunnelAnswer](t, v, "funnel", `{`+days+`, `+shopping+`}`)
		var got []int
		for _, s := range a.Steps {
			got = append(got, s.Users)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", days, got, want)
		}
	}
}
