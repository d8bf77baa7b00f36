package faults

import (
	"slices"
	"syscall"
	"time"
)

// followingFaults are what can happen to those who follow what is stored, and to those they tell.
var followingFaults = []fault{
	{
		name: "none, followed", injected: "nothing, with rules, a channel and destinations in every project", on: onFollowing, load: gentle,
		do: func(s *system, _ *checker) { s.following.until(5) },
	},
	{
		name: "follower kill -9", injected: "of two processes that follow the one that tells and forwards is killed, each twice, and started again when the other does so", on: onFollowing, load: gentle,
		do: func(s *system, _ *checker) {
			for range 2 {
				for _, p := range s.following.processes {
					s.following.without(p, p.kill, func() { s.again(p) })
				}
			}
		},
	},
	{
		name: "followers killed while nothing is taken", injected: "the receiver answers 500, all who follow are killed, and started again", quick: true, on: onFollowing, load: gentle, patches: []patch{quickLease},
		do: func(s *system, c *checker) {
			f := s.following
			heal := f.answering("500")
			f.refused(6)
			f.restart(nil)
			c.until("200", 10)
			heal()
		},
	},
	{
		name: "follower frozen past its lease", injected: "the process that tells and forwards is stopped (SIGSTOP) until the other does so, and goes on, each of two twice", on: onFollowing, load: gentle,
		do: func(s *system, _ *checker) {
			for range 2 {
				for _, p := range s.following.processes {
					s.following.without(p, func() { s.freeze(p) }, func() { p.signal(syscall.SIGCONT) })
				}
			}
		},
	},
	{
		name: "followers fight for the lease", injected: "leases last 2 s, and two processes that follow are stopped for 3 s by turns, 8 times", on: onFollowing, load: gentle,
		patches: []patch{leasesOf("2 * time.Second")},
		do: func(s *system, _ *checker) {
			f := s.following
			for i := range 8 {
				p := f.processes[i%2]
				s.freeze(p)
				s.meanwhile(3*time.Second, func() {})
				p.signal(syscall.SIGCONT)
			}
			f.uneasy = true
			f.until(3)
		},
	},
	followerCrash("once a state is kept"),
	followerCrash("between firings"),
	followerCrash("before a firing is spread"),
	followerCrash("before a notice is settled"),
	followerCrash("once a batch is sent"),
	followerCrash("once a file is written"),
	{
		name: "receiver away", injected: "whom all is sent to is killed for 15 s", on: onFollowing, load: gentle,
		do: func(s *system, _ *checker) {
			s.following.receiver.kill()
			s.meanwhile(15*time.Second, func() {})
			s.following.receiver.start()
			s.following.until(3)
		},
	},
	receiverAnswers("500", "answers 500"),
	receiverAnswers("429", "answers 429 with Retry-After"),
	receiverAnswers("hang", "answers nothing; the sender has 3 s of patience"),
	receiverAnswers("cut", "takes what comes and closes the connection without an answer"),
	receiverAnswers("break", "resets the connection in the middle of its answer"),
	receiverAnswers("any", "answers each request in one of these ways, or well"),
	{
		name: "followers, store away", injected: "the store refuses everything, to those who store and to those who follow, for " + spans("FAULT_DOWN", shortDown), on: onFollowing, load: gentle,
		do: func(s *system, c *checker) {
			s.following.uneasy = true
			heal := s.hurtStore("away")
			s.meanwhile(s.lasting("FAULT_DOWN", shortDown), func() { c.until("200", 10) })
			heal()
			s.following.until(3)
		},
	},
	followersStore("followers, store slow", "every operation of the store takes 2 s longer, 60 times", "slow", 60),
	followersStore("followers, reply lost", "every second operation of the store is carried out and answered as if the store were away, 300 times", "lost", 300),
	followersStore("followers, store errors", "every second operation of the store is refused, 300 times", "errors", 300),
	{
		name: "followers' clocks apart", injected: "the clocks of two processes that follow differ by 40 s and jump by up to 10 s every 3 s; each is killed once", on: onFollowing, load: gentle,
		patches: oddClocks, define: []string{"-grace", "50s"}, verify: []string{"-skew-of-servers", "31s"},
		env: []string{"CLOCK_JUMPS=10s"},
		do: func(s *system, _ *checker) {
			f := s.following
			f.uneasy = true
			for i, off := range []string{"CLOCK_OFF=20s", "CLOCK_OFF=-20s"} {
				p := f.processes[i]
				f.without(p, p.kill, func() { p.start(off); p.up() })
			}
			f.until(5)
		},
	},
	{
		name: "storing clock set back", injected: "the process that stores is killed and comes back with its clock 2 minutes behind", on: onFollowing, load: gentle,
		patches: storingClock, verify: []string{"-skew-of-servers", "121s"},
		do: func(s *system, c *checker) {
			c.until("200", 10)
			s.consumer.kill()
			s.consumer.start("CLOCK_OFF=-120s")
			s.consumer.up()
			c.until("200", 50)
			s.following.until(3)
		},
	},
	{
		name: "rolling restarts", injected: "each process is asked to end and started again, one after the other, twice", on: onFollowing, load: gentle,
		do: func(s *system, c *checker) {
			for range 2 {
				for _, p := range append(slices.Clone(s.following.processes), s.consumer, s.collector) {
					p.terminate()
					s.again(p)
					c.until("200", 5)
				}
				s.following.until(2)
			}
		},
	},
	{
		name: "consumer kill -9, followed, MongoDB", injected: "the consumer, which does all on MongoDB's adapter, is killed and started again, three times", on: onMongoFollowing,
		load: append([]string{"-days", "2"}, small...), define: small[:2],
		do: func(s *system, c *checker) {
			for range 3 {
				c.until("200", 10)
				s.consumer.kill()
				s.again(s.consumer)
				s.following.until(2)
			}
		},
	},
	{
		name: "random mix, followed", injected: "a fault of those who store, of those who follow or of the receiver drawn by chance every 20 to 30 s, for " + spans("FAULT_MIX", shortMix), on: onFollowing,
		load: append([]string{"-duration", "12h"}, gentle...),
		mix: []string{
			"broker kill -9", "consumer kill -9", "collector kill -9", "follower kill -9", "follower frozen past its lease", "receiver away", "receiver answers 500", "receiver answers hang",
			"receiver answers any", "store away, SQLite", "followers, reply lost", "followers, store errors", "rolling restarts",
		},
	},
}

