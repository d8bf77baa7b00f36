package channel

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	webhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/maidian/maidian/pkg/fault"
	"github.com/maidian/maidian/pkg/notice"
	"github.com/maidian/maidian/pkg/rule"
	"github.com/maidian/maidian/pkg/secret"
	"github.com/maidian/maidian/services/consumer/internal/outgoing"
)

// script is a server that checks each request as the real one does and then
// answers as it is told.
type script struct {
	status int
	header map[string]string
	body   string
}

// inClear reveals secrets that were never sealed.
type inClear struct{}

func (inClear) Reveal(owner string, v secret.Value) (string, error) {
	return (&secret.Keys{}).Reveal(owner, v)
}

// serve starts an HTTPS server and gives a sender that may speak to it.
func serve(t *testing.T, h http.HandlerFunc) (*Sender, string) {
	t.Helper()
	s := httptest.NewTLSServer(h)
	t.Cleanup(s.Close)
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	c := outgoing.Config{
		Ports: []int{int(netip.MustParseAddrPort(u.Host).Port())}, Networks: []string{"127.0.0.0/8"},
		Timeout: 10 * time.Second, MaxAnswer: 1 << 16, Roots: x509.NewCertPool(),
	}
	c.Roots.AddCert(s.Certificate())
	return New(outgoing.New(c), inClear{}, "https://maidian.example"), s.URL
}

func firing() rule.Firing {
	value, threshold := 12500.0, 10000.0
	return rule.Firing{
		ID: "vip.1", Rule: "vip", Project: "shop", Name: "High-value <!channel> & co", Kind: "event", Severity: "warning", State: rule.StateFiring,
		NewValue: strings.Repeat("y", 5000), Metric: "amount", Value: &value, Op: "gte", Threshold: &threshold, Window: rule.Span{From: 1, To: 1}, Since: 1, At: 1, Link: "/report?a=1&b=2",
		Event: &rule.Sample{EventID: "e1", EventType: "purchase", UserID: "u1", PageURL: strings.Repeat("长", 30_000)},
	}
}

func clear(texts ...string) (all []secret.Value) {
	for _, text := range texts {
		all = append(all, secret.Clear(text))
	}
	return all
}

// sends has a channel send the firing to a server that checks it.
func sends(t *testing.T, c notice.Channel, path string, check func(r *http.Request, body []byte) error, answer script) error {
	t.Helper()
	s, base := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil {
			err = check(r, body)
		}
		if err != nil {
			t.Errorf("the server refuses: %v", err)
		}
		for name, value := range answer.header {
			w.Header().Set(name, value)
		}
		w.WriteHeader(answer.status)
		_, _ = io.WriteString(w, answer.body)
	})
	c.ID, c.Project = "ops", "shop"
	if c.Secrets == nil {
		c.Secrets = map[string][]secret.Value{}
	}
	switch c.Type {
	case "webhook":
		c.Settings = map[string]string{"url": base + path}
	case "telegram":
		c.Settings = map[string]string{"api_url": base, "chat_id": "-100"}
	default:
		c.Secrets["url"] = clear(base + path)
	}
	n := notice.For(firing(), "ops", 1)
	_, err := s.Send(t.Context(), &c, &n)
	if err != nil && (strings.Contains(err.Error(), base) || strings.Contains(err.Error(), "T0K3N")) {
		t.Errorf("the error shows the URL or a secret: %v", err)
	}
	return err
}

// outcome is what an error means for the outbox.
type outcome struct {
	kind  fault.Kind
	after time.Duration
}

func outcomeOf(err error) (o outcome) {
	o.kind = fault.KindOf(err)
	if wrong, ok := err.(*fault.Error); ok {
		o.after = wrong.RetryAfter
	}
	return o
}

const delivered = fault.Kind(255)

func expect(t *testing.T, name string, err error, want outcome) {
	t.Helper()
	got := outcomeOf(err)
	if err == nil {
		got.kind = delivered
	}
	if got != want {
		t.Errorf("%s: got %v (%v), want %v", name, got, err, want)
	}
}

const whsec = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

