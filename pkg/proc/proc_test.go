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
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
)

type config struct {
	Options
	Listen string        `envconfig:"SHOP_LISTEN" default:":80" desc:"address"`
	Wait   time.Duration `envconfig:"SHOP_WAIT" default:"3s" desc:"how long"`
	Nested struct {
		Hosts []string `envconfig:"SHOP_HOSTS" desc:"several"`
		Many  int      `envconfig:"SHOP_MANY" default:"7" desc:"how many"`
	}
}

func (c *config) Validate() error { return c.Options.Validate() }

func TestLoad(t *testing.T) {
	t.Setenv("SHOP_WAIT", "")
	t.Setenv("SHOP_HOSTS", "a,b")
	t.Setenv("DRAIN", "1m")
	var c config
	if err := Load(&c); err != nil {
		t.Fatal(err)
	}
	if c.Listen != ":80" || c.Wait != 3*time.Second || len(c.Nested.Hosts) != 2 || c.Nested.Many != 7 || c.Drain != time.Minute {
		t.Errorf("got %+v", c)
	}
}

func TestLoadNamesEveryWrongVariable(t *testing.T) {
	t.Setenv("SHOP_WAIT", "soon")
	t.Setenv("SHOP_MANY", "some")
	t.Setenv("LOG_LEVEL", "shouting")
	err := Load(&config{})
	want := `SHOP_WAIT must be a duration such as 30s, got "soon"
SHOP_MANY must be a whole number, got "some"
LOG_LEVEL must be debug, info, warn or error, got "shouting"`
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	t.Setenv("SHOP_WAIT", "1s")
	t.Setenv("SHOP_MANY", "1")
	t.Setenv("DRAIN", "-1s")
	t.Setenv("LOG_LEVEL", "loud")
	if err := Load(&config{}); err == nil || strings.Count(err.Error(), "\n") != 1 {
		t.Errorf("got %v, want two lines", err)
	}
}

func TestLoadReadsFiles(t *testing.T) {
	file := filepath.Join(t.TempDir(), "hosts")
	if err := os.WriteFile(file, []byte("a,\"b\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		env  map[string]string
		want string // the error's text
	}{
		"a file":              {map[string]string{"SHOP_HOSTS_FILE": file, "SHOP_HOSTS": ""}, ""},
		"a file and a value":  {map[string]string{"SHOP_HOSTS_FILE": file, "SHOP_HOSTS": "c"}, "SHOP_HOSTS and SHOP_HOSTS_FILE: set one of the two"},
		"a file that is none": {map[string]string{"SHOP_HOSTS_FILE": file + "x"}, "SHOP_HOSTS_FILE: open " + file + "x: no such file or directory"},
		"an empty name":       {map[string]string{"SHOP_HOSTS_FILE": "", "SHOP_HOSTS": `a,"b"`}, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var c config
			err := LoadFrom(&c, func(name string) (string, bool) { v, set := test.env[name]; return v, set })
			if fmt.Sprint(err) != cmp.Or(test.want, "<nil>") {
				t.Fatalf("got %v, want %q", err, test.want)
			}
			if err == nil && fmt.Sprint(c.Nested.Hosts) != `[a "b"]` {
				t.Errorf("got %q", c.Nested.Hosts)
			}
		})
	}
}

func TestUnknownVariablesAreNamed(t *testing.T) {
	got := Unknown(&config{}, []string{"SHOP_LISTN=:1", "SHOP_LISTEN=:2", "SHOP_LISTEN_FILE=x", "SHOP_PORT=tcp://10.0.0.1:80", "SHOP_SERVICE_HOST=x", "HOME=/"})
	if fmt.Sprint(got) != "[SHOP_LISTN]" {
		t.Errorf("got %v", got)
	}
}

func TestUsageHasEveryVariable(t *testing.T) {
	var b bytes.Buffer
	Usage(&b, "shop", &config{})
	for _, want := range []string{"SHOP_LISTEN", ":80", "address", "SHOP_MANY", "time.Duration", "DRAIN"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %s in\n%s", want, b.String())
		}
	}
}

func process() *Process {
	return New("test", zap.NewNop(), prometheus.NewRegistry(), Options{Drain: 5 * time.Second})
}

func TestStopsInReverse(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var order []string
	err := process().Run(ctx, func(ctx context.Context, p *Process) error {
		for _, name := range []string{"store", "broker", "server"} {
			p.OnStop(name, func(context.Context) error {
				order = append(order, name)
				return nil
			})
		}
		p.Go("work", func(ctx context.Context) error {
			<-ctx.Done()
			return nil
		})
		cancel()
		return nil
	})
	if err != nil || fmt.Sprint(order) != "[server broker store]" {
		t.Errorf("got %v, %v", order, err)
	}
}

