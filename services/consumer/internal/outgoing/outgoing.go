// Package outgoing speaks to servers that projects name: webhooks, chats, mail,
// destinations. Whoever may name a server could name one inside the house, so
// each connection is made only to an address that the whole Internet may reach,
// and that is looked at when it is made, not when the name was looked up.
package outgoing

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/maidian/maidian/pkg/fault"
)

// Config says which servers may be spoken to, from the environment.
type Config struct {
	AllowHTTP bool          `envconfig:"OUTGOING_ALLOW_HTTP" default:"false" desc:"true: channels and destinations may use http, which anybody on the way can read; its port must be among OUTGOING_PORTS"`
	Ports     []int         `envconfig:"OUTGOING_PORTS" default:"443,8443" desc:"ports that channels and destinations may use by HTTP"`
	MailPorts []int         `envconfig:"OUTGOING_MAIL_PORTS" default:"25,465,587,2525" desc:"ports that e-mail may use"`
	Networks  []string      `envconfig:"OUTGOING_ALLOW_NETWORKS" desc:"networks that may be spoken to although they are private, such as 10.1.2.0/24"`
	Timeout   time.Duration `envconfig:"OUTGOING_TIMEOUT" default:"30s" desc:"longest time of one request, its answer included"`
	MaxAnswer int64         `envconfig:"OUTGOING_MAX_ANSWER" default:"1048576" desc:"most bytes of an answer"`

	Roots    *x509.CertPool // who vouches for servers; nil: those whom the system trusts
	Resolver *net.Resolver  // nil: the system's
}

// Validate says everything that is wrong, one line for each variable.
func (c *Config) Validate() (err error) {
	wrong := func(ok bool, format string, args ...any) {
		if !ok {
			err = errors.Join(err, fmt.Errorf(format, args...))
		}
	}
	for name, ports := range map[string][]int{"OUTGOING_PORTS": c.Ports, "OUTGOING_MAIL_PORTS": c.MailPorts} {
		for _, port := range ports {
			wrong(port >= 1 && port <= 65535, "%s must be ports from 1 to 65535, got %d", name, port)
		}
	}
	err = errors.Join(err, CheckNetworks("OUTGOING_ALLOW_NETWORKS", c.Networks))
	wrong(c.Timeout > 0, "OUTGOING_TIMEOUT must be more than 0, got %s", c.Timeout)
	wrong(c.MaxAnswer > 0, "OUTGOING_MAX_ANSWER must be more than 0, got %d", c.MaxAnswer)
	return err
}

// CheckNetworks is nil when a setting names networks.
func CheckNetworks(setting string, networks []string) (err error) {
	for _, network := range networks {
		if _, bad := netip.ParsePrefix(network); bad != nil {
			err = errors.Join(err, fmt.Errorf("%s must be networks such as 10.1.2.0/24, got %q", setting, network))
		}
	}
	return err
}

// Guard lets through what the configuration allows.
type Guard struct {
	config   Config
	setting  string // what opens networks
	networks []netip.Prefix
	dialer   net.Dialer
}

// connectWithin is the longest time until there is a connection.
const connectWithin = 10 * time.Second

// New guards by a configuration that is valid, or empty: then no port may
// be spoken to.
func New(c Config) *Guard {
	c.Timeout, c.MaxAnswer = cmp.Or(c.Timeout, 30*time.Second), cmp.Or(c.MaxAnswer, 1<<20)
	g := &Guard{config: c, setting: "OUTGOING_ALLOW_NETWORKS"}
	for _, network := range c.Networks {
		g.networks = append(g.networks, netip.MustParsePrefix(network).Masked())
	}
	g.dialer = net.Dialer{Timeout: connectWithin, Resolver: c.Resolver, Control: g.control}
	return g
}

// Near guards connections to servers of the house, such as databases: any port
// of the Internet and of networks that a setting of another name opens. Its
// Client speaks to nobody.
func Near(networks []string, setting string) *Guard {
	g := New(Config{Networks: networks})
	g.setting = setting
	return g
}

// Dial connects to an address, whatever its port, for clients that make their
// own connections.
func (g *Guard) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	return g.dialer.DialContext(ctx, network, address)
}

// control sees the address that a socket is about to be connected to, whatever
// name it had and however often that was looked up.
func (g *Guard) control(_, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return refuse("the address %q cannot be read", address)
	}
	return g.checkAddress(to.Addr())
}

