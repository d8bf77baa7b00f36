// Package send posts batches of events to a collector until they are taken or
// refused for good.
package send

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/maidian/maidian/pkg/proc"
)

// Answer is what the collector says to a batch.
type Answer struct {
	Accepted int       `json:"accepted"`
	Rejected int       `json:"rejected"`
	Errors   []Problem `json:"errors"`
	Error    *struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	} `json:"error"`
}

// Problem is what is wrong with one event of a batch.
type Problem struct {
	Index   int    `json:"index"`
	Field   string `json:"field"`
	Message string `json:"message"`
}

// Sender posts batches. Any number of goroutines may use it.
type Sender struct {
	client   *http.Client
	url, key string
	patience time.Duration
	pausing  func(why string)
}

// New sends to a collector's address with a write key, several requests at a
// time; a batch is tried for as long as patience lasts. pausing hears why a
// batch is about to be tried again.
func New(collector, key string, inFlight int, patience time.Duration, pausing func(why string)) *Sender {
	return &Sender{
		client: &http.Client{Timeout: time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: inFlight}},
		url:    strings.TrimSuffix(collector, "/"), key: key, patience: patience, pausing: pausing,
	}
}

// Send returns once the collector has answered for every event, each given as
// its JSON with an id: a batch that is sent again is stored once.
func (s *Sender) Send(ctx context.Context, events [][]byte) (Answer, error) {
	body, err := pack(events)
	if err != nil {
		return Answer{}, err
	}
	giveUp := time.Now().Add(s.patience)
	for try := 0; ; try++ {
		a, again, err := s.post(ctx, body)
		if !again || ctx.Err() != nil {
			return a, err
		}
		if time.Now().After(giveUp) {
			return a, fmt.Errorf("gave up after %s: %w", s.patience, err)
		}
		s.pausing(err.Error())
		if err := pause(ctx, try, err); err != nil {
			return a, err
		}
	}
}

// later is a refusal that passes.
type later struct {
	after time.Duration
	why   string
}

func (l *later) Error() string { return l.why }

// post sends the body once; again says that it may be taken another time.
func (s *Sender) post(ctx context.Context, body []byte) (a Answer, again bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/api/v1/analytics/track/batch", bytes.NewReader(body))
	if err != nil {
		return a, false, err
	}
	req.Header = http.Header{
		"Content-Type": {"application/json"}, "Content-Encoding": {"gzip"}, "X-Api-Key": {s.key},
		"User-Agent": nil, // these events are not this program's visits
	}
	res, err := s.client.Do(req)
	if err != nil {
		return a, true, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 4<<20))
	if err != nil {
		return a, true, fmt.Errorf("read the collector's answer: %w", err)
	}
	_ = json.Unmarshal(text, &a) // an answer that is not JSON is not from a collector: its status says what to do
	return a, passes(res.StatusCode), s.judge(res, a, text)
}

func passes(status int) bool {
	return status == http.StatusTooManyRequests || status == http.StatusRequestTimeout || status >= 500
}

func (s *Sender) judge(res *http.Response, a Answer, text []byte) error {
	switch {
	case res.StatusCode == http.StatusOK, res.StatusCode == http.StatusBadRequest && len(a.Errors) > 0:
		return nil
	case passes(res.StatusCode):
		seconds, _ := strconv.Atoi(res.Header.Get("Retry-After"))
		return &later{time.Duration(seconds) * time.Second, fmt.Sprintf("the collector answers %s", res.Status)}
	}
	why := strings.TrimSpace(string(text[:min(len(text), 300)]))
	if a.Error != nil {
		why = a.Error.Message
	}
	return fmt.Errorf("the collector at %s answers %s: %s", s.url, res.Status, why)
}

// pause waits as the collector asked, else longer after each try.
func pause(ctx context.Context, try int, err error) error {
	wait := min(5*time.Second, 100*time.Millisecond<<min(try, 10))
	if l := (*later)(nil); errors.As(err, &l) && l.after > 0 {
		wait = min(l.after, 30*time.Second)
	}
	proc.Pause(ctx, wait/2+rand.N(wait/2+1))
	return ctx.Err()
}

func pack(events [][]byte) ([]byte, error) {
	var packed bytes.Buffer
	w, err := gzip.NewWriterLevel(&packed, gzip.BestSpeed)
	if err != nil {
		return nil, err
	}
	_, _ = w.Write([]byte(`{"events":[`)) // a buffer takes everything
	for i, e := range events {
		if i > 0 {
			_, _ = w.Write([]byte{','})
		}
		_, _ = w.Write(e)
	}
	_, _ = w.Write([]byte(`]}`))
	err = w.Close()
	return packed.Bytes(), err
}
