package outgoing

import (
	"bufio"
	"compress/gzip"
	"context"
	"fmt"
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

// resolver knows one name, with these addresses of a family each.
func resolver(t *testing.T, addresses ...string) *net.Resolver {
	t.Helper()
	server := serveAddresses(t, addresses)
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", server)
	}}
}

func serveAddresses(t *testing.T, addresses []string) string {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		for buffer := make([]byte, 1500); ; {
			n, from, err := conn.ReadFrom(buffer)
			if err != nil {
				return
			}
			_, _ = conn.WriteTo(reply(buffer[:n], addresses...), from)
		}
	}()
	return conn.LocalAddr().String()
}

// TestNamesOfAddressesInside has a name stand for each kind of address that
// leads inside, written in IPv6 too: what counts is where a connection goes.
func TestNamesOfAddressesInside(t *testing.T) {
	tests := map[string][]string{
		"this machine":                 {"127.0.0.1"},
		"this machine by IPv6":         {"::1"},
		"a mapped address":             {"::ffff:127.0.0.1"},
		"a compatible address":         {"::127.0.0.1"},
		"NAT64":                        {"64:ff9b::7f00:1"},
		"NAT64 of a site":              {"64:ff9b:1::7f00:1"},
		"6to4":                         {"2002:7f00:1::1"},
		"Teredo":                       {"2001:0:7f00:1::"},
		"metadata":                     {"169.254.169.254"},
		"metadata by IPv6":             {"fd00:ec2::254"},
		"this link":                    {"fe80::1"},
		"any address of this machine":  {"0.0.0.0"},
		"inside, one of them":          {"10.0.0.1", "::1"},
		"a network of documentation":   {"2001:db8::1"},
		"everybody on this link":       {"ff02::1"},
		"what a tunnel inside ends at": {"2a00:1450::5efe:7f00:1"},
	}
	for name, addresses := range tests {
		c := defaults()
		c.Resolver, c.AllowHTTP, c.Ports = resolver(t, addresses...), true, []int{80, 443}
		g := New(c)
		for _, scheme := range []string{"http", "https"} {
			_, err := g.Client().Get(scheme + "://inside.example/")
			if fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), "no public address") {
				t.Errorf("%s by %s: got %v, want a refusal", name, scheme, err)
			}
		}
		if _, err := g.DialMail(t.Context(), "inside.example", 587); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s by mail: got %v, want a refusal", name, err)
		}
	}
}

// TestHostsThatAreWrittenOddly has no name be looked up: nobody knows which
// address an odd notation means to whom.
func TestHostsThatAreWrittenOddly(t *testing.T) {
	c := defaults()
	c.Resolver = &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		t.Error("a name was looked up")
		return nil, io.EOF
	}}
	g := New(c)
	for _, host := range []string{
		"2130706433", "0x7f000001", "0x7F.0.0.1", "0177.0.0.1", "017700000001", "127.1", "127.0.1", "127.0.0.1.", "127.0.0.1..", "0", "00", "0x0", "1.2.3.4.5", "256.0.0.1",
		"①②⑦.⓪.⓪.①", "127。0。0。1", "１２７.0.0.1", "localhost\u00ad", "еxample.com", "ex​ample.com", "ⓛocalhost", "xn--a.0x7f", "a b.example", "a\texample", "a_b\x00.example", "a@b.example",
		"[::1]", "::1%lo", "fe80::1%eth0", "::ffff:127.0.0.1%1", "", ".", "..",
	} {
		u := &url.URL{Scheme: "https", Host: host, Path: "/"}
		if strings.Contains(host, ":") && !strings.HasPrefix(host, "[") {
			u.Host = "[" + host + "]"
		}
		if err := g.CheckURL(u); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%q: got %v, want a refusal", host, err)
		}
		if _, err := g.DialMail(t.Context(), host, 587); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%q by mail: got %v, want a refusal", host, err)
		}
	}
}

// TestUsersInURLs has what looks like the host be a user's name.
func TestUsersInURLs(t *testing.T) {
	g := New(defaults())
	for _, text := range []string{"https://example.com@127.0.0.1/", "https://example.com:443@127.0.0.1/", "https://@example.com/", "https://:@example.com/", "https://example.com%2f@127.0.0.1/"} {
		u, err := url.Parse(text)
		if err == nil {
			err = g.CheckURL(u)
		}
		if err == nil {
			t.Errorf("%s is let through", text)
		}
	}
}

// TestRedirectsInside has each status of a redirect lead to this machine.
func TestRedirectsInside(t *testing.T) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		c, u, reached := server(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "https://127.0.0.1/latest/meta-data")
			w.WriteHeader(status)
		})
		c.Networks = []string{"127.0.0.0/8"}
		answer, err := New(c).Client().Post(u.String(), "text/plain", strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != status || reached.Load() != 1 {
			t.Errorf("%d: got %d and %d requests, want the redirect itself", status, answer.StatusCode, reached.Load())
		}
	}
}

