package api

import (
	"encoding/json"
	"net/http"

	"github.com/gin-gonic/gin"
)

func (a *API) destinations(g *gin.RouterGroup) {
	g.GET("", a.listDestinations)
	g.POST("", a.createDestination)
	g.GET("/:destination", a.getDestination)
	g.PUT("/:destination", a.putDestination)
	g.DELETE("/:destination", a.deleteDestination)
	g.POST("/:destination/replay", a.resend)
	g.POST("/:destination/resume", a.resumeDestination)
	g.GET("/:destination/letters", a.listRefused)
	g.POST("/:destination/letters/resend", a.resendRefused)
	g.POST("/:destination/letters/discard", a.discardRefused)
}

func (a *API) listDestinations(c *gin.Context) {
	all, err := a.admin.Destinations(c.Request.Context(), c.Param("project"))
	a.done(c, http.StatusOK, gin.H{"destinations": all}, err)
}

func (a *API) createDestination(c *gin.Context) {
	var definition json.RawMessage
	if a.decoded(c, &definition) {
		d, err := a.admin.CreateDestination(c.Request.Context(), c.Param("project"), definition)
		a.done(c, http.StatusCreated, d, err)
	}
}

func (a *API) getDestination(c *gin.Context) {
	d, err := a.admin.Destination(c.Request.Context(), c.Param("project"), c.Param("destination"))
	a.done(c, http.StatusOK, d, err)
}

func (a *API) putDestination(c *gin.Context) {
	var definition json.RawMessage
	if a.decoded(c, &definition) {
		d, err := a.admin.PutDestination(c.Request.Context(), c.Param("project"), c.Param("destination"), definition)
		a.done(c, http.StatusOK, d, err)
	}
}

func (a *API) deleteDestination(c *gin.Context) {
	err := a.admin.DeleteDestination(c.Request.Context(), c.Param("project"), c.Param("destination"))
	a.done(c, http.StatusOK, gin.H{"deleted": true}, err)
}

func (a *API) resend(c *gin.Context) {
	var body json.RawMessage
	if a.decoded(c, &body) {
		d, err := a.admin.Resend(c.Request.Context(), c.Param("project"), c.Param("destination"), body)
		a.done(c, http.StatusOK, d, err)
	}
}

func (a *API) listRefused(c *gin.Context) {
	a.listed(c, func(cursor string, limit int) (any, error) {
		return a.admin.RefusedLetters(c.Request.Context(), c.Param("project"), c.Param("destination"), cursor, limit)
	})
}

func (a *API) resumeDestination(c *gin.Context) {
	d, err := a.admin.Resume(c.Request.Context(), c.Param("project"), c.Param("destination"))
	a.done(c, http.StatusOK, d, err)
}

func (a *API) resendRefused(c *gin.Context) {
	var body json.RawMessage
	if a.decoded(c, &body) {
		d, err := a.admin.ResendLetters(c.Request.Context(), c.Param("project"), c.Param("destination"), body)
		a.done(c, http.StatusAccepted, d, err)
	}
}

func (a *API) discardRefused(c *gin.Context) {
	var body json.RawMessage
	if a.decoded(c, &body) {
		n, err := a.admin.DiscardLetters(c.Request.Context(), c.Param("project"), c.Param("destination"), body)
		a.done(c, http.StatusOK, gin.H{"discarded": n}, err)
	}
}
