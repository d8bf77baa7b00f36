package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/maidian/maidian/pkg/store"
)

func put(t testing.TB, s store.Store, segments ...store.Segment) {
	t.Helper()
	if err := s.PutSegments(t.Context(), segments); err != nil {
		t.Fatalf("put %d segments: %v", len(segments), err)
	}
}

func wantSegments(t testing.TB, s store.Store, project string, from, to int32, names []string, want ...store.Segment) {
	t.Helper()
	var got []store.Segment
	err := s.Segments(t.Context(), project, from, to, names, func(g *store.Segment) error {
		got = append(got, *g)
		return nil
	})
	same := func(a, b store.Segment) bool {
		return a.Project == b.Project && a.Day == b.Day && a.Name == b.Name && a.Part == b.Part && bytes.Equal(a.Data, b.Data)
	}
	if err != nil {
		t.Fatalf("segments of %s, days %d to %d, names %q: %v", project, from, to, names, err)
	}
	if len(got) != len(want) {
		t.Errorf("segments of %s, days %d to %d, names %q: got %d, want %d", project, from, to, names, len(got), len(want))
	}
	for i := range min(len(got), len(want)) {
		if !same(got[i], want[i]) {
			t.Fatalf("segment %d of %s, days %d to %d, names %q:\n got %.200v\nwant %.200v", i, project, from, to, names, got[i], want[i])
		}
	}
}

// segments reads and deletes by ranges of days and by names, among names that
// sort differently when something stands behind them.
func segments(t *testing.T, h Harness) {
	s := h.fresh(t)
	names := []string{"base", "column:a", "column:a.b", "column:a/0", "column:☂", "z%$"} // ascending
	var all []store.Segment
	for _, day := range []int32{math.MinInt32, -1, 0, 9, 10, 20454, 20455} {
		for _, name := range names {
			for part := range 1 + len(name)%3 {
				all = append(all, store.Segment{Project: "demo", Day: day, Name: name, Part: part, Data: fmt.Appendf(nil, "\x00\xff%d %s %d", day, name, part)})
			}
		}
	}
	shuffled := slices.Clone(all)
	newGenerator(t).Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	put(t, s)
	put(t, s, shuffled...)
	other := store.Segment{Project: "demo2", Day: 9, Name: "base", Data: []byte("other")}
	put(t, s, other)

	meant := func(from, to int32, names ...string) (found []store.Segment) {
		for _, g := range all {
			if from <= g.Day && g.Day <= to && (len(names) == 0 || slices.Contains(names, g.Name)) {
				found = append(found, g)
			}
		}
		return found
	}
	for _, days := range [][2]int32{{math.MinInt32, math.MaxInt32}, {-1, 9}, {10, 10}, {11, 20453}, {20455, 20454}} {
		for _, some := range [][]string{nil, {"base"}, {"z%$", "column:a", "unknown"}, {"unknown"}} {
			wantSegments(t, s, "demo", days[0], days[1], some, meant(days[0], days[1], some...)...)
		}
	}
	wantSegments(t, s, "nobody", math.MinInt32, math.MaxInt32, nil)

	remove := func(project string, from, to int32, names ...string) {
		t.Helper()
		n, err := s.DeleteSegments(t.Context(), project, from, to, names)
		if err != nil {
			t.Fatal(err)
		}
		before := len(all)
		all = slices.DeleteFunc(all, func(g store.Segment) bool {
			return project == "demo" && from <= g.Day && g.Day <= to && (len(names) == 0 || slices.Contains(names, g.Name))
		})
		if n != before-len(all) {
			t.Errorf("deleted %d segments, want %d", n, before-len(all))
		}
		wantSegments(t, s, "demo", math.MinInt32, math.MaxInt32, nil, all...)
	}
	remove("nobody", math.MinInt32, math.MaxInt32)
	remove("demo", 9, 9, "column:a", "column:☂")
	remove("demo", -5, 9, "base")
	remove("demo", 10, 20454)
	remove("demo", math.MinInt32, math.MaxInt32)
	wantSegments(t, s, "demo2", 9, 9, nil, other)
}

// segmentsReplaced has the last one put stay, whatever its size.
func segmentsReplaced(t *testing.T, h Harness) {
	s := h.fresh(t)
	small := store.Segment{Project: "demo", Day: 20454, Name: "base", Data: []byte{}}
	large := small
	large.Data = bytes.Repeat([]byte("\x00segment\xff"), store.MostSegmentData/9)
	large.Data = append(large.Data, make([]byte, store.MostSegmentData-len(large.Data))...)
	for _, g := range []store.Segment{small, large, large, small} {
		put(t, s, g)
		wantSegments(t, s, "demo", 20454, 20454, nil, g)
	}
	second := small
	second.Data = []byte("later")
	put(t, s, small, second) // twice in one call: the later one stays
	wantSegments(t, s, "demo", 20454, 20454, nil, second)
	empty := small
	empty.Data = nil
	put(t, s, empty)
	wantSegments(t, s, "demo", 20454, 20454, nil, small)
}

func segmentsStop(t *testing.T, h Harness) {
	s := h.fresh(t)
	for day := range int32(5) {
		put(t, s, store.Segment{Project: "demo", Day: day, Name: "base", Data: []byte("x")})
	}
	enough := errors.New("enough")
	n := 0
	err := s.Segments(t.Context(), "demo", 0, 9, nil, func(g *store.Segment) error {
		// The store can be used while it is being read.
		put(t, s, store.Segment{Project: "demo", Day: g.Day, Name: "base", Data: []byte("y")})
		if n++; n == 3 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) || n != 3 {
		t.Errorf("got %v after %d segments, want %q after 3", err, n, enough)
	}
}
