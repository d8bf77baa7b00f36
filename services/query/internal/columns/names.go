package columns

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"
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
	slots   []uint32 // open addressing by hash: number + 1, or 0
	seed    maphash.Seed
	shown   atomic.Pointer[nameList] // for readers without locks
}

// nameList is the texts by number.
type nameList struct {
	places []uint32 // chunk number in the upper half, offset in the lower
	chunks [][]byte
}

const (
	firstChunk = 1 << 9
	chunkSize  = 1 << 16 // offsets are 16 bits, so all chunks together hold 4 GiB: more than 100 million sessions
)

func newNames() *names {
	n := &names{seed: maphash.MakeSeed(), slots: make([]uint32, 16)}
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
	slot, found := n.find(text)
	if found {
		return n.slots[slot] - 1, false
	}
	number = uint32(len(n.places))
	n.places = append(n.places, n.keep(text))
	n.slots[slot] = number + 1
	if 3*len(n.places) > 2*len(n.slots) {
		n.spread(2 * len(n.slots))
	}
	return number, true
}

// lookup is the text's number if it has one.
func (n *names) lookup(text []byte) (uint32, bool) {
	slot, found := n.find(text)
	if !found {
		return 0, false
	}
	return n.slots[slot] - 1, true
}

// find is the text's slot, or the free one where it belongs.
func (n *names) find(text []byte) (slot int, found bool) {
	mask := len(n.slots) - 1
	for slot = int(maphash.Bytes(n.seed, text)) & mask; ; slot = (slot + 1) & mask {
		number := n.slots[slot]
		if number == 0 {
			return slot, false
		}
		if bytes.Equal(n.at(number-1), text) {
			return slot, true
		}
	}
}

// spread makes room for more texts.
func (n *names) spread(slots int) {
	n.slots = make([]uint32, slots)
	for number := range n.places {
		slot, _ := n.find(n.at(uint32(number)))
		n.slots[slot] = uint32(number) + 1
	}
}

// keep copies a text behind all others, with its length before it.
func (n *names) keep(text []byte) (place uint32) {
	var length [binary.MaxVarintLen32]byte
	prefix := binary.PutUvarint(length[:], uint64(len(text)))
	need := prefix + len(text)
	last := len(n.chunks) - 1
	if last < 0 || n.written+need > len(n.chunks[last]) {
		size := min(chunkSize, firstChunk<<min(len(n.chunks), 16))
		n.chunks = append(n.chunks, make([]byte, max(size, need)))
		n.written = 0
		last++
	}
	place = uint32(last)<<16 | uint32(n.written)
	free := n.chunks[last][n.written:]
	copy(free, length[:prefix])
	copy(free[prefix:], text)
	n.written += need
	if n.written >= chunkSize { // the next offset would not fit into 16 bits
		n.written = len(n.chunks[last])
	}
	return place
}

// at is the text of a number.
func (l *nameList) at(number uint32) []byte { return l.read(l.places[number]) }

func (l *nameList) read(place uint32) []byte {
	b := l.chunks[place>>16][place&(chunkSize-1):]
	length, prefix := binary.Uvarint(b)
	return b[prefix : prefix+int(length)]
}

// compare orders two numbers by their packed names.
func (l *nameList) compare(a, b uint32) int {
	if a == b {
		return 0
	}
	return segment.Compare(l.at(a), l.at(b))
}

func (l *nameList) len() int { return len(l.places) }

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
