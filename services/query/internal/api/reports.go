package api

import "github.com/maidian/maidian/services/query/internal/report"

// reads lists the reports. A new one is a file in package report, a line here,
// and its part of openapi.yaml.
func (a *API) reads() []read {
	return []read{
		{"/events", nil, of(report.ReadEvents, report.Events)},
		{"/stats/events", a.heavy, of(report.ReadStats, report.Stats)},
		{"/stats/pages", a.heavy, of(report.ReadPages, report.Pages)},
		{"/summary", a.heavy, of(report.ReadSummary, report.Summary)},
		{"/realtime", nil, of(report.ReadRealtime, report.Realtime)},
		{"/users/:id", nil, of(report.ReadProfile, report.Profile)},
	}
}

// aliases are second names of routes, that callers of such systems know.
var aliases = map[string]string{
	"/stats/events": "/api/stats/events",
	"/stats/pages":  "/api/stats/pages",
}
