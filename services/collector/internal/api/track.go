package api

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/fault"
	"github.com/maidian/maidian/pkg/httpx"
	"github.com/maidian/maidian/services/collector/internal/access"
	"github.com/maidian/maidian/services/collector/internal/enrich"
	"github.com/maidian/maidian/services/collector/internal/intake"
)

// track answers a route whose body holds events.
func (a *API) track(parse parser) gin.HandlerFunc {
	return func(c *gin.Context) {
		answer, err := a.take(c, parse)
		switch {
		case err != nil:
			httpx.Fail(c, err)
		case answer.Accepted == 0:
			c.JSON(http.StatusBadRequest, refusal(c, answer))
		default:
			c.JSON(http.StatusOK, answer)
		}
	}
}

// take reads, checks and accepts a request. While there are too many, the
// newest is turned away before anything of it is read; and who may not send, or
// sends while the broker is away, where that is known: when the key stands in a
// header.
func (a *API) take(c *gin.Context, parse parser) (answer intake.Answer, err error) {
	if err := a.Requests.Check(); err != nil {
		a.discard(c)
		return answer, err
	}
	key := headerKey(c.Request.Header)
	var holder *access.Holder
	defer func() { a.refused(holder, err) }()
	if key != "" {
		if holder, err = a.admit(c, key, c.GetHeader("Origin")); err != nil {
			a.discard(c)
			return answer, err
		}
	}
	body, done, err := a.body(c)
	defer done()
	if err != nil {
		return answer, err
	}
	if err := a.Requests.Enter(); err != nil {
		return answer, err
	}
	defer a.Requests.Leave()
	request, err := parse(body)
	if err != nil {
		return answer, err
	}
	if key == "" {
		if holder, err = a.admit(c, request.APIKey, c.GetHeader("Origin")); err != nil {
			return answer, err
		}
	}
	return a.accept(c, holder, &request)
}

// headerKey is the key that the request's headers bear.
func headerKey(h http.Header) string {
	if key := h.Get("X-Api-Key"); key != "" {
		return key
	}
	if scheme, key, ok := strings.Cut(h.Get("Authorization"), " "); ok && strings.EqualFold(scheme, "bearer") {
		return strings.TrimSpace(key)
	}
	return ""
}

// refused counts a request that was turned away for good and whose key is
// known. A 503 or 408 says nothing of the request and is not counted.
func (a *API) refused(holder *access.Holder, err error) {
	if f := (*fault.Error)(nil); holder != nil && errors.As(err, &f) && f.Kind != fault.Unavailable && f.Kind != fault.Slow {
		a.Intake.Refused(event.Source{Project: holder.Project.ID, Key: holder.Key.ID, Hour: event.TimeOf(time.Now()).Hour()}, f.Code)
	}
}

// admit says who sends, and why not now; both when the key is good and something else is not.
func (a *API) admit(c *gin.Context, key, origin string) (*access.Holder, error) {
	if !a.Enabled {
		return nil, errDisabled
	}
	holder, err := a.Keys.Writer(key)
	if err != nil {
		return nil, err
	}
	if err := holder.CheckOrigin(origin); err != nil {
		return holder, err
	}
	if err := a.Rate.Check(holder.Key.ID, time.Now()); err != nil {
		return holder, err
	}
	return holder, a.Intake.Ready()
}

// errDisabled answers everything while ANALYTICS_ENABLED is false. It is a
// failure that senders try again, not a quiet success: switched off by
// mistake, or for an hour's work, nothing is lost.
var errDisabled = &fault.Error{
	Kind: fault.Unavailable, Code: "disabled", RetryAfter: 5 * time.Minute,
	Message: "collecting is switched off here (ANALYTICS_ENABLED); try again later",
}

func (a *API) accept(c *gin.Context, holder *access.Holder, request *event.Request) (intake.Answer, error) {
	now := time.Now()
	a.Rate.Take(holder.Key.ID, len(request.Events), now)
	header := c.Request.Header
	return a.Intake.Accept(c.Request.Context(), &enrich.Visit{
		Project:    holder.Project.ID,
		Key:        holder.Key.ID,
		Currency:   holder.Project.Currency,
		IPPolicy:   holder.Project.IPPolicy,
		ReceivedAt: event.TimeOf(now),
		SentAt:     request.SentAt,
		Address:    a.Proxies.Visitor(c.Request.RemoteAddr, header),
		UserAgent:  short(header.Get("User-Agent")),
		Referrer:   short(header.Get("Referer")),
		Origin:     header.Get("Origin"),
		SDK:        shorter(header.Get("X-Maidian-Sdk")),
	}, request.Events)
}

// Headers are cut to what the fields of an event may hold.
func short(s string) string   { return cut(s, 8192) }
func shorter(s string) string { return cut(s, 200) }

func cut(s string, most int) string {
	return strings.ToValidUTF8(s[:min(len(s), most)], "")
}

// refused is the answer to a request of which nothing was good: what became of
// each event, and the first problem as an error like any other.
type refused struct {
	intake.Answer
	Error httpx.Body `json:"error"`
}

func refusal(c *gin.Context, answer intake.Answer) refused {
	first := answer.Errors[0]
	return refused{answer, httpx.Body{
		Code: first.Code, Field: first.Field, Message: first.Message,
		RequestID: c.Writer.Header().Get(httpx.RequestID),
	}}
}
