package enrich

import (
	"strings"

	"github.com/maidian/maidian/pkg/event"
)

// page sets page_host and page_path from page_url.
//
// The host is lower-case, without port and user. The path is as sent: not
// decoded, its case and a slash at its end kept, because a server may answer
// differently to each; an empty one is "/". Query and fragment are no part of
// it. A page_url without a host ("/pricing") has only a path.
func (en *Enricher) page(v *Visit, e *event.Event) {
	p := v.parsed(e.PageURL)
	e.PageHost, e.PagePath = p.host, p.path
}

// parsed is parsePage, remembered for events of the same page.
func (v *Visit) parsed(url string) page {
	if url != v.pageOf {
		v.pageOf, v.pageIs = url, parsePage(url)
		v.campaignIs = campaignOf(v.pageIs.query)
	}
	return v.pageIs
}

// page is an address in its parts.
type page struct{ host, path, query string }

// parsePage never fails: what is no address has no host.
func parsePage(url string) page {
	url = strings.TrimSpace(url)
	url, _, _ = strings.Cut(url, "#")
	rest, query, _ := strings.Cut(url, "?")
	if rest == "" {
		return page{query: query}
	}
	if i := strings.Index(rest, "://"); i > 0 && isScheme(rest[:i]) {
		rest = rest[i+len("://"):]
	} else if strings.HasPrefix(rest, "//") {
		rest = rest[len("//"):]
	} else {
		return page{path: rest, query: query}
	}
	authority, path := rest, "/"
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		authority, path = rest[:i], rest[i:]
	}
	return page{host: hostOf(authority), path: path, query: query}
}

func isScheme(s string) bool {
	for i := range len(s) {
		if b := s[i] | 0x20; (b < 'a' || b > 'z') && (i == 0 || !strings.ContainsRune("0123456789+-.", rune(s[i]))) {
			return false
		}
	}
	return true
}

// hostOf cuts user and port off an authority.
func hostOf(authority string) string {
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		authority = authority[i+1:]
	}
	if strings.HasPrefix(authority, "[") { // IPv6
		if i := strings.IndexByte(authority, ']'); i > 0 {
			return strings.ToLower(authority[:i+1])
		}
		return ""
	}
	if i := strings.IndexByte(authority, ':'); i >= 0 {
		authority = authority[:i]
	}
	return strings.ToLower(strings.TrimSuffix(authority, "."))
}
