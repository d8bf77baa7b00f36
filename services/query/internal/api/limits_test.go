package api_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/fault"
	"github.com/maidian/maidian/services/query/internal/api"
)

func TestAHeavyQueryNeverKeepsTheLightOnesWaiting(t *testing.T) {
	s := startWith(t, api.Options{Heavy: 1, Deadline: 2 * time.Second})
	s.send("shop", aMorning()...)
	s.slow = make(chan struct{})
	heavy := make(chan answer, 3)
	for range 3 {
		go func() { heavy <- s.get(blogKey, "summary") }()
	}
	for _, path := range []string{"realtime", "events", "users/ann"} {
		s.get(shopKey, path).ok()
	}
	codes := map[any]int{}
	for range 3 {
		a := <-heavy
		codes[a.json("error.code")]++
		if a.status == http.StatusServiceUnavailable && a.header.Get("Retry-After") == "" {
			t.Errorf("got %s without Retry-After", a.body)
		}
	}
	// One was in work until its deadline; of the others, those that got its place late ended there too.
	if codes["deadline"] < 1 || codes["deadline"]+codes["busy"] != 3 {
		t.Errorf("got %v, want one past its deadline and the others turned away", codes)
	}
	close(s.slow)
	s.get(blogKey, "summary").ok()
}

// history sends so many events that an export takes several chunks.
func (s *service) history(events int) {
	s.t.Helper()
	for sent := 0; sent < events; {
		batch := make([]event.Event, 1000)
		for i := range batch {
			batch[i] = event.Event{EventType: "click", UserID: fmt.Sprint(i % 7), Timestamp: at("01:00:00") + event.Time(sent+i)}
		}
		s.send("shop", batch...)
		sent += len(batch)
	}
}

func TestAnExportThatBreaksOffIsNotTakenForTheWhole(t *testing.T) {
	s := start(t)
	s.history(12_000)
	var reads atomic.Int32
	s.reading = func(context.Context, string, string) error {
		if reads.Add(1) > 8 {
			return fault.New(fault.Unavailable, "store_away", "the store is away")
		}
		return nil
	}
	request, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/api/v1/analytics/export?format=ndjson", nil)
	request.Header.Set("X-API-Key", shopKey)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if response.StatusCode != http.StatusOK || len(body) == 0 || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %d with %d bytes and %v, want a part of the file and a broken connection", response.StatusCode, len(body), err)
	}
}

func TestAnExportThatFailsAtOnceSaysSo(t *testing.T) {
	s := start(t)
	s.history(1000)
	s.reading = func(context.Context, string, string) error {
		return &fault.Error{Kind: fault.Unavailable, Code: "store_away", Message: "the store is away", RetryAfter: time.Second}
	}
	answer := s.get(shopKey, "export")
	if answer.status != http.StatusServiceUnavailable || answer.header.Get("Content-Disposition") != "" || !strings.HasPrefix(answer.header.Get("Content-Type"), "application/json") {
		t.Errorf("got %d %v %.200s, want an error as JSON", answer.status, answer.header, answer.body)
	}
}

func TestAnExportEndsWhenItsReaderHasGone(t *testing.T) {
	s := startWith(t, api.Options{Exports: 1})
	s.history(12_000)
	halfway, ended := make(chan struct{}), make(chan error, 1)
	var reads atomic.Int32
	s.reading = func(ctx context.Context, _, _ string) error {
		if reads.Add(1) != 8 {
			return nil
		}
		close(halfway)
		<-ctx.Done() // only the reader's going ends it
		ended <- ctx.Err()
		return ctx.Err()
	}
	ctx, leave := context.WithCancel(t.Context())
	request, _ := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/api/v1/analytics/export", nil)
	request.Header.Set("X-API-Key", shopKey)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if _, err := response.Body.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	<-halfway
	leave()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the export's context to end", err)
	}
	// Its place among the exports is free again.
	if got := strings.Count(string(s.get(shopKey, "export").ok().body), "\n"); got != 12_001 {
		t.Errorf("got %d lines, want 12001", got)
	}
}

func TestAQueryEndsWhenItsCallerHasGone(t *testing.T) {
	s := startWith(t, api.Options{Heavy: 1})
	s.send("shop", aMorning()...)
	started, ended := make(chan struct{}), make(chan struct{})
	var first atomic.Bool
	s.reading = func(ctx context.Context, _, _ string) error {
		if first.CompareAndSwap(false, true) {
			close(started)
			<-ctx.Done()
			close(ended)
			return ctx.Err()
		}
		return nil
	}
	ctx, leave := context.WithCancel(t.Context())
	request, _ := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/api/v1/analytics/summary", nil)
	request.Header.Set("X-API-Key", shopKey)
	go func() {
		<-started
		leave()
	}()
	if response, err := http.DefaultClient.Do(request); err == nil {
		response.Body.Close()
		t.Error("got an answer, want none")
	}
	<-ended
	s.get(shopKey, "summary").ok().has("overview.total_events", `7`)
}

func TestAnAnswerHasALargestSize(t *testing.T) {
	s := startWith(t, api.Options{MaxAnswer: 2000})
	s.send("shop", aMorning()...)
	s.get(shopKey, "realtime").ok()
	a := s.get(shopKey, "trends", "series", `["*"]`, "interval", "hour", "days", "30")
	if message, _ := a.json("error.message").(string); a.status != http.StatusUnprocessableEntity || a.json("error.code") != "answer_too_large" || !strings.Contains(message, "2000") {
		t.Errorf("got %d %.200s, want 422 that names the limit", a.status, a.body)
	}
}
