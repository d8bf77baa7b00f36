package alert

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/maidian/maidian/pkg/rule"
	"github.com/maidian/maidian/pkg/store"
)

// loaded is a project's state as a process takes it over.
func (w *town) loaded(t *testing.T) *kept {
	t.Helper()
	k, err := load(t.Context(), w.Store, "shop")
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// records are how many there are of the state.
func (w *town) records(t *testing.T) (n int) {
	t.Helper()
	if err := store.EachRecord(t.Context(), w.Store, rule.StateKind, "shop", func(r *store.Record) error {
		if len(r.Data) > store.MostRecordData {
			t.Errorf("%s has %d bytes", r.ID, len(r.Data))
		}
		n++
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return n
}

// random is what cannot be made smaller.
func random(bytes int) string {
	data := make([]byte, bytes)
	source := rand.NewChaCha8([32]byte{})
	_, _ = source.Read(data)
	return base64.StdEncoding.EncodeToString(data)
}

func TestAStateOfAnySizeIsKept(t *testing.T) {
	w := newTown(t)
	k := w.loaded(t)
	large := random(2*store.MostRecordData + 1000)
	b, _, err := k.put(t.Context(), "snapshot", large)
	if err == nil {
		err = k.write(t.Context(), root{Snapshot: b})
	}
	if err != nil {
		t.Fatal(err)
	}
	var back string
	again := w.loaded(t)
	if err := again.get(t.Context(), again.Snapshot, &back); err != nil || back != large {
		t.Errorf("got %d bytes back in %d parts, %v, want %d", len(back), again.Snapshot.Parts, err, len(large))
	}
	if n := w.records(t); n != 1+b.Parts || b.Parts < 4 {
		t.Errorf("%d records, want the root and %d parts, 4 or more", n, b.Parts)
	}
	again.drop(t.Context(), again.Snapshot)
	if n := w.records(t); n != 1 {
		t.Errorf("%d records are left, want the root", n)
	}
}

// TestWhatOneLeavesBehindIsSwept has a process stop between writing parts and
// naming them, and go on later as if nothing had happened.
func TestWhatOneLeavesBehindIsSwept(t *testing.T) {
	w := newTown(t)
	first := w.loaded(t)
	named, _, err := first.put(t.Context(), "snapshot", "named")
	if err == nil {
		err = first.write(t.Context(), root{Snapshot: named})
	}
	if err != nil {
		t.Fatal(err)
	}
	left, _, err := first.put(t.Context(), "snapshot", "left behind")
	if err != nil {
		t.Fatal(err)
	}

	second := w.loaded(t)
	if n := w.records(t); n != 2 {
		t.Errorf("%d records after another has taken over, want the root and the part that it names", n)
	}
	if err := first.write(t.Context(), root{Snapshot: left}); !errors.Is(err, errLost) {
		t.Errorf("the first goes on: got %v, want %v", err, errLost)
	}
	late, _, err := first.put(t.Context(), "snapshot", "late")
	if err != nil {
		t.Fatal(err)
	}
	var back string
	if err := second.get(t.Context(), second.Snapshot, &back); err != nil || back != "named" {
		t.Errorf("got %q, %v, want what was named", back, err)
	}
	own, _, err := second.put(t.Context(), "snapshot", "its own")
	if err != nil || own == late {
		t.Errorf("got %v, %v, want another name than the first's %v", own, err, late)
	}
}

func TestManyFiringsAreKeptBesideTheRoot(t *testing.T) {
	w := newTown(t)
	for i := range mostInRoot + 100 {
		w.rule(t, fmt.Sprint("r", i), fmt.Sprintf(`{"id": "r%d", "kind": "event", "event": "purchase"}`, i))
	}
	w.process(t, "first", w.Store)
	w.settled(t)
	w.store(t, "shop", "b", "purchase", "purchase")
	until(t, "all are made", func() bool {
		n := 0
		if err := store.EachRecord(t.Context(), w.Store, rule.FiringKind, "shop", func(*store.Record) error { n++; return nil }); err != nil {
			t.Fatal(err)
		}
		return n == 2*(mostInRoot+100)
	})
	until(t, "the root and a snapshot are left", func() bool { return w.records(t) == 2 })
}

// TestStepsMakeWhatWas has some days with events that come late and out of
// order, and wants whoever takes over to know from an old snapshot and the
// steps since exactly what the one before knew.
func TestStepsMakeWhatWas(t *testing.T) {
	for seed := range uint64(5) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			source := rand.New(rand.NewPCG(seed, 0))
			w := newTown(t)
			w.queue, w.saveEvery = line{depth: 3}, time.Hour
			for i, definition := range []string{
				`"kind": "threshold", "event": "click", "metric": "users", "value": 1, "window": "1m", "group_by": "event_name"`,
				`"kind": "threshold", "event": "click", "metric": "ratio", "of": "purchase", "value": 1, "window": "30s", "grace": "0s"`,
				`"kind": "event", "event": "purchase", "cool_down": "20s"`,
				`"kind": "new_value", "event": "*", "property": "event_id", "learn": "0s", "cool_down": "1m"`,
				`"kind": "change", "event": "click", "against": "hour", "value": 10, "window": "1m"`,
				`"kind": "absence", "event": "purchase", "window": "1m"`,
				`"kind": "behaviour", "event": "click", "window": "1m", "more_than": 3`,
				`"kind": "pipeline", "metric": "queue_depth", "value": 2, "window": "10s"`,
			} {
				w.rule(t, fmt.Sprint("r", i), fmt.Sprintf(`{"id": "r%d", %s}`, i, definition))
			}
			b := &book{}
			first, second := &work{Alerts: w.alerts(w.Store, "first"), project: "shop"}, &work{Alerts: w.alerts(w.Store, "second"), project: "shop"}
			first.begin()
			second.begin()
			if err := first.read(t.Context(), map[string]*book{"shop": b}); err != nil {
				t.Fatal(err)
			}
			if err := first.resume(t.Context(), b); err != nil {
				t.Fatal(err)
			}
			for i := range 200 {
				w.clock.Add(source.Int64N(10_000))
				var types []string
				for range source.IntN(5) {
					types = append(types, []string{"click", "click", "purchase", "refund"}[source.IntN(4)])
				}
				if len(types) > 0 {
					w.store(t, "shop", fmt.Sprint("batch", i), types...)
				}
				if _, err := first.turn(t.Context(), b); err != nil {
					t.Fatal(err)
				}
				first.reading.Wait()
			}
			told := len(w.firings(t))
			if err := first.save(t.Context(), root{Snapshot: first.kept.Snapshot, Steps: first.steps}); err != nil {
				t.Fatal(err)
			}
			if err := second.resume(t.Context(), b); err != nil {
				t.Fatal(err)
			}
			if len(first.steps) < 100 || told < 20 {
				t.Errorf("%d steps and %d firings, want enough of both to show anything", len(first.steps), told)
			}
			same(t, "rules", first.rules, second.rules)
			same(t, "pipeline", first.pipeline, second.pipeline)
			same(t, "position", first.feed.Position(), second.feed.Position())
			if err := second.snapshot(t.Context()); err != nil {
				t.Fatal(err)
			}
			if again := len(w.firings(t)); again != told {
				t.Errorf("%d firings were made again under other names", again-told)
			}
		})
	}
}

func same(t *testing.T, what string, a, b any) {
	t.Helper()
	x, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	y, err := json.Marshal(b)
	if err != nil || !bytes.Equal(x, y) {
		t.Errorf("%s: the second knows %.3000s\nthe first knew %.3000s\n%v", what, y, x, err)
	}
}
