package rabbit

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/maidian/maidian/pkg/fault"
	amqp "github.com/rabbitmq/amqp091-go"
)

const (
	heartbeat    = 5 * time.Second
	dialWithin   = 3 * time.Second
	greetWithin  = 3 * time.Second  // from then on until the login: a broker that is silent for longer may be one that never got our words
	openWithin   = 10 * time.Second // all of it: connect, log in, declare
	writeWithin  = 10 * time.Second // of one frame: the library itself sets no limit, and a blocked broker stops reading
	closeWithin  = 2 * time.Second
	firstBackoff = 100 * time.Millisecond
	longBackoff  = time.Second     // more would be waited for after an outage; each session asks twice a second at the most
	lasted       = 5 * time.Second // a link that was open for longer begins again at the first backoff
)

// link is one connection with its one channel.
type link struct {
	conn    *amqp.Connection
	ch      *amqp.Channel
	raw     net.Conn
	gone    chan struct{} // closed when connection, channel or consumer has ended
	reason  error         // why; read it after gone
	blocked chan amqp.Blocking
	close   sync.Once
}

// dialer opens links, walking the nodes.
type dialer struct {
	cfg  Config
	urls []string
	name string         // shown in RabbitMQ's list of connections
	wg   sync.WaitGroup // goroutines that watch and close links
}

func newDialer(cfg Config, name string) (*dialer, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	urls, err := cfg.urls()
	return &dialer{cfg: cfg, urls: urls, name: "maidian " + name}, err
}

// open connects to one node and declares what belongs to the queue. The
// library's calls can hang, so the socket is closed under them when time is up.
func (d *dialer) open(ctx context.Context, node int) (*link, error) {
	ctx, cancel := context.WithTimeout(ctx, openWithin)
	defer cancel()
	url := d.urls[node%len(d.urls)]
	l := &link{gone: make(chan struct{}), blocked: make(chan amqp.Blocking, 64)}
	err := d.connect(ctx, url, l)
	if err == nil {
		stop := context.AfterFunc(ctx, func() { _ = l.raw.Close() })
		err = l.prepare(&d.cfg)
		if !stop() && err == nil {
			err = ctx.Err()
		}
	}
	if err != nil {
		if l.conn != nil {
			d.drop(l)
		}
		return nil, explain(url, d.cfg.Queue, err)
	}
	d.watch(l)
	return l, nil
}

func (d *dialer) connect(ctx context.Context, url string, l *link) (err error) {
	properties := amqp.NewConnectionProperties()
	properties.SetClientConnectionName(d.name)
	l.conn, err = amqp.DialConfig(url, amqp.Config{
		Heartbeat:  heartbeat,
		Properties: properties,
		SASL:       logins(url, properties),
		Dial: func(network, addr string) (net.Conn, error) {
			c, err := (&net.Dialer{Timeout: dialWithin}).DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			l.raw = c
			deadline := time.Now().Add(greetWithin)
			if end, ok := ctx.Deadline(); ok && end.Before(deadline) {
				deadline = end
			}
			return boundedConn{c}, c.SetDeadline(deadline) // the library lifts it after the login
		},
	})
	if err != nil && l.raw != nil {
		_ = l.raw.Close()
		l.conn = nil
	}
	return err
}

// login is a plain one that asks to be told when it is refused. Who does not
// ask is kept waiting by RabbitMQ for 3 s. The library says what it is capable
// of itself, and only then asks for the response: that is when to add to it.
type login struct {
	amqp.PlainAuth
	properties amqp.Table
}

// logins is nil, for the library to decide, where the address names a mechanism.
func logins(url string, properties amqp.Table) []amqp.Authentication {
	u, err := amqp.ParseURI(url)
	if err != nil || u.AuthMechanism != nil {
		return nil
	}
	return []amqp.Authentication{&login{amqp.PlainAuth{Username: u.Username, Password: u.Password}, properties}}
}

func (a *login) Response() string {
	if capabilities, ok := a.properties["capabilities"].(amqp.Table); ok {
		capabilities["authentication_failure_close"] = true
	}
	return a.PlainAuth.Response()
}

// boundedConn ends every write in time.
type boundedConn struct{ net.Conn }

func (c boundedConn) Write(b []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(writeWithin)); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}

func (l *link) prepare(cfg *Config) (err error) {
	l.conn.NotifyBlocked(l.blocked)
	if l.ch, err = l.conn.Channel(); err != nil {
		return err
	}
	return declare(l.ch, cfg)
}

