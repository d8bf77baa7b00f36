// Package wireproxy stands between MongoDB's driver and a server and does to
// single commands what elections, shutdowns and networks do to them.
//
// It understands what drivers speak without TLS and compression.
package wireproxy

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// Command is one command on its way to the server.
type Command struct {
	Name       string // such as insert
	Collection string // such as events
	Text       []byte // all of it, as it stands on the wire
}

// Deed is what becomes of a command. The zero value lets it pass.
type Deed struct {
	Delay time.Duration // it waits so long first
	Do    Action
	Code  int32 // of the error
}

// Action is what is done with a command.
type Action uint8

// What can be done.
const (
	Pass   Action = iota
	Refuse        // the server never hears of it, and the answer is the error
	Deny          // the server carries it out, and the answer is the error
	Doubt         // the server carries it out, and its answer says with the error that the write may not last
	Lose          // the server carries it out, and instead of an answer the connection ends
	Cut           // the server never hears of it, and the connection ends
)

// Rule decides about each command; several connections ask at the same time.
type Rule func(Command) Deed

// Proxy listens on an address of its own.
type Proxy struct {
	server string
	listen net.Listener
	all    sync.WaitGroup

	mu    sync.Mutex
	rule  Rule
	conns map[net.Conn]bool
}

// Start begins to listen for clients of the server at host:port.
func Start(server string) (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{server: server, listen: l, conns: map[net.Conn]bool{}}
	p.all.Go(p.accept)
	return p, nil
}

// Addr is where clients find it.
func (p *Proxy) Addr() string { return p.listen.Addr().String() }

// Set replaces the rule; nil lets everything pass.
func (p *Proxy) Set(r Rule) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rule = r
}

// Close ends all connections.
func (p *Proxy) Close() {
	_ = p.listen.Close()
	p.mu.Lock()
	for c := range p.conns {
		_ = c.Close()
	}
	p.conns = nil
	p.mu.Unlock()
	p.all.Wait()
}

func (p *Proxy) accept() {
	for {
		client, err := p.listen.Accept()
		if err != nil {
			return
		}
		p.all.Go(func() {
			defer func() { _ = client.Close() }()
			server, err := net.Dial("tcp", p.server)
			if err != nil {
				return // a server that is away: the client finds the connection closed
			}
			defer func() { _ = server.Close() }()
			if !p.keep(client, server) {
				return
			}
			defer p.forget(client, server)
			_ = p.serve(client, server) // how a connection ends is both sides' own matter
		})
	}
}

func (p *Proxy) keep(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conns == nil {
		return false
	}
	for _, c := range conns {
		p.conns[c] = true
	}
	return true
}

func (p *Proxy) forget(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		delete(p.conns, c)
	}
}

var errOver = errors.New("the rule ends the connection")

// serve brings one command after the other to the server and its answer back.
func (p *Proxy) serve(client io.ReadWriter, server io.ReadWriter) error {
	for {
		request, err := readMessage(client)
		if err != nil {
			return err
		}
		deed := p.decide(request.command())
		time.Sleep(deed.Delay)
		switch deed.Do {
		case Cut:
			return errOver
		case Refuse:
			if _, err := client.Write(answer(request.id(), failure(deed.Code))); err != nil {
				return err
			}
			continue
		}
		if err := carry(request, deed, client, server); err != nil {
			return err
		}
	}
}

func (p *Proxy) decide(c Command) Deed {
	p.mu.Lock()
	rule := p.rule
	p.mu.Unlock()
	if rule == nil || c.Name == "" {
		return Deed{}
	}
	return rule(c)
}

// carry has the server do it and hands its answers on: several to a client
// that asked for news as they come, none to one that wants none.
func carry(request message, deed Deed, client, server io.ReadWriter) error {
	if _, err := server.Write(request); err != nil {
		return err
	}
	for more := request.flags()&flagMoreToCome == 0; more; {
		reply, err := readMessage(server)
		if err != nil {
			return err
		}
		more = reply.flags()&flagMoreToCome != 0
		switch deed.Do {
		case Lose:
			return errOver
		case Deny:
			reply = answer(request.id(), failure(deed.Code))
		case Doubt:
			reply = reply.unsure(request.id(), deed.Code)
		}
		if _, err := client.Write(reply); err != nil {
			return err
		}
	}
	return nil
}
