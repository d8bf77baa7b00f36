package alert

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

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
	stop := w.process(t, "first", w.Store)
	w.settled(t)
	w.store(t, "shop", "b", "purchase", "purchase")
	until(t, "all are made", func() bool {
		n := 0
		if err := store.EachRecord(t.Context(), w.Store, rule.FiringKind, "shop", func(*store.Record) error { n++; return nil }); err != nil {
			t.Fatal(err)
		}
		return n == 2*(mostInRoot+100)
	})
	stop()
	if n := w.records(t); n != 2 {
		t.Errorf("%d records are left, want the root and a snapshot", n)
	}
}
