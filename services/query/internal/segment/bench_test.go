package segment

import (
	"os"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

// seededSet is the days on which figures are taken: of 200,000 events, or of as many as SEGMENT_EVENTS says.
var seededSet = sync.OnceValue(func() []*whole {
	events := 200_000
	if n, err := strconv.Atoi(os.Getenv("SEGMENT_EVENTS")); err == nil {
		events = n
	}
	return seededDays(events, events/50, (events+111_110)/111_111)
})

// TestSixColumnsTakeFewBytes holds what an event takes in the store against the mark.
func TestSixColumnsTakeFewBytes(t *testing.T) {
	total, rows := make(map[string]int), 0
	days := seededSet()
	start := cpuTime()
	for _, w := range days {
		rows += w.base.Day.Rows
		for name, sealed := range w.seal(t) {
			total[name] += len(sealed)
		}
	}
	t.Logf("%d events, sealed at %v of processor time each", rows, (cpuTime()-start)/time.Duration(rows))
	for _, name := range sorted(total) {
		t.Logf("%-9s %6.3f bytes an event", name, float64(total[name])/float64(rows))
	}
	six := total[BaseName] + total[SessionsName] + total["column:c0"] + total["column:c1"]
	t.Logf("user, type, time, session, page, platform: %.3f", float64(six)/float64(rows))
	if 100*six > 633*rows {
		t.Errorf("six columns take %.3f bytes an event, want at most 6.33", float64(six)/float64(rows))
	}
}

// cpuTime is the processor time that the process has used, which other work on the machine changes less than the clock's.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkDecode reads each part of each day in turn.
func BenchmarkDecode(b *testing.B) {
	days, rows := []map[string][]byte(nil), 0
	for _, w := range seededSet() {
		days, rows = append(days, w.seal(b)), rows+w.base.Day.Rows
	}
	b.Run(BaseName, func(b *testing.B) {
		decode(b, days, rows, BaseName, func(p *Part, _ *Base) error { _, err := p.Base(); return err })
	})
	b.Run("arrange", func(b *testing.B) {
		decode(b, days, rows, BaseName, func(_ *Part, base *Base) error {
			users := make([]uint32, base.Identities.Len())
			for i := range users { // scattered
				users[i] = uint32(i) * 0x9e3779b1
			}
			base.Arrange(users)
			return nil
		})
	})
	b.Run(SessionsName, func(b *testing.B) {
		decode(b, days, rows, SessionsName, func(p *Part, base *Base) error { _, err := p.Sessions(base); return err })
	})
	for _, c := range []struct{ name, is string }{{"c0", "page"}, {"c1", "platform"}, {"c2", "country"}, {"c3", "amount"}} {
		b.Run(c.is, func(b *testing.B) {
			decode(b, days, rows, ColumnName(c.name), func(p *Part, base *Base) error { _, err := p.Column(base); return err })
		})
	}
	b.Run(RefsName, func(b *testing.B) {
		var batches [][]Batch
		for _, w := range seededSet() {
			batches = append(batches, w.batches)
		}
		day := 0
		decode(b, days, rows, RefsName, func(p *Part, base *Base) error {
			_, err := p.Refs(base, batches[day%len(batches)])
			day++
			return err
		})
	})
}

func decode(b *testing.B, days []map[string][]byte, rows int, name string, read func(*Part, *Base) error) {
	bases := make([]*Base, len(days))
	for i, parts := range days {
		p, err := Open(parts[BaseName])
		if err == nil {
			bases[i], err = p.Base()
		}
		if err != nil {
			b.Fatal(err)
		}
		bases[i].byIdentity()
	}
	b.ReportAllocs()
	start := cpuTime()
	for b.Loop() {
		for i, parts := range days {
			p, err := Open(parts[name])
			if err == nil {
				err = read(p, bases[i])
			}
			if err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(cpuTime()-start)/float64(b.N)/float64(rows), "cpu-ns/event")
}
