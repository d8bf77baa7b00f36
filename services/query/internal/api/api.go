// Package api is the query service over HTTP: it reads a request, calls one
// thing, and writes one answer.
package api

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"go.uber.org/zap"

	"github.com/maidian/maidian/pkg/fault"
	"github.com/maidian/maidian/pkg/httpx"
	"github.com/maidian/maidian/pkg/proc"
	"github.com/maidian/maidian/pkg/store"
	"github.com/maidian/maidian/services/query/internal/account"
	"github.com/maidian/maidian/services/query/internal/admin"
	"github.com/maidian/maidian/services/query/internal/columns"
)

// Views gives a project's events as they are now.
type Views interface {
	View(ctx context.Context, project string) (*columns.View, error)
}

// Keys says what a key may do.
type Keys interface {
	Reader(key, project string) (store.Project, error)
	Admin(key string) error
}

// Options are the limits of the API.
type Options struct {
	Deadline       time.Duration // of one query
	ExportDeadline time.Duration // of one export
	Heavy          int           // heavy queries at a time
	Exports        int           // exports at a time
	MaxAnswer      int           // bytes of one answer; 0: 64 MiB
	TrustedProxies []string
	Accounts       account.Store
	Now            func() time.Time
}

// MaxBody is the most bytes of a request's body.
const MaxBody = 1 << 20

// listsBeside is how many listings may run for each heavy query: they are light,
// unless their filters find nothing in a long range.
const listsBeside = 4

// maxAnswer is the most bytes of an answer, exports aside, which are streamed.
const maxAnswer = 64 << 20

// API answers requests.
type API struct {
	views    Views
	keys     Keys
	admin    *admin.Admin
	ready    func() error
	options  Options
	metrics  *metrics
	heavy    *gate
	lists    *gate
	exports  *gate
	document []byte
	log      *zap.Logger
	now      func() time.Time
}

// New is the API's handler.
func New(p *proc.Process, views Views, keys Keys, a *admin.Admin, options Options) (http.Handler, error) {
	document, err := OpenAPI()
	if err != nil {
		return nil, err
	}
	api := &API{
		views: views, keys: keys, admin: a, ready: p.Ready, options: options, metrics: newMetrics(p.Metrics),
		heavy: newGate(options.Heavy, "heavy queries"), lists: newGate(listsBeside*options.Heavy, "listings"), exports: newGate(options.Exports, "exports"),
		document: document, log: p.Log, now: options.Now,
	}
	api.metrics.watch(p.Metrics, api.heavy, api.lists, api.exports)
	e, err := httpx.New(p, httpx.Options{Subsystem: "query", TrustedProxies: options.TrustedProxies, Middleware: []gin.HandlerFunc{harden, limitBody}})
	if err != nil {
		return nil, err
	}
	e.UseRawPath = true // an id in a path may hold an escaped slash
	api.routes(e)
	return e, nil
}

func (a *API) routes(e *gin.Engine) {
	e.GET("/openapi.json", func(c *gin.Context) { c.Data(http.StatusOK, "application/json; charset=utf-8", a.document) })
	e.GET("/api/health", func(c *gin.Context) { c.JSON(http.StatusOK, gin.H{"status": "ok"}) })
	e.GET("/livez", func(c *gin.Context) { c.JSON(http.StatusOK, gin.H{"status": "ok"}) })
	e.GET("/readyz", a.readyz)

	reads := e.Group("/api/v1/analytics")
	for _, r := range a.reads() {
		answer := a.read(r)
		reads.GET(r.path, answer)
		reads.POST(r.path, answer)
		if alias := aliases[r.path]; alias != "" {
			e.GET(alias, answer)
			e.POST(alias, answer)
		}
	}
	reads.GET("/export", a.export)
	reads.POST("/export", a.export)
	page := a.page()
	reads.GET("/report", page)
	reads.POST("/report", page)
	a.administration(e.Group("/api/v1/admin/projects", a.adminOnly))
}

func (a *API) readyz(c *gin.Context) {
	if err := a.ready(); err != nil {
		httpx.Fail(c, fault.Wrap(fault.Unavailable, "not_ready", err))
		return
	}
	c.JSON(http.StatusOK, gin.H{"status": "ok"})
}

// harden sets the headers of an API whose answers are data about people:
// never guessed to be a page, never framed, never kept by caches on the way.
func harden(c *gin.Context) {
	h := c.Writer.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
}

func limitBody(c *gin.Context) {
	c.Request.Body = http.MaxBytesReader(c.Writer, c.Request.Body, MaxBody)
}

// key is the caller's key, from either header.
func key(c *gin.Context) string {
	if k := c.GetHeader("X-API-Key"); k != "" {
		return k
	}
	k, _ := strings.CutPrefix(c.GetHeader("Authorization"), "Bearer ")
	return k
}
