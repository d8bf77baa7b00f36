package httpx

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"

	"github.com/maidian/maidian/pkg/fault"
	"github.com/maidian/maidian/pkg/proc"
)

func engine(t *testing.T, handle gin.HandlerFunc) (*gin.Engine, *prometheus.Registry) {
	t.Helper()
	registry := prometheus.NewRegistry()
	cors := func(c *gin.Context) { c.Header("Access-Control-Allow-Origin", "*") }
	e, err := New(proc.New("test", zap.NewNop(), registry, proc.Options{}), Options{Subsystem: "test", Middleware: []gin.HandlerFunc{cors}})
	if err != nil {
		t.Fatal(err)
	}
	e.POST("/x", handle)
	return e, registry
}

func TestErrorsBecomeStatuses(t *testing.T) {
	away := fault.New(fault.Unavailable, "broker_away", "try again")
	away.RetryAfter = 1500 * time.Millisecond
	tests := map[string]struct {
		method, path string
		handle       gin.HandlerFunc
		status       int
		code, field  string
		header       string
	}{
		"a field": {"POST", "/x", func(c *gin.Context) { Fail(c, fault.Field("steps[1]", "is wrong")) }, 400, "invalid_field", "steps[1]", ""},
		"away":    {"POST", "/x", func(c *gin.Context) { Fail(c, away) }, 503, "broker_away", "", "2"},
		"wrapped": {"POST", "/x", func(c *gin.Context) { Fail(c, errors.Join(errors.New("a"), away)) }, 503, "broker_away", "", "2"},
		"unknown": {"POST", "/x", func(c *gin.Context) { Fail(c, errors.New("secret")) }, 500, "internal", "", ""},
		"a panic": {"POST", "/x", func(c *gin.Context) { panic("secret") }, 500, "internal", "", ""},
		"too large": {"POST", "/x", func(c *gin.Context) {
			_, err := io.ReadAll(http.MaxBytesReader(c.Writer, c.Request.Body, 3))
			Fail(c, err)
		}, 413, "too_large", "", ""},
		"no such route":  {"POST", "/y", nil, 404, "not_found", "", ""},
		"no such method": {"GET", "/x", nil, 405, "method_not_allowed", "", ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			e, _ := engine(t, test.handle)
			w := httptest.NewRecorder()
			e.ServeHTTP(w, httptest.NewRequest(test.method, test.path, strings.NewReader("12345")))
			var got struct{ Error Body }
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
				t.Fatalf("%v: %s", err, w.Body)
			}
			if w.Code != test.status || got.Error.Code != test.code || got.Error.Field != test.field || w.Header().Get("Retry-After") != test.header {
				t.Errorf("got %d %+v %q", w.Code, got, w.Header().Get("Retry-After"))
			}
			if got.Error.RequestID == "" || w.Header().Get(RequestID) != got.Error.RequestID || w.Header().Get("Access-Control-Allow-Origin") != "*" {
				t.Errorf("headers %v", w.Header())
			}
			if strings.Contains(w.Body.String(), "secret") {
				t.Error("shows what is ours to know")
			}
		})
	}
}

func TestRequestIDsOfStrangers(t *testing.T) {
	e, _ := engine(t, func(c *gin.Context) { c.Status(204) })
	for sent, kept := range map[string]bool{"abc-1": true, "a b": false, "<script>": false, strings.Repeat("x", 65): false, "": false} {
		r := httptest.NewRequest("POST", "/x", nil)
		r.Header.Set(RequestID, sent)
		w := httptest.NewRecorder()
		e.ServeHTTP(w, r)
		if got := w.Header().Get(RequestID); (got == sent) != kept || got == "" {
			t.Errorf("sent %q, got %q", sent, got)
		}
	}
}

func TestRequestsAreMeasuredByRoute(t *testing.T) {
	e, registry := engine(t, func(c *gin.Context) { c.Status(204) })
	for _, path := range []string{"/x", "/x", "/stranger", "/other"} {
		e.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("POST", path, nil))
	}
	if n, err := testutil.GatherAndCount(registry, "maidian_test_request_seconds"); n != 2 || err != nil {
		t.Errorf("got %d series, %v; want /x and none", n, err)
	}
	if n, err := testutil.GatherAndCount(registry, "maidian_test_refused_requests_total"); n != 1 || err != nil {
		t.Errorf("got %d reasons, %v; want not_found", n, err)
	}
}

func TestWrongProxiesStopTheStart(t *testing.T) {
	p := proc.New("test", zap.NewNop(), prometheus.NewRegistry(), proc.Options{})
	if _, err := New(p, Options{TrustedProxies: []string{"nonsense"}}); err == nil {
		t.Error("got no error")
	}
}
