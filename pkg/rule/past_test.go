package rule

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/store"
)

// archive is a journal with its events.
type archive struct {
	entries []store.Batch
	events  map[string][]event.Event
	sorted  bool
}

// write stores events as one entry.
func (a *archive) write(project string, at event.Time, events ...event.Event) {
	b := store.Batch{ID: fmt.Sprintf("b%06d", len(a.entries)), Project: project, WrittenAt: at, ReceivedAt: at, Stored: len(events)}
	for i := range events {
		events[i].BatchID = b.ID
		b.ReceivedAt = min(b.ReceivedAt, events[i].ReceivedAt)
	}
	if a.events == nil {
		a.events = map[string][]event.Event{}
	}
	a.entries, a.events[b.ID], a.sorted = append(a.entries, b), events, false
}

func (a *archive) Batches(_ context.Context, after store.Cursor, limit int) ([]store.Batch, error) {
	if !a.sorted {
		slices.SortFunc(a.entries, func(x, y store.Batch) int { return inOrder(x, store.After(y)) })
		a.sorted = true
	}
	from, _ := slices.BinarySearchFunc(a.entries, after, inOrder)
	if from < len(a.entries) && inOrder(a.entries[from], after) == 0 {
		from++
	}
	return slices.Clone(a.entries[from:min(len(a.entries), from+limit)]), nil
}

func inOrder(b store.Batch, at store.Cursor) int {
	return cmp.Or(cmp.Compare(b.WrittenAt, at.WrittenAt), cmp.Compare(b.ID, at.ID))
}

