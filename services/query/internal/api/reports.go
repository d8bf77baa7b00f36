package api

import "github.com/maidian/maidian/services/query/internal/report"

// reads lists the reports. A new one is a file in package report, a line here,
// and its part of openapi.yaml.
func (a *API) reads() []read {
	return []read{
		{"/events", a.lists, of(report.ReadEvents, report.Events)},
		{"/stats/events", a.heavy, of(report.ReadStats, report.Stats)},
		{"/stats/pages", a.heavy, of(report.ReadPages, report.Pages)},
		{"/summary", a.heavy, of(report.ReadSummary, report.Summary)},
		{"/funnel", a.heavy, of(report.ReadFunnel, report.Funnel)},
		{"/funnel/users", a.heavy, of(report.ReadFunnelUsers, report.FunnelUsers)},
		{"/funnel/explain", a.lists, of(report.ReadFunnelExplain, report.FunnelExplain)},
		{"/retention", a.heavy, of(report.ReadRetention, report.Retention)},
		{"/retention/users", a.heavy, of(report.ReadRetentionUsers, report.RetentionUsers)},
		{"/trends", a.heavy, of(report.ReadTrends, report.Trends)},
		{"/lifecycle", a.heavy, of(report.ReadLifecycle, report.Lifecycle)},
		{"/stickiness", a.heavy, of(report.ReadStickiness, report.Stickiness)},
		{"/paths", a.heavy, of(report.ReadPaths, report.Paths)},
		{"/realtime", nil, of(report.ReadRealtime, report.Realtime)},
		{"/heatmap", a.heavy, of(report.ReadHeatmap, report.Heatmaps)},
		{"/recommendations", a.heavy, of(report.ReadRecommend, report.Recommend)},
		{"/users/:id", a.lists, of(report.ReadProfile, report.Profile)},
		{"/accounting", a.heavy, a.accounting},
	}
}

// aliases are second names of routes, that callers of such systems know.
var aliases = map[string]string{
	"/stats/events": "/api/stats/events",
	"/stats/pages":  "/api/stats/pages",
}
