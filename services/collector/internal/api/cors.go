package api

import (
	"net/http"

	"github.com/gin-gonic/gin"
)

// cors lets scripts of any page read every answer, errors too: a script that
// cannot see a 429 or 503 cannot wait, and one that cannot see a 403 cannot
// say why. Whether a page may send is decided by its key and its project's
// origins, not here; a preflight bears no key. It must run before everything
// that can fail.
func cors(c *gin.Context) {
	h := c.Writer.Header()
	if origin := c.GetHeader("Origin"); origin != "" {
		// sendBeacon sends credentials, and then the origin must be named.
		h.Set("Access-Control-Allow-Origin", origin)
		h.Set("Access-Control-Allow-Credentials", "true")
		h.Add("Vary", "Origin")
	} else {
		h.Set("Access-Control-Allow-Origin", "*")
	}
	h.Set("Access-Control-Expose-Headers", "Retry-After, X-Request-Id")
	h.Set("Cross-Origin-Resource-Policy", "cross-origin") // pages that isolate themselves load the script and the pixel too
	if c.Request.Method != http.MethodOptions {
		return
	}
	h.Set("Access-Control-Allow-Methods", "GET, POST, OPTIONS")
	h.Set("Access-Control-Allow-Headers", "Authorization, Content-Encoding, Content-Type, X-Api-Key, X-Maidian-Sdk, X-Request-Id")
	h.Set("Access-Control-Max-Age", "86400")
	c.AbortWithStatus(http.StatusNoContent)
}
