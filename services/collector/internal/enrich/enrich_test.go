package enrich

import (
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/store"
	"github.com/maidian/maidian/pkg/testenv"
)

func enricher(t testing.TB, geo *Geo) *Enricher {
	t.Helper()
	en, err := made()
	if err != nil {
		t.Fatal(err)
	}
	en.geo = geo
	return &en
}

var made = sync.OnceValues(func() (Enricher, error) {
	en, err := New(prometheus.NewRegistry(), zap.NewNop(), nil)
	return *en, err
})

const now = event.Time(1767225600000) // 2026-01-01

func TestAStepThatPanicsAddsNothing(t *testing.T) {
	en := enricher(t, nil)
	var ran []string
	does := func(name string) step {
		return func(_ *Enricher, _ *Visit, e *event.Event) {
			if ran = append(ran, name); name == "bad" {
				panic("by the test's wish")
			}
		}
	}
	rest := []step{does("first"), does("bad"), does("second"), does("bad"), does("last")}
	for len(rest) > 0 {
		rest = en.through(rest, &Visit{}, &event.Event{})
	}
	if want := "first bad second bad last"; strings.Join(ran, " ") != want {
		t.Errorf("ran %q, want %q", ran, want)
	}
}

func TestTimeIsCorrected(t *testing.T) {
	const second, hour = 1000, 3600 * 1000
	tests := map[string]struct{ sent, client, want event.Time }{
		"no timestamp is the receipt":               {0, 0, now},
		"no sent_at leaves it alone":                {0, now - 5*hour, now - 5*hour},
		"60 seconds of skew are left alone":         {now - 60*second, now - 90*second, now - 90*second},
		"a slow clock is shifted forward":           {now - 61*second, now - 90*second, now - 29*second},
		"a fast clock is shifted back":              {now + 2*hour, now + 1*hour, now - 1*hour},
		"60 seconds fast are left alone":            {now + 60*second, now + 50*second, now + 50*second},
		"24 hours ahead are believed":               {0, now + 24*hour, now + 24*hour},
		"more than 24 hours ahead is the receipt":   {0, now + 24*hour + 1, now},
		"ahead after the shift":                     {now - 30*hour, now, now},
		"shifted out of the years that there are":   {event.Latest, event.Earliest, now},
		"ten years slow":                            {now - 87672*hour, now - 87673*hour, now - hour},
		"far ahead by a fast clock is only shifted": {now + 48*hour, now + 47*hour, now - 1*hour},
	}
	en := enricher(t, nil)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			e := event.Event{Timestamp: test.client, ClientTimestamp: test.client}
			en.clock(&Visit{ReceivedAt: now, SentAt: test.sent}, &e)
			if e.Timestamp != test.want || e.ClientTimestamp != test.client {
				t.Errorf("got %d (client %d), want %d (client %d)", e.Timestamp-now, e.ClientTimestamp-now, test.want-now, test.client-now)
			}
		})
	}
}

func TestPages(t *testing.T) {
	tests := map[string]page{
		"https://Shop.Example/A/b?x=1#f":      {"shop.example", "/A/b", "x=1"},
		"https://shop.example":                {"shop.example", "/", ""},
		"https://shop.example?x":              {"shop.example", "/", "x"},
		"http://shop.example.:8080/":          {"shop.example", "/", ""},
		"https://user:p%40ss@shop.example/a/": {"shop.example", "/a/", ""},
		"//cdn.example/x":                     {"cdn.example", "/x", ""},
		"/pricing?a=b":                        {"", "/pricing", "a=b"},
		"?a=b":                                {"", "", "a=b"},
		"":                                    {},
		"#top":                                {},
		"https://[2001:DB8::1]:443/x":         {"[2001:db8::1]", "/x", ""},
		"https://[broken/x":                   {"", "/x", ""},
		"android-app://com.example.app/home":  {"com.example.app", "/home", ""},
		"\thttps://shop.example/%E4%BA%A7\n":  {"shop.example", "/%E4%BA%A7", ""},
		"about:blank":                         {"", "about:blank", ""},
		"https:///x":                          {"", "/x", ""},
	}
	for url, want := range tests {
		if got := parsePage(url); got != want {
			t.Errorf("%q: got %+v, want %+v", url, got, want)
		}
	}
}

