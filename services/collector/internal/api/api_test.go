package api

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/maidian/maidian/pkg/bus"
	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/fault"
	"github.com/maidian/maidian/pkg/proc"
	"github.com/maidian/maidian/pkg/store"
	"github.com/maidian/maidian/services/collector/internal/access"
	"github.com/maidian/maidian/services/collector/internal/enrich"
	"github.com/maidian/maidian/services/collector/internal/intake"
	"github.com/maidian/maidian/services/collector/internal/limit"
)

// broker confirms, refuses, or is blocked until the publish gives up.
type broker struct {
	mu      sync.Mutex
	bodies  [][]byte
	refuses error
	unready error
	blocked bool
	forget  bool // keep nothing
}

func (b *broker) Publish(ctx context.Context, m bus.Message) error {
	if b.blocked {
		<-ctx.Done()
		return ctx.Err()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.refuses == nil && !b.forget {
		b.bodies = append(b.bodies, bytes.Clone(m.Body))
	}
	return b.refuses
}
func (b *broker) Ready() error                { return b.unready }
func (b *broker) Close(context.Context) error { return nil }

// events are all that the broker has confirmed.
func (b *broker) events(t testing.TB) (all []event.Event) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, body := range b.bodies {
		_, events, bad, err := event.DecodeMessage(body)
		if err != nil || len(bad) > 0 {
			t.Fatalf("the message cannot be read: %v, %v", err, bad)
		}
		all = append(all, events...)
	}
	return all
}

// shop is a project that anybody may send to, strict one with origins.
var projects = listed{
	{
		ID: "shop", Currency: "EUR", IPPolicy: store.IPFull,
		Keys: []store.Key{
			{ID: "k1", Kind: store.WriteKey, Hash: hash("wk_shop")},
			{ID: "k2", Kind: store.ReadKey, Hash: hash("rk_shop")},
			{ID: "k3", Kind: store.WriteKey, Hash: hash("wk_old"), RevokedAt: 1},
		},
	},
	{
		ID: "strict", Origins: []string{"https://shop.example"},
		Keys: []store.Key{{ID: "k4", Kind: store.WriteKey, Hash: hash("wk_strict")}},
	},
}

type listed []store.Project

func (l listed) Projects(context.Context) ([]store.Project, error) { return l, nil }

func hash(key string) string { return access.Hash(key) }

// collector is an API in front of a fake broker, served over HTTP.
type collector struct {
	*API
	t       testing.TB
	broker  *broker
	handler http.Handler
	url     string
}

// shared is made once: it compiles hundreds of patterns.
var shared = sync.OnceValues(func() (*enrich.Enricher, error) { return enrich.New(prometheus.NewRegistry(), zap.NewNop(), nil) })

func start(t testing.TB, change ...func(*API)) *collector {
	t.Helper()
	metrics := prometheus.NewRegistry()
	enricher, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	b := &broker{}
	limits := intake.Limits{Events: 500, Bytes: 1e6, Waiting: 64 << 20, Deadline: time.Second, Eager: 4, InFlight: 64}
	a := &API{
		Enabled: true, Demo: true, BodyTimeout: 5 * time.Second,
		Keys: access.New(projects), Intake: intake.New(enricher, b, limits, metrics),
		Rate: limit.NewRate(0, 0), Memory: limit.NewMemory(64<<20, metrics), Requests: limit.NewRequests(1000, metrics), Ready: func() error { return nil },
	}
	if err := a.Keys.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, c := range change {
		c(a)
	}
	h, err := a.Handler(proc.New("collector", zap.NewNop(), metrics, proc.Options{}))
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return &collector{a, t, b, h, s.URL}
}

// request is one to send; answer what came back.
type request struct {
	method, path, body string
	header             http.Header
}

type answer struct {
	status int
	header http.Header
	body   string
}

const batchPath, trackPath = "/api/v1/analytics/track/batch", "/api/v1/analytics/track"

var withKey = http.Header{"X-Api-Key": {"wk_shop"}}

