// Package load sends a plan's events as clients do that nothing can
// discourage, and writes every attempt down before and after.
package load

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"maidian-check/internal/ledger"
	"maidian-check/internal/traffic"
)

// Options shape the load.
type Options struct {
	Collectors  []string          // base URLs, taken in turn
	WriteKeys   map[string]string // by project
	Rate        float64           // events a second; 0: as fast as it goes
	Concurrency int
	Duration    time.Duration
	Events      int           // 0: until Duration is over
	Sizes       []int         // of batches, each as likely
	Resend      float64       // share of batches that are sent several times at once
	Repeat      float64       // share of a batch's places filled with events of earlier batches
	Abandon     float64       // share of attempts whose answer nobody waits for
	GiveUp      float64       // share of batches that are not tried again when there is no answer, or a 5xx
	Skew        float64       // share of batches from devices whose clocks are wrong
	Patience    time.Duration // how long a batch is tried again once the load is over
	Timeout     time.Duration // of one request
	MaxWait     time.Duration // the longest that a Retry-After is obeyed
	Poison      float64       // share of batches beside which an unreadable message is put on the queue
	AMQP        string        // needed for that
	Queue       string
}

// Run sends until the time is up, then until every batch has its answer or
// patience is over. Interrupting ctx ends the time early.
func Run(ctx context.Context, plan *traffic.Plan, o Options, book *ledger.Writer) error {
	s := &sender{plan: plan, options: o, book: book, next: map[string]int{}, client: &http.Client{
		Timeout:   o.Timeout,
		Transport: &http.Transport{MaxIdleConnsPerHost: 2 * o.Concurrency, IdleConnTimeout: 30 * time.Second},
	}}
	defer s.client.CloseIdleConnections()
	sending, cancel := context.WithTimeout(ctx, o.Duration)
	defer cancel()
	trying, stop := lasting(sending, o.Patience)
	defer stop()
	if o.Poison > 0 {
		s.poison = newPoisoner(o.AMQP, o.Queue, plan, book)
		defer s.poison.close()
	}
	var workers sync.WaitGroup
	for range o.Concurrency {
		workers.Go(func() { s.work(sending, trying) })
	}
	workers.Wait()
	return s.failed()
}

// lasting is a context that ends some time after ctx does.
func lasting(ctx context.Context, longer time.Duration) (context.Context, func()) {
	later, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		timer := time.AfterFunc(longer, cancel)
		context.AfterFunc(later, func() { timer.Stop() })
	})
	return later, func() { stop(); cancel() }
}

type sender struct {
	plan    *traffic.Plan
	options Options
	book    *ledger.Writer
	client  *http.Client
	poison  *poisoner

	tries atomic.Int64

	mu      sync.Mutex
	batches int
	sent    int
	next    map[string]int // number of the next event, by project
	due     time.Time      // when the next batch may leave
	err     error
}

func (s *sender) failed() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

func (s *sender) fail(err error) bool {
	if err == nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = errors.Join(s.err, err)
	return true
}

// parcel is a batch, its bytes, and what is to be done with it.
type parcel struct {
	ledger.Batch
	body   [][]byte // of each event
	off    time.Duration
	skewed bool
	times  int  // how often it is sent at once
	once   bool // whoever sends it does not try again
	random *rand.Rand
}

func (s *sender) work(sending, trying context.Context) {
	for {
		p, at, ok := s.take(sending)
		if !ok {
			return
		}
		select {
		case <-time.After(time.Until(at)):
		case <-sending.Done():
			return
		}
		if s.fail(s.book.Sync(ledger.Line{Batch: &p.Batch})) {
			return
		}
		if s.poison != nil && p.random.Float64() < s.options.Poison {
			s.poison.spoil(p.Project, p.ID)
		}
		var copies sync.WaitGroup
		for range p.times {
			copies.Go(func() { s.deliver(trying, p) })
		}
		copies.Wait()
	}
}

// take makes the next batch and says when it may leave.
func (s *sender) take(ctx context.Context) (*parcel, time.Time, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ctx.Err() != nil || s.err != nil || s.options.Events > 0 && s.sent >= s.options.Events {
		return nil, time.Time{}, false
	}
	r := s.plan.Random("batch", s.batches)
	p := &parcel{times: 1, random: r}
	p.Batch.ID = s.batches
	p.Project = s.plan.Projects[r.IntN(len(s.plan.Projects))]
	size := s.options.Sizes[r.IntN(len(s.options.Sizes))]
	for range size {
		s.add(p, r)
	}
	if r.Float64() < s.options.Resend {
		p.times = 2 + r.IntN(5)
	}
	p.once = r.Float64() < s.options.GiveUp
	if r.Float64() < s.options.Skew {
		p.skewed, p.off = true, skews[r.IntN(len(skews))]
	}
	s.batches++
	s.sent += size
	return p, s.pace(size), true
}

// skews are clocks' errors; none is near the minute up to which they are let be.
var skews = []time.Duration{0, 20 * time.Second, -20 * time.Second, time.Hour, -time.Hour, 10 * year, -10 * year}

