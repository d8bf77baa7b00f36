package faults

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/maidian/maidian/scripts/faults/halves"
	"github.com/maidian/maidian/scripts/faults/wireproxy"
)

// storeFaults are what a store, its disk and its network can do.
var storeFaults = []fault{
	{
		name: "store down", injected: "the store is killed for " + spans("FAULT_DOWN", shortDown) + ", then started again", on: onMongo,
		load: []string{"-rate", "30", "-batch", "1,5,20"},
		do: func(s *system, c *checker) {
			before := s.redelivered()
			s.storeDown()
			s.meanwhile(s.lasting("FAULT_DOWN", shortDown), func() { c.until("200", 30) }) // the collector goes on
			s.noRedeliveries(before)
			s.storeUp()
		},
	},
	{
		name: "store slow", injected: "every command of the store takes 2 s longer, 30 times", on: onMongo, load: steady,
		do: func(s *system, _ *checker) {
			s.wired(30, func(int) wireproxy.Deed { return wireproxy.Deed{Delay: 2 * time.Second} })
		},
	},
	{
		name: "reply lost after commit", injected: "every second write is carried out and its connection closed instead of an answer, 16 times", on: onMongo, load: steady, quick: true,
		do: func(s *system, _ *checker) {
			s.wired(16, func(n int) (d wireproxy.Deed) {
				if n%2 == 0 {
					d.Do = wireproxy.Lose
				}
				return d
			})
		},
	},
	mongoError(10107, "not the primary any more"),
	mongoError(189, "the primary steps down"),
	mongoError(91, "the server shuts down"),
	mongoError(11600, "interrupted by a shutdown"),
	{
		name: "MongoDB error 64", injected: "every second write is carried out and answered with a failed write concern, 16 times", on: onMongo, load: steady,
		do: func(s *system, _ *checker) {
			s.wired(16, func(n int) (d wireproxy.Deed) {
				if n%2 == 0 {
					d = wireproxy.Deed{Do: wireproxy.Doubt, Code: 64}
				}
				return d
			})
		},
	},
	{
		name: "document too large", injected: "the store refuses every insert with one of the chosen events in it as too large (10334); one event in a hundred is one",
		on: refusingPills, load: append([]string{"-pills", "0.01"}, steady...),
		do: func(_ *system, c *checker) { c.until("200", 50) },
		expect: func(t *testing.T, r *report) {
			if r.DeadLettered < 5 {
				t.Errorf("%d dead letters: that is no hundredth of the events", r.DeadLettered)
			}
		},
	},
	{
		name: "store's disk full", injected: "the store's disk of 160 MB is filled up, and emptied again", on: onSmallDisk,
		do: func(s *system, c *checker) {
			ballast := s.fillDisk()
			s.consumerIs("not ready")
			c.until("200", 50)
			if err := os.Remove(ballast); err != nil {
				s.t.Fatal(err)
			}
			s.consumerIs("ready")
		},
	},
	{
		name: "store's quota reached", injected: "the store may grow to 4,000 pages (max_page_count) and then not; the consumer is started again without the limit",
		load:    []string{"-rate", "6000"},
		patches: []patch{{"pkg/store/sqlite/sqlite.go", `"secure_delete(ON)"}`, `"secure_delete(ON)", "max_page_count(0" + os.Getenv("STORE_PAGES") + ")"}`}},
		do: func(s *system, c *checker) {
			s.consumer.kill()
			s.consumer.start("STORE_PAGES=4000")
			s.consumerIs("ready")
			s.consumerIs("not ready")
			c.until("200", 50)
			s.consumer.kill()
			s.again(s.consumer)
		},
	},
}

// embeddedFaults are what the store can do under a full load, on SQLite.
var embeddedFaults = []fault{
	{
		name: "store away, SQLite", injected: "the store refuses everything for " + spans("FAULT_DOWN", shortDown),
		do: func(s *system, c *checker) {
			before := s.redelivered()
			heal := s.hurtStore(halves.Away)
			s.meanwhile(s.lasting("FAULT_DOWN", shortDown), func() {
				s.consumerIs("not ready")
				c.until("200", 50)
			})
			s.noRedeliveries(before)
			heal()
			s.consumerIs("ready")
		},
	},
	storeWounded("store slow, SQLite", "every operation of the store takes 2 s longer, 10 times", halves.Slow, 10),
	storeWounded("reply lost, SQLite", "every second operation of the store is carried out and answered as if the store were away, 30 times", halves.Lost, 30),
	storeWounded("store errors, SQLite", "every second operation of the store is refused, 30 times", halves.Errors, 30),
}

// storeWounded has operations of the store hurt, so many times.
func storeWounded(name, injected, how string, times int64) fault {
	return fault{name: name, injected: injected, do: func(s *system, _ *checker) {
		want := s.wounds() + times
		defer s.hurtStore(how)()
		eventually(s.t, "operations of the store that are hurt", func() bool { return s.wounds() >= want })
	}}
}

