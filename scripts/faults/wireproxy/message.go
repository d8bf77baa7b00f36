package wireproxy

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
)

// Parts of MongoDB's wire protocol: a header of four numbers, and, in the one
// kind of message that matters here, flags and sections of BSON.
const (
	headerSize  = 16
	opMsg       = 2013
	mostMessage = 48_000_000 // what servers take

	flagChecksum   = 1 << 0
	flagMoreToCome = 1 << 1
)

// message is one whole message as it stood on the wire.
type message []byte

func readMessage(r io.Reader) (message, error) {
	head := make([]byte, headerSize)
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, err
	}
	size := binary.LittleEndian.Uint32(head)
	if size < headerSize || size > mostMessage {
		return nil, fmt.Errorf("a message of %d bytes: must be %d to %d", size, headerSize, mostMessage)
	}
	var b bytes.Buffer // grows with what arrives, not with what is announced
	b.Write(head)
	if _, err := io.CopyN(&b, r, int64(size)-headerSize); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func (m message) id() uint32 { return binary.LittleEndian.Uint32(m[4:]) }

// flags are 0 of whatever is no OP_MSG.
func (m message) flags() uint32 {
	if !m.plain() {
		return 0
	}
	return binary.LittleEndian.Uint32(m[headerSize:])
}

func (m message) plain() bool {
	return len(m) > headerSize+4 && binary.LittleEndian.Uint32(m[12:]) == opMsg
}

// sections are an OP_MSG's, the checksum left out.
func (m message) sections() []byte {
	if !m.plain() {
		return nil
	}
	rest := m[headerSize+4:]
	if m.flags()&flagChecksum != 0 && len(rest) >= 4 {
		rest = rest[:len(rest)-4]
	}
	return rest
}

// body is where the command or the answer itself stands in the sections.
func (m message) body() (from, to int, ok bool) {
	rest := m.sections()
	for at := 0; len(rest)-at >= 5; {
		size := int(int32(binary.LittleEndian.Uint32(rest[at+1:])))
		end := at + 1 + size
		if size < 5 || end > len(rest) {
			return 0, 0, false
		}
		if rest[at] == 0 {
			return at + 1, end, true
		}
		at = end
	}
	return 0, 0, false
}

// command is what the message asks for, nothing when it cannot be told.
func (m message) command() (c Command) {
	from, to, ok := m.body()
	if !ok {
		return c
	}
	c.Text = m.sections()
	document := c.Text[from:to]
	kind, rest := document[4], document[5:]
	name, rest, ok := bytes.Cut(rest, []byte{0})
	if !ok {
		return Command{}
	}
	c.Name = string(name)
	if kind == typeString && len(rest) > 4 {
		on, _, _ := bytes.Cut(rest[4:], []byte{0})
		c.Collection = string(on)
	}
	return c
}

const (
	typeDouble   = 0x01
	typeString   = 0x02
	typeDocument = 0x03
	typeInt32    = 0x10
)

// failure is the document that says what went wrong.
func failure(code int32) []byte {
	var b []byte
	text := func(name, value string) {
		b = append(append(b, typeString), name+"\x00"...)
		b = binary.LittleEndian.AppendUint32(b, uint32(len(value)+1))
		b = append(b, value+"\x00"...)
	}
	b = append(append(b, typeDouble), "ok\x00"...)
	b = binary.LittleEndian.AppendUint64(b, 0)
	text("errmsg", fmt.Sprintf("error %d, by the test's wish", code))
	b = append(append(b, typeInt32), "code\x00"...)
	b = binary.LittleEndian.AppendUint32(b, uint32(code))
	text("codeName", fmt.Sprintf("Code%d", code))
	return document(b)
}

// document puts the length and the end around elements.
func document(elements []byte) []byte {
	b := binary.LittleEndian.AppendUint32(nil, uint32(len(elements)+5))
	return append(append(b, elements...), 0)
}

// answer is a message that answers the request with one document.
func answer(request uint32, doc []byte) message {
	b := binary.LittleEndian.AppendUint32(nil, uint32(headerSize+5+len(doc)))
	for _, n := range []uint32{0, request, opMsg, 0} { // id, what it answers, kind, flags
		b = binary.LittleEndian.AppendUint32(b, n)
	}
	return append(append(b, 0), doc...)
}

// unsure is the server's answer with the doubt added whether the write lasts.
func (m message) unsure(request uint32, code int32) message {
	from, to, ok := m.body()
	if !ok {
		return m
	}
	elements := bytes.Clone(m.sections()[from+4 : to-1])
	elements = append(append(elements, typeDocument), "writeConcernError\x00"...)
	return answer(request, document(append(elements, failure(code)...)))
}
