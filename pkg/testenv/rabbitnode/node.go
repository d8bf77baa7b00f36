//go:build unix

// Package rabbitnode starts a private RabbitMQ node from the RabbitMQ that is
// installed: own name, ports, cookie, epmd and data, everything bound to
// 127.0.0.1, so that it never touches the machine's own node.
package rabbitnode

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"

	"go.uber.org/zap"
)

const (
	startWithin = 3 * time.Minute
	stopWithin  = 20 * time.Second
)

// ErrNotInstalled says that there is no RabbitMQ on this machine.
var ErrNotInstalled = errors.New("RabbitMQ is not installed: install the package rabbitmq-server")

// Node is a RabbitMQ node of our own. Its processes end with this process,
// however that ends.
type Node struct {
	name     string // such as maidian@localhost, known only to our own epmd
	dir      string
	bin      string // folder of rabbitmq-server and rabbitmqctl
	settings string // more lines for rabbitmq.conf
	cookie   string // empty: one of its own
	log      *zap.Logger
	lock     *os.File

	port, distPort int
	epmd           *epmd

	mu   sync.Mutex
	beam *process
}

// Installed is the folder with rabbitmq-server and rabbitmqctl, or ErrNotInstalled.
func Installed() (string, error) {
	// The ones of the distribution's package come first: what it puts in the
	// path are wrappers that change the user and know one node only.
	candidates := []string{"/usr/lib/rabbitmq/bin", "/usr/lib/rabbitmq/sbin", "/opt/rabbitmq/sbin"}
	for _, pattern := range []string{"/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin", "/opt/homebrew/opt/rabbitmq/sbin", "/usr/local/opt/rabbitmq/sbin"} {
		found, _ := filepath.Glob(pattern) // the patterns are well-formed
		candidates = append(candidates, found...)
	}
	if inPath, err := exec.LookPath("rabbitmq-server"); err == nil {
		candidates = append(candidates, filepath.Dir(inPath))
	}
	for _, dir := range candidates {
		if executable(filepath.Join(dir, "rabbitmq-server")) && executable(filepath.Join(dir, "rabbitmqctl")) {
			return dir, nil
		}
	}
	return "", ErrNotInstalled
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && !info.IsDir() && info.Mode()&0o111 != 0
}

// Start starts a node with its data under dir, which is made when missing, and
// returns once it accepts connections. A second start finds the data again.
func Start(dir string, log *zap.Logger) (*Node, error) {
	return start(&Node{name: "maidian@localhost", dir: dir, epmd: &epmd{}, log: log})
}

func start(n *Node) (_ *Node, err error) {
	if n.bin, err = Installed(); err != nil {
		return nil, err
	}
	if n.dir, err = filepath.Abs(n.dir); err != nil {
		return nil, err
	}
	n.log = n.log.Named("rabbitnode")
	if err := n.prepare(); err != nil {
		return nil, fmt.Errorf("RabbitMQ's data directory: %w", err)
	}
	if err := n.Start(); err != nil {
		n.Close()
		return nil, err
	}
	return n, nil
}

// prepare makes the folders and the node's own settings.
func (n *Node) prepare() (err error) {
	for _, sub := range []string{"home", "data", "log", "conf"} {
		if err := os.MkdirAll(filepath.Join(n.dir, sub), 0o700); err != nil {
			return err
		}
	}
	if n.lock, err = lockFile(filepath.Join(n.dir, "lock")); err != nil {
		return err
	}
	for _, port := range []*int{&n.port, &n.distPort, &n.epmd.port} {
		if *port != 0 { // the epmd of the nodes before it
			continue
		}
		if *port, err = freePort(); err != nil {
			return err
		}
	}
	if err := n.write("conf/enabled_plugins", "[].\n"); err != nil {
		return err
	}
	return n.writeCookie()
}

