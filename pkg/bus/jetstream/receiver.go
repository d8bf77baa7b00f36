package jetstream

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/maidian/maidian/pkg/bus"
	"github.com/maidian/maidian/pkg/bus/internal/meter"
	"github.com/maidian/maidian/pkg/bus/internal/receive"
	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
)

// Receiver takes messages off the embedded queue; several share the work.
type Receiver struct {
	server *Server
	limits bus.Limits
	meter  *meter.Receive
	open   atomic.Bool
}

var _ bus.Receiver = (*Receiver)(nil)

// Receiver makes a receiver; it takes nothing before Receive.
func (s *Server) Receiver(limits bus.Limits, metrics prometheus.Registerer) *Receiver {
	return &Receiver{server: s, limits: receive.WithDefaults(limits), meter: meter.NewReceive(metrics)}
}

// Receive hands deliveries to handle until ctx ends. There is nothing to
// reconnect to: the queue lives as long as this process.
func (r *Receiver) Receive(ctx context.Context, handle bus.Handler) error {
	s, err := r.openSession()
	if err != nil {
		return err
	}
	defer s.close()
	r.open.Store(true)
	r.meter.Sessions.Inc()
	defer r.meter.Sessions.Dec()
	defer r.open.Store(false)
	loop := receive.Loop[*nats.Msg]{Session: s, Handle: handle, Limits: r.limits, Meter: r.meter, Log: r.server.log}
	loop.Run(ctx)
	if ctx.Err() == nil {
		return r.server.running() // the server was stopped under us
	}
	return nil
}

// Ready is nil while messages can come.
func (r *Receiver) Ready() error {
	if err := r.server.running(); err != nil {
		return err
	}
	if !r.open.Load() {
		return unavailable("no receiving session is open")
	}
	return nil
}

// session asks the queue for messages, never for more than may be in hand.
type session struct {
	conn     *nats.Conn
	closed   chan struct{} // the connection is
	inbox    string
	prefetch int
	out      chan *nats.Msg

	mu      sync.Mutex
	inHand  int       // delivered and not settled
	asked   []request // oldest first
	request int       // numbers the inbox subjects
	over    bool
}

// request is messages that were asked for and have not come.
type request struct {
	inbox string
	left  int
}

const (
	pullSubject = "$JS.API.CONSUMER.MSG.NEXT." + stream + "." + consumer
	pullFor     = time.Minute // the queue forgets a request after this, and says so
)

func (r *Receiver) openSession() (*session, error) {
	if err := r.server.running(); err != nil {
		return nil, err
	}
	conn, err := r.server.connect("receiver")
	if err != nil {
		return nil, err
	}
	s := &session{
		conn: conn, closed: make(chan struct{}), inbox: conn.NewInbox(), prefetch: r.limits.Prefetch,
		out: make(chan *nats.Msg, r.limits.Prefetch),
	}
	sub, err := conn.Subscribe(s.inbox+".*", s.arrived)
	if err == nil {
		err = sub.SetPendingLimits(-1, -1) // bounded by what we ask for
	}
	if err != nil {
		conn.Close()
		return nil, unavailable("subscribe: %v", err)
	}
	conn.SetClosedHandler(func(*nats.Conn) {
		s.end()
		close(s.closed)
	})
	s.mu.Lock()
	s.ask()
	s.mu.Unlock()
	return s, nil
}

func (s *session) Deliveries() <-chan *nats.Msg { return s.out }

// arrived takes a message, or the queue's word on a request of ours.
func (s *session) arrived(m *nats.Msg) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if status := m.Header.Get("Status"); status != "" {
		s.status(m, status)
		return
	}
	if s.over {
		s.answer([]*nats.Msg{m}, nak)
		return
	}
	s.count()
	s.inHand++
	s.out <- m // has room for all that we may hold
}

// count books a message on the oldest request: it comes under its own subject
// and does not say which request it answers.
func (s *session) count() {
	if len(s.asked) == 0 {
		return
	}
	if s.asked[0].left--; s.asked[0].left <= 0 {
		s.asked = s.asked[1:]
	}
}

// status ends a request: what it did not bring can be asked for again.
func (s *session) status(m *nats.Msg, status string) {
	if status == "100" {
		return // a heartbeat or flow control
	}
	s.asked = slices.DeleteFunc(s.asked, func(r request) bool { return r.inbox == m.Subject })
	if status == "409" || status == "503" { // the server is changing or going: not in a tight loop
		time.AfterFunc(100*time.Millisecond, s.askAgain)
		return
	}
	s.ask()
}

func (s *session) askAgain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ask()
}

// ask requests messages up to the limit, half a window at a time at least.
// The lock is held.
func (s *session) ask() {
	room := s.prefetch - s.inHand
	for _, r := range s.asked {
		room -= r.left
	}
	if s.over || room <= 0 || room < s.prefetch/2 && len(s.asked) > 0 {
		return
	}
	s.request++
	reply := s.inbox + "." + strconv.Itoa(s.request)
	body, err := json.Marshal(map[string]any{"batch": room, "expires": pullFor})
	if err == nil {
		err = s.conn.PublishRequest(pullSubject, reply, body)
	}
	if err == nil {
		s.asked = append(s.asked, request{reply, room})
	}
}

func (s *session) Open(m *nats.Msg) bus.Delivery {
	d := bus.Delivery{Message: bus.Message{ID: m.Header.Get(idHeader), Body: m.Data, Trace: m.Header.Get(traceHeader)}, Attempt: 1}
	if meta, err := m.Metadata(); err == nil {
		d.Attempt = int(meta.NumDelivered)
	}
	return d
}

var (
	ack      = []byte("+ACK")
	nak      = []byte("-NAK")
	progress = []byte("+WPI")
)

// Settle answers on each message's own reply subject, which names the very
// delivery, so that an answer that is too late changes nothing.
func (s *session) Settle(done, again []*nats.Msg) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return false
	}
	ok := s.answer(done, ack) && s.answer(again, nak)
	s.inHand -= len(done) + len(again)
	s.ask()
	return ok
}

func (s *session) Extend(ds []*nats.Msg) { s.answer(ds, progress) }

func (s *session) answer(ds []*nats.Msg, word []byte) bool {
	for _, m := range ds {
		if s.conn.Publish(m.Reply, word) != nil {
			return false
		}
	}
	return true
}

// end marks the session as over, once.
func (s *session) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.over {
		s.over = true
		close(s.out)
	}
}

// close gives back what arrived and was not taken, and returns once the queue
// has been told everything.
func (s *session) close() {
	s.end()
	for m := range s.out {
		s.answer([]*nats.Msg{m}, nak)
	}
	if s.conn.Drain() != nil {
		s.conn.Close()
	}
	<-s.closed
}
