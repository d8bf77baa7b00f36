package outgoing

import (
	"bytes"
	"net/netip"
	"slices"
)

// closed are the IPv4 networks that are nobody's on the Internet (RFC 6890 and
// IANA's special-purpose registry), and one address inside Microsoft's own that
// answers every Azure machine with what it should know alone.
var closed = prefixes(
	"0.0.0.0/8",       // this network
	"10.0.0.0/8",      // private
	"100.64.0.0/10",   // carriers' own, and Alibaba's metadata
	"127.0.0.0/8",     // this machine
	"169.254.0.0/16",  // this link: most clouds' metadata
	"172.16.0.0/12",   // private
	"192.0.0.0/24",    // protocols, and Oracle's metadata
	"192.0.2.0/24",    // documentation
	"192.88.99.0/24",  // 6to4 relays
	"192.168.0.0/16",  // private
	"198.18.0.0/15",   // benchmarks
	"198.51.100.0/24", // documentation
	"203.0.113.0/24",  // documentation
	"224.0.0.0/4",     // many at once
	"240.0.0.0/4",     // reserved, and broadcast
	"168.63.129.16/32",
)

// open6 is all that is given out of IPv6, and closed6 what of it leads elsewhere
// or nowhere.
var (
	open6   = netip.MustParsePrefix("2000::/3")
	closed6 = prefixes(
		"2001::/23",     // protocols: Teredo holds IPv4 addresses
		"2001:db8::/32", // documentation
		"2002::/16",     // 6to4 holds IPv4 addresses
		"3fff::/20",     // documentation
	)
	nat64 = netip.MustParsePrefix("64:ff9b::/96") // its last 32 bits are an IPv4 address
)

func prefixes(list ...string) []netip.Prefix {
	all := make([]netip.Prefix, len(list))
	for i, text := range list {
		all[i] = netip.MustParsePrefix(text)
	}
	return all
}

// checkAddress is nil for an address that everybody may reach, or that the
// configuration opens.
func (g *Guard) checkAddress(address netip.Addr) error {
	meant := plain(address)
	if within(g.networks, meant) || isPublic(meant) {
		return nil
	}
	return refuse("%s is no public address; %s can allow it", address, g.setting)
}

// plain is the IPv4 address inside an IPv6 one that only wraps it.
func plain(address netip.Addr) netip.Addr {
	address = address.WithZone("").Unmap()
	if nat64.Contains(address) {
		bits := address.As16()
		return netip.AddrFrom4([4]byte(bits[12:]))
	}
	return address
}

func isPublic(address netip.Addr) bool {
	if address.Is4() {
		return !within(closed, address)
	}
	return open6.Contains(address) && !within(closed6, address) && !isISATAP(address)
}

// isISATAP says that a tunnel inside a site ends at the IPv4 address in the last 32 bits.
func isISATAP(address netip.Addr) bool {
	bits := address.As16()
	return bits[8]&^0x02 == 0 && bytes.Equal(bits[9:12], []byte{0, 0x5e, 0xfe})
}

func within(networks []netip.Prefix, address netip.Addr) bool {
	return slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Contains(address) })
}
