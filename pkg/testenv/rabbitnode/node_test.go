//go:build unix

package rabbitnode_test

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/maidian/maidian/pkg/testenv"
	"github.com/maidian/maidian/pkg/testenv/rabbitnode"
	"go.uber.org/zap"
)

func TestANodeLivesAndDiesAsItIsTold(t *testing.T) {
	n := testenv.StartRabbit(t)
	addr := n.Addr()
	n.Ctl(t, "add_vhost", "kept")
	n.Kill()
	if c, err := net.DialTimeout("tcp", addr, time.Second); err == nil {
		_ = c.Close()
		t.Error("a killed node still listens")
	}
	if err := n.Start(); err != nil {
		t.Fatal(err)
	}
	if n.Addr() != addr {
		t.Errorf("after a restart the address is %s, want %s", n.Addr(), addr)
	}
	n.Ctl(t, "delete_vhost", "kept") // fails unless the data is the same
}

func TestNodesFormACluster(t *testing.T) {
	nodes := testenv.StartRabbitCluster(t, 3)
	nodes[2].Ctl(t, "add_vhost", "shared")
	nodes[0].Kill()
	nodes[1].Ctl(t, "delete_vhost", "shared") // fails unless the two others know the same
	if err := nodes[0].Start(); err != nil {
		t.Fatal(err)
	}
	if listed := nodes[0].Ctl(t, "list_vhosts"); strings.Contains(listed, "shared") {
		t.Errorf("the node that was away lists %q, which was deleted meanwhile", listed)
	}
}

func TestADirectoryInUseIsRefused(t *testing.T) {
	testenv.StartRabbit(t).Close() // skips where RabbitMQ is missing
	dir := t.TempDir()
	n, err := rabbitnode.Start(dir, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	second, err := rabbitnode.Start(dir, zap.NewNop())
	if err == nil {
		second.Close()
		t.Fatal("a second node started on the directory of the first")
	}
	t.Log(err)
}
