package feed

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/cespare/xxhash/v2"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/store"
)

// Position is how far somebody has read. It is kept as JSON, of which an entry
// that can be met again takes about 8 bytes: 5 MB for the 600,000 that are
// written in DefaultOverlap at 2,000 a second.
type Position struct {
	Floor  event.Time // what was written before is as good as read
	Newest event.Time // WrittenAt of the newest entry read
	known  []byte     // as marks are written
}

// At is the place before all that is written from a moment on.
func At(t event.Time) Position { return Position{Floor: t, Newest: t} }

func (p Position) marks() marks {
	m, _ := readMarks(p.known) // they were read before, or written by append
	return m
}

type positionJSON struct {
	Floor  int64  `json:"floor,omitempty"`
	Newest int64  `json:"newest"`
	Marks  []byte `json:"marks,omitempty"`
	Known  []byte `json:"known,omitempty"` // the form before: 16 bytes an entry, its hash and its WrittenAt
}

// MarshalJSON is for keeping a position.
func (p Position) MarshalJSON() ([]byte, error) {
	return json.Marshal(positionJSON{Floor: int64(p.Floor), Newest: int64(p.Newest), Marks: p.known})
}

// UnmarshalJSON reads what MarshalJSON wrote, now or in an earlier version.
func (p *Position) UnmarshalJSON(data []byte) error {
	var j positionJSON
	err := json.Unmarshal(data, &j)
	if err == nil && j.Known != nil {
		j.Marks, err = marksBefore(j.Known)
	}
	if err == nil {
		_, err = readMarks(j.Marks)
	}
	if err != nil {
		return fmt.Errorf("position in the journal: %w", err)
	}
	*p = Position{event.Time(j.Floor), event.Time(j.Newest), j.Marks}
	return nil
}

// marks are entries that were seen and can be met again: 48 bits of the hash of
// each, by the span of time in which it was written. With a thousand entries
// written each second, one in ten million million new ones has the mark of another.
type marks map[span][]uint64

// span is a number of 16 milliseconds since 1970.
type span int64

const spanMillis = 16

func spanOf(t event.Time) span { return span(t / spanMillis) }

// markSize is how many bytes of a hash are kept.
const markSize = 6

func markOf(entry *store.Batch) uint64 {
	return shortened(xxhash.Sum64String(entry.Project + "/" + entry.ID))
}

func shortened(hash uint64) uint64 { return hash & (1<<(8*markSize) - 1) }

func (m marks) has(entry *store.Batch) bool {
	return slices.Contains(m[spanOf(entry.WrittenAt)], markOf(entry))
}

func (m marks) add(entry *store.Batch) {
	at := spanOf(entry.WrittenAt)
	m[at] = append(m[at], markOf(entry))
}

// forget drops what was written in spans before a moment's.
func (m marks) forget(before event.Time) {
	oldest := spanOf(before)
	maps.DeleteFunc(m, func(at span, _ []uint64) bool { return at < oldest })
}

// marksVersion is the first byte of marks as they are written.
const marksVersion = 2

// append writes the spans in their order: how far each is from the one before,
// how many marks it has, and these.
func (m marks) append(to []byte) []byte {
	if len(m) == 0 {
		return to
	}
	to = append(to, marksVersion)
	before := span(0)
	for _, at := range slices.Sorted(maps.Keys(m)) {
		to = binary.AppendVarint(to, int64(at-before))
		to = binary.AppendUvarint(to, uint64(len(m[at])))
		for _, mark := range m[at] {
			to = append(to, byte(mark), byte(mark>>8), byte(mark>>16), byte(mark>>24), byte(mark>>32), byte(mark>>40))
		}
		before = at
	}
	return to
}

var errMarks = errors.New("its marks are damaged")

func readMarks(from []byte) (marks, error) {
	m := marks{}
	if len(from) == 0 {
		return m, nil
	}
	if from[0] != marksVersion {
		return nil, fmt.Errorf("marks of version %d, this program reads version %d", from[0], marksVersion)
	}
	from = from[1:]
	for at := span(0); len(from) > 0; {
		apart, n := binary.Varint(from)
		if n <= 0 {
			return nil, errMarks
		}
		count, k := binary.Uvarint(from[n:])
		if from = from[n+max(k, 0):]; k <= 0 || count == 0 || count > uint64(len(from)/markSize) {
			return nil, errMarks
		}
		at += span(apart)
		for mark := range slices.Chunk(from[:count*markSize], markSize) {
			m[at] = append(m[at], shortened(binary.LittleEndian.Uint64(append(mark[:markSize:markSize], 0, 0))))
		}
		from = from[count*markSize:]
	}
	return m, nil
}

// marksBefore are marks of the form before.
func marksBefore(known []byte) ([]byte, error) {
	const size = 16
	if len(known)%size != 0 {
		return nil, fmt.Errorf("%d bytes of known entries, must be a multiple of %d", len(known), size)
	}
	m := marks{}
	for e := range slices.Chunk(known, size) {
		at := spanOf(event.Time(binary.LittleEndian.Uint64(e[8:])))
		m[at] = append(m[at], shortened(binary.LittleEndian.Uint64(e)))
	}
	return m.append(nil), nil
}