// writeCookie writes the secret by which nodes know each other; one that is there stays.
func (n *Node) writeCookie() error {
	path := filepath.Join(n.dir, "home", ".erlang.cookie")
	kept, err := os.ReadFile(path)
	if err == nil {
		n.cookie = string(kept)
		return nil
	}
	if n.cookie == "" {
		n.cookie = rand.Text()
	}
	return os.WriteFile(path, []byte(n.cookie), 0o400)
}

func (n *Node) write(name, text string) error {
	return os.WriteFile(filepath.Join(n.dir, name), []byte(text), 0o600)
}

// freePort is below the ports that systems give to outgoing connections, so
// that nobody has taken it when a node that was stopped starts again.
func freePort() (port int, err error) {
	for range 100 {
		port = 10_000 + mathrand.IntN(20_000)
		var l net.Listener
		if l, err = net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))); err == nil {
			return port, l.Close()
		}
	}
	return 0, err
}

// Name is the node's in Erlang, by which rabbitmqctl names it.
func (n *Node) Name() string { return n.name }

// URL is the address for AMQP clients.
func (n *Node) URL() string { return "amqp://guest:guest@" + n.Addr() + "/" }

// Addr is the host and port that the node listens on; the same at every start of this Node.
func (n *Node) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(n.port)) }

// Dir is where the node keeps its data, log and settings.
func (n *Node) Dir() string { return n.dir }

// Start starts the node again after Stop or Kill, with the same data and address.
func (n *Node) Start() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.beam.alive() {
		return nil
	}
	conf := fmt.Sprintf("listeners.tcp.1 = %s\nlog.file.level = warning\nlog.console = false\ndisk_free_limit.absolute = 64MB\n%s", n.Addr(), n.settings)
	if err := n.write("conf/rabbitmq.conf", conf); err != nil {
		return err
	}
	if err := n.epmd.start(n); err != nil {
		return err
	}
	beam, err := startProcess(n.command("rabbitmq-server"))
	if err != nil {
		return fmt.Errorf("start RabbitMQ: %w", err)
	}
	n.beam = beam
	if err := n.await(); err != nil {
		beam.kill()
		return fmt.Errorf("start RabbitMQ: %w; its log is in %s", err, filepath.Join(n.dir, "log"))
	}
	return nil
}

func (n *Node) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(n.bin, name), args...)
	cmd.Env = n.env()
	cmd.Dir = n.dir
	return cmd
}

// env is all that the node's processes get of an environment.
func (n *Node) env() []string {
	in := func(name string) string { return filepath.Join(n.dir, name) }
	return []string{
		"PATH=" + os.Getenv("PATH") + ":/usr/sbin:/usr/bin:/sbin:/bin",
		"LANG=C.UTF-8",
		"HOME=" + in("home"),
		"ERL_EPMD_ADDRESS=127.0.0.1",
		"ERL_EPMD_PORT=" + strconv.Itoa(n.epmd.port),
		"RABBITMQ_NODENAME=" + n.name,
		"RABBITMQ_NODE_IP_ADDRESS=127.0.0.1",
		"RABBITMQ_NODE_PORT=" + strconv.Itoa(n.port),
		"RABBITMQ_DIST_PORT=" + strconv.Itoa(n.distPort),
		"RABBITMQ_CONF_ENV_FILE=/dev/null",
		"RABBITMQ_CONFIG_FILE=" + in("conf/rabbitmq.conf"),
		"RABBITMQ_ADVANCED_CONFIG_FILE=" + in("conf/advanced.config"),
		"RABBITMQ_ENABLED_PLUGINS_FILE=" + in("conf/enabled_plugins"),
		"RABBITMQ_GENERATED_CONFIG_DIR=" + in("conf/generated"),
		"RABBITMQ_MNESIA_BASE=" + in("data"),
		"RABBITMQ_LOG_BASE=" + in("log"),
		"RABBITMQ_PID_FILE=" + in("data/pid"),
		// Erlang would otherwise spin for a while when it has nothing to do, on a machine that it shares.
		"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=-kernel inet_dist_use_interface {127,0,0,1} +sbwt none +sbwtdcpu none +sbwtdio none",
		"RABBITMQ_CTL_ERL_ARGS=-kernel inet_dist_use_interface {127,0,0,1}",
		"RUNNING_UNDER_SYSTEMD=true", // the script becomes the node, instead of a shell that watches over it
	}
}

