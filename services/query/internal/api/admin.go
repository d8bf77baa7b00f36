package api

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/maidian/maidian/pkg/fault"
	"github.com/maidian/maidian/pkg/httpx"
	"github.com/maidian/maidian/services/query/internal/admin"
)

// adminOnly turns away who does not hold the admin key.
func (a *API) adminOnly(c *gin.Context) {
	if err := a.keys.Admin(key(c)); err != nil {
		httpx.Fail(c, err)
	}
}

func (a *API) administration(g *gin.RouterGroup) {
	g.POST("", a.createProject)
	g.GET("", a.listProjects)
	g.GET("/:project", a.getProject)
	g.PATCH("/:project", a.changeProject)
	g.POST("/:project/keys", a.addKey)
	g.DELETE("/:project/keys/:key", a.revokeKey)
	g.POST("/:project/erase", a.erase)
	g.POST("/:project/prune", a.prune)
	g.GET("/:project/jobs/:job", a.getJob)
	g.GET("/:project/dead-letters", a.listDeadLetters)
	g.GET("/:project/dead-letters/:letter", a.getDeadLetter)
	g.GET("/:project/discards", a.listDiscards)
	a.destinations(g.Group("/:project/destinations"))
	a.channels(g.Group("/:project"))
	a.rules(g.Group("/:project/rules"))
	for _, group := range []string{"/:project/dead-letters", "/:project"} {
		g.POST(group+"/replay", a.replayDeadLetters)
		g.POST(group+"/discard", a.discardDeadLetters)
	}
}

func (a *API) createProject(c *gin.Context) {
	var s admin.Settings
	if a.decoded(c, &s) {
		created, err := a.admin.Create(c.Request.Context(), s)
		a.done(c, http.StatusCreated, created, err)
	}
}

func (a *API) listProjects(c *gin.Context) {
	projects, err := a.admin.List(c.Request.Context())
	a.done(c, http.StatusOK, gin.H{"projects": projects}, err)
}

func (a *API) getProject(c *gin.Context) {
	p, err := a.admin.Get(c.Request.Context(), c.Param("project"))
	a.done(c, http.StatusOK, p, err)
}

func (a *API) changeProject(c *gin.Context) {
	var s admin.Settings
	if a.decoded(c, &s) {
		p, err := a.admin.Change(c.Request.Context(), c.Param("project"), s)
		a.done(c, http.StatusOK, p, err)
	}
}

func (a *API) addKey(c *gin.Context) {
	var s struct {
		Kind string `json:"kind"`
	}
	if a.decoded(c, &s) {
		k, err := a.admin.AddKey(c.Request.Context(), c.Param("project"), s.Kind)
		a.done(c, http.StatusCreated, k, err)
	}
}

func (a *API) revokeKey(c *gin.Context) {
	p, err := a.admin.RevokeKey(c.Request.Context(), c.Param("project"), c.Param("key"))
	a.done(c, http.StatusOK, p, err)
}

func (a *API) erase(c *gin.Context) {
	var p admin.Person
	if a.decoded(c, &p) {
		job, err := a.admin.Erase(c.Request.Context(), c.Param("project"), p)
		a.done(c, http.StatusAccepted, job, err)
	}
}

func (a *API) prune(c *gin.Context) {
	var p admin.Pruning
	if a.decoded(c, &p) {
		job, err := a.admin.Prune(c.Request.Context(), c.Param("project"), p)
		a.done(c, http.StatusAccepted, job, err)
	}
}

func (a *API) getJob(c *gin.Context) {
	job, err := a.admin.Job(c.Request.Context(), c.Param("project"), c.Param("job"))
	a.done(c, http.StatusOK, job, err)
}

func (a *API) listDeadLetters(c *gin.Context) {
	a.listed(c, func(cursor string, limit int) (any, error) {
		f := admin.Filter{
			Reason: c.Query("reason"), From: admin.Moment(c.Query("from")), To: admin.Moment(c.Query("to")),
			EventType: c.Query("event_type"), Text: c.Query("text"),
		}
		return a.admin.DeadLetters(c.Request.Context(), c.Param("project"), f, cursor, limit)
	}, "reason", "from", "to", "event_type", "text")
}

func (a *API) listDiscards(c *gin.Context) {
	a.listed(c, func(cursor string, limit int) (any, error) {
		return a.admin.Discards(c.Request.Context(), c.Param("project"), cursor, limit)
	})
}

// defaultListed is how many entries a page has when nobody says.
const defaultListed = 100

// listed answers with a page of a list; other parameters than these and its own are refused.
func (a *API) listed(c *gin.Context, page func(cursor string, limit int) (any, error), parameters ...string) {
	parameters = append(parameters, "cursor", "limit")
	for name := range c.Request.URL.Query() {
		if !slices.Contains(parameters, name) {
			httpx.Fail(c, fault.Field(name, "is not a parameter here; there are %s", strings.Join(parameters, ", ")))
			return
		}
	}
	limit, err := strconv.Atoi(c.DefaultQuery("limit", strconv.Itoa(defaultListed)))
	if err != nil || limit < 1 || limit > admin.MaxPage {
		httpx.Fail(c, fault.Field("limit", "must be a whole number from 1 to %d, got %.40q", admin.MaxPage, c.Query("limit")))
		return
	}
	answer, err := page(c.Query("cursor"), limit)
	a.done(c, http.StatusOK, answer, err)
}

func (a *API) getDeadLetter(c *gin.Context) {
	letter, err := a.admin.DeadLetter(c.Request.Context(), c.Param("project"), c.Param("letter"))
	a.done(c, http.StatusOK, letter, err)
}

func (a *API) replayDeadLetters(c *gin.Context) {
	var s admin.Selection
	if a.decoded(c, &s) {
		done, err := a.admin.Replay(c.Request.Context(), c.Param("project"), s)
		a.done(c, http.StatusOK, done, err)
	}
}

func (a *API) discardDeadLetters(c *gin.Context) {
	var d admin.Discarding
	if a.decoded(c, &d) {
		done, err := a.admin.Discard(c.Request.Context(), c.Param("project"), c.ClientIP(), d)
		a.done(c, http.StatusOK, done, err)
	}
}

// decoded reads the body into v, or answers with what is wrong with it. A name
// that v does not have is a mistake: a misspelt setting must not pass unseen.
func (a *API) decoded(c *gin.Context, v any) bool {
	d := json.NewDecoder(c.Request.Body)
	d.DisallowUnknownFields()
	err := d.Decode(v)
	if errors.Is(err, io.EOF) { // no body says the same as {}
		return true
	}
	if err == nil {
		if _, err = d.Token(); errors.Is(err, io.EOF) {
			return true
		}
		err = errors.New("something follows after its end")
	}
	httpx.Fail(c, undecoded(err))
	return false
}

func undecoded(err error) error {
	if large := (*http.MaxBytesError)(nil); errors.As(err, &large) {
		return err
	}
	if wrong := (*json.UnmarshalTypeError)(nil); errors.As(err, &wrong) && wrong.Field != "" {
		return fault.Field(wrong.Field, "must not be a %s", wrong.Value)
	}
	if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok { // encoding/json has no type for it
		return fault.Field(strings.Trim(name, `"`), "is no setting of this route")
	}
	return fault.New(fault.Invalid, "invalid_json", "the body must be one JSON object: %s", err)
}

func (a *API) done(c *gin.Context, status int, answer any, err error) {
	if err != nil {
		a.fail(c, err)
		return
	}
	c.JSON(status, answer)
}
