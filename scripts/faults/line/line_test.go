package line

import (
	"errors"
	"io"
	"net"
	"runtime"
	"testing"
	"time"
)

// echo is a server that says everything again.
func echo(t *testing.T) *Line {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { io.Copy(c, c); c.Close() }()
		}
	}()
	line, err := Start(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(line.Close)
	return line
}

func connect(t *testing.T, l *Line) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", l.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(10 * time.Second))
	return c
}

// says writes a word and expects it to come back.
func says(t *testing.T, c net.Conn, word string) {
	t.Helper()
	if _, err := io.WriteString(c, word); err != nil {
		t.Fatal(err)
	}
	heard := make([]byte, len(word))
	if _, err := io.ReadFull(c, heard); err != nil || string(heard) != word {
		t.Fatalf("got %q, %v, want %q", heard, err, word)
	}
}

func TestAMuteConnectionStaysSo(t *testing.T) {
	l := echo(t)
	c := connect(t, l)
	says(t, c, "before")
	l.Mute()
	io.WriteString(c, "swallowed")
	for l.Swallowed() < int64(len("swallowed")) {
		runtime.Gosched()
	}
	l.Heal()
	says(t, connect(t, l), "on a new one")
	io.WriteString(c, "and this")
	c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if n, err := c.Read(make([]byte, 10)); err == nil {
		t.Errorf("a mute connection said %d bytes", n)
	}
}

func TestWritesIntoADeafLineBlockAndNothingIsLost(t *testing.T) {
	l := echo(t)
	c := connect(t, l)
	says(t, c, "before")
	l.Deafen()
	c.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
	wrote, err := c.Write(make([]byte, 64<<20))
	if late := net.Error(nil); !errors.As(err, &late) || !late.Timeout() {
		t.Fatalf("of 64 MB %d bytes could be written, then: %v", wrote, err)
	}
	l.Heal()
	if got, err := io.CopyN(io.Discard, c, int64(wrote)); err != nil {
		t.Errorf("of %d bytes %d came back: %v", wrote, got, err)
	}
}

func TestACutEndsConnectionsAndHeals(t *testing.T) {
	l := echo(t)
	c := connect(t, l)
	says(t, c, "before")
	l.Mute()
	l.Deafen()
	l.Cut()
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("the connection goes on")
	}
	says(t, connect(t, l), "after")
}
