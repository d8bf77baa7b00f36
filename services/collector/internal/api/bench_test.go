package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
)

// realistic is an event as the browser SDK sends it, about 700 bytes.
func realistic(i int) string {
	return fmt.Sprintf(`{"event_id":"0190a1b2-c3d4-7e5f-8a6b-%012d","event_type":"page_view","user_id":"user-%d","anonymous_id":"0190a1b2-aaaa-7bbb-8ccc-%012d",`+
		`"session_id":"0190a1b2-dddd-7eee-8fff-%012d","timestamp":%d,"page_url":"https://shop.example/products/%d?utm_source=google&utm_medium=cpc&utm_campaign=spring",`+
		`"page_title":"Product %d — the shop","referrer":"https://www.google.com/","user_agent":"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36",`+
		`"screen_resolution":"1920x1080","viewport_size":"1280x720","load_time":0.42,"sdk":"maidian-js/1.0","properties":{"plan":"pro","price":12.5,"tags":["a","b"],"ab_test":"variant-b","position":%d}}`,
		i, i%1000, i%1000, i%5000, time.Now().UnixMilli(), i%100, i%100, i%40)
}

// BenchmarkTrack is the whole handler, broker excluded, beside a bare gin
// handler that only decodes the same body with encoding/json: the ratio of
// the two is what enriching, encoding and coalescing cost. Without a network,
// so that it is the handlers that are compared.
func BenchmarkTrack(b *testing.B) {
	for _, size := range []int{1, 20, 100} {
		var events []string
		for i := range size {
			events = append(events, realistic(i))
		}
		body := fmt.Sprintf(`{"sent_at":%d,"events":[%s]}`, time.Now().UnixMilli(), strings.Join(events, ","))
		b.Run(fmt.Sprintf("collector/%d", size), func(b *testing.B) { measure(b, quiet(b), body, size) })
		b.Run(fmt.Sprintf("decode/%d", size), func(b *testing.B) { measure(b, decoder(), body, size) })
	}
}

func quiet(b *testing.B) http.Handler {
	c := start(b)
	c.broker.forget = true
	return c.handler
}

func decoder() http.Handler {
	gin.SetMode(gin.ReleaseMode)
	e := gin.New()
	e.POST(batchPath, func(c *gin.Context) {
		var body struct {
			Events []map[string]any `json:"events"`
		}
		data, err := io.ReadAll(c.Request.Body)
		if err == nil {
			err = json.Unmarshal(data, &body)
		}
		if err != nil {
			c.AbortWithStatus(http.StatusBadRequest)
			return
		}
		c.JSON(http.StatusOK, gin.H{"accepted": len(body.Events)})
	})
	return e
}

func measure(b *testing.B, h http.Handler, body string, events int) {
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	before := processorTime()
	for b.Loop() {
		r := httptest.NewRequest("POST", batchPath, bytes.NewReader([]byte(body)))
		r.Header.Set("X-Api-Key", "wk_shop")
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != http.StatusOK {
			b.Fatal(w.Code, w.Body)
		}
	}
	b.ReportMetric((processorTime()-before).Seconds()*1e6/float64(b.N*events), "cpu-s/Mevents")
}

// processorTime is what this process has used, all threads and the collection of garbage included.
func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