// TestAnswersThatSwell has a few kilobytes become many megabytes.
func TestAnswersThatSwell(t *testing.T) {
	c, u, _ := server(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept-Encoding") != "gzip" {
			t.Errorf("got %q, want gzip to be asked for, or this shows nothing", r.Header.Get("Accept-Encoding"))
		}
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		_, _ = io.CopyN(z, zeros{}, 64<<20)
		_ = z.Close()
	})
	c.Networks, c.MaxAnswer = []string{"127.0.0.0/8"}, 1<<10
	answer, err := New(c).Client().Get(u.String())
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if n, err := io.Copy(io.Discard, answer.Body); err == nil || n != 1<<10 {
		t.Errorf("got %d bytes and %v, want 1,024 and that it is too long", n, err)
	}
	if n, err := answer.Body.Read(make([]byte, 10)); n != 0 || err == nil {
		t.Errorf("after that: got %d bytes, %v", n, err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// TestAnswersThatNeverEnd has a server send its answer byte by byte, its
// headers too, or headers without end.
func TestAnswersThatNeverEnd(t *testing.T) {
	endless := func(write func(w *bufio.ReadWriter) error) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			conn, both, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			for write(both) == nil && both.Flush() == nil {
			}
		}
	}
	said := false
	tests := map[string]http.HandlerFunc{
		"headers without end": endless(func(w *bufio.ReadWriter) error {
			if !said {
				said = true
				_, err := io.WriteString(w, "HTTP/1.1 200 OK\r\n")
				return err
			}
			_, err := fmt.Fprintf(w, "X-More: %s\r\n", strings.Repeat("x", 1000))
			return err
		}),
		"not yet without end": endless(func(w *bufio.ReadWriter) error {
			_, err := io.WriteString(w, "HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n")
			return err
		}),
		"a body without end": func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := io.WriteString(w, "x"); err != nil {
					return
				}
				w.(http.Flusher).Flush()
			}
		},
		"a body that stops": func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "x")
			w.(http.Flusher).Flush()
			<-r.Context().Done()
			panic(http.ErrAbortHandler) // an orderly end could still come before the client's own
		},
	}
	for name, answers := range tests {
		t.Run(name, func(t *testing.T) {
			c, u, _ := server(t, answers)
			c.Networks, c.Timeout, c.MaxAnswer = []string{"127.0.0.0/8"}, 300*time.Millisecond, 1<<40
			answer, err := New(c).Client().Get(u.String())
			if err == nil {
				_, err = io.Copy(io.Discard, answer.Body)
				answer.Body.Close()
			}
			if err == nil {
				t.Error("an answer without end has ended well")
			}
		})
	}
}

// TestHeadersThatHoldMore has values bring headers of their own.
func TestHeadersThatHoldMore(t *testing.T) {
	c, u, reached := server(t, func(http.ResponseWriter, *http.Request) {})
	c.Networks = []string{"127.0.0.0/8"}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, u.String(), http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("webhook-id", "a\r\nX-Injected: b")
	if _, err := New(c).Client().Do(r); err == nil || reached.Load() != 0 {
		t.Errorf("got %v and %d requests, want a refusal", err, reached.Load())
	}
	for _, text := range []string{"https://example.com/\r\nX-Injected: b", "https://example.com\r\n/", "https://example.com/ HTTP/1.1\r\nHost: x"} {
		if u, err := url.Parse(text); err == nil {
			t.Errorf("%q is read as %v", text, u)
		}
	}
}

// TestNoProxyOfTheEnvironment has one that would be asked to connect inside for us.
func TestNoProxyOfTheEnvironment(t *testing.T) {
	var asked atomic.Int32
	proxy := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer proxy.Close()
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"} {
		t.Setenv(name, proxy.URL)
	}
	if New(defaults()).Client().Transport.(*guarded).next.(*http.Transport).Proxy != nil {
		t.Error("a proxy is used") // the environment is read once in a process, so asking one shows little
	}
	c, u, reached := server(t, func(http.ResponseWriter, *http.Request) {})
	c.Networks = []string{"127.0.0.0/8"}
	answer, err := New(c).Client().Get(u.String())
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if asked.Load() != 0 || reached.Load() != 1 {
		t.Errorf("the proxy was asked %d times, the server %d, want 0 and 1", asked.Load(), reached.Load())
	}
}

// TestAMailServerThatSaysTooMuch has one line without end.
func TestAMailServerThatSaysTooMuch(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = io.CopyN(conn, zeros{}, 64<<20)
	}()
	c := defaults()
	to := netip.MustParseAddrPort(l.Addr().String())
	c.Networks, c.MailPorts = []string{"127.0.0.0/8"}, []int{int(to.Port())}
	conn, err := New(c).DialMail(t.Context(), "127.0.0.1", int(to.Port()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if line, err := bufio.NewReader(conn).ReadBytes('\n'); err == nil || len(line) != 1<<10 {
		t.Errorf("got %d bytes and %v, want 1,024 and that it is too long", len(line), err)
	}
}
