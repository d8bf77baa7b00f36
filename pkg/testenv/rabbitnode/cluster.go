//go:build unix

package rabbitnode

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"

	"go.uber.org/zap"
)

// StartCluster starts nodes that form a cluster, each with its data in a folder
// of its own under dir.
func StartCluster(dir string, size int, log *zap.Logger) ([]*Node, error) {
	name := func(i int) string { return fmt.Sprintf("maidian%d@localhost", i) }
	member := func(i int) *Node {
		return &Node{
			name: name(i), dir: filepath.Join(dir, name(i)), epmd: &epmd{}, log: log,
			settings: "cluster_formation.peer_discovery_backend = classic_config\ncluster_formation.classic_config.nodes.1 = " + name(0) + "\n",
		}
	}
	founder, err := start(member(0))
	if err != nil {
		return nil, err
	}
	nodes, errs := make([]*Node, size), make([]error, size)
	nodes[0] = founder
	var joining sync.WaitGroup
	for i := 1; i < size; i++ {
		joining.Go(func() {
			n := member(i)
			n.epmd, n.cookie = founder.epmd, founder.cookie
			nodes[i], errs[i] = start(n)
		})
	}
	joining.Wait()
	if err := errors.Join(errs...); err != nil {
		for _, n := range nodes {
			if n != nil {
				n.Close()
			}
		}
		return nil, err
	}
	return nodes, nil
}
