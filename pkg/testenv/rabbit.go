//go:build unix

package testenv

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/maidian/maidian/pkg/testenv/rabbitnode"
	"go.uber.org/zap"
)

// Rabbit is a private RabbitMQ node for tests.
type Rabbit struct{ *rabbitnode.Node }

// StartRabbit starts a node for one test, which may kill and pause it; it ends
// with the test. Where RabbitMQ is not installed the test is skipped, but with
// CI set it fails.
func StartRabbit(t testing.TB) *Rabbit {
	t.Helper()
	node, dir, err := startRabbit()
	if err != nil {
		noRabbit(t, err)
	}
	t.Cleanup(func() {
		node.Close()
		_ = os.RemoveAll(dir)
	})
	return &Rabbit{node}
}

// StartRabbitCluster starts nodes that form a cluster, under the rules of StartRabbit.
func StartRabbitCluster(t testing.TB, size int) (cluster []*Rabbit) {
	t.Helper()
	dir, err := os.MkdirTemp("", "maidian-rabbits-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	nodes, err := rabbitnode.StartCluster(dir, size, zap.NewNop())
	if err != nil {
		noRabbit(t, err)
	}
	for _, n := range nodes {
		t.Cleanup(n.Close)
		cluster = append(cluster, &Rabbit{n})
	}
	return cluster
}

func startRabbit() (*rabbitnode.Node, string, error) {
	dir, err := os.MkdirTemp("", "maidian-rabbit-")
	if err != nil {
		return nil, "", err
	}
	node, err := rabbitnode.Start(dir, zap.NewNop())
	if err != nil {
		_ = os.RemoveAll(dir)
		return nil, "", err
	}
	return node, dir, nil
}

func noRabbit(t testing.TB, err error) {
	t.Helper()
	if errors.Is(err, rabbitnode.ErrNotInstalled) && os.Getenv("CI") == "" {
		t.Skipf("skipped: %v", err)
	}
	t.Fatal(err)
}

// SharedRabbit is one node for the tests of a package that leave it alone.
// The node starts with the first test that asks; TestMain calls Close.
type SharedRabbit struct {
	mu   sync.Mutex
	node *rabbitnode.Node
	dir  string
	err  error
}

// Node is the shared node.
func (s *SharedRabbit) Node(t testing.TB) *Rabbit {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.node == nil && s.err == nil {
		s.node, s.dir, s.err = startRabbit()
	}
	if s.err != nil {
		noRabbit(t, s.err)
	}
	return &Rabbit{s.node}
}

// Close ends the node, if one was started.
func (s *SharedRabbit) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.node != nil {
		s.node.Close()
		_ = os.RemoveAll(s.dir)
		s.node = nil
	}
}

// QueueName is a name for a queue that no other test uses.
func QueueName(t testing.TB) string {
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, t.Name())
	return fmt.Sprintf("%.100s_%d", name, time.Now().UnixNano())
}

// Ctl runs rabbitmqctl on the node; the test fails when it does.
func (r *Rabbit) Ctl(t testing.TB, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	out, err := r.Node.Ctl(ctx, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
