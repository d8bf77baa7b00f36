// Package segment writes and reads the bytes in which a closed day of a project
// is kept: one part for what every report needs, one for each further column.
//
// Nothing in them depends on who writes them, when, or in which order events
// came, so every replica writes the same. And nothing that is read is trusted:
// a part that is damaged, of another format or of another state of the day is
// an error, and the day can be had again from its raw events.
package segment

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/cespare/xxhash/v2"
)

// Why a part cannot be used. In each case the raw events must be read in its place.
var (
	ErrDamaged = errors.New("segment is damaged")
	ErrForeign = errors.New("segment is of another format or kind")
	ErrStale   = errors.New("segment is of another state of the day")
)

// Day names a day of a project in one state: parts are read together only if
// all of it is equal.
type Day struct {
	Project     string
	Number      int32  // days since 1970-01-01
	Rows        int    // events of the day
	Fingerprint uint64 // of the batches that brought them, see Fingerprint
}

// Names of parts. Any other name is free for what the caller keeps beside them.
const (
	BaseName     = "base"
	BatchesName  = "batches"
	RefsName     = "refs"
	SessionsName = "sessions"
	columnPrefix = "column:"
)

// ColumnName is the name of the part with the field or property of this canonical name.
func ColumnName(column string) string { return columnPrefix + column }

// ColumnOf is the reverse of ColumnName.
func ColumnOf(name string) (column string, ok bool) { return strings.CutPrefix(name, columnPrefix) }

// Part is one sealed part, checked as far as it can be without looking inside.
type Part struct {
	Day  Day
	Name string

	body []byte
}

// A sealed part: magic, format version, length of the head, head, body, and the
// xxHash64 of all that, little-endian. The head is the day, the name and the
// length of the body, so that what follows the end is known not to belong to it.
const (
	magic   = "mdsg"
	version = 1
)

// Seal makes a part of any content.
func Seal(day Day, name string, body []byte) []byte {
	b := make([]byte, 0, len(magic)+len(day.Project)+len(name)+len(body)+64)
	b = append(b, magic...)
	b = append(b, version)
	b = appendText(b, day.Project)
	b = binary.AppendVarint(b, int64(day.Number))
	b = binary.AppendUvarint(b, uint64(day.Rows))
	b = binary.LittleEndian.AppendUint64(b, day.Fingerprint)
	b = appendText(b, name)
	b = binary.AppendUvarint(b, uint64(len(body)))
	b = append(b, body...)
	return binary.LittleEndian.AppendUint64(b, xxhash.Sum64(b))
}

// Open reads the head of a part and holds its bytes against their checksum.
// What stands behind the part is ignored. The data must not be changed while
// the part, or what was read from it, is in use.
func Open(data []byte) (*Part, error) {
	if len(data) <= len(magic) || string(data[:len(magic)]) != magic {
		return nil, fmt.Errorf("%w: it does not begin with %q", ErrForeign, magic)
	}
	if v := data[len(magic)]; v != version {
		return nil, fmt.Errorf("%w: it has format version %d, this program reads version %d", ErrForeign, v, version)
	}
	r := &reader{b: data, at: len(magic) + 1}
	p := &Part{}
	p.Day.Project = r.text()
	p.Day.Number = int32(r.varint())
	p.Day.Rows = int(r.uvarint(maxRows))
	p.Day.Fingerprint = r.fixed64()
	p.Name = r.text()
	p.body = r.bytes(r.length())
	end := r.at
	if sum := r.fixed64(); r.err == nil && sum != xxhash.Sum64(data[:end]) {
		r.fail("its checksum does not match")
	}
	if r.err != nil {
		return nil, r.err
	}
	return p, nil
}

// maxRows is the most rows of a day: numbers of rows take 32 bits.
const maxRows = 1<<32 - 2

// Content is the body of a part that Seal made.
func (p *Part) Content() []byte { return p.body }

// read begins to read the part's body, if it is the part called name.
func (p *Part) read(name string) (*reader, error) {
	if p.Name != name {
		return nil, fmt.Errorf("%w: it is %q, not %q", ErrForeign, p.Name, name)
	}
	return &reader{b: p.body}, nil
}

// beside begins to read a part that belongs to the rows of a base.
func (p *Part) beside(b *Base, name string) (*reader, error) {
	if p.Day != b.Day {
		return nil, fmt.Errorf("%w: %q is of %+v, the base of %+v", ErrStale, p.Name, p.Day, b.Day)
	}
	return p.read(name)
}

// MostPiece is the most bytes of a piece.
const MostPiece = 7 << 20

// Split cuts a sealed part into pieces that fit into a document each; put
// together in their order they can be opened.
func Split(sealed []byte) (pieces [][]byte) {
	for len(sealed) > MostPiece {
		pieces, sealed = append(pieces, sealed[:MostPiece]), sealed[MostPiece:]
	}
	return append(pieces, sealed)
}