func with(pairs ...string) http.Header {
	h := withKey.Clone()
	for i := 0; i < len(pairs); i += 2 {
		h.Set(pairs[i], pairs[i+1])
	}
	return h
}

func (c *collector) send(r request) answer {
	c.t.Helper()
	if r.method == "" {
		r.method = "POST"
	}
	req, err := http.NewRequest(r.method, c.url+r.path, strings.NewReader(r.body))
	if err != nil {
		c.t.Fatal(err)
	}
	if r.header != nil {
		req.Header = r.header.Clone()
	}
	if r.method == "POST" && req.Header.Get("Content-Type") == "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := (&http.Transport{DisableCompression: true, DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	a := answer{resp.StatusCode, resp.Header, string(body)}
	documented(c.t, req, resp, body)
	if a.header.Get("Access-Control-Allow-Origin") == "" {
		c.t.Errorf("%s %s: %d without CORS headers", r.method, r.path, a.status)
	}
	return a
}

// expect checks a status and, in errors, the code.
func (c *collector) expect(r request, status int, code string) answer {
	c.t.Helper()
	a := c.send(r)
	var body struct{ Error struct{ Code string } }
	json.Unmarshal([]byte(a.body), &body)
	if a.status != status || body.Error.Code != code {
		c.t.Errorf("%s %s: got %d %q, want %d %q: %s", r.method, r.path, a.status, body.Error.Code, status, code, a.body)
	}
	if (a.status == 503 || a.status == 429) && a.header.Get("Retry-After") == "" {
		c.t.Errorf("%d without Retry-After", a.status)
	}
	return a
}

func packed(s string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	io.WriteString(z, s)
	z.Close()
	return b.String()
}

const click = `{"event_type":"click","event_id":"c1"}`

func batchOf(events ...string) string {
	return `{"events":[` + strings.Join(events, ",") + `]}`
}

