package enrich

import (
	_ "embed"
	"strings"
)

//go:embed referrer_spam.txt
var spamList string

func readDomains(list string) map[string]bool {
	domains := map[string]bool{}
	for line := range strings.Lines(list) {
		if line = strings.ToLower(strings.TrimSpace(line)); line != "" && line[0] != '#' {
			domains[line] = true
		}
	}
	return domains
}

// isSpam says whether a host, or one above it, is known to fake visits.
func (en *Enricher) isSpam(host string) bool {
	for {
		if en.spam[host] {
			return true
		}
		_, above, ok := strings.Cut(host, ".")
		if !ok {
			return false
		}
		host = above
	}
}
