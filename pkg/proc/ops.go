package proc

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/pprof"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Ops answers /metrics, /livez and /readyz, and /debug/pprof for people with a
// question about time or memory.
//
// Live means only that the program runs. Ready leaves out what all replicas
// share: if the broker is away, taking every collector out at once would help nobody.
func (p *Process) Ops() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(p.Metrics, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok\n") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := p.Ready(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		io.WriteString(w, "ok\n")
	})
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return mux
}

// probe asks the service with these options whether it is ready, from the same
// machine: what checks a container that holds nothing but the service.
func (o Options) probe() error {
	client := http.Client{Timeout: 3 * time.Second}
	answer, err := client.Get("http://" + o.OpsListen + "/readyz") // an address without a host is this machine's
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(answer.Body, 4<<10))
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", answer.Status, bytes.TrimSpace(body))
	}
	return nil
}

func (p *Process) serveOps() error {
	if p.options.OpsListen == "" {
		return nil
	}
	_, err := p.Serve("operations server", p.options.OpsListen, p.Ops())
	return err
}

// Serve listens on an address now, so that a taken one is an error here, and
// answers with h until the process stops; then it finishes the requests it has.
// It returns the address, whose port is chosen by the system for ":0".
func (p *Process) Serve(name, listen string, h http.Handler) (net.Addr, error) {
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	d := &door{Listener: l, handler: h}
	s := &http.Server{
		Handler:           d,
		ConnState:         d.count,
		ReadHeaderTimeout: cmp.Or(p.options.HeaderTimeout, 5*time.Second), // never none
		ReadTimeout:       cmp.Or(p.options.RequestTimeout, 30*time.Second),
		IdleTimeout:       cmp.Or(p.options.IdleTimeout, 2*time.Minute),
		MaxHeaderBytes:    64 << 10,
	}
	p.OnStop(name, func(ctx context.Context) error {
		d.closing.Store(true)
		_ = d.Close() // first: whoever is asked to leave must not come back by the same door
		d.empty(ctx)
		if err := s.Shutdown(ctx); err != nil {
			return errors.Join(err, s.Close())
		}
		return nil
	})
	p.Go(name, func(context.Context) error {
		err := s.Serve(d)
		if d.closing.Load() {
			return nil
		}
		return err
	})
	return l.Addr(), nil
}

// door asks clients to leave before it is shut. A shutdown alone closes each
// connection that is idle at that instant, also one that its client is just
// sending a request on, who then sees it torn.
type door struct {
	net.Listener
	handler http.Handler
	closing atomic.Bool
	closed  sync.Once
	open    atomic.Int64 // connections
}

// Close is called by us and again by the server's own shutdown.
func (d *door) Close() (err error) {
	d.closed.Do(func() { err = d.Listener.Close() })
	return err
}

func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if d.closing.Load() {
		w.Header().Set("Connection", "close")
	}
	d.handler.ServeHTTP(w, r)
}

func (d *door) count(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		d.open.Add(1)
	case http.StateClosed, http.StateHijacked:
		d.open.Add(-1)
	}
}

// lingering is how long those who use their connections have to make one
// request more; what has been idle for that long is seldom in use just then.
const lingering = 500 * time.Millisecond

// empty returns once nobody is left, or has had time enough to leave.
func (d *door) empty(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, lingering)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for d.open.Load() > 0 && ctx.Err() == nil {
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}
