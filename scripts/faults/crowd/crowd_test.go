package crowd

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestEveryRequestHasItsEnd(t *testing.T) {
	for _, rate := range []float64{0, 500} {
		t.Run(fmt.Sprint(rate), func(t *testing.T) {
			var came atomic.Int64
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				switch n := came.Add(1); {
				case string(body) != "hello":
					w.WriteHeader(http.StatusBadRequest)
				case n%7 == 0:
					panic(http.ErrAbortHandler)
				case n%5 == 0:
					w.WriteHeader(http.StatusServiceUnavailable)
				case n%3 == 0:
					w.Header().Set("Retry-After", "1")
					w.WriteHeader(http.StatusTooManyRequests)
				}
			}))
			defer s.Close()
			r := Run(Options{
				Addr: strings.TrimPrefix(s.URL, "http://"), Rate: rate, Connections: 5, Duration: 100 * time.Millisecond, Timeout: time.Minute,
				Request: func(to []byte, _ int) []byte {
					return append(to, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"...)
				},
			})
			ends := r.Failed
			for _, a := range r.Status {
				ends += a.Count
			}
			if ends != r.Sent || int64(r.Sent) != came.Load() || r.Sent == 0 || r.Status[400] != nil {
				t.Errorf("%d sent, %d came, %d ended: %+v", r.Sent, came.Load(), ends, r)
			}
			if unavailable := r.Status[503]; unavailable != nil && r.NoRetry != unavailable.Count {
				t.Errorf("%d refusals without Retry-After, want %d", r.NoRetry, unavailable.Count)
			}
			if r.Most > 5 {
				t.Errorf("%d connections", r.Most)
			}
		})
	}
}

func TestWhatNobodyAnswersIsHeldBack(t *testing.T) {
	busy, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-busy.Done() }))
	defer s.Close()
	r := Run(Options{
		Addr: strings.TrimPrefix(s.URL, "http://"), Rate: 1000, Connections: 2, Duration: 50 * time.Millisecond, Timeout: time.Minute,
		Request: func(to []byte, _ int) []byte { return append(to, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"...) },
	})
	if r.Most > 2 || r.Sent == 0 || r.Held == 0 || r.Failed > 0 {
		t.Errorf("%+v", r)
	}
}

func TestSharesOfTimes(t *testing.T) {
	a := &Answers{took: []time.Duration{4, 2, 3, 1}}
	for share, want := range map[float64]time.Duration{0: 1, 0.5: 3, 0.99: 4, 1: 4} {
		if got := a.Took(share); got != want {
			t.Errorf("at %v: %d, want %d", share, got, want)
		}
	}
	if none := (*Answers)(nil).Took(0.5); none != 0 {
		t.Errorf("of none: %s", none)
	}
}
