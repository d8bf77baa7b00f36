package api_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
)

const mostGrowth = 32 << 20

// TestHostileRequests asks every route that the document has for what it cannot
// mean: each answer is as the document says, none is the service's fault, and
// nothing of them stays in memory. Values that a parameter's schema does not
// have are refused with 400, whatever else is asked.
func TestHostileRequests(t *testing.T) {
	s := start(t)
	s.send("shop", aMorning()...)
	before, sent := heap(), 0
	for _, family := range []func(*service) int{wrongValues, wrongQueries, brokenBodies, oddMethods, oddPaths, oddKeys, oddHeaders} {
		sent += family(s)
	}
	http.DefaultClient.CloseIdleConnections()
	if after := heap(); after > before+mostGrowth {
		t.Errorf("%d bytes in use before, %d after", before, after)
	}
	if t.Logf("%d requests", sent); sent < 2000 {
		t.Errorf("only %d requests", sent)
	}
	s.get(shopKey, "stats/events").ok()
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// ask sends one, whose status is to be one of those given. What answers look
// like is held against the document by all other tests.
func (s *service) ask(name, method, key, path, body string, statuses ...int) int {
	s.t.Helper()
	request, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	request.Header.Set("X-API-Key", key)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		s.t.Fatalf("%s: %s %.200s %.200s: %v", name, method, path, body, err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil || !slices.Contains(statuses, response.StatusCode) {
		s.t.Errorf("%s: %s %.200s %.200s: got %d %.300s %v, want one of %v", name, method, path, body, response.StatusCode, answer, err, statuses)
	}
	if strings.HasPrefix(response.Header.Get("Content-Type"), "application/json") && !json.Valid(answer) {
		s.t.Errorf("%s: %s %.200s %.200s: %.300s is no JSON", name, method, path, body, answer)
	}
	return 1
}

// withBody are the routes that take JSON, with the schema of each of its members.
func withBody(yield func(r route, path string, schema *openapi3.Schema)) {
	for _, r := range fuzzed() {
		item := document().Paths.Value(r.path)
		op := item.GetOperation(r.method)
		if op.RequestBody != nil {
			yield(r, r.url("ann", ""), op.RequestBody.Value.Content["application/json"].Schema.Value)
		}
	}
}

// strange are values that most parameters do not have.
var strange = map[string]string{
	"null": `null`, "true": `true`, "a number": `1.5`, "an integer": `-7`, "a huge number": `1e999`, "a huge integer": `99999999999999999999`, "no text": `""`, "a text": `"x"`, "a long text": `"` + strings.Repeat("é\\u0000", 2000) + `"`,
	"an array": `["x"]`, "null in an array": `[null]`, "an operator": `{"$where":"sleep(1000)"}`, "many objects": `[` + strings.Repeat(`{"property":"a","value":1},`, 500) + `{}]`, "depth": strings.Repeat(`[{"not":`, 500) + "1" + strings.Repeat("}]", 500),
}

// wrongValues is each member of each body with values of every type.
func wrongValues(s *service) (n int) {
	withBody(func(r route, path string, schema *openapi3.Schema) {
		members := maps.Clone(schema.Properties)
		for _, alternative := range schema.AllOf {
			maps.Copy(members, alternative.Value.Properties)
		}
		base := append(needed[r.path], "")[0]
		path, _, _ = strings.Cut(path, "?")
		if members["project"] != nil {
			base = strings.Trim(base+`,"project":"shop"`, ",")
		}
		for name, member := range members {
			for what, value := range strange {
				statuses := []int{200, 201, 202, 400, 404, 409, 422}
				if !has(member.Value, value) && !passedOver(r, name) {
					statuses = []int{400}
				}
				n += s.ask(name+" is "+what, r.method, adminKey, path, with(base, name, value), statuses...)
			}
		}
		n += s.ask("an unknown member", r.method, adminKey, path, with(base, "zzzz", "1"), 400)
		n += s.ask("__proto__", r.method, adminKey, path, with(base, "__proto__", `{"admin":true}`), 400)
		n += s.ask("two unknown members", r.method, adminKey, path, `{"$where":1,"":2}`, 400)
	})
	return n
}

// passedOver says whether a member may be anything: one that shapes only the
// answer of the report whose users are listed, and exclusions, which may be bare selectors.
func passedOver(r route, name string) bool {
	shapes := []string{"view", "breakdown", "from_step", "to_step", "bin_count", "interval", "week_start"}
	return name == "exclusions" || strings.Contains(r.path, "/funnel/") && slices.Contains(shapes, name) || strings.HasSuffix(r.path, "/retention/users") && name == "breakdown"
}

// with is the body with one member set.
func with(base, name, value string) string {
	var members map[string]json.RawMessage
	if json.Unmarshal([]byte("{"+base+"}"), &members) != nil || members == nil {
		members = map[string]json.RawMessage{}
	}
	delete(members, name)
	text, _ := json.Marshal(members)
	quoted, _ := json.Marshal(name)
	separator := ","
	if len(members) == 0 {
		separator = ""
	}
	return strings.TrimSuffix(string(text), "}") + separator + string(quoted) + ":" + value + "}"
}

// has says whether a parameter may have a value: null and no text say that it is
// missing, and a number may stand for its digits.
func has(schema *openapi3.Schema, value string) bool {
	var v any
	if value == "null" || value == `""` || value == `[null]` || json.Unmarshal([]byte(value), &v) != nil {
		return true
	}
	if _, isNumber := v.(float64); isNumber && schema.VisitJSON(fmt.Sprint(v), openapi3.FailFast()) == nil {
		return true
	}
	return schema.VisitJSON(v, openapi3.FailFast()) == nil // without it most of the time goes into wording mistakes nobody reads
}

// wrongQueries is each query parameter with texts of all sorts.
func wrongQueries(s *service) (n int) {
	for _, r := range fuzzed() {
		for _, p := range document().Paths.Value(r.path).GetOperation(r.method).Parameters {
			if p.Value.In != "query" {
				continue
			}
			for _, text := range []string{"x", "-1", "1e309", "99999999999999999999", "{", `["x"]`, "\x00", "\xff\xfe", strings.Repeat("a", 3000), strings.Repeat("[", 5000)} {
				query := url.Values{p.Value.Name: {text}}
				if p.Value.Name != "project" {
					query.Set("project", "shop")
				}
				path, _, _ := strings.Cut(r.url("ann", ""), "?")
				n += s.ask("a parameter", r.method, adminKey, path+"?"+query.Encode(), "", 200, 400, 404, 422)
			}
			n += s.ask("a parameter twice", r.method, adminKey, r.url("ann", p.Value.Name+"=1&"+p.Value.Name+"=2"), "", 200, 400) // administration takes the first
		}
	}
	return n
}

// brokenBodies is bodies that are no JSON object, or too much of one, on every route.
func brokenBodies(s *service) (n int) {
	withBody(func(r route, path string, _ *openapi3.Schema) {
		for _, body := range []string{
			`{`, `}`, `[`, `{"a"`, `{"a":`, `{"a":1`, `{"a":1,}`, `{'a':1}`, `{}{}`, `{} x`, `[]`, `"x"`, `1`, `nul`, `NaN`, "\x00", "\ufeff{}", "\x1f\x8b\x08\x00", `<xml/>`,
			strings.Repeat("[", 20_000), strings.Repeat(`{"a":`, 20_000), strings.Repeat(`{"filters":[`, 5000), "{\"\xff\":1}", `{"a":1,"a":2}`, `{"` + strings.Repeat("k", 100_000) + `":1}`, manyMembers(5000), `{"a":` + strings.Repeat("9", 50_000) + `}`,
		} {
			n += s.ask("a broken body", r.method, adminKey, path, body, 400)
		}
		n += s.ask("a body too large", r.method, adminKey, path, `{"a":"`+strings.Repeat("a", 1<<20)+`"}`, 413)
	})
	return n
}

func manyMembers(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,"k%d":%d`, i, i)
	}
	return "{" + b.String()[1:] + "}"
}

// oddMethods is every path with every method that it does not have; where one
// path is an id of another, there is no such id.
func oddMethods(s *service) (n int) {
	for path, item := range document().Paths.Map() {
		for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "OPTIONS", "PROPFIND", "BREW"} {
			if _, documented := item.Operations()[method]; !documented {
				n += s.ask("an odd method", method, adminKey, route{method, path}.url("ann", ""), "", 405, 404)
			}
		}
	}
	return n
}

// oddPaths is paths that are no routes, or hold what no id is.
func oddPaths(s *service) (n int) {
	for _, path := range []string{"/api", "/api/v1", "/api/v1/analytics", "/api/v1/analytics/nothing", "/api/v1/analytics/FUNNEL", "/api/v1/analytics/users", "/.env", "/metrics", "/debug/pprof/", "/api/v1/analytics/track", "/api/v1/admin", "/%2e%2e/etc/passwd", "/" + strings.Repeat("a", 8000)} {
		n += s.ask("no route", http.MethodGet, adminKey, path, "", 404)
	}
	for _, id := range []string{"../../etc", "%00", "a/b", strings.Repeat("x", 5000), "' or 1=1", "{$ne:1}", "\xff", "..", "*", "é\n"} {
		escaped := url.PathEscape(id)
		n += s.ask("a strange user", http.MethodGet, shopKey, "/api/v1/analytics/users/"+escaped, "", 400, 404)
		for _, r := range []route{{"GET", ""}, {"GET", "/dead-letters"}, {"GET", "/jobs/x"}, {"POST", "/keys"}, {"POST", "/erase"}, {"DELETE", "/keys/1"}} {
			n += s.ask("a strange project", r.method, adminKey, "/api/v1/admin/projects/"+escaped+r.path, "", 200, 400, 404) // dead letters may be of projects that have gone
		}
		n += s.ask("a strange job", http.MethodGet, adminKey, "/api/v1/admin/projects/shop/jobs/"+escaped, "", 404)
		n += s.ask("a strange key", http.MethodDelete, adminKey, "/api/v1/admin/projects/shop/keys/"+escaped, "", 404)
	}
	return n
}

// oddKeys is every route with keys that are none, or another's.
func oddKeys(s *service) (n int) {
	for _, r := range fuzzed() {
		admin := strings.Contains(r.path, "/admin/")
		for _, key := range []string{"", "rk_", "rk_sho", "rk_shop2", "RK_SHOP", shopPen, "wk_demo", "ak_tes", strings.Repeat("k", 5000), "' or ''='", "null", "*", "\xff"} {
			n += s.ask("a wrong key", r.method, key, r.url("ann", ""), "", 401, 403)
		}
		path, _, _ := strings.Cut(r.url("ann", ""), "?")
		if admin {
			n += s.ask("a read key", r.method, shopKey, path, "", 401, 403)
			continue
		}
		n += s.ask("another project's key", r.method, blogKey, r.url("ann", ""), "", 401, 403, 404)
		n += s.ask("a project that is none", r.method, adminKey, path+"?project=nobody", "", 400, 404)
		n += s.ask("the key as a parameter", r.method, "", path+"?api_key="+shopKey, "", 401)
	}
	return n
}

// oddHeaders is what goes over the wire as it stands.
func oddHeaders(s *service) (n int) {
	start := "GET /api/v1/analytics/stats/events HTTP/1.1\r\nHost: x\r\nX-API-Key: " + shopKey + "\r\n"
	body := "POST /api/v1/analytics/stats/events HTTP/1.1\r\nHost: x\r\nX-API-Key: " + shopKey + "\r\n"
	for raw, status := range map[string]int{
		start + "\r\n": 200, start + "X-Long: " + strings.Repeat("a", 1200<<10) + "\r\n\r\n": 431, start + strings.Repeat("A: b\r\n", 300_000) + "\r\n": 431, start + "Na\x00me: x\r\n\r\n": 400, start + ": x\r\n\r\n": 400, start + "No colon\r\n\r\n": 400,
		start + "X-Forwarded-For: " + strings.Repeat("1.1.1.1, ", 2000) + "x\r\n\r\n": 200, start + "X-Forwarded-For: %s%n\r\n\r\n": 200, start + "X-HTTP-Method-Override: DELETE\r\n\r\n": 200, start + "X-Original-URL: /api/v1/admin/projects\r\n\r\n": 200, start + "Forwarded: for=\"[::1]:99999\"\r\n\r\n": 200,
		start + "X-Request-Id: " + strings.Repeat("r", 5000) + "\r\n\r\n": 200, start + "Cookie: " + strings.Repeat("a=b; ", 5000) + "\r\n\r\n": 200, start + "Accept: application/xml\r\nAccept-Encoding: *;q=x\r\nRange: bytes=0-0\r\n\r\n": 200, start + "Expect: the-inquisition\r\n\r\n": 417, start + "Host: y\r\n\r\n": 400,
		strings.Replace(start, "HTTP/1.1", "HTTP/9.9", 1) + "\r\n": 505, strings.Replace(start, "GET", "get", 1) + "\r\n": 405, "\x16\x03\x01\x02\x00\x01\r\n\r\n": 400, strings.Replace(start, "/stats", "/sta ts", 1) + "\r\n": 400,
		body + "Content-Length: -1\r\n\r\n{}": 400, body + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}": 400, body + "Content-Length: 500\r\n\r\n{}": 400, body + "Content-Length: 1\r\n\r\n{}": 400, body + "Content-Length: 99999999999999999999\r\n\r\n{}": 400, body + "Content-Length: 0\r\n\r\n": 200,
		body + "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n": 200, body + "Transfer-Encoding: chunked\r\n\r\nx\r\n": 400, body + "Transfer-Encoding: xchunked\r\n\r\n": 501, body + "Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\n\x1f\x8b\x08": 400, body + "Content-Type: application/xml\r\nContent-Length: 2\r\n\r\n{}": 200,
	} {
		if got := s.exchange(raw); got != status {
			s.t.Errorf("%.200q: got %d, want %d", raw, got, status)
		}
		n++
	}
	return n
}

// exchange sends bytes and returns the first answer's status.
func (s *service) exchange(raw string) int {
	s.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	go func() {
		_, _ = io.WriteString(conn, raw) // the other side may hang up in the middle of it
		_ = conn.(*net.TCPConn).CloseWrite()
	}()
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0
	}
	defer answer.Body.Close()
	_, _ = io.Copy(io.Discard, answer.Body)
	return answer.StatusCode
}
