//go:build unix

package collector_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/maidian/maidian/pkg/bus"
	"github.com/maidian/maidian/pkg/event"
)

// hostile is one request that no good client sends, or that looks as if it were
// one, with the status that the API's description promises for it.
type hostile struct {
	name   string
	raw    string // as it goes over the wire
	status int
}

// accepting confirms everything and keeps nothing.
type accepting struct{}

func (accepting) Publish(context.Context, bus.Message) error { return nil }
func (accepting) Ready() error                               { return nil }
func (accepting) Close(context.Context) error                { return nil }

const mostGrowth = 32 << 20

// TestHostileRequests sends more than two thousand of them to a collector in a
// process of its own, each on a connection of its own: every one gets its status,
// nothing panics, and nothing of them stays in memory. No 5xx is among them but
// the two that HTTP itself prescribes: 501 for unknown transfer codings, 505 for
// unknown versions.
func TestHostileRequests(t *testing.T) {
	all := hostileRequests(t)
	if len(all) < 2000 {
		t.Errorf("only %d requests", len(all))
	}
	s, before := apart(t)
	slow := slowly(t, s.url)
	names := map[string]bool{}
	for _, h := range all {
		if names[h.name] {
			t.Errorf("%s: stands twice", h.name)
		}
		names[h.name] = true
		if status, body := exchange(t, s.url, h.raw); status != h.status {
			t.Errorf("%s: status %d, want %d: %s", h.name, status, h.status, body)
		} else if status >= 400 {
			explained(t, h.name, body)
		}
	}
	for _, p := range pipelines() {
		if got := answers(t, s.url, p.raw); !slices.Equal(got, p.statuses) {
			t.Errorf("pipelined %s: got %v, want %v", p.name, got, p.statuses)
		}
	}
	slow.Wait()
	after := s.used()
	t.Logf("%d requests: %v before, %v after", len(all), before, after)
	if after.Heap > before.Heap+mostGrowth || after.Goroutines > before.Goroutines+20 {
		t.Errorf("%v in use before, %v after", before, after)
	}
	if !raced() && after.Peak > before.Peak+mostGrowth { // the race detector keeps several bytes for each
		t.Errorf("the process had at most %d bytes before, and %d while it was attacked", before.Peak, after.Peak)
	}
	if status, body := exchange(t, s.url, post(one, `{"event_type":"x"}`)); status != http.StatusOK {
		t.Errorf("a good request afterwards: status %d: %s", status, body)
	}
	s.end()
}

// process is a collector in a process of its own.
type process struct {
	t      *testing.T
	url    string
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Scanner
	errors bytes.Buffer
}

// use is the memory that a process has.
type use struct {
	Heap, Peak uint64 // bytes in use after collecting garbage; most that were resident since it was asked last
	Goroutines int
}

// apart starts this test's program again, as TestHostileServer, and says what
// memory it takes for the largest good requests.
func apart(t *testing.T) (*process, use) {
	t.Helper()
	s := &process{t: t, cmd: exec.Command(os.Args[0], "-test.run=^TestHostileServer$")}
	s.cmd.Env = append(os.Environ(), "HOSTILE_SERVER=yes", "COLLECTOR_BODY_TIMEOUT=2s")
	s.cmd.Stderr = &s.errors
	in, err := s.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := s.cmd.StdoutPipe()
	if err == nil {
		err = s.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	s.in, s.out = in, bufio.NewScanner(out)
	t.Cleanup(func() { _ = s.cmd.Process.Kill() })
	if !s.out.Scan() {
		t.Fatalf("the collector does not start: %s", &s.errors)
	}
	s.url = s.out.Text()
	full := batchOf(strings.Repeat(`{"event_type":"x","page_title":"`+strings.Repeat("a", 400)+`"},`, 999) + `{"event_type":"x"}`)
	for range 20 {
		if status, body := exchange(t, s.url, post(many, full)); status != http.StatusOK {
			t.Fatalf("warming up: status %d: %s", status, body)
		}
	}
	return s, s.used()
}

func (s *process) used() (u use) {
	s.t.Helper()
	if _, err := io.WriteString(s.in, "\n"); err != nil || !s.out.Scan() {
		s.t.Fatalf("the collector has gone: %v %s", err, &s.errors)
	}
	if err := json.Unmarshal(s.out.Bytes(), &u); err != nil {
		s.t.Fatalf("%s: %v", s.out.Text(), err)
	}
	return u
}

// end stops the process in order.
func (s *process) end() {
	s.t.Helper()
	_ = s.in.Close()
	for s.out.Scan() {
	}
	if err := s.cmd.Wait(); err != nil || strings.Contains(s.errors.String(), "panic") {
		s.t.Errorf("the collector ended with %v: %s", err, &s.errors)
	}
}

// TestHostileServer is the collector of TestHostileRequests: it says where it
// listens, then for each line that it reads what memory it has, and ends with its input.
func TestHostileServer(t *testing.T) {
	if os.Getenv("HOSTILE_SERVER") == "" {
		return
	}
	fmt.Println(serve(t, accepting{}).url)
	for asked := bufio.NewScanner(os.Stdin); asked.Scan(); {
		var m runtime.MemStats
		peak := resident()
		debug.FreeOSMemory() // collects garbage, too
		runtime.ReadMemStats(&m)
		_ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) // the peak starts anew
		text, _ := json.Marshal(use{m.HeapAlloc, peak, runtime.NumGoroutine()})
		fmt.Println(string(text))
	}
}

// resident is the most memory that this process had, where the system says so.
func resident() (bytes uint64) {
	status, _ := os.ReadFile("/proc/self/status")
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	_, _ = fmt.Sscan(rest, &bytes)
	return bytes << 10
}

// raced says whether the race detector is built in.
func raced() bool {
	info, _ := debug.ReadBuildInfo()
	return info == nil || slices.ContainsFunc(info.Settings, func(s debug.BuildSetting) bool { return s.Key == "-race" && s.Value == "true" })
}

