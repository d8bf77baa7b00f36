package segment

import (
	"bytes"
	"encoding/hex"
	"slices"
	"strings"
)

// Names are texts by number, each in its packed form: a byte that says how,
// and the bytes. Packed forms are equal if the texts are.
type Names struct {
	ends   []uint32
	packed []byte
}

// How a name is packed.
const (
	Plain = 't' // as it is
	UUID  = 'u' // the 16 bytes of a UUID in its usual small letters
	Hex   = 'h' // the bytes that 8 to 64 hexadecimal digits mean, an even number of them and small letters
)

// Len is how many there are.
func (n *Names) Len() int { return len(n.ends) }

// Packed is the packed form of a name. It must not be changed.
func (n *Names) Packed(i int) []byte {
	from := uint32(0)
	if i > 0 {
		from = n.ends[i-1]
	}
	return n.packed[from:n.ends[i]:n.ends[i]]
}

// Text is a name as it is.
func (n *Names) Text(i int) string { return Unpack(n.Packed(i)) }

// Add appends a name.
func (n *Names) Add(text string) {
	n.packed = Pack(n.packed, text)
	n.ends = append(n.ends, uint32(len(n.packed)))
}

// NamesOf are these texts.
func NamesOf(texts ...string) Names {
	var n Names
	for _, text := range texts {
		n.Add(text)
	}
	return n
}

// Pack appends the packed form of a name.
func Pack(dst []byte, text string) []byte {
	switch {
	case len(text) == 36:
		if id, ok := parseUUID(text); ok {
			return append(append(dst, UUID), id[:]...)
		}
	case len(text)%2 == 0 && 8 <= len(text) && len(text) <= 64 && isHex(text):
		dst = append(dst, Hex)
		for i := 0; i < len(text); i += 2 {
			dst = append(dst, nibble(text[i])<<4|nibble(text[i+1]))
		}
		return dst
	}
	return append(append(dst, Plain), text...)
}

// Unpack is the reverse of Pack.
func Unpack(packed []byte) string {
	switch packed[0] {
	case UUID:
		return formatUUID(packed[1:])
	case Hex:
		return hex.EncodeToString(packed[1:])
	}
	return string(packed[1:])
}

func isHex(text string) bool {
	for i := range len(text) {
		if nibble(text[i]) > 15 {
			return false
		}
	}
	return true
}

func nibble(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	}
	return 0xff
}

// parseUUID reads 36 characters such as 0198c5a1-7d3e-7bb2-9c55-0f6a3de1a111;
// capitals are left alone, because a name must come out as it went in.
func parseUUID(s string) (id [16]byte, ok bool) {
	if s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return id, false
	}
	at := 0
	for i := range id {
		if at == 8 || at == 13 || at == 18 || at == 23 {
			at++
		}
		high, low := nibble(s[at]), nibble(s[at+1])
		if high > 15 || low > 15 {
			return id, false
		}
		id[i] = high<<4 | low
		at += 2
	}
	return id, true
}

func formatUUID(id []byte) string {
	var s [36]byte
	hex.Encode(s[0:], id[0:4])
	hex.Encode(s[9:], id[4:6])
	hex.Encode(s[14:], id[6:8])
	hex.Encode(s[19:], id[8:10])
	hex.Encode(s[24:], id[10:16])
	s[8], s[13], s[18], s[23] = '-', '-', '-', '-'
	return string(s[:])
}

// Compare orders two packed names as their texts.
func Compare(a, b []byte) int {
	if a[0] == b[0] { // small letters and digits sort as the bytes that they write
		return bytes.Compare(a, b)
	}
	return strings.Compare(Unpack(a), Unpack(b))
}

// ascending says whether the names [lo, hi) are, without equal ones.
func (n *Names) ascending(lo, hi int) bool {
	for i := lo + 1; i < hi; i++ {
		if Compare(n.Packed(i-1), n.Packed(i)) >= 0 {
			return false
		}
	}
	return true
}

// A list of names is written kind by kind: in which of the ways each is packed
// and, where that has a fixed length, how long it is; then the names of each of
// these forms, which all have their own regularities.
const (
	plainForm = 0
	uuidForm  = 1
	hexForm   = 2 // and up: of 4 bytes, of 5, …
	hexLeast  = 4
	hexMost   = 32
	forms     = hexForm + hexMost - hexLeast + 1
)

func formOf(packed []byte) byte {
	switch packed[0] {
	case UUID:
		return uuidForm
	case Hex:
		return byte(hexForm + len(packed) - 1 - hexLeast)
	}
	return plainForm
}

// lengthOf is how many bytes a name of a fixed form has.
func lengthOf(form int) int {
	if form == uuidForm {
		return 16
	}
	return form - hexForm + hexLeast
}

// names writes a list whose length is known from elsewhere. Of a sorted list
// only what a name adds to the one before it is written.
func (w *writer) names(n *Names, lo, hi int, sorted bool) {
	var by [forms][][]byte
	form := make([]byte, hi-lo)
	for i := range form {
		name := n.Packed(lo + i)
		form[i] = formOf(name)
		by[form[i]] = append(by[form[i]], name[1:])
	}
	w.stream(form)
	w.plain(by[plainForm], sorted)
	for f := uuidForm; f < forms; f++ {
		w.fixed(by[f], lengthOf(f), sorted)
	}
}

