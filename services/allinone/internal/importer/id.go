package importer

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/google/uuid"
)

// eventID is the id of a row that has none: a UUIDv8 of the line's number and
// content, so that the same file gives the same ids and is stored once however
// often it is imported. The number stands first, because ids that grow with
// time are what the store takes fastest.
func eventID(r row) uuid.UUID {
	h := sha256.New()
	var n [8]byte
	sized := func(text string) {
		binary.BigEndian.PutUint64(n[:], uint64(len(text)))
		h.Write(n[:])
		h.Write([]byte(text))
	}
	binary.BigEndian.PutUint64(n[:], uint64(r.line))
	h.Write(n[:])
	for _, c := range r.cells {
		sized(c.column)
		sized(c.text)
	}
	var id uuid.UUID
	copy(id[6:], h.Sum(nil))
	binary.BigEndian.PutUint64(n[:], uint64(r.line))
	copy(id[:6], n[2:])
	id[6] = id[6]&0x0f | 0x80 // version 8
	id[8] = id[8]&0x3f | 0x80 // variant of RFC 9562
	return id
}
