package outgoing

import (
	"context"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/maidian/maidian/pkg/fault"
)

func defaults() Config {
	return Config{Ports: []int{443}, MailPorts: []int{587}, Timeout: 10 * time.Second, MaxAnswer: 1 << 10}
}

func TestOnlyPublicAddresses(t *testing.T) {
	g := New(defaults())
	for _, open := range []string{
		"1.1.1.1", "8.8.8.8", "172.15.255.255", "172.32.0.0", "100.63.255.255", "100.128.0.0", "168.63.129.17", "223.255.255.255",
		"2606:4700:4700::1111", "2a00:1450::1", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8",
	} {
		if err := g.checkAddress(netip.MustParseAddr(open)); err != nil {
			t.Errorf("%s: got %v, want it allowed", open, err)
		}
	}
	for _, shut := range []string{
		"0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.255.254", "169.254.169.254", "168.63.129.16",
		"172.16.0.1", "172.31.255.255", "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.19.255.255", "198.51.100.1",
		"203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
		"::", "::1", "::127.0.0.1", "::8.8.8.8", "::ffff:127.0.0.1", "::ffff:7f00:1", "::ffff:169.254.169.254", "::ffff:0:8.8.8.8",
		"64:ff9b::127.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::8.8.8.8",
		"2002:7f00:1::", "2002:808:808::1", "2001:0:808:808::1", "2001:db8::1", "3fff::1",
		"fe80::1", "fe80::1%eth0", "fec0::1", "fc00::1", "fd00:ec2::254", "ff02::1", "100::1", "5f00::1", "2a00:1450::5efe:127.0.0.1", "2a00:1450::200:5efe:10.0.0.1",
	} {
		if err := g.checkAddress(netip.MustParseAddr(shut)); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s: got %v, want it refused", shut, err)
		}
	}
}

func TestNetworksThatAreOpened(t *testing.T) {
	c := defaults()
	c.Networks = []string{"10.1.2.3/24", "fd12::/16"}
	g := New(c)
	tests := map[string]bool{
		"10.1.2.9": true, "::ffff:10.1.2.9": true, "64:ff9b::10.1.2.9": true, "fd12::1": true,
		"10.1.3.1": false, "127.0.0.1": false, "fd13::1": false,
	}
	for address, want := range tests {
		if got := g.checkAddress(netip.MustParseAddr(address)) == nil; got != want {
			t.Errorf("%s: got %t, want %t", address, got, want)
		}
	}
}

func TestURLs(t *testing.T) {
	c := defaults()
	strict := New(c)
	c.AllowHTTP, c.Ports = true, []int{80, 443}
	lax := New(c)
	tests := map[string]struct{ strict, lax bool }{
		"https://example.com/hook":                 {true, true},
		"https://example.com:443/hook":             {true, true},
		"https://EXAMPLE.com./hook":                {true, true},
		"https://8.8.8.8/":                         {true, true},
		"https://[2606:4700:4700::1111]/":          {true, true},
		"http://example.com/hook":                  {false, true},
		"http://example.com:443/hook":              {false, true},
		"https://example.com:22/":                  {false, false},
		"https://example.com:6379/":                {false, false},
		"https://user:pass@example.com/":           {false, false},
		"https://user@example.com/":                {false, false},
		"ftp://example.com/":                       {false, false},
		"file:///etc/passwd":                       {false, false},
		"gopher://example.com/":                    {false, false},
		"//example.com/":                           {false, false},
		"https:///hook":                            {false, false},
		"https://127.0.0.1/":                       {false, false},
		"https://127.1/":                           {false, false},
		"https://0/":                               {false, false},
		"https://2130706433/":                      {false, false},
		"https://0x7f000001/":                      {false, false},
		"https://0X7F.1/":                          {false, false},
		"https://0x7f.1./":                         {false, false},
		"https://0177.0.0.1/":                      {false, false},
		"https://017700000001/":                    {false, false},
		"https://127.0.0.1./":                      {false, false},
		"https://127.0.0.01/":                      {false, false},
		"https://169.254.169.254/latest/meta-data": {false, false},
		"https://0xa9fea9fe/":                      {false, false},
		"https://[::1]/":                           {false, false},
		"https://[::ffff:127.0.0.1]/":              {false, false},
		"https://[::ffff:7f00:1]/":                 {false, false},
		"https://[64:ff9b::7f00:1]/":               {false, false},
		"https://[2002:7f00:1::]/":                 {false, false},
		"https://[fe80::1%25eth0]/":                {false, false},
		"https://[::]/":                            {false, false},
		"https://①②⑦.0.0.1/":                       {false, false},
		"https://127。0。0。1/":                       {false, false},
	}
	for text, want := range tests {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := strict.CheckURL(u) == nil; got != want.strict {
			t.Errorf("%s: got %t, want %t", text, got, want.strict)
		}
		if got := lax.CheckURL(u) == nil; got != want.lax {
			t.Errorf("%s with http: got %t, want %t", text, got, want.lax)
		}
	}
}

// server is an HTTPS server on this machine that counts who reaches it, and a
// configuration that trusts its certificate.
func server(t *testing.T, answer http.HandlerFunc) (Config, *url.URL, *atomic.Int32) {
	t.Helper()
	var reached atomic.Int32
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reached.Add(1)
		answer(w, r)
	}))
	t.Cleanup(s.Close)
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	c := defaults()
	c.Ports = []int{int(netip.MustParseAddrPort(u.Host).Port())}
	c.Roots = x509.NewCertPool()
	c.Roots.AddCert(s.Certificate())
	return c, u, &reached
}

