package segment

import (
	"encoding/binary"
	"fmt"

	"github.com/klauspost/compress/huff0"
	"github.com/klauspost/compress/zstd"
)

// writer appends the body of a part.
type writer struct {
	b     []byte
	least int // bytes that the body must have for its reader to believe it

	huff huff0.Scratch
	zstd *zstd.Encoder
}

func appendText(b []byte, text string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(text))), text...)
}

func (w *writer) uvarint(v uint64) { w.b = binary.AppendUvarint(w.b, v) }

// The first byte of a stream of bytes says how it is written. How many bytes it
// has is known from elsewhere.
const (
	rawStream      = iota // as they are
	constantStream        // one byte, again and again
	huffmanStream         // blocks, each with a table of its own
	zstdStream
)

// stream writes bytes in the shortest way.
func (w *writer) stream(b []byte) {
	w.b = append(w.b, w.shortest(b, true)...)
}

// huffBlock is how many bytes share a Huffman table.
const huffBlock = 1 << 17

// shortest is the stream of b in the shortest way; whether that might be zstd is
// up to the caller, because it takes long to find out.
func (w *writer) shortest(b []byte, orZstd bool) []byte {
	if len(b) == 0 {
		return nil
	}
	if constant(b) {
		return []byte{constantStream, b[0]}
	}
	best := append(make([]byte, 0, len(b)+1), rawStream)
	best = append(best, b...)
	if blocks := w.huffBlocks(b); len(blocks) < len(best) {
		best = blocks
	}
	if orZstd && len(b) >= leastZstd {
		// It decodes at a third of the speed, so it has to be worth it.
		if frame := w.zstdFrame(b); len(frame)+len(frame)/32 < len(best) {
			best = frame
		}
	}
	return best
}

func constant(b []byte) bool {
	for _, c := range b {
		if c != b[0] {
			return false
		}
	}
	return true
}

func (w *writer) huffBlocks(b []byte) []byte {
	out := []byte{huffmanStream}
	w.huff.Reuse = huff0.ReusePolicyNone
	for len(b) > 0 {
		block := b[:min(len(b), huffBlock)]
		b = b[len(block):]
		packed, _, err := huff0.Compress4X(block, &w.huff)
		switch {
		case err == nil:
			out = binary.AppendUvarint(out, uint64(len(packed)))
			out = append(out, packed...)
		case constant(block):
			out = append(out, 1, block[0])
		default:
			out = append(out, 0)
			out = append(out, block...)
		}
	}
	return out
}

// leastZstd is how many bytes are worth to start a decoder for.
const leastZstd = 256

// zstdWindow bounds what a frame can make its reader allocate besides its content.
const zstdWindow = 1 << 20

func (w *writer) zstdFrame(b []byte) []byte {
	if w.zstd == nil {
		// It does not fail: the options are constants and right.
		w.zstd, _ = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false),
			zstd.WithEncoderLevel(zstd.SpeedBetterCompression), zstd.WithWindowSize(zstdWindow))
	}
	frame := w.zstd.EncodeAll(b, nil)
	return append(binary.AppendUvarint([]byte{zstdStream}, uint64(len(frame))), frame...)
}

// reader takes the body of a part apart. After the first error it reads only
// zeros and nothing, so that it has to be asked for the error just once.
type reader struct {
	b   []byte
	at  int
	err error

	unzstd *zstd.Decoder
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s", ErrDamaged, fmt.Sprintf(format, args...))
	}
}

func (r *reader) uvarint(most uint64) uint64 {
	if r.err != nil {
		return 0
	}
	v, n := binary.Uvarint(r.b[r.at:])
	if n <= 0 || v > most {
		r.fail("no number up to %d at byte %d", most, r.at)
		return 0
	}
	r.at += n
	return v
}

func (r *reader) varint() int64 {
	if r.err != nil {
		return 0
	}
	v, n := binary.Varint(r.b[r.at:])
	if n <= 0 {
		r.fail("no number at byte %d", r.at)
		return 0
	}
	r.at += n
	return v
}