func TestCampaigns(t *testing.T) {
	tests := map[string]campaign{
		"utm_source=google&utm_medium=cpc&utm_campaign=a%20b&utm_term=x+y&utm_content=z": {source: "google", medium: "cpc", name: "a b", term: "x y", content: "z"},
		"UTM_Source=a&utm_source=b": {source: "a"},
		"utm_source=100%":           {source: "100%"},
		"utm_source=%ff":            {source: "%ff"},
		"utm_source=&gclid=1":       {click: "gclid"},
		"a=b&&=&x":                  {},
	}
	for query, want := range tests {
		if got := campaignOf(query); got != want {
			t.Errorf("%q: got %+v, want %+v", query, got, want)
		}
	}
}

func TestChannels(t *testing.T) {
	tests := map[string]struct{ url, referrer, want string }{
		"typed in":                          {"https://shop.example/", "", direct},
		"search":                            {"https://shop.example/", "https://www.google.fr/search?q=x", organicSearch},
		"search without a page":             {"", "https://www.bing.com/", organicSearch},
		"social":                            {"https://shop.example/", "https://l.facebook.com/", organicSocial},
		"video":                             {"https://shop.example/", "https://www.youtube.com/watch", organicVideo},
		"a mailbox":                         {"https://shop.example/", "https://webmail.provider.fr/read", email},
		"an app's search":                   {"https://shop.example/", "android-app://com.google.android.googlequicksearchbox/https/www.google.com", organicSearch},
		"an app's mailbox":                  {"https://shop.example/", "android-app://com.google.android.gm/", email},
		"another site":                      {"https://shop.example/", "https://news.example/a", referral},
		"a document":                        {"https://shop.example/", "https://docs.google.com/document/x", referral},
		"a chat":                            {"https://shop.example/", "https://chatgpt.com/", assistants},
		"within the site":                   {"https://shop.example/b", "https://shop.example/a", ""},
		"between its parts":                 {"https://shop.example.co.uk/b", "https://blog.example.co.uk/a", ""},
		"not between others under a suffix": {"https://shop.co.uk/b", "https://other.co.uk/a", referral},
		"tagged within the site":            {"https://shop.example/b?utm_source=letter&utm_medium=email", "https://shop.example/a", email},
		"tagged beats the referrer":         {"https://shop.example/?utm_source=google&utm_medium=cpc", "https://www.facebook.com/", paidSearch},
		"a click id":                        {"https://shop.example/?gclid=1", "https://www.google.com/", paidSearch},
		"spam":                              {"https://shop.example/", "http://semalt.semalt.com/crawler.php", spam},
		"an event of no page":               {"", "", ""},
	}
	en := enricher(t, nil)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			e := event.Event{EventType: "page_view", PageURL: test.url, Referrer: test.referrer}
			en.Enrich(&Visit{ReceivedAt: now}, &e)
			if e.Channel != test.want || e.IsBot != (test.want == spam) {
				t.Errorf("got %q (bot %v), want %q", e.Channel, e.IsBot, test.want)
			}
		})
	}
}

func TestHeadersFillIn(t *testing.T) {
	const chrome = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36"
	tests := map[string]struct {
		visit Visit
		in    event.Event
		want  event.Event
	}{
		"a browser": {
			Visit{UserAgent: chrome, Referrer: "https://news.example/"},
			event.Event{PageURL: "https://shop.example/"},
			event.Event{UserAgent: chrome, Referrer: "https://news.example/"},
		},
		"the request's Referer is the page itself": {
			Visit{Referrer: "https://shop.example/a"},
			event.Event{PageURL: "https://shop.example/a?x"},
			event.Event{},
		},
		"the request's Referer is the Origin": {
			Visit{Referrer: "https://shop.example/", Origin: "https://shop.example"},
			event.Event{},
			event.Event{},
		},
		"what the event says stays": {
			Visit{UserAgent: "curl/8", Referrer: "https://b.example/"},
			event.Event{UserAgent: chrome, Referrer: "https://a.example/"},
			event.Event{UserAgent: chrome, Referrer: "https://a.example/"},
		},
		"a server's library is no bot": {
			Visit{UserAgent: "python-requests/2.31.0"},
			event.Event{},
			event.Event{UserAgent: "python-requests/2.31.0"},
		},
		"a visitor's is": {
			Visit{},
			event.Event{UserAgent: "python-requests/2.31.0"},
			event.Event{UserAgent: "python-requests/2.31.0", IsBot: true},
		},
		"a crawler's own request is a bot": {
			Visit{UserAgent: "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)"},
			event.Event{},
			event.Event{UserAgent: "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)", IsBot: true},
		},
	}
	en := enricher(t, nil)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := test.in
			en.Enrich(&test.visit, &got)
			if got.UserAgent != test.want.UserAgent || got.Referrer != test.want.Referrer || got.IsBot != test.want.IsBot {
				t.Errorf("got agent %q, referrer %q, bot %v", got.UserAgent, got.Referrer, got.IsBot)
			}
		})
	}
}

