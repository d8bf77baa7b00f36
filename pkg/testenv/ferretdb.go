package testenv

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// FerretDB is a MongoDB-compatible server as a process of its own, with its
// own data. What it stores is small and slow: below 5,000 documents, one
// writer a document, under 90 updates a bulk.
type FerretDB struct {
	t       testing.TB
	program string
	data    string
	listen  string // host:port, the same after each Start
	process *exec.Cmd
	stderr  lockedBuffer
}

// StartFerretDB builds the server when needed, starts it with an empty
// data directory on a free port of 127.0.0.1, and ends it with the test.
func StartFerretDB(t testing.TB) *FerretDB {
	t.Helper()
	f := &FerretDB{t: t, program: buildFerretDB(t), data: t.TempDir(), listen: "127.0.0.1:0"}
	t.Cleanup(f.Kill)
	f.Start()
	return f
}

// URI is where a driver finds the server.
func (f *FerretDB) URI() string { return "mongodb://" + f.listen + "/" }

// Start runs the server again, with the data and at the address it had.
func (f *FerretDB) Start() {
	f.t.Helper()
	f.process = exec.Command(f.program, "-listen", f.listen, "-data", f.data)
	f.process.Stderr = &f.stderr
	stdout, err := f.process.StdoutPipe()
	if err != nil {
		f.t.Fatal(err)
	}
	if err := f.process.Start(); err != nil {
		f.t.Fatalf("start FerretDB: %v", err)
	}
	// A process that dies closes its pipe, so this ends either way.
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		f.Kill()
		f.t.Fatalf("FerretDB ended at once: %s", f.stderr.String())
	}
	uri, err := url.Parse(strings.TrimSpace(line))
	if err != nil {
		f.t.Fatalf("FerretDB's address: %v", err)
	}
	f.listen = uri.Host
}

// Kill ends the server at once, as kill -9 does; a server that is not running stays so.
func (f *FerretDB) Kill() { f.end(syscall.SIGKILL) }

// Stop asks the server to end and waits until it has.
func (f *FerretDB) Stop() { f.end(syscall.SIGTERM) }

func (f *FerretDB) end(with os.Signal) {
	if f.process == nil {
		return
	}
	f.process.Process.Signal(with)
	late := time.AfterFunc(20*time.Second, func() { f.process.Process.Kill() })
	f.process.Wait()
	late.Stop()
	f.process = nil
}

// buildFerretDB returns the server's program. Its name carries a hash of its
// sources, so one that is there is the right one and is not built again.
func buildFerretDB(t testing.TB) string {
	t.Helper()
	sources := filepath.Join(Root(t), "scripts", "ferretdb")
	hash := sha256.New()
	fmt.Fprintln(hash, runtime.Version())
	for _, name := range []string{"go.mod", "go.sum", "main.go"} {
		text, err := os.ReadFile(filepath.Join(sources, name))
		if err != nil {
			t.Fatal(err)
		}
		hash.Write(text)
	}
	bin := filepath.Join(Root(t), "bin")
	program := filepath.Join(bin, "ferretdb-"+hex.EncodeToString(hash.Sum(nil))[:12])
	if _, err := os.Stat(program); err == nil {
		return program
	}
	if err := os.MkdirAll(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	fresh := fmt.Sprintf("%s.%d", program, os.Getpid()) // two test processes may build at once
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	build := exec.CommandContext(ctx, "go", "build", "-o", fresh, ".")
	build.Dir = sources
	build.Env = append(os.Environ(), "GOWORK=off", "CGO_ENABLED=0") // exactly the versions that its module names
	if said, err := build.CombinedOutput(); err != nil {
		missing(t, "FerretDB cannot be built (%v): %s", err, said)
	}
	if err := os.Rename(fresh, program); err != nil {
		t.Fatal(err)
	}
	return program
}

// missing skips a test for want of a server, but fails it where CI is set:
// there nothing may pass unseen.
func missing(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf(format, args...)
	}
	t.Skipf("skipped: "+format, args...)
}

// lockedBuffer is written by a process's output while a test may read it.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
