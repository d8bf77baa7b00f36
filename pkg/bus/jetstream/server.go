// Package jetstream runs the pipeline's queue on a NATS server inside this
// process: nothing to install, no port opened, the same promises as bus/rabbit.
//
// A publish is confirmed after the message's file has been synced, the queue
// is a work queue that refuses when full, and what was not acknowledged is
// delivered again, after a crash too.
package jetstream

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/maidian/maidian/pkg/bus"
	"github.com/maidian/maidian/pkg/fault"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	js "github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
)

const (
	stream      = "MAIDIAN"
	subject     = "maidian.events"
	consumer    = "consumer"
	idHeader    = "Maidian-Id"
	traceHeader = "traceparent"

	// A message that nobody has settled or extended for this long is delivered
	// again. Server and receivers live and die together, so it can be short:
	// it is also what a restart after a crash waits for messages in flight.
	ackWait = 3 * time.Second

	startWithin = 30 * time.Second // recovering a large queue reads its index
)

// Config says where the queue lives and how much it takes.
type Config struct {
	Dir         string // data directory; made when missing; one process at a time
	Memory      bool   // keep the queue in memory only: tests and demonstrations
	MaxMessages int64  // the queue refuses above this; 0 is 1,000,000
	MaxBytes    int64  // the queue refuses above this; 0 is 4 GiB
}

func (c Config) withDefaults() Config {
	if c.MaxMessages == 0 {
		c.MaxMessages = 1_000_000
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = 4 << 30
	}
	return c
}

// Validate says everything that is wrong with the configuration.
func (c Config) Validate() (err error) {
	if c.Dir == "" && !c.Memory {
		err = errors.Join(err, errors.New("broker: a data directory is needed, or memory mode"))
	}
	if c.MaxMessages < 0 {
		err = errors.Join(err, fmt.Errorf("broker: most messages must be 0 (default) or more, got %d", c.MaxMessages))
	}
	if c.MaxBytes < 0 {
		err = errors.Join(err, fmt.Errorf("broker: most bytes must be 0 (default) or more, got %d", c.MaxBytes))
	}
	return err
}

// Server is the embedded broker with its one queue.
type Server struct {
	cfg     Config
	log     *zap.Logger
	nats    *server.Server
	conn    *nats.Conn // for Depth
	js      js.JetStream
	lock    *os.File
	tempDir string // removed at the end, in memory mode
	closed  atomic.Bool
}

var _ bus.Inspector = (*Server)(nil)

// Start opens the queue in cfg.Dir, or makes it, and returns once it takes messages.
func Start(cfg Config, log *zap.Logger) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg.withDefaults(), log: log.Named("jetstream")}
	err := s.openDir()
	if err == nil {
		err = s.startNATS()
	}
	if err == nil {
		err = s.openQueue()
	}
	if err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

// openDir makes the data directory this process's own.
func (s *Server) openDir() (err error) {
	if s.cfg.Memory { // the server wants a place for its own state even then
		s.tempDir, err = os.MkdirTemp("", "maidian-broker-")
		s.cfg.Dir = s.tempDir
		return err
	}
	if err := os.MkdirAll(s.cfg.Dir, 0o750); err != nil {
		return fmt.Errorf("broker data directory: %w", err)
	}
	s.lock, err = lockDir(s.cfg.Dir)
	if err != nil {
		return err
	}
	if _, err := os.ReadDir(s.cfg.Dir); err != nil {
		return fmt.Errorf("broker data directory: %w", err)
	}
	return nil
}

func (s *Server) startNATS() error {
	ns, err := server.NewServer(&server.Options{
		ServerName:         "maidian",
		DontListen:         true,
		JetStream:          true,
		StoreDir:           s.cfg.Dir,
		SyncAlways:         !s.cfg.Memory,
		JetStreamMaxMemory: 1 << 62, // the stream's own limits are what refuses
		JetStreamMaxStore:  1 << 62,
		MaxPayload:         bus.MaxBody + 64<<10, // body and headers
		NoSigs:             true,
	})
	if err != nil {
		return fmt.Errorf("broker: %w", err)
	}
	ns.SetLogger(serverLog{s.log.Sugar()}, false, false)
	s.nats = ns
	ns.Start()
	if !ns.ReadyForConnections(startWithin) || !ns.JetStreamEnabled() {
		return fmt.Errorf("broker: the queue in %s did not open within %s; see the log lines above", s.cfg.Dir, startWithin)
	}
	return nil
}

