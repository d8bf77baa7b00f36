package sealed

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/store"
	"github.com/maidian/maidian/pkg/store/sqlite"
	"github.com/maidian/maidian/services/query/internal/segment"
	"go.uber.org/zap"
)

// archive is a store with a few days, each sealed with one column, and their manifest.
type archive struct {
	testing.TB
	store store.Store
	shelf *Shelf
}

const firstDay = 20600

func newArchive(t testing.TB) *archive {
	s, err := sqlite.Open(t.Context(), sqlite.Memory)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	a := &archive{t, s, NewShelf(s, zap.NewNop(), nil)}
	for day := range int32(4) {
		for batch := range 3 {
			a.bring(firstDay+day, fmt.Sprintf("d%d-b%d", day, batch), event.Time(1000))
		}
	}
	m := &Manifest{Before: 2000, Days: []Day{}, Open: []Open{}}
	for day := int32(firstDay); day < firstDay+3; day++ { // the fourth is not sealed
		m.Days = append(m.Days, a.seal(day).DayOf())
	}
	a.must(a.shelf.PutManifest(t.Context(), "demo", m))
	return a
}

func (a *archive) must(err error) {
	a.Helper()
	if err != nil {
		a.Fatal(err)
	}
}

// bring stores a batch of the day, and the journal's entry for it.
func (a *archive) bring(day int32, batch string, written event.Time) {
	var events []event.Event
	for i := range 20 {
		events = append(events, event.Event{
			Project: "demo", EventID: fmt.Sprint(batch, "-", i), EventType: "click", EventName: "click", UserID: fmt.Sprint("u", i%3), SessionID: fmt.Sprint("s", i/4),
			Timestamp: event.Time(day)*dayLength + event.Time(1000*i), BatchID: batch, Position: i, PagePath: fmt.Sprint("/", i%5),
		})
	}
	_, err := a.store.InsertEvents(a.Context(), events)
	a.must(err)
	a.must(a.store.RecordBatches(a.Context(), []store.Batch{{ID: batch, Project: "demo", WrittenAt: written, Stored: len(events), Days: []int32{day}}}))
}

func (a *archive) seal(day int32) *Content {
	entries, err := a.shelf.Entries(a.Context(), "demo", func(d int32) bool { return d == day })
	a.must(err)
	var ids []string
	for _, entry := range entries {
		ids = append(ids, entry.ID)
	}
	c, err := a.shelf.Build(a.Context(), "demo", day, ids, []string{"page_path"})
	a.must(err)
	a.must(a.shelf.Put(a.Context(), c, nil))
	return c
}

// verify and rebuild say in words what is found of each day.
func (a *archive) verify() (found []string) {
	a.must(a.shelf.Verify(a.Context(), "demo", math.MinInt32, math.MaxInt32, func(f Finding) error {
		found = append(found, inWords(f))
		return nil
	}))
	return found
}

func (a *archive) rebuild(from, to int32) (found []string) {
	a.must(a.shelf.Rebuild(a.Context(), "demo", from, to, func(f Finding) error {
		found = append(found, inWords(f))
		return nil
	}))
	return found
}

func inWords(f Finding) string {
	text := fmt.Sprintf("%d: %d rows in %d parts", f.Day.Number-firstDay, f.Day.Rows, f.Parts)
	if len(f.Missing) > 0 {
		text += fmt.Sprintf(", missing %q", f.Missing)
	}
	for _, err := range f.Wrong {
		what, _, _ := strings.Cut(err.Error(), ":")
		for _, kind := range []error{segment.ErrDamaged, segment.ErrForeign, segment.ErrStale, errDiffers, ErrMoved} {
			if errors.Is(err, kind) {
				what += " (" + kind.Error() + ")"
			}
		}
		text += ", " + what
	}
	return text
}

