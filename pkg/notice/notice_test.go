package notice

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/maidian/maidian/pkg/ask"
	"github.com/maidian/maidian/pkg/calendar"
	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/fault"
	"github.com/maidian/maidian/pkg/rule"
)

func read(t *testing.T, body string) (Channel, *fault.Error) {
	t.Helper()
	p, err := ask.ParamsFromJSON([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	c := ReadChannel(p)
	wrong, _ := p.Done().(*fault.Error)
	return c, wrong
}

func TestChannels(t *testing.T) {
	webhook := func(rest string) string {
		return `{"type": "webhook", "settings": {"url": "https://example.com/h"}, "secrets": {"secret": "whsec_x"}` + rest + `}`
	}
	tests := map[string]struct{ body, field string }{
		"webhook":                 {webhook(``), ""},
		"webhook rotating":        {`{"type": "webhook", "settings": {"url": "https://example.com/h"}, "secrets": {"secret": ["a", {"env": "CREDENTIAL_B"}]}}`, ""},
		"slack":                   {`{"type": "slack", "secrets": {"url": {"file": "slack"}}}`, ""},
		"telegram":                {`{"type": "telegram", "settings": {"chat_id": -100123}, "secrets": {"token": "1:a"}}`, ""},
		"dingtalk":                {`{"type": "dingtalk", "secrets": {"url": "https://x", "secret": "SEC1"}}`, ""},
		"feishu":                  {`{"type": "feishu", "secrets": {"url": "https://x"}, "language": "zh", "timezone": "Asia/Shanghai"}`, ""},
		"wecom":                   {`{"type": "wecom", "secrets": {"url": "https://x"}}`, ""},
		"email":                   {`{"type": "email", "settings": {"host": "smtp.example.com", "from": "Maidian <m@example.com>", "to": "a@example.com, b@example.com"}}`, ""},
		"a function that is none": {webhook(`, "title": "{{.Name | upper}}", "text": "{{if gt (len .Value) 3}}much{{else}}{{property \"currency\"}}{{end}}"`), "text"},
		"words of its own":        {webhook(`, "title": "{{.Name | upper}}", "text": "{{if .Value}}{{.Value}} {{property \"currency\" | default \"EUR\"}}{{end}}"`), ""},
		"no type":                 {`{}`, "type"},
		"another type":            {`{"type": "pager"}`, "type"},
		"no URL":                  {`{"type": "webhook", "secrets": {"secret": "x"}}`, "settings.url"},
		"no secret":               {`{"type": "webhook", "settings": {"url": "https://example.com/h"}}`, "secrets.secret"},
		"a password in the URL":   {`{"type": "webhook", "settings": {"url": "https://u:p@example.com/h"}, "secrets": {"secret": "x"}}`, "settings.url"},
		"a misspelt setting":      {`{"type": "slack", "settings": {"channel": "x"}, "secrets": {"url": "https://x"}}`, "settings.channel"},
		"settings that are none":  {`{"type": "slack", "settings": 3, "secrets": {"url": "https://x"}}`, "settings"},
		"several where one is":    {`{"type": "slack", "secrets": {"url": ["https://x", "https://y"]}}`, "secrets.url"},
		"a header in an address":  {`{"type": "email", "settings": {"host": "smtp.example.com", "from": "m@example.com\r\nBcc: x@example.com", "to": "a@example.com"}}`, "settings.from"},
		"no address":              {`{"type": "email", "settings": {"host": "smtp.example.com", "from": "m@example.com", "to": "nobody"}}`, "settings.to"},
		"no port":                 {`{"type": "email", "settings": {"host": "smtp.example.com", "port": "0", "from": "m@example.com", "to": "a@example.com"}}`, "settings.port"},
		"no such language":        {webhook(`, "language": "fr"`), "language"},
		"no such zone":            {webhook(`, "timezone": "Local"`), "timezone"},
		"a loop":                  {webhook(`, "text": "{{range 1000000000}}x{{end}}"`), "text"},
		"a template in itself":    {webhook(`, "text": "{{define \"a\"}}{{template \"a\"}}{{template \"a\"}}{{end}}{{template \"a\"}}"`), "text"},
		"a block":                 {webhook(`, "text": "{{block \"a\" .}}{{end}}"`), "text"},
		"a wide number":           {webhook(`, "text": "{{printf \"%999999d\" 1}}"`), "text"},
		"a function hidden":       {webhook(`, "text": "{{if .Test}}{{else}}{{$a := (print 1 2)}}{{end}}"`), "text"},
		"a fact that is none":     {webhook(`, "text": "{{if .Repeat}}{{.Valeu}}{{end}}"`), "text"},
		"a fact of a fact":        {webhook(`, "text": "{{$.Name.Length}}"`), "text"},
		"a template cut short":    {webhook(`, "title": "{{.Name"`), "title"},
		"a template too long":     {webhook(`, "title": "` + strings.Repeat("x", maxTemplate+1) + `"`), "title"},
	}
	for name, tt := range tests {
		_, wrong := read(t, tt.body)
		got := ""
		if wrong != nil {
			got = wrong.Field
		}
		if got != tt.field {
			t.Errorf("%s: got a mistake in %q (%v), want in %q", name, got, wrong, tt.field)
		}
	}
}

func firing() rule.Firing {
	value, threshold, expected := 412.25, 400.0, 120.0
	return rule.Firing{
		ID: "slow.1", Rule: "slow", Project: "shop", Name: "Slow pages", Kind: "threshold", Severity: "critical", State: rule.StateFiring, Channels: []string{"ops"},
		GroupBy: "country", Group: "DE", Metric: "p95 of load_time", Value: &value, Op: "gte", Threshold: &threshold, Expected: &expected,
		Window: rule.Span{From: 1767225600000, To: 1767225900000}, Since: 1767225600000, At: 1767225900000, Link: "/report?rule=slow",
	}
}

func TestTheWordsOfBothLanguages(t *testing.T) {
	n := For(firing(), "ops", 1)
	tests := map[string]struct {
		channel Channel
		want    Message
	}{
		"English": {Channel{Language: English, Timezone: "UTC"}, Message{
			"[critical] Slow pages: DE",
			"p95 of load_time: 412.25 (threshold: ≥ 400)\nExpected: 120\ncountry: DE\nWindow: 2026-01-01 00:00:00 UTC to 2026-01-01 00:05:00 UTC\nSince: 2026-01-01 00:00:00 UTC\nProject: shop",
			"https://maidian.example/report?rule=slow",
		}},
		"Chinese": {Channel{Language: Chinese, Timezone: "Asia/Shanghai"}, Message{
			"【严重】Slow pages：DE",
			"p95 of load_time：412.25（阈值：≥ 400）\n预期：120\ncountry：DE\n时间窗口：2026-01-01 08:00:00 CST 至 2026-01-01 08:05:00 CST\n开始于：2026-01-01 08:00:00 CST\n项目：shop",
			"https://maidian.example/report?rule=slow",
		}},
		"its own": {Channel{Title: "{{.Severity}}\n{{.Name}}", Text: `{{.Value}}{{property "x"}}`}, Message{"critical Slow pages", "412.25", "https://maidian.example/report?rule=slow"}},
		"words that cannot be said": {Channel{Title: `{{eq .Repeat "x"}}`, Text: "{{.None}}", Language: English}, Message{
			"[critical] Slow pages: DE",
			"p95 of load_time: 412.25 (threshold: ≥ 400)\nExpected: 120\ncountry: DE\nWindow: 2026-01-01 00:00:00 UTC to 2026-01-01 00:05:00 UTC\nSince: 2026-01-01 00:00:00 UTC\nProject: shop",
			"https://maidian.example/report?rule=slow",
		}},
	}
	for name, tt := range tests {
		if got := Write(&n, &tt.channel, "https://maidian.example/"); got != tt.want {
			t.Errorf("%s: got %q\nwant %q", name, got, tt.want)
		}
	}
}

func TestAnEventAndItsRecovery(t *testing.T) {
	n := Sample("shop", "ops", "test.1")
	got := Write(&n, &Channel{}, "")
	want := Message{"[test] [info] High-value purchase", "amount: 12500 (threshold: ≥ 10000)\nAt: 2026-01-01 00:00:00 UTC\nEvent: purchase test of user-1\nProject: shop", ""}
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	over := For(firing(), "ops", 1)
	over.Firing.State = rule.StateRecovered
	if got := Write(&over, &Channel{}, "").Title; got != "[recovered] Slow pages: DE" {
		t.Errorf("got %q", got)
	}
}

// TestHostileValues has values that strangers put into events: they must not
// break the title's line, nor hide or reverse the rest.
func TestHostileValues(t *testing.T) {
	f := firing()
	f.Group = "a\r\nb\x00\u202Ec\xff" + strings.Repeat("x", 5000)
	n := For(f, "ops", 1)
	m := Write(&n, &Channel{}, "")
	for _, bad := range []string{"\r", "\x00", "\u202E", "\xff"} {
		if strings.Contains(m.Title+m.Text, bad) {
			t.Errorf("%q is in %.300q", bad, m.Title+m.Text)
		}
	}
	if strings.Contains(m.Title, "\n") || utf8.RuneCountInString(m.Title) > maxTitle {
		t.Errorf("got the title %q", m.Title)
	}
}

// TestALongTextIsCutInItsMiddle holds for every limit that leaves room for title and link.
func TestALongTextIsCutInItsMiddle(t *testing.T) {
	m := Message{"标题", strings.Repeat("量a", 500), "https://x.example/c"}
	bytes := func(s string) int { return len(s) }
	whole := len(m.Title) + len(m.Text) + len(m.Link) + 2
	for most := 60; most <= whole+1; most++ {
		got := m.Whole(most, bytes)
		if len(got) > most || !strings.HasPrefix(got, m.Title) || !strings.HasSuffix(got, "\n"+m.Link) || !utf8.ValidString(got) {
			t.Fatalf("at %d: got %d bytes: %.40q…%q", most, len(got), got, got[len(got)-20:])
		}
		if most < whole && len(got) < most-8 {
			t.Fatalf("at %d: got %d bytes, want more of the text", most, len(got))
		}
	}
}

func TestSilences(t *testing.T) {
	c := calendar.Calendar{Zone: time.UTC}
	tests := map[string]struct {
		body, field string
		covers      bool
	}{
		"all, a whole day":    {`{"to": "2026-01-01"}`, "", true},
		"up to just before":   {`{"to": "2026-01-01T00:05:00Z"}`, "", false},
		"up to just after":    {`{"to": 1767225900001}`, "", true},
		"from just after":     {`{"from": 1767225900001, "to": "2026-01-02"}`, "", false},
		"its rule":            {`{"rules": ["fast", "slow"], "to": "2026-01-01"}`, "", true},
		"another rule":        {`{"rules": ["fast"], "to": "2026-01-01"}`, "", false},
		"its severity":        {`{"severities": ["critical"], "to": "2026-01-01"}`, "", true},
		"another severity":    {`{"severities": ["info"], "to": "2026-01-01"}`, "", false},
		"no end":              {`{}`, "to", false},
		"an end before":       {`{"from": "2026-01-03", "to": "2026-01-02"}`, "to", false},
		"an end that is none": {`{"to": "soon"}`, "to", false},
		"no such severity":    {`{"severities": ["bad"], "to": "2026-01-01"}`, "severities", false},
	}
	for name, tt := range tests {
		p, err := ask.ParamsFromJSON([]byte(tt.body))
		if err != nil {
			t.Fatal(err)
		}
		s := ReadSilence(p, c, 1767139200000)
		field := ""
		if wrong, ok := p.Done().(*fault.Error); ok {
			field = wrong.Field
		}
		f := firing()
		if covers := field == "" && s.Covers(&f); field != tt.field || covers != tt.covers {
			t.Errorf("%s: got a mistake in %q and %t, want %q and %t", name, field, covers, tt.field, tt.covers)
		}
		if f.State = rule.StateRecovered; s.Covers(&f) {
			t.Errorf("%s: covers a recovery", name)
		}
	}
}

func TestANoticeIsReadBack(t *testing.T) {
	n := For(firing(), "ops", event.Time(1767225901000))
	r, err := n.Record(5, 7)
	if err != nil {
		t.Fatal(err)
	}
	back, err := Of(&r)
	if err != nil || back.ID != "slow.1/ops" || back.State != Waiting || r.Due != 5 || r.Revision != 7 {
		t.Fatalf("got %v in %v, %v", back, r, err)
	}
	again, _ := json.Marshal(back)
	if string(again) != string(r.Data) {
		t.Errorf("got %s, want %s", again, r.Data)
	}
	other := n
	other.Project = "blog"
	if n.Key() == other.Key() || n.Key() != back.Key() || strings.ContainsAny(n.Key(), "./ ") {
		t.Errorf("got the keys %q, %q", n.Key(), other.Key())
	}
}