// slowly opens connections that never come to the end of what they send. Headers
// that take too long end without an answer, or as the bad request that they are by
// then, as net/http has it; a body that does is answered with 408.
func slowly(t *testing.T, url string) *sync.WaitGroup {
	start := "POST " + one + " HTTP/1.1\r\nHost: x\r\nX-API-Key: wk_test\r\nContent-Type: application/json\r\n"
	var open sync.WaitGroup
	for _, s := range []struct {
		name, at, drop string // what is sent at once, and what a little at a time for ever
		status         int
	}{
		{"nothing", "", "", 0},
		{"a first line", "POST /", "a", 400},
		{"headers", start, "X: y\r\n", 0},
		{"a header's value", start + "X: ", "y", 0},
		{"a body that stops", start + "Content-Length: 100\r\n\r\n{", "", 408},
		{"a body", start + "Content-Length: 100000\r\n\r\n", " ", 408},
		{"chunks", start + "Transfer-Encoding: chunked\r\n\r\n", "1\r\n \r\n", 408},
		{"a chunk's length", start + "Transfer-Encoding: chunked\r\n\r\n", "0", 408},
		{"gzip", start + "Content-Encoding: gzip\r\nContent-Length: 100000\r\n\r\n\x1f\x8b\x08\x08\x00\x00\x00\x00\x00\x03", "n", 408},
		{"a body with the key in it", strings.Replace(start, "X-API-Key: wk_test\r\n", "", 1) + "Content-Length: 100000\r\n\r\n", " ", 408},
		{"a body with a wrong key", strings.Replace(start, "wk_test", "wk_none", 1) + "Content-Length: 100000\r\n\r\n", " ", 401},
		{"a body of another type", strings.Replace(start, "/json", "/xml", 1) + "Content-Length: 100000\r\n\r\n", " ", 415},
	} {
		for range 10 {
			open.Go(func() {
				if status, body := trickle(url, s.at, s.drop); status != s.status {
					t.Errorf("slow, %s: status %d, want %d: %s", s.name, status, s.status, body)
				}
			})
		}
	}
	return &open
}

// trickle sends at once, then drop after drop until an answer or the end comes.
func trickle(url, at, drop string) (status int, body string) {
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		return -1, err.Error()
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	_, _ = io.WriteString(conn, at)
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		for tick := time.NewTicker(100 * time.Millisecond); ; {
			select {
			case <-ended:
				tick.Stop()
				return
			case <-tick.C:
				_, _ = io.WriteString(conn, drop)
			}
		}
	}()
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() {
			return -1, "nothing happened for a minute"
		}
		return 0, err.Error()
	}
	defer resp.Body.Close()
	answer, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(answer)
}

// pipelined is several requests at once, or what only looks like it.
type pipelined struct {
	name, raw string
	statuses  []int
}

func pipelines() []pipelined {
	good, bad := post(one, `{"event_type":"x"}`), post(one, `{`)
	stranger := strings.Replace(good, "wk_test", "wk_none", 1)
	chunked := "POST " + one + " HTTP/1.1\r\nHost: x\r\nX-API-Key: wk_test\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n"
	hundred := make([]int, 100)
	for i := range hundred {
		hundred[i] = 200
	}
	return []pipelined{
		{"a hundred", strings.Repeat(good, 100), hundred},
		{"good, bad, good", good + bad + good, []int{200, 400, 200}},
		{"a stranger between", good + stranger + good, []int{200, 401, 200}},
		{"no route, no method", "GET /no HTTP/1.1\r\nHost: x\r\n\r\nPUT " + one + " HTTP/1.1\r\nHost: x\r\n\r\n" + good, []int{404, 405, 200}},
		{"garbage behind", good + "GARBAGE\x00\xff\r\n\r\n" + good, []int{200, 400}},
		{"TLS behind", good + "\x16\x03\x01\x02\x00\x01\xfc\x03\r\n\r\n", []int{200, 400}},
		{"half a request behind", good + good[:len(good)-40], []int{200, 400}},
		{"half a body behind", good + good[:len(good)-9], []int{200, 400}},
		{"empty lines behind", good + "\r\n\r\n\r\n", []int{200, 400}},
		{"a length too short, so that the rest is no request", strings.Replace(good, "Content-Length: 18", "Content-Length: 5", 1) + good, []int{400, 400}},
		{"a length that takes the next request in", strings.Replace(good, "Content-Length: 18", fmt.Sprintf("Content-Length: %d", 18+len(good)), 1) + good + good, []int{400, 200}},
		{"chunks that hide a request", chunked + "\r\n12\r\n{\"event_type\":\"x\"}\r\n0\r\n\r\n" + good, []int{200, 200}},
		{"a length beside chunks that hide a request", chunked + "Content-Length: 4\r\n\r\n12\r\n{\"event_type\":\"x\"}\r\n0\r\n\r\n" + good, []int{200, 200}},
		{"broken chunks before a request", chunked + "\r\nxyz\r\n" + good, []int{400}},
		{"asking to close before a request", strings.Replace(good, "Host: x", "Host: x\r\nConnection: close", 1) + good, []int{200}},
		{"too large before a request", post(one, strings.Repeat(" ", 3<<20)) + good, []int{413, 200}},
	}
}