// hurtStore hurts what the consumer does on SQLite until heal is called.
func (s *system) hurtStore(how string) (heal func()) {
	s.t.Helper()
	path := s.besideStore(halves.Hurt)
	if err := os.WriteFile(path, []byte(how), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return func() {
		if err := os.Remove(path); err != nil {
			s.t.Fatal(err)
		}
	}
}

func (s *system) wounds() int64 {
	info, err := os.Stat(s.besideStore(halves.Wounded))
	if err != nil {
		return 0 // none so far
	}
	return info.Size()
}

// besideStore is a path in the directory of the SQLite store.
func (s *system) besideStore(name string) string {
	return filepath.Join(filepath.Dir(strings.TrimPrefix(s.store, "sqlite:")), name)
}

// steady is a load that FerretDB bears until the fault is over.
var steady = []string{"-rate", "50", "-batch", "1,5,20"}

// mongoError has writes answered with an error: one in four before the server
// did anything, one in four after it has done it all.
func mongoError(code int32, meaning string) fault {
	return fault{
		name: "MongoDB error " + strconv.Itoa(int(code)), injected: "half of the writes are answered with it (" + meaning + "), refused or carried out all the same, 16 times",
		on: onMongo, load: steady, quick: code == 10107,
		do: func(s *system, _ *checker) {
			s.wired(16, func(n int) (d wireproxy.Deed) {
				switch n % 4 {
				case 0:
					d = wireproxy.Deed{Do: wireproxy.Refuse, Code: code}
				case 2:
					d = wireproxy.Deed{Do: wireproxy.Deny, Code: code}
				}
				return d
			})
		},
	}
}

// wired has something done to the writes of the consumer, counted from 0, and
// waits until that has happened so many times.
func (s *system) wired(times int, deed func(n int) wireproxy.Deed) {
	s.t.Helper()
	var writes, done atomic.Int64
	s.wire.Set(func(c wireproxy.Command) (d wireproxy.Deed) {
		if c.Name != "insert" && c.Name != "update" || done.Load() >= int64(times) {
			return d
		}
		if d = deed(int(writes.Add(1) - 1)); d != (wireproxy.Deed{}) {
			done.Add(1)
		}
		return d
	})
	within(s.t, 5*time.Minute, "the writes that are hurt", func() bool { return done.Load() >= int64(times) })
	s.wire.Set(nil)
}

// refusingPills is a server for which some documents are too large, from the beginning.
func refusingPills(t testing.TB, patches []patch, env []string) *system {
	t.Helper()
	s := onMongo(t, patches, env)
	s.wire.Set(func(c wireproxy.Command) (d wireproxy.Deed) {
		if c.Name == "insert" && c.Collection == "events" && bytes.Contains(c.Text, []byte("poison_pill")) {
			d = wireproxy.Deed{Do: wireproxy.Refuse, Code: 10334}
		}
		return d
	})
	return s
}

// storeDown kills a server of ours, and cuts the way to one that is not.
func (s *system) storeDown() {
	if s.ferret != nil {
		s.ferret.Kill()
		return
	}
	s.wire.Set(func(wireproxy.Command) wireproxy.Deed { return wireproxy.Deed{Do: wireproxy.Cut} })
}

func (s *system) storeUp() {
	if s.ferret != nil {
		s.ferret.Start()
	}
	s.wire.Set(nil)
}

// noRedeliveries: while the store is away the consumer holds what it has,
// instead of having the broker deliver it again and again.
func (s *system) noRedeliveries(before float64) {
	s.t.Helper()
	if more := s.redelivered() - before; more != 0 {
		s.t.Errorf("while the store was away %v messages were delivered again", more)
	}
}

// redelivered is how many messages the consumer has been given again.
func (s *system) redelivered() float64 {
	s.t.Helper()
	return s.metric(s.consumer, "maidian_bus_redelivered_messages_total")
}

// metric is the value that a process gives of one of its metrics.
func (s *system) metric(p *process, name string) float64 {
	s.t.Helper()
	n, ok := p.watch(p.name).take(s.t, 0).said[name]
	if !ok {
		s.t.Fatalf("%s has no metric %s", p.name, name)
	}
	return n
}

// consumerIs waits until the consumer says that it is ready, or not.
func (s *system) consumerIs(state string) {
	s.t.Helper()
	eventually(s.t, "the consumer to be "+state, func() bool {
		status := answers(s.consumer.health)
		return status != 0 && (status == 200) == (state == "ready")
	})
}

// onSmallDisk keeps the store on a disk of its own, which takes the right to mount one.
func onSmallDisk(t testing.TB, patches []patch, env []string) *system {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=160m"); err != nil {
		t.Skipf("skipped: a small disk cannot be mounted (%v); the quota stands for it", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return onSQLiteIn(t, dir, patches, env)
}

// fillDisk leaves nothing free on the store's disk, and returns the file that took it.
func (s *system) fillDisk() string {
	s.t.Helper()
	path := s.besideStore("ballast")
	f, err := os.Create(path)
	if err != nil {
		s.t.Fatal(err)
	}
	defer f.Close()
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		s.t.Fatalf("fill the disk: %v", err)
	}
	return path
}
