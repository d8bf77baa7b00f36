package feed

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/maidian/maidian/pkg/event"
)

// Position is how far somebody has read. It is kept as JSON.
type Position struct {
	Floor  event.Time // what was written before is as good as read
	Newest event.Time // WrittenAt of the newest entry read
	known  []byte     // 16 bytes an entry: its hash, its WrittenAt
}

// At is the place before all that is written from a moment on.
func At(t event.Time) Position { return Position{Floor: t, Newest: t} }

func positionOf(floor, newest event.Time, known map[uint64]event.Time) Position {
	p := Position{Floor: floor, Newest: newest, known: make([]byte, 0, entrySize*len(known))}
	for _, entry := range slices.Sorted(maps.Keys(known)) {
		p.known = binary.LittleEndian.AppendUint64(p.known, entry)
		p.known = binary.LittleEndian.AppendUint64(p.known, uint64(known[entry]))
	}
	return p
}

const entrySize = 16

func (p Position) entries() map[uint64]event.Time {
	known := make(map[uint64]event.Time, len(p.known)/entrySize)
	for e := range slices.Chunk(p.known, entrySize) {
		known[binary.LittleEndian.Uint64(e)] = event.Time(binary.LittleEndian.Uint64(e[8:]))
	}
	return known
}

type positionJSON struct {
	Floor  int64  `json:"floor,omitempty"`
	Newest int64  `json:"newest"`
	Known  []byte `json:"known,omitempty"`
}

// MarshalJSON is for keeping a position.
func (p Position) MarshalJSON() ([]byte, error) {
	return json.Marshal(positionJSON{int64(p.Floor), int64(p.Newest), p.known})
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (p *Position) UnmarshalJSON(data []byte) error {
	var j positionJSON
	if err := json.Unmarshal(data, &j); err != nil {
		return fmt.Errorf("position in the journal: %w", err)
	}
	if len(j.Known)%entrySize != 0 {
		return fmt.Errorf("position in the journal: %d bytes of known entries, must be a multiple of %d", len(j.Known), entrySize)
	}
	*p = Position{event.Time(j.Floor), event.Time(j.Newest), j.Known}
	return nil
}
