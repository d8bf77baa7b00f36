// Package api is the collector's public face: routes, keys, bodies, CORS.
package api

import (
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/httpx"
	"github.com/maidian/maidian/pkg/proc"
	"github.com/maidian/maidian/services/collector/internal/access"
	"github.com/maidian/maidian/services/collector/internal/enrich"
	"github.com/maidian/maidian/services/collector/internal/intake"
	"github.com/maidian/maidian/services/collector/internal/limit"
)

// API answers the collector's routes.
type API struct {
	Enabled     bool // false: everything sent is refused, to be sent again later
	Demo        bool // serve the demo page
	BodyTimeout time.Duration
	Proxies     enrich.Proxies

	Keys     *access.Keys
	Intake   *intake.Intake
	Rate     *limit.Rate
	Memory   *limit.Memory   // of bodies being read
	Requests *limit.Requests // that are worked on
	Ready    func() error
}

// Handler is the API with the house middleware and CORS around it.
func (a *API) Handler(p *proc.Process) (http.Handler, error) {
	e, err := httpx.New(p, httpx.Options{Subsystem: "collector", Middleware: []gin.HandlerFunc{cors}})
	if err != nil {
		return nil, err
	}
	return e, a.routes(e)
}

// parser reads a body.
type parser func(body string) (event.Request, error)

// routes adds the routes to an engine. Some exist twice: under the name of
// this system and under the one that older trackers use.
func (a *API) routes(e *gin.Engine) error {
	one := func(kind string) parser {
		return func(body string) (event.Request, error) { return event.ParseOne(body, kind) }
	}
	for path, parse := range map[string]parser{
		"/api/v1/analytics/track":        one(""),
		"/api/track/event":               one(""),
		"/api/v1/analytics/track/batch":  event.ParseBatch,
		"/api/track/batch":               event.ParseBatch,
		"/api/v1/analytics/page-view":    one("page_view"),
		"/api/track/pageview":            one("page_view"),
		"/api/v1/analytics/product-view": one("product_view"),
		"/api/v1/analytics/purchase":     one("purchase"),
	} {
		e.POST(path, a.track(parse))
	}
	e.GET("/api/v1/analytics/pixel.gif", a.pixel)
	e.GET("/api/health", func(c *gin.Context) { c.JSON(http.StatusOK, gin.H{"status": "ok"}) })
	e.GET("/livez", func(c *gin.Context) { c.String(http.StatusOK, "ok\n") })
	e.GET("/readyz", a.ready)
	return a.files(e)
}

// ready does not ask for the broker: all replicas share it, and taking all of
// them out would leave browsers with answers that bear no CORS headers.
func (a *API) ready(c *gin.Context) {
	if err := a.Ready(); err != nil {
		c.Header("Retry-After", "1")
		c.String(http.StatusServiceUnavailable, "%s\n", err)
		return
	}
	c.String(http.StatusOK, "ok\n")
}