func TestStatuses(t *testing.T) {
	big := strings.Repeat(" ", 1<<20)
	tests := map[string]struct {
		request
		status int
		code   string
	}{
		"one event":                {request{path: trackPath, body: click, header: withKey}, 200, ""},
		"one event, alias":         {request{path: "/api/track/event", body: click, header: withKey}, 200, ""},
		"batch":                    {request{path: batchPath, body: batchOf(click), header: withKey}, 200, ""},
		"batch, alias":             {request{path: "/api/track/batch", body: batchOf(click), header: withKey}, 200, ""},
		"page view":                {request{path: "/api/v1/analytics/page-view", body: `{}`, header: withKey}, 200, ""},
		"page view, alias":         {request{path: "/api/track/pageview", body: `{}`, header: withKey}, 200, ""},
		"product view":             {request{path: "/api/v1/analytics/product-view", body: `{"product_id":"p"}`, header: withKey}, 200, ""},
		"purchase":                 {request{path: "/api/v1/analytics/purchase", body: `{"amount":1.5,"order_id":"o"}`, header: withKey}, 200, ""},
		"bearer key":               {request{path: trackPath, body: click, header: http.Header{"Authorization": {"Bearer wk_shop"}}}, 200, ""},
		"key in the body":          {request{path: trackPath, body: `{"event_type":"click","api_key":"wk_shop"}`}, 200, ""},
		"key in a batch's body":    {request{path: batchPath, body: `{"api_key":"wk_shop","events":[` + click + `]}`}, 200, ""},
		"text/plain":               {request{path: trackPath, body: click, header: with("Content-Type", "text/plain;charset=UTF-8")}, 200, ""},
		"gzip":                     {request{path: trackPath, body: packed(click), header: with("Content-Encoding", "gzip")}, 200, ""},
		"gzip as text":             {request{path: trackPath, body: packed(click), header: with("Content-Encoding", "gzip", "Content-Type", "text/plain")}, 200, ""},
		"gzip of several members":  {request{path: trackPath, body: packed(click[:9]) + packed(click[9:]), header: with("Content-Encoding", "gzip")}, 200, ""},
		"as large as allowed":      {request{path: trackPath, body: click + big[len(click):], header: withKey}, 200, ""},
		"unpacked as allowed":      {request{path: trackPath, body: packed(click + big + big + big + big[len(click):]), header: with("Content-Encoding", "gzip")}, 200, ""},
		"no key":                   {request{path: trackPath, body: click}, 401, "no_key"},
		"key in the query":         {request{path: trackPath + "?api_key=wk_shop", body: click}, 401, "no_key"},
		"unknown key":              {request{path: trackPath, body: click, header: http.Header{"X-Api-Key": {"wk_shopp"}}}, 401, "unknown_key"},
		"unknown key in the body":  {request{path: trackPath, body: `{"event_type":"x","api_key":"no"}`}, 401, "unknown_key"},
		"revoked key":              {request{path: trackPath, body: click, header: http.Header{"X-Api-Key": {"wk_old"}}}, 401, "revoked_key"},
		"read key":                 {request{path: trackPath, body: click, header: http.Header{"X-Api-Key": {"rk_shop"}}}, 401, "wrong_key"},
		"other origin":             {request{path: trackPath, body: click, header: http.Header{"X-Api-Key": {"wk_strict"}, "Origin": {"https://evil.example"}}}, 403, "origin_not_allowed"},
		"other port":               {request{path: trackPath, body: click, header: http.Header{"X-Api-Key": {"wk_strict"}, "Origin": {"https://shop.example:8443"}}}, 403, "origin_not_allowed"},
		"other origin, body's key": {request{path: trackPath, body: `{"event_type":"x","api_key":"wk_strict"}`, header: http.Header{"Origin": {"null"}}}, 403, "origin_not_allowed"},
		"allowed origin":           {request{path: trackPath, body: click, header: http.Header{"X-Api-Key": {"wk_strict"}, "Origin": {"https://shop.example"}}}, 200, ""},
		"no origin: a server":      {request{path: trackPath, body: click, header: http.Header{"X-Api-Key": {"wk_strict"}}}, 200, ""},
		"too large":                {request{path: trackPath, body: click + big, header: withKey}, 413, "too_large"},
		"too large unpacked":       {request{path: trackPath, body: packed(click + big + big + big + big), header: with("Content-Encoding", "gzip")}, 413, "too_large"},
		"a bomb":                   {request{path: trackPath, body: packed(strings.Repeat(big, 30)), header: with("Content-Encoding", "gzip")}, 413, "too_large"},
		"a bomb of members":        {request{path: trackPath, body: strings.Repeat(packed(big), 5), header: with("Content-Encoding", "gzip")}, 413, "too_large"},
		"form":                     {request{path: trackPath, body: "a=b", header: with("Content-Type", "application/x-www-form-urlencoded")}, 415, "unsupported_type"},
		"other charset":            {request{path: trackPath, body: click, header: with("Content-Type", "text/plain; charset=latin1")}, 415, "unsupported_type"},
		"broken type":              {request{path: trackPath, body: click, header: with("Content-Type", "text/plain; =")}, 415, "unsupported_type"},
		"brotli":                   {request{path: trackPath, body: click, header: with("Content-Encoding", "br")}, 415, "unsupported_encoding"},
		"gzip twice":               {request{path: trackPath, body: packed(packed(click)), header: with("Content-Encoding", "gzip, gzip")}, 415, "unsupported_encoding"},
		"no gzip":                  {request{path: trackPath, body: click, header: with("Content-Encoding", "gzip")}, 400, "invalid_gzip"},
		"empty gzip":               {request{path: trackPath, header: with("Content-Encoding", "gzip")}, 400, "invalid_gzip"},
		"half of a gzip":           {request{path: trackPath, body: packed(click)[:20], header: with("Content-Encoding", "gzip")}, 400, "incomplete_body"},
		"broken gzip":              {request{path: trackPath, body: packed(click)[:10] + "\xff\xff\xff", header: with("Content-Encoding", "gzip")}, 400, "unreadable_body"},
		"no JSON":                  {request{path: trackPath, body: `{"event_type":`, header: withKey}, 400, "invalid_json"},
		"nothing":                  {request{path: trackPath, header: withKey}, 400, "invalid_json"},
		"no UTF-8":                 {request{path: trackPath, body: "{\"event_type\":\"\xff\"}", header: withKey}, 400, "invalid_json"},
		"no events":                {request{path: batchPath, body: `{"events":[]}`, header: withKey}, 400, "invalid_field"},
		"1001 events":              {request{path: batchPath, body: batchOf(strings.Split(strings.Repeat(click+"|", 1000)+click, "|")...), header: withKey}, 400, "invalid_field"},
		"no event_type":            {request{path: trackPath, body: `{}`, header: withKey}, 400, "missing_field"},
		"purchase without amount":  {request{path: "/api/v1/analytics/purchase", body: `{}`, header: withKey}, 400, "missing_field"},
		"pixel":                    {request{method: "GET", path: "/api/v1/analytics/pixel.gif?event_type=open&api_key=wk_shop"}, 200, ""},
		"pixel without key":        {request{method: "GET", path: "/api/v1/analytics/pixel.gif?event_type=open"}, 401, "no_key"},
		"pixel of another page":    {request{method: "GET", path: "/api/v1/analytics/pixel.gif?event_type=open&api_key=wk_strict", header: http.Header{"Referer": {"https://evil.example/x"}}}, 403, "origin_not_allowed"},
		"pixel of the page":        {request{method: "GET", path: "/api/v1/analytics/pixel.gif?event_type=open&api_key=wk_strict", header: http.Header{"Referer": {"https://shop.example/x"}}}, 200, ""},
		"pixel of nothing":         {request{method: "GET", path: "/api/v1/analytics/pixel.gif?event_type=&api_key=wk_shop"}, 400, "missing_field"},
		"pixel with no number":     {request{method: "GET", path: "/api/v1/analytics/pixel.gif?event_type=a&x_position=left&api_key=wk_shop"}, 400, "invalid_field"},
		"health":                   {request{method: "GET", path: "/api/health"}, 200, ""},
		"live":                     {request{method: "GET", path: "/livez"}, 200, ""},
		"ready":                    {request{method: "GET", path: "/readyz"}, 200, ""},
		"document":                 {request{method: "GET", path: "/openapi.json"}, 200, ""},
		"elsewhere":                {request{method: "GET", path: "/nowhere"}, 404, "not_found"},
		"wrong method":             {request{method: "GET", path: trackPath}, 405, "method_not_allowed"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := start(t)
			c.expect(test.request, test.status, test.code)
			if confirmed := len(c.broker.events(t)); (confirmed > 0) != (test.status == 200 && strings.HasPrefix(test.path, "/api/") && test.path != "/api/health") {
				t.Errorf("%d events confirmed after a %d", confirmed, test.status)
			}
		})
	}
}

