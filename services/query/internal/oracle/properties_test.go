package oracle_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/http"
	"slices"
	"testing"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/store"
	"github.com/maidian/maidian/services/query/internal/columns"
	"github.com/maidian/maidian/services/query/internal/oracle"
)

// asked is a request of each kind about one history.
type asked map[string]oracle.Request

func askEverything(r oracle.Random, events []event.Event) asked {
	a := asked{}
	for _, route := range oracle.Routes {
		request := r.Request(route, events)
		switch route {
		case "users/":
			route += []string{"a", "b", "anon-c", "s1"}[r.IntN(4)]
		case "export":
			request["format"] = []string{"csv", "ndjson"}[r.IntN(2)]
			delete(request, "limit")
		}
		a[route] = request
	}
	return a
}

// answers are the service's, but for how fresh they are, by request.
func (s *service) answers(t *testing.T, a asked) map[string]string {
	t.Helper()
	got := map[string]string{}
	for route, request := range a {
		status, body, err := s.post(route, request)
		if err != nil || status != http.StatusOK && status != http.StatusNotFound {
			t.Fatalf("%s %v: %d %s %v", route, request, status, body, err)
		}
		text, err := json.Marshal(request)
		if err != nil {
			t.Fatal(err)
		}
		got[route+" "+string(text)] = withoutFreshness(t, status, body)
	}
	return got
}

