package allinone_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/store"
	"github.com/maidian/maidian/services/allinone"
)

// sheet is the accounting's answer about a range.
type sheet struct {
	Accepted, Stored, Duplicates, Queued, Unclaimed, Difference int

	DeadLettered int `json:"dead_lettered"`
	Rejected     map[string]int
	Rows         []struct{ Key string }
}

func TestEveryEventIsAccountedFor(t *testing.T) {
	c := config(t)
	c.Ops, c.Query.AccountsEvery = "127.0.0.1:0", 20*time.Millisecond
	s := start(t, c)
	shop := s.project("shop")
	var events []map[string]any
	for i := range 25 {
		events = append(events, visit(fmt.Sprint("e", i), "ann", "2026-03-02T10:00:00Z"))
	}
	s.send(shop.WriteKey, events...)
	s.send(shop.WriteKey, events[:4]...)
	track := s.collector + "/api/v1/analytics/track/batch"
	mixed := map[string]any{"events": []any{visit("good", "ann", "2026-03-02T10:00:00Z"), map[string]any{"event_type": "purchase", "user_id": "ann"}}}
	for _, body := range []any{mixed, map[string]any{"events": "none"}} {
		s.call(http.MethodPost, track, shop.WriteKey, body, nil)
	}

	var got sheet
	eventually(t, "the accounts to be settled", func() bool {
		s.ask(shop.ReadKey, "accounting", map[string]any{"days": 2}, &got)
		return got.Accepted == 30 && got.Unclaimed == 0 && got.Queued == 0 && len(got.Rejected) > 0
	})
	s.numbered(shop)
	rejected := 0
	for _, n := range got.Rejected {
		rejected += n
	}
	if got.Stored != 26 || got.Duplicates != 4 || got.DeadLettered != 0 || got.Difference != 0 || rejected != 2 || got.Rows[0].Key == "" {
		t.Errorf("got %+v, want 26 stored, 4 duplicates, 2 rejected and no difference", got)
	}
	if n := s.unaccounted(); n != "0" {
		t.Errorf("%s events are unaccounted for, want 0", n)
	}

	// A collector that says it accepted what nobody stored.
	long := event.TimeOf(time.Now().Add(-time.Hour))
	lost := event.Tally{Collector: "c", Project: shop.id, Key: got.Rows[0].Key, Hour: long.Hour(), Outcome: event.Accepted, Events: 3}
	if err := s.Store.RaiseTallies(t.Context(), []store.Tally{{Tally: lost, WrittenAt: long}}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the alarm", func() bool { return s.unaccounted() == "3" })
	s.ask(shop.ReadKey, "accounting", map[string]any{"days": 2}, &got)
	if got.Difference != 3 {
		t.Errorf("got the difference %d, want 3", got.Difference)
	}
	var other sheet
	s.ask(allinone.DemoReadKey, "accounting", map[string]any{"days": 2}, &other)
	if len(other.Rows) > 0 {
		t.Errorf("another project has %+v", other)
	}
}

// numbered sends what a device sends that had to drop events, once and again
// in other requests, and wants it in the accounts once.
func (s *system) numbered(shop *shopper) {
	s.t.Helper()
	device := func(n int, dropped map[string]int) map[string]any {
		e := visit(fmt.Sprint("n", n), "", "")
		e["anonymous_id"], e["properties"] = "phone", map[string]any{"$sequence": n, "$dropped": dropped}
		delete(e, "user_id")
		delete(e, "timestamp")
		return e
	}
	for range 2 {
		s.send(shop.WriteKey, device(1, nil), device(5, map[string]int{"full": 2, "expired": 1}))
		s.send(shop.WriteKey, device(7, map[string]int{"too_large": 1}))
	}
	var got struct {
		Dropped map[string]int `json:"dropped_by_sdk"`
		Gaps    struct {
			Devices  int
			Missing  int
			Reported int `json:"reported_dropped"`
		} `json:"sequence_gaps"`
	}
	eventually(s.t, "what the device dropped", func() bool {
		s.ask(shop.ReadKey, "accounting", map[string]any{"days": 2}, &got)
		return got.Dropped["too_large"] > 0 && got.Gaps.Missing == 4
	})
	if text := fmt.Sprint(got); text != "{map[expired:1 full:2 too_large:1] {1 4 4}}" {
		s.t.Errorf("got %s, want each report once, and four numbers missing that were all reported", text)
	}
}

// unaccounted is the metric.
func (s *system) unaccounted() string {
	s.t.Helper()
	res, err := http.Get(allinone.URL(s.Ops) + "/query/metrics")
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "\nmaidian_query_unaccounted_events")
	line, _, _ := strings.Cut(rest, "\n")
	return line[strings.LastIndex(line, " ")+1:]
}
