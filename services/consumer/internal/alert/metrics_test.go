package alert

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/maidian/maidian/pkg/event"
)

func TestLagGrowsWhileNothingGoesOnAndGoesWithTheLease(t *testing.T) {
	m := NewMetrics(prometheus.NewRegistry())
	m.behind.set("shop", event.TimeOf(time.Now().Add(-time.Hour)))
	m.state.WithLabelValues("shop").Set(10)
	if lag := testutil.ToFloat64(m.behind); lag < 3600 {
		t.Errorf("the lag is %g s, want an hour and more", lag)
	}
	m.forget("shop")
	if n := testutil.CollectAndCount(m.behind) + testutil.CollectAndCount(m.state); n != 0 {
		t.Errorf("%d series are left of a project that is evaluated elsewhere", n)
	}
}