func TestWebhook(t *testing.T) {
	checks := func(r *http.Request, body []byte) error {
		for _, secret := range []string{whsec, base64.StdEncoding.EncodeToString([]byte("plain T0K3N"))} {
			wh, err := webhooks.NewWebhook(secret)
			if err != nil {
				return err
			}
			if err := wh.Verify(body, r.Header); err != nil {
				return err
			}
		}
		wh, _ := webhooks.NewWebhook("whsec_" + base64.StdEncoding.EncodeToString([]byte("another")))
		if wh.Verify(body, r.Header) == nil {
			return fmt.Errorf("signed for another secret")
		}
		var said payload
		if err := json.Unmarshal(body, &said); err != nil {
			return err
		}
		if said.Type != "alert.firing" || said.Data.ID != "vip.1" || said.Link != "https://maidian.example/report?a=1&b=2" || *said.Data.Value != 12500 {
			return fmt.Errorf("got %+v", said)
		}
		return nil
	}
	tests := map[string]struct {
		script
		want outcome
	}{
		"taken":                  {script{status: 204}, outcome{delivered, 0}},
		"too many":               {script{status: 429, header: map[string]string{"Retry-After": "17"}}, outcome{fault.Limited, 17 * time.Second}},
		"too many, says no when": {script{status: 429}, outcome{fault.Limited, 0}},
		"away":                   {script{status: 503, header: map[string]string{"Retry-After": "5"}}, outcome{fault.Unavailable, 5 * time.Second}},
		"broken":                 {script{status: 500, body: "oops"}, outcome{fault.Unavailable, 0}},
		"slow":                   {script{status: 408}, outcome{fault.Unavailable, 0}},
		"moved":                  {script{status: 301, header: map[string]string{"Location": "https://example.com"}}, outcome{fault.Invalid, 0}},
		"gone":                   {script{status: 410}, outcome{fault.Invalid, 0}},
		"refused":                {script{status: 401, body: strings.Repeat("x", 1000)}, outcome{fault.Invalid, 0}},
		"an answer too long":     {script{status: 200, body: strings.Repeat("x", 1<<17)}, outcome{fault.Unknown, 0}},
	}
	for name, tt := range tests {
		c := notice.Channel{Type: "webhook", Secrets: map[string][]secret.Value{"secret": clear(whsec, "plain T0K3N")}}
		expect(t, name, sends(t, c, "/hook?key=T0K3N", checks, tt.script), tt.want)
	}
}

func TestAWebhookKeepsItsID(t *testing.T) {
	seen := map[string]int{}
	s, base := serve(t, func(_ http.ResponseWriter, r *http.Request) { seen[r.Header.Get("webhook-id")]++ })
	c := notice.Channel{ID: "ops", Project: "shop", Type: "webhook", Settings: map[string]string{"url": base}, Secrets: map[string][]secret.Value{"secret": clear("x")}}
	first, other := notice.For(firing(), "ops", 1), notice.For(firing(), "ops", 1)
	other.ID = "vip.2/ops"
	for _, n := range []*notice.Notice{&first, &first, &other} {
		if _, err := s.Send(t.Context(), &c, n); err != nil {
			t.Fatal(err)
		}
	}
	if len(seen) != 2 || seen[first.Key()] != 2 {
		t.Errorf("got the ids %v, want one twice and another once", seen)
	}
}

func TestSlack(t *testing.T) {
	checks := func(r *http.Request, body []byte) error {
		var said struct{ Text string }
		err := json.Unmarshal(body, &said)
		switch {
		case err != nil || r.URL.Path != "/services/T0/B0/T0K3N" || r.Header.Get("Content-Type") != "application/json; charset=utf-8":
			return fmt.Errorf("%v at %s", err, r.URL.Path)
		case len(said.Text) > 4000 || strings.Contains(said.Text, "<!channel>") || !strings.Contains(said.Text, "&lt;!channel&gt; &amp; co"):
			return fmt.Errorf("invalid_payload: %d bytes, %.80q", len(said.Text), said.Text)
		case !strings.HasSuffix(said.Text, "https://maidian.example/report?a=1&amp;b=2"):
			return fmt.Errorf("the link is missing")
		}
		return nil
	}
	tests := map[string]struct {
		script
		want outcome
	}{
		"taken":       {script{status: 200, body: "ok"}, outcome{delivered, 0}},
		"too many":    {script{status: 429, header: map[string]string{"Retry-After": "30"}, body: "rate_limited"}, outcome{fault.Limited, 30 * time.Second}},
		"no such":     {script{status: 404, body: "no_service"}, outcome{fault.Invalid, 0}},
		"not allowed": {script{status: 403, body: "action_prohibited"}, outcome{fault.Invalid, 0}},
		"away":        {script{status: 500, body: "rollup_error"}, outcome{fault.Unavailable, 0}},
	}
	for name, tt := range tests {
		expect(t, name, sends(t, notice.Channel{Type: "slack"}, "/services/T0/B0/T0K3N", checks, tt.script), tt.want)
	}
}

