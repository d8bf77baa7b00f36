// Package limit keeps one sender from taking what belongs to all: events per
// second of a key, and bytes of bodies in memory; and all senders together from
// offering more than can be worked on.
package limit

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/maidian/maidian/pkg/fault"
)

// Rate gives each key its own bucket of events, filled at a steady rate. Only
// keys that exist are asked for, so there are never more buckets than keys.
type Rate struct {
	perSecond, burst float64

	mu      sync.Mutex
	buckets map[string]*bucket
}

type bucket struct {
	mu     sync.Mutex
	tokens float64 // below zero after a request larger than what was left
	filled time.Time
}

// NewRate allows perSecond events a second and burst at once; perSecond 0
// allows everything.
func NewRate(perSecond, burst float64) *Rate {
	return &Rate{perSecond: perSecond, burst: max(burst, 1), buckets: map[string]*bucket{}}
}

// Check is nil while the key's bucket is not empty, else fault.Limited with
// the time until it is not.
func (r *Rate) Check(key string, now time.Time) error {
	if r.perSecond <= 0 {
		return nil
	}
	b := r.bucket(key, now)
	b.mu.Lock()
	defer b.mu.Unlock()
	r.fill(b, now)
	if b.tokens > 0 {
		return nil
	}
	f := fault.New(fault.Limited, "rate_limited", "this key may send %g events a second; try again later", r.perSecond)
	f.RetryAfter = max(time.Second, time.Duration((1-b.tokens)/r.perSecond*float64(time.Second)))
	return f
}

// Take takes events out, below zero where there are too few: so a request
// larger than the whole burst passes too, and is waited off afterwards.
func (r *Rate) Take(key string, events int, now time.Time) {
	if r.perSecond <= 0 {
		return
	}
	b := r.bucket(key, now)
	b.mu.Lock()
	defer b.mu.Unlock()
	r.fill(b, now)
	b.tokens -= float64(events)
}

func (r *Rate) fill(b *bucket, now time.Time) {
	if passed := now.Sub(b.filled); passed > 0 {
		b.tokens = min(r.burst, b.tokens+passed.Seconds()*r.perSecond)
		b.filled = now
	}
}

func (r *Rate) bucket(key string, now time.Time) *bucket {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.buckets[key]
	if b == nil {
		b = &bucket{tokens: r.burst, filled: now}
		r.buckets[key] = b
	}
	return b
}

// Memory counts bytes that are held for strangers.
type Memory struct {
	most int64
	held atomic.Int64
}

// NewMemory allows at most so many bytes at a time.
func NewMemory(most int64, metrics prometheus.Registerer) *Memory {
	m := &Memory{most: most}
	metrics.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "maidian_collector_body_bytes", Help: "Memory that bodies of requests take.",
	}, func() float64 { return float64(m.Held()) }))
	return m
}

// Take is fault.Unavailable when n more bytes would be too many.
func (m *Memory) Take(n int) error {
	if m.held.Add(int64(n)) > m.most {
		m.held.Add(-int64(n))
		f := fault.New(fault.Unavailable, "overloaded", "too many requests are being read; try again")
		f.RetryAfter = time.Second
		return f
	}
	return nil
}

// Give gives n bytes back.
func (m *Memory) Give(n int) { m.held.Add(-int64(n)) }

// Held is how many bytes are held now.
func (m *Memory) Held() int64 { return m.held.Load() }

// Requests bounds how many are worked on at a time, from when one has come in
// whole until it is answered. Above that they wait so long for a processor that
// their senders give up, and all the work was for nothing; so the newest are
// sent away while that costs next to nothing.
type Requests struct {
	most    int64
	working atomic.Int64
	refusal fault.Error
	shed    prometheus.Counter
}

// NewRequests allows at most so many at a time.
func NewRequests(most int, metrics prometheus.Registerer) *Requests {
	r := &Requests{
		most: int64(most),
		refusal: fault.Error{
			Kind: fault.Unavailable, Code: "overloaded", RetryAfter: time.Second,
			Message: "more requests come than this server can take; try again",
		},
		shed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "maidian_collector_shed_requests_total",
			Help: "Requests answered 503 because as many as may be were being worked on.",
		}),
	}
	metrics.MustRegister(r.shed, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "maidian_collector_working_requests",
		Help: "Requests that have come in whole and are not answered yet.",
	}, func() float64 { return float64(r.working.Load()) }))
	return r
}

// Check is fault.Unavailable when there is no room for one more: asked before
// a request is read.
func (r *Requests) Check() error {
	if r.working.Load() < r.most {
		return nil
	}
	return r.refuse()
}

// Enter counts one that has been read; unless it fails, Leave must follow.
func (r *Requests) Enter() error {
	if r.working.Add(1) <= r.most {
		return nil
	}
	r.working.Add(-1)
	return r.refuse()
}

// Leave counts one that is answered.
func (r *Requests) Leave() { r.working.Add(-1) }

func (r *Requests) refuse() error {
	r.shed.Inc()
	return &r.refusal // made once: there may be many thousands a second
}
