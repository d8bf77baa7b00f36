package segment

import (
	"os"
	"strconv"
	"testing"
	"time"
)

// TestSize says how many bytes an event takes, of how many events SEGMENT_EVENTS says.
func TestSize(t *testing.T) {
	events, users, days := 200_000, 4_000, 2
	if n, err := strconv.Atoi(os.Getenv("SEGMENT_EVENTS")); err == nil {
		events, users, days = n, n/50, max(1, n/111_111)
	}
	total := make(map[string]int)
	rows := 0
	start := time.Now()
	wholes := seededDays(events, users, days)
	t.Logf("made in %v", time.Since(start))
	start = time.Now()
	for _, w := range wholes {
		rows += w.base.Day.Rows
		for name, sealed := range w.seal(t) {
			total[name] += len(sealed)
		}
	}
	t.Logf("sealed in %v", time.Since(start))
	for _, name := range sorted(total) {
		t.Logf("%-14s %.3f bytes an event", name, float64(total[name])/float64(rows))
	}
	six := total["base"] + total["sessions"] + total["column:c0"] + total["column:c1"]
	t.Logf("six %.3f", float64(six)/float64(rows))
}

func BenchmarkBase(b *testing.B) {
	w := seededDays(1_000_000, 20_000, 9)[4]
	sealed, _ := w.base.Seal()
	b.ReportAllocs()
	for b.Loop() {
		p, err := Open(sealed)
		if err == nil {
			_, err = p.Base()
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(w.base.Day.Rows), "ns/event")
}
