package faults

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"
)

// clientFaults are what clients, upgrades and mere numbers can do.
var clientFaults = []fault{
	{
		name: "thirty consumer crashes", injected: "the consumer kills itself before the insert of its first group, thirty times in a row, then starts whole", patches: seams,
		do: func(s *system, c *checker) {
			s.consumer.kill()
			for range 30 {
				s.consumer.start("CRASH_AT=before insert", "CRASH_AFTER=1")
				s.consumer.wait()
			}
			s.again(s.consumer)
			c.until("200", 10)
		},
	},
	{
		name: "every batch several times", injected: "clients send every batch 2 to 6 times at once", load: []string{"-resend", "1"},
		do: func(_ *system, c *checker) { c.until("200", 300) },
	},
	{
		name: "wrong clocks", injected: "every device's clock is wrong, by up to ten years", load: []string{"-skew", "1"},
		do: func(_ *system, c *checker) { c.until("200", 200) },
	},
	{
		name: "rolling upgrade", injected: "an older and a newer collector write their versions of messages at once; the older consumer gives the newer ones back until a newer one takes its place",
		on: withNewerCollector(onSQLite, "scripts/faults/cmd/collecting"),
		do: func(s *system, c *checker) {
			c.until("200", 50)
			s.consumer.terminate()
			s.consumer.program = build(s.t, "scripts/faults/cmd/storing", newer...)
			s.again(s.consumer)
			c.until("200", 50)
		},
	},
	{
		name: "rolling upgrade, MongoDB", injected: "an older and a newer collector write at once, and an older and a newer consumer read, until the older ones end", load: steady,
		on: withNewerCollector(onMongo, "services/collector/cmd/collector"),
		do: func(s *system, c *checker) {
			consumer := s.process("services/consumer/cmd/consumer", "OPS_LISTEN", "/readyz", newer)
			s.again(consumer)
			c.until("200", 60)
			s.consumer.terminate()
			s.consumer = consumer
		},
	},
	{
		name: "backlog", injected: "the consumer is away until " + backlogs() + " events wait, then drains them while fresh ones come", load: []string{"-rate", "8000", "-duration", "1h"},
		do: func(s *system, c *checker) {
			s.consumer.kill()
			c.readOn()
			before := c.accepted
			within(s.t, time.Hour, "a backlog", func() bool { c.readOn(); return c.accepted >= before+s.backlog() })
			s.again(s.consumer)
			within(s.t, 20*time.Minute, "the backlog to be drained", func() bool { return s.settled() >= s.backlog() })
		},
	},
}

const shortBacklog = 20_000

// backlog is how many events wait: FAULT_BACKLOG, a million in full.
func (s *system) backlog() int {
	if !s.first {
		return shortBacklog
	}
	return number("FAULT_BACKLOG", shortBacklog)
}

// settled is how many events the consumer has dealt with since it was started.
func (s *system) settled() (n int) {
	s.t.Helper()
	for name, count := range s.consumer.watch(s.consumer.name).take(s.t, 0).said {
		if strings.HasPrefix(name, "maidian_consumer_events_total{") {
			n += int(count)
		}
	}
	return n
}

func backlogs() string {
	if first := number("FAULT_BACKLOG", shortBacklog); first != shortBacklog {
		return fmt.Sprintf("%d (%d after the first run)", first, shortBacklog)
	}
	return strconv.Itoa(shortBacklog)
}

// newer is a build of the next version: it writes messages of version 2 and reads 1 and 2.
var newer = []patch{{"pkg/event/wire.go", "const Version = 1\n", "const Version = 2\n"}}

// withNewerCollector is a layout with a second collector, of the next version.
func withNewerCollector(on layout, program string) layout {
	return func(t testing.TB, patches []patch, env []string) *system {
		t.Helper()
		s := on(t, patches, env)
		s.beside = s.process(program, "COLLECTOR_LISTEN", "/readyz", newer)
		s.again(s.beside)
		return s
	}
}
