package faults

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// What a system promises of itself while it is hurt. Goals are for the table
// only: the machine that runs the tests is not what they are about.
const (
	firstRefusal  = 3 * time.Second        // the publish deadline
	laterRefusals = 250 * time.Millisecond // once the trouble is known
	acceptsWithin = 3 * time.Second        // of the end of the trouble
	storesWithin  = 2 * time.Second        // likewise
)

// Once all is over a process has no more of these than before, but for
// connections to the store and idle ones of clients.
const (
	moreGoroutines = 20
	moreFiles      = 40
)

// behaviour is how a system bore a fault, beside what became of its events.
type behaviour struct {
	refusals
	accepting, storing int64 // ms until it worked again
	redelivered        [2]int
	growth             []growth
}

// refusals are the answers 503, timed by the load's client.
type refusals struct {
	count  int
	first  int64   // ms, the slowest of the requests made before the first refusal came
	later  []int64 // ms, of those made after it and before the fault was over
	unsaid int     // without Retry-After
}

// growth is what one process took before the fault, at its end, and when all was over.
type growth struct {
	name  string
	taken [3]sample
}

// observer watches a system while it is hurt.
type observer struct {
	c     *checker
	begun time.Time
	ended time.Time
	b     behaviour
}

// observe begins just before a fault.
func (s *system) observe(c *checker) *observer {
	s.t.Helper()
	o := &observer{c: c, begun: time.Now()}
	for _, p := range s.processes() {
		o.b.growth = append(o.b.growth, growth{name: p.name})
	}
	o.take(0)
	return o
}

func (s *system) processes() []*process {
	all := slices.Compact([]*process{s.collector, s.consumer, s.query})
	if s.following != nil {
		all = append(all, s.following.processes...)
	}
	return all
}

// take is a sample of each process, whichever has its place by now.
func (o *observer) take(moment int) {
	t := o.c.t
	t.Helper()
	for i, p := range o.c.s.processes() {
		w := p.watch(p.name)
		eventually(t, p.name+" to tell its metrics", func() bool { return answers(w.metrics) == 200 })
		o.b.growth[i].taken[moment] = w.take(t, time.Since(o.begun))
	}
}

// healed ends the fault.
func (o *observer) healed() time.Time {
	o.c.t.Helper()
	o.ended = time.Now()
	o.take(1)
	return o.ended
}

// over is what was seen, once nothing moves any more.
func (o *observer) over(r *report) behaviour {
	t := o.c.t
	t.Helper()
	o.take(2)
	b := &o.b
	b.accepting, b.storing = r.Resumed.Accepting, r.Resumed.Storing
	ledger, err := os.Open(o.c.ledger)
	if err != nil {
		t.Fatal(err)
	}
	defer ledger.Close()
	b.refusals = readRefusals(bufio.NewReaderSize(ledger, 1<<20), o.begun.UnixMilli(), o.ended.UnixMilli())
	consumer := b.growth[slices.Index(o.c.s.processes(), o.c.s.consumer)].taken
	const redelivered = "maidian_bus_redelivered_messages_total"
	before := consumer[0].said[redelivered]
	for i, later := range consumer[1:] {
		n := later.said[redelivered]
		if n >= before { // else the process is another one
			n -= before
		}
		b.redelivered[i] = int(n)
	}
	return *b
}

// readRefusals takes from a ledger the 503s that came after the beginning of a fault.
func readRefusals(ledger *bufio.Reader, begun, ended int64) (r refusals) {
	type answer struct{ asked, took, at int64 }
	var answered []answer
	asked := map[int]int64{} // time of each try that has no end yet
	for {
		text, err := ledger.ReadBytes('\n')
		if err != nil {
			break
		}
		var line struct {
			Try  struct{ ID, At int64 }
			Done struct {
				Try, Status, Wait int
				At, Took          int64
			}
		}
		if !bytes.HasPrefix(text, []byte(`{"try"`)) && !bytes.HasPrefix(text, []byte(`{"done"`)) || json.Unmarshal(text, &line) != nil {
			continue
		}
		if line.Try.ID != 0 {
			asked[int(line.Try.ID)] = line.Try.At
			continue
		}
		if line.Done.Status == 503 && line.Done.At >= begun {
			answered = append(answered, answer{asked[line.Done.Try], line.Done.Took, line.Done.At})
			if line.Done.Wait == 0 {
				r.unsaid++
			}
		}
		delete(asked, line.Done.Try)
	}
	if r.count = len(answered); r.count == 0 {
		return r
	}
	known := slices.MinFunc(answered, func(a, b answer) int { return int(a.at - b.at) }).at
	for _, a := range answered {
		switch {
		case a.asked <= known:
			r.first = max(r.first, a.took)
		case a.asked <= ended:
			r.later = append(r.later, a.took)
		}
	}
	slices.Sort(r.later)
	return r
}

