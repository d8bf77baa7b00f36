package api

import (
	"testing"

	"github.com/gin-gonic/gin"
)

// RoutesForTest are the routes that are served, as "GET /path/:parameter".
func RoutesForTest(t *testing.T) []string {
	t.Helper()
	gin.SetMode(gin.ReleaseMode)
	e := gin.New()
	(&API{}).routes(e)
	var routes []string
	for _, r := range e.Routes() {
		routes = append(routes, r.Method+" "+r.Path)
	}
	return routes
}
