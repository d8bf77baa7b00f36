package report

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/services/query/internal/columns"
)

// The benchmarks' data: sessions of users of very different diligence over 90
// days, twelve event types and 500 pages of falling popularity, and people who
// go on from a product to the cart, the checkout and a purchase more often than
// by chance. BENCH_EVENTS sets how many events; a million without it.

var benchTypes = []string{
	"page_view", "view_product", "click", "search", "scroll", "add_to_cart", "app_open", "begin_checkout", "share", "purchase", "signup", "favorite",
}

// onwards is the chance with which one type follows another straight away.
var onwards = map[int]struct {
	to     int
	chance float64
}{1: {5, 0.22}, 5: {7, 0.40}, 7: {9, 0.55}}

const benchDays = 90

var benchStart = at("2026-06-01T00:00:00Z")

// falling picks 0 … n-1, number k in proportion to 1/(k+1)^s.
func falling(r *rand.Rand, n int, s float64) func() int {
	sums := make([]float64, n)
	total := 0.0
	for k := range sums {
		total += math.Pow(float64(k+1), -s)
		sums[k] = total
	}
	return func() int {
		k, _ := slices.BinarySearch(sums, r.Float64()*total)
		return min(k, n-1)
	}
}

func benchEvents(n int) []event.Event {
	r := rand.New(rand.NewPCG(42, 4242))
	users := max(1, n/50)
	types, pages := falling(r, len(benchTypes), 1.1), falling(r, 500, 1)
	platforms := []string{"web", "web", "ios", "android", "miniapp"}
	paths := make([]string, 500)
	for i := range paths {
		paths[i] = fmt.Sprintf("/p/%03d/section", i)
	}
	events := make([]event.Event, 0, n)
	for session := 0; len(events) < n; session++ {
		user := int(float64(users) * math.Pow(r.Float64(), 2.2)) // few users have many sessions
		day := int(math.Pow(r.Float64(), 1.2) * benchDays)
		hourOfDay := math.Mod(18+3.5*r.NormFloat64()+48, 24)
		t := benchStart + event.Time(day)*24*hour + event.Time(hourOfDay*float64(hour))
		id, name, platform := "s"+strconv.Itoa(session), "user-"+strconv.Itoa(user), platforms[user%len(platforms)]
		last := -1
		for range 1 + int(r.ExpFloat64()*7) {
			kind := types()
			if next, ok := onwards[last]; ok && r.Float64() < next.chance {
				kind = next.to
			}
			last = kind
			if t >= benchStart+benchDays*24*hour || len(events) == n {
				break
			}
			e := event.Event{
				Project: "bench", EventID: strconv.Itoa(len(events)), EventType: benchTypes[kind], EventName: benchTypes[kind], UserID: name, SessionID: id,
				Timestamp: t, PagePath: paths[pages()], Browser: platform, BatchID: "b" + strconv.Itoa(len(events)/500), Position: len(events) % 500,
			}
			if kind == 9 {
				e.Properties = `{"amount":` + strconv.Itoa(1+int(50*r.ExpFloat64())) + `}`
			}
			events = append(events, e)
			t += event.Time(1000 + 25_000*r.ExpFloat64())
		}
	}
	return events
}

var benchView = sync.OnceValue(func() *columns.View {
	n := 1_000_000
	if given, err := strconv.Atoi(os.Getenv("BENCH_EVENTS")); err == nil {
		n = given
	}
	return columns.FromEvents("bench", benchEvents(n))
})

func BenchmarkReports(b *testing.B) {
	last90 := `"from": "2026-06-01", "to": "2026-08-29"`
	last30 := `"from": "2026-07-31", "to": "2026-08-29"`
	steps := `"steps": ["page_view", "add_to_cart", "begin_checkout", "purchase"], "window": "7d"`
	benchmarks := []struct{ name, route, body string }{
		{"funnel of 90 days", "funnel", `{` + last90 + `, ` + steps + `}`},
		{"funnel of 30 days", "funnel", `{` + last30 + `, ` + steps + `}`},
		{"funnel of 30 days by property", "funnel", `{` + last30 + `, ` + steps + `, "breakdown": "browser"}`},
		{"funnel of 30 days with a filter", "funnel", `{` + last30 + `, "window": "7d", "steps": ["page_view", "add_to_cart", "begin_checkout", {"event": "purchase", "filters": [{"property": "amount", "op": "gt", "value": 50}]}]}`},
		{"funnel of 90 days without order", "funnel", `{` + last90 + `, ` + steps + `, "order": "unordered"}`},
		{"funnel of 90 days with exclusion", "funnel", `{` + last90 + `, ` + steps + `, "exclusions": [{"event": "share", "from_step": 1, "to_step": 2}]}`},
		{"retention of 30 days, recurring", "retention", `{` + last30 + `, "intervals": 30}`},
		{"retention of 30 days, first time", "retention", `{` + last30 + `, "intervals": 30, "cohort": "first_time"}`},
		{"daily events and users of one type, 30 days", "trends", `{` + last30 + `, "series": [{"event": "page_view"}, {"event": "page_view", "metric": "users"}]}`},
		{"daily users, 30 days", "trends", `{` + last30 + `, "series": [{"event": "*", "metric": "users"}]}`},
		{"paths of 7 days", "paths", `{"from": "2026-08-23", "to": "2026-08-29"}`},
	}
	v := benchView()
	for _, bb := range benchmarks {
		b.Run(bb.name, func(b *testing.B) {
			if _, err := post(v, bb.route, []byte(bb.body)); err != nil { // its columns come into memory
				b.Fatal(err)
			}
			for b.Loop() {
				if _, err := post(v, bb.route, []byte(bb.body)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkKernel shows the fast funnel beside the general one, on one question.
func BenchmarkKernel(b *testing.B) {
	p, err := ParamsFromJSON([]byte(`{"from": "2026-06-01", "to": "2026-08-29", "steps": ["page_view", "add_to_cart", "begin_checkout", "purchase"], "window": "7d"}`))
	if err != nil {
		b.Fatal(err)
	}
	r, err := ReadFunnel(p, testEnv)
	if err != nil {
		b.Fatal(err)
	}
	f, err := r.open(context.Background(), benchView())
	if err != nil {
		b.Fatal(err)
	}
	b.Run("kernel", func(b *testing.B) {
		for b.Loop() {
			if _, _, err := f.kernel().totals(context.Background()); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("general", func(b *testing.B) {
		for b.Loop() {
			if _, _, err := f.totals(context.Background()); err != nil {
				b.Fatal(err)
			}
		}
	})
}