func TestAnswerCountsAndNamesEverything(t *testing.T) {
	c := start(t)
	a := c.send(request{path: batchPath, header: withKey, body: batchOf(
		`{"event_type":"click","event_id":"ok-1"}`,
		`{"event_type":"purchase","event_id":"bad-1","scroll_depth":101,"properties":{"amount":-1}}`,
		`{"event_type":"click"}`,
		`7`,
	)})
	const want = `{"accepted":2,"rejected":2,"errors":[` +
		`{"index":1,"event_id":"bad-1","code":"invalid_field","field":"scroll_depth","message":"must be 0 to 100 percent, got 101"},` +
		`{"index":1,"event_id":"bad-1","code":"invalid_field","field":"properties.amount","message":"must be 0 or more, got -1"},` +
		`{"index":3,"code":"invalid_field","message":"an event must be an object, got a number"}]}`
	if a.status != 200 || a.body != want {
		t.Errorf("got %d %s\nwant %s", a.status, a.body, want)
	}
	if got := c.broker.events(t); len(got) != 2 || got[0].EventID != "ok-1" || len(got[1].EventID) != 36 {
		t.Errorf("confirmed: %+v", got)
	}
	none := c.send(request{path: batchPath, header: withKey, body: batchOf(`{}`, `{"event_type":7}`)})
	var body struct {
		Accepted, Rejected int
		Errors             []event.Problem
		Error              struct {
			Code, Field string
			RequestID   string `json:"request_id"`
		}
	}
	if err := json.Unmarshal([]byte(none.body), &body); err != nil {
		t.Fatal(err)
	}
	if none.status != 400 || body.Rejected != 2 || len(body.Errors) != 2 || body.Error.Field != "event_type" || body.Error.RequestID != none.header.Get("X-Request-Id") {
		t.Errorf("only bad events: got %d %s", none.status, none.body)
	}
}