func TestTelegram(t *testing.T) {
	checks := func(r *http.Request, body []byte) error {
		var said struct {
			ChatID    string `json:"chat_id"`
			Text      string `json:"text"`
			ParseMode string `json:"parse_mode"`
		}
		err := json.Unmarshal(body, &said)
		if err != nil || r.URL.Path != "/bot1:T0K3N/sendMessage" || said.ChatID != "-100" || said.ParseMode != "" {
			return fmt.Errorf("%v: %s %+v", err, r.URL.Path, said.ChatID)
		}
		if n := len([]rune(said.Text)); n < 4000 || n > 4096 { // all of it is within the first plane
			return fmt.Errorf("message is too long: %d", n)
		}
		return nil
	}
	tests := map[string]struct {
		script
		want outcome
	}{
		"taken":    {script{status: 200, body: `{"ok":true,"result":{"message_id":1}}`}, outcome{delivered, 0}},
		"too many": {script{status: 429, body: `{"ok":false,"error_code":429,"description":"Too Many Requests: retry after 14","parameters":{"retry_after":14}}`}, outcome{fault.Limited, 14 * time.Second}},
		"no token": {script{status: 401, body: `{"ok":false,"error_code":401,"description":"Unauthorized"}`}, outcome{fault.Invalid, 0}},
		"no chat":  {script{status: 400, body: `{"ok":false,"error_code":400,"description":"Bad Request: chat not found"}`}, outcome{fault.Invalid, 0}},
		"away":     {script{status: 502, body: `<html>`}, outcome{fault.Unavailable, 0}},
		"a portal": {script{status: 200, body: `<html>sign in</html>`}, outcome{fault.Unavailable, 0}},
	}
	for name, tt := range tests {
		c := notice.Channel{Type: "telegram", Secrets: map[string][]secret.Value{"token": clear("1:T0K3N")}}
		expect(t, name, sends(t, c, "", checks, tt.script), tt.want)
	}
	c := notice.Channel{Type: "telegram", Secrets: map[string][]secret.Value{"token": clear("1:T0K3N/../x")}}
	expect(t, "a token with a path", sends(t, c, "", checks, script{status: 200}), outcome{fault.Invalid, 0})
}

// mac is an HMAC-SHA256 written out again, so that the code is not held against itself.
func mac(key, text string) string {
	h := hmac.New(sha256.New, []byte(key))
	h.Write([]byte(text))
	return base64.StdEncoding.EncodeToString(h.Sum(nil))
}

func near(text string, unit time.Duration) error {
	n, err := strconv.ParseInt(text, 10, 64)
	if off := time.Since(time.Unix(0, n*int64(unit))).Abs(); err != nil || off > time.Hour {
		return fmt.Errorf("invalid timestamp %q: %v", text, err)
	}
	return nil
}

