package channel

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/http"
	"net/http/httptest"
	"net/mail"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"github.com/maidian/maidian/pkg/fault"
	"github.com/maidian/maidian/pkg/notice"
	"github.com/maidian/maidian/pkg/secret"
	"github.com/maidian/maidian/services/consumer/internal/outgoing"
)

// post is a mail server's backend: who sent what to whom.
type post struct {
	mu       sync.Mutex
	letters  []letter
	login    bool             // it has AUTH LOGIN and no PLAIN
	refusals map[string]error // by recipient
	full     error            // when the letter is handed over
}

type letter struct {
	from string
	to   []string
	text string
}

// visit is one connection.
type visit struct {
	post     *post
	conn     *smtp.Conn
	signedIn bool
	letter   letter
}

func (p *post) NewSession(c *smtp.Conn) (smtp.Session, error) { return &visit{post: p, conn: c}, nil }

func (v *visit) AuthMechanisms() []string {
	if v.post.login {
		return []string{sasl.Login}
	}
	return []string{sasl.Plain}
}

func (v *visit) Auth(mechanism string) (sasl.Server, error) {
	check := func(user, password string) error {
		if user != "maidian" || password != "p4ss" {
			return smtp.ErrAuthFailed
		}
		v.signedIn = true
		return nil
	}
	if mechanism == sasl.Login {
		return &loginServer{check: check}, nil
	}
	return sasl.NewPlainServer(func(_, user, password string) error { return check(user, password) }), nil
}

// loginServer is AUTH LOGIN, which go-sasl has for clients only.
type loginServer struct {
	check func(user, password string) error
	asked int
	user  string
}

func (l *loginServer) Next(response []byte) ([]byte, bool, error) {
	switch l.asked++; l.asked {
	case 1:
		return []byte("Username:"), false, nil
	case 2:
		l.user = string(response)
		return []byte("Password:"), false, nil
	}
	return nil, true, l.check(l.user, string(response))
}

func (v *visit) Mail(from string, _ *smtp.MailOptions) error {
	if _, encrypted := v.conn.TLSConnectionState(); !encrypted || !v.signedIn {
		return &smtp.SMTPError{Code: 530, Message: "Must issue a STARTTLS command first and sign in"}
	}
	v.letter.from = from
	return nil
}

func (v *visit) Rcpt(to string, _ *smtp.RcptOptions) error {
	if err := v.post.refusals[to]; err != nil {
		return err
	}
	v.letter.to = append(v.letter.to, to)
	return nil
}

func (v *visit) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if v.post.full != nil {
		return v.post.full
	}
	v.letter.text = string(text)
	v.post.mu.Lock()
	defer v.post.mu.Unlock()
	v.post.letters = append(v.post.letters, v.letter)
	return nil
}

func (v *visit) Reset()        { v.letter = letter{} }
func (v *visit) Logout() error { return nil }

// listen starts the mail server, on TLS from the beginning if implicit.
func listen(t *testing.T, p *post, implicit bool) (*Sender, int) {
	t.Helper()
	withCertificate := httptest.NewUnstartedServer(http.NotFoundHandler())
	withCertificate.StartTLS()
	t.Cleanup(withCertificate.Close)
	certificates := &tls.Config{Certificates: withCertificate.TLS.Certificates}

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := int(netip.MustParseAddrPort(l.Addr().String()).Port())
	server := smtp.NewServer(p)
	server.Domain, server.TLSConfig = "mail.example", certificates
	if implicit {
		l = tls.NewListener(l, certificates)
	}
	var done sync.WaitGroup
	done.Go(func() { _ = server.Serve(l) })
	t.Cleanup(func() { server.Close(); l.Close(); done.Wait() }) // the listener besides: the server may not have begun with it

	c := outgoing.Config{MailPorts: []int{port}, Networks: []string{"127.0.0.0/8"}, Timeout: 10 * time.Second, MaxAnswer: 1 << 16, Roots: x509.NewCertPool()}
	c.Roots.AddCert(withCertificate.Certificate())
	return New(outgoing.New(c), inClear{}, "https://maidian.example"), port
}

func mailChannel(port int, mode string) notice.Channel {
	return notice.Channel{
		ID: "mail", Project: "shop", Type: "email", Language: notice.Chinese,
		Settings: map[string]string{
			"host": "127.0.0.1", "port": strconv.Itoa(port), "tls": mode, "username": "maidian",
			"from": "埋点 <alerts@maidian.example>", "to": "Ops <ops@example.com>, 值班 <oncall@example.com>",
		},
		Secrets: map[string][]secret.Value{"password": clear("p4ss")},
	}
}

