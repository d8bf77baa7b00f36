package faults

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/maidian/maidian/pkg/store"
	"github.com/maidian/maidian/scripts/faults/halves"
)

// TestSoak runs the pipeline under a steady load for as long as SOAK says,
// such as 60m, asks it questions all along, and wants memory, goroutines and
// files to be flat and every accepted event to be stored once.
func TestSoak(t *testing.T) {
	long, err := time.ParseDuration(os.Getenv("SOAK"))
	if err != nil {
		t.Skip("skipped: SOAK names no duration, such as 10m")
	}
	s := onSQLite(t, nil, nil)
	k := &soak{
		s: s, long: long, rate: number("SOAK_RATE", 600),
		collecting: s.collector.watch("collector"), storing: s.consumer.watch("consumer and query"), broker: s.watchBroker(),
	}
	c := s.loading(number("SOAK_SEED", 1), "-duration", "24h", "-rate", fmt.Sprint(k.rate))
	k.watch()
	c.stop()
	r := c.verify(time.Time{})
	for _, f := range r.Findings {
		t.Errorf("%s: %d, such as %q", f.Rule, f.Count, f.Examples)
	}
	verdicts := append(k.verdicts(), k.besideAFreshOne())
	for _, v := range verdicts {
		if !v.flat() {
			t.Errorf("not flat: %s", v)
		}
	}
	s.collector.terminate()
	writeSection(t, "Soak", k.page(r, verdicts))
}

// soak is one long run.
type soak struct {
	s                           *system
	long                        time.Duration
	rate                        int
	collecting, storing, broker *watched
	asked                       int
}

func (k *soak) processes() []*watched { return []*watched{k.collecting, k.storing, k.broker} }

// watch takes samples and asks questions until the time is over.
func (k *soak) watch() {
	k.s.t.Helper()
	began := time.Now()
	sampling := time.NewTicker(min(10*time.Second, k.long/60))
	defer sampling.Stop()
	asking := time.NewTicker(5 * time.Second)
	defer asking.Stop()
	for time.Since(began) < k.long {
		select {
		case <-asking.C:
			k.ask()
		case <-sampling.C:
			for _, w := range k.processes() {
				w.take(k.s.t, time.Since(began))
			}
		}
	}
}

// questions are what a dashboard asks again and again.
var questions = []struct{ path, body string }{
	{"funnel", `{"steps":["page_view","product_view","purchase"],"days":8}`},
	{"retention", `{"start_event":"page_view","return_event":"purchase","period":"day","intervals":7}`},
	{"trends", `{"series":[{"event":"*","metric":"users"}],"interval":"day","breakdown":{"property":"browser"},"days":8}`},
	{"summary", `{"days":8}`},
	{"realtime", `{}`},
	{"events", `{"limit":50}`},
}

// ask asks the next question. One that is not answered is a failure of the run.
func (k *soak) ask() {
	k.s.t.Helper()
	q, names := questions[k.asked%len(questions)], halves.Names()
	req, err := http.NewRequest(http.MethodPost, k.s.query.url()+"/api/v1/analytics/"+q.path, strings.NewReader(q.body))
	if err != nil {
		k.s.t.Fatal(err)
	}
	req.Header.Set("X-Api-Key", halves.Key(names[k.asked/len(questions)%len(names)], store.ReadKey))
	req.Header.Set("Content-Type", "application/json")
	k.asked++
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		k.s.t.Fatal(err)
	}
	defer res.Body.Close()
	if text, err := io.ReadAll(res.Body); err != nil || res.StatusCode != http.StatusOK {
		k.s.t.Errorf("%s: %s, %v, %.300s", q.path, res.Status, err, text)
	}
}

// besideAFreshOne compares what the half that stores has in use after all the
// time with what a new process has that reads the same store and is asked the
// same: the query service holds events in memory, so its growth alone says nothing.
func (k *soak) besideAFreshOne() verdict {
	k.s.t.Helper()
	old := k.inUse()
	k.s.consumer.terminate()
	k.s.again(k.s.consumer)
	return verdict{process: k.storing.name, what: "MB live heap, in a fresh process and in this one", before: k.inUse(), after: old, slack: 8 * mb, unit: mb}
}

// inUse is the heap after every question was asked of every project, without garbage.
func (k *soak) inUse() float64 {
	k.s.t.Helper()
	for range len(questions) * len(halves.Names()) {
		k.ask()
	}
	w := k.s.consumer.watch(k.storing.name)
	for range 2 { // what was only pooled is gone after the second
		if status := answers(strings.TrimSuffix(w.metrics, "/metrics") + "/debug/pprof/heap?gc=1"); status != http.StatusOK {
			k.s.t.Fatalf("no heap profile: status %d", status)
		}
	}
	return w.take(k.s.t, 0).heap
}

// verdict compares medians: of the last third of the time with the middle one,
// the first being the time to get warm.
type verdict struct {
	process, what string
	before, after float64
	slack         float64 // of one kind, so that three files instead of two are no growth
	unit          float64 // in which they are shown
	slope         float64 // an hour
}

