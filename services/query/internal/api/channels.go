package api

import (
	"encoding/json"
	"net/http"

	"github.com/gin-gonic/gin"
)

func (a *API) channels(g *gin.RouterGroup) {
	g.GET("/channels", a.listChannels)
	g.POST("/channels", a.createChannel)
	g.GET("/channels/:channel", a.getChannel)
	g.PUT("/channels/:channel", a.putChannel)
	g.DELETE("/channels/:channel", a.deleteChannel)
	g.POST("/channels/:channel/test", a.testChannel)
	g.GET("/notices", a.listNotices)
	g.GET("/notices/:notice", a.getNotice)
	g.POST("/notices/:notice/retry", a.retryNotice)
	g.GET("/silences", a.listSilences)
	g.POST("/silences", a.createSilence)
	g.PUT("/silences/:silence", a.putSilence)
	g.DELETE("/silences/:silence", a.deleteSilence)
}

func (a *API) listChannels(c *gin.Context) {
	all, err := a.admin.Channels(c.Request.Context(), c.Param("project"))
	a.done(c, http.StatusOK, gin.H{"channels": all}, err)
}

func (a *API) createChannel(c *gin.Context) {
	var definition json.RawMessage
	if a.decoded(c, &definition) {
		made, err := a.admin.CreateChannel(c.Request.Context(), c.Param("project"), definition)
		a.done(c, http.StatusCreated, made, err)
	}
}

func (a *API) getChannel(c *gin.Context) {
	shown, err := a.admin.Channel(c.Request.Context(), c.Param("project"), c.Param("channel"))
	a.done(c, http.StatusOK, shown, err)
}

func (a *API) putChannel(c *gin.Context) {
	var definition json.RawMessage
	if a.decoded(c, &definition) {
		put, err := a.admin.PutChannel(c.Request.Context(), c.Param("project"), c.Param("channel"), definition)
		a.done(c, http.StatusOK, put, err)
	}
}

func (a *API) deleteChannel(c *gin.Context) {
	err := a.admin.DeleteChannel(c.Request.Context(), c.Param("project"), c.Param("channel"))
	a.done(c, http.StatusOK, gin.H{"deleted": true}, err)
}

func (a *API) testChannel(c *gin.Context) {
	n, err := a.admin.TestChannel(c.Request.Context(), c.Param("project"), c.Param("channel"))
	a.done(c, http.StatusAccepted, n, err)
}

func (a *API) listNotices(c *gin.Context) {
	a.listed(c, func(cursor string, limit int) (any, error) {
		return a.admin.Notices(c.Request.Context(), c.Param("project"), c.Query("state"), cursor, limit)
	}, "state")
}

func (a *API) getNotice(c *gin.Context) {
	n, err := a.admin.Notice(c.Request.Context(), c.Param("project"), c.Param("notice"))
	a.done(c, http.StatusOK, n, err)
}

func (a *API) retryNotice(c *gin.Context) {
	n, err := a.admin.RetryNotice(c.Request.Context(), c.Param("project"), c.Param("notice"))
	a.done(c, http.StatusOK, n, err)
}

func (a *API) listSilences(c *gin.Context) {
	all, err := a.admin.Silences(c.Request.Context(), c.Param("project"))
	a.done(c, http.StatusOK, gin.H{"silences": all}, err)
}

func (a *API) createSilence(c *gin.Context) {
	var definition json.RawMessage
	if a.decoded(c, &definition) {
		s, err := a.admin.CreateSilence(c.Request.Context(), c.Param("project"), definition)
		a.done(c, http.StatusCreated, s, err)
	}
}

func (a *API) putSilence(c *gin.Context) {
	var definition json.RawMessage
	if a.decoded(c, &definition) {
		s, err := a.admin.PutSilence(c.Request.Context(), c.Param("project"), c.Param("silence"), definition)
		a.done(c, http.StatusOK, s, err)
	}
}

func (a *API) deleteSilence(c *gin.Context) {
	err := a.admin.DeleteSilence(c.Request.Context(), c.Param("project"), c.Param("silence"))
	a.done(c, http.StatusOK, gin.H{"deleted": true}, err)
}
