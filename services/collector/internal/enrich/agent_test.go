package enrich

import (
	"fmt"
	"testing"
)

func TestAgentsByExample(t *testing.T) {
	tests := map[string]struct {
		text string
		want Agent
	}{
		"Chrome on Windows": {
			"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36",
			Agent{Browser: "Chrome", BrowserVersion: "120.0.0", OS: "Windows", OSVersion: "10", Device: desktop},
		},
		"Safari on a phone": {
			"Mozilla/5.0 (iPhone; CPU iPhone OS 17_2 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.2 Mobile/15E148 Safari/604.1",
			Agent{Browser: "Mobile Safari", BrowserVersion: "17.2", OS: "iOS", OSVersion: "17.2", Device: mobile},
		},
		"a tablet that says Mobile": {
			"Mozilla/5.0 (iPad; CPU OS 16_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/16.6 Mobile/15E148 Safari/604.1",
			Agent{Browser: "Mobile Safari", BrowserVersion: "16.6", OS: "iOS", OSVersion: "16.6", Device: tablet},
		},
		"an Android tablet does not say Mobile": {
			"Mozilla/5.0 (Linux; Android 13; SM-X900) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/119.0.0.0 Safari/537.36",
			Agent{Browser: "Chrome", BrowserVersion: "119.0.0", OS: "Android", OSVersion: "13", Device: tablet},
		},
		"a television": {
			"Mozilla/5.0 (SMART-TV; Linux; Tizen 5.0) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/2.2 Chrome/63.0.3239.84 TV Safari/537.36",
			Agent{Browser: "Samsung Internet", BrowserVersion: "2.2", OS: "Tizen", OSVersion: "5.0", Device: tv},
		},
		"a console": {
			"Mozilla/5.0 (PlayStation; PlayStation 5/2.26) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/13.0 Safari/605.1.15",
			Agent{Browser: "Safari", BrowserVersion: "13.0", OS: "", Device: console},
		},
		"a crawler on a phone is a bot": {
			"Mozilla/5.0 (Linux; Android 6.0.1; Nexus 5X Build/MMB29P) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Mobile Safari/537.36 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
			Agent{Browser: "Googlebot", BrowserVersion: "2.1", OS: "Android", OSVersion: "6.0.1", Device: bot, Bot: true},
		},
		"a library": {
			"Go-http-client/1.1",
			Agent{Browser: "Go-http-client", BrowserVersion: "1.1", Device: bot, Bot: true, Library: true},
		},
	}
	a := agents(t)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := a.Parse(test.text); got != test.want {
				t.Errorf("got %+v\nwant %+v", got, test.want)
			}
		})
	}
}

// The words before a pattern only save time: what they rule out could not have matched.
func TestWordsNeverHideAMatch(t *testing.T) {
	var file struct{ Cases []agentCase }
	readCases(t, "ua_ua.json", &file)
	a := agents(t)
	plain, err := NewAgents()
	if err != nil {
		t.Fatal(err)
	}
	for i := range plain.browsers {
		plain.browsers[i].words = nil
	}
	for i := range plain.systems {
		plain.systems[i].words = nil
	}
	for i, c := range file.Cases {
		if i%40 != 0 { // half a millisecond each
			continue
		}
		if got, want := a.read(c.Text), plain.read(c.Text); got != want {
			t.Errorf("%s: got %+v, without words %+v", c.Text, got, want)
		}
	}
}

func TestNeededWords(t *testing.T) {
	tests := map[string]string{
		`(Chrome)/(\d+)`:           "[chrome]",
		`(?i)FireFox/`:             "[firefox/]",
		`(iPhone|iPad).*Safari`:    "[safari]",
		`(foo|bar)x`:               "[bar foo]",
		`(foo|b?)`:                 "[]",
		`a.c`:                      "[]",
		`(?:longer|words){2,}`:     "[longer words]",
		`(?:optional)?`:            "[]",
		`(?:optional)*needed here`: "[needed here]",
	}
	for expression, want := range tests {
		if got := fmt.Sprint(neededWords(expression)); got != want {
			t.Errorf("%s: got %s, want %s", expression, got, want)
		}
	}
}

func TestMemoryIsBounded(t *testing.T) {
	m := newMemory(10)
	for i := range 1000 {
		m.put(fmt.Sprint(i), Agent{Browser: fmt.Sprint(i)})
		m.get("0") // stays, because it is asked for
	}
	if n := len(m.young) + len(m.old); n > 20 {
		t.Errorf("holds %d, want at most 20", n)
	}
	if a, ok := m.get("0"); !ok || a.Browser != "0" {
		t.Errorf("forgot what is asked for all the time: %v %v", a, ok)
	}
}

func BenchmarkUnknownAgent(b *testing.B) {
	a := agents(b)
	for b.Loop() {
		a.read("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36")
	}
}