func TestIdentity(t *testing.T) {
	en := enricher(t, nil)
	e := event.Event{EventType: "sign_up"}
	en.Enrich(&Visit{Project: "p", ReceivedAt: now, SDK: "js/1"}, &e)
	if len(e.EventID) != 36 || e.EventID[14] != '7' {
		t.Errorf("event_id %q is no UUIDv7", e.EventID)
	}
	if e.Project != "p" || e.ReceivedAt != now || e.Timestamp != now || e.EventName != "sign_up" || e.SDK != "js/1" || e.SessionID != "" {
		t.Errorf("got %+v", e)
	}
}

func TestCurrency(t *testing.T) {
	tests := map[string]struct{ kind, properties, want string }{
		"the project's":            {"purchase", `{"amount":1}`, `{"currency":"EUR","amount":1}`},
		"without properties":       {"purchase", ``, `{"currency":"EUR"}`},
		"its own":                  {"purchase", `{"currency":"USD"}`, `{"currency":"USD"}`},
		"null is not named twice":  {"purchase", `{"currency":null}`, `{"currency":null}`},
		"only purchases":           {"refund", `{"amount":1}`, `{"amount":1}`},
		"not one inside something": {"purchase", `{"a":{"currency":"USD"}}`, `{"currency":"EUR","a":{"currency":"USD"}}`},
	}
	en := enricher(t, nil)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			e := event.Event{EventType: test.kind, Properties: test.properties}
			en.currency(&Visit{Currency: "EUR"}, &e)
			if e.Properties != test.want {
				t.Errorf("got %s, want %s", e.Properties, test.want)
			}
		})
	}
}

func TestAddressesByPolicy(t *testing.T) {
	tests := []struct{ address, policy, want string }{
		{"203.0.113.77", store.IPFull, "203.0.113.77"},
		{"203.0.113.77", store.IPMask, "203.0.113.0"},
		{"203.0.113.77", "", "203.0.113.0"},
		{"203.0.113.77", store.IPDrop, ""},
		{"203.0.113.77", "nonsense", ""},
		{"2001:db8:1:2:3:4:5:6", store.IPFull, "2001:db8:1:2:3:4:5:6"},
		{"2001:db8:1:2:3:4:5:6", store.IPMask, "2001:db8:1::"},
		{"", store.IPFull, ""},
	}
	for _, test := range tests {
		if got := allowed(hop(test.address), test.policy); got != test.want {
			t.Errorf("%s %s: got %q, want %q", test.address, test.policy, got, test.want)
		}
	}
}

