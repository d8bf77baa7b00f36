// Package faults breaks every part of the pipeline under load, and has
// maidian-check say whether what was accepted is stored exactly once.
package faults

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/maidian/maidian/pkg/testenv"
)

// fault is one way to hurt a system. To add one is to add an entry.
type fault struct {
	name     string
	injected string // what is done, for the table
	quick    bool   // among the few that run with every test
	on       layout // nil: SQLite
	env      []string
	patches  []patch
	load     []string                      // flags of the load beside the usual ones
	define   []string                      // flags of what is watched, where something follows the events
	verify   []string                      // flags of the verdict beside the usual ones
	do       func(s *system, c *checker)   // hurts and heals; returns once it is healed
	mix      []string                      // in place of do: names of faults that are drawn by chance
	expect   func(t *testing.T, r *report) // what must be so beside the checker's rules
}

// faults are all there are, in the order of the table.
var faults = slices.Concat(pipelineFaults, lineFaults, clusterFaults, storeFaults, embeddedFaults, clientFaults, followingFaults, mixes)

// pipelineFaults are what brokers and processes can do.
var pipelineFaults = []fault{
	{
		name: "none", injected: "nothing: retries at once, repeated events, abandoned requests, wrong clocks, unreadable messages", quick: true,
		do: func(*system, *checker) {},
	},
	{
		name: "none, MongoDB", injected: "nothing, on MongoDB's adapter", on: onMongo, load: small,
		do: func(*system, *checker) {},
	},
	{
		name: "broker restart", injected: "RabbitMQ is stopped in order and started again",
		do: func(s *system, c *checker) {
			s.rabbit.Stop()
			c.until("503", 3)
			s.startBroker()
		},
	},
	{
		name: "broker kill -9", injected: "RabbitMQ is killed and started again", quick: true,
		do: func(s *system, c *checker) {
			s.rabbit.Kill()
			c.until("503", 3)
			s.startBroker()
		},
	},
	{
		name: "broker restart over a backlog", injected: "the consumer is killed, a backlog grows, RabbitMQ is stopped and started, then the consumer",
		do: func(s *system, c *checker) {
			s.consumer.kill()
			c.until("200", 100)
			s.rabbit.Stop()
			s.startBroker()
			s.again(s.consumer)
		},
	},
	{
		name: "memory alarm", injected: "RabbitMQ's memory limit is set below what it uses, then back",
		do: func(s *system, c *checker) {
			s.ctl("set_vm_memory_high_watermark", "0.00001")
			c.until("503", 5)
			s.ctl("set_vm_memory_high_watermark", "0.4")
		},
	},
	{
		name: "disk alarm", injected: "RabbitMQ's least free disk is set above what there is, then back",
		do: func(s *system, c *checker) {
			s.ctl("set_disk_free_limit", "1000000000000000")
			c.until("503", 5)
			s.ctl("set_disk_free_limit", "64MB")
		},
	},
	{
		name: "queue full", injected: "the queue takes 40 messages and the consumer is stopped, then started", env: []string{"ANALYTICS_QUEUE_MAX_MESSAGES=40"},
		do: func(s *system, c *checker) {
			s.consumer.kill()
			c.until("200|503", 150)
			s.again(s.consumer)
		},
		expect: func(t *testing.T, r *report) {
			if r.Requests["503"].Count == 0 {
				t.Error("a full queue refused nothing")
			}
		},
	},
	{
		name: "channels closed by the server", injected: "RabbitMQ shuts down all channels, five times",
		do: func(s *system, c *checker) {
			for range 5 {
				s.eval(`[exit(P, shutdown) || P <- rabbit_channel:list()].`)
				c.until("200", 20)
			}
		},
	},
	{
		name: "connections closed by the server", injected: "RabbitMQ closes all connections, five times",
		do: func(s *system, c *checker) {
			for range 5 {
				s.ctl("close_all_connections", "the test says so")
				c.until("200", 20)
			}
		},
	},
	{
		name: "exchange deleted", injected: "the exchange is deleted",
		do: func(s *system, c *checker) {
			s.eval(`rabbit_exchange:delete(rabbit_misc:r(<<"/">>, exchange, <<%q>>), false, <<"test">>).`, queue)
			c.until("200", 20)
		},
	},
	{
		name: "binding deleted", injected: "the queue's binding is deleted", quick: true,
		do: func(s *system, c *checker) {
			s.eval(`E = rabbit_misc:r(<<"/">>, exchange, <<%[1]q>>), [rabbit_binding:remove(B, <<"test">>) || B <- rabbit_binding:list_for_source(E)].`, queue)
			c.until("200", 50)
		},
	},
	{
		name: "queue deleted", injected: "the queue is deleted while it is empty",
		do: func(s *system, c *checker) {
			s.deleteQueue()
			c.until("200", 20)
		},
	},
	{
		name: "wrong credentials", injected: "the password is changed, all connections are closed, then it is changed back",
		do: func(s *system, c *checker) {
			s.ctl("change_password", "guest", "another")
			s.ctl("close_all_connections", "the test says so")
			c.until("503", 3)
			s.ctl("change_password", "guest", "guest")
		},
	},
	{
		name: "half-open connections, writes block", injected: "RabbitMQ is frozen with SIGSTOP for " + frozen() + " under requests so large that what is written to it fills all buffers, then goes on",
		load: large,
		do: func(s *system, c *checker) {
			s.eval(`[inet:setopts(P, [{recbuf, 16384}]) || P <- erlang:ports(), erlang:port_info(P, name) =:= {name, "tcp_inet"}].`) // soon full
			if err := s.rabbit.Pause(); err != nil {
				s.t.Fatal(err)
			}
			s.meanwhile(s.frozenFor(), func() {
				c.until("503", 3)
				s.writesBlocked(s.rabbit.Addr())
			})
			if err := s.rabbit.Resume(); err != nil {
				s.t.Fatal(err)
			}
		},
	},
	{
		name: "broker frozen, then killed", injected: "RabbitMQ is frozen with SIGSTOP, so that what is written to it is read by nobody, killed, and started again",
		do: func(s *system, c *checker) {
			if err := s.rabbit.Pause(); err != nil {
				s.t.Fatal(err)
			}
			c.until("503", 3)
			s.rabbit.Kill()
			s.startBroker()
		},
	},
	{
		name: "consumer kill -9", injected: "the consumer is killed at random and started again, five times", quick: true,
		do: func(s *system, c *checker) {
			for i := range 5 {
				c.until("200", 5+7*i)
				s.consumer.kill()
				c.until("200", 10)
				s.again(s.consumer)
			}
		},
	},
	crashAt("before insert"),
	crashAt("after insert"),
	crashAt("after journal"),
	crashAt("before ack"),
	crashAt("after ack"),
	{
		name: "events that nothing can store", injected: "one event in a hundred makes the consumer panic while it stores", load: []string{"-pills", "0.01"},
		patches: []patch{{
			"services/consumer/internal/deliver/insert.go", "	d.metrics.batch.Observe(float64(len(events)))\n",
			"	d.metrics.batch.Observe(float64(len(events)))\n	for i := range events {\n		if events[i].EventType == \"poison_pill\" {\n			panic(\"a pill\")\n		}\n	}\n",
		}},
		do: func(_ *system, c *checker) { c.until("200", 50) },
		expect: func(t *testing.T, r *report) {
			if r.DeadLettered < 10 {
				t.Errorf("%d dead letters: that is no hundredth of the events", r.DeadLettered)
			}
		},
	},
	{
		name: "collector SIGTERM under load", injected: "the collector is asked to end, three times, and started again",
		do: func(s *system, c *checker) {
			for range 3 {
				c.until("200", 30)
				s.collector.terminate()
				s.again(s.collector)
			}
		},
		expect: func(t *testing.T, r *report) {
			for kind := range r.Requests {
				switch kind {
				case "200", "400", "503", "abandoned", "refused":
				default:
					t.Errorf("a request ended with %q while the collector stopped in order", kind)
				}
			}
		},
	},
	{
		name: "collector kill -9", injected: "the collector is killed under load and started again, five times",
		do: func(s *system, c *checker) {
			for range 5 {
				c.until("200", 20)
				s.collector.kill()
				s.again(s.collector)
			}
		},
	},
	collectorCrashAt("after accept"),
	collectorCrashAt("after confirm"),
	{
		name: "panics in enrichment", injected: "one event in a hundred makes a step of the collector's enrichment panic",
		patches: []patch{{
			"services/collector/internal/enrich/channel.go", "(v *Visit, e *event.Event) {\n", "(v *Visit, e *event.Event) {\n	if n := len(e.EventID); n > 2 && e.EventID[n-2:] == \"17\" {\n		panic(\"a pill\")\n	}\n",
		}},
		do: func(s *system, c *checker) {
			c.until("200", 50)
			if s.metric(s.collector, "maidian_collector_enrichment_panics_total") == 0 {
				s.t.Error("nothing panicked")
			}
		},
		expect: func(t *testing.T, r *report) {
			if n := r.Requests["500"].Count; n > 0 {
				t.Errorf("%d requests were answered with 500", n)
			}
		},
	},
	{
		name: "consumer kill -9, MongoDB", injected: "the consumer on MongoDB's adapter is killed and started again, three times", on: onMongo, load: small,
		do: func(s *system, c *checker) {
			for range 3 {
				c.until("200", 15)
				s.consumer.kill()
				s.again(s.consumer)
			}
		},
	},
}

