// Package crowd sends HTTP requests over many connections at the times at
// which they are due, whether the earlier ones were answered or not: as many
// clients do that know nothing of each other.
package crowd

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Options shape what is sent.
type Options struct {
	Addr        string
	Rate        float64 // requests a second; 0: each connection sends again once it has its answer
	Connections int     // most at a time
	Duration    time.Duration
	Timeout     time.Duration // of one request

	// Request appends the n-th request, as it goes over the wire.
	Request func(to []byte, n int) []byte
}

// Answers are those of one status: how long each took, from the time at which
// its request was due.
type Answers struct {
	Count int
	took  []time.Duration
}

// Took is how long the answers took at this share of them, such as 0.99.
func (a *Answers) Took(share float64) time.Duration {
	if a == nil || len(a.took) == 0 {
		return 0
	}
	slices.Sort(a.took)
	return a.took[min(len(a.took)-1, int(share*float64(len(a.took))))]
}

// Result is what became of the requests.
type Result struct {
	Sent    int
	Held    int // due, but no connection was free
	Failed  int // no answer
	Why     error
	Status  map[int]*Answers
	NoRetry int // refusals without Retry-After
	Most    int // connections at a time
	Elapsed time.Duration
}

// PerSecond is how many requests were answered so in a second.
func (r *Result) PerSecond(status int) float64 {
	if a := r.Status[status]; a != nil {
		return float64(a.Count) / r.Elapsed.Seconds()
	}
	return 0
}

// Run sends for the time that is given and waits for the answers that are due.
func Run(o Options) *Result {
	c := &crowd{options: o, result: Result{Status: map[int]*Answers{}}}
	began := time.Now()
	if o.Rate > 0 {
		c.openLoop(began)
	} else {
		c.closedLoop(began)
	}
	c.workers.Wait()
	c.result.Elapsed = time.Since(began) // what was answered after the end took its time too
	c.result.Most = c.opened
	return &c.result
}

type crowd struct {
	options Options
	number  atomic.Int64
	workers sync.WaitGroup
	opened  int // by the one goroutine that paces

	mu     sync.Mutex
	idle   []chan time.Time // of connections that wait for a request; the last one used comes first
	result Result
}

func (c *crowd) closedLoop(began time.Time) {
	end := began.Add(c.options.Duration)
	for range c.options.Connections {
		c.opened++
		c.workers.Go(func() {
			l := &line{crowd: c}
			defer l.hangUp()
			for now := time.Now(); now.Before(end); now = time.Now() {
				l.send(now)
			}
		})
	}
	time.Sleep(time.Until(end))
}

// openLoop hands out each request when it is due.
func (c *crowd) openLoop(began time.Time) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	every := time.Duration(float64(time.Second) / c.options.Rate)
	for due := began; due.Before(began.Add(c.options.Duration)); {
		now := <-tick.C
		for ; due.Before(now); due = due.Add(every) {
			c.hand(due)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, jobs := range c.idle {
		close(jobs)
	}
	c.idle, c.options.Connections = nil, 0 // those who are busy hang up after their answer
}

func (c *crowd) hand(due time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if last := len(c.idle) - 1; last >= 0 {
		c.idle[last] <- due // has room for one
		c.idle = c.idle[:last]
		return
	}
	if c.opened == c.options.Connections {
		c.result.Held++
		return
	}
	c.opened++
	jobs := make(chan time.Time, 1)
	jobs <- due
	c.workers.Go(func() {
		l := &line{crowd: c}
		defer l.hangUp()
		for due := range jobs {
			l.send(due)
			if !c.rest(jobs) {
				return
			}
		}
	})
}

// rest says whether there may be more to send.
func (c *crowd) rest(jobs chan time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.options.Connections == 0 {
		return false
	}
	c.idle = append(c.idle, jobs)
	return true
}

// line is one connection; it is made again when it was lost.
type line struct {
	crowd   *crowd
	conn    net.Conn
	answers *bufio.Reader
	request []byte
}

func (l *line) hangUp() {
	if l.conn != nil {
		_ = l.conn.Close()
		l.conn = nil
	}
}

func (l *line) send(due time.Time) {
	n := int(l.crowd.number.Add(1))
	l.request = l.crowd.options.Request(l.request[:0], n)
	status, retry, err := l.exchange()
	if err != nil {
		l.hangUp()
	}
	l.crowd.note(due, status, retry, err)
}

func (l *line) exchange() (status int, retry bool, err error) {
	if l.conn == nil {
		if l.conn, err = net.DialTimeout("tcp", l.crowd.options.Addr, l.crowd.options.Timeout); err != nil {
			return 0, false, err
		}
		l.answers = bufio.NewReaderSize(l.conn, 2<<10)
	}
	if err := l.conn.SetDeadline(time.Now().Add(l.crowd.options.Timeout)); err != nil {
		return 0, false, err
	}
	if _, err := l.conn.Write(l.request); err != nil {
		return 0, false, err
	}
	res, err := http.ReadResponse(l.answers, nil)
	if err != nil {
		return 0, false, err
	}
	_, err = io.Copy(io.Discard, res.Body)
	err = errors.Join(err, res.Body.Close())
	if res.Close {
		l.hangUp()
	}
	return res.StatusCode, res.Header.Get("Retry-After") != "", err
}

func (c *crowd) note(due time.Time, status int, retry bool, err error) {
	took := time.Since(due)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.result.Sent++
	if err != nil {
		c.result.Failed++
		c.result.Why = fmt.Errorf("after %s: %w", took, err)
		return
	}
	a := c.result.Status[status]
	if a == nil {
		a = &Answers{}
		c.result.Status[status] = a
	}
	a.Count++
	a.took = append(a.took, took)
	if !retry && (status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests) {
		c.result.NoRetry++
	}
}
