package faults

import "github.com/maidian/maidian/pkg/testenv"

// clusterFaults are what happens to a cluster of three nodes.
var clusterFaults = []fault{
	{
		name: "none, three nodes", injected: "nothing, on a cluster of three nodes", on: onCluster,
		do: func(*system, *checker) {},
	},
	{
		name: "quorum leader killed", injected: "of three nodes the one that leads the queue is killed and started again, twice", on: onCluster,
		do: func(s *system, c *checker) { s.withoutLeader(c, (*testenv.Rabbit).Kill) },
	},
	{
		name: "quorum leader stopped in order", injected: "of three nodes the one that leads the queue is stopped in order and started again, twice", on: onCluster,
		do: func(s *system, c *checker) { s.withoutLeader(c, (*testenv.Rabbit).Stop) },
	},
	{
		name: "majority lost and returned", injected: "of three nodes two are killed, the leader among them, and started again", on: onCluster,
		do: func(s *system, c *checker) {
			lost := []*testenv.Rabbit{s.leader()}
			for _, n := range s.nodes {
				if len(lost) < 2 && n != lost[0] {
					lost = append(lost, n)
				}
			}
			for _, n := range lost {
				n.Kill()
			}
			c.until("503", 10)
			accepted := c.answered("200")
			c.until("503", 20)
			if more := c.answered("200") - accepted; more > 0 {
				s.t.Errorf("%d requests were answered with 200 while the majority was lost", more)
			}
			for _, n := range lost {
				s.startNode(n)
			}
		},
	},
}

// withoutLeader takes away, twice, the node that leads the queue: the two others go on.
func (s *system) withoutLeader(c *checker, end func(*testenv.Rabbit)) {
	s.t.Helper()
	for range 2 {
		leader := s.leader()
		end(leader)
		c.until("200", 50)
		s.startNode(leader)
		c.until("200", 50)
	}
}

// leader is the node that leads the queue.
func (s *system) leader() *testenv.Rabbit {
	s.t.Helper()
	var listed []struct{ Name, Leader string }
	s.json(s.ctl("list_queues", "name", "leader", "--formatter", "json"), &listed)
	for _, q := range listed {
		for _, n := range s.nodes {
			if q.Name == queue && q.Leader == n.Name() {
				return n
			}
		}
	}
	s.t.Fatalf("no node of ours leads the queue: %+v", listed)
	return nil
}
