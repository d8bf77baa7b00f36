package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/maidian/maidian/services/query/internal/oracle"
)

// route is one of the document's, by method and path.
type route struct{ method, path string }

// fuzzed are all routes that read something of a request, in a fixed order.
func fuzzed() (routes []route) {
	for path, item := range document().Paths.Map() {
		for method := range item.Operations() {
			if strings.Contains(path, "/v1/") {
				routes = append(routes, route{method, path})
			}
		}
	}
	slices.SortFunc(routes, func(a, b route) int { return strings.Compare(a.path+a.method, b.path+b.method) })
	return routes
}

// url is where a request for the route goes: an id stands in its path.
func (r route) url(id, query string) string {
	path := strings.ReplaceAll(r.path, "{project}", "shop")
	for {
		from, to := strings.Index(path, "{"), strings.Index(path, "}")
		if from < 0 {
			return path + "?project=shop&" + visible(query)
		}
		path = path[:from] + url.PathEscape(id) + path[to+1:]
	}
}

// visible escapes the bytes that cannot stand in a request's first line.
func visible(query string) string {
	var b strings.Builder
	for _, c := range []byte(query) {
		if c <= ' ' || c >= 0x7f || c == '#' {
			fmt.Fprintf(&b, "%%%02X", c)
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}

// FuzzRoutes sends strangers' requests to every route: whatever they hold, the
// answer is one that the document has, and it is never the service's fault.
func FuzzRoutes(f *testing.F) {
	routes := fuzzed()
	random := oracle.NewRandom(1)
	events := random.Events(60)
	for n, r := range routes {
		f.Add(uint8(n), "ann", "days=7&limit=2&timezone=Europe/Berlin", []byte(`{"kind":"read","user_id":"zoe","ids":["x"]}`))
		f.Add(uint8(n), "a/b", `filters=[{"property":"a.b","op":"in","value":[1,"x",true]}]&unit={"property":"$x"}&from=0&to=1e300`, []byte(`{"name":"`+"\u0000"+`","timezone":"Mars/Olympus"}`))
		name := strings.TrimPrefix(r.path, "/api/v1/analytics/")
		if !slices.Contains(oracle.Routes, name) {
			continue
		}
		for range 4 {
			body, err := json.Marshal(random.Request(name, events))
			if err != nil {
				f.Fatal(err)
			}
			f.Add(uint8(n), "a", "", body)
		}
	}
	s := start(f)
	s.send("shop", events...)
	f.Fuzz(func(t *testing.T, n uint8, id, query string, body []byte) {
		r := routes[int(n)%len(routes)]
		request, err := http.NewRequest(r.method, r.url(id, query), nil)
		if err != nil {
			return // it never leaves the client
		}
		asking := *s
		asking.t = t
		text := string(body)
		if r.method == http.MethodGet {
			text = ""
		}
		if a := asking.do(r.method, adminKey, request.URL.RequestURI(), text); a.status >= http.StatusInternalServerError {
			t.Errorf("%s %s %s: got %d %s", r.method, request.URL, body, a.status, a.body)
		} else if strings.HasPrefix(a.header.Get("Content-Type"), "application/json") && !json.Valid(a.body) {
			t.Errorf("%s %s: %.100q is no JSON", r.method, request.URL, a.body)
		}
	})
}
