package channel

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"net/smtp"
	"net/textproto"
	"strconv"
	"strings"
	"time"
)

// email speaks SMTP (RFC 5321) with net/smtp, over STARTTLS (RFC 3207) unless
// the channel says otherwise. One address that the server refuses does not keep
// the others from being told: it becomes a remark. The Message-ID is the same
// with each attempt, so that mailboxes can drop a second copy.
func email(ctx context.Context, s *sending) (string, error) {
	from, to, err := s.addresses()
	if err != nil {
		return "", err
	}
	c, err := s.connect(ctx)
	if err != nil {
		return "", mailFault(err)
	}
	defer func() { _ = c.Close() }()
	remark, err := deliver(c, from, to, s.mail(from, to))
	if err == nil {
		_ = c.Quit() // it is delivered, whatever the server says to that
	}
	return remark, mailFault(err)
}

func (s *sending) addresses() (from *mail.Address, to []*mail.Address, err error) {
	if from, err = mail.ParseAddress(s.setting("from")); err != nil {
		return nil, nil, refused("from: %s", err)
	}
	if to, err = mail.ParseAddressList(s.setting("to")); err != nil {
		return nil, nil, refused("to: %s", err)
	}
	return from, to, nil
}

// connect gives a connection that is encrypted and signed in as the channel
// says; it is cut when ctx ends.
func (s *sending) connect(ctx context.Context) (*smtp.Client, error) {
	host, mode := s.setting("host"), s.setting("tls")
	port, _ := strconv.Atoi(s.setting("port")) // 0 is no port that is allowed
	if mode == "none" && !s.guard.ClearAllowed() {
		return nil, refused("mail without encryption is allowed by OUTGOING_ALLOW_HTTP only")
	}
	conn, err := s.guard.DialMail(ctx, host, port)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { _ = conn.Close() })
	if mode == "implicit" {
		conn = tls.Client(conn, s.guard.TLS(host))
	}
	c, err := smtp.NewClient(conn, host)
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	if err := s.signIn(c, host, mode); err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

func (s *sending) signIn(c *smtp.Client, host, mode string) error {
	if err := c.Hello(domain(s.setting("from"))); err != nil {
		return err
	}
	if mode == "starttls" {
		if err := c.StartTLS(s.guard.TLS(host)); err != nil {
			return fmt.Errorf("STARTTLS: %w", err)
		}
	}
	user := s.setting("username")
	if user == "" {
		return nil
	}
	password, err := s.secret("password")
	if err != nil {
		return err
	}
	if ok, mechanisms := c.Extension("AUTH"); ok && !strings.Contains(" "+mechanisms+" ", " PLAIN ") {
		return c.Auth(&login{user, password})
	}
	return c.Auth(smtp.PlainAuth("", user, password, host))
}

// login is AUTH LOGIN, which some servers have in place of PLAIN.
type login struct{ user, password string }

func (l *login) Start(server *smtp.ServerInfo) (string, []byte, error) {
	if !server.TLS {
		return "", nil, errors.New("a password is not sent over an unencrypted connection")
	}
	return "LOGIN", nil, nil
}

func (l *login) Next(asked []byte, more bool) ([]byte, error) {
	switch {
	case !more:
		return nil, nil
	case strings.HasPrefix(strings.ToLower(string(asked)), "user"):
		return []byte(l.user), nil
	}
	return []byte(l.password), nil
}

// deliver gives one message to all who may have it. Whom the server refuses
// for now makes the whole fail, so that it is tried again.
func deliver(c *smtp.Client, from *mail.Address, to []*mail.Address, message []byte) (remark string, err error) {
	if err := c.Mail(from.Address); err != nil {
		return "", err
	}
	var refusals []error
	for _, a := range to {
		err := c.Rcpt(a.Address)
		if err != nil && !isFinal(err) {
			return "", err
		}
		if err != nil {
			refusals = append(refusals, fmt.Errorf("%s: %w", a.Address, err))
		}
	}
	if len(refusals) == len(to) {
		return "", errors.Join(refusals...)
	}
	w, err := c.Data()
	if err != nil {
		return "", err
	}
	if _, err := w.Write(message); err != nil {
		return "", err
	}
	if err := w.Close(); err != nil {
		return "", err
	}
	if len(refusals) > 0 {
		remark = shown([]byte("not told: " + errors.Join(refusals...).Error()))
	}
	return remark, nil
}

// isFinal says that the server will never take it (RFC 5321, section 4.2.1).
func isFinal(err error) bool {
	said := (*textproto.Error)(nil)
	return errors.As(err, &said) && said.Code >= 500
}

// mailFault gives what is final its kind.
func mailFault(err error) error {
	if isFinal(err) {
		return refused("answered %s", shown([]byte(err.Error())))
	}
	return err
}

// mail is the message in plain text (RFC 5322); RFC 3834 asks machines to say
// that they are, so that nobody's absence is answered.
func (s *sending) mail(from *mail.Address, to []*mail.Address) []byte {
	var b bytes.Buffer
	header := func(name, value string) { fmt.Fprintf(&b, "%s: %s\r\n", name, value) }
	header("From", from.String())
	recipients := make([]string, len(to))
	for i, a := range to {
		recipients[i] = a.String()
	}
	header("To", strings.Join(recipients, ",\r\n "))
	header("Subject", strings.ReplaceAll(mime.QEncoding.Encode("utf-8", s.message.Title), "?= =?", "?=\r\n =?"))
	header("Date", s.now().UTC().Format(time.RFC1123Z))
	header("Message-ID", "<"+s.notice.Key()+"@"+domain(from.Address)+">")
	header("Auto-Submitted", "auto-generated")
	header("MIME-Version", "1.0")
	header("Content-Type", "text/plain; charset=utf-8")
	header("Content-Transfer-Encoding", "quoted-printable")
	b.WriteString("\r\n")
	text := s.message.Text
	if s.message.Link != "" {
		text += "\n\n" + s.message.Link
	}
	w := quotedprintable.NewWriter(&b)
	_, _ = w.Write([]byte(strings.ReplaceAll(text+"\n", "\n", "\r\n"))) // a buffer takes all
	_ = w.Close()
	return b.Bytes()
}

// domain is what stands behind the @.
func domain(address string) string {
	if a, err := mail.ParseAddress(address); err == nil {
		address = a.Address
	}
	_, name, _ := strings.Cut(address, "@")
	if net.ParseIP(name) != nil || name == "" {
		return "localhost"
	}
	return name
}
