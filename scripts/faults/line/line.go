// Package line stands between clients and a server and can do to their
// connections what networks do: stop taking what clients write, swallow what
// the server answers, cut.
package line

import (
	"net"
	"sync"
	"sync/atomic"
)

// Line listens on an address of its own.
type Line struct {
	server    string
	listen    net.Listener
	swallowed atomic.Int64
	all       sync.WaitGroup

	mu    sync.Mutex
	mute  bool          // new connections will be
	deaf  chan struct{} // closed when the line takes again what clients write; nil while it does
	calls map[*call]bool
}

// smallBuffer is soon full when nobody reads.
const smallBuffer = 16 << 10

// call is one connection on both sides.
type call struct {
	client, server net.Conn
	mute           atomic.Bool // for good: what was swallowed is missing in all that would follow
}

// Start begins to listen for clients of the server at host:port.
func Start(server string) (*Line, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	line := &Line{server: server, listen: l, calls: map[*call]bool{}}
	line.all.Go(line.accept)
	return line, nil
}

// Addr is where clients find it.
func (l *Line) Addr() string { return l.listen.Addr().String() }

// Mute swallows all that the server says from now on. Connections of this
// time stay mute until somebody ends them.
func (l *Line) Mute() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mute = true
	for c := range l.calls {
		c.mute.Store(true)
	}
}

// Swallowed is how many bytes of the server's nobody got.
func (l *Line) Swallowed() int64 { return l.swallowed.Load() }

// Deafen takes nothing more from clients, so that their writes block once the
// buffers on the way are full.
func (l *Line) Deafen() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.deaf == nil {
		l.deaf = make(chan struct{})
	}
}

// Heal has new connections work, and lets deaf ones go on.
func (l *Line) Heal() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mute = false
	if l.deaf != nil {
		close(l.deaf)
		l.deaf = nil
	}
}

// Cut heals, and ends all connections.
func (l *Line) Cut() {
	l.Heal()
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.calls {
		c.end()
	}
}

// Close ends it all.
func (l *Line) Close() {
	_ = l.listen.Close()
	l.Cut()
	l.all.Wait()
}

func (c *call) end() {
	_ = c.client.Close()
	_ = c.server.Close()
}

func (l *Line) accept() {
	for {
		client, err := l.listen.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", l.server)
		if err != nil { // a server that is away: the client finds the connection closed
			_ = client.Close()
			continue
		}
		_ = client.(*net.TCPConn).SetReadBuffer(smallBuffer) // at worst there is more to fill
		l.carry(&call{client: client, server: server})
	}
}

func (l *Line) carry(c *call) {
	l.mu.Lock()
	c.mute.Store(l.mute)
	l.calls[c] = true
	l.mu.Unlock()
	var ways sync.WaitGroup
	ways.Go(func() { l.ask(c) })
	ways.Go(func() { l.answer(c) })
	l.all.Go(func() {
		ways.Wait()
		l.mu.Lock()
		delete(l.calls, c)
		l.mu.Unlock()
	})
}

// ask brings what the client writes to the server.
func (l *Line) ask(c *call) {
	defer c.end()
	b := make([]byte, 16<<10)
	for {
		n, err := c.client.Read(b)
		if err != nil {
			return
		}
		l.listening()
		if _, err := c.server.Write(b[:n]); err != nil {
			return
		}
	}
}

// listening returns once the line is not deaf.
func (l *Line) listening() {
	l.mu.Lock()
	deaf := l.deaf
	l.mu.Unlock()
	if deaf != nil {
		<-deaf
	}
}

// answer brings what the server says to the client, or nowhere.
func (l *Line) answer(c *call) {
	defer c.end()
	b := make([]byte, 16<<10)
	for {
		n, err := c.server.Read(b)
		if err != nil {
			return
		}
		if c.mute.Load() {
			l.swallowed.Add(int64(n))
		} else if _, err := c.client.Write(b[:n]); err != nil {
			return
		}
	}
}
