package api

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/fault"
	"github.com/maidian/maidian/pkg/httpx"
	"github.com/maidian/maidian/pkg/store"
	"github.com/maidian/maidian/services/query/internal/columns"
	"github.com/maidian/maidian/services/query/internal/report"
)

// read is one route under /api/v1/analytics, GET and POST.
type read struct {
	path string
	gate *gate // nil: it is light whatever is asked, and never waits
	plan plan
}

// plan reads a request's parameters and returns what answers it.
type plan func(p *report.Params, env report.Env) (query any, run runner, err error)

// runner works a report out from a view.
type runner func(ctx context.Context, v *columns.View) (answer any, err error)

// of makes a plan of a report's two halves: reading its request and answering it.
func of[R, A any](request func(*report.Params, report.Env) (R, error), answer func(context.Context, *columns.View, R) (A, error)) plan {
	return func(p *report.Params, env report.Env) (any, runner, error) {
		r, err := request(p, env)
		return r, func(ctx context.Context, v *columns.View) (any, error) { return answer(ctx, v, r) }, err
	}
}

// read answers one report: who asks, for what, from which view, and the answer.
func (a *API) read(r read) gin.HandlerFunc {
	return func(c *gin.Context) {
		p, env, project, err := a.asked(c)
		if err != nil {
			httpx.Fail(c, err)
			return
		}
		query, run, err := r.plan(p, env)
		if err != nil {
			httpx.Fail(c, err)
			return
		}
		ctx, cancel := context.WithTimeout(c.Request.Context(), a.options.Deadline)
		defer cancel()
		body, err := a.answer(ctx, r, project, query, run)
		if err != nil {
			a.fail(c, err)
			return
		}
		c.Data(http.StatusOK, "application/json; charset=utf-8", body)
	}
}

// asked is the request's parameters, what they mean beside their own words,
// and the project that the caller may read.
func (a *API) asked(c *gin.Context) (*report.Params, report.Env, string, error) {
	p, err := params(c)
	if err != nil {
		return nil, report.Env{}, "", err
	}
	project, err := a.keys.Reader(key(c), p.String("project", ""))
	env := report.Env{Now: event.TimeOf(a.now()), Timezone: project.Timezone, Currency: project.Currency}
	return p, env, project.ID, err
}

// params are a POST's JSON or a GET's query. What stands in the path is a parameter too.
func params(c *gin.Context) (*report.Params, error) {
	p, err := sent(c)
	if err != nil {
		return nil, err
	}
	for _, inPath := range c.Params {
		p.Set(inPath.Key, inPath.Value)
	}
	return p, nil
}

func sent(c *gin.Context) (*report.Params, error) {
	if c.Request.Method == http.MethodGet {
		return report.ParamsFromQuery(c.Request.URL.Query())
	}
	body, err := io.ReadAll(c.Request.Body)
	if err != nil {
		return nil, unread(err)
	}
	p, err := report.ParamsFromJSON(body)
	if project := c.Query("project"); err == nil && project != "" {
		p.Set("project", project)
	}
	return p, err
}

// unread is a body that broke off, which is the caller's doing, unless it was too large.
func unread(err error) error {
	if large := (*http.MaxBytesError)(nil); errors.As(err, &large) {
		return err
	}
	return fault.Wrap(fault.Invalid, "unreadable_body", err)
}

// answer works a report out and puts around it what every answer has.
func (a *API) answer(ctx context.Context, r read, project string, query any, run runner) ([]byte, error) {
	leave, err := r.gate.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	ctx, took := a.metrics.begin(ctx, r.path)
	v, err := a.views.View(ctx, project)
	if err != nil {
		took(err)
		return nil, err
	}
	answer, err := run(ctx, v)
	took(err)
	if err != nil {
		return nil, err
	}
	body, err := envelope(query, a.freshness(v), answer)
	if limit := cmp.Or(a.options.MaxAnswer, maxAnswer); err == nil && len(body) > limit {
		return nil, fault.New(fault.Exceeded, "answer_too_large", "the answer would have %d bytes, the limit is %d; shorten the range, or ask for fewer buckets, values or entries", len(body), limit)
	}
	return body, err
}

// fail answers with an error, unless the caller has gone.
func (a *API) fail(c *gin.Context, err error) {
	switch {
	case c.Request.Context().Err() != nil:
		c.Abort()
	case errors.Is(err, context.DeadlineExceeded):
		httpx.Fail(c, fault.New(fault.Exceeded, "deadline", "the query was stopped after %s: shorten the range or ask for less", a.options.Deadline))
	case errors.Is(err, store.ErrNotFound):
		httpx.Fail(c, fault.New(fault.NotFound, "not_found", "there is no such thing in this project"))
	default:
		httpx.Fail(c, err)
	}
}

// freshness says how new the data of an answer is.
type freshness struct {
	NewestEventAt event.Time `json:"newest_event_at"` // null when there is none
	AsOf          event.Time `json:"as_of"`
	LagSeconds    float64    `json:"lag_seconds"`            // from as_of until the answer
	RetainedFrom  event.Time `json:"retained_from,omitzero"` // what happened before is not kept any more
}

func (a *API) freshness(v *columns.View) freshness {
	lag := float64(max(0, event.TimeOf(a.now())-v.AsOf)) / 1000
	a.metrics.lag.Observe(lag)
	return freshness{v.Newest, v.AsOf, lag, v.RetainedFrom}
}

// envelope is the answer's own fields with query, freshness, sampled and complete before
// them: one flat object, as the contract shows it.
func envelope(query any, f freshness, answer any) ([]byte, error) {
	head, err := encode(struct {
		Query     any       `json:"query"`
		Freshness freshness `json:"freshness"`
		Sampled   bool      `json:"sampled"` // never: every event is counted
		Complete  *bool     `json:"complete,omitempty"`
	}{query, f, false, isComplete(query, answer)})
	if err != nil {
		return nil, err
	}
	body, err := encode(answer)
	if err != nil {
		return nil, err
	}
	if len(body) < 2 || body[0] != '{' {
		return nil, fmt.Errorf("an answer must be an object, got %T", answer)
	}
	if len(body) == 2 {
		return head, nil
	}
	return append(append(head[:len(head)-1], ','), body[1:]...), nil
}

// isComplete says whether an answer can still grow, nil where the answer says it
// of each of its buckets.
func isComplete(query, answer any) *bool {
	switch answer.(type) {
	case *report.TrendsAnswer, *report.LifecycleAnswer:
		return nil
	}
	over := false
	if ranged, ok := query.(interface{ Complete() bool }); ok {
		over = ranged.Complete()
	}
	return &over
}

func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("encode answer: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
