package faults

import "regexp"

// lineFaults are what a network can do between the services and the broker.
var lineFaults = []fault{
	{
		name: "half-open connections, reads die", injected: "for " + frozen() + " nothing that RabbitMQ says arrives, and connections of that time stay dumb for good", on: onLines,
		do: func(s *system, c *checker) {
			for _, l := range s.lines {
				l.Mute()
			}
			s.meanwhile(s.frozenFor(), func() { c.until("503", 3) })
			for _, l := range s.lines {
				l.Heal()
			}
		},
	},
	{
		name: "deaf network, writes block", injected: "for " + frozen() + " nothing that the collector writes to RabbitMQ is taken, under requests so large that it fills all buffers", on: onLines, load: large,
		do: func(s *system, c *checker) {
			l := s.lines["collecting"]
			l.Deafen()
			s.meanwhile(s.frozenFor(), func() {
				c.until("503", 3)
				s.writesBlocked(l.Addr())
			})
			l.Heal()
		},
	},
	{
		name: "confirms lost", injected: "RabbitMQ stores, its confirms do not arrive, and then the connections end, five times", on: onLines,
		do: func(s *system, c *checker) {
			l := s.lines["collecting"]
			for range 5 {
				l.Mute()
				confirms := l.Swallowed() + 10*confirmSize
				eventually(s.t, "confirms that are lost", func() bool { return l.Swallowed() >= confirms })
				l.Cut()
				c.until("200", 20)
			}
		},
	},
}

// confirmSize is that of one confirm's frame; heartbeats beside it have 8 bytes, one in some seconds.
const confirmSize = 21

// large is a load whose requests fill the buffers of a connection that nobody reads.
var large = []string{"-rate", "20000", "-batch", "500", "-concurrency", "128"}

// writesBlocked waits until the collector has given up a connection to the
// address because what it writes there was not taken.
func (s *system) writesBlocked(address string) {
	s.t.Helper()
	defer func() { s.t.Log(s.collector.output.String()) }()
	gaveUp := regexp.MustCompile(`publish: write tcp \S+->` + regexp.QuoteMeta(address) + `: i/o timeout`)
	eventually(s.t, "writes that block", func() bool { return gaveUp.MatchString(s.collector.output.String()) })
}