const year = 365 * 24 * time.Hour

// add gives the batch one event more: a new one, or one of an earlier batch
// that a client packs anew, or one that is in this batch already.
func (s *sender) add(p *parcel, r *rand.Rand) {
	k := s.next[p.Project]
	if k > 0 && r.Float64() < s.options.Repeat {
		k -= 1 + r.IntN(min(k, 500))
	} else {
		s.next[p.Project]++
	}
	e := s.plan.Event(p.Project, k)
	p.Events = append(p.Events, ledger.Event{K: k, ID: e.ID, Hash: e.Hash(), Kind: e.Kind})
	p.body = append(p.body, e.Sent)
}

func (s *sender) pace(size int) time.Time {
	now := time.Now()
	if s.options.Rate <= 0 {
		return now
	}
	if s.due.Before(now.Add(-time.Second)) { // what could not leave in time does not come in one burst
		s.due = now.Add(-time.Second)
	}
	at := s.due
	s.due = s.due.Add(time.Duration(float64(size) / s.options.Rate * float64(time.Second)))
	return at
}

// deliver tries until there is an answer that is final.
func (s *sender) deliver(ctx context.Context, p *parcel) {
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, s.options.MaxWait) {
		done, err := s.try(ctx, p)
		if s.fail(err) || final(done.Status) || p.once && done.Status != http.StatusUnauthorized {
			return
		}
		pause := wait
		if done.Wait > 0 {
			pause = min(time.Duration(done.Wait)*time.Second, s.options.MaxWait)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
	}
}

// final says that trying again would change nothing. A key may have been made
// so shortly before that the collector does not know it yet.
func final(status int) bool {
	return status >= 200 && status < 500 && status != http.StatusTooManyRequests && status != http.StatusUnauthorized
}

// try is one attempt, in the ledger before and after.
func (s *sender) try(ctx context.Context, p *parcel) (*ledger.Done, error) {
	n := int(s.tries.Add(1))
	now := time.Now()
	t := ledger.Try{ID: n, Batch: p.Batch.ID, At: now.UnixMilli()}
	if p.skewed {
		t.SentAt = now.Add(p.off).UnixMilli()
	}
	if err := s.book.Sync(ledger.Line{Try: &t}); err != nil {
		return nil, err
	}
	leave := rand.Float64() < s.options.Abandon
	asked := time.Now()
	done := s.post(ctx, p, &t, s.options.Collectors[n%len(s.options.Collectors)], leave)
	done.Try, done.At, done.Took = n, ledger.Now(), time.Since(asked).Milliseconds()
	s.book.Note(ledger.Line{Done: done})
	return done, nil
}

// abandonAfter is how long one waits who then goes away.
const abandonAfter = 3 * time.Millisecond

func (s *sender) post(ctx context.Context, p *parcel, t *ledger.Try, collector string, leave bool) *ledger.Done {
	if leave {
		var cancel func()
		ctx, cancel = context.WithTimeout(ctx, abandonAfter)
		defer cancel()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, collector+"/api/v1/analytics/track/batch", bytes.NewReader(body(p, t)))
	if err != nil {
		return &ledger.Done{Error: err.Error()}
	}
	req.Header.Set("X-Api-Key", s.options.WriteKeys[p.Project])
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", traffic.Agent)
	res, err := s.client.Do(req)
	if err != nil {
		return &ledger.Done{Error: class(err)}
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return &ledger.Done{Error: class(err)}
	}
	return understand(res, text)
}

func body(p *parcel, t *ledger.Try) []byte {
	var b bytes.Buffer
	b.WriteString(`{"events":[`)
	b.Write(bytes.Join(p.body, []byte(",")))
	b.WriteString(`]`)
	if t.SentAt != 0 {
		fmt.Fprintf(&b, `,"sent_at":%d`, t.SentAt)
	}
	b.WriteString(`}`)
	return b.Bytes()
}

// understand reads an answer. A 200 that cannot be read counts for no event.
func understand(res *http.Response, text []byte) *ledger.Done {
	done := &ledger.Done{Status: res.StatusCode}
	done.Wait, _ = strconv.Atoi(res.Header.Get("Retry-After"))
	var answer struct {
		Accepted int `json:"accepted"`
		Errors   []struct {
			Index int `json:"index"`
		} `json:"errors"`
	}
	if err := json.Unmarshal(text, &answer); err != nil && done.Status == http.StatusOK {
		return &ledger.Done{Error: "an answer that is no JSON"}
	}
	done.Accepted = answer.Accepted
	for _, e := range answer.Errors {
		if !slices.Contains(done.Rejected, e.Index) {
			done.Rejected = append(done.Rejected, e.Index)
		}
	}
	return done
}

// class is a short name for why there is no answer.
func class(err error) string {
	var timeout net.Error
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, os.ErrDeadlineExceeded):
		return "abandoned"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "timeout"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "reset"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "closed"
	}
	return err.Error()
}
