package columns

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"
	"math/bits"
	"sync/atomic"

	"github.com/maidian/maidian/services/query/internal/segment"
)

// names gives texts dense numbers in the order of first sight, and keeps them
// packed: millions of session ids as strings in a map would cost more than all
// columns together. It only grows, so that a nameList taken at any time can be
// read without locks while it does.
type names struct {
	nameList
	written int      // bytes used of the last chunk
	slots   []uint32 // open addressing by hash: 0, or number + 1 and above it what there is room for of the hash
	width   int      // bits of a number + 1
	seed    maphash.Seed
	shown   atomic.Pointer[nameList] // for readers without locks
}

// nameList is the texts by number, one after the other: each behind its length
// + 1, unless its first byte tells its length. A 0 instead, or no room for it,
// says that the next chunk goes on.
type nameList struct {
	count  int
	places []uint32 // of every eighth: chunk number in the upper half, offset in the lower
	chunks [][]byte
}

const (
	together   = 8 // texts for which one place is kept: the others are found from there
	firstChunk = 1 << 9
	chunkSize  = 1 << 16 // offsets are 16 bits, so all chunks together hold 4 GiB: more than 100 million sessions
)

func newNames() *names {
	n := &names{seed: maphash.MakeSeed()}
	n.spread(16)
	n.show()
	return n
}

// show lets readers see all that is there now.
func (n *names) show() {
	if l := n.shown.Load(); l == nil || l.len() != n.len() {
		list := n.nameList
		n.shown.Store(&list)
	}
}

// number is the text's number, given now when it is new.
func (n *names) number(text []byte) (number uint32, fresh bool) {
	slot, mark, found := n.find(text)
	if found {
		return n.in(slot), false
	}
	number = uint32(n.count)
	place := n.keep(text)
	if number%together == 0 {
		n.places = append(n.places, place)
	}
	n.count++
	n.slots[slot] = mark | (number + 1)
	if 8*n.count > 7*len(n.slots) { // the marks keep most texts from being compared that only stand in the way
		n.spread(len(n.slots) + len(n.slots)/3)
	}
	return number, true
}

// lookup is the text's number if it has one.
func (n *names) lookup(text []byte) (uint32, bool) {
	slot, _, found := n.find(text)
	if !found {
		return 0, false
	}
	return n.in(slot), true
}

// in is the number in a slot.
func (n *names) in(slot int) uint32 { return n.slots[slot]&(1<<n.width-1) - 1 }

// find is the text's slot, or the free one where it belongs, and what is above
// its number there.
func (n *names) find(text []byte) (slot int, mark uint32, found bool) {
	hash := maphash.Bytes(n.seed, text)
	mark = uint32(hash << n.width)
	home, _ := bits.Mul64(hash, uint64(len(n.slots)))
	for slot = int(home); ; slot++ {
		if slot == len(n.slots) {
			slot = 0
		}
		entry := n.slots[slot]
		if entry == 0 {
			return slot, mark, false
		}
		if (entry^mark)>>n.width == 0 && bytes.Equal(n.at(n.in(slot)), text) {
			return slot, mark, true
		}
	}
}

// spread makes room for more texts.
func (n *names) spread(slots int) {
	n.slots, n.width = make([]uint32, slots), bits.Len(uint(slots))
	number := uint32(0)
	n.each(func(text []byte) {
		slot, mark, _ := n.find(text)
		number++
		n.slots[slot] = mark | number
	})
}

// keep copies a text behind all others.
func (n *names) keep(text []byte) (place uint32) {
	prefix := prefixOf(text)
	need := len(prefix) + len(text)
	last := len(n.chunks) - 1
	if last < 0 || n.written+need > len(n.chunks[last]) {
		size := min(chunkSize, firstChunk<<min(len(n.chunks), 16))
		n.chunks = append(n.chunks, make([]byte, max(size, need)))
		n.written = 0
		last++
	}
	place = uint32(last)<<16 | uint32(n.written)
	free := n.chunks[last][n.written:]
	copy(free[copy(free, prefix):], text)
	n.written += need
	return place
}

// A prefix is the length + 1 where that is less than wide; else wide, and the
// length as a varint. So no prefix is like the first byte of a text that has none.
const wide = 0x7f

// prefixOf is what stands before a text: nothing, if its first byte tells its length.
func prefixOf(text []byte) []byte {
	if len(text) > 0 {
		if length, told := segment.LengthOf(text[0]); told && length == len(text) {
			return nil
		}
	}
	if len(text)+1 < wide {
		return []byte{byte(len(text) + 1)}
	}
	return binary.AppendUvarint([]byte{wide}, uint64(len(text)))
}

// at is the text of a number.
func (l *nameList) at(number uint32) []byte {
	c := l.from(l.places[number/together])
	for range number % together {
		c.next()
	}
	return c.next()
}

// read is the text in a place.
func (l *nameList) read(place uint32) []byte {
	c := l.from(place)
	return c.next()
}

// each yields all texts in the order of their numbers.
func (l *nameList) each(yield func(text []byte)) {
	c := cursor{chunks: l.chunks}
	for range l.count {
		yield(c.next())
	}
}

func (l *nameList) from(place uint32) cursor {
	return cursor{l.chunks[place>>16:], int(place & (chunkSize - 1))}
}

// cursor goes through texts.
type cursor struct {
	chunks [][]byte // the one in which it stands, and all behind it
	at     int
}

func (c *cursor) next() []byte {
	if c.at == len(c.chunks[0]) || c.chunks[0][c.at] == 0 {
		c.chunks, c.at = c.chunks[1:], 0
	}
	b := c.chunks[0][c.at:]
	prefix, length := 1, int(b[0])-1
	if told, ok := segment.LengthOf(b[0]); ok {
		prefix, length = 0, told
	} else if b[0] == wide {
		long, bytes := binary.Uvarint(b[1:])
		prefix, length = 1+bytes, int(long)
	}
	c.at += prefix + length
	return b[prefix : prefix+length]
}

// compare orders two numbers by their packed names.
func (l *nameList) compare(a, b uint32) int {
	if a == b {
		return 0
	}
	return segment.Compare(l.at(a), l.at(b))
}

func (l *nameList) len() int { return l.count }

// bytes is what the names occupy.
func (n *names) bytes() int {
	total := 4*cap(n.places) + 4*len(n.slots)
	for _, chunk := range n.chunks {
		total += len(chunk)
	}
	return total
}

// Names are packed as in segments; a byte of our own before that tells what else
// a text can be.
const (
	anonymous = 'a' // before a packed name: an anonymous id rather than a user's own
	derived   = 'd' // a session without id: its user's number and its start
)

func pack(dst []byte, name string) []byte { return segment.Pack(dst, name) }

func unpack(b []byte) string {
	if b[0] == anonymous {
		b = b[1:]
	}
	return segment.Unpack(b)
}
