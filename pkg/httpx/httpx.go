// Package httpx is gin with the house middleware, and the one place where an
// error becomes a status.
package httpx

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/maidian/maidian/pkg/fault"
	"github.com/maidian/maidian/pkg/proc"
	"github.com/maidian/maidian/pkg/trace"
)

// Options of a service's engine.
type Options struct {
	Subsystem      string            // of the metrics' names: maidian_<subsystem>_…
	TrustedProxies []string          // CIDRs whose X-Forwarded-For is believed; none by default
	Middleware     []gin.HandlerFunc // run before everything that can fail, such as CORS
}

// RequestID is the header that names a request in answers and logs.
const RequestID = "X-Request-Id"

// New makes an engine: request ids, metrics by route and status, recovery, and
// JSON errors for unknown routes and methods.
func New(p *proc.Process, o Options) (*gin.Engine, error) {
	gin.SetMode(gin.ReleaseMode)
	e := gin.New()
	e.HandleMethodNotAllowed = true
	e.RemoteIPHeaders = []string{"X-Forwarded-For"}
	if err := e.SetTrustedProxies(o.TrustedProxies); err != nil {
		return nil, fmt.Errorf("trusted proxies %v: %w", o.TrustedProxies, err)
	}
	e.Use(requestID, measure(p.Metrics, o.Subsystem))
	if p.Trace != nil {
		e.Use(traced(p.Trace))
	}
	e.Use(o.Middleware...)
	e.Use(recovered(p.Log))
	e.NoRoute(func(c *gin.Context) {
		Fail(c, fault.New(fault.NotFound, "not_found", "there is no %s; see /openapi.json", c.Request.URL.Path))
	})
	e.NoMethod(func(c *gin.Context) {
		fail(c, http.StatusMethodNotAllowed, fault.New(fault.Invalid, "method_not_allowed",
			"%s does not take %s but %s", c.Request.URL.Path, c.Request.Method, c.Writer.Header().Get("Allow")))
	})
	return e, nil
}

// Serve answers with h at an address until p stops; see proc.Process.Serve.
func Serve(p *proc.Process, listen string, h http.Handler) (net.Addr, error) {
	return p.Serve(p.Name+" API", listen, h)
}

// requestID takes over a caller's id when it is short and plain, else makes one.
func requestID(c *gin.Context) {
	id := c.GetHeader(RequestID)
	if !plain(id) {
		id = uuid.NewString()
	}
	c.Header(RequestID, id)
}

func plain(id string) bool {
	for _, r := range id {
		if r <= ' ' || r > '~' || r == '"' || r == '\\' || r == '<' {
			return false
		}
	}
	return id != "" && len(id) <= 64
}

func measure(registry prometheus.Registerer, subsystem string) gin.HandlerFunc {
	seconds := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Namespace: "maidian", Subsystem: subsystem, Name: "request_seconds",
		Help:    "Time to answer, by route and status.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
	}, []string{"route", "status"})
	refused := prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "maidian", Subsystem: subsystem, Name: "refused_requests_total",
		Help: "Requests answered with an error, by its code.",
	}, []string{"reason"})
	registry.MustRegister(seconds, refused)
	return func(c *gin.Context) {
		start := time.Now()
		c.Next()
		route := c.FullPath()
		if route == "" {
			route = "none" // never the path: strangers choose it
		}
		seconds.WithLabelValues(route, strconv.Itoa(c.Writer.Status())).Observe(time.Since(start).Seconds())
		if code := c.GetString(codeKey); code != "" {
			refused.WithLabelValues(code).Inc()
		}
	}
}

// traced makes a span of each request but those of probes, and of those that
// no route takes: their names would be strangers' words.
func traced(tracer *trace.Tracer) gin.HandlerFunc {
	return func(c *gin.Context) {
		route := c.FullPath()
		if !strings.HasPrefix(route, "/api/") || route == "/api/health" {
			return
		}
		ctx, span := tracer.Request(c.Request, route)
		c.Request = c.Request.WithContext(ctx)
		span.Note("http.route", route)
		span.Note("maidian.request_id", c.Writer.Header().Get(RequestID))
		defer func() {
			span.Count("http.response.status_code", c.Writer.Status())
			var err error
			if c.Writer.Status() >= http.StatusInternalServerError {
				err = errors.New(cmp.Or(c.GetString(codeKey), http.StatusText(c.Writer.Status())))
			}
			span.End(err)
		}()
		c.Next()
	}
}

// codeKey is where a request's context has the code of the error it was
// answered with. Codes are words of ours, so they can be a label.
const codeKey = "maidian.code"

// recovered turns a panic into a 500 with CORS headers and a log line.
func recovered(log *zap.Logger) gin.HandlerFunc {
	return func(c *gin.Context) {
		defer func() {
			switch r := recover(); r {
			case nil:
			case http.ErrAbortHandler: // net/http compares it by identity too
				panic(r)
			default:
				log.Error("request panicked", zap.Any("panic", r), zap.String("route", c.FullPath()), zap.ByteString("stack", debug.Stack()))
				Fail(c, fmt.Errorf("panic: %v", r))
			}
		}()
		c.Next()
		// Not 503: while a server is away that would be a line for every request; it is counted.
		if c.Writer.Status() == http.StatusInternalServerError && len(c.Errors) > 0 {
			log.Error("request failed", zap.String("route", c.FullPath()), zap.Error(c.Errors.Last().Err))
		}
	}
}

// Body is the error part of an answer, the same in all services.
type Body struct {
	Code      string `json:"code"`
	Message   string `json:"message"`
	Field     string `json:"field,omitempty"`
	RequestID string `json:"request_id"`
}

// Fail answers with an error. What nobody gave a kind is a 500 whose words
// stay in the log.
func Fail(c *gin.Context, err error) {
	var known *fault.Error
	if large := (*http.MaxBytesError)(nil); errors.As(err, &large) {
		known = fault.New(fault.TooLarge, "too_large", "the body must be at most %d bytes", large.Limit)
	} else if !errors.As(err, &known) {
		known = fault.New(fault.Unknown, "internal", "something went wrong on our side; it is logged under this request_id")
	}
	c.Error(err)
	fail(c, Status(known.Kind), known)
}

func fail(c *gin.Context, status int, e *fault.Error) {
	c.Set(codeKey, e.Code)
	if c.Writer.Written() {
		c.Abort()
		return
	}
	if e.RetryAfter > 0 {
		c.Header("Retry-After", strconv.Itoa(int(math.Ceil(e.RetryAfter.Seconds()))))
	}
	c.AbortWithStatusJSON(status, struct {
		Error Body `json:"error"`
	}{Body{Code: e.Code, Message: e.Message, Field: e.Field, RequestID: c.Writer.Header().Get(RequestID)}})
}

// Status is the HTTP status of a kind of failure.
func Status(k fault.Kind) int {
	if s, ok := statuses[k]; ok {
		return s
	}
	return http.StatusInternalServerError
}

var statuses = map[fault.Kind]int{
	fault.Invalid:      http.StatusBadRequest,
	fault.Unauthorized: http.StatusUnauthorized,
	fault.Forbidden:    http.StatusForbidden,
	fault.NotFound:     http.StatusNotFound,
	fault.Conflict:     http.StatusConflict,
	fault.TooLarge:     http.StatusRequestEntityTooLarge,
	fault.Unsupported:  http.StatusUnsupportedMediaType,
	fault.Exceeded:     http.StatusUnprocessableEntity,
	fault.Limited:      http.StatusTooManyRequests,
	fault.Slow:         http.StatusRequestTimeout,
	fault.Unavailable:  http.StatusServiceUnavailable,
}
