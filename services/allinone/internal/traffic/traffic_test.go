package traffic

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"github.com/maidian/maidian/pkg/event"
)

var noon = time.Date(2026, 6, 15, 12, 0, 0, 0, time.UTC)

func TestEveryEventIsOneTheCollectorTakes(t *testing.T) {
	kinds := map[string]int{}
	ids := map[string]bool{}
	for _, e := range New(1).Backlog(noon, 7, 5000) {
		request, err := event.ParseOne(string(e.JSON()), "")
		if err != nil || len(request.Events[0].Problems) > 0 {
			t.Fatalf("%s: %v, %v", e.JSON(), err, request.Events[0].Problems)
		}
		if ids[e.ID] {
			t.Fatalf("id %s twice", e.ID)
		}
		ids[e.ID] = true
		kinds[e.Type]++
	}
	for _, kind := range []string{"page_view", "product_view", "cart_add", "purchase", "search", "scroll", "click", "sign_up"} {
		if kinds[kind] == 0 {
			t.Errorf("no %s among %v", kind, kinds)
		}
	}
	if kinds["purchase"] >= kinds["cart_add"] || kinds["cart_add"] >= kinds["product_view"] {
		t.Errorf("no shop sells like this: %v", kinds)
	}
}

func TestTheSameSeedIsTheSameTraffic(t *testing.T) {
	text := func(seed uint64) []byte {
		var out []byte
		for _, e := range New(seed).Backlog(noon, 3, 500) {
			out = append(out, e.JSON()...)
		}
		return out
	}
	if !bytes.Equal(text(7), text(7)) {
		t.Error("the same seed gave other events")
	}
	if bytes.Equal(text(7), text(8)) {
		t.Error("another seed gave the same events")
	}
}

func TestLiveTrafficComesInOrderAtTheRate(t *testing.T) {
	l := NewLive(New(3), 50, noon)
	var all []Event
	for s := range 120 {
		now := noon.Add(time.Duration(s+1) * time.Second)
		for _, e := range l.Until(now) {
			if e.At >= now.UnixMilli() || e.At < now.Add(-time.Second).UnixMilli() {
				t.Fatalf("second %d: an event at %d", s, e.At)
			}
			all = append(all, e)
		}
	}
	if !slices.IsSortedFunc(all, func(a, b Event) int { return int(a.At - b.At) }) {
		t.Error("events are not in order")
	}
	if n := len(all); n < 120*50*6/10 || n > 120*50*15/10 {
		t.Errorf("%d events in 120 s, want about %d", n, 120*50)
	}
}
