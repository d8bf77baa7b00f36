package faults

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// sample is what one process takes at one moment.
type sample struct {
	after      time.Duration // since the watching began
	rss        float64       // bytes
	heap       float64       // bytes that were in use at the end of the last collection; 0 where there is no Go
	goroutines float64
	fds        float64
	processor  float64            // seconds of it that were used since the start
	said       map[string]float64 // its metrics
}

// watched is a process whose samples are taken.
type watched struct {
	name    string
	pid     int
	metrics string // address; "" where there are none
	samples []sample
}

// watch is a process of the product.
func (p *process) watch(name string) *watched {
	return &watched{name: name, pid: p.cmd.Process.Pid, metrics: "http://" + p.variable("OPS_LISTEN") + "/metrics"}
}

// variable is the value that the process finds in its environment.
func (p *process) variable(name string) (value string) {
	for _, entry := range p.env {
		if v, ok := strings.CutPrefix(entry, name+"="); ok {
			value = v // the last one counts
		}
	}
	return value
}

// watchBroker is RabbitMQ's process.
func (s *system) watchBroker() *watched {
	s.t.Helper()
	text := strings.Trim(strings.TrimSpace(s.ctl("eval", `list_to_integer(os:getpid()).`)), `"`)
	pid, err := strconv.Atoi(text)
	if err != nil {
		s.t.Fatalf("RabbitMQ's process: %v", err)
	}
	return &watched{name: "RabbitMQ", pid: pid}
}

// take adds a sample.
func (w *watched) take(t testing.TB, after time.Duration) sample {
	t.Helper()
	s := sample{after: after, rss: resident(t, w.pid), fds: float64(len(list(t, w.pid))), processor: processor(t, w.pid)}
	if w.metrics != "" {
		text, err := fetch(w.metrics)
		if err != nil {
			t.Fatalf("%s: %v", w.name, err)
		}
		s.said = figures(text)
		s.heap, s.goroutines = s.said["go_gc_heap_live_bytes"], s.said["go_goroutines"]
	}
	w.samples = append(w.samples, s)
	return s
}

// fetch waits longer than ask does: who is busy answers late.
func fetch(url string) (string, error) {
	client := http.Client{Timeout: 20 * time.Second}
	res, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", url, res.Status)
	}
	return string(text), err
}

// resident is the memory that a process has, as the system counts it.
func resident(t testing.TB, pid int) float64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.ParseFloat(strings.Fields(string(text))[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	return pages * float64(os.Getpagesize())
}

// processor is how many seconds of processors a process has used.
func processor(t testing.TB, pid int) float64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')'):])) // names may hold anything
	var ticks float64
	for _, field := range fields[12:14] { // user and system time
		n, err := strconv.ParseFloat(field, 64)
		if err != nil {
			t.Fatal(err)
		}
		ticks += n
	}
	return ticks / 100 // of a second, whatever the kernel's own
}

// list are the open files of a process.
func list(t testing.TB, pid int) []string {
	t.Helper()
	open, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil || len(open) == 0 {
		t.Fatalf("the files of process %d: %v, %d of them", pid, err, len(open))
	}
	return open
}

// figures are the metrics, their labels as part of the name.
func figures(text string) map[string]float64 {
	all := map[string]float64{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if end := strings.LastIndexByte(line, ' '); end > 0 && line[0] != '#' {
			if number, err := strconv.ParseFloat(line[end+1:], 64); err == nil {
				all[line[:end]] = number
			}
		}
	}
	return all
}

// between are the values of the samples from one share of the time to another.
func (w *watched) between(from, to float64, of func(sample) float64) (values []float64) {
	n := float64(len(w.samples))
	for _, s := range w.samples[int(from*n):int(to*n)] {
		values = append(values, of(s))
	}
	return values
}

func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

// slope is the growth an hour over the second half of the time: the line that
// lies nearest to the samples.
func (w *watched) slope(of func(sample) float64) float64 {
	half := w.samples[len(w.samples)/2:]
	var n, x, y, xx, xy float64
	for _, s := range half {
		at, value := s.after.Hours(), of(s)
		n, x, y, xx, xy = n+1, x+at, y+value, xx+at*at, xy+at*value
	}
	return (n*xy - x*y) / (n*xx - x*x)
}