// leasesOf makes leases last otherwise.
func leasesOf(long string) patch {
	return patch{leaseGo, "DefaultFor = 10 * time.Second", "DefaultFor = " + long}
}

// quickLease is for faults that are not about leases.
var quickLease = leasesOf("5 * time.Second")

// without has a process away until the other one tells and forwards in its place.
func (f *following) without(p *process, away, back func()) {
	f.t.Helper()
	away()
	f.until(2)
	back()
	f.until(1)
}

// freeze stops a process at a moment at which it does not keep the others out
// of the store: SQLite's lock would be the fault then.
func (s *system) freeze(p *process) {
	s.t.Helper()
	for {
		p.signal(syscall.SIGSTOP)
		before, goesOn := s.settled(), false
		for end := time.Now().Add(3 * time.Second); !goesOn && time.Now().Before(end); {
			goesOn = s.settled() > before
		}
		if goesOn {
			return
		}
		p.signal(syscall.SIGCONT)
	}
}

// followerCrash has one who follows kill itself at one point of its work, three times.
func followerCrash(point string) fault {
	return fault{
		name: "follower crash " + point, injected: "one who follows kills itself " + point + ", the third time that it comes by, three times", on: onFollowing, load: gentle,
		patches: append([]patch{quickLease}, followingSeams...),
		do: func(s *system, _ *checker) {
			f := s.following
			for range 3 {
				f.restart([]string{"CRASH_AT=" + point, "CRASH_AFTER=3"})
				f.processes[1].kill() // so that all comes by the first
				f.processes[0].wait()
				f.restart(nil)
				f.until(1)
			}
		},
	}
}