func TestWhatIsKnownOfTheSenderIsAdded(t *testing.T) {
	c := start(t, func(a *API) { a.Proxies, _ = enrich.ParseProxies([]string{"127.0.0.0/8"}) })
	c.expect(request{path: "/api/v1/analytics/purchase", body: `{"amount":12,"page_url":"https://Shop.Example/cart?utm_source=letter&utm_medium=email"}`, header: with(
		"User-Agent", "Mozilla/5.0 (iPhone; CPU iPhone OS 17_2 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.2 Mobile/15E148 Safari/604.1",
		"Referer", "https://news.example/a", "X-Forwarded-For", "203.0.113.9", "X-Maidian-Sdk", "go/1",
	)}, 200, "")
	got := c.broker.events(t)
	if len(got) != 1 {
		t.Fatalf("got %d events", len(got))
	}
	e := got[0]
	want := event.Event{
		Project: "shop", EventID: e.EventID, EventType: "purchase", EventName: "purchase", Timestamp: e.ReceivedAt, ReceivedAt: e.ReceivedAt,
		PageURL: "https://Shop.Example/cart?utm_source=letter&utm_medium=email", Referrer: "https://news.example/a",
		UserAgent: "Mozilla/5.0 (iPhone; CPU iPhone OS 17_2 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.2 Mobile/15E148 Safari/604.1",
		IPAddress: "203.0.113.9", Browser: "Mobile Safari", BrowserVersion: "17.2", OS: "iOS", OSVersion: "17.2", DeviceType: "mobile",
		PageHost: "shop.example", PagePath: "/cart", UTMSource: "letter", UTMMedium: "email", Channel: "Email", SDK: "go/1",
		Properties: `{"currency":"EUR","amount":12}`, BatchID: e.BatchID,
	}
	if e != want {
		t.Errorf("got  %+v\nwant %+v", e, want)
	}
}

func TestSkewIsTakenFromTheBody(t *testing.T) {
	c := start(t)
	hourAgo := time.Now().Add(-time.Hour).UnixMilli()
	c.expect(request{path: trackPath, header: withKey, body: fmt.Sprintf(`{"event_type":"x","timestamp":%d,"sent_at":%d}`, hourAgo-5000, hourAgo)}, 200, "")
	c.expect(request{path: batchPath, header: withKey, body: fmt.Sprintf(`{"events":[{"event_type":"x","timestamp":%d}],"sent_at":%d}`, hourAgo-5000, hourAgo)}, 200, "")
	for _, e := range c.broker.events(t) {
		if behind := e.ReceivedAt - e.Timestamp; behind < 4000 || behind > 6000 || int64(e.ClientTimestamp) != hourAgo-5000 {
			t.Errorf("stored %d ms before its receipt, client time off by %d", behind, int64(e.ClientTimestamp)-hourAgo)
		}
	}
}

func TestPixelTakesFieldsAndProperties(t *testing.T) {
	c := start(t)
	a := c.send(request{method: "GET", path: "/api/v1/analytics/pixel.gif?api_key=wk_shop&event_type=purchase&amount=12.50&user_id=007&x_position=3&campaign=00123&timestamp=1767225600000"})
	if a.status != 200 || a.body != onePixel || a.header.Get("Content-Type") != "image/gif" || a.header.Get("Cache-Control") != "no-store" {
		t.Fatalf("got %d %q %v", a.status, a.body, a.header)
	}
	e := c.broker.events(t)[0]
	if e.UserID != "007" || e.XPosition != "3" || e.Timestamp != 1767225600000 || event.ValueOf(&e, "campaign") != event.TextValue("00123") ||
		event.ValueOf(&e, "amount").Number != 12.5 || event.ValueOf(&e, "api_key").Kind != event.Absent {
		t.Errorf("got %+v", e)
	}
}

