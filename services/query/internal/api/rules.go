package api

import (
	"encoding/json"
	"net/http"

	"github.com/gin-gonic/gin"
)

func (a *API) rules(g *gin.RouterGroup) {
	g.GET("", a.listRules)
	g.POST("", a.createRule)
	g.GET("/:rule", a.getRule)
	g.PUT("/:rule", a.putRule)
	g.DELETE("/:rule", a.deleteRule)
	g.GET("/:rule/status", a.ruleStatus)
	g.POST("/:rule/preview", a.previewRule)
	g.POST("/:rule/test", a.testRule)
}

func (a *API) listRules(c *gin.Context) {
	all, err := a.admin.Rules(c.Request.Context(), c.Param("project"))
	a.done(c, http.StatusOK, gin.H{"rules": all}, err)
}

func (a *API) createRule(c *gin.Context) {
	var definition json.RawMessage
	if a.decoded(c, &definition) {
		r, err := a.admin.CreateRule(c.Request.Context(), c.Param("project"), definition)
		a.done(c, http.StatusCreated, r, err)
	}
}

func (a *API) getRule(c *gin.Context) {
	r, err := a.admin.Rule(c.Request.Context(), c.Param("project"), c.Param("rule"))
	a.done(c, http.StatusOK, r, err)
}

func (a *API) putRule(c *gin.Context) {
	var definition json.RawMessage
	if a.decoded(c, &definition) {
		r, err := a.admin.PutRule(c.Request.Context(), c.Param("project"), c.Param("rule"), definition)
		a.done(c, http.StatusOK, r, err)
	}
}

func (a *API) deleteRule(c *gin.Context) {
	err := a.admin.DeleteRule(c.Request.Context(), c.Param("project"), c.Param("rule"))
	a.done(c, http.StatusOK, gin.H{"deleted": true}, err)
}

func (a *API) ruleStatus(c *gin.Context) {
	s, err := a.admin.RuleStatus(c.Request.Context(), c.Param("project"), c.Param("rule"))
	a.done(c, http.StatusOK, s, err)
}

func (a *API) previewRule(c *gin.Context) {
	var asked json.RawMessage
	if a.decoded(c, &asked) {
		p, err := a.admin.PreviewRule(c.Request.Context(), c.Param("project"), c.Param("rule"), asked)
		a.done(c, http.StatusOK, p, err)
	}
}

func (a *API) testRule(c *gin.Context) {
	sent, err := a.admin.TestRule(c.Request.Context(), c.Param("project"), c.Param("rule"))
	a.done(c, http.StatusAccepted, gin.H{"notices": sent}, err)
}
