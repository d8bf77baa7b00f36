//go:build unix

package rabbitnode

import (
	"fmt"
	"os/exec"
	"sync"
)

// epmd is Erlang's name server for our nodes alone; without one of ours,
// Erlang would start one that outlives us. It ends with the last of its nodes.
type epmd struct {
	port int

	mu      sync.Mutex
	process *process
	nodes   map[*Node]bool
}

// start has it serve the node.
func (e *epmd) start(n *Node) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.nodes == nil {
		e.nodes = map[*Node]bool{}
	}
	e.nodes[n] = true
	if e.process.alive() {
		return nil
	}
	path, err := exec.LookPath("epmd")
	if err != nil {
		return fmt.Errorf("RabbitMQ needs Erlang's epmd: %w", err)
	}
	cmd := exec.Command(path)
	cmd.Env = n.env()
	if e.process, err = startProcess(cmd); err != nil {
		return fmt.Errorf("start epmd: %w", err)
	}
	return nil
}

// release tells it that the node is closed.
func (e *epmd) release(n *Node) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if delete(e.nodes, n); len(e.nodes) == 0 {
		e.process.kill()
	}
}