func TestMailIsDelivered(t *testing.T) {
	for name, tt := range map[string]struct {
		mode     string
		implicit bool
		login    bool
	}{"STARTTLS": {"starttls", false, false}, "TLS from the beginning": {"implicit", true, false}, "AUTH LOGIN": {"starttls", false, true}} {
		t.Run(name, func(t *testing.T) {
			p := &post{login: tt.login}
			s, port := listen(t, p, tt.implicit)
			c := mailChannel(port, tt.mode)
			n := notice.For(firing(), "mail", 1)
			n.Firing.Event.PageURL = "https://shop.example/结账\n.\nMAIL FROM:<x@example.com>"
			if remark, err := s.Send(t.Context(), &c, &n); remark != "" || err != nil {
				t.Fatalf("got %q, %v", remark, err)
			}
			if len(p.letters) != 1 || p.letters[0].from != "alerts@maidian.example" || !slices.Equal(p.letters[0].to, []string{"ops@example.com", "oncall@example.com"}) {
				t.Fatalf("got %+v", p.letters)
			}
			m, err := mail.ReadMessage(strings.NewReader(p.letters[0].text))
			if err != nil {
				t.Fatal(err)
			}
			subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
			body, wrong := io.ReadAll(quotedprintable.NewReader(m.Body))
			if subject != "【警告】High-value <!channel> & co" || errors.Join(err, wrong) != nil {
				t.Errorf("got the subject %q, %v", subject, errors.Join(err, wrong))
			}
			for _, part := range []string{"amount：12500（阈值：≥ 10000）", "结账", "\r\n.\r\n", "https://maidian.example/report?a=1&b=2"} {
				if !strings.Contains(string(body), part) {
					t.Errorf("%q is not in %q", part, body)
				}
			}
			to, err := m.Header.AddressList("To")
			if id := m.Header.Get("Message-ID"); id != "<"+n.Key()+"@maidian.example>" || err != nil || len(to) != 2 || to[1].Name != "值班" {
				t.Errorf("got the id %q to %v, %v", id, to, err)
			}
			for line := range strings.Lines(p.letters[0].text) {
				if len(line) > 1000 {
					t.Errorf("a line has %d bytes", len(line))
				}
			}
		})
	}
}

func TestMailThatIsNotDelivered(t *testing.T) {
	final, later := &smtp.SMTPError{Code: 550, Message: "no such user"}, &smtp.SMTPError{Code: 451, Message: "try later"}
	tests := map[string]struct {
		post   *post
		change func(c *notice.Channel)
		want   outcome
		remark string
	}{
		"a wrong password":     {&post{}, func(c *notice.Channel) { c.Secrets["password"] = clear("wrong") }, outcome{fault.Invalid, 0}, ""},
		"one is not there":     {&post{refusals: map[string]error{"ops@example.com": final}}, nil, outcome{delivered, 0}, "ops@example.com"},
		"nobody is there":      {&post{refusals: map[string]error{"ops@example.com": final, "oncall@example.com": final}}, nil, outcome{fault.Invalid, 0}, ""},
		"one is not there now": {&post{refusals: map[string]error{"oncall@example.com": later}}, nil, outcome{fault.Unknown, 0}, ""},
		"not now":              {&post{full: later}, nil, outcome{fault.Unknown, 0}, ""},
		"never":                {&post{full: &smtp.SMTPError{Code: 554, Message: "spam"}}, nil, outcome{fault.Invalid, 0}, ""},
		"without encryption":   {&post{}, func(c *notice.Channel) { c.Settings["tls"] = "none" }, outcome{fault.Invalid, 0}, ""},
		"another port":         {&post{}, func(c *notice.Channel) { c.Settings["port"] = "22" }, outcome{fault.Invalid, 0}, ""},
		"not who it should be": {&post{}, func(c *notice.Channel) { c.Settings["host"] = "localhost" }, outcome{fault.Unknown, 0}, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s, port := listen(t, tt.post, false)
			c := mailChannel(port, "starttls")
			if tt.change != nil {
				tt.change(&c)
			}
			n := notice.For(firing(), "mail", 1)
			remark, err := s.Send(t.Context(), &c, &n)
			expect(t, name, err, tt.want)
			if !strings.Contains(remark, tt.remark) || (remark == "") != (tt.remark == "") {
				t.Errorf("got the remark %q, want %q in it", remark, tt.remark)
			}
		})
	}
}