const queue = "analytics_events"

// small is a load that FerretDB bears.
var small = []string{"-rate", "150", "-batch", "1,5,20"}

// Faults that take their time take it in their first run, and are short in the others.
const (
	shortFreeze = 20 * time.Second
	shortDown   = 10 * time.Second
	shortMix    = time.Minute
)

// frozenFor is how long a broker that does not answer stays so: FAULT_FREEZE, 60s in full.
func (s *system) frozenFor() time.Duration { return s.lasting("FAULT_FREEZE", shortFreeze) }

func frozen() string { return spans("FAULT_FREEZE", shortFreeze) }

func (s *system) lasting(variable string, short time.Duration) time.Duration {
	if !s.first {
		return short
	}
	return duration(variable, short)
}

// spans says for the table how long a fault lasts.
func spans(variable string, short time.Duration) string {
	if first := duration(variable, short); first != short {
		return fmt.Sprintf("%s (%s after the first run)", first, short)
	}
	return short.String()
}

// meanwhile does something, and returns when that is done and the time is over.
func (s *system) meanwhile(long time.Duration, do func()) {
	timer := time.NewTimer(long)
	defer timer.Stop()
	do()
	<-timer.C
}

func duration(name string, or time.Duration) time.Duration {
	if d, err := time.ParseDuration(os.Getenv(name)); err == nil {
		return d
	}
	return or
}

