package segment

import (
	"errors"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/maidian/maidian/pkg/event"
)

func TestEveryBitCounts(t *testing.T) {
	parts := someDay(2, 5).seal(t)
	for name, sealed := range someDay(3, 200).seal(t) {
		parts["larger "+name] = sealed
	}
	for name, sealed := range parts {
		for i := range sealed {
			for bit := range 8 {
				sealed[i] ^= 1 << bit
				if _, err := Open(sealed); !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrForeign) {
					t.Fatalf("%s with bit %d of byte %d of %d changed: got %v, want ErrDamaged or ErrForeign", name, bit, i, len(sealed), err)
				}
				sealed[i] ^= 1 << bit
			}
			if _, err := Open(sealed[:i]); err == nil {
				t.Fatalf("%s cut to %d of %d bytes could be opened", name, i, len(sealed))
			}
		}
	}
}

func TestPartsOfDifferentDaysAreNotMixed(t *testing.T) {
	day, other := someDay(3, 200), someDay(3, 200)
	other.base.Day.Project = "other"
	open := func(sealed []byte) *Part {
		t.Helper()
		p, err := Open(sealed)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	for name, sealed := range other.seal(t) {
		if err := decodeBeside(day.base, day.batches, open(sealed)); name != BaseName && name != BatchesName && !errors.Is(err, ErrStale) {
			t.Errorf("%s beside the base of another day: got %v, want ErrStale", name, err)
		}
	}
	for name, sealed := range day.seal(t) {
		p := open(sealed)
		if p.Name = "x"; !errors.Is(decodeAs(name, p, day), ErrForeign) {
			t.Errorf("a part called x was taken for %s", name)
		}
	}
	foreign := day.seal(t)[BaseName]
	foreign[len(magic)]++
	if _, err := Open(foreign); !errors.Is(err, ErrForeign) || !strings.Contains(err.Error(), "version 2") {
		t.Errorf("a later format: got %v, want ErrForeign and the version", err)
	}
}

func TestPiecesMakeThePart(t *testing.T) {
	sealed := Seal(Day{Project: "demo", Rows: 3}, "manifest", make([]byte, 2*MostPiece+5))
	pieces := Split(sealed)
	if len(pieces) != 3 {
		t.Fatalf("got %d pieces of %d bytes, want 3", len(pieces), len(sealed))
	}
	var joined []byte
	for _, piece := range append(pieces, []byte("a piece of a longer part that was there before")) {
		joined = append(joined, piece...)
	}
	if p, err := Open(joined); err != nil || len(p.Content()) != 2*MostPiece+5 || p.Name != "manifest" {
		t.Errorf("got %v, want the part", err)
	}
	if _, err := Open(append(joined[MostPiece:], joined[:MostPiece]...)); !errors.Is(err, ErrForeign) {
		t.Errorf("pieces in another order: got %v, want ErrForeign", err)
	}
	if _, err := Open(joined[:len(sealed)-MostPiece]); !errors.Is(err, ErrDamaged) {
		t.Errorf("a missing piece: got %v, want ErrDamaged", err)
	}
}

// TestWhatIsWrongIsNotSealed changes one thing about a good day at a time.
func TestWhatIsWrongIsNotSealed(t *testing.T) {
	for name, spoil := range map[string]func(w *whole){
		"a row too few":            func(w *whole) { w.base.Times = w.base.Times[1:] },
		"a time after the day":     func(w *whole) { w.base.Times[len(w.base.Times)-1] = dayLength },
		"an unknown identity":      func(w *whole) { w.base.Identity[len(w.base.Identity)-1] = uint32(w.base.Identities.Len()) },
		"an identity without rows": func(w *whole) { w.base.Identities.Add("\xff\xff") },
		"names out of order":       func(w *whole) { w.base.Identities.Add("a") },
		"rows out of order":        func(w *whole) { slices.Reverse(w.base.Identity) },
		"types out of order":       func(w *whole) { w.base.Types[0] = "\xff" },
		"types that end too early": func(w *whole) { w.base.Ends[len(w.base.Ends)-1]-- },
		"a type without rows": func(w *whole) {
			w.base.Types, w.base.Ends = append(w.base.Types, "\xff\xff"), append(w.base.Ends, len(w.base.Times))
		},
		"more names than identities": func(w *whole) { w.base.Anonymous = w.base.Identities.Len() + 1 },
		"a meeting with nobody":      func(w *whole) { w.base.Meetings = []Meeting{{User: uint32(w.base.Anonymous)}} },
		"meetings out of order":      func(w *whole) { w.base.Meetings = []Meeting{{Anonymous: "b"}, {Anonymous: "a"}} },
		"another fingerprint":        func(w *whole) { w.base.Day.Fingerprint++ },
		"a batch with too many rows": func(w *whole) { w.batches[0].Rows++ },
		"a row of an unknown batch":  func(w *whole) { w.refs.Batches[0] = uint32(len(w.batches)) },
		"a row of another batch":     func(w *whole) { w.refs.Batches[0] = (w.refs.Batches[0] + 1) % uint32(len(w.batches)) },
		"refs of fewer rows":         func(w *whole) { w.refs.Positions = w.refs.Positions[1:] },
		"an unknown session":         func(w *whole) { w.sessions.Of[0] = uint32(w.sessions.IDs.Len()) },
		"sessions of fewer rows":     func(w *whole) { w.sessions.Of = w.sessions.Of[1:] },
		"an unknown value":           func(w *whole) { w.columns[0].Codes[0] = uint32(len(w.columns[0].Values)) },
		"values of fewer rows":       func(w *whole) { w.columns[0].Codes = w.columns[0].Codes[1:] },
		"a value twice":              func(w *whole) { w.columns[0].Values = append(w.columns[0].Values, event.Value{}) },
		"no absent value":            func(w *whole) { w.columns[0].Values[0] = event.TextValue("nothing") },
		"a number that is not its digits": func(w *whole) {
			w.columns[0].Values = append(w.columns[0].Values, event.Value{Kind: event.Numeric, Number: 2, Text: "3"})
		},
	} {
		w := someDay(3, 200)
		spoil(w)
		if err := w.sealed(); err == nil {
			t.Errorf("%s: it was sealed", name)
		}
	}
	if err := someDay(3, 200).sealed(); err != nil {
		t.Errorf("a good day: %v", err)
	}
}

// sealed is the first error of sealing the day's parts.
func (w *whole) sealed() error {
	_, base := w.base.Seal()
	_, batches := SealBatches(w.base.Day, w.batches)
	if base != nil {
		return base // what stands beside a wrong base is not looked at
	}
	_, refs := w.base.SealRefs(w.batches, w.refs)
	_, sessions := w.base.SealSessions(w.sessions)
	_, column := w.base.SealColumn("c", w.columns[0])
	return errors.Join(batches, refs, sessions, column)
}

// decodeAs reads a part as the one that name says.
func decodeAs(name string, p *Part, beside *whole) (err error) {
	switch name {
	case BaseName:
		_, err = p.Base()
	case BatchesName:
		_, err = p.Batches()
	case RefsName:
		_, err = p.Refs(beside.base, beside.batches)
	case SessionsName:
		_, err = p.Sessions(beside.base)
	default:
		_, err = p.Column(beside.base)
	}
	return err
}

func decodeBeside(b *Base, batches []Batch, p *Part) error {
	return decodeAs(p.Name, p, &whole{base: b, batches: batches})
}

// FuzzOpen reads anything.
func FuzzOpen(f *testing.F) {
	for _, sealed := range someDay(3, 50).seal(f) {
		f.Add(sealed)
	}
	f.Fuzz(func(_ *testing.T, data []byte) {
		if p, err := Open(data); err == nil {
			_ = decodeAs(p.Name, p, someDay(3, 50))
		}
	})
}

// FuzzParts reads bodies whose checksum is right: whatever they hold, what is
// read is a day in order or an error, and takes memory in proportion.
func FuzzParts(f *testing.F) {
	beside := someDay(3, 200)
	names := []string{BaseName, BatchesName, RefsName, SessionsName, ColumnName("c0"), ColumnName("c1"), ColumnName("c2"), ColumnName("c3")}
	for _, w := range []*whole{beside, someDay(1, 1), someDay(7, 3000), seededDays(3000, 60, 1)[0]} {
		parts := w.seal(f)
		for i, name := range names {
			p, err := Open(parts[name])
			if err != nil { // a day without rows has no columns
				continue
			}
			f.Add(byte(i), uint32(w.base.Day.Rows), p.body)
		}
	}
	f.Fuzz(func(t *testing.T, part byte, rows uint32, body []byte) {
		name := names[int(part)%len(names)]
		day := beside.base.Day
		if name == BaseName || name == BatchesName {
			day.Rows = int(rows)
		}
		p, err := Open(Seal(day, name, body))
		if err != nil {
			t.Fatalf("what was just sealed: %v", err)
		}
		before := allocated()
		if name == BaseName {
			var b *Base
			if b, err = p.Base(); err == nil {
				err = b.check()
			}
			if err != nil && !errors.Is(err, ErrDamaged) {
				t.Fatalf("a base that is none: %v", err)
			}
		} else if err = decodeAs(name, p, beside); err != nil && !errors.Is(err, ErrDamaged) {
			t.Fatalf("%s: got %v, want ErrDamaged", name, err)
		}
		if took := allocated() - before; took > 1<<24+uint64(len(body))*4*textPerByte {
			t.Fatalf("%s: %d bytes made it allocate %d", name, len(body), took)
		}
	})
}

func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}
