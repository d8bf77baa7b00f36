package enrich

import "github.com/maidian/maidian/pkg/event"

// fromHeaders fills a missing user agent and referrer from the request.
//
// The Referer of a script's request, or of a pixel, is the page that the
// script or pixel stands on, which is not where the visitor came from: taken
// as a referrer it would make every visit a referral by the site itself. So
// one that names the event's own page, or the request's Origin, is left out.
func (en *Enricher) fromHeaders(v *Visit, e *event.Event) {
	v.agentHeader = e.UserAgent == ""
	if v.agentHeader {
		e.UserAgent = v.UserAgent
	}
	if e.Referrer == "" && v.Referrer != "" && !v.referrerIsPage(e.PageURL) {
		e.Referrer = v.Referrer
	}
}

func (v *Visit) referrerIsPage(url string) bool {
	host := parsePage(v.Referrer).host
	if host == "" {
		return true // no address at all
	}
	return host == v.parsed(url).host || host == parsePage(v.Origin).host
}