// watch closes l.gone when the link has ended, for whatever reason.
func (d *dialer) watch(l *link) {
	conn := l.conn.NotifyClose(make(chan *amqp.Error, 1))
	ch := l.ch.NotifyClose(make(chan *amqp.Error, 1))
	cancelled := l.ch.NotifyCancel(make(chan string, 4))
	d.wg.Go(func() {
		defer close(l.gone)
		var why *amqp.Error
		select {
		case why = <-conn:
		case why = <-ch:
		case <-cancelled:
			l.reason = errors.New("the broker cancelled the consumer: the queue was deleted or its leader is away")
			return
		}
		l.reason = amqp.ErrClosed
		if why != nil {
			l.reason = why
		}
	})
}

// drop closes the link without making anybody wait: closing is a question and
// an answer, and a broker in trouble does not answer.
func (d *dialer) drop(l *link) {
	l.close.Do(func() {
		d.wg.Go(func() {
			hard := time.AfterFunc(closeWithin, func() { _ = l.raw.Close() })
			defer hard.Stop()
			_ = l.conn.CloseDeadline(time.Now().Add(closeWithin))
		})
	})
}

// keep opens one link after the other and serves each until it is gone. It
// returns nil when ctx ends, or the error with which the queue can never be had.
func (d *dialer) keep(ctx context.Context, node int, serve func(context.Context, *link) error, lost func(error)) error {
	for backoff := firstBackoff; ; node++ {
		l, err := d.open(ctx, node)
		if isPermanent(err) && ctx.Err() == nil {
			lost(err)
			return err
		}
		if err == nil {
			opened := time.Now()
			err = serve(ctx, l)
			d.drop(l)
			if time.Since(opened) > lasted {
				backoff = firstBackoff
			}
		}
		if ctx.Err() != nil {
			return nil
		}
		lost(err)
		select {
		case <-time.After(backoff/2 + rand.N(backoff/2)):
		case <-ctx.Done():
			return nil
		}
		backoff = min(2*backoff, longBackoff)
	}
}

// isPermanent tells a queue that exists with other properties: no waiting changes that.
func isPermanent(err error) bool {
	var e *amqp.Error
	return errors.As(err, &e) && e.Code == amqp.PreconditionFailed && e.Server
}

// explain says in one line what is wrong with whom and what would be right; no password.
func explain(url, queue string, err error) error {
	u, parseErr := amqp.ParseURI(url)
	if parseErr != nil {
		return unavailable(errors.New("RabbitMQ: the address cannot be read"))
	}
	at := "RabbitMQ at " + net.JoinHostPort(u.Host, strconv.Itoa(u.Port))
	var e *amqp.Error
	switch {
	case errors.Is(err, amqp.ErrCredentials), errors.As(err, &e) && e.Code == amqp.AccessRefused:
		return unavailable(fmt.Errorf("%s refuses user %q for virtual host %q: check the user, its password and its permissions: %w", at, u.Username, u.Vhost, err))
	case errors.Is(err, amqp.ErrVhost), e != nil && e.Code == amqp.NotAllowed:
		return unavailable(fmt.Errorf("%s has no virtual host %q for user %q: %w", at, u.Vhost, u.Username, err))
	case isPermanent(err):
		return unavailable(fmt.Errorf("%s has a queue %q that was made with other properties; use the same ANALYTICS_QUEUE_* everywhere, or another name, or drain and delete it: %w", at, queue, err))
	case errors.Is(err, context.DeadlineExceeded):
		return unavailable(fmt.Errorf("%s did not answer within %s: %w", at, openWithin, err))
	}
	return unavailable(fmt.Errorf("%s: %w", at, err))
}

func unavailable(err error) *fault.Error {
	e := fault.Wrap(fault.Unavailable, "broker_unavailable", err)
	e.RetryAfter = time.Second
	return e
}

// openAny opens a link to the first node that works.
func (d *dialer) openAny(ctx context.Context) (l *link, err error) {
	for node := range d.urls {
		if l, err = d.open(ctx, node); err == nil {
			return l, nil
		}
	}
	return nil, err
}

// Check connects once, declares the queue and disconnects: for a start that
// wants to say in one line what is wrong. It tries every node.
func Check(ctx context.Context, cfg Config) error {
	d, err := newDialer(cfg, "check")
	if err != nil {
		return err
	}
	defer d.wg.Wait()
	l, err := d.openAny(ctx)
	if err != nil {
		return err
	}
	d.drop(l)
	return nil
}