func (a *archive) want(got []string, want ...string) {
	a.Helper()
	if !slices.Equal(got, want) {
		a.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

var (
	sound  = []string{"0: 60 rows in 5 parts", "1: 60 rows in 5 parts", "2: 60 rows in 5 parts"}
	column = segment.ColumnName("page_path")
)

func TestSoundDaysAreFoundSound(t *testing.T) {
	a := newArchive(t)
	a.want(a.verify(), sound...)
	a.bring(firstDay+1, "late", 2000) // as long as the manifest does not speak of it
	a.want(a.verify(), sound...)
	a.must(a.shelf.Verify(t.Context(), "demo", firstDay+3, math.MaxInt32, func(f Finding) error { return fmt.Errorf("%+v is not sealed", f) }))
	a.must(a.shelf.Verify(t.Context(), "nobody", math.MinInt32, math.MaxInt32, func(f Finding) error { return fmt.Errorf("%+v is nobody's", f) }))
	enough := errors.New("enough")
	if err := a.shelf.Verify(t.Context(), "demo", firstDay, firstDay+1, func(Finding) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("got %v, want what yield returned", err)
	}
}

func TestWhatIsWrongIsFoundAndMended(t *testing.T) {
	a := newArchive(t)
	parts := a.parts(firstDay)
	damaged := slices.Clone(parts[segment.BaseName])
	damaged[len(damaged)-10]++
	other := a.parts(firstDay + 1)

	// Of the right day and state, sound, and yet not what happened.
	c, _, err := read(t.Context(), a.store, openDay(t, parts), Needs{Sessions: true, Columns: []string{"page_path"}})
	a.must(err)
	slices.Reverse(c.Sessions.Of)
	slices.Reverse(c.Columns["page_path"].Codes)
	forged, err := c.Seal([]string{segment.SessionsName, column})
	a.must(err)

	for _, test := range []struct {
		name string
		data []byte // none: deleted
		want string
	}{
		{segment.BaseName, damaged, "0: 60 rows in 5 parts, base (segment is damaged)"},
		{segment.BaseName, nil, `0: 60 rows in 4 parts, missing ["base"]`},
		{segment.BatchesName, parts[segment.RefsName], "0: 60 rows in 5 parts, batches (segment is of another format or kind)"},
		{segment.RefsName, other[segment.RefsName], "0: 60 rows in 5 parts, refs (segment is of another format or kind)"},
		{segment.SessionsName, forged[0].Data, "0: 60 rows in 5 parts, sessions (" + errDiffers.Error() + ")"},
		{column, forged[1].Data, "0: 60 rows in 5 parts, column (" + errDiffers.Error() + ")"},
		{column, parts[column][:20], "0: 60 rows in 5 parts, column (segment is damaged)"},
	} {
		if _, err := a.store.DeleteSegments(t.Context(), "demo", firstDay, firstDay, []string{test.name}); err != nil {
			t.Fatal(err)
		}
		if test.data != nil {
			a.must(a.shelf.put(t.Context(), "demo", firstDay, test.name, test.data))
		}
		a.want(a.verify(), test.want, sound[1], sound[2])
		a.want(a.rebuild(firstDay, firstDay), sound[0])
		a.want(a.verify(), sound...)
	}
}

func TestADayWhoseEventsAreOthersIsTakenOut(t *testing.T) {
	a := newArchive(t)
	a.bring(firstDay+1, "d1-b9", 1500) // the manifest was written after it, and nobody saw it
	found := a.verify()
	if len(found) != 3 || found[0] != sound[0] || found[2] != sound[2] || !strings.Contains(found[1], "the manifest has") || !strings.Contains(found[1], "base (segment is of another state") {
		t.Errorf("got\n%s\nwant the second day to be of another state", strings.Join(found, "\n"))
	}
	a.want(a.rebuild(firstDay, firstDay+2), sound[0], "1: 60 rows in 0 parts, the day has other events by now than it was sealed with ("+ErrMoved.Error()+")", sound[2])
	if left := a.parts(firstDay + 1); len(left) != 0 {
		t.Errorf("%d parts are left of it", len(left))
	}
}

func (a *archive) parts(day int32) map[string][]byte {
	data, err := a.shelf.stored(a.Context(), "demo", day)
	a.must(err)
	return data
}

func openDay(t testing.TB, parts map[string][]byte) segment.Day {
	p, err := segment.Open(parts[segment.BaseName])
	if err != nil {
		t.Fatal(err)
	}
	return p.Day
}

// TestTheFirstDayIsADayLikeOthers clears 1970-01-01, as an erasure does: what
// was sealed of it goes, and the manifest stays.
func TestTheFirstDayIsADayLikeOthers(t *testing.T) {
	a := newArchive(t)
	a.bring(0, "epoch", 1000)
	day := a.seal(0).Base.Day
	a.must(a.shelf.Clear(t.Context(), day))
	if parts, err := a.shelf.stored(t.Context(), "demo", 0); err != nil || len(parts) > 0 {
		t.Errorf("parts of 1970-01-01 after it was cleared: got %d, %v, want none", len(parts), err)
	}
	if m, err := a.shelf.Manifest(t.Context(), "demo"); err != nil || m == nil || len(m.Days) != 3 {
		t.Errorf("the manifest afterwards: got %+v, %v, want the one with 3 days", m, err)
	}
}

// TestNothingErasedMeanwhileIsSealed is a replica that has built a day when
// somebody erases all of it, and writes only when they are done.
func TestNothingErasedMeanwhileIsSealed(t *testing.T) {
	a := newArchive(t)
	const day, batch = firstDay + 3, "d3-b0"
	content, err := a.shelf.Build(t.Context(), "demo", day, []string{batch}, nil)
	a.must(err)
	a.erase(batch)
	if err := a.shelf.Put(t.Context(), content, nil); !errors.Is(err, ErrMoved) {
		t.Errorf("got %v, want %v", err, ErrMoved)
	}
	if left, err := a.shelf.stored(t.Context(), "demo", day); err != nil || len(left) > 0 {
		t.Errorf("%d parts of what was erased are left, %v", len(left), err)
	}
	again, err := a.shelf.Build(t.Context(), "demo", day, []string{batch, "d3-b1"}, nil)
	a.must(err)
	a.must(a.shelf.Put(t.Context(), again, nil))
}

// eraser erases a batch right before the first part of a day is written.
type eraser struct {
	Store
	erase func()
}

func (e *eraser) PutSegments(ctx context.Context, segments []store.Segment) error {
	if e.erase != nil {
		e.erase()
		e.erase = nil
	}
	return e.Store.PutSegments(ctx, segments)
}

// TestNothingErasedMeanwhileIsRebuilt is a rebuilding during which somebody erases.
func TestNothingErasedMeanwhileIsRebuilt(t *testing.T) {
	a := newArchive(t)
	a.shelf.Store = &eraser{a.store, func() { a.erase("d1-b0") }}
	a.want(a.rebuild(firstDay+1, firstDay+1), "1: 60 rows in 0 parts, "+ErrMoved.Error()+" ("+ErrMoved.Error()+")")
	if left, err := a.shelf.stored(t.Context(), "demo", firstDay+1); err != nil || len(left) > 0 {
		t.Errorf("%d parts of what was erased are left, %v", len(left), err)
	}
}

// erase erases all events of a batch.
func (a *archive) erase(batch string) {
	var ids []string
	for i := range 20 {
		ids = append(ids, fmt.Sprint(batch, "-", i))
	}
	a.must(a.store.EraseEvents(a.Context(), "demo", ids, 3000))
}
