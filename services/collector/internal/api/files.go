package api

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/maidian/maidian/pkg/fault"
	"github.com/maidian/maidian/pkg/httpx"
)

// assets holds what the SDK's build puts there; see assets/README.md.
//
//go:embed assets
var assets embed.FS

//go:embed openapi.json
var openAPI []byte

// files adds the routes of files.
func (a *API) files(e *gin.Engine) error {
	for route, name := range map[string]string{
		"/sdk.js": "sdk.js", "/tracking_sdk.js": "sdk.js", "/sdk-more.js": "sdk-more.js", "/sdk-overlay.js": "sdk-overlay.js",
	} {
		script, err := embedded(name, "text/javascript; charset=utf-8")
		if err != nil {
			return err
		}
		e.GET(route, script.serve)
		e.HEAD(route, script.serve)
	}
	document, err := newFile(openAPI, "application/json")
	if err != nil {
		return err
	}
	e.GET("/openapi.json", document.serve)
	if !a.Demo {
		return nil
	}
	return a.demo(e)
}

// demo adds the demo page: a shop that shows the SDK at work. Its script and
// style are files of their own, so that its Content-Security-Policy is strict.
func (a *API) demo(e *gin.Engine) error {
	for _, part := range []struct{ route, name, kind string }{
		{"/demo", "demo.html", "text/html; charset=utf-8"},
		{"/demo.js", "demo.js", "text/javascript; charset=utf-8"},
		{"/demo.css", "demo.css", "text/css; charset=utf-8"},
	} {
		page, err := embedded(part.name, part.kind)
		if err != nil {
			return err
		}
		e.GET(part.route, page.serve)
	}
	return nil
}

// file is served whole, plain or packed.
type file struct {
	kind, etag    string
	plain, packed []byte
}

// embedded is an asset; one that was not built answers 404.
func embedded(name, kind string) (*file, error) {
	content, err := assets.ReadFile("assets/" + name)
	if err != nil {
		return &file{}, nil
	}
	return newFile(content, kind)
}

func newFile(content []byte, kind string) (*file, error) {
	var packed bytes.Buffer
	z, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	_, _ = z.Write(content) // to memory: cannot fail
	if err := z.Close(); err != nil {
		return nil, fmt.Errorf("pack file: %w", err)
	}
	sum := sha256.Sum256(content)
	return &file{kind: kind, etag: hex.EncodeToString(sum[:8]), plain: content, packed: packed.Bytes()}, nil
}

// serve answers with the file. Its address stays when it changes, so caches
// keep it for minutes and then ask again by its ETag.
func (f *file) serve(c *gin.Context) {
	if f.plain == nil {
		httpx.Fail(c, fault.New(fault.NotFound, "not_built", "%s is not in this build; see sdk/README.md", c.FullPath()))
		return
	}
	h := c.Writer.Header()
	h.Add("Vary", "Accept-Encoding")
	h.Set("Cache-Control", "public, max-age=300, stale-while-revalidate=86400")
	content, etag := f.plain, `"`+f.etag+`"`
	if acceptsGzip(c.GetHeader("Accept-Encoding")) {
		content, etag = f.packed, `"`+f.etag+`-gzip"`
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("ETag", etag)
	if strings.Contains(c.GetHeader("If-None-Match"), f.etag) || c.GetHeader("If-None-Match") == "*" {
		h.Del("Content-Encoding")
		c.Status(http.StatusNotModified)
		return
	}
	c.Data(http.StatusOK, f.kind, content)
}

func acceptsGzip(header string) bool {
	for coding := range strings.SplitSeq(header, ",") {
		name, weight, _ := strings.Cut(strings.TrimSpace(coding), ";")
		if name == "gzip" || name == "*" {
			return strings.Trim(strings.ReplaceAll(weight, " ", ""), "0.") != "q="
		}
	}
	return false
}
