package access

import (
	"strings"
)

// origins are patterns such as https://shop.example or https://*.shop.example.
type origins []string

func parseOrigins(list []string) (o origins) {
	for _, text := range list {
		o = append(o, normal(text))
	}
	return o
}

// allow compares scheme, host and port exactly; *. stands for any subdomain,
// at any depth, and * alone for every origin.
func (o origins) allow(origin string) bool {
	origin = normal(origin)
	for _, pattern := range o {
		if pattern == origin || pattern == "*" {
			return true
		}
		if before, after, ok := strings.Cut(pattern, "://*."); ok {
			scheme, host, _ := strings.Cut(origin, "://")
			if scheme == before && strings.HasSuffix(host, "."+after) {
				return true
			}
		}
	}
	return false
}

// normal is an origin as browsers write it: lower-case, without the scheme's own port.
func normal(origin string) string {
	origin = strings.TrimSuffix(strings.ToLower(strings.TrimSpace(origin)), "/")
	switch {
	case strings.HasPrefix(origin, "https://"):
		return strings.TrimSuffix(origin, ":443")
	case strings.HasPrefix(origin, "http://"):
		return strings.TrimSuffix(origin, ":80")
	}
	return origin
}