func TestVisitors(t *testing.T) {
	tests := map[string]struct {
		remote string
		header http.Header
		want   string
	}{
		"no proxy":                         {"203.0.113.9:1234", http.Header{}, "203.0.113.9"},
		"an untrusted one is not believed": {"203.0.113.9:1234", http.Header{"X-Forwarded-For": {"198.51.100.1"}}, "203.0.113.9"},
		"one proxy":                        {"10.0.0.1:1", http.Header{"X-Forwarded-For": {"198.51.100.1"}}, "198.51.100.1"},
		"what a visitor invents is left":   {"10.0.0.1:1", http.Header{"X-Forwarded-For": {"1.2.3.4, 198.51.100.1"}}, "198.51.100.1"},
		"two proxies":                      {"10.0.0.1:1", http.Header{"X-Forwarded-For": {"1.2.3.4, 198.51.100.1, 10.0.0.2"}}, "198.51.100.1"},
		"several lines are one chain":      {"10.0.0.1:1", http.Header{"X-Forwarded-For": {"1.2.3.4", "198.51.100.1"}}, "198.51.100.1"},
		"all inside":                       {"10.0.0.1:1", http.Header{"X-Forwarded-For": {"10.0.0.3, 10.0.0.2"}}, "10.0.0.3"},
		"nonsense stops the walk":          {"10.0.0.1:1", http.Header{"X-Forwarded-For": {"1.2.3.4, unknown, 10.0.0.2"}}, "10.0.0.2"},
		"a port":                           {"10.0.0.1:1", http.Header{"X-Forwarded-For": {"198.51.100.1:5555"}}, "198.51.100.1"},
		"IPv6":                             {"[::1]:1", http.Header{"X-Forwarded-For": {"[2001:db8::5]:80"}}, "2001:db8::5"},
		"IPv4 within IPv6":                 {"[::ffff:10.0.0.1]:1", http.Header{"X-Forwarded-For": {"::ffff:198.51.100.1"}}, "198.51.100.1"},
		"Forwarded":                        {"10.0.0.1:1", http.Header{"Forwarded": {`for=1.2.3.4, For="[2001:db8::5]:99";proto=https, for=10.0.0.2`}}, "2001:db8::5"},
		"X-Real-IP":                        {"10.0.0.1:1", http.Header{"X-Real-Ip": {"198.51.100.1"}}, "198.51.100.1"},
		"X-Forwarded-For before Forwarded": {"10.0.0.1:1", http.Header{"X-Forwarded-For": {"198.51.100.1"}, "Forwarded": {"for=1.2.3.4"}}, "198.51.100.1"},
		"a zone is cut":                    {"[fe80::1%eth0]:1", http.Header{}, "fe80::1"},
	}
	proxies, err := ParseProxies([]string{"10.0.0.0/8", " ::1 "})
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := proxies.Visitor(test.remote, test.header); got.String() != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
	if _, err := ParseProxies([]string{"ten/8"}); err == nil || !strings.Contains(err.Error(), `"ten/8"`) {
		t.Errorf("a wrong network: got %v", err)
	}
}

func TestSourcesAreListedOnce(t *testing.T) {
	if _, err := readSources("[a]\nx.com\n[b]\nx.com\n"); err == nil {
		t.Error("a source in two kinds is taken")
	}
}

func TestChannelsOfTheSharedCases(t *testing.T) {
	var file struct {
		Cases []struct {
			Source, Medium, Campaign string
			Want                     string `json:"expected_channel"`
		}
	}
	readCases(t, "channels_ga4.json", &file)
	en := enricher(t, nil)
	for _, c := range file.Cases {
		if got := en.sources.Channel(c.Source, c.Medium, c.Campaign); got != c.Want {
			t.Errorf("%q %q %q: got %s, want %s", c.Source, c.Medium, c.Campaign, got, c.Want)
		}
	}
}

func TestSourcesOfTheSharedCases(t *testing.T) {
	data, err := os.ReadFile(testenv.Cases(t, filepath.Join("data", "ga4_source_categories.csv")))
	if err != nil {
		t.Fatal(err)
	}
	en := enricher(t, nil)
	total, other := 0, 0
	for line := range strings.Lines(string(data)) {
		source, category, _ := strings.Cut(strings.TrimSpace(line), ",")
		want := Kind(strings.ToLower(strings.TrimPrefix(category, "SOURCE_CATEGORY_")))
		if want == "source_category" {
			continue
		}
		total++
		if got := en.sources.Named(source); got != want {
			other++
			t.Logf("%s: got %q, listed as %q", source, got, want)
		}
	}
	if other > 0 {
		t.Errorf("%d of %d sources differ", other, total)
	}
}

func TestReferrersOfTheSharedCases(t *testing.T) {
	var file struct {
		Cases []struct{ Spec, URI, Medium string }
	}
	readCases(t, "referer.json", &file)
	want := map[string][]Kind{
		"search": {Search, Shopping}, "social": {Social, Video}, "email": {Email},
		"paid": {Display, PaidSearch}, "chatbot": {Assistant},
	}
	en := enricher(t, nil)
	for _, c := range file.Cases {
		got, ok := en.sources.Host(parsePage(c.URI).host), false
		for _, kind := range want[c.Medium] {
			ok = ok || got == kind
		}
		if !ok {
			t.Errorf("%s (%.60s): got %q, want %s", c.Spec, c.URI, got, c.Medium)
		}
	}
}

