package faults

import (
	"math/rand/v2"
	"time"
)

// mixes are faults drawn by chance, one after the other.
var mixes = []fault{
	{
		name: "random mix", injected: "a fault of brokers, processes or the store drawn by chance every 20 to 30 s, for " + spans("FAULT_MIX", shortMix), load: []string{"-duration", "12h"},
		mix: []string{
			"broker restart", "broker kill -9", "broker restart over a backlog", "memory alarm", "disk alarm",
			"channels closed by the server", "connections closed by the server", "exchange deleted", "binding deleted", "wrong credentials",
			"broker frozen, then killed", "consumer kill -9", "collector SIGTERM under load", "collector kill -9",
			"store away, SQLite", "store slow, SQLite", "reply lost, SQLite", "store errors, SQLite",
		},
	},
	{
		name: "random mix, MongoDB", injected: "a fault of brokers, processes or MongoDB drawn by chance every 20 to 30 s, for " + spans("FAULT_MIX", shortMix) + ", two minutes at the most on FerretDB", on: onMongo,
		load: []string{"-duration", "12h", "-rate", "20", "-batch", "1,5,20"},
		mix: []string{
			"broker restart", "broker kill -9", "memory alarm", "wrong credentials", "consumer kill -9, MongoDB",
			"store down", "store slow", "reply lost after commit",
			"MongoDB error 10107", "MongoDB error 189", "MongoDB error 91", "MongoDB error 11600", "MongoDB error 64",
		},
	},
}

// mixed hurts the system with one fault after the other. The seed alone decides
// which, and when.
func (s *system) mixed(c *checker, names []string, seed int) {
	s.t.Helper()
	long := s.lasting("FAULT_MIX", shortMix)
	if s.ferret != nil { // which bears a few thousand events
		long = min(long, 2*time.Minute)
	}
	s.first = false // so that faults that take their time are short
	random := rand.New(rand.NewPCG(uint64(seed), 0))
	for end := time.Now().Add(long); time.Now().Before(end); {
		f := faultNamed(s.t, names[random.IntN(len(names))])
		next := 20*time.Second + time.Duration(random.Int64N(int64(10*time.Second)))
		s.t.Logf("seed %d, %s: %s", seed, time.Now().UTC().Format(time.TimeOnly), f.name)
		s.meanwhile(next, func() {
			f.do(s, c)
			c.until("200", 10)
		})
	}
}