// expect is what must be so on any machine.
func (b *behaviour) expect(t *testing.T) {
	t.Helper()
	if b.unsaid > 0 {
		t.Errorf("%d of %d answers 503 are without Retry-After", b.unsaid, b.count)
	}
	for _, g := range b.growth {
		before, after := g.taken[0], g.taken[2]
		if strings.HasPrefix(g.name, "following") {
			continue // the work goes to the other one, and back
		}
		if after.goroutines > before.goroutines+moreGoroutines {
			t.Errorf("%s had %.0f goroutines before and has %.0f after all is over", g.name, before.goroutines, after.goroutines)
		}
		if after.fds > before.fds+moreFiles {
			t.Errorf("%s had %.0f open files before and has %.0f after all is over", g.name, before.fds, after.fds)
		}
	}
}

// bearing is one fault's line in the second table: of several runs the worst.
type bearing struct {
	fault string
	runs  []behaviour
}

func (w *bearing) String() string {
	count, unsaid := 0, 0
	var first, accepting, storing int64
	var later []int64
	var redelivered [2]int
	for _, b := range w.runs {
		count, unsaid = count+b.count, unsaid+b.unsaid
		first, accepting, storing = max(first, b.first), max(accepting, b.accepting), max(storing, b.storing)
		later = append(later, b.later...)
		for i, n := range b.redelivered {
			redelivered[i] = max(redelivered[i], n)
		}
	}
	slices.Sort(later)
	refused := []string{"–", "–", "–"}
	if count > 0 {
		refused = []string{held(first, firstRefusal, 10*time.Millisecond), "–", fmt.Sprint(unsaid)}
	}
	if n := len(later); n > 0 {
		refused[1] = held(later[n-1-n/100], laterRefusals, time.Millisecond) + " / " + held(later[n-1], laterRefusals, time.Millisecond)
	}
	return fmt.Sprintf("| %s | %d | %s | %s | %s | %d / %d | %s | %s | %s |", w.fault, count, strings.Join(refused, " | "),
		held(accepting, acceptsWithin, 100*time.Millisecond), held(storing, storesWithin, 100*time.Millisecond), redelivered[0], redelivered[1],
		w.grew(1, func(s sample) float64 { return s.goroutines }), w.grew(1, func(s sample) float64 { return s.fds }),
		w.grew(1<<20, func(s sample) float64 { return s.heap }))
}

// held shows a time, bold when it is beyond the goal by as much as is shown.
func held(ms int64, goal, precision time.Duration) string {
	took := (time.Duration(ms) * time.Millisecond).Round(precision)
	if took > goal {
		return "**" + took.String() + "**"
	}
	return took.String()
}

// grew is for each process what it took, in the run in which it grew most.
func (w *bearing) grew(unit float64, of func(sample) float64) string {
	more := func(b behaviour, i int) float64 { return of(b.growth[i].taken[2]) - of(b.growth[i].taken[0]) }
	var cells []string
	for i, g := range w.runs[0].growth {
		worst := slices.MaxFunc(w.runs, func(a, b behaviour) int { return int(more(a, i) - more(b, i)) }).growth[i].taken
		cells = append(cells, fmt.Sprintf("%s %.0f → %.0f → %.0f", g.name, of(worst[0])/unit, of(worst[1])/unit, of(worst[2])/unit))
	}
	return strings.Join(cells, ", ")
}

func TestRefusalsAreTakenFromTheLedger(t *testing.T) {
	ledger := strings.Join([]string{
		`{"try":{"id":1,"batch":1,"at":100}}`,
		`{"done":{"try":1,"at":110,"took":9,"status":503,"wait":1}}`, // before the fault
		`{"try":{"id":2,"batch":1,"at":990}}`,
		`{"try":{"id":3,"batch":2,"at":1000}}`,
		`{"done":{"try":3,"at":4000,"took":2990,"status":503,"wait":1}}`,
		`{"try":{"id":4,"batch":2,"at":4010}}`,
		`{"done":{"try":2,"at":4015,"took":3020,"status":503,"wait":1}}`, // asked before anybody knew
		`{"done":{"try":4,"at":4020,"took":7,"status":503}}`,
		`{"try":{"id":5,"batch":2,"at":4030}}`,
		`{"done":{"try":5,"at":4031,"took":1,"status":200,"accepted":5}}`,
		`{"try":{"id":6,"batch":2,"at":5001}}`,
		`{"done":{"try":6,"at":5900,"took":890,"status":503,"wait":1}}`, // after the fault was over
		`{"done":{"try":`,
	}, "\n")
	r := readRefusals(bufio.NewReader(strings.NewReader(ledger)), 950, 5000)
	if r.count != 4 || r.first != 3020 || !slices.Equal(r.later, []int64{7}) || r.unsaid != 1 {
		t.Errorf("got %+v, want 4 refusals, the first within 3020 ms, a later one within 7 ms, 1 without Retry-After", r)
	}
}