func TestDingTalk(t *testing.T) {
	checks := func(r *http.Request, body []byte) error {
		q := r.URL.Query()
		var said struct {
			MsgType string `json:"msgtype"`
			Text    struct{ Content string }
			At      any
		}
		err := json.Unmarshal(body, &said)
		switch {
		case err != nil || said.MsgType != "text" || said.At != nil || q.Get("access_token") != "T0K3N":
			return fmt.Errorf("%v: %s", err, r.URL)
		case q.Get("sign") != mac("SECx", q.Get("timestamp")+"\nSECx"):
			return fmt.Errorf("310000: sign not match")
		case len(body) > 20_000 || !strings.HasSuffix(said.Text.Content, "\nhttps://maidian.example/report?a=1&b=2"):
			return fmt.Errorf("460101: message too long, %d bytes", len(body))
		}
		return near(q.Get("timestamp"), time.Millisecond)
	}
	tests := map[string]struct {
		script
		want outcome
	}{
		"taken":                  {script{status: 200, body: `{"errcode":0,"errmsg":"ok"}`}, outcome{delivered, 0}},
		"too many":               {script{status: 200, body: `{"errcode":130101,"errmsg":"send too fast, exceed 20 times per minute"}`}, outcome{fault.Limited, 10 * time.Minute}},
		"too many, newer":        {script{status: 200, body: `{"errcode":410100,"errmsg":"发送速度太快而限流"}`}, outcome{fault.Limited, 10 * time.Minute}},
		"not signed as it wants": {script{status: 200, body: `{"errcode":310000,"errmsg":"sign not match"}`}, outcome{fault.Invalid, 0}},
		"busy":                   {script{status: 200, body: `{"errcode":-1,"errmsg":"system busy"}`}, outcome{fault.Unavailable, 0}},
		"a portal":               {script{status: 200, body: `{}`}, outcome{fault.Unavailable, 0}},
		"away":                   {script{status: 502}, outcome{fault.Unavailable, 0}},
	}
	for name, tt := range tests {
		c := notice.Channel{Type: "dingtalk", Secrets: map[string][]secret.Value{"secret": clear("SECx")}}
		expect(t, name, sends(t, c, "/robot/send?access_token=T0K3N", checks, tt.script), tt.want)
	}
}

// TestFeishuSignatures has the secret and time of the bot's guide; others
// publish this signature of them (its own guide shows none).
func TestFeishuSignatures(t *testing.T) {
	at, signature := feishuSigned("demo", time.Unix(1599360473, 0))
	if at != "1599360473" || signature != "l1N0gAcBjdwBvGm1xMjOF0XSyaLRpR7tuO5dHfhAYc8=" {
		t.Errorf("got %s, %s", at, signature)
	}
}

func TestFeishu(t *testing.T) {
	checks := func(r *http.Request, body []byte) error {
		var said struct {
			Timestamp, Sign string
			MsgType         string `json:"msg_type"`
			Content         struct {
				Post map[string]struct {
					Title   string
					Content [][]struct{ Tag, Text, Href string }
				}
			}
		}
		err := json.Unmarshal(body, &said)
		post := said.Content.Post["zh_cn"]
		switch {
		case err != nil || said.MsgType != "post" || r.URL.Path != "/open-apis/bot/v2/hook/T0K3N":
			return fmt.Errorf("9499: %v", err)
		case said.Sign != mac(said.Timestamp+"\nfs", ""):
			return fmt.Errorf("19021: sign match fail")
		case len(body) > 20<<10 || len(post.Content) != 2 || post.Content[0][0].Tag != "text" || post.Content[1][0].Href != "https://maidian.example/report?a=1&b=2":
			return fmt.Errorf("too large or no post: %d bytes, %d lines", len(body), len(post.Content))
		case post.Title != "【警告】High-value <!channel> & co" || !strings.HasPrefix(post.Content[0][0].Text, "amount：12500"):
			return fmt.Errorf("got %q, %.80q", post.Title, post.Content[0][0].Text)
		}
		return near(said.Timestamp, time.Second)
	}
	tests := map[string]struct {
		script
		want outcome
	}{
		"taken":               {script{status: 200, body: `{"code":0,"msg":"success","data":{},"StatusCode":0}`}, outcome{delivered, 0}},
		"too many":            {script{status: 200, body: `{"code":11232,"msg":"frequency limited psm"}`}, outcome{fault.Limited, time.Minute}},
		"too many, by status": {script{status: 429, body: `{"code":99991400,"msg":"request trigger frequency limit"}`, header: map[string]string{"Retry-After": "3"}}, outcome{fault.Limited, 3 * time.Second}},
		"too many, as of old": {script{status: 400, body: `{"code":99991400,"msg":"request trigger frequency limit"}`, header: map[string]string{"x-ogw-ratelimit-reset": "52"}}, outcome{fault.Limited, 52 * time.Second}},
		"signature":           {script{status: 200, body: `{"code":19021,"msg":"sign match fail or timestamp is not within one hour from current time"}`}, outcome{fault.Invalid, 0}},
		"malformed":           {script{status: 400, body: `{"code":9499,"msg":"Bad Request"}`}, outcome{fault.Invalid, 0}},
		"away":                {script{status: 500, body: `{"code":10000}`}, outcome{fault.Unavailable, 0}},
		"a portal":            {script{status: 200, body: `{}`}, outcome{fault.Unavailable, 0}},
	}
	for name, tt := range tests {
		c := notice.Channel{Type: "feishu", Language: notice.Chinese, Secrets: map[string][]secret.Value{"secret": clear("fs")}}
		expect(t, name, sends(t, c, "/open-apis/bot/v2/hook/T0K3N", checks, tt.script), tt.want)
	}
}