// Client is an HTTP client that speaks to no server but those allowed, follows
// no redirects (it gives them as the answer), uses no proxy, and ends each
// request in time. One client is enough for all: it keeps connections open.
func (g *Guard) Client() *http.Client {
	transport := &http.Transport{
		DialContext:            g.dialer.DialContext,
		ForceAttemptHTTP2:      true,
		TLSClientConfig:        g.TLS(""),
		TLSHandshakeTimeout:    connectWithin,
		MaxResponseHeaderBytes: 64 << 10,
		MaxIdleConnsPerHost:    4,
		MaxIdleConns:           256,
		IdleConnTimeout:        90 * time.Second,
	}
	return &http.Client{
		Transport:     &guarded{g, transport},
		Timeout:       g.config.Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// TLS is how servers are to prove who they are.
func (g *Guard) TLS(server string) *tls.Config {
	return &tls.Config{RootCAs: g.config.Roots, ServerName: server, MinVersion: tls.VersionTLS12}
}

// DialMail connects to a mail server, which may say as much in all as may an answer by HTTP.
func (g *Guard) DialMail(ctx context.Context, host string, port int) (net.Conn, error) {
	if err := checkHost(host); err != nil {
		return nil, err
	}
	if !slices.Contains(g.config.MailPorts, port) {
		return nil, refuse("port %d is not among OUTGOING_MAIL_PORTS", port)
	}
	conn, err := g.dialer.DialContext(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		return nil, err
	}
	return &boundedConn{conn, bounded{conn, g.config.MaxAnswer}}, nil
}

// boundedConn is for a protocol whose reader takes lines of any length.
type boundedConn struct {
	net.Conn
	in bounded
}

func (c *boundedConn) Read(p []byte) (int, error) { return c.in.Read(p) }

// guarded looks at each request before it goes, and bounds its answer.
type guarded struct {
	guard *Guard
	next  http.RoundTripper
}

// RoundTrip is one request and its answer.
func (t *guarded) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := t.guard.CheckURL(r.URL); err != nil {
		if r.Body != nil {
			r.Body.Close()
		}
		return nil, err
	}
	answer, err := t.next.RoundTrip(r)
	if err == nil {
		answer.Body = &bounded{answer.Body, t.guard.config.MaxAnswer}
	}
	return answer, err
}

// CheckURL is nil for a URL that may be asked, as far as that can be told
// before its host has been looked up.
func (g *Guard) CheckURL(u *url.URL) error {
	defaults := map[string]string{"https": "443"}
	if g.config.AllowHTTP {
		defaults["http"] = "80"
	}
	port, ok := defaults[u.Scheme]
	switch {
	case !ok && u.Scheme == "http":
		return refuse("http is not allowed, use https")
	case !ok:
		return refuse("the URL must begin with https://, got %.20q", u.Scheme)
	case u.User != nil:
		return refuse("the URL must not hold a user or password")
	case u.Port() != "":
		port = u.Port()
	}
	if n, err := strconv.Atoi(port); err != nil || !slices.Contains(g.config.Ports, n) {
		return refuse("port %s is not among OUTGOING_PORTS", port)
	}
	if err := checkHost(u.Hostname()); err != nil {
		return err
	}
	if address, err := netip.ParseAddr(u.Hostname()); err == nil {
		return g.checkAddress(address)
	}
	return nil
}

// checkHost refuses hosts that some resolvers read as addresses in other
// notations: 0x7f.1, 2130706433, 0177.0.0.1. A name's last label is never a number.
func checkHost(host string) error {
	if host == "" {
		return refuse("a host is missing")
	}
	if strings.Contains(host, "%") {
		return refuse("an address must not name a zone: %q", host)
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return nil
	}
	labels := strings.Split(strings.TrimSuffix(host, "."), ".")
	last := strings.ToLower(labels[len(labels)-1])
	isNumber := strings.Trim(last, "0123456789") == "" || strings.HasPrefix(last, "0x") && strings.Trim(last[2:], "0123456789abcdef") == ""
	if isNumber || strings.ContainsFunc(host, func(r rune) bool { return r > '~' || !isOfName(byte(r)) }) {
		return refuse("%.100q is neither a name nor an address in its usual notation", host)
	}
	return nil
}

func isOfName(b byte) bool {
	return b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9' || b == '-' || b == '.' || b == '_'
}

// bounded ends with an error when an answer goes on for too long; one that
// ends exactly there is whole.
type bounded struct {
	io.ReadCloser
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.ReadCloser.Read(p)
	if b.left -= int64(n); b.left < 0 {
		b.left = 0
		return n - 1, errors.New("the answer is too long")
	}
	return n, err
}

// refuse makes an error that trying again does not mend.
func refuse(format string, args ...any) error {
	return fault.New(fault.Invalid, "refused_target", format, args...)
}

// ClearAllowed says whether what anybody on the way can read may be sent.
func (g *Guard) ClearAllowed() bool { return g.config.AllowHTTP }