// await returns once the node greets an AMQP client.
func (n *Node) await() error {
	deadline := time.Now().Add(startWithin)
	for time.Now().Before(deadline) {
		if greets(n.Addr()) {
			return nil
		}
		select {
		case <-n.beam.ended:
			return fmt.Errorf("it ended: %s", n.beam.lastWords())
		case <-time.After(100 * time.Millisecond):
		}
	}
	return fmt.Errorf("it did not accept connections within %s", startWithin)
}

// greets says whether an AMQP server answers the protocol header with a method frame.
func greets(addr string) bool {
	c, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return false
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(2 * time.Second))
	first := make([]byte, 1)
	if _, err := c.Write([]byte("AMQP\x00\x00\x09\x01")); err != nil {
		return false
	}
	_, err = c.Read(first)
	return err == nil && first[0] == 1
}

// Kill ends the node at once, as a power cut of the process would.
func (n *Node) Kill() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.beam.kill()
}

// Stop ends the node in order.
func (n *Node) Stop() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.beam.stop(stopWithin)
}

// Pause freezes the node: connections stay open, nothing answers. It returns
// once every thread has stopped: on a busy machine one may go on for a moment.
func (n *Node) Pause() error {
	if err := n.signal(syscall.SIGSTOP); err != nil {
		return err
	}
	for n.Alive() && !stopped(n.beam.cmd.Process.Pid) {
		runtime.Gosched()
	}
	return nil
}

// stopped says whether all threads of a process are; where there is no /proc nobody can tell.
func stopped(pid int) bool {
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	for _, thread := range threads {
		stat, err := os.ReadFile(thread)
		_, state, _ := bytes.Cut(stat, []byte(") ")) // behind the name, which may hold anything
		if err == nil && !bytes.HasPrefix(state, []byte("T")) {
			return false
		}
	}
	return true
}

// Resume lets a paused node go on.
func (n *Node) Resume() error { return n.signal(syscall.SIGCONT) }

func (n *Node) signal(s syscall.Signal) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.beam.alive() {
		return errors.New("the RabbitMQ node is not running")
	}
	return n.beam.cmd.Process.Signal(s)
}

// Alive says whether the node's process runs, paused or not.
func (n *Node) Alive() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.beam.alive()
}

// Done is closed when the running node's process has ended.
func (n *Node) Done() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.beam.ended
}

// Ctl runs rabbitmqctl on the node and returns what it printed.
func (n *Node) Ctl(ctx context.Context, args ...string) (string, error) {
	cmd := n.command("rabbitmqctl", append([]string{"--quiet"}, args...)...)
	var out, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problems
	p, err := startProcess(cmd)
	if err != nil {
		return "", fmt.Errorf("rabbitmqctl: %w", err)
	}
	select {
	case <-p.ended:
	case <-ctx.Done():
		p.kill()
		return "", fmt.Errorf("rabbitmqctl %q: %w", args, ctx.Err())
	}
	if p.err != nil {
		return "", fmt.Errorf("rabbitmqctl %q: %w: %s", args, p.err, bytes.TrimSpace(append(out.Bytes(), problems.Bytes()...)))
	}
	return out.String(), nil
}

// Env is what a program needs to find to ask the node as rabbitmqctl does.
func (n *Node) Env() []string {
	return append(n.env(), "RABBITMQCTL="+filepath.Join(n.bin, "rabbitmqctl"))
}

// Close ends the node and everything that belongs to it; the data stays.
func (n *Node) Close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.beam.stop(stopWithin)
	n.epmd.release(n)
	if n.lock != nil {
		_ = n.lock.Close()
	}
}