func TestFailuresEndTheProcess(t *testing.T) {
	broken := errors.New("broken")
	tests := map[string]func(ctx context.Context, p *Process) error{
		"at the start": func(context.Context, *Process) error { return broken },
		"in the background": func(_ context.Context, p *Process) error {
			p.Go("work", func(context.Context) error { return broken })
			return nil
		},
		"while stopping": func(_ context.Context, p *Process) error {
			p.OnStop("thing", func(context.Context) error { return broken })
			return errors.New("and another")
		},
	}
	for name, run := range tests {
		t.Run(name, func(t *testing.T) {
			undone := false
			err := process().Run(t.Context(), func(ctx context.Context, p *Process) error {
				p.OnStop("first", func(context.Context) error { undone = true; return nil })
				return run(ctx, p)
			})
			if !errors.Is(err, broken) || !undone {
				t.Errorf("got %v, undone %v", err, undone)
			}
		})
	}
}

func TestServe(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	p := process()
	done := make(chan error)
	started := make(chan string)
	ready := errors.New("warming up")
	go func() {
		done <- p.Run(ctx, func(ctx context.Context, p *Process) error {
			p.OnReady("engine", func() error { return ready })
			addr, err := p.Serve("ops", "127.0.0.1:0", p.Ops())
			if err == nil {
				_, err = p.Serve("again", addr.String(), p.Ops())
				if err == nil {
					return errors.New("took a taken port")
				}
				started <- addr.String()
			}
			return nil
		})
	}()
	base := "http://" + <-started
	for path, want := range map[string]string{"/livez": "200 ok", "/readyz": "503 engine: warming up", "/metrics": "200 ", "/debug/pprof/heap": "200 ", "/other": "404 404 page not found"} {
		r, err := http.Get(base + path)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(r.Body)
		r.Body.Close()
		if got := fmt.Sprintf("%d %s", r.StatusCode, strings.TrimSpace(string(body))); !strings.HasPrefix(got, want) {
			t.Errorf("%s: got %s, want %s", path, got, want)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, err := http.Get(base + "/livez"); err == nil {
		t.Error("still answers after the stop")
	}
}

func TestReadyOnlyOnceAllIsSetUp(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	p := New("test", zap.NewNop(), prometheus.NewRegistry(), Options{Drain: 5 * time.Second, OpsListen: "127.0.0.1:0"})
	err := p.Run(ctx, func(ctx context.Context, p *Process) error {
		err := observed(func(context.Context, *Process) error {
			if err := p.Ready(); err == nil || err.Error() != "start: not done yet" {
				t.Errorf("while it starts: got %v", err)
			}
			return nil
		})(ctx, p)
		if wrong := p.Ready(); wrong != nil {
			t.Errorf("once it has: got %v", wrong)
		}
		cancel()
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestProbe(t *testing.T) {
	warming := errors.New("warming up")
	p := process()
	p.OnReady("engine", func() error { return warming })
	server := httptest.NewServer(p.Ops())
	_, port, _ := net.SplitHostPort(server.Listener.Addr().String())
	for _, listen := range []string{server.Listener.Addr().String(), ":" + port, "0.0.0.0:" + port} {
		probe := Options{OpsListen: listen}.probe
		if err := probe(); err == nil || err.Error() != "503 Service Unavailable: engine: warming up" {
			t.Errorf("%s, not ready: got %v", listen, err)
		}
		warming = nil
		if err := probe(); err != nil {
			t.Errorf("%s, ready: got %v", listen, err)
		}
		warming = errors.New("warming up")
	}
	server.Close()
	if err := (Options{OpsListen: ":" + port}).probe(); err == nil {
		t.Error("nobody there: no error")
	}
}

// A client that keeps its connection has its next request on the way while
// the process stops: it must be answered, and told to come back on another.
func TestAStopDoesNotTearOpenConnections(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	p := process()
	done, started, stopping := make(chan error), make(chan string), make(chan struct{})
	go func() {
		done <- p.Run(ctx, func(_ context.Context, p *Process) error {
			addr, err := p.Serve("door", "127.0.0.1:0", p.Ops())
			p.OnStop("test", func(context.Context) error { close(stopping); return nil })
			started <- addr.String()
			return err
		})
	}()
	url := "http://" + <-started + "/livez"
	client := &http.Client{Transport: &http.Transport{MaxConnsPerHost: 1}}
	ask := func() (last bool) {
		r, err := client.Post(url, "text/plain", strings.NewReader("x")) // a POST is not sent again by the library
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		_, _ = io.Copy(io.Discard, r.Body)
		return r.Close
	}
	ask()
	cancel()
	<-stopping
	for !ask() { // until the answer that says so: the next one goes elsewhere
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestAStopIsNoError(t *testing.T) {
	for range 200 {
		ctx, cancel := context.WithCancel(t.Context())
		err := process().Run(ctx, func(_ context.Context, p *Process) error {
			addr, err := p.Serve("door", "127.0.0.1:0", p.Ops())
			go func() {
				defer cancel()
				if conn, err := net.Dial("tcp", addr.String()); err == nil {
					conn.Close()
				}
			}()
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