// crashAt has the consumer kill itself at one point of a delivery, three times.
func crashAt(point string) fault {
	f := fault{
		name: "consumer crash " + point, injected: "the consumer kills itself " + point + " of the 15th group, three times", patches: seams,
		do: func(s *system, c *checker) { s.crashing(s.consumer, c, point) },
	}
	if point == "after insert" {
		f.quick, f.patches = true, append(slices.Clone(seams), stepByStep) // else there is no such point on SQLite
	}
	return f
}

// collectorCrashAt has the collector kill itself at one point of a request, three times.
func collectorCrashAt(point string) fault {
	return fault{
		name: "collector crash " + point, injected: "the collector kills itself " + point + " of the 15th request, three times", patches: seams,
		do: func(s *system, c *checker) { s.crashing(s.collector, c, point) },
	}
}

func (s *system) crashing(p *process, c *checker, point string) {
	s.t.Helper()
	for range 3 {
		p.kill()
		p.start("CRASH_AT="+point, "CRASH_AFTER=15")
		p.wait()
		s.again(p)
		c.until("200", 10)
	}
}

func (s *system) startBroker() {
	s.t.Helper()
	s.startNode(s.rabbit)
}

func (s *system) startNode(n *testenv.Rabbit) {
	s.t.Helper()
	if err := n.Start(); err != nil {
		s.t.Fatal(err)
	}
}

