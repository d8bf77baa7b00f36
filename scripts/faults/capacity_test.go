package faults

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/maidian/maidian/scripts/faults/crowd"
)

// TestCapacity measures what an event costs each part: processor time, memory,
// disk, and what it takes while it waits in the queue. deploy/CAPACITY.md works
// out sizes from these figures.
func TestCapacity(t *testing.T) {
	long, err := time.ParseDuration(os.Getenv("CAPACITY"))
	if err != nil {
		t.Skip("skipped: CAPACITY names no duration, such as 10s")
	}
	dir := t.TempDir()
	s := onSQLiteIn(t, dir, nil, nil)
	b := &capacity{t: t, s: s, dir: dir, long: long, collector: s.collector.watch("collector"), broker: s.watchBroker()}
	var text strings.Builder
	text.WriteString("\nprocessor time in µs an event\n\nevents a request | collector | RabbitMQ | consumer, query and SQLite\n--- | --- | --- | ---\n")
	for _, each := range []int{1, 20, 100} {
		collector, broker, storing := b.load(each)
		fmt.Fprintf(&text, "%d | %.1f | %.1f | %.1f\n", each, collector, broker, storing)
	}
	text.WriteString("\n" + b.start())
	text.WriteString("\n" + b.backlog())
	t.Log(text.String())
}

type capacity struct {
	t         *testing.T
	s         *system
	dir       string
	long      time.Duration
	collector *watched
	broker    *watched
	sent      int // requests
	accepted  int // events
}

// send sends requests of so many events for a while, and says how many events were accepted.
func (c *capacity) send(each int) int {
	c.t.Helper()
	addr := strings.TrimPrefix(c.s.collector.url(), "http://")
	request := newTemplate(addr, each, c.sent)
	r := crowd.Run(crowd.Options{Addr: addr, Connections: 8, Duration: c.long, Timeout: 15 * time.Second, Request: request.request})
	if r.Status[200] == nil {
		c.t.Fatalf("nothing was accepted: %+v", r)
	}
	c.sent += r.Sent
	c.accepted += r.Status[200].Count * each
	return r.Status[200].Count * each
}

func (c *capacity) drained() {
	c.t.Helper()
	within(c.t, 5*time.Minute, "all to be stored", func() bool { return c.s.settled() >= c.accepted })
}

// load is what an event costs while it goes through, in µs.
func (c *capacity) load(each int) (collector, broker, storing float64) {
	c.t.Helper()
	pids := []int{c.collector.pid, c.broker.pid, c.s.consumer.cmd.Process.Pid}
	used := make([]float64, len(pids))
	for i, pid := range pids {
		used[i] = -processor(c.t, pid)
	}
	events := c.send(each)
	c.drained()
	for i, pid := range pids {
		used[i] = (used[i] + processor(c.t, pid)) * 1e6 / float64(events)
	}
	return used[0], used[1], used[2]
}

// start is what a query service takes to read all of it anew, and has then.
func (c *capacity) start() string {
	c.t.Helper()
	c.s.consumer.terminate()
	disk := size(c.t, c.dir)
	c.s.consumer.start("ANALYTICS_ENABLED=false")
	c.s.consumer.up()
	pid, n := c.s.consumer.cmd.Process.Pid, float64(c.accepted)
	return fmt.Sprintf("query, reading %d events anew: %.1f µs of processor an event, %.0f MB of resident memory in all; the store has %.0f B an event\n",
		c.accepted, processor(c.t, pid)*1e6/n, resident(c.t, pid)/1e6, disk/n)
}

// backlog is what events take that wait, and how fast they go once there is a consumer again.
func (c *capacity) backlog() string {
	c.t.Helper()
	before := size(c.t, c.s.rabbit.Dir())
	events := c.send(20)
	disk := size(c.t, c.s.rabbit.Dir()) - before
	c.s.consumer.terminate()
	c.accepted = events // the count begins anew with the process
	began := time.Now()
	c.s.again(c.s.consumer)
	c.drained()
	in, out := float64(events)/c.long.Seconds(), float64(events)/time.Since(began).Seconds()
	return fmt.Sprintf("no consumer: the queue grows by %.0f events/s, %.0f B of RabbitMQ's disk an event; then it is drained at %.0f events/s, start included: ratio %.2f\n",
		in, disk/float64(events), out, out/in)
}

// size is how many bytes there are in a directory.
func size(t testing.TB, dir string) (n float64) {
	t.Helper()
	err := filepath.Walk(dir, func(_ string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().IsRegular() {
			n += float64(info.Size())
		}
		return nil // files come and go
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}