func (s *Server) openQueue() (err error) {
	if s.conn, err = s.connect("queue"); err != nil {
		return err
	}
	if s.js, err = js.New(s.conn); err != nil {
		return fmt.Errorf("broker: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), startWithin)
	defer cancel()
	q, err := s.js.CreateOrUpdateStream(ctx, s.streamConfig())
	if err != nil {
		return fmt.Errorf("open queue in %s: %w", s.cfg.Dir, err)
	}
	_, err = q.CreateOrUpdateConsumer(ctx, js.ConsumerConfig{
		Durable:       consumer,
		AckPolicy:     js.AckExplicitPolicy,
		AckWait:       ackWait,
		MaxDeliver:    -1,
		MaxAckPending: -1, // every receiver keeps its own limit
		MaxWaiting:    4096,
	})
	if err != nil {
		return fmt.Errorf("open queue in %s: consumer: %w", s.cfg.Dir, err)
	}
	return nil
}

func (s *Server) streamConfig() js.StreamConfig {
	c := js.StreamConfig{
		Name:       stream,
		Subjects:   []string{subject},
		Retention:  js.WorkQueuePolicy,
		Discard:    js.DiscardNew,
		MaxMsgs:    s.cfg.MaxMessages,
		MaxBytes:   s.cfg.MaxBytes,
		Storage:    js.FileStorage,
		Duplicates: 100 * time.Millisecond, // the least it takes: the store knows duplicates, not the queue
	}
	if s.cfg.Memory {
		c.Storage = js.MemoryStorage
	}
	return c
}

// connect opens a connection through memory. It never gives up by itself: it
// ends when it is closed, or with the server.
func (s *Server) connect(name string) (*nats.Conn, error) {
	c, err := nats.Connect("", nats.InProcessServer(s.nats), nats.Name(name),
		nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond), nats.ReconnectBufSize(-1), nats.DrainTimeout(5*time.Second))
	if err != nil {
		return nil, fmt.Errorf("broker: connect %s: %w", name, err)
	}
	return c, nil
}

// Depth is the number of messages in the queue, delivered but unacknowledged ones included.
func (s *Server) Depth(ctx context.Context) (int, error) {
	if err := s.running(); err != nil {
		return 0, err
	}
	q, err := s.js.Stream(ctx, stream)
	if err != nil {
		return 0, fault.Wrap(fault.Unavailable, "broker_unavailable", fmt.Errorf("depth of the queue: %w", err))
	}
	return int(q.CachedInfo().State.Msgs), nil
}

// running is nil while the server can take and hand out messages.
func (s *Server) running() error {
	switch {
	case s.closed.Load() || !s.nats.Running():
		return unavailable("the embedded broker is stopped")
	case !s.nats.JetStreamEnabled():
		return unavailable("the embedded broker has given up its storage in %s (disk full or broken?); see its log", s.cfg.Dir)
	}
	return nil
}

// Close stops the broker; close publishers and end receivers first. What is in
// the queue is there again at the next Start.
func (s *Server) Close(ctx context.Context) error {
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		s.stop()
	}()
	select {
	case <-stopped:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("stop broker: %w", ctx.Err())
	}
}

func (s *Server) stop() {
	if s.closed.Swap(true) {
		return
	}
	if s.conn != nil {
		s.conn.Close()
	}
	if s.nats != nil {
		s.nats.Shutdown()
		s.nats.WaitForShutdown()
	}
	if s.lock != nil {
		_ = s.lock.Close()
	}
	if s.tempDir != "" {
		_ = os.RemoveAll(filepath.Clean(s.tempDir))
	}
}

func unavailable(format string, args ...any) *fault.Error {
	e := fault.New(fault.Unavailable, "broker_unavailable", format, args...)
	e.RetryAfter = time.Second
	return e
}

// serverLog hands the server's own lines to ours; its everyday notices are for debugging.
type serverLog struct{ log *zap.SugaredLogger }

func (l serverLog) Noticef(format string, v ...any) { l.log.Debugf(format, v...) }
func (l serverLog) Warnf(format string, v ...any)   { l.log.Warnf(format, v...) }
func (l serverLog) Fatalf(format string, v ...any)  { l.log.Errorf(format, v...) }
func (l serverLog) Errorf(format string, v ...any)  { l.log.Errorf(format, v...) }
func (l serverLog) Debugf(format string, v ...any)  { l.log.Debugf(format, v...) }
func (l serverLog) Tracef(format string, v ...any)  { l.log.Debugf(format, v...) }