func TestBrokerTroubleIs503AndNothingIsAccepted(t *testing.T) {
	tests := map[string]func(*broker){
		"away":      func(b *broker) { b.refuses = fault.New(fault.Unavailable, "away", "away") },
		"odd":       func(b *broker) { b.refuses = io.ErrUnexpectedEOF },
		"blocked":   func(b *broker) { b.blocked = true },
		"not ready": func(b *broker) { b.unready = fault.New(fault.Unavailable, "blocked", "memory alarm") },
	}
	for name, trouble := range tests {
		t.Run(name, func(t *testing.T) {
			c := start(t)
			trouble(c.broker)
			a := c.expect(request{path: batchPath, body: batchOf(click, `{}`), header: withKey}, 503, "broker_unavailable")
			if strings.Contains(a.body, "accepted\"") {
				t.Errorf("counts in a 503: %s", a.body)
			}
			c.expect(request{method: "GET", path: "/api/v1/analytics/pixel.gif?event_type=open&api_key=wk_shop"}, 503, "broker_unavailable")
			c.expect(request{method: "GET", path: "/readyz"}, 200, "")
		})
	}
}

func TestSwitchedOffRefusesForLater(t *testing.T) {
	c := start(t, func(a *API) { a.Enabled = false })
	c.expect(request{path: trackPath, body: click, header: withKey}, 503, "disabled")
	c.expect(request{path: trackPath, body: `{"event_type":"x","api_key":"wk_shop"}`}, 503, "disabled")
}

func TestBeforeProjectsAreKnownIs503(t *testing.T) {
	c := start(t, func(a *API) { a.Keys = access.New(projects); a.Ready = a.Keys.Ready })
	c.expect(request{path: trackPath, body: click, header: withKey}, 503, "starting")
	c.expect(request{method: "GET", path: "/readyz"}, 503, "")
}

func TestRateIsPerKey(t *testing.T) {
	c := start(t, func(a *API) { a.Rate = limit.NewRate(0.001, 2) })
	c.expect(request{path: batchPath, body: batchOf(click, click, click), header: withKey}, 200, "")
	c.expect(request{path: trackPath, body: click, header: withKey}, 429, "rate_limited")
	c.expect(request{path: trackPath, body: click, header: http.Header{"X-Api-Key": {"wk_strict"}}}, 200, "")
}

func TestMemoryOfBodiesIsBounded(t *testing.T) {
	c := start(t, func(a *API) { a.Memory = limit.NewMemory(100<<10, prometheus.NewRegistry()) })
	c.expect(request{path: trackPath, body: click + strings.Repeat(" ", 300<<10), header: withKey}, 503, "overloaded")
	c.expect(request{path: trackPath, body: click, header: withKey}, 200, "")
	if held := c.Memory.Held(); held != 0 {
		t.Errorf("%d bytes are held after all requests", held)
	}
}

func TestAboveTheMostRequestsTheNewestIsRefusedUnread(t *testing.T) {
	c := start(t, func(a *API) { a.Requests = limit.NewRequests(1, prometheus.NewRegistry()) })
	if err := c.Requests.Enter(); err != nil {
		t.Fatal(err)
	}
	for _, r := range []request{
		{path: batchPath, body: "no JSON: it is not even looked at", header: withKey},
		{path: trackPath, body: `{"event_type":"x","api_key":"wk_shop"}`},
		{method: "GET", path: "/api/v1/analytics/pixel.gif?event_type=x&api_key=wk_shop"},
	} {
		if a := c.expect(r, 503, "overloaded"); a.header.Get("Retry-After") == "" || a.header.Get("Access-Control-Allow-Origin") == "" {
			t.Errorf("%s: headers %v", r.path, a.header)
		}
	}
	c.expect(request{method: "GET", path: "/readyz"}, 200, "")
	c.Requests.Leave()
	c.expect(request{path: trackPath, body: click, header: withKey}, 200, "")
}

