//go:build unix

package rabbitnode

import (
	"bytes"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// process is a child that ends, at the latest, when we do.
type process struct {
	cmd   *exec.Cmd
	ended chan struct{}
	err   error // how it ended; read it after ended
	words *tail
}

// startProcess starts cmd in a process group of its own, so that a Ctrl-C in
// the terminal reaches us and not it.
func startProcess(cmd *exec.Cmd) (*process, error) {
	p := &process{cmd: cmd, ended: make(chan struct{}), words: &tail{}}
	if cmd.Stdout == nil {
		cmd.Stdout, cmd.Stderr = p.words, p.words
	}
	cmd.SysProcAttr = dieWithParent()
	cmd.WaitDelay = time.Second // do not wait for grandchildren that keep the output open
	started := make(chan error)
	go func() {
		// Linux ends the child with the thread that started it, so the thread
		// must stay as long as the child.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if err := cmd.Start(); err != nil {
			started <- err
			return
		}
		started <- nil
		p.err = cmd.Wait()
		close(p.ended)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

func (p *process) alive() bool {
	if p == nil {
		return false
	}
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// kill ends the process and its group at once and waits for that.
func (p *process) kill() {
	if !p.alive() {
		return
	}
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	_ = p.cmd.Process.Kill()
	<-p.ended
}

// stop asks the process to end, and ends it when it has not in time.
func (p *process) stop(within time.Duration) {
	if !p.alive() {
		return
	}
	_ = p.cmd.Process.Signal(syscall.SIGCONT) // it may be paused
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(within):
	}
	p.kill()
}

func (p *process) lastWords() string { return p.words.String() }

// tail keeps the end of what a process printed.
type tail struct {
	mu   sync.Mutex
	text []byte
}

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, b...)
	if extra := len(t.text) - 4096; extra > 0 {
		t.text = t.text[extra:]
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(bytes.TrimSpace(t.text))
}