// TestRebinding has a name that is public when it is asked for first and this
// machine's ever after: who checks first and connects later is led inside.
func TestRebinding(t *testing.T) {
	c, u, reached := server(t, func(http.ResponseWriter, *http.Request) {})
	names := serveNames(t, "8.8.8.8", "127.0.0.1")
	c.Resolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", names)
	}}
	g := New(c)
	first, err := c.Resolver.LookupNetIP(t.Context(), "ip4", "example.com")
	if err != nil || len(first) != 1 || g.checkAddress(first[0]) != nil {
		t.Fatalf("the first look: got %v, %v, want a public address", first, err)
	}
	u.Host = net.JoinHostPort("example.com", u.Port()) // the certificate's name
	_, err = g.Client().Get(u.String())
	if fault.KindOf(err) != fault.Invalid || reached.Load() != 0 {
		t.Errorf("got %v and %d requests, want a refusal", err, reached.Load())
	}

	c.Networks = []string{"127.0.0.0/8"} // to show that nothing else was in the way
	answer, err := New(c).Client().Get(u.String())
	if err != nil || reached.Load() != 1 {
		t.Fatalf("with the network opened: got %v and %d requests, want one", err, reached.Load())
	}
	answer.Body.Close()
}

// serveNames answers questions for names' IPv4 addresses: the first answer
// once, the second from then on. It gives the address it listens on.
func serveNames(t *testing.T, first, second string) string {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		asked := 0
		for buffer := make([]byte, 1500); ; {
			n, from, err := conn.ReadFrom(buffer)
			if err != nil {
				return
			}
			address := second
			if asked++; asked == 1 {
				address = first
			}
			_, _ = conn.WriteTo(reply(buffer[:n], address), from)
		}
	}()
	return conn.LocalAddr().String()
}

// reply answers a DNS question of type A or AAAA with the addresses of that
// family, which are not to be kept, and any other with none (RFC 1035).
func reply(question []byte, addresses ...string) []byte {
	end := 12
	for question[end] != 0 {
		end += int(question[end]) + 1
	}
	end += 5
	lengths := map[uint16]int{1: 4, 28: 16}
	asked := binary.BigEndian.Uint16(question[end-4:])
	message := append([]byte{}, question[:end]...)
	binary.BigEndian.PutUint16(message[2:], 0x8180)
	clear(message[6:12])
	for _, text := range addresses {
		if address := netip.MustParseAddr(text).AsSlice(); len(address) == lengths[asked] {
			message[7]++
			message = append(message, 0xc0, 12, 0, byte(asked), 0, 1, 0, 0, 0, 0, 0, byte(len(address)))
			message = append(message, address...)
		}
	}
	return message
}

func TestLocalhostByNameIsRefused(t *testing.T) {
	c, u, reached := server(t, func(http.ResponseWriter, *http.Request) {})
	u.Host = net.JoinHostPort("localhost", u.Port())
	if _, err := New(c).Client().Get(u.String()); fault.KindOf(err) != fault.Invalid || reached.Load() != 0 {
		t.Errorf("got %v and %d requests, want a refusal", err, reached.Load())
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	c, u, reached := server(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	})
	c.Networks = []string{"127.0.0.0/8"}
	answer, err := New(c).Client().Get(u.String())
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusTemporaryRedirect || reached.Load() != 1 {
		t.Errorf("got %d and %d requests, want the redirect itself", answer.StatusCode, reached.Load())
	}
}

func TestAnswersAreBounded(t *testing.T) {
	for name, tt := range map[string]struct {
		length int
		whole  bool
	}{"just short enough": {1 << 10, true}, "too long": {1<<10 + 1, false}} {
		t.Run(name, func(t *testing.T) {
			c, u, _ := server(t, func(w http.ResponseWriter, _ *http.Request) {
				_, _ = io.WriteString(w, strings.Repeat("x", tt.length))
			})
			c.Networks = []string{"127.0.0.0/8"}
			answer, err := New(c).Client().Get(u.String())
			if err != nil {
				t.Fatal(err)
			}
			defer answer.Body.Close()
			body, err := io.ReadAll(answer.Body)
			if (err == nil) != tt.whole || len(body) != 1<<10 {
				t.Errorf("got %d bytes and %v", len(body), err)
			}
		})
	}
}

func TestAServerThatHangsIsLeft(t *testing.T) {
	over := make(chan struct{})
	c, u, _ := server(t, func(http.ResponseWriter, *http.Request) { <-over })
	defer close(over)
	c.Networks, c.Timeout = []string{"127.0.0.0/8"}, 50*time.Millisecond
	_, err := New(c).Client().Get(u.String())
	if timeout := net.Error(nil); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("got %v, want the time to run out", err)
	}
}

func TestMailGoesToMailPortsOnly(t *testing.T) {
	g := New(defaults())
	for name, to := range map[string]struct {
		host string
		port int
	}{"another port": {"example.com", 22}, "this machine": {"127.0.0.1", 587}, "this machine, oddly": {"0x7f.1", 587}} {
		if _, err := g.DialMail(t.Context(), to.host, to.port); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s: got %v, want a refusal", name, err)
		}
	}
}

func TestWrongConfiguration(t *testing.T) {
	c := Config{Ports: []int{0}, MailPorts: []int{70000}, Networks: []string{"10.0.0.1"}}
	err := c.Validate()
	for _, name := range []string{"OUTGOING_PORTS", "OUTGOING_MAIL_PORTS", "OUTGOING_ALLOW_NETWORKS", "OUTGOING_TIMEOUT", "OUTGOING_MAX_ANSWER"} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("got %v, want a line about %s", err, name)
		}
	}
	c = defaults()
	if err := c.Validate(); err != nil {
		t.Errorf("got %v for what is right", err)
	}
}