func TestSpamOfTheSharedCases(t *testing.T) {
	var file struct{ Domains []string }
	readCases(t, "referrer_spam.json", &file)
	en := enricher(t, nil)
	for _, domain := range file.Domains {
		e := event.Event{PageURL: "https://shop.example/", Referrer: "http://www." + domain + "/x"}
		en.Enrich(&Visit{ReceivedAt: now}, &e)
		if e.Channel != spam || !e.IsBot {
			t.Errorf("%s: channel %q, bot %v", domain, e.Channel, e.IsBot)
		}
	}
}

func TestPlacesOfTheSharedCases(t *testing.T) {
	geo, err := OpenGeo(testenv.Cases(t, filepath.Join("geo", "GeoLite2-City-Test.mmdb")))
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Cases []struct {
			Network, Country string
			City             string `json:"city_en"`
		}
	}
	readCases(t, filepath.Join("geo", "geolite2_city_test.json"), &file)
	for _, c := range file.Cases {
		network := netip.MustParsePrefix(c.Network)
		if got := geo.Place(network.Addr()); got.Country != c.Country || got.City != c.City {
			t.Errorf("%s: got %+v, want %s %s", c.Network, got, c.Country, c.City)
		}
	}
}

func TestGeoFileIsReloadedWhenItChanges(t *testing.T) {
	countries, cities := testenv.Cases(t, filepath.Join("geo", "GeoLite2-Country-Test.mmdb")), testenv.Cases(t, filepath.Join("geo", "GeoLite2-City-Test.mmdb"))
	path := filepath.Join(t.TempDir(), "geo.mmdb")
	replace := func(with string) {
		data, err := os.ReadFile(with)
		if err == nil {
			err = os.WriteFile(path, data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	replace(countries)
	geo, err := OpenGeo(path)
	if err != nil {
		t.Fatal(err)
	}
	address := netip.MustParseAddr("81.2.69.142")
	if got := geo.Place(address); got != (Place{Country: "GB"}) {
		t.Fatalf("countries: got %+v", got)
	}
	replace(cities)
	if err := geo.Reload(); err != nil {
		t.Fatal(err)
	}
	if got := geo.Place(address); got != (Place{Country: "GB", Region: "England", City: "London"}) {
		t.Fatalf("cities: got %+v", got)
	}
	if err := os.WriteFile(path, []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := geo.Reload(); err == nil {
		t.Error("a broken file is taken")
	}
	if got := geo.Place(address); got.City != "London" {
		t.Errorf("after a broken file: got %+v", got)
	}
}

func TestPlaceIsOfTheWholeAddress(t *testing.T) {
	geo, err := OpenGeo(testenv.Cases(t, filepath.Join("geo", "GeoLite2-City-Test.mmdb")))
	if err != nil {
		t.Fatal(err)
	}
	e := event.Event{}
	enricher(t, geo).Enrich(&Visit{Address: netip.MustParseAddr("81.2.69.142"), IPPolicy: store.IPDrop, ReceivedAt: now}, &e)
	if e.City != "London" || e.IPAddress != "" {
		t.Errorf("got city %q, address %q", e.City, e.IPAddress)
	}
}

func FuzzPage(f *testing.F) {
	for _, s := range []string{"https://u@h:1/p?q=1&utm_source=%zz#f", "//", "://", "a:b", "https://[::1", "?utm_source=%"} {
		f.Add(s, s)
	}
	en := enricher(f, nil)
	f.Fuzz(func(t *testing.T, url, referrer string) {
		e := event.Event{EventType: "page_view", PageURL: url, Referrer: referrer}
		en.Enrich(&Visit{ReceivedAt: now}, &e)
		if strings.ContainsAny(e.PageHost, "/?#@") || strings.ContainsAny(e.PagePath, "?#") {
			t.Errorf("host %q, path %q of %q", e.PageHost, e.PagePath, url)
		}
	})
}

func BenchmarkEnrich(b *testing.B) {
	en := enricher(b, nil)
	var e event.Event
	b.ReportAllocs()
	for b.Loop() {
		v := Visit{
			Project: "p", ReceivedAt: now, Address: netip.MustParseAddr("203.0.113.9"),
			UserAgent: "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36",
		}
		for range 20 {
			e = event.Event{
				EventID: "0190", EventType: "page_view", Timestamp: now,
				PageURL: "https://shop.example/products/12?utm_source=google&utm_medium=cpc", Referrer: "https://www.google.com/",
			}
			en.Enrich(&v, &e)
		}
	}
}
