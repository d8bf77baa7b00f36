package limit

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/maidian/maidian/pkg/fault"
)

func TestRate(t *testing.T) {
	start := time.Unix(1e9, 0)
	steps := []struct {
		after time.Duration
		take  int
		wait  time.Duration // 0: allowed
	}{
		{0, 15, 0},              // the burst, and 5 more on credit
		{0, 0, 3 * time.Second}, // 6 tokens at 2 a second
		{2 * time.Second, 0, time.Second},
		{3 * time.Second, 1, 0},
		{3 * time.Second, 0, time.Second},
		{time.Hour, 10, 0}, // never more than the burst
		{time.Hour, 0, time.Second},
	}
	r := NewRate(2, 10)
	for i, s := range steps {
		err := r.Check("k", start.Add(s.after))
		var f *fault.Error
		if errors.As(err, &f) != (s.wait > 0) || f != nil && (f.Kind != fault.Limited || f.RetryAfter != s.wait) {
			t.Errorf("step %d: got %v (%+v), want a wait of %s", i, err, f, s.wait)
		}
		r.Take("k", s.take, start.Add(s.after))
	}
	if err := r.Check("other", start); err != nil {
		t.Errorf("another key: %v", err)
	}
	off := NewRate(0, 0)
	off.Take("k", 1e9, start)
	if err := off.Check("k", start); err != nil || len(off.buckets) != 0 {
		t.Errorf("without a limit: %v, %d buckets", err, len(off.buckets))
	}
}

func TestMemoryNeverHoldsTooMuch(t *testing.T) {
	m := NewMemory(100, prometheus.NewRegistry())
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			for range 100 {
				if m.Take(30) == nil {
					if held := m.Held(); held < 30 {
						t.Errorf("held %d", held)
					}
					m.Give(30)
				}
			}
		})
	}
	all.Wait()
	if m.Held() != 0 {
		t.Errorf("%d left", m.Held())
	}
	if m.Take(100) != nil || fault.KindOf(m.Take(1)) != fault.Unavailable {
		t.Error("the limit is not where it should be")
	}
}

func TestNoMoreRequestsThanMayBeAreWorkedOn(t *testing.T) {
	metrics := prometheus.NewRegistry()
	r := NewRequests(2, metrics)
	if r.Check() != nil || r.Enter() != nil || r.Check() != nil || r.Enter() != nil {
		t.Fatal("refused too early")
	}
	var f *fault.Error
	for _, err := range []error{r.Check(), r.Enter()} {
		if !errors.As(err, &f) || f.Kind != fault.Unavailable || f.RetryAfter <= 0 {
			t.Errorf("got %v, want a refusal that says when to try again", err)
		}
	}
	r.Leave()
	if err := errors.Join(r.Check(), r.Enter()); err != nil {
		t.Errorf("refused although one has left: %v", err)
	}
	counted := map[string]float64{}
	families, err := metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		counted[f.GetName()] = f.GetMetric()[0].GetCounter().GetValue() + f.GetMetric()[0].GetGauge().GetValue()
	}
	if shed, working := counted["maidian_collector_shed_requests_total"], counted["maidian_collector_working_requests"]; shed != 2 || working != 2 {
		t.Errorf("%g refusals and %g in work are counted, want 2 and 2", shed, working)
	}
}