func TestWeCom(t *testing.T) {
	checks := func(r *http.Request, body []byte) error {
		var said struct {
			MsgType string `json:"msgtype"`
			Text    struct{ Content string }
		}
		err := json.Unmarshal(body, &said)
		if n := len(said.Text.Content); err != nil || r.URL.Query().Get("key") != "T0K3N" || said.MsgType != "text" || n > 2048 || n < 2000 {
			return fmt.Errorf("%v: %d bytes", err, n)
		}
		return nil
	}
	tests := map[string]struct {
		script
		want outcome
	}{
		"taken":    {script{status: 200, body: `{"errcode":0,"errmsg":"ok"}`}, outcome{delivered, 0}},
		"too many": {script{status: 200, body: `{"errcode":45009,"errmsg":"api freq out of limit"}`}, outcome{fault.Limited, time.Minute}},
		"at once":  {script{status: 200, body: `{"errcode":45033,"errmsg":"api concurrent out of limit"}`}, outcome{fault.Limited, time.Minute}},
		"stopped":  {script{status: 200, body: `{"errcode":93004,"errmsg":"robot is stopped"}`}, outcome{fault.Invalid, 0}},
		"no such":  {script{status: 200, body: `{"errcode":93000,"errmsg":"invalid webhook url"}`}, outcome{fault.Invalid, 0}},
		"busy":     {script{status: 200, body: `{"errcode":-1,"errmsg":"system busy"}`}, outcome{fault.Unavailable, 0}},
	}
	for name, tt := range tests {
		expect(t, name, sends(t, notice.Channel{Type: "wecom"}, "/cgi-bin/webhook/send?key=T0K3N", checks, tt.script), tt.want)
	}
}

func TestEveryTypeHasASender(t *testing.T) {
	for _, kind := range notice.Types {
		if k := kinds[kind.Name]; k.send == nil || k.pace.AtOnce < 1 {
			t.Errorf("%s has no sender or no pace", kind.Name)
		}
	}
	if len(kinds) != len(notice.Types) {
		t.Errorf("got %d senders for %d types", len(kinds), len(notice.Types))
	}
	n := notice.For(firing(), "ops", 1)
	s, _ := serve(t, func(http.ResponseWriter, *http.Request) {})
	_, err := s.Send(t.Context(), &notice.Channel{Type: "pager"}, &n)
	expect(t, "a type that is none", err, outcome{fault.Invalid, 0})
}

func TestASecretThatIsNotThereIsTriedAgain(t *testing.T) {
	s, _ := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("asked without its secret") })
	n := notice.For(firing(), "ops", 1)
	c := notice.Channel{Type: "slack", Secrets: map[string][]secret.Value{"url": {{Env: "CREDENTIAL_NOT_THERE"}}}}
	_, err := s.Send(t.Context(), &c, &n)
	expect(t, "not there yet", err, outcome{fault.Unknown, 0})
}

func TestAServerThatHangsIsLeftInTime(t *testing.T) {
	over := make(chan struct{})
	s, base := serve(t, func(http.ResponseWriter, *http.Request) { <-over })
	defer close(over)
	n := notice.For(firing(), "ops", 1)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := s.Send(ctx, &notice.Channel{Type: "slack", Secrets: map[string][]secret.Value{"url": clear(base)}}, &n)
	expect(t, "hanging", err, outcome{fault.Unknown, 0})
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"": 0, "0": 0, "12": 12 * time.Second, "-5": 0, "soon": 0, "99999999999999": 0,
		"Thu, 01 Jan 2026 00:01:00 GMT": time.Minute, "Thu, 01 Jan 2015 00:00:00 GMT": 0,
	} {
		if got := retryAfter(text, now); got != want {
			t.Errorf("%q: got %s, want %s", text, got, want)
		}
	}
}