func (w *writer) plain(names [][]byte, sorted bool) {
	shared, rest := make([]uint32, len(names)), make([]uint32, len(names))
	var text, before []byte
	for i, name := range names {
		if sorted {
			shared[i] = uint32(sharedPrefix(before, name))
			before = name
		}
		rest[i] = uint32(len(name)) - shared[i]
		text = append(text, name[shared[i]:]...)
	}
	w.holds(len(text)+sum(shared), textPerByte)
	if sorted {
		writeInts(w, shared)
	}
	writeInts(w, rest)
	w.stream(text)
}

func sharedPrefix(a, b []byte) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

// headLength is how many bytes of a sorted name are written as a number: its
// distance from the name before.
const headLength = 7

func (w *writer) fixed(names [][]byte, length int, sorted bool) {
	if len(names) == 0 {
		return
	}
	from := 0
	if sorted {
		from = min(headLength, length)
		distances := make([]uint64, len(names))
		before := uint64(0)
		for i, name := range names {
			head := number(name[:from])
			distances[i], before = head-before, head
		}
		writeInts(w, distances)
	}
	plane := make([]byte, len(names))
	for at := from; at < length; at++ {
		for i, name := range names {
			plane[i] = name[at]
		}
		w.b = append(w.b, w.huffman(plane, false)...)
	}
}

// number reads bytes as one, the first the most significant.
func number(b []byte) (n uint64) {
	for _, c := range b {
		n = n<<8 | uint64(c)
	}
	return n
}

// names reads n names.
func (r *reader) names(n int, sorted bool) Names {
	form := r.stream(n)
	var count [256]int
	for _, f := range form {
		count[f]++
	}
	for f := forms; f < 256; f++ {
		if count[f] > 0 {
			r.fail("no name has the form %d", f)
		}
	}
	p := r.plain(count[plainForm], sorted)
	total := len(p.text) + count[plainForm]
	var by [forms][]byte
	for f := uuidForm; f < forms && r.err == nil; f++ {
		by[f] = r.fixed(count[f], lengthOf(f), sorted)
		total += len(by[f]) + count[f]
	}
	if r.err == nil && total >= 1<<32 {
		r.fail("names of %d bytes", total)
	}
	if r.err != nil {
		return Names{}
	}
	return weaveNames(form, &p, &by, total)
}

// weaveNames puts names of different forms into their common order.
func weaveNames(form []byte, p *plainNames, by *[forms][]byte, total int) Names {
	out := Names{ends: make([]uint32, len(form)), packed: make([]byte, 0, total)}
	for i, f := range form {
		if f == plainForm {
			out.packed = append(append(out.packed, Plain), p.next()...)
		} else {
			kind, length := byte(Hex), lengthOf(int(f))
			if f == uuidForm {
				kind = UUID
			}
			out.packed = append(append(out.packed, kind), by[f][:length]...)
			by[f] = by[f][length:]
		}
		out.ends[i] = uint32(len(out.packed))
	}
	return out
}

// plainNames are plain names one after the other.
type plainNames struct {
	text    []byte
	lengths []uint32
}

func (p *plainNames) next() []byte {
	n := p.lengths[0]
	name := p.text[:n]
	p.text, p.lengths = p.text[n:], p.lengths[1:]
	return name
}

// mostText is the most bytes of a name.
const mostText = 1 << 26

func (r *reader) plain(n int, sorted bool) plainNames {
	var shared []uint32
	if sorted {
		shared = readInts[uint32](r, n, mostText)
	}
	rest := readInts[uint32](r, n, mostText)
	r.believed(uint64(sum(shared)+sum(rest)), textPerByte)
	text := r.stream(sum(rest))
	if !sorted || r.err != nil {
		return plainNames{text, rest}
	}
	return r.unshare(shared, rest, text)
}

func sum(numbers []uint32) (total int) {
	for _, n := range numbers {
		total += int(n)
	}
	return total
}

// unshare puts before each name what it shares with the one before it.
func (r *reader) unshare(shared, rest []uint32, text []byte) plainNames {
	out := make([]byte, 0, sum(shared)+len(text))
	before := 0
	for i, n := range shared {
		if int(n) > len(out)-before {
			r.fail("a name shares %d bytes with one of %d", n, len(out)-before)
			return plainNames{}
		}
		from := len(out)
		out = append(out, out[before:before+int(n)]...)
		out = append(out, text[:rest[i]]...)
		text = text[rest[i]:]
		before = from
		rest[i] += n
	}
	return plainNames{out, rest}
}

func (r *reader) fixed(n, length int, sorted bool) []byte {
	if n == 0 || r.err != nil {
		return nil
	}
	var heads []uint64
	from := 0
	if sorted {
		from = min(headLength, length)
		heads = readInts[uint64](r, n, maxInt)
	}
	out := make([]byte, n*length)
	for at := from; at < length && r.err == nil; at++ {
		for i, c := range r.stream(n) {
			out[i*length+at] = c
		}
	}
	if !sorted || r.err != nil {
		return out
	}
	return r.putHeads(out, heads, length)
}

func (r *reader) putHeads(out []byte, distances []uint64, length int) []byte {
	from := min(headLength, length)
	most := uint64(1)<<(8*from) - 1
	head := uint64(0)
	for i, d := range distances {
		if head += d; head > most {
			r.fail("a name above the last")
			return nil
		}
		for at, h := from-1, head; at >= 0; at, h = at-1, h>>8 {
			out[i*length+at] = byte(h)
		}
	}
	return out
}

func (n *Names) join(other *Names) {
	offset := uint32(len(n.packed))
	n.packed = append(n.packed, other.packed...)
	n.ends = slices.Grow(n.ends, len(other.ends))
	for _, end := range other.ends {
		n.ends = append(n.ends, end+offset)
	}
}