// followingSeams let one who follows kill itself where the environment says, see seams.
var followingSeams = []patch{
	{file: "services/consumer/internal/alert/crash_here.go", new: "package alert\n" + crashHere},
	{file: "services/consumer/internal/notify/crash_here.go", new: "package notify\n" + crashHere},
	{file: "services/consumer/internal/forward/crash_here.go", new: "package forward\n" + crashHere},
	{alertWorkGo, "	firings := w.firings\n	w.firings = nil\n", "	firings := w.firings\n	w.firings = nil\n	crashHere(\"once a state is kept\")\n"},
	{alertWorkGo, "err = w.store.CreateRecord(ctx, store.Record{Kind: rule.FiringKind,", "crashHere(\"between firings\")\n	err = w.store.CreateRecord(ctx, store.Record{Kind: rule.FiringKind,"},
	{notifyGo, "		case err == nil && silent:\n", "		case err == nil && !silent:\n			crashHere(\"before a firing is spread\")\n		case err == nil && silent:\n"},
	{tryGo, "	n.settle(ctx, taken, told, n.outcome(told, remark, err))\n", "	crashHere(\"before a notice is settled\")\n	n.settle(ctx, taken, told, n.outcome(told, remark, err))\n"},
	{webhookGo, "	_, err = request(w.client, r)\n", "	_, err = request(w.client, r)\n	crashHere(\"once a batch is sent\")\n"},
	{filesGo, "	return w.sync(folder)\n", "	crashHere(\"once a file is written\")\n	return w.sync(folder)\n"},
}

// oddClocks give those who follow a clock that is off by CLOCK_OFF and by another bit, up to
// CLOCK_JUMPS, every 3 seconds. Rules, notices and leases go by it.
var oddClocks = []patch{
	{file: "services/consumer/internal/alert/clock_here.go", new: "package alert\n" + clockHere},
	{file: "services/consumer/internal/notify/clock_here.go", new: "package notify\n" + clockHere},
	{file: "services/consumer/internal/lease/clock_here.go", new: "package lease\n" + clockHere},
	{alertGo, "now: time.Now,", "now: clockHere,"},
	{notifyGo, "now: time.Now,", "now: clockHere,"},
	{leaseGo, "now: time.Now}", "now: clockHere}"},
}

// storingClock gives the one who stores such a clock.
var storingClock = []patch{
	{file: "services/consumer/internal/deliver/clock_here.go", new: "package deliver\n" + clockHere},
	{deliverGo, "g.stamp(event.TimeOf(time.Now()))", "g.stamp(event.TimeOf(clockHere()))"},
	{deliverGo, "	now := event.TimeOf(time.Now())\n	for i := range batches {\n", "	now := event.TimeOf(clockHere())\n	for i := range batches {\n"},
}

const clockHere = `
import (
	"math/rand/v2"
	"os"
	"time"
)

func clockHere() time.Time {
	now := time.Now()
	off, _ := time.ParseDuration(os.Getenv("CLOCK_OFF"))
	if jumps, _ := time.ParseDuration(os.Getenv("CLOCK_JUMPS")); jumps > 0 {
		jump := rand.New(rand.NewPCG(uint64(now.Unix()/3), 0)).Int64N(2 * int64(jumps))
		off += time.Duration(jump) - jumps
	}
	return now.Add(off)
}
`

// restart kills all who follow and starts them again, the first of them with
// more in its environment, for this once.
func (f *following) restart(extra []string) {
	f.t.Helper()
	for _, p := range f.processes {
		p.kill()
	}
	for i, p := range f.processes {
		if i > 0 {
			extra = nil
		}
		p.start(extra...)
	}
	for _, p := range f.processes {
		p.up()
	}
}

// receiverAnswers has whom all is sent to answer badly.
func receiverAnswers(manner, injected string) fault {
	return fault{
		name: "receiver answers " + manner, injected: "whom all is sent to " + injected + ", for 12 requests", on: onFollowing, load: gentle,
		do: func(s *system, _ *checker) {
			heal := s.following.answering(manner)
			s.following.refused(12)
			heal()
			s.following.until(3)
		},
	}
}

// followersStore has operations of the store hurt, of those who store and of those who follow.
func followersStore(name, injected, how string, times int64) fault {
	f := storeWounded(name, injected, how, times)
	hurt := f.do
	f.on, f.load = onFollowing, gentle
	f.do = func(s *system, c *checker) {
		s.following.uneasy = true
		hurt(s, c)
		s.following.until(3)
	}
	return f
}
