package allinone_test

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/maidian/maidian/services/allinone"
)

// BenchmarkAllInOne loads the real program, a process of its own with its data
// on disk, over HTTP in batches of 20 from the same machine. events/s counts
// until the journal says that all of them are stored; accepted/s until the last
// answer. (benchtime 1x is enough; MAIDIAN_BENCH_EVENTS says how many, 400,000
// when it is not set; MAIDIAN_BENCH_PROFILE names a file for its CPU profile.)
func BenchmarkAllInOne(b *testing.B) {
	events := 400_000
	if text := os.Getenv("MAIDIAN_BENCH_EVENTS"); text != "" {
		if _, err := fmt.Sscan(text, &events); err != nil {
			b.Fatal(err)
		}
	}
	program := filepath.Join(b.TempDir(), "maidian")
	if out, err := exec.Command("go", "build", "-o", program, "./cmd/maidian").CombinedOutput(); err != nil {
		b.Fatalf("build: %v\n%s", err, out)
	}
	requests := requestsOf(events/20, 20)
	var accepted, stored time.Duration
	for b.Loop() {
		s := serveProgram(b, program)
		s.send(allinone.DemoWriteKey, visit("first", "u", "2026-03-02T10:00:00Z")) // so that the key is known
		start := time.Now()
		sendAll(b, s.collector[len("http://"):], requests)
		accepted += time.Since(start)
		s.settled(events + 1)
		stored += time.Since(start)
		s.stop()
	}
	n := float64(events * b.N)
	b.ReportMetric(n/stored.Seconds(), "events/s")
	b.ReportMetric(n/accepted.Seconds(), "accepted/s")
	b.ReportMetric(0, "ns/op")
}

var door = regexp.MustCompile(`(collector|query) +(http://\S+)`)

// serveProgram starts the program and reads from what it prints where it is.
func serveProgram(b *testing.B, program string) *system {
	c := exec.Command(program, "serve", "-data", b.TempDir(), "-listen", "127.0.0.1:0", "-query-listen", "127.0.0.1:0", "-cpuprofile", os.Getenv("MAIDIAN_BENCH_PROFILE"))
	c.Stderr = os.Stderr
	stdout, err := c.StdoutPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		b.Fatal(err)
	}
	s := &system{t: b}
	s.stop = func() {
		_ = c.Process.Signal(os.Interrupt) // a profile is written at an orderly end only
		_ = c.Wait()
	}
	b.Cleanup(s.stop)
	for lines := bufio.NewScanner(stdout); (s.collector == "" || s.query == "") && lines.Scan(); {
		switch m := door.FindStringSubmatch(lines.Text()); {
		case m == nil:
		case m[1] == "collector":
			s.collector = m[2]
		default:
			s.query = m[2]
		}
	}
	if s.query == "" {
		b.Fatal("the program said nowhere where it is")
	}
	return s
}

// settled waits until the journal tells of so many stored events.
func (s *system) settled(want int) {
	var sum struct{ Stored int }
	for tick := time.NewTicker(100 * time.Millisecond); sum.Stored < want; <-tick.C {
		if status := s.call(http.MethodPost, s.query+"/api/v1/analytics/accounting", allinone.DemoReadKey, map[string]any{}, &sum); status != http.StatusOK && status != http.StatusServiceUnavailable {
			s.t.Fatalf("accounting: got %d", status)
		}
	}
}
