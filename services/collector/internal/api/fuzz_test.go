package api

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// FuzzTrack sends strangers' bodies through the whole handler: whatever comes,
// the answer is one of the documented statuses, and what it says was accepted
// can be read by a consumer.
func FuzzTrack(f *testing.F) {
	for _, body := range []string{
		click, batchOf(click, `{}`), `{"events":[{"event_type":"purchase","amount":"1"}],"sent_at":"x"}`,
		`{"event_type":"x","timestamp":1e300,"page_url":"http://[::1","referrer":"//","properties":{"$a.b":{"":[]}}}`, "\xff", packed(click), packed(click)[:15],
	} {
		f.Add(body, false, true)
		f.Add(body, true, false)
	}
	c := start(f)
	f.Fuzz(func(t *testing.T, body string, zipped, batch bool) {
		path, header := trackPath, http.Header{"X-Api-Key": {"wk_shop"}, "Content-Type": {"application/json"}}
		if batch {
			path = batchPath
		}
		if zipped {
			header.Set("Content-Encoding", "gzip")
		}
		c.broker.bodies = nil
		r := httptest.NewRequest("POST", path, strings.NewReader(body))
		r.Header = header
		w := httptest.NewRecorder()
		c.handler.ServeHTTP(w, r)
		documented(t, r, w.Result(), w.Body.Bytes())
		if got := len(c.broker.events(t)); (got > 0) != (w.Code == 200) {
			t.Errorf("%d with %d events confirmed", w.Code, got)
		}
		if c.Memory.Held() != 0 {
			t.Errorf("%d bytes are still held", c.Memory.Held())
		}
	})
}

func FuzzPixel(f *testing.F) {
	f.Add("event_type=open&x_position=3&properties={}&timestamp=1")
	f.Add("event_type=%ff&a=%00&sent_at=&=&items=[")
	c := start(f)
	f.Fuzz(func(t *testing.T, query string) {
		c.broker.bodies = nil
		r := httptest.NewRequest("GET", "/api/v1/analytics/pixel.gif", nil)
		r.URL.RawQuery = query
		r.Header = http.Header{"X-Api-Key": {"wk_shop"}}
		w := httptest.NewRecorder()
		c.handler.ServeHTTP(w, r)
		documented(t, r, w.Result(), w.Body.Bytes())
		if got := len(c.broker.events(t)); (got == 1) != (w.Code == 200) {
			t.Errorf("%d with %d events confirmed", w.Code, got)
		}
	})
}