func TestPreflights(t *testing.T) {
	c := start(t)
	for _, path := range []string{trackPath, batchPath, "/api/track/event", "/nowhere"} {
		a := c.send(request{method: "OPTIONS", path: path, header: http.Header{
			"Origin": {"https://any.example"}, "Access-Control-Request-Method": {"POST"}, "Access-Control-Request-Headers": {"content-type,x-api-key"},
		}})
		if a.status != 204 || a.header.Get("Access-Control-Allow-Origin") != "https://any.example" ||
			!strings.Contains(a.header.Get("Access-Control-Allow-Headers"), "X-Api-Key") || !strings.Contains(a.header.Get("Access-Control-Allow-Methods"), "POST") {
			t.Errorf("%s: got %d %v", path, a.status, a.header)
		}
	}
}

func TestPanicsBearCORSToo(t *testing.T) {
	c := start(t, func(a *API) { a.Rate = nil })
	c.expect(request{path: trackPath, body: click, header: withKey}, 500, "internal")
}

func TestASlowBodyEnds(t *testing.T) {
	c := start(t, func(a *API) { a.BodyTimeout = 50 * time.Millisecond })
	conn, err := net.Dial("tcp", strings.TrimPrefix(c.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nX-Api-Key: wk_shop\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{", trackPath)
	answer, err := io.ReadAll(conn) // ends when the server closes
	if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 408 ") || !strings.Contains(string(answer), "body_timeout") {
		t.Errorf("got %q, %v", answer, err)
	}
}

func TestScriptIsCachedAndPacked(t *testing.T) {
	c := start(t)
	for path, name := range map[string]string{"/sdk.js": "sdk.js", "/tracking_sdk.js": "sdk.js", "/sdk-more.js": "sdk-more.js", "/sdk-overlay.js": "sdk-overlay.js"} {
		script, err := assets.ReadFile("assets/" + name)
		if err != nil {
			t.Skip("skipped: the SDK is not built")
		}
		plain := c.send(request{method: "GET", path: path})
		if plain.status != 200 || plain.body != string(script) || !strings.HasPrefix(plain.header.Get("Content-Type"), "text/javascript") || plain.header.Get("Cache-Control") == "" {
			t.Fatalf("%s: got %d, %d bytes, %v", path, plain.status, len(plain.body), plain.header)
		}
		packed := c.send(request{method: "GET", path: path, header: http.Header{"Accept-Encoding": {"br, gzip"}}})
		z, err := gzip.NewReader(strings.NewReader(packed.body))
		if err != nil {
			t.Fatal(err)
		}
		unpacked, _ := io.ReadAll(z)
		if string(unpacked) != string(script) || packed.header.Get("Content-Encoding") != "gzip" || len(packed.body) >= len(plain.body) {
			t.Errorf("%s: packed is something else", path)
		}
		for _, etag := range []string{plain.header.Get("ETag"), packed.header.Get("ETag"), `W/"x", ` + plain.header.Get("ETag")} {
			if again := c.send(request{method: "GET", path: path, header: http.Header{"If-None-Match": {etag}}}); again.status != 304 || again.body != "" {
				t.Errorf("%s %s: got %d", path, etag, again.status)
			}
		}
		if head := c.send(request{method: "HEAD", path: path}); head.status != 200 || head.body != "" {
			t.Errorf("HEAD %s: got %d %q", path, head.status, head.body)
		}
	}
	if none := (&file{}); none.plain != nil {
		t.Error("a file that was not built has content")
	}
	c.expect(request{method: "GET", path: "/sdk.js", header: http.Header{"Accept-Encoding": {"gzip;q=0"}}}, 200, "")
}

func TestWhatGzipIsAccepted(t *testing.T) {
	for header, want := range map[string]bool{
		"gzip": true, "br, gzip;q=0.5": true, "*": true, "gzip;q=1.0": true,
		"": false, "br": false, "gzip;q=0": false, "gzip; q=0.000": false, "xgzip": false,
	} {
		if got := acceptsGzip(header); got != want {
			t.Errorf("%q: got %v", header, got)
		}
	}
}