func (r *reader) fixed64() uint64 {
	if b := r.bytes(8); r.err == nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// bytes are the next n bytes themselves, not copied.
func (r *reader) bytes(n int) []byte {
	if r.err == nil && (n < 0 || n > len(r.b)-r.at) {
		r.fail("it ends at byte %d, %d more are missing", len(r.b), n-(len(r.b)-r.at))
	}
	if r.err != nil {
		return nil
	}
	r.at += n
	return r.b[r.at-n : r.at : r.at]
}

func (r *reader) byte() byte {
	if b := r.bytes(1); r.err == nil {
		return b[0]
	}
	return 0
}

// length is a number of bytes that follow.
func (r *reader) length() int { return int(r.uvarint(uint64(len(r.b)))) }

func (r *reader) text() string { return string(r.bytes(r.length())) }

// end must be called when all is read; it is the reader's error.
func (r *reader) end() error {
	if r.unzstd != nil {
		r.unzstd.Close()
	}
	for r.err == nil && r.at < len(r.b) {
		if r.byte() != 0 { // see body
			r.fail("something stands behind its end")
		}
	}
	return r.err
}

// stream reads n bytes. They may be those of the part itself and must not be changed.
func (r *reader) stream(n int) []byte {
	if n == 0 || r.err != nil {
		return nil
	}
	switch mode := r.byte(); mode {
	case rawStream:
		return r.bytes(n)
	case constantStream:
		return fill(make([]byte, n), r.byte())
	case huffmanStream:
		return r.huffBlocks(n)
	case zstdStream:
		return r.zstdFrame(n)
	default:
		r.fail("no stream of bytes is written in way %d", mode)
		return nil
	}
}

func fill(b []byte, c byte) []byte {
	if c != 0 {
		for i := range b {
			b[i] = c
		}
	}
	return b
}

func (r *reader) huffBlocks(n int) []byte {
	out := make([]byte, n)
	scratch := &huff0.Scratch{MaxDecodedSize: huffBlock}
	for rest := out; len(rest) > 0 && r.err == nil; {
		block := rest[:min(len(rest), huffBlock)]
		rest = rest[len(block):]
		switch packed := r.length(); packed {
		case 0:
			copy(block, r.bytes(len(block)))
		case 1:
			fill(block, r.byte())
		default:
			r.huffBlock(scratch, block, r.bytes(packed))
		}
	}
	return out
}

func (r *reader) huffBlock(scratch *huff0.Scratch, block, packed []byte) {
	if r.err != nil {
		return
	}
	scratch, data, err := huff0.ReadTable(packed, scratch)
	if err == nil {
		var got []byte
		if got, err = scratch.Decoder().Decompress4X(block[:0:len(block)], data); err == nil && len(got) != len(block) {
			err = fmt.Errorf("%d bytes in place of %d", len(got), len(block))
		}
	}
	if err != nil {
		r.fail("a Huffman block before byte %d: %v", r.at, err)
	}
}

func (r *reader) zstdFrame(n int) []byte {
	frame := r.bytes(r.length())
	if r.err != nil {
		return nil
	}
	if r.unzstd == nil {
		// It does not fail: the options are constants and right.
		r.unzstd, _ = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(zstdWindow), zstd.WithDecodeAllCapLimit(true))
	}
	out, err := r.unzstd.DecodeAll(frame, make([]byte, 0, n))
	if err == nil && len(out) != n {
		err = fmt.Errorf("%d bytes in place of %d", len(out), n)
	}
	if err != nil {
		r.fail("a zstd frame before byte %d: %v", r.at, err)
		return nil
	}
	return out
}

// A part can make its reader allocate no more than in proportion to its length:
// it is believed to hold so many rows, and so many bytes of text, for each of
// its bytes and no more. One that does hold more is padded.
const (
	rowsPerByte = 8
	textPerByte = 1024
)

func (w *writer) holds(n, perByte int) { w.least = max(w.least, n/perByte) }

// body is what was written, long enough to be believed.
func (w *writer) body() []byte {
	return append(w.b, make([]byte, max(0, w.least-len(w.b)))...)
}

// believed is n if the part can hold so many.
func (r *reader) believed(n uint64, perByte int) int {
	if n/uint64(perByte) > uint64(len(r.b)) {
		r.fail("%d bytes are said to hold %d", len(r.b), n)
	}
	if r.err != nil {
		return 0
	}
	return int(n)
}
