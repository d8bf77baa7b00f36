// Package channel sends notices to people, each type of channel as its own
// documentation wants it. All of them share how an answer is judged: what will
// never work is a fault.Invalid, what is too much for now a fault.Limited, and
// all else is worth another try.
package channel

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/maidian/maidian/pkg/fault"
	"github.com/maidian/maidian/pkg/notice"
	"github.com/maidian/maidian/pkg/secret"
	"github.com/maidian/maidian/services/consumer/internal/outgoing"
)

// Secrets gives secrets in clear.
type Secrets interface {
	Reveal(owner string, v secret.Value) (string, error)
}

// Sender sends notices.
type Sender struct {
	guard   *outgoing.Guard
	client  *http.Client
	secrets Secrets
	base    string // where the charts' paths begin
	now     func() time.Time
}

// New sends by way of the guard; links to charts begin with base.
func New(guard *outgoing.Guard, secrets Secrets, base string) *Sender {
	return &Sender{guard, guard.Client(), secrets, base, time.Now}
}

// send is how a type of channel is spoken to. The remark is what did not work
// although people were told.
type send func(ctx context.Context, s *sending) (remark string, err error)

// Pace is how much a type of channel takes.
type Pace struct {
	AtOnce int
	Every  time.Duration // between the beginnings of two
}

// kind is one of the types of channel.
type kind struct {
	send send
	pace Pace
}

// kinds has one for each of notice.Types. Adding one is a file and a line here.
var kinds = map[string]kind{
	"webhook":  {webhook, Pace{4, 0}},
	"slack":    {slack, Pace{1, time.Second}},
	"telegram": {telegram, Pace{1, 3 * time.Second}},
	"dingtalk": {dingtalk, Pace{1, 3 * time.Second}},
	"feishu":   {feishu, Pace{1, 600 * time.Millisecond}},
	"wecom":    {wecom, Pace{1, 3 * time.Second}},
	"email":    {email, Pace{1, 0}},
}

// PaceOf is what a type of channel takes.
func PaceOf(kind string) Pace { return kinds[kind].pace }

// Send tells people, once. The remark is what did not work although they were told.
func (s *Sender) Send(ctx context.Context, c *notice.Channel, n *notice.Notice) (remark string, err error) {
	k, ok := kinds[c.Type]
	if !ok {
		return "", refused("there are no channels of the type %q", c.Type)
	}
	return k.send(ctx, &sending{s, c, n, notice.Write(n, c, s.base)})
}

// sending is one notice on its way.
type sending struct {
	*Sender
	channel *notice.Channel
	notice  *notice.Notice
	message notice.Message
}

func (s *sending) setting(name string) string { return s.channel.Settings[name] }

// secret is the first of that name, empty when there is none.
func (s *sending) secret(name string) (string, error) {
	all, err := s.allSecrets(name)
	if err != nil || len(all) == 0 {
		return "", err
	}
	return all[0], nil
}

func (s *sending) allSecrets(name string) ([]string, error) {
	var all []string
	for _, v := range s.channel.Secrets[name] {
		text, err := s.secrets.Reveal(s.channel.Owner(name), v)
		if err != nil {
			return nil, fmt.Errorf("secret %s: %w", name, err)
		}
		all = append(all, text)
	}
	return all, nil
}

// robot is what a chat's bot is reached by: its URL, which is a secret, and the
// secret that it wants requests to be signed with, empty when it wants none.
func (s *sending) robot() (to, secret string, err error) {
	if to, err = s.secret("url"); err == nil {
		secret, err = s.secret("secret")
	}
	return to, secret, err
}

// maxShown is how much of an answer goes into an error.
const maxShown = 300

// answer is what a server said.
type answer struct {
	body       []byte
	retryAfter time.Duration
}

// post sends JSON and gives the answer if its status is one of success.
func (s *sending) post(ctx context.Context, to string, body any, headers map[string]string) (*answer, error) {
	data, ok := body.([]byte)
	if !ok {
		var err error
		if data, err = json.Marshal(body); err != nil {
			return nil, err
		}
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(data))
	if err != nil {
		return nil, refused("the channel's URL cannot be read") // the error would show it
	}
	r.Header.Set("Content-Type", "application/json; charset=utf-8")
	r.Header.Set("User-Agent", "maidian")
	for name, value := range headers {
		r.Header.Set(name, value)
	}
	response, err := s.client.Do(r)
	if err != nil {
		return nil, withoutURL(err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, withoutURL(err)
	}
	wait := cmp.Or(response.Header.Get("Retry-After"), response.Header.Get("X-Ogw-Ratelimit-Reset")) // the latter is Feishu's, see there
	a := &answer{content, retryAfter(wait, s.now())}
	return a, judge(response.StatusCode, a)
}

// withoutURL drops the URL from an error of the client: it may hold a token.
func withoutURL(err error) error {
	if wrapped := (*url.Error)(nil); errors.As(err, &wrapped) {
		return wrapped.Err
	}
	return err
}

// judge says what a status means for trying again.
func judge(status int, a *answer) error {
	said := fmt.Sprintf("answered %d %s", status, shown(a.body))
	switch {
	case status >= 200 && status < 300:
		return nil
	case status == http.StatusTooManyRequests:
		return limited(a.retryAfter, "%s", said)
	case status >= 300 && status < 400:
		return refused("%s: redirects are not followed, give the URL that it ends at", said)
	case status >= 500 || status == http.StatusRequestTimeout || status == http.StatusTooEarly:
		return &fault.Error{Kind: fault.Unavailable, Code: "unavailable", Message: said, RetryAfter: a.retryAfter}
	}
	return refused("%s", said)
}

// shown is the beginning of an answer in one line.
func shown(body []byte) string {
	text := strings.Join(strings.Fields(strings.ToValidUTF8(string(body), "\uFFFD")), " ")
	for len(text) > maxShown {
		_, last := utf8.DecodeLastRuneInString(text)
		text = text[:len(text)-last]
	}
	return text
}

// retryAfter reads seconds or a date (RFC 9110, section 10.2.3); 0: it does not say.
func retryAfter(text string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}

func refused(format string, args ...any) error {
	return fault.New(fault.Invalid, "refused", format, args...)
}

func limited(after time.Duration, format string, args ...any) error {
	return &fault.Error{Kind: fault.Limited, Code: "limited", Message: fmt.Sprintf(format, args...), RetryAfter: after}
}

// unclear is an answer that does not say whether it is a success: it may come
// from something in between.
func (a *answer) unclear() error {
	return fault.New(fault.Unavailable, "unavailable", "answered what is not understood: %s", shown(a.body))
}

// codes are those of a server's own codes that are not final.
type codes struct {
	tooFast []int
	wait    time.Duration // after one of these
	busy    []int
}

// verdict is what an answer's own code means; 0 is success.
func (c *codes) verdict(code int, message string) error {
	said := fmt.Sprintf("answered %d %s", code, shown([]byte(message)))
	switch {
	case code == 0:
		return nil
	case slices.Contains(c.tooFast, code):
		return limited(c.wait, "%s", said)
	case slices.Contains(c.busy, code):
		return fault.New(fault.Unavailable, "unavailable", "%s", said)
	}
	return refused("%s", said)
}

// jsonSize is how long a text is within JSON.
func jsonSize(text string) int {
	quoted, _ := json.Marshal(text)
	return len(quoted) - 2
}
