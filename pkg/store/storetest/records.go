package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/store"
)

func records(t *testing.T, h Harness) {
	s := h.fresh(t)
	ctx := t.Context()
	wantRecords(t, s, "rule", "*")
	a := store.Record{Kind: "rule", Project: "demo", ID: "a", Data: []byte("\x00\xff{}")}
	b := store.Record{Kind: "rule", Project: "demo", ID: "b/ü", Due: 3000}
	c := store.Record{Kind: "rule", Project: "demo-2", ID: "a", Due: 1000, Data: []byte("☂")}
	d := store.Record{Kind: "rule_state", Project: "demo", ID: "a", Due: 2000}
	e := store.Record{Kind: "rule", ID: "nobody's", Due: 2000}
	for _, r := range []store.Record{d, c, b, a, e} {
		if err := s.CreateRecord(ctx, r); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.CreateRecord(ctx, a); !errors.Is(err, store.ErrConflict) {
		t.Errorf("create it again: got %v, want ErrConflict", err)
	}
	wantRecords(t, s, "rule", "*", e, c, a, b)
	wantRecords(t, s, "rule", "demo", a, b)
	wantRecords(t, s, "rule", "", e)
	wantRecords(t, s, "rule_state", "*", d)
	wantRecords(t, s, "rule", "shop")
	wantDue(t, s, 2000, c, e)
	wantDue(t, s, 999)

	a.Due, a.Data = 2000, nil
	change := func(doing string, err, want error) {
		t.Helper()
		if !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", doing, err, want)
		}
	}
	change("update", s.UpdateRecord(ctx, a), nil)
	change("update an old revision", s.UpdateRecord(ctx, a), store.ErrConflict)
	change("delete an old revision", s.DeleteRecord(ctx, a), store.ErrConflict)
	change("update what is not there", s.UpdateRecord(ctx, store.Record{Kind: "rule", ID: "z"}), store.ErrNotFound)
	change("delete what is not there", s.DeleteRecord(ctx, store.Record{Kind: "rule", ID: "z"}), store.ErrNotFound)
	a.Revision++
	wantRecords(t, s, "rule", "demo", a, b)
	wantDue(t, s, 3000, c, e, a, b)
	change("delete", s.DeleteRecord(ctx, a), nil)
	wantRecords(t, s, "rule", "demo", b)
	if _, err := s.Record(ctx, "rule", "demo", "a"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("read what was deleted: got %v, want ErrNotFound", err)
	}
	change("create what was deleted", s.CreateRecord(ctx, store.Record{Kind: "rule", Project: "demo", ID: "a"}), nil)

	b.Data = bytes.Repeat([]byte("x"), h.size(1000)*100)
	change("make it large", s.UpdateRecord(ctx, b), nil)
	b.Revision++
	if got, err := s.Record(ctx, "rule", "demo", b.ID); err != nil || !sameRecord(*got, b) {
		t.Errorf("a large one: got %d bytes, %v, want %d", len(got.Data), err, len(b.Data))
	}
	if !h.OneWriter {
		oneWins(t, func() error { return s.UpdateRecord(ctx, b) })
	}
}

// wantRecords reads page by page.
func wantRecords(t testing.TB, s store.Store, kind, project string, want ...store.Record) {
	t.Helper()
	for _, page := range []int{1, 2, 100} {
		var got []store.Record
		after := ""
		for {
			some, err := s.Records(t.Context(), kind, project, after, page)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, some...)
			if len(some) < page {
				break
			}
			after = some[len(some)-1].Key()
		}
		if !slices.EqualFunc(got, want, sameRecord) {
			t.Errorf("records of kind %s of %q by %d:\n got %s\nwant %s", kind, project, page, inWords(got), inWords(want))
		}
	}
}

func wantDue(t testing.TB, s store.Store, at event.Time, want ...store.Record) {
	t.Helper()
	got, err := s.DueRecords(t.Context(), "rule", at, 100)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.EqualFunc(got, want, sameRecord) {
		t.Errorf("due at %d:\n got %s\nwant %s", at, inWords(got), inWords(want))
	}
}

func sameRecord(a, b store.Record) bool {
	same := bytes.Equal(a.Data, b.Data)
	a.Data, b.Data = nil, nil
	return same && fmt.Sprint(a) == fmt.Sprint(b)
}

func inWords(records []store.Record) (text string) {
	for _, r := range records {
		text += fmt.Sprintf("%s due %d revision %d %.20q, ", r.Key(), r.Due, r.Revision, r.Data)
	}
	return text
}
