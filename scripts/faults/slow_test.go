package faults

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/maidian/maidian/scripts/faults/crowd"
)

// TestSlowClients measures what others lose while SLOW connections, such as
// 2000, are held by clients that send nothing or a byte every two seconds, and
// wants all of them ended by the collector and their files given back.
func TestSlowClients(t *testing.T) {
	clients, err := strconv.Atoi(os.Getenv("SLOW"))
	if err != nil {
		t.Skip("skipped: SLOW names no number of connections, such as 2000")
	}
	s := onSQLite(t, nil, []string{"COLLECTOR_BODY_TIMEOUT=10s", "HTTP_HEADER_TIMEOUT=5s", "HTTP_IDLE_TIMEOUT=10s"})
	w := s.collector.watch("collector")
	addr := strings.TrimPrefix(s.collector.url(), "http://")
	good := newTemplate(addr, 20, 0)
	normal := func() *crowd.Result {
		r := crowd.Run(crowd.Options{Addr: addr, Rate: 200, Connections: 64, Duration: 8 * time.Second, Timeout: 15 * time.Second, Request: good.request})
		if accepted := r.PerSecond(http.StatusOK) * r.Elapsed.Seconds(); r.Failed > 0 || accepted < 0.99*float64(r.Sent) {
			t.Errorf("%.0f of %d good requests were accepted, %d were not answered (%v)", accepted, r.Sent, r.Failed, r.Why)
		}
		good.from += r.Sent
		return r
	}
	fastest := func() float64 {
		r := crowd.Run(crowd.Options{Addr: addr, Connections: 32, Duration: 5 * time.Second, Timeout: 15 * time.Second, Request: good.request})
		good.from += r.Sent
		return r.PerSecond(http.StatusOK)
	}
	fastest() // to get warm
	var rounds []slowRound
	for range 3 {
		r := slowRound{before: normal(), mostBefore: fastest(), calm: w.take(t, 0)}
		h := hold(addr, clients, good)
		eventually(t, "all slow clients to hold a connection", func() bool { return int(h.open.Load()) >= clients*9/10 })
		r.during, r.held = normal(), w.take(t, 0)
		r.mostDuring = fastest()
		h.stop()
		eventually(t, "the collector to end all slow connections", func() bool { return h.open.Load() == 0 })
		r.ended = h.ended.Load()
		if left := h.gaveUp.Load(); left > 0 {
			t.Errorf("%d connections were not ended by the collector", left)
		}
		eventually(t, "the files to be given back", func() bool { r.after = w.take(t, 0); return r.after.fds <= r.calm.fds+32 })
		rounds = append(rounds, r)
	}
	writeSection(t, "Slow clients", slowPage(clients, rounds))
}

// slowRound is one measurement without slow clients and one with them.
type slowRound struct {
	before, during         *crowd.Result // of good clients, 200 requests a second
	mostBefore, mostDuring float64       // requests a second that they get accepted at most
	calm, held, after      sample        // of the collector
	ended                  int64         // connections
}

func slowPage(clients int, rounds []slowRound) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d connections are held at any time, a quarter each by clients that send half a header and then a byte every two seconds, half a body and then a byte every two seconds, "+
		"half a header and nothing more, and an accepted request and nothing more; one that is ended comes again. Beside them good clients send 200 requests of 20 events a second, "+
		"and then as many as are accepted over 32 connections. Headers may take 5 s, bodies 10 s, idling 10 s. Afterwards the collector ends every slow connection.\n\n", clients)
	b.WriteString("| accepted after p50 without / with them | p99 without / with | requests/s at most without / with | ratio | ended by the collector | files before / with / after | " +
		"collector MB before / with | KB a connection | goroutines |\n| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n")
	for _, r := range rounds {
		before, during := r.before.Status[http.StatusOK], r.during.Status[http.StatusOK]
		fmt.Fprintf(&b, "| %.1f / %.1f ms | %.1f / %.1f ms | %.0f / %.0f | **%.2f** | %d | %.0f / %.0f / %.0f | %.0f / %.0f | %.1f | %.0f / %.0f |\n",
			ms(before.Took(0.5)), ms(during.Took(0.5)), ms(before.Took(0.99)), ms(during.Took(0.99)), r.mostBefore, r.mostDuring, r.mostDuring/r.mostBefore, r.ended,
			r.calm.fds, r.held.fds, r.after.fds, r.calm.rss/mb, r.held.rss/mb, (r.held.rss-r.calm.rss)/1024/(r.held.fds-r.calm.fds), r.calm.goroutines, r.held.goroutines)
	}
	return b.String()
}

// holders are slow clients.
type holders struct {
	open, ended, gaveUp atomic.Int64
	stopped             chan struct{}
	stop                func()
}

// hold has so many clients hold a connection each until stop, and then until
// the other side ends it.
func hold(addr string, clients int, good template) *holders {
	h := &holders{stopped: make(chan struct{})}
	h.stop = sync.OnceFunc(func() { close(h.stopped) })
	request := string(good.request(nil, 0))
	body := strings.Index(request, "\r\n\r\n") + 4
	ways := []struct{ first, drip string }{
		{request[:body-4] + "\r\nX-Slow: ", "a"},
		{request[:body+5000], " "},
		{request[:body/2], ""},
		{request, ""}, // its ids are always the same, so it is stored once
	}
	for i := range clients {
		way := ways[i%len(ways)]
		go func() {
			for {
				select {
				case <-h.stopped:
					return
				default:
					h.holdOne(addr, way.first, way.drip)
				}
			}
		}()
	}
	return h
}

func (h *holders) holdOne(addr, first, drip string) {
	conn, err := net.DialTimeout("tcp", addr, 15*time.Second)
	if err != nil {
		h.gaveUp.Add(1)
		return
	}
	defer conn.Close()
	h.open.Add(1)
	defer h.open.Add(-1)
	_ = conn.SetDeadline(time.Now().Add(time.Minute)) // a connection that has just been made takes one
	tick := time.NewTicker(2 * time.Second)
	defer tick.Stop()
	over := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, conn)
		over <- err
	}()
	_, _ = io.WriteString(conn, first) // whether it went shows in the end
	for {
		select {
		case <-tick.C:
			_, _ = io.WriteString(conn, drip)
		case err := <-over:
			if os.IsTimeout(err) {
				h.gaveUp.Add(1)
			} else {
				h.ended.Add(1)
			}
			return
		}
	}
}