const mostGrowth = 1.1

func (v verdict) flat() bool { return v.after <= mostGrowth*v.before+v.slack }

func (v verdict) String() string {
	word := "flat"
	if !v.flat() {
		word = "**grows**"
	}
	slope := "–"
	if v.slope != 0 {
		slope = fmt.Sprintf("%+.1f", v.slope/v.unit)
	}
	return fmt.Sprintf("| %s | %s | %.1f | %.1f | %s | %s |", v.process, v.what, v.before/v.unit, v.after/v.unit, slope, word)
}

const mb = 1 << 20

// What is looked at in a sample.
func rss(s sample) float64        { return s.rss }
func heap(s sample) float64       { return s.heap }
func goroutines(s sample) float64 { return s.goroutines }
func fds(s sample) float64        { return s.fds }

func (k *soak) verdicts() (all []verdict) {
	add := func(w *watched, what string, of func(sample) float64, slack, unit float64) {
		all = append(all, verdict{
			w.name, what, median(w.between(1./3, 2./3, of)), median(w.between(2./3, 1, of)), slack, unit, w.slope(of),
		})
	}
	add(k.collecting, "MB resident", rss, 8*mb, mb)
	add(k.collecting, "MB live heap", heap, 8*mb, mb)
	add(k.collecting, "goroutines", goroutines, 5, 1)
	add(k.collecting, "files", fds, 5, 1)
	add(k.storing, "goroutines", goroutines, 5, 1)
	add(k.storing, "files", fds, 5, 1)
	add(k.broker, "files", fds, 5, 1)
	return all
}

// stored are the events that the consumer has stored.
func stored(s sample) float64 { return s.said[`maidian_consumer_events_total{outcome="stored"}`] }

// page is what the run found, for people.
func (k *soak) page(r *report, verdicts []verdict) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s at %d events/s from the checker's difficult clients, %d questions asked meanwhile. %d events were attempted, %d acknowledged, %d stored, "+
		"%d lost, %d duplicated; %d unreadable messages became dead letters; %d findings.\n\n",
		k.long, k.rate, k.asked, r.Attempted, r.Acknowledged, r.Stored, r.Lost, r.Duplicated, r.DeadLettered, len(r.Findings))
	k.table(&b)
	fmt.Fprintf(&b, "\nMedians of each twelfth of the time; MB are resident / live heap. The query service holds events and the columns that were asked for in memory by design: "+
		"over the last half %.0f bytes of live heap for each event stored. What it holds beside them would show in the last line below. "+
		"RabbitMQ writes its log away when that has grown to 512 MB.\n\n", k.grown(heap)/k.grown(stored))
	b.WriteString("Flat means: the median of the last third is at most 1.1 times that of the middle third and a few more (8 MB; 5 goroutines or files); " +
		"in the last line the process after the run and one that was started then.\n\n" +
		"| process | what | before | after | slope of the second half, an hour | |\n| --- | --- | ---: | ---: | ---: | --- |\n")
	for _, v := range verdicts {
		fmt.Fprintln(&b, v)
	}
	return b.String()
}

// grown is by how much the half that stores has grown over the second half of the time.
func (k *soak) grown(of func(sample) float64) float64 {
	all := k.storing.samples
	return of(all[len(all)-1]) - of(all[len(all)/2])
}

const windows = 12

func (k *soak) table(b *strings.Builder) {
	b.WriteString("| until | events stored | collector MB | goroutines | files | consumer and query MB | goroutines | files | RabbitMQ MB | files |\n" +
		"| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n")
	for i := range windows {
		from, to := float64(i)/windows, float64(i+1)/windows
		in := func(w *watched, of func(sample) float64) float64 { return median(w.between(from, to, of)) }
		c, s, r := k.collecting, k.storing, k.broker
		fmt.Fprintf(b, "| %s | %.0f | %.0f / %.1f | %.0f | %.0f | %.0f / %.1f | %.0f | %.0f | %.0f | %.0f |\n",
			(k.long * time.Duration(i+1) / windows).Round(time.Second), in(s, stored),
			in(c, rss)/mb, in(c, heap)/mb, in(c, goroutines), in(c, fds),
			in(s, rss)/mb, in(s, heap)/mb, in(s, goroutines), in(s, fds),
			in(r, rss)/mb, in(r, fds))
	}
}

func TestGrowthIsNotCalledFlat(t *testing.T) {
	for _, test := range []struct {
		v    verdict
		flat bool
	}{
		{verdict{before: 40, after: 44, slack: 5}, true},
		{verdict{before: 40, after: 49, slack: 5}, true},
		{verdict{before: 40, after: 50, slack: 5}, false},
		{verdict{before: 40, after: 20, slack: 5}, true},
	} {
		if test.v.flat() != test.flat {
			t.Errorf("%+v: flat %v, want %v", test.v, test.v.flat(), test.flat)
		}
	}
}