// deleteQueue waits for a moment in which the consumer has everything: what a
// person deletes with the queue nobody can keep.
func (s *system) deleteQueue() {
	s.t.Helper()
	s.collector.signal(syscall.SIGSTOP)
	defer s.collector.signal(syscall.SIGCONT)
	eventually(s.t, "an empty queue", func() bool {
		return s.ctl("list_queues", "name", "messages") != "" && s.messages() == 0
	})
	s.ctl("delete_queue", queue)
}

// messages are those in the queue, in consumers' hands too.
func (s *system) messages() int {
	s.t.Helper()
	var listed []struct {
		Name     string
		Messages int
	}
	s.json(s.ctl("list_queues", "name", "messages", "--formatter", "json"), &listed)
	for _, q := range listed {
		if q.Name == queue {
			return q.Messages
		}
	}
	return -1
}

// run hurts a system and returns the verdict.
func (f *fault) run(t testing.TB, seed int, patches ...patch) *report {
	t.Helper()
	on := f.on
	if on == nil {
		on = onSQLite
	}
	s := on(t, append(append([]patch{}, f.patches...), patches...), f.env)
	s.first, s.fault, s.hopeless = seed == firstSeed, f, len(patches) > 0
	c := s.loading(seed, f.load...)
	c.until("200", s.around())
	s.followed()
	o := s.observe(c)
	if f.mix != nil {
		s.mixed(c, f.mix, seed)
	} else {
		f.do(s, c)
	}
	healed := o.healed()
	c.until("200", s.around())
	s.followed()
	c.stop()
	r := c.judge(healed)
	r.behaviour = o.over(r)
	return r
}

// FAULTS=all runs every fault, FAULT_SEEDS of them times each, FAULT_PARALLEL
// faults side by side.
func TestFaults(t *testing.T) {
	all := os.Getenv("FAULTS") == "all"
	var table sync.Mutex
	for _, f := range slices.Backward(faults) { // the longest stand last in the list, and nobody shall wait for them alone
		if !f.quick && !all {
			continue
		}
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			row, bearing, sequel := row{fault: f.name, injected: f.injected}, bearing{fault: f.name}, sequel{fault: f.name}
			var written lines
			for seed := range seeds() {
				t.Run(fmt.Sprint("seed ", firstSeed+seed), func(t *testing.T) { // whose end is the system's
					r := f.run(t, firstSeed+seed)
					for _, broken := range r.Findings {
						t.Errorf("%s: %d, such as %q", broken.Rule, broken.Count, broken.Examples)
					}
					if f.expect != nil {
						f.expect(t, r)
					}
					r.behaviour.expect(t)
					row.add(r)
					bearing.runs = append(bearing.runs, r.behaviour)
					if r.Followed != nil {
						sequel.add(r)
						written[2] = sequel.String()
					}
				})
			}
			if len(bearing.runs) < seeds() {
				return // one gave up: no verdict, no row
			}
			table.Lock()
			defer table.Unlock()
			written[0], written[1] = row.String(), bearing.String()
			written.write(t, f.name)
		})
	}
}

// firstSeed is that of a fault's first run.
const firstSeed = 100

func seeds() int { return number("FAULT_SEEDS", 1) }

// around is how many requests are accepted before a fault, and again after it.
func (s *system) around() int {
	n := number("FAULT_REQUESTS", 30)
	if s.ferret != nil { // which bears a few thousand events
		n = min(n, 60)
	}
	return n
}

func number(variable string, missing int) int {
	if n, err := strconv.Atoi(os.Getenv(variable)); err == nil {
		return n
	}
	return missing
}