func withoutFreshness(t *testing.T, status int, body []byte) string {
	t.Helper()
	var answer map[string]json.RawMessage
	if status != http.StatusOK || decode(body, &answer) != nil || answer["freshness"] == nil {
		if status != http.StatusOK {
			return fmt.Sprint(status)
		}
		return string(body)
	}
	delete(answer, "freshness")
	delete(answer, "next_cursor") // names a batch
	text, err := json.Marshal(answer)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func mustBeSame(t *testing.T, seed uint64, what string, before, after map[string]string) {
	t.Helper()
	for request, want := range before {
		if after[request] != want {
			t.Fatalf("ORACLE_SEED=%d: %s changes the answer of %s\nfrom %s\n  to %s", seed, what, request, want, after[request])
		}
	}
}

// eachHistory tries a property of the service on random histories, one for every so many seeds.
func eachHistory(t *testing.T, every uint64, try func(t *testing.T, s *service, seed uint64, r oracle.Random, events []event.Event)) {
	s, err := newService()
	if err != nil {
		t.Fatal(err)
	}
	first, n := seeds(t)
	for seed := first; seed < first+(n+every-1)/every; seed++ {
		r := oracle.NewRandom(seed)
		events := r.Events(1 + r.IntN(60))
		s.now = r.Now(events)
		try(t, s, seed, r, events)
	}
}

// Of others, an unrelated user changes no number.
func TestAnUnrelatedUserChangesNothing(t *testing.T) {
	eachHistory(t, 2, func(t *testing.T, s *service, seed uint64, r oracle.Random, events []event.Event) {
		all := askEverything(r, events)
		for _, request := range all {
			filters, _ := request["filters"].([]any)
			request["filters"] = append(filters, map[string]any{"property": "channel", "op": "neq", "value": "unrelated"})
		}
		s.hold(events, s.now)
		before := s.answers(t, all)
		for i := range 1 + r.IntN(20) {
			e := events[r.IntN(len(events))]
			e.EventID, e.UserID, e.AnonymousID, e.SessionID, e.Channel = fmt.Sprintf("u%d", i), "unrelated", "anon-unrelated", []string{"", "s-unrelated"}[r.IntN(2)], "unrelated"
			e.BatchID, e.Position = "unrelated", i
			events = append(events, e)
		}
		s.hold(events, s.now)
		mustBeSame(t, seed, "an unrelated user", before, s.answers(t, all))
	})
}

// A batch in two parts is the same batch, but for the order in which listings
// show events of equal times: the parts have names that keep it.
func TestSplittingABatchChangesNothing(t *testing.T) {
	eachHistory(t, 2, func(t *testing.T, s *service, seed uint64, r oracle.Random, events []event.Event) {
		all := askEverything(r, events)
		s.hold(events, s.now)
		before := s.answers(t, all)
		at := r.IntN(len(events))
		for i := range events[at:] {
			events[at+i].BatchID += "-2"
		}
		s.hold(events, s.now)
		mustBeSame(t, seed, "splitting a batch", before, s.answers(t, all))
	})
}

// Where no event of equal time is first or last, it does not matter in which
// batch an event came, nor where in it.
func TestTheBatchOfAnEventChangesNothing(t *testing.T) {
	eachHistory(t, 2, func(t *testing.T, s *service, seed uint64, r oracle.Random, events []event.Event) {
		all := askEverything(r, events)
		maps.DeleteFunc(all, func(route string, _ oracle.Request) bool {
			return slices.Contains([]string{"events", "export", "funnel/explain"}, route) || route[:2] == "us"
		})
		s.hold(events, s.now)
		before := s.answers(t, all)
		r.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
		for i := range events {
			events[i].BatchID, events[i].Position = fmt.Sprintf("c%d", r.IntN(5)), i
		}
		s.hold(events, s.now)
		mustBeSame(t, seed, "another batch", before, s.answers(t, all))
	})
}

// Whatever order batches arrive in, whole or in pieces, once or again, with
// questions in between and with much or little memory: the answers are those of
// all events at once.
func TestTheOrderOfArrivalChangesNothing(t *testing.T) {
	eachHistory(t, 2, func(t *testing.T, s *service, seed uint64, r oracle.Random, events []event.Event) {
		all := askEverything(r, events)
		s.hold(events, s.now)
		before := s.answers(t, all)
		a := &arrival{stored: map[string][]event.Event{}}
		budget := []int64{0, 1 << 12, math.MaxInt64}[r.IntN(3)]
		a.tables = columns.NewTables(a, budget, nil)
		for _, part := range parts(r, events) {
			a.deliver(t, part)
			s.view = a.tables.Project("shop").View()
			if r.IntN(2) == 0 {
				s.answers(t, askEverything(r, events))
			}
		}
		mustBeSame(t, seed, fmt.Sprintf("arrival in pieces within %d bytes", budget), before, s.answers(t, all))
	})
}

// parts are the events of each batch in a few pieces, all in a random order.
func parts(r oracle.Random, events []event.Event) (list [][]event.Event) {
	pieces := map[string][]event.Event{}
	for _, e := range events {
		name := e.BatchID + fmt.Sprint(r.IntN(3))
		pieces[name] = append(pieces[name], e)
	}
	for _, name := range slices.Sorted(maps.Keys(pieces)) {
		list = append(list, pieces[name])
		if r.IntN(4) == 0 {
			list = append(list, pieces[name])
		}
	}
	r.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list
}

// arrival is a store that fills up, and what follows it.
type arrival struct {
	stored map[string][]event.Event
	tables *columns.Tables
}

func (a *arrival) deliver(t *testing.T, part []event.Event) {
	t.Helper()
	id := part[0].BatchID
	batch := slices.Concat(a.stored[id], part)
	slices.SortFunc(batch, func(x, y event.Event) int { return x.Position - y.Position })
	a.stored[id] = slices.CompactFunc(batch, func(x, y event.Event) bool { return x.Position == y.Position })
	entry := store.Batch{ID: id, Project: "shop", Stored: len(a.stored[id])}
	if short := a.tables.Project("shop").Add([]store.Batch{entry}, a.stored[id]); len(short) > 0 {
		t.Fatalf("%v came short", short)
	}
}

// EventsOfBatches reads what is stored until now.
func (a *arrival) EventsOfBatches(_ context.Context, _ string, ids []string, yield func(*event.Event) error) error {
	for _, id := range ids {
		for _, e := range a.stored[id] {
			if err := yield(&e); err != nil {
				return err
			}
		}
	}
	return nil
}
