package segment

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/maidian/maidian/pkg/event"
)

// seal makes all the parts of a day, by name.
func (w *whole) seal(t testing.TB) map[string][]byte {
	t.Helper()
	parts := make(map[string][]byte)
	put := func(name string, sealed []byte, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		parts[name] = sealed
	}
	sealed, err := w.base.Seal()
	put(BaseName, sealed, err)
	sealed, err = SealBatches(w.base.Day, w.batches)
	put(BatchesName, sealed, err)
	sealed, err = w.base.SealRefs(w.batches, w.refs)
	put(RefsName, sealed, err)
	sealed, err = w.base.SealSessions(w.sessions)
	put(SessionsName, sealed, err)
	for i, c := range w.columns {
		name := fmt.Sprint("c", i)
		sealed, err = w.base.SealColumn(name, c)
		put(ColumnName(name), sealed, err)
	}
	return parts
}

// load reads all the parts of a day.
func load(parts map[string][]byte) (*whole, error) {
	opened := make(map[string]*Part)
	for name, sealed := range parts {
		p, err := Open(sealed)
		if err != nil {
			return nil, err
		}
		if p.Name != name {
			return nil, fmt.Errorf("part %q is called %q", name, p.Name)
		}
		opened[name] = p
	}
	w := &whole{}
	var err error
	if w.base, err = opened[BaseName].Base(); err != nil {
		return nil, err
	}
	if w.batches, err = opened[BatchesName].Batches(); err != nil {
		return nil, err
	}
	if w.refs, err = opened[RefsName].Refs(w.base, w.batches); err != nil {
		return nil, err
	}
	if w.sessions, err = opened[SessionsName].Sessions(w.base); err != nil {
		return nil, err
	}
	for i := range len(parts) - 4 {
		c, err := opened[ColumnName(fmt.Sprint("c", i))].Column(w.base)
		if err != nil {
			return nil, err
		}
		w.columns = append(w.columns, c)
	}
	return w, nil
}

// rows are a day's events with everything in words.
func (w *whole) rows() []string {
	var rows []string
	for kind, name := range w.base.Types {
		lo, hi := w.base.Rows(kind)
		for row := lo; row < hi; row++ {
			identity := w.base.Identity[row]
			text := fmt.Sprintf("%q %q %v at %d from %v %d", name, w.base.Identities.Text(int(identity)), int(identity) >= w.base.Anonymous, w.base.Times[row],
				w.batches[w.refs.Batches[row]], w.refs.Positions[row])
			if session := w.sessions.Of[row]; session != NoSession {
				text += fmt.Sprintf(" in %q", w.sessions.IDs.Text(int(session)))
			}
			for _, c := range w.columns {
				text += fmt.Sprintf(" %+v", c.Values[c.Codes[row]])
			}
			rows = append(rows, text)
		}
	}
	return rows
}

func wantSame(t testing.TB, got, want *whole) {
	t.Helper()
	if got.base.Day != want.base.Day || !slices.Equal(got.batches, want.batches) || !slices.Equal(got.base.Meetings, want.base.Meetings) {
		t.Errorf("got %+v, %v, %v\nwant %+v, %v, %v", got.base.Day, got.batches, got.base.Meetings, want.base.Day, want.batches, want.base.Meetings)
	}
	g, w := got.rows(), want.rows()
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			t.Fatalf("row %d:\n got %s\nwant %s", i, g[i], w[i])
		}
	}
	if len(g) != len(w) {
		t.Errorf("got %d rows, want %d", len(g), len(w))
	}
}

func TestWhatIsSealedComesBack(t *testing.T) {
	for seed := range uint64(30) {
		most := []int{0, 1, 5, 200, 3000}[seed%5]
		w := someDay(seed, most)
		parts := w.seal(t)
		got, err := load(parts)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		wantSame(t, got, w)
		for name, again := range got.seal(t) {
			if string(again) != string(parts[name]) {
				t.Fatalf("seed %d: %s sealed again is not the same", seed, name)
			}
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// TestFreakDaysComeBack has days of which a part holds far more than its bytes
// let expect, and one with more types than a byte can tell apart.
func TestFreakDaysComeBack(t *testing.T) {
	many := make([]seen, 100_000)
	for i := range many {
		many[i] = seen{kind: "click", identity: "a", batch: fmt.Sprint("b", i>>16), position: uint16(i), session: "s", values: []event.Value{event.TextValue("x")}}
	}
	alike := make([]seen, 2000)
	for i := range alike {
		alike[i] = seen{kind: "click", identity: fmt.Sprint(strings.Repeat("very ", 1000), "long ", 10_000+i), batch: "b", position: uint16(i)}
	}
	kinds := make([]seen, 3000)
	for i := range kinds {
		kinds[i] = seen{kind: fmt.Sprint("kind ", i%300), identity: fmt.Sprint(i % 7), time: uint32(i * i), batch: "b", position: uint16(i)}
	}
	for name, events := range map[string][]seen{"one visitor at one instant": many, "long names": alike, "300 types": kinds} {
		t.Run(name, func(t *testing.T) {
			w := wholeOf("demo", -1, events)
			got, err := load(w.seal(t))
			if err != nil {
				t.Fatal(err)
			}
			wantSame(t, got, w)
			users := make([]uint32, got.base.Identities.Len())
			if rows, _ := got.base.Arrange(users); len(rows) != len(events) {
				t.Errorf("%d rows arranged, want %d", len(rows), len(events))
			}
		})
	}
}
