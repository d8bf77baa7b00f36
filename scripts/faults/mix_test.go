package faults

import (
	"math/rand/v2"
	"time"
)

// mix is faults drawn by chance, one after the other.
var mix = fault{
	name: "random mix", injected: "a fault drawn by chance every 20 to 30 s, for " + mixFor().String(), load: []string{"-duration", "12h"},
	mix: []string{
		"broker restart", "broker kill -9", "broker restart over a backlog", "memory alarm", "disk alarm",
		"channels closed by the server", "connections closed by the server", "exchange deleted", "binding deleted", "wrong credentials",
		"broker frozen, then killed", "consumer kill -9", "collector SIGTERM under load", "collector kill -9",
	},
}

// mixFor is how long faults are drawn: FAULT_MIX.
func mixFor() time.Duration { return duration("FAULT_MIX", 2*time.Minute) }

// mixed hurts the system with one fault after the other. The seed decides which.
func (s *system) mixed(c *checker, names []string, seed int) {
	s.t.Helper()
	random := rand.New(rand.NewPCG(uint64(seed), 0))
	for end := time.Now().Add(mixFor()); time.Now().Before(end); {
		next := time.NewTimer(20*time.Second + rand.N(10*time.Second))
		f := faultNamed(s.t, names[random.IntN(len(names))])
		s.t.Logf("%s: %s", time.Now().UTC().Format(time.TimeOnly), f.name)
		f.do(s, c)
		c.until("200", 10)
		<-next.C
	}
}