// answers sends bytes and returns the statuses of everything that comes back.
func answers(t *testing.T, url, raw string) (statuses []int) {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	go func() {
		_, _ = io.WriteString(conn, raw)
		_ = conn.(*net.TCPConn).CloseWrite()
	}()
	for from := bufio.NewReader(conn); ; {
		resp, err := http.ReadResponse(from, nil)
		if err != nil {
			return statuses
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		statuses = append(statuses, resp.StatusCode)
	}
}

// exchange sends bytes and returns the first answer.
func exchange(t *testing.T, url, raw string) (status int, body string) {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	go func() {
		_, _ = io.WriteString(conn, raw) // the other side may hang up in the middle of it
		_ = conn.(*net.TCPConn).CloseWrite()
	}()
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	answer, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(answer)
}

// explained holds our own errors to their shape. What net/http refuses before
// us (framing, headers) is plain text.
func explained(t *testing.T, name, body string) {
	t.Helper()
	if !strings.HasPrefix(body, "{") {
		return
	}
	var answer struct {
		Error struct{ Code, Message, RequestID string } `json:"error"`
	}
	if err := json.Unmarshal([]byte(strings.ReplaceAll(body, "request_id", "RequestID")), &answer); err != nil ||
		answer.Error.Code == "" || answer.Error.Message == "" || answer.Error.RequestID == "" {
		t.Errorf("%s: not explained: %s", name, body)
	}
}

// Where events go.
const (
	one  = "/api/v1/analytics/track"
	many = "/api/v1/analytics/track/batch"
)

// post is a well-formed request with this body.
func post(path, body string, headers ...string) string {
	return "POST " + path + " HTTP/1.1\r\nHost: x\r\nX-API-Key: wk_test\r\nContent-Type: application/json\r\n" +
		fmt.Sprintf("Content-Length: %d\r\n", len(body)) + strings.Join(append(headers, ""), "\r\n") + "\r\n" + body
}

func batchOf(event string) string { return `{"events":[` + event + `]}` }

func hostileRequests(t *testing.T) (all []hostile) {
	t.Helper()
	for _, family := range []func() []hostile{
		cutJSON, brokenJSON, wrongTypes, wrongProperties, spoofed, outOfRange, deep, wide, notUTF8, twice, zipped, framed, headers, methods, keys, queries,
	} {
		all = append(all, family()...)
	}
	return all
}

// cutJSON is a good body that ends too early, at each of its bytes.
func cutJSON() (all []hostile) {
	event := `{"event_type":"purchase","user_id":17,"timestamp":"2026-01-31T08:30:00Z","properties":{"amount":1.5e1,"a\u00e9":[true,null,{"b":"\\"}]}}`
	for path, body := range map[string]string{one: event, many: batchOf(event)} {
		for i := range len(body) {
			all = append(all, hostile{fmt.Sprintf("%s cut at byte %d", path, i), post(path, body[:i]), 400})
		}
	}
	return all
}

// brokenJSON is what only looks like JSON, in the place of an event, of a
// property, and of the whole body.
func brokenJSON() (all []hostile) {
	broken := []string{
		`{'a':1}`, `{a:1}`, `{"a":1,}`, `{,}`, `{"a"}`, `{"a":}`, `{"a":1 "b":2}`, `{"a":1;"b":2}`, `[1,]`, `[,1]`, `[1 2]`, `{]`, `[}`, `{"a":[}`,
		`01`, `1.`, `.5`, `+1`, `-`, `1e`, `1e+`, `0x10`, `1_000`, `NaN`, `Infinity`, `-Infinity`, `--1`, `1.2.3`, `tru`, `TRUE`, `True`, `nul`, `None`, `undefined`,
		`"\x"`, `"\u12"`, `"\u12G4"`, "\"\n\"", "\"\t\"", "\"\x00\"", `"\"`, `'a'`, "`a`", `"a" "b"`, `/* a */ 1`, `// a`, `# a`, `{} {}`, `{}[]`, `{}x`, `}`, `]`, `,`, `:`,
		"\ufeff{}", "\u00a0{}", "\u2028", `<xml/>`, `a=1&b=2`, `--boundary`, "\x1f\x8b\x08", "%PDF-1.4", "\x00", `{"a":1}}`, `[[]`,
	}
	for i, s := range broken {
		name := fmt.Sprintf("%d %.12q", i, s)
		all = append(
			all,
			hostile{"broken body " + name, post(one, s), 400},
			hostile{"broken batch " + name, post(many, s), 400},
			hostile{"broken event " + name, post(many, batchOf(`{"event_type":"good"},`+s)), 400},
			hostile{"broken property " + name, post(one, `{"event_type":"x","properties":{"p":`+s+`}}`), 400},
		)
	}
	for _, s := range []string{`null`, `true`, `1`, `"text"`, `[]`, `[{"event_type":"x"}]`, `{}`, `{"events":null}`, `{"events":{}}`, `{"events":"x"}`, `{"events":[]}`, `{"events":[null]}`, `{"events":[1,2]}`, `{"events":[[]]}`, `{"events":[{}]}`, ` `, `{"event_type":null}`, `{"event_type":""}`, `{"event_type":" "}`} {
		all = append(all, hostile{"wrong shape of body " + s, post(one, s), 400}, hostile{"wrong shape of batch " + s, post(many, s), 400})
	}
	return all
}

// wrongTypes is each field with a value of each type that it does not take.
func wrongTypes() (all []hostile) {
	values := map[string]string{"a number": `1.5`, "an integer": `-7`, "a boolean": `true`, "an array": `["x"]`, "an object": `{"x":1}`, "a text": `"x y"`, "an empty array": `[]`, "null": `null`}
	takes := map[string]string{
		"event_id": "null", "event_type": "a text", "event_name": "a text, null", "user_id": "a text, an integer, null", "anonymous_id": "a text, null", "session_id": "a text, null",
		"timestamp": "a number, an integer, null", "sent_at": "a number, an integer, null", "properties": "an object, null", "custom_data": "an object, null",
		"x_position": "a number, an integer, null", "y_position": "a number, an integer, null", "scroll_depth": "a number, null", "duration": "a number, null", "load_time": "a number, null",
		"api_key": "a text, null",
	}
	for _, text := range []string{"page_url", "page_title", "referrer", "user_agent", "screen_resolution", "viewport_size", "element_id", "element_class", "element_text", "sdk"} {
		takes[text] = "a text, null"
	}
	for field, good := range takes {
		for kind, value := range values {
			event := `{"event_type":"x","` + field + `":` + value + `}`
			if field == "event_type" {
				event = `{"event_type":` + value + `}`
			}
			status := 400
			for _, taken := range strings.Split(good, ", ") {
				if taken == kind {
					status = 200
				}
			}
			all = append(all, hostile{field + " is " + kind, post(one, event), status})
			if field != "sent_at" && field != "api_key" { // they belong to the batch
				all = append(all, hostile{field + " in a batch is " + kind, post(many, batchOf(event)), status})
			}
		}
	}
	for _, field := range event.Fields {
		if field.Client && takes[field.Name] == "" {
			all = append(all, hostile{name: field.Name + " stands in no test"})
		}
	}
	for kind, value := range values {
		for field, good := range map[string]string{"sent_at": takes["sent_at"], "api_key": takes["api_key"]} {
			status := 400
			if slices.Contains(strings.Split(good, ", "), kind) {
				status = 200
			}
			all = append(all, hostile{field + " of a batch is " + kind, post(many, `{"`+field+`":`+value+`,"events":[{"event_type":"x"}]}`), status})
		}
	}
	return all
}

// wrongProperties is each typed property of each known kind with a value of each
// type, inside properties and beside them.
func wrongProperties() (all []hostile) {
	values := map[string]string{"a number": `1.5`, "a number below zero": `-7`, "a huge number": `1e309`, "a boolean": `true`, "an array": `["x"]`, "an object": `{"x":1}`, "a text": `"EUR"`, "no text": `""`, "an empty array": `[]`, "null": `null`, "items": `[{"product_id":"p","quantity":1,"price":2}]`}
	text, id, amount := "a text, no text, null", "a text, a number, a number below zero", "a number"
	takes := map[string]string{
		"product_id": id, "product_name": text, "category": text, "price": amount + ", null", "quantity": amount + ", null",
		"order_id": id + ", null", "amount": amount, "currency": "a text, null", "items": "items, an empty array, null", "query": text, "results": amount + ", null",
	}
	needed := map[string]string{"purchase": `"amount":1`, "product_view": `"product_id":"p"`, "cart_add": `"product_id":"p"`, "cart_remove": `"product_id":"p"`, "search": `"query":"q"`}
	for _, kind := range event.Known {
		for _, property := range kind.Properties {
			for what, value := range values {
				status := 400
				if slices.Contains(strings.Split(takes[property.Name], ", "), what) {
					status = 200
				}
				member := `"` + property.Name + `":` + value
				if need := needed[kind.Type]; !strings.HasPrefix(need, `"`+property.Name+`"`) {
					member += "," + need
				}
				name := kind.Type + "'s " + property.Name + " is " + what
				all = append(
					all,
					hostile{name, post(one, `{"event_type":"`+kind.Type+`","properties":{`+member+`}}`), status},
					hostile{name + " at top level", post(many, batchOf(`{"event_type":"`+kind.Type+`",`+member+`}`)), status},
				)
			}
		}
	}
	for _, property := range []string{"product_id", "quantity", "price"} {
		for what, value := range values {
			status := 400
			if slices.Contains(strings.Split(takes[property]+", null", ", "), what) {
				status = 200
			}
			all = append(all, hostile{"an item's " + property + " is " + what, post(one, `{"event_type":"purchase","amount":1,"items":[{"`+property+`":`+value+`}]}`), status})
		}
	}
	typed := map[string]string{
		"purchase": `{"amount":1}`, "product_view": `{"product_id":"p"}`, "cart_add": `{"product_id":"p"}`, "cart_remove": `{"product_id":"p"}`, "search": `{"query":"q"}`,
	}
	bad := map[string][]string{
		"purchase":     {`{}`, `{"amount":"x"}`, `{"amount":-1}`, `{"amount":null}`, `{"amount":true}`, `{"amount":[1]}`, `{"amount":1,"currency":"euro"}`, `{"amount":1,"currency":5}`, `{"amount":1,"items":{}}`, `{"amount":1,"items":[1]}`, `{"amount":1,"order_id":{}}`},
		"product_view": {`{}`, `{"product_id":null}`, `{"product_id":{}}`, `{"product_id":""}`, `{"product_id":"p","price":"x"}`, `{"product_id":"p","price":-1}`, `{"product_id":"p","quantity":"x"}`},
		"cart_add":     {`{}`, `{"product_id":[]}`, `{"product_id":"p","quantity":-1}`},
		"cart_remove":  {`{}`, `{"product_id":true}`},
		"search":       {`{"query":{}}`, `{"query":"q","results":"x"}`, `{"query":"q","results":-1}`},
	}
	for kind, properties := range typed {
		all = append(all, hostile{"good " + kind, post(one, `{"event_type":"`+kind+`","properties":`+properties+`}`), 200})
		for _, properties := range bad[kind] {
			all = append(all, hostile{"bad " + kind + " " + properties, post(one, `{"event_type":"`+kind+`","properties":`+properties+`}`), 400})
		}
	}
	return all
}

// spoofed is each of the server's own fields, of any type: what a client says
// there is a property like any other, and no fact.
func spoofed() (all []hostile) {
	for _, field := range event.Fields {
		if field.Client {
			continue
		}
		for _, value := range []string{`"evil"`, `1`, `-1e300`, `true`, `null`, `[{}]`, `{"$set":{}}`, `"2099-01-01T00:00:00Z"`} {
			all = append(all, hostile{"the server's " + field.Name + " is " + value, post(one, `{"event_type":"x","`+field.Name+`":`+value+`}`), 200})
		}
		all = append(all, hostile{"the server's " + field.Name + " is huge", post(one, `{"event_type":"x","`+field.Name+`":1e999}`), 400})
	}
	return all
}

// outOfRange is numbers, times and texts beyond what a field holds.
func outOfRange() (all []hostile) {
	for _, field := range []string{"x_position", "y_position", "scroll_depth", "duration", "load_time", "timestamp"} {
		for _, huge := range []string{"1e309", "-1e309", "1e999999999", strings.Repeat("9", 400), "-" + strings.Repeat("9", 400)} {
			all = append(all, hostile{fmt.Sprintf("%s is %.12s", field, huge), post(one, `{"event_type":"x","`+field+`":`+huge+`}`), 400})
		}
	}
	digits := strings.Repeat("9", 300)
	for huge, status := range map[string]int{
		"1e308": 200, "-1.7976931348623157e308": 200, "1.7976931348623159e308": 400, digits: 200, "0." + digits: 200, "1e-999999": 200, "0e999999999": 200, digits + digits: 400, "1e309": 400, "-1e309": 400, "1e99999999999999999999": 400,
		"18446744073709551616": 200, "9007199254740993": 200, "-0": 200, "5e-324": 200, digits + "e" + digits: 400,
	} {
		name := fmt.Sprintf("%.24s of %d", huge, len(huge))
		all = append(
			all,
			hostile{"a property is " + name, post(one, `{"event_type":"x","properties":{"p":`+huge+`}}`), status},
			hostile{"a property deep down is " + name, post(one, `{"event_type":"x","properties":{"p":[{"q":[`+huge+`]}]}}`), status},
			hostile{"an unknown field is " + name, post(many, batchOf(`{"event_type":"x","p":`+huge+`}`)), status},
		)
	}
	for _, value := range []string{"-1", "-0.001", "100.001", "101", "1e3"} {
		all = append(all, hostile{"scroll_depth is " + value, post(one, `{"event_type":"x","scroll_depth":`+value+`}`), 400})
	}
	for _, value := range []string{`""`, `"2026-01-31"`, `"yesterday"`, `"2026-13-01T00:00:00Z"`, `"2026-02-30T00:00:00Z"`, `"2026-01-31T25:00:00Z"`, `"2026-01-31 08:30:00"`, `"99999-01-01T00:00:00Z"`, `"1769848200000"`, `253402300800000`, `-253402300800000`} {
		all = append(
			all,
			hostile{"timestamp is " + value, post(one, `{"event_type":"x","timestamp":`+value+`}`), 400},
			hostile{"sent_at is " + value, post(many, `{"sent_at":`+value+`,"events":[{"event_type":"x"}]}`), 400},
		)
	}
	for _, field := range []string{"event_type", "event_name", "user_id", "anonymous_id", "session_id", "sdk"} {
		for n, status := range map[int]int{200: 200, 201: 400, 60_000: 400} {
			body := `{"event_type":"x","` + field + `":"` + strings.Repeat("é", n/10) + strings.Repeat("a", n-n/10) + `"}`
			if field == "event_type" {
				body = strings.Replace(body, `"event_type":"x",`, "", 1)
			}
			all = append(all, hostile{fmt.Sprintf("%s of %d characters", field, n), post(one, body), status})
		}
	}
	for _, id := range []string{"", " ", "a b", "a/b", "a\\u0000", "é", "\\ud800", "'; drop", "{$ne:1}", strings.Repeat("a", 65), "a\\n", "../../etc", "%00", "a,b"} {
		all = append(all, hostile{fmt.Sprintf("event_id is %.20q", id), post(one, `{"event_type":"x","event_id":"`+id+`"}`), 400})
	}
	for _, control := range []string{`\u0000`, `\u0007`, `\n`, `\u001b[2J`, `\u0085`, `\u007f`} {
		all = append(all, hostile{"event_type with " + control, post(one, `{"event_type":"a`+control+`"}`), 400})
	}
	return all
}

// deep is nesting, as far as it is taken and beyond.
func deep() (all []hostile) {
	for depth, status := range map[int]int{1: 200, 7: 200, 8: 400, 9: 400, 100: 400, 10_000: 400, 200_000: 400} {
		for kind, brackets := range map[string][2]string{"arrays": {"[", "]"}, "objects": {`{"a":`, "}"}} {
			end := ""
			if kind == "objects" {
				end = "1"
			}
			nested := strings.Repeat(brackets[0], depth) + end + strings.Repeat(brackets[1], depth)
			if len(nested) > 1<<20-100 {
				continue
			}
			all = append(
				all,
				hostile{fmt.Sprintf("properties hold %d %s", depth, kind), post(one, `{"event_type":"x","properties":{"p":`+nested+`}}`), status},
				hostile{fmt.Sprintf("the body is %d %s", depth, kind), post(one, nested), 400},
				hostile{fmt.Sprintf("events are %d %s", depth, kind), post(many, `{"events":`+nested+`}`), 400},
			)
		}
		all = append(all, hostile{fmt.Sprintf("the body opens %d arrays", depth), post(one, strings.Repeat("[", depth)), 400})
	}
	return all
}

// wide is many keys, many events, and long bodies.
func wide() (all []hostile) {
	for n, status := range map[int]int{256: 200, 257: 400, 3_000: 400} {
		var keys []string
		for i := range n {
			keys = append(keys, fmt.Sprintf(`"k%d":%d`, i, i))
		}
		object := strings.Join(keys, ",")
		all = append(
			all,
			hostile{fmt.Sprintf("%d properties", n), post(one, `{"event_type":"x","properties":{`+object+`}}`), status},
			hostile{fmt.Sprintf("%d nested properties", n), post(one, `{"event_type":"x","properties":{"p":{`+object+`}}}`), status},
			hostile{fmt.Sprintf("%d unknown fields", n), post(one, `{"event_type":"x",`+object+`}`), status},
		)
	}
	event := `{"event_type":"x"}`
	for n, status := range map[int]int{1000: 200, 1001: 400, 40_000: 400} {
		all = append(all, hostile{fmt.Sprintf("%d events", n), post(many, batchOf(strings.Repeat(event+",", n-1)+event)), status})
	}
	for n, status := range map[int]int{30_000: 200, 33_000: 400, 70_000: 400, 1<<20 - 60: 400, 1 << 20: 413, 3 << 20: 413} {
		all = append(all, hostile{fmt.Sprintf("a property of %d bytes", n), post(one, `{"event_type":"x","properties":{"p":"`+strings.Repeat("a", n)+`"}}`), status})
	}
	for n, status := range map[int]int{60_000: 200, 66_000: 400} {
		all = append(all, hostile{fmt.Sprintf("a title of %d bytes", n), post(one, `{"event_type":"x","page_title":"`+strings.Repeat("a", n)+`"}`), status})
	}
	all = append(all, hostile{"white space alone", post(one, strings.Repeat(" \n\t\r", 200_000)), 400})
	return all
}

// notUTF8 is bytes that are no text, in keys and in values.
func notUTF8() (all []hostile) {
	for _, bytes := range []string{"\x80", "\xbf", "\xc0\xaf", "\xc1\xbf", "\xc3", "\xc3(", "\xe2\x82", "\xe2(\xa1", "\xe0\x80\xaf", "\xed\xa0\x80", "\xed\xbf\xbf", "\xf0\x9f\x92", "\xf0\x80\x80\xaf", "\xf4\x90\x80\x80", "\xf8\x88\x80\x80\x80", "\xfe", "\xff", "a\xffb", "\xe9t\xe9"} {
		for place, body := range map[string]string{
			"event_type": `{"event_type":"` + bytes + `"}`, "page_title": `{"event_type":"x","page_title":"` + bytes + `"}`, "a key": `{"event_type":"x","properties":{"` + bytes + `":1}}`,
			"a property": `{"event_type":"x","properties":{"p":"` + bytes + `"}}`, "between values": `{"event_type":"x"` + bytes + `}`,
		} {
			all = append(all, hostile{fmt.Sprintf("%s has %q", place, bytes), post(one, body), 400})
		}
	}
	return all
}

// twice is a member that stands twice. Of an event's own fields and of unknown
// ones the last or first counts, as with any JSON reader; where it would be
// unclear what was meant, it is refused.
func twice() (all []hostile) {
	for _, member := range []string{`"event_type":"x"`, `"user_id":"u"`, `"timestamp":1`, `"duration":1`, `"page_url":"/"`, `"event_id":"e"`} {
		all = append(all, hostile{"twice " + member, post(one, `{"event_type":"x",`+member+`,`+member+`}`), 200})
	}
	return append(
		all,
		hostile{"events twice", post(many, `{"events":[{"event_type":"x"}],"events":[{"event_type":"y"}]}`), 400},
		hostile{"a property twice", post(one, `{"event_type":"x","properties":{"a":1,"a":2}}`), 400},
		hostile{"a nested property twice", post(one, `{"event_type":"x","properties":{"p":{"a":1,"a":2}}}`), 400},
		hostile{"a property twice, once escaped", post(one, `{"event_type":"x","properties":{"a":1,"\u0061":2}}`), 400},
		hostile{"__proto__", post(one, `{"event_type":"x","__proto__":{"a":1},"constructor":1}`), 200},
		hostile{"operators as keys", post(one, `{"event_type":"x","properties":{"$where":"1","a.b":1,"":2}}`), 200},
	)
}

// zipped is bodies that say gzip.
func zipped() (all []hostile) {
	event := `{"event_type":"x","properties":{"p":"` + strings.Repeat("ab", 40) + `"}}`
	add := func(name, body string, status int) {
		all = append(all, hostile{"gzip: " + name, post(one, body, "Content-Encoding: gzip"), status})
	}
	good := gzipped(event)
	add("good", good, 200)
	for i := range len(good) {
		add(fmt.Sprintf("cut at byte %d", i), good[:i], 400)
	}
	add("two members", gzipped(event[:20])+gzipped(event[20:]), 200)
	add("twice", gzipped(good), 400)
	add("plain", event, 400)
	add("zlib", zlibbed(event), 400)
	add("garbage behind", good+"garbage", 400)
	add("zeros behind", good+strings.Repeat("\x00", 512), 400)
	add("wrong checksum", good[:len(good)-8]+"\x00\x00\x00\x00"+good[len(good)-4:], 400)
	add("wrong length", good[:len(good)-4]+"\xff\xff\xff\x7f", 400)
	add("a reserved block", string(append([]byte(good[:10]), 0x07)), 400)
	add("an empty member", gzipped(""), 400)
	add("a thousand empty members", strings.Repeat(gzipped(""), 1000), 400)
	add("5 MiB of spaces", gzipped(strings.Repeat(" ", 5<<20)), 413)
	add("1 GiB of zeros in a thousand members", strings.Repeat(gzipped(strings.Repeat("\x00", 1<<20)), 900), 413)
	add("a bomb behind a good event", good+gzipped(strings.Repeat(" ", 64<<20)), 413)
	add("a header with a name that never ends", "\x1f\x8b\x08\x08\x00\x00\x00\x00\x00\x03"+strings.Repeat("n", 100_000), 400)
	for _, encoding := range []string{"br", "deflate", "zstd", "compress", "gzip, gzip", "GZIP;q=1", "x", "identity, gzip"} {
		all = append(all, hostile{"encoding " + encoding, post(one, event, "Content-Encoding: "+encoding), 415})
	}
	return all
}

func gzipped(s string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = io.WriteString(w, s)
	_ = w.Close()
	return b.String()
}

func zlibbed(s string) string {
	var b bytes.Buffer
	w := zlib.NewWriter(&b)
	_, _ = io.WriteString(w, s)
	_ = w.Close()
	return b.String()
}

// framed is lengths that do not fit, chunks that are none, and more than one request.
func framed() (all []hostile) {
	body := `{"event_type":"x"}`
	start := "POST " + one + " HTTP/1.1\r\nHost: x\r\nX-API-Key: wk_test\r\nContent-Type: application/json\r\n"
	add := func(name, raw string, status int) { all = append(all, hostile{"framing: " + name, raw, status}) }
	add("no length", start+"\r\n"+body, 400)
	add("a length of 0", start+"Content-Length: 0\r\n\r\n"+body, 400)
	add("a length too short", start+"Content-Length: 5\r\n\r\n"+body, 400)
	add("a length too long", start+"Content-Length: 500\r\n\r\n"+body, 400)
	add("a length of 2 MiB and nothing", start+"Content-Length: 2097152\r\n\r\n", 413)
	for _, length := range []string{"-1", "+18", "18a", "0x12", "1e3", "18, 19", "99999999999999999999", "١٨", "18 18"} {
		add("a length of "+length, start+"Content-Length: "+length+"\r\n\r\n"+body, 400)
	}
	add("two lengths", start+"Content-Length: 18\r\nContent-Length: 19\r\n\r\n"+body, 400)
	add("the same length twice", start+"Content-Length: 18\r\nContent-Length: 18\r\n\r\n"+body, 200)
	chunked := start + "Transfer-Encoding: chunked\r\n\r\n"
	add("chunks", chunked+"9\r\n"+body[:9]+"\r\n9\r\n"+body[9:]+"\r\n0\r\n\r\n", 200)
	add("chunks of one byte", chunked+strings.Join(strings.SplitAfter("1\r\n"+strings.Join(strings.Split(body, ""), "\r\n1\r\n"), "X"), "")+"\r\n0\r\n\r\n", 200)
	for _, bad := range []string{"x\r\n", "-1\r\n", "9\r\nab", "ffffffffffffffffff\r\n", "9\r\n" + body[:9] + "9", "12\r\n" + body + "\r\n", "\r\n", "12;" + strings.Repeat("e", 8000) + "\r\n" + body, "0"} {
		add(fmt.Sprintf("chunks %.20q", bad), chunked+bad, 400)
	}
	add("chunks and a length", start+"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n12\r\n"+body+"\r\n0\r\n\r\n", 200)
	for _, coding := range []string{"gzip, chunked", "xchunked", "chunked, chunked", "identity"} {
		add("transfer encoding "+coding, start+"Transfer-Encoding: "+coding+"\r\n\r\n0\r\n\r\n", 501)
	}
	add("garbage behind a good request", post(one, body)+"GARBAGE\x00\xff\r\n\r\n", 200)
	add("a hundred requests at once", strings.Repeat(post(one, body), 100), 200)
	for _, line := range []string{"POST\r\n\r\n", "POST  HTTP/1.1\r\n\r\n", "\x16\x03\x01\x02\x00\x01", "GET / HTTP/9.9\r\n\r\n", "GET / HTTP/1.1 x\r\nHost: x\r\n\r\n", "hello\r\n\r\n", "POST /a b HTTP/1.1\r\nHost: x\r\n\r\n", "P\x00ST / HTTP/1.1\r\nHost: x\r\n\r\n"} {
		status := 400
		if strings.Contains(line, "9.9") {
			status = 505
		}
		add(fmt.Sprintf("first line %.20q", line), line, status)
	}
	return all
}

// headers is what headers can be made to say.
func headers() (all []hostile) {
	body := `{"event_type":"x"}`
	add := func(name string, status int, headers ...string) {
		all = append(all, hostile{"headers: " + name, post(one, body, headers...), status})
	}
	for _, bad := range []string{"No colon", ": no name", "Spa ce: x", "Na\x00me: x", "Name: a\x00b", "Näme: x", "Name : x"} {
		add(fmt.Sprintf("%q", bad), 400, bad)
	}
	add("1.2 MiB", 431, "X-Long: "+strings.Repeat("a", 1200<<10))
	add("70,000 of them", 431, strings.Repeat("A: b\r\n", 300_000)+"A: b")
	add("a folded one", 400, "X-A: b\r\n c: d\r\nX")
	for _, forged := range []string{
		"X-Forwarded-For: 1.2.3.4", "X-Forwarded-For: " + strings.Repeat("1.1.1.1, ", 2000) + "2.2.2.2", "X-Forwarded-For: ' or 1=1", "X-Forwarded-For: ::ffff:169.254.169.254", "X-Forwarded-For: unknown, _hidden",
		"X-Forwarded-For: %s%n", "Forwarded: for=\"[2001:db8::1]:99999\"", "X-Real-IP: 127.0.0.1", "True-Client-IP: 10.0.0.1", "X-Forwarded-Proto: gopher", "X-Forwarded-Host: evil", "X-HTTP-Method-Override: DELETE",
		"X-Original-URL: /api/v1/admin", "X-Request-Id: " + strings.Repeat("r", 5000), "X-Request-Id: a\tb", "User-Agent: " + strings.Repeat("Mozilla/5.0 (", 3000), "User-Agent: \xff\xfe", "User-Agent: ${jndi:ldap://x}", "User-Agent: () { :; };",
		"Referer: javascript:alert(1)", "Referer: http://[::1", "Referer: " + strings.Repeat("http://a/", 3000), "Cookie: " + strings.Repeat("a=b; ", 5000), "X-Maidian-Sdk: " + strings.Repeat("s", 1000), "Accept-Encoding: *;q=x", "Range: bytes=0-0", "If-None-Match: *", "Accept: application/xml",
	} {
		add(fmt.Sprintf("%.50q", forged), 200, forged)
	}
	add("expecting something odd", 417, "Expect: the-inquisition")
	for kind, status := range map[string]int{
		"application/json": 200, "text/plain": 200, "text/plain;charset=UTF-8": 200, "application/json; charset=utf-8": 200, "application/xml": 415, "text/html": 415, "application/x-www-form-urlencoded": 415,
		"multipart/form-data; boundary=x": 415, "application/json; charset=utf-16": 415, "text/plain; charset=iso-8859-1": 415, "json": 415, "/": 415, ";": 415, "application/json;;": 415, "application/octet-stream": 415, "application/jsonx": 415, "application/json, text/html": 415,
	} {
		all = append(all, hostile{"content type " + kind, strings.Replace(post(one, body), "Content-Type: application/json", "Content-Type: "+kind, 1), status})
	}
	all = append(
		all,
		hostile{"no host", "GET /livez HTTP/1.1\r\n\r\n", 400},
		hostile{"two hosts", "GET /livez HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400},
		hostile{"a host that is none", "GET /livez HTTP/1.1\r\nHost: a/../b\r\n\r\n", 400},
		hostile{"HTTP/1.0", "GET /livez HTTP/1.0\r\n\r\n", 200},
	)
	return all
}

// methods is every route with methods that it does not take, and paths that are no routes.
func methods() (all []hostile) {
	routes := []string{one, many, "/api/track/event", "/api/track/batch", "/api/v1/analytics/page-view", "/api/track/pageview", "/api/v1/analytics/product-view", "/api/v1/analytics/purchase"}
	for _, route := range routes {
		for _, method := range []string{"GET", "PUT", "DELETE", "PATCH", "HEAD", "TRACE", "CONNECT", "PROPFIND", "post", "BREW"} {
			all = append(all, hostile{method + " " + route, method + " " + route + " HTTP/1.1\r\nHost: x\r\nX-API-Key: wk_test\r\nContent-Length: 0\r\n\r\n", 405})
		}
	}
	for _, route := range []string{"/api/v1/analytics/pixel.gif", "/sdk.js", "/api/health", "/livez"} {
		for _, method := range []string{"POST", "PUT", "DELETE", "BREW"} {
			all = append(all, hostile{method + " " + route, method + " " + route + " HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 405})
		}
	}
	for _, path := range []string{"/", "/api", "/api/v1/analytics", "/API/V1/ANALYTICS/TRACK", "/api/v1/analytics/funnel", "/api/v1/admin/projects", "/.env", "/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "//api/track/event", "/api/track/event/..", "/api/track/event%00", "/" + strings.Repeat("a", 8000), "/api/track/event;x=1", "/metrics", "/debug/pprof/"} {
		all = append(all, hostile{fmt.Sprintf("path %.40q", path), post(path, `{"event_type":"x"}`), 404})
	}
	return append(all, hostile{"a slash too many", post(one+"/", `{"event_type":"x"}`), 307})
}

// keys is write keys that are none, and where they do not belong.
func keys() (all []hostile) {
	bare := func(body string, headers ...string) string {
		return strings.Replace(post(one, body, headers...), "X-API-Key: wk_test\r\n", "", 1)
	}
	body := `{"event_type":"x"}`
	add := func(name, raw string, status int) { all = append(all, hostile{"key: " + name, raw, status}) }
	add("none", bare(body), 401)
	add("in the query", strings.Replace(bare(body), one, one+"?api_key=wk_test", 1), 401)
	add("in a cookie", bare(body, "Cookie: api_key=wk_test"), 401)
	add("in properties", bare(`{"event_type":"x","properties":{"api_key":"wk_test"}}`), 401)
	add("in the body", bare(`{"event_type":"x","api_key":"wk_test"}`), 200)
	add("in an event of a batch", strings.Replace(bare(batchOf(`{"event_type":"x","api_key":"wk_test"}`)), one, many, 1), 401)
	add("as a bearer", bare(body, "Authorization: Bearer wk_test"), 200)
	add("as a bearer, spelt otherwise", bare(body, "Authorization: bEaReR   wk_test "), 200)
	for _, wrong := range []string{"wk_", "wk_tes", "wk_test2", "WK_TEST", "wk_test\x20x", "rk_test", "ak_demo", strings.Repeat("wk_", 5000), "' or ''='", "%77k_test", "null", "\"wk_test\""} {
		add(fmt.Sprintf("%.20q", wrong), bare(body, "X-API-Key: "+wrong), 401)
		add(fmt.Sprintf("%.20q as a bearer", wrong), bare(body, "Authorization: Bearer "+wrong), 401)
	}
	for _, scheme := range []string{"Basic d2tfdGVzdA==", "Bearer", "Digest username=x", "wk_test", "Bearer\twk_test"} {
		add(fmt.Sprintf("authorization %q", scheme), bare(body, "Authorization: "+scheme), 401)
	}
	return all
}

// queries is the pixel with parameters of all sorts.
func queries() (all []hostile) {
	for query, status := range map[string]int{
		"api_key=wk_test&event_type=x": 200, "event_type=x": 401, "api_key=wk_test": 400, "api_key=wk_test&event_type=": 400, "api_key=wk_test&event_type=x&properties={": 400,
		"api_key=wk_test&event_type=x&properties=%7B%7D": 200, "api_key=wk_test&event_type=x&scroll_depth=x": 400, "api_key=wk_test&event_type=x&scroll_depth=1e999": 400, "api_key=wk_test&event_type=%ff": 200,
		"api_key=wk_test&event_type=x&event_type=y": 200, "api_key=wk_test&event_type=x&a;b": 200, "api_key=wk_test&event_type=x&%zz=1": 200, "api_key=wk_test&event_type=%00": 400, "&&&&": 401,
		"api_key=wk_test&event_type=x&" + strings.Repeat("k=v&", 5000): 200, "api_key[]=wk_test&event_type=x": 401, "api_key=wk_test&event_type=x&timestamp=soon": 400, "api_key=wk_test&event_type=x&properties=" + strings.Repeat("[", 5000): 400,
	} {
		all = append(all, hostile{fmt.Sprintf("pixel with %.60q (%08x)", query, crc32.ChecksumIEEE([]byte(query))), "GET /api/v1/analytics/pixel.gif?" + query + " HTTP/1.1\r\nHost: x\r\n\r\n", status})
	}
	return all
}
