package api

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
	"github.com/gin-gonic/gin"
)

type description struct {
	document *openapi3.T
	router   routers.Router
}

var described = sync.OnceValues(func() (d description, err error) {
	if d.document, err = openapi3.NewLoader().LoadFromData(openAPI); err != nil {
		return d, err
	}
	if err = d.document.Validate(context.Background()); err != nil {
		return d, err
	}
	d.router, err = gorillamux.NewRouter(d.document)
	return d, err
})

// documented holds an answer against the document: its status, type, headers and body.
func documented(t testing.TB, r *http.Request, resp *http.Response, body []byte) {
	t.Helper()
	d, err := described()
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode == 404 || resp.StatusCode == 405 || r.Method == http.MethodOptions {
		return // not a route
	}
	r = r.Clone(r.Context())
	r.URL.Scheme, r.URL.Host = "", ""
	route, parameters, err := d.router.FindRoute(r)
	if err != nil {
		t.Errorf("%s %s is not in the document: %v", r.Method, r.URL.Path, err)
		return
	}
	header := resp.Header.Clone()
	if header.Get("Content-Encoding") == "gzip" {
		return // a file
	}
	err = openapi3filter.ValidateResponse(context.Background(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: r, PathParams: parameters, Route: route},
		Status:                 resp.StatusCode, Header: header, Body: io.NopCloser(bytes.NewReader(body)),
		Options: &openapi3filter.Options{IncludeResponseStatus: true, ExcludeResponseBody: !strings.HasPrefix(header.Get("Content-Type"), "application/json")},
	})
	if err != nil {
		t.Errorf("%s %s: the answer is not as documented: %v", r.Method, r.URL.Path, err)
	}
}

func TestTheDocumentAndTheRoutesAreTheSame(t *testing.T) {
	d, err := described()
	if err != nil {
		t.Fatal(err)
	}
	var want, got []string
	for path, item := range d.document.Paths.Map() {
		for method := range item.Operations() {
			want = append(want, method+" "+path)
		}
	}
	e := gin.New()
	if err := (&API{Demo: true}).routes(e); err != nil {
		t.Fatal(err)
	}
	for _, r := range e.Routes() {
		got = append(got, r.Method+" "+r.Path)
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("routes:\n%s\ndocument:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
