package report

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/services/query/internal/columns"
)

// randomViews are page views and leaves of a few days in sessions that often
// go on on another day, and at times that are often equal.
func randomViews(r *rand.Rand, n int) []event.Event {
	events := make([]event.Event, n)
	for i := range events {
		session := r.IntN(1 + n/3)
		e := event.Event{
			Project: "demo", EventID: fmt.Sprint(i), EventType: []string{pageView, pageView, pageView, pageLeave, "click"}[r.IntN(5)],
			UserID: fmt.Sprint("u", session%4), SessionID: fmt.Sprint("s", session), PageURL: []string{"", "a", "b", "c"}[r.IntN(4)],
			PageTitle: []string{"", "A", "B"}[r.IntN(3)], BatchID: fmt.Sprint("b", r.IntN(3)), Position: i,
			Timestamp: at("2026-06-01T00:00:00Z") + event.Time(r.IntN(4))*day + event.Time(r.IntN(3))*hour,
		}
		e.EventName = e.EventType
		if r.IntN(2) == 0 {
			e.Duration, e.LoadTime = event.Number(fmt.Sprint(r.Float64())), event.Number(fmt.Sprint(r.Float64()))
		}
		events[i] = e
	}
	return events
}

// visitsOf counts, by page, how the sessions' views from … to begin, end and bounce.
func visitsOf(events []event.Event, from, to event.Time) map[string]visitCount {
	views, counts := map[string][]event.Event{}, map[string]visitCount{}
	for _, e := range events {
		if e.EventType == pageView && e.PageURL != "" && e.Timestamp >= from && e.Timestamp <= to {
			views[e.SessionID] = append(views[e.SessionID], e)
		}
	}
	for _, of := range views {
		slices.SortFunc(of, func(a, b event.Event) int {
			return cmp.Or(cmp.Compare(a.Timestamp, b.Timestamp), cmp.Compare(a.PageURL, b.PageURL))
		})
		begins := visitCount{entries: 1}
		if len(of) == 1 {
			begins.bounces = 1
		}
		first, last := of[0].PageURL, of[len(of)-1].PageURL
		counts[first] = counts[first].plus(begins)
		counts[last] = counts[last].plus(visitCount{exits: 1})
	}
	return counts
}

// What days keep of pages, and what is read of them where a filter holds for
// every event, add up to the same; and visits are seen across midnight.
func TestPagesOfWholeDaysAddUp(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 11))
		events := randomViews(r, 1+r.IntN(40))
		v := columns.FromEvents("demo", events)
		from, to := at("2026-06-01T00:00:00Z"), at("2026-06-04T23:59:59Z")
		if r.IntN(2) == 0 { // the first day is cut, the others are whole
			from += event.Time(1+r.IntN(2)) * hour
		}
		ask := func(more string) *PagesAnswer {
			request, err := ReadPages(params(t, fmt.Sprintf(`{"from": %d, "to": %d%s}`, from, to, more)), testEnv)
			if err != nil {
				t.Fatal(err)
			}
			answer, err := Pages(context.Background(), v, request)
			if err != nil {
				t.Fatal(err)
			}
			return answer
		}
		made, kept := ask(``), ask(``)
		read := ask(`, "filters": [{"property": "event_type", "op": "exists"}]`)
		if !reflect.DeepEqual(made.Pages, read.Pages) || !reflect.DeepEqual(kept.Pages, read.Pages) {
			t.Fatalf("seed %d: first %v\nthen %v\nread %v", seed, made.Pages, kept.Pages, read.Pages)
		}
		counts := visitsOf(events, from, to)
		for _, p := range kept.Pages {
			c := counts[p.PageURL]
			if bounced, left := percent(c.bounces, c.entries), percent(c.exits, p.Views); p.BounceRate != bounced || p.ExitRate != left {
				t.Fatalf("seed %d, page %s: %v bounce and %v exit, want %v and %v", seed, p.PageURL, p.BounceRate, p.ExitRate, bounced, left)
			}
		}
	}
}
