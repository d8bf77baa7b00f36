package segment

import (
	"bytes"
	"encoding/binary"
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
	Plain = 't'       // as it is
	Hex   = 0x80      // and how many bytes follow: what 8 to 64 hexadecimal digits mean, an even number of them and small letters
	UUID  = 0x80 + 64 // the 16 bytes of a UUID in its usual small letters
)

// LengthOf is how long the packed form is that begins with this byte, where
// that byte tells: of plain names it does not.
func LengthOf(first byte) (length int, told bool) {
	switch {
	case first == UUID:
		return 1 + 16, true
	case Hex+hexLeast <= first && first <= Hex+hexMost:
		return 1 + int(first-Hex), true
	}
	return 0, false
}

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
		dst = append(dst, Hex+byte(len(text)/2))
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
	case Plain:
		return string(packed[1:])
	}
	return hex.EncodeToString(packed[1:])
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
	case Plain:
		return plainForm
	}
	return hexForm + packed[0] - Hex - hexLeast
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
		w.b = append(w.b, w.shortest(plane, false)...)
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
	lengths, text := r.plain(count[plainForm], sorted)
	total := n + len(text)
	for f := range count {
		if f >= forms && count[f] > 0 {
			r.fail("no name has the form %d", f)
		}
		if f != plainForm {
			total += count[f] * lengthOf(f)
		}
	}
	if total >= 1<<32 {
		r.fail("names of %d bytes", total)
	}
	if r.err != nil {
		return Names{}
	}
	into := laying{form, Names{make([]uint32, n), make([]byte, total)}}
	into.measure(lengths)
	into.plain(text)
	for f := uuidForm; f < forms; f++ {
		if count[f] > 0 {
			r.fixed(&into, f, count[f], sorted)
		}
	}
	return into.Names
}

// laying puts names of different forms into their common order.
type laying struct {
	form []byte
	Names
}

// measure finds where each name ends, and says of each how it is packed.
func (l *laying) measure(lengths []uint32) {
	var fixed [forms]uint32
	for f := uuidForm; f < forms; f++ {
		fixed[f] = uint32(lengthOf(f))
	}
	at := uint32(0)
	for i, f := range l.form {
		kind, length := Hex+byte(fixed[f]), fixed[f]
		switch f {
		case plainForm:
			kind, length = Plain, lengths[0]
			lengths = lengths[1:]
		case uuidForm:
			kind = UUID
		}
		l.packed[at] = kind
		at += 1 + length
		l.ends[i] = at
	}
}

func (l *laying) plain(text []byte) {
	for i, f := range l.form {
		if f == plainForm {
			text = text[copy(l.Packed(i)[1:], text):]
		}
	}
}

// mostText is the most bytes of a name.
const mostText = 1 << 26

// plain reads n plain names: their lengths, and all of them behind each other.
func (r *reader) plain(n int, sorted bool) (lengths []uint32, text []byte) {
	var shared []uint32
	if sorted {
		shared = readInts[uint32](r, n, mostText)
	}
	rest := readInts[uint32](r, n, mostText)
	r.believed(uint64(sum(shared)+sum(rest)), textPerByte)
	text = r.stream(sum(rest))
	if !sorted || r.err != nil {
		return rest, text
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
func (r *reader) unshare(shared, lengths []uint32, rest []byte) (_ []uint32, text []byte) {
	text = make([]byte, 0, sum(shared)+len(rest))
	before := 0
	for i, n := range shared {
		if int(n) > len(text)-before {
			r.fail("a name shares %d bytes with one of %d", n, len(text)-before)
			return nil, nil
		}
		from := len(text)
		text = append(text, text[before:before+int(n)]...)
		text = append(text, rest[:lengths[i]]...)
		rest = rest[lengths[i]:]
		before = from
		lengths[i] += n
	}
	return lengths, text
}

// fixed reads the n names of one fixed form.
func (r *reader) fixed(into *laying, form, n int, sorted bool) {
	length, from := lengthOf(form), 0
	if sorted {
		from = min(headLength, length)
		r.heads(into, form, from, readInts[uint64](r, n, 1<<(8*from)-1))
	}
	for at := from; at < length; at++ {
		plane := r.stream(n)
		if r.err != nil {
			return
		}
		for i, f := range into.form {
			if int(f) == form {
				into.Packed(i)[1+at] = plane[0]
				plane = plane[1:]
			}
		}
	}
}

// heads adds up what each name is further than the one before.
func (r *reader) heads(into *laying, form, length int, distances []uint64) {
	if r.err != nil {
		return
	}
	head, over := uint64(0), uint64(0)
	for i, f := range into.form {
		if int(f) != form {
			continue
		}
		head += distances[0]
		distances = distances[1:]
		over |= head >> (8 * length)
		var b [8]byte
		binary.BigEndian.PutUint64(b[:], head)
		copy(into.Packed(i)[1:], b[8-length:])
	}
	if over != 0 {
		r.fail("a name behind the last there can be")
	}
}

func (n *Names) join(other *Names) {
	offset := uint32(len(n.packed))
	n.packed = append(n.packed, other.packed...)
	n.ends = slices.Grow(n.ends, len(other.ends))
	for _, end := range other.ends {
		n.ends = append(n.ends, end+offset)
	}
}
