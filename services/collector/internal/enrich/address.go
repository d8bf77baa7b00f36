package enrich

import (
	"net/netip"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/store"
)

// address stores as much of the visitor's address as the project's policy
// allows. An unknown policy is the careful one: nothing is stored.
func (en *Enricher) address(v *Visit, e *event.Event) {
	if v.stored == "" {
		v.stored = allowed(v.Address, v.IPPolicy)
	}
	e.IPAddress = v.stored
}

func allowed(a netip.Addr, policy string) string {
	switch {
	case !a.IsValid():
		return ""
	case policy == store.IPFull:
		return a.String()
	case policy == store.IPMask || policy == "":
		return masked(a).String()
	}
	return ""
}

// masked zeroes the last octet of IPv4 and the last 80 bits of IPv6.
func masked(a netip.Addr) netip.Addr {
	bits := 24
	if a.Is6() {
		bits = 48
	}
	network, err := a.Prefix(bits)
	if err != nil {
		return netip.Addr{}
	}
	return network.Addr()
}
