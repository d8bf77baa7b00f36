package enrich

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
)

// Proxies are the networks whose word about a visitor's address is believed.
type Proxies []netip.Prefix

// ParseProxies reads networks such as 10.0.0.0/8, or single addresses.
func ParseProxies(networks []string) (Proxies, error) {
	var proxies Proxies
	for _, text := range networks {
		text = strings.TrimSpace(text)
		network, err := netip.ParsePrefix(text)
		if err != nil {
			a, wrong := netip.ParseAddr(text)
			if wrong != nil {
				return nil, fmt.Errorf("must be networks such as 10.0.0.0/8, got %q", text)
			}
			network = netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen())
		}
		proxies = append(proxies, network.Masked())
	}
	return proxies, nil
}

func (p Proxies) trust(a netip.Addr) bool {
	for _, network := range p {
		if network.Contains(a) {
			return true
		}
	}
	return false
}

// Visitor is the address of whoever sent the request. Each proxy appends the
// address it was called from, so the chain is read from its right end for as
// long as the hops are trusted: everything further left may be invented. The
// first of the headers X-Forwarded-For, Forwarded and X-Real-IP that is there
// counts, and none when the connection itself does not come from a proxy.
func (p Proxies) Visitor(remote string, h http.Header) netip.Addr {
	at := hop(remote)
	if len(p) == 0 || !p.trust(at) {
		return at
	}
	chain := forwarded(h)
	for i := len(chain) - 1; i >= 0; i-- {
		a := hop(chain[i])
		if !a.IsValid() {
			break // "unknown", or nonsense: the hop before it is all that is known
		}
		at = a
		if !p.trust(at) {
			break
		}
	}
	return at
}

func forwarded(h http.Header) []string {
	if lines := h["X-Forwarded-For"]; len(lines) > 0 {
		return strings.Split(strings.Join(lines, ","), ",")
	}
	if lines := h["Forwarded"]; len(lines) > 0 {
		return forwardedFor(strings.Join(lines, ","))
	}
	return h["X-Real-Ip"]
}

// forwardedFor are the "for" addresses of RFC 7239, one for each hop; a hop
// that does not say has an empty one.
func forwardedFor(line string) (chain []string) {
	for element := range strings.SplitSeq(line, ",") {
		address := ""
		for pair := range strings.SplitSeq(element, ";") {
			name, value, _ := strings.Cut(strings.TrimSpace(pair), "=")
			if strings.EqualFold(name, "for") {
				address = strings.Trim(value, `"`)
			}
		}
		chain = append(chain, address)
	}
	return chain
}

// hop reads an address with or without port, brackets and zone.
func hop(s string) netip.Addr {
	s = strings.TrimSpace(s)
	if withPort, err := netip.ParseAddrPort(s); err == nil {
		return plain(withPort.Addr())
	}
	a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"))
	if err != nil {
		return netip.Addr{}
	}
	return plain(a)
}

func plain(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }
