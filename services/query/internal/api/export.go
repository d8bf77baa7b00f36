package api

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
	"go.uber.org/zap"

	"github.com/maidian/maidian/pkg/calendar"
	"github.com/maidian/maidian/pkg/httpx"
	"github.com/maidian/maidian/services/query/internal/columns"
	"github.com/maidian/maidian/services/query/internal/report"
)

// export streams a file. Once its first bytes are out, an error can only be
// told by breaking the connection off: then nobody takes half a file for the whole.
func (a *API) export(c *gin.Context) {
	p, env, project, err := a.asked(c)
	if err != nil {
		httpx.Fail(c, err)
		return
	}
	r, err := report.ReadExport(p, env)
	if err != nil {
		httpx.Fail(c, err)
		return
	}
	ctx, cancel := context.WithTimeout(c.Request.Context(), a.options.ExportDeadline)
	defer cancel()
	defer limitWriting(c, a.options.ExportDeadline)()
	if err := a.stream(ctx, c, project, r); err != nil {
		a.broke(c, err)
	}
}

func (a *API) stream(ctx context.Context, c *gin.Context, project string, r report.ExportRequest) (err error) {
	leave, err := a.exports.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	ctx, took := a.metrics.begin(ctx, "/export")
	defer func() { took(err) }()
	v, err := a.views.View(ctx, project)
	if err != nil {
		return err
	}
	if err := a.describe(c, v, r); err != nil {
		return err
	}
	return report.Export(ctx, v, r, c.Writer, func() error {
		c.Writer.Flush()
		return ctx.Err()
	})
}

// limitWriting lets a write fail that a client does not take, which would
// otherwise keep its place among the exports for ever.
func limitWriting(c *gin.Context, limit time.Duration) (undo func()) {
	w := http.NewResponseController(c.Writer)
	_ = w.SetWriteDeadline(time.Now().Add(limit)) // a writer that has no deadlines does not wait either
	return func() { _ = w.SetWriteDeadline(time.Time{}) }
}

// describe puts into headers what other answers have in their body.
func (a *API) describe(c *gin.Context, v *columns.View, r report.ExportRequest) error {
	query, err := encode(r)
	if err != nil {
		return err
	}
	fresh, err := encode(a.freshness(v))
	if err != nil {
		return err
	}
	if len(query) < maxHeader {
		c.Header("X-Query", ascii(query))
	}
	c.Header("X-Freshness", string(fresh))
	c.Header("Content-Type", r.Kind().ContentType)
	c.Header("Content-Disposition", fmt.Sprintf(`attachment; filename="events-%s-%s.%s"`, r.Calendar.Label(calendar.Day, r.From), r.Calendar.Label(calendar.Day, r.To), r.Format))
	return nil
}

// maxHeader is the most bytes of a query in a header; longer ones are left out, since proxies refuse them.
const maxHeader = 4096

// ascii escapes what a header cannot hold: in JSON, \u escapes mean the same.
func ascii(text []byte) string {
	escaped := make([]byte, 0, len(text))
	for _, r := range string(text) {
		switch {
		case r < 0x80:
			escaped = append(escaped, byte(r))
		case r > 0xffff:
			r -= 0x10000
			escaped = fmt.Appendf(escaped, `\u%04x\u%04x`, 0xd800+(r>>10), 0xdc00+(r&0x3ff))
		default:
			escaped = fmt.Appendf(escaped, `\u%04x`, r)
		}
	}
	return string(escaped)
}

// broke answers with an error while that is possible.
func (a *API) broke(c *gin.Context, err error) {
	if !c.Writer.Written() {
		for _, name := range []string{"Content-Type", "Content-Disposition", "X-Query", "X-Freshness"} {
			c.Writer.Header().Del(name)
		}
		a.fail(c, err)
		return
	}
	if c.Request.Context().Err() == nil {
		a.log.Warn("export broke off", zap.Error(err))
	}
	panic(http.ErrAbortHandler)
}
