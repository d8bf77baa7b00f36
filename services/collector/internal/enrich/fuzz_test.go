package enrich

import (
	"encoding/json"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/maidian/maidian/pkg/event"
)

// FuzzClock corrects times as clients send them and holds them against the rule
// in numbers of any size: received_at - sent_at is the skew, one above a minute
// moves the time, and what is then a day ahead, or no time at all, is the receipt.
func FuzzClock(f *testing.F) {
	const year = 31_557_600_000
	for _, skew := range []int64{0, 59_999, 60_000, 60_001, -60_001, 10 * year, -10 * year} {
		f.Add(int64(now), fmt.Sprint(int64(now)-skew), fmt.Sprint(int64(now)-skew-1000))
		f.Add(int64(now)-10*year, fmt.Sprintf("%q", (now-event.Time(skew)).String()), fmt.Sprintf("%q", (now-event.Time(2*skew)).String()))
	}
	f.Add(int64(0), "253402300799999", "-62135596800000")
	f.Add(int64(now), fmt.Sprint(int64(now)+90_000), "90000")
	f.Add(int64(now), "1e14", "9223372036854775807")
	f.Add(int64(now), "null", `"9999-12-31T23:59:59.999-23:59"`)
	en := enricher(f, nil)
	f.Fuzz(func(t *testing.T, received int64, sentAt, timestamp string) {
		if received <= 0 || received > int64(now)+100*year {
			t.Skip("no server's clock says so")
		}
		body := `{"event_type":"x","sent_at":` + sentAt + `,"timestamp":` + timestamp + `}`
		r, err := event.ParseOne(body, "")
		if err != nil || len(r.Events[0].Problems) > 0 {
			return
		}
		e := r.Events[0].Event
		sent := e.Timestamp
		en.clock(&Visit{ReceivedAt: event.Time(received), SentAt: r.SentAt}, &e)
		if want := corrected(big.NewInt(received), int64(r.SentAt), int64(sent)); want.Cmp(big.NewInt(int64(e.Timestamp))) != 0 || e.ClientTimestamp != sent {
			t.Fatalf("%s received at %d: got %d (client's %d), want %s (client's %d)", body, received, e.Timestamp, e.ClientTimestamp, want, sent)
		}
		for _, at := range []event.Time{e.Timestamp, e.ClientTimestamp} {
			if text, err := at.MarshalJSON(); err != nil || !readsBack(text, at) && (at != 0 || sent != 0) {
				t.Fatalf("%s received at %d: %d goes out as %s, %v", body, received, at, text, err)
			}
		}
	})
}

func corrected(received *big.Int, sentAt, timestamp int64) *big.Int {
	if timestamp == 0 {
		return received
	}
	at := big.NewInt(timestamp)
	if skew := new(big.Int).Sub(received, big.NewInt(sentAt)); sentAt != 0 && skew.CmpAbs(big.NewInt(60_000)) > 0 {
		at.Add(at, skew)
	}
	if at.Cmp(new(big.Int).Add(received, big.NewInt(86_400_000))) > 0 || at.Cmp(big.NewInt(-62135596800000)) < 0 {
		return received
	}
	if at.Sign() == 0 {
		return big.NewInt(1) // the epoch is a time, not a missing one
	}
	return at
}

// readsBack says whether a time's text is RFC 3339 and means that time.
func readsBack(text []byte, at event.Time) bool {
	var read time.Time
	return json.Unmarshal(text, &read) == nil && read.UnixMilli() == int64(at)
}

// FuzzVisitor puts whatever a visitor may invent before what proxies add: it
// never changes who the visitor is. Without that, and of any header, the walk is
// held against a naive one.
func FuzzVisitor(f *testing.F) {
	f.Add("203.0.113.9", uint8(0), "1.2.3.4", byte(0))
	f.Add("2001:db8::5", uint8(2), `10.0.0.9, for="[::1`, byte(1))
	f.Add("10.1.2.3", uint8(1), ",,unknown\r\n,%", byte(2))
	f.Add("fe80::1%eth0", uint8(3), "::ffff:10.0.0.1, [2001:db8::7]:80", byte(3))
	proxies, err := ParseProxies([]string{"10.0.0.0/8", "fd00::/8", "192.0.2.7"})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, visitor string, hops uint8, invented string, form byte) {
		naive(t, proxies, invented)
		client, err := netip.ParseAddr(visitor)
		if err != nil {
			return
		}
		client = client.Unmap().WithZone("")
		// The visitor calls the first proxy; each proxy notes who called it.
		chain, remote := []string{client.String()}, "10.0.0.1:4711"
		for range hops % 4 {
			chain = append(chain, "10.0.0.1")
			remote = "[fd00::2]:4711"
		}
		h := noted(invented, chain, form)
		got := proxies.Visitor(remote, h)
		if trusted := inside(proxies, client); !trusted && got != client {
			t.Fatalf("%v from %s: got %s, want %s", h, remote, got, client)
		}
		if untrusted := proxies.Visitor(net.JoinHostPort(client.String(), "1"), h); !inside(proxies, client) && untrusted != client {
			t.Fatalf("%v from %s itself: got %s", h, client, untrusted)
		}
	})
}

// noted are a request's headers when it arrives: the visitor's own, and what the
// proxies added, on the same line or on lines of their own.
func noted(invented string, chain []string, form byte) http.Header {
	name, entry := "X-Forwarded-For", func(a string) string { return a }
	if form&1 != 0 {
		name, entry = "Forwarded", func(a string) string {
			if strings.Contains(a, ":") {
				a = `"[` + a + `]:1"`
			}
			return "for=" + a + ";proto=https"
		}
	}
	var entries []string
	for _, a := range chain {
		entries = append(entries, entry(a))
	}
	if form&2 != 0 {
		return http.Header{name: append([]string{invented}, entries...)}
	}
	return http.Header{name: {invented + ", " + strings.Join(entries, ", ")}}
}

// naive walks X-Forwarded-For with the net package: the last address that is
// not a proxy's counts; what is no address ends the walk.
func naive(t *testing.T, proxies Proxies, line string) {
	t.Helper()
	want := net.ParseIP("10.0.0.1")
	entries := strings.Split(line, ",")
	for i := len(entries) - 1; i >= 0; i-- {
		entry := strings.TrimSpace(entries[i])
		if strings.ContainsAny(entry, "[]%") {
			return // brackets, ports and zones of IPv6 have tests of their own
		}
		if host, port, err := net.SplitHostPort(entry); err == nil && port != "" && strings.Trim(port, "0123456789") == "" {
			if n, ok := new(big.Int).SetString(port, 10); !ok || n.Cmp(big.NewInt(65535)) > 0 || len(port) > 1 && port[0] == '0' {
				return
			}
			entry = host
		}
		ip := net.ParseIP(entry)
		if ip == nil {
			break
		}
		want = ip
		if a, _ := netip.AddrFromSlice(ip); !inside(proxies, a.Unmap()) {
			break
		}
	}
	got := proxies.Visitor("10.0.0.1:1", http.Header{"X-Forwarded-For": {line}})
	if !net.IP(got.AsSlice()).Equal(want) || got.Zone() != "" || got.Is4In6() {
		t.Fatalf("%q: got %s, want %s", line, got, want)
	}
}

func inside(proxies Proxies, a netip.Addr) bool {
	for _, network := range proxies {
		_, n, _ := net.ParseCIDR(network.String())
		if n.Contains(a.AsSlice()) {
			return true
		}
	}
	return false
}
