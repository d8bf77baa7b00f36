package api

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/maidian/maidian/pkg/event"
)

// FuzzSDK sends what the browser SDK would send of a page on which any text can
// stand, halves of emoji included: JSON as JSON.stringify writes it, as text/plain,
// with the key in the body. It is never refused as a whole, every event is counted,
// and what was said comes out again.
func FuzzSDK(f *testing.F) {
	add := func(text string, kind uint8, number float64, offset int64) {
		var units []byte
		for _, u := range utf16.Encode([]rune(text)) {
			units = append(units, byte(u>>8), byte(u))
		}
		f.Add(units, kind, number, offset)
	}
	add("Blue shoes 👟 – 20 % \"off\"\\\n", 0, 59.90, 0)
	add("支付", 1, math.Copysign(0, -1), 10*365*86400_000)
	add("$where.a", 2, math.MaxFloat64, -10*365*86400_000)
	add("\u2028\u0000\u0085", 3, math.NaN(), 61_000)
	add(strings.Repeat("é", 201), 4, 5e-324, -61_000)
	f.Add([]byte{0xd8, 0x3d, 0, 'a', 0xde, 0, 0xd8, 0x3d, 0xde, 0}, uint8(5), 1.0, int64(0))
	f.Add([]byte{0xd8, 0x3d}, uint8(1), math.Inf(1), int64(1))
	c := start(f)
	f.Fuzz(func(t *testing.T, units []byte, kind uint8, number float64, offset int64) {
		page := visited(units, kind, number)
		sentAt := time.Now().UnixMilli() + offset%(20*365*86400_000)
		body := `{"api_key":"wk_shop","sent_at":` + strconv.FormatInt(sentAt, 10) + `,"events":[` + page.json(sentAt-1000) + `,{"event_type":"page_leave"}]}`
		r := httptest.NewRequest("POST", batchPath, strings.NewReader(body))
		r.Header = http.Header{"Content-Type": {"text/plain;charset=UTF-8"}, "Origin": {"https://shop.example"}}
		c.broker.bodies = nil
		w := httptest.NewRecorder()
		c.handler.ServeHTTP(w, r)
		var answer struct{ Accepted, Rejected int }
		want := 2
		if page.refused() {
			want = 1
		}
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != 200 || answer.Accepted != want || answer.Rejected != 2-want {
			t.Fatalf("%s\nis answered %d %s, want %d of 2 accepted", body, w.Code, w.Body, want)
		}
		events := c.broker.events(t)
		if len(events) != want {
			t.Fatalf("%s: %d events confirmed, want %d", body, len(events), want)
		}
		if want == 2 {
			page.compare(t, &events[0], event.Time(sentAt-1000))
		}
	})
}

// page is what a visitor does on a page whose every text is the same.
type page struct {
	units  []uint16
	text   string // with U+FFFD for halves of pairs
	kind   string // the event's type
	user   bool   // the text is the user's id too
	number float64
}

func visited(units []byte, kind uint8, number float64) *page {
	p := &page{number: number, user: kind&2 != 0, kind: "click"}
	for i := 0; i+1 < min(len(units), 1200); i += 2 {
		p.units = append(p.units, uint16(units[i])<<8|uint16(units[i+1]))
	}
	p.text = string(utf16.Decode(p.units))
	if kind&1 != 0 {
		p.kind = p.text
	}
	return p
}

// json is the event as JSON.stringify writes it.
func (p *page) json(at int64) string {
	text, number := stringify(p.units), "null"
	if !math.IsNaN(p.number) && !math.IsInf(p.number, 0) {
		number = strconv.FormatFloat(p.number, 'g', -1, 64)
	}
	user, kind := `7`, `"click"`
	if p.user {
		user = text
	}
	if p.kind != "click" {
		kind = text
	}
	return fmt.Sprintf(`{"event_id":"0190-%d","timestamp":%d,"anonymous_id":"a","user_id":%s,"session_id":"s","referrer":%s,"sdk":"maidian-js/0.1.0","page_url":%s,"page_title":%s,`+
		`"screen_resolution":"1x1","element_text":%s,"load_time":null,"properties":{%s:%s,"$dropped":{"full":2},"$sequence":1,"list":[%s,true,{}]},"event_type":%s}`,
		len(p.units), at, user, text, text, text, text, p.key(), number, text, kind)
}

// key is the name of a property; it stands beside others, which no object has twice.
func (p *page) key() string { return `"_` + stringify(p.units)[1:] }

func (p *page) refused() bool {
	long := utf8.RuneCountInString(p.text) > 200
	return p.user && long || p.kind != "click" && (long || strings.TrimSpace(p.kind) == "" || strings.ContainsFunc(p.kind, unicode.IsControl))
}

func (p *page) compare(t *testing.T, e *event.Event, at event.Time) {
	t.Helper()
	user := "7"
	if p.user {
		user = p.text
	}
	got := []any{e.Project, e.EventType, e.UserID, e.PageTitle, e.PageURL, e.Referrer, e.ElementText, e.ClientTimestamp, e.LoadTime}
	want := []any{"shop", p.kind, user, p.text, p.text, p.text, p.text, at, event.Number("")}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("got %q\nwant %q", got, want)
	}
	var properties, sent map[string]any
	if err := json.Unmarshal([]byte(e.Properties), &properties); err != nil {
		t.Fatalf("properties %s: %v", e.Properties, err)
	}
	var whole struct{ Properties map[string]any }
	_ = json.Unmarshal([]byte(p.json(0)), &whole)
	if sent = whole.Properties; !reflect.DeepEqual(properties, sent) || strings.Contains(strings.ReplaceAll(e.Properties, `\\`, ""), `\ud`) {
		t.Fatalf("properties are %s, want %v", e.Properties, sent)
	}
}

// stringify writes a text as well-formed JSON.stringify does.
func stringify(units []uint16) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := 0; i < len(units); i++ {
		switch u := units[i]; {
		case u == '"' || u == '\\':
			b.WriteByte('\\')
			b.WriteByte(byte(u))
		case u < 0x20:
			if short := strings.IndexByte("\b\t\n\f\r", byte(u)); short >= 0 {
				b.WriteString(`\` + "btnfr"[short:short+1])
			} else {
				fmt.Fprintf(&b, `\u%04x`, u)
			}
		case !utf16.IsSurrogate(rune(u)):
			b.WriteRune(rune(u))
		case i+1 < len(units) && utf16.DecodeRune(rune(u), rune(units[i+1])) != utf8.RuneError:
			b.WriteRune(utf16.DecodeRune(rune(u), rune(units[i+1])))
			i++
		default:
			fmt.Fprintf(&b, `\u%04x`, u)
		}
	}
	b.WriteByte('"')
	return b.String()
}