func (a *archive) EventsOfBatches(_ context.Context, _ string, ids []string, yield func(*event.Event) error) error {
	for _, id := range ids {
		for i := range a.events[id] {
			if err := yield(&a.events[id][i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// TestWhatIsLearntIsWhatWasToBeSeen compares what a rule knows that begins now
// and learns with what one knows that has been there all the time.
func TestWhatIsLearntIsWhatWasToBeSeen(t *testing.T) {
	for seed := range uint64(40) {
		random := rand.New(rand.NewPCG(seed, 2))
		one := func(of ...string) string { return of[random.IntN(len(of))] }
		span, definition := 9*week, `"id": "r", "event": {"event": "a", "filters": [{"property": "duration", "op": "lt", "value": 50}]}, "metric": `
		definition += one(`"count"`, `"users"`, `"sum", "property": "duration"`, `"avg", "property": "duration"`, `"p95", "property": "duration"`, `"ratio", "of": "b"`)
		definition += one(``, `, "group_by": "country"`) + one(``, `, "timezone": "Europe/Berlin"`, `, "timezone": "America/New_York"`, `, "timezone": "Asia/Kolkata"`)
		switch one("anomaly", "anomaly", "hour", "day") {
		case "anomaly":
			definition += `, "kind": "anomaly", "window": ` + one(`"15m"`, `"20m"`, `"1h"`)
		case "hour":
			definition += `, "kind": "change", "against": "hour", "value": 10, "window": ` + one(`"5m"`, `"1m"`)
			span = 4 * hour
		case "day":
			definition += `, "kind": "change", "against": "day", "value": 10, "window": ` + one(`"1h"`, `"30m"`)
			span = 3 * day
		}
		r := read(t, "{%s, \"grace\": \"5m\"}", definition)

		began := start + event.Time(random.IntN(300))*day // in all seasons of the year
		began -= began % week
		always := New("shop", began)
		always.Use([]*Rule{r})
		a := &archive{}
		for at := began; at < began+span; at += event.Time(random.Int64N(int64(span / 2000))) {
			e := event.Event{
				EventType: one("a", "a", "a", "b"), Timestamp: at, ReceivedAt: at + event.Time(random.IntN(30_000)), UserID: one("u", "v", "w"), Country: one("DE", "CN"),
				Duration: event.Number(strconv.Itoa(1 << random.IntN(7))),
			}
			a.write(one("shop", "shop", "shop", "blog"), at+event.Time(random.IntN(60_000)), e)
			if b := a.entries[len(a.entries)-1]; b.Project == "shop" {
				always.Advance(at)
				always.Observe(&e)
			}
		}
		now := (began + span) / hour * hour
		always.Advance(now + r.Grace)

		young := New("shop", now)
		young.Use([]*Rule{r})
		p := young.Past()
		if err := p.Read(t.Context(), a, a, math.MaxInt); err != nil {
			t.Fatal(err)
		}
		young.Learn(p)
		if young.Past() != nil {
			t.Error("it wants to learn again")
		}
		w, compared := r.windowed, 0
		for name, g := range always.rules[0].Groups {
			for end := now - w.past + w.step; end <= now; end += w.step {
				want, got := g.History[w.place(end)], math.NaN()
				if g := young.rules[0].Groups[name]; g != nil {
					got = g.History[w.place(end)]
				}
				if math.IsNaN(want) || math.IsNaN(got) && want == 0 && name != "" {
					continue // one had forgotten the group, or the other does not know that it was there before
				}
				if compared++; math.Abs(got-want) > 1e-9*math.Abs(want) || math.IsNaN(got) {
					t.Fatalf("seed %d, {%s}: %s %s before the end: got %v, want %v", seed, definition, name, (now - end).Std().UTC().Format("15:04:05"), got, want)
				}
			}
		}
		if compared < 20 {
			t.Errorf("seed %d, {%s}: only %d values were compared", seed, definition, compared)
		}
	}
}

// TestAnAnomalyIsToldAtOnceWhereThereIsAPast has a rule made after four weeks of history.
func TestAnAnomalyIsToldAtOnceWhereThereIsAPast(t *testing.T) {
	a := &archive{}
	hourly := func(from event.Time, n int) {
		for i := range n {
			at := start + from + event.Time(i)*second
			a.write("shop", at, event.Event{EventType: "sign_up", Timestamp: at, ReceivedAt: at})
		}
	}
	for w := range event.Time(4) {
		hourly(w*week+9*hour, 100+int(w))
	}
	r := read(t, `{"id": "r", "kind": "anomaly", "event": "sign_up", "grace": 0}`)
	young := New("shop", start+4*week)
	young.Use([]*Rule{r})
	p := young.Past()
	if err := p.Read(t.Context(), a, a, math.MaxInt); err != nil {
		t.Fatal(err)
	}
	young.Learn(p)
	f := &feed{t: t, Evaluator: young}
	for i := range event.Time(300) {
		f.see(4*week+9*hour+i*second, "sign_up", "u", "", "")
	}
	f.Advance(start + 4*week + 12*hour)
	at := int64(4*week+10*hour) / int64(minute)
	f.tells(fmt.Sprintf("firing @%d", at), fmt.Sprintf("recovered @%d", at+60))
	if *f.all[0].Expected != 101.5 {
		t.Errorf("expected %v, want the median of 100, 101, 102 and 103", *f.all[0].Expected)
	}
}

// TestOfTooLongAPastTheNewestIsLearnt bounds what is read.
func TestOfTooLongAPastTheNewestIsLearnt(t *testing.T) {
	a := &archive{}
	for at := start; at < start+5*week; at += hour {
		a.write("shop", at+minute, event.Event{EventType: "a", Timestamp: at, ReceivedAt: at + minute})
	}
	r := read(t, `{"id": "r", "kind": "anomaly", "event": "a"}`)
	young := New("shop", start+5*week)
	young.Use([]*Rule{r})
	p := young.Past()
	if err := p.Read(t.Context(), a, a, 2*168*2+1); err != nil { // an entry and an event an hour, two weeks
		t.Fatal(err)
	}
	young.Learn(p)
	known := 0
	for _, v := range young.rules[0].Groups[""].History {
		if !math.IsNaN(v) {
			known++
		}
	}
	if known < 168 || known > 2*168 { // pieces of up to a week
		t.Errorf("%d windows are known, want a week or two of hours", known)
	}
}

func TestValuesOfThePastAreNotNew(t *testing.T) {
	a := &archive{}
	seen := func(at event.Time, message string) {
		a.write("shop", start+at, event.Event{EventType: "error", Timestamp: start + at, ReceivedAt: start + at, Properties: `{"message": "` + message + `"}`})
	}
	seen(0, "of long ago")
	seen(23*hour, "known")
	tests := map[string]struct {
		learn string
		want  []string
	}{
		"the shop is older than what is to be learnt": {"20h", []string{"firing new@1445"}},
		"the shop is younger":                         {"30h", nil},
	}
	for name, tt := range tests {
		r := read(t, `{"id": "r", "kind": "new_value", "event": "error", "property": "message", "learn": %q}`, tt.learn)
		young := New("shop", start+day)
		young.Use([]*Rule{r})
		p := young.Past()
		if err := p.Read(t.Context(), a, a, math.MaxInt); err != nil {
			t.Fatal(err)
		}
		young.Learn(p)
		f := &feed{t: t, Evaluator: young}
		f.see(day+4*minute, "error", "", "", `{"message": "known"}`)
		f.see(day+5*minute, "error", "", "", `{"message": "new"}`)
		t.Log(name)
		f.tells(tt.want...)
	}
}

// TestAReplayStopsShort says so when there is more than it may read, and is right as far as it goes.
func TestAReplayStopsShort(t *testing.T) {
	a := &archive{}
	for i := range event.Time(100) {
		at := start + i*minute
		a.write("shop", at, event.Event{EventID: fmt.Sprint(i), EventType: "a", Timestamp: at, ReceivedAt: at})
	}
	for most, want := range map[int]struct {
		told  int
		whole bool
		at    event.Time
	}{1000: {100, true, start + 2*hour}, 200: {100, true, start + 2*hour}, 199: {99, false, start + 98*minute}, 0: {0, false, start}} {
		e, told := New("shop", start), 0
		e.Use([]*Rule{read(t, `{"id": "r", "kind": "event", "event": "a"}`)})
		events, whole, err := e.Replay(t.Context(), a, a, start+2*hour, most, func(f []Firing) { told += len(f) })
		if err != nil || told != want.told || events != told || whole != want.whole || e.Progress() != want.at {
			t.Errorf("of %d: got %d events, %d told, whole: %t, up to %s, %v; want %+v", most, events, told, whole, e.Progress(), err, want)
		}
	}
}
