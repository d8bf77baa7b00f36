package wireproxy

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"testing"
)

// server answers each message with {n: <how many commands it carried out>}.
type server struct {
	net.Listener
	carried atomic.Int32
}

func serve(t *testing.T) *server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{Listener: l}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				for {
					m, err := readMessage(c)
					if err != nil {
						return
					}
					n := s.carried.Add(1)
					if m.flags()&flagMoreToCome == 0 {
						c.Write(answer(m.id(), number("n", n)))
					}
				}
			}()
		}
	}()
	return s
}

func number(name string, n int32) []byte {
	b := append([]byte{typeInt32}, name+"\x00"...)
	return document(binary.LittleEndian.AppendUint32(b, uint32(n)))
}

// insert is a command as drivers write it: the documents stand before the command itself.
func insert(id uint32, flags uint32) message {
	text := append([]byte{typeString}, "insert\x00\x07\x00\x00\x00events\x00"...)
	docs := append([]byte("documents\x00"), number("_id", 7)...)
	sections := binary.LittleEndian.AppendUint32([]byte{1}, uint32(len(docs)+4))
	sections = append(append(append(sections, docs...), 0), document(text)...)
	m := binary.LittleEndian.AppendUint32(nil, uint32(headerSize+4+len(sections)))
	for _, n := range []uint32{id, 0, opMsg, flags} {
		m = binary.LittleEndian.AppendUint32(m, n)
	}
	return append(m, sections...)
}

func connect(t *testing.T, s *server, r Rule) net.Conn {
	t.Helper()
	p, err := Start(s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	p.Set(r)
	c, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestACommandMeetsWhatTheRuleSays(t *testing.T) {
	n1 := number("n", 1)
	doubt := append([]byte{typeDocument}, "writeConcernError\x00"...)
	for name, test := range map[string]struct {
		deed    Deed
		carried int32
		want    []byte // the answer's document; nil: the connection ends
	}{
		"pass":   {Deed{}, 1, n1},
		"refuse": {Deed{Do: Refuse, Code: 10107}, 0, failure(10107)},
		"deny":   {Deed{Do: Deny, Code: 91}, 1, failure(91)},
		"doubt":  {Deed{Do: Doubt, Code: 64}, 1, document(append(append(bytes.Clone(n1[4:len(n1)-1]), doubt...), failure(64)...))},
		"lose":   {Deed{Do: Lose}, 1, nil},
		"cut":    {Deed{Do: Cut}, 0, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t)
			c := connect(t, s, func(c Command) Deed {
				if c.Name != "insert" || c.Collection != "events" || !bytes.Contains(c.Text, []byte("documents")) {
					t.Errorf("the rule is asked about %q on %q in %q", c.Name, c.Collection, c.Text)
				}
				return test.deed
			})
			c.Write(insert(42, 0))
			reply, err := readMessage(c)
			if test.want == nil {
				if !errors.Is(err, io.EOF) {
					t.Errorf("got %q, %v, want the end of the connection", reply, err)
				}
			} else if want := answer(42, test.want); err != nil || !bytes.Equal(reply, want) {
				t.Errorf("got  %q, %v\nwant %q", reply, err, want)
			}
			if got := s.carried.Load(); got != test.carried {
				t.Errorf("the server carried out %d commands, want %d", got, test.carried)
			}
		})
	}
}

func TestWhoWantsNoAnswerGetsNone(t *testing.T) {
	c := connect(t, serve(t), nil)
	c.Write(insert(1, flagMoreToCome))
	c.Write(insert(2, 0))
	if reply, err := readMessage(c); err != nil || !bytes.Equal(reply, answer(2, number("n", 2))) {
		t.Errorf("got %q, %v, want the answer to the second command", reply, err)
	}
}

func TestAServerThatIsAwayClosesTheConnection(t *testing.T) {
	s := serve(t)
	s.Close()
	if reply, err := readMessage(connect(t, s, nil)); err == nil {
		t.Errorf("got %q from nobody", reply)
	}
}

func FuzzMessages(f *testing.F) {
	f.Add([]byte(insert(1, 0)))
	f.Add([]byte(insert(1, flagChecksum)))
	f.Add([]byte(answer(1, failure(64))))
	f.Add([]byte("\x10\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, wire []byte) {
		m, err := readMessage(bytes.NewReader(wire))
		if err != nil {
			return
		}
		if !bytes.Equal(m, wire[:len(m)]) {
			t.Fatalf("read %q of %q", m, wire)
		}
		m.command()
		if doubt := m.unsure(9, 64); !bytes.Equal(doubt, m) {
			if _, err := readMessage(bytes.NewReader(doubt)); err != nil {
				t.Fatalf("with a doubt added it cannot be read: %v", err)
			}
		}
	})
}
