package faults

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"
)

// process is a program that can be hurt and started again.
type process struct {
	t       testing.TB
	name    string
	program string
	args    []string
	env     []string
	health  string // answers 200 once it can be used

	cmd    *exec.Cmd
	ended  chan struct{}
	output output
}

// start runs the program and does not wait for it; extra goes into its environment this once.
func (p *process) start(extra ...string) {
	p.t.Helper()
	cmd := exec.Command(p.program, p.args...)
	cmd.Env = append(append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + p.t.TempDir()}, p.env...), extra...)
	cmd.Stdout, cmd.Stderr = &p.output, &p.output
	if err := cmd.Start(); err != nil {
		p.t.Fatalf("start %s: %v", p.name, err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // how it ended stands in its state
		close(ended)
	}()
	p.cmd, p.ended = cmd, ended
}

// up waits until the process can be used.
func (p *process) up() {
	p.t.Helper()
	eventually(p.t, p.name+" to be up", func() bool {
		select {
		case <-p.ended:
			p.t.Fatalf("%s ended: %s\n%s", p.name, p.cmd.ProcessState, p.output.String())
		default:
		}
		return answers(p.health) == http.StatusOK
	})
}

func answers(url string) int {
	status, _ := ask(url)
	return status
}

func ask(url string) (status int, text string) {
	client := http.Client{Timeout: 2 * time.Second}
	res, err := client.Get(url)
	if err != nil {
		return 0, ""
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body) // what came of it is enough
	return res.StatusCode, string(body)
}

func (p *process) running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// wait returns the exit code once the process has ended; -1: a signal ended it.
func (p *process) wait() int {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(2 * time.Minute):
		p.t.Fatalf("%s does not end\n%s", p.name, p.output.String())
	}
	return p.cmd.ProcessState.ExitCode()
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatalf("%s: %v", p.name, err)
	}
}

// kill ends the process as kill -9 does.
func (p *process) kill() {
	if p.cmd != nil && p.running() {
		_ = p.cmd.Process.Kill() // it may be ending by itself
		<-p.ended
	}
}

// terminate asks it to end and wants it to do so in order.
func (p *process) terminate() {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	if code := p.wait(); code != 0 {
		p.t.Errorf("%s exits with %d after SIGTERM\n%s", p.name, code, p.output.String())
	}
}

// output keeps the end of what a process printed.
type output struct {
	mu   sync.Mutex
	text []byte
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text = append(o.text, b...)
	if extra := len(o.text) - 8<<10; extra > 0 {
		o.text = o.text[extra:]
	}
	return len(b), nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(bytes.TrimSpace(o.text))
}

// freeAddress is one that nobody listens on, for a process that keeps it over
// restarts: below the ports that systems give to outgoing connections, which
// would take it while the process is down.
func freeAddress(t testing.TB) string {
	t.Helper()
	var err error
	for range 100 {
		var l net.Listener
		if l, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 10_000+rand.IntN(20_000))); err == nil {
			defer l.Close()
			return l.Addr().String()
		}
	}
	t.Fatal(err)
	return ""
}

// eventually waits for an effect. How long is no promise of the system, only
// when the test gives up.
func eventually(t testing.TB, what string, effect func() bool) {
	t.Helper()
	within(t, 5*time.Minute, what, effect)
}

// within is eventually for effects that may take longer.
func within(t testing.TB, limit time.Duration, what string, effect func() bool) {
	t.Helper()
	deadline := time.Now().Add(limit)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !effect() {
		if <-tick.C; time.Now().After(deadline) {
			t.Fatalf("gave up waiting for %s", what)
		}
	}
}
