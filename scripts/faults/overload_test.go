package faults

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/maidian/maidian/pkg/store"
	"github.com/maidian/maidian/scripts/faults/crowd"
	"github.com/maidian/maidian/scripts/faults/halves"
)

// TestOverload offers the collector three times what it can take, and wants
// it to go on taking nearly as much as at its best, and to refuse the rest.
//
// The system has one processor, for the collector, RabbitMQ, the consumer and
// the query service together; the senders have the others, so that what is
// sent takes nothing from who receives it.
func TestOverload(t *testing.T) {
	long, err := time.ParseDuration(os.Getenv("OVERLOAD"))
	if err != nil {
		t.Skip("skipped: OVERLOAD names no duration, such as 20s")
	}
	if runtime.NumCPU() < 2 {
		t.Skip("skipped: the system needs a processor of its own")
	}
	s := onSQLite(t, nil, []string{"GOMAXPROCS=1"})
	collector, storing := s.collector.watch("collector"), s.consumer.watch("consumer")
	for _, w := range []*watched{collector, storing, s.watchBroker()} {
		pin(t, w.pid, "0")
	}
	pin(t, os.Getpid(), others())
	text, sent, accepted := overloadHead, 0, 0
	for _, events := range []int{20, 100} { // a browser's batch, and a server's
		o := &overload{t: t, addr: strings.TrimPrefix(s.collector.url(), "http://"), long: long, events: events, collector: collector}
		o.template = newTemplate(o.addr, events, sent)
		o.run()
		o.judge()
		text += o.page()
		sent, accepted = o.template.from, accepted+o.accepted
		within(t, 10*time.Minute, "all that was accepted to be stored", func() bool { return stored(storing.take(t, 0)) >= float64(accepted) })
	}
	writeSection(t, "Overload", text+fmt.Sprintf("\nAll %d events that were accepted were stored.\n", accepted))
}

const overloadHead = "The collector, RabbitMQ, the consumer and the query service together have one processor (GOMAXPROCS=1), the senders the others. " +
	"Times count from when a request was due, those that waited for a connection too. Refused: 503 with Retry-After. Held back: due while no connection was free. " +
	"Processor time is the collector's own: of a request at the peak, and what is left for each that was refused under overload.\n"

// pin has a process run on these processors only.
func pin(t testing.TB, pid int, processors string) {
	t.Helper()
	if said, err := exec.Command("taskset", "-a", "-c", "-p", processors, strconv.Itoa(pid)).CombinedOutput(); err != nil {
		t.Fatalf("taskset: %v: %s", err, said)
	}
}

func others() string { return "1-" + strconv.Itoa(runtime.NumCPU()-1) }

// overload is one run, with requests of one size.
type overload struct {
	t         testing.TB
	addr      string
	long      time.Duration
	events    int // in a request
	collector *watched
	template  template
	rungs     []rung
	best      int // connections at which most was accepted
	calm      measured
	rounds    []round
	accepted  int // events
}

// measured is what was sent for a while.
type measured struct {
	*crowd.Result
	each      int     // events of a request
	processor float64 // seconds of it that the collector used
}

// events are those accepted, a second.
func (m measured) events() float64 { return m.PerSecond(http.StatusOK) * float64(m.each) }

// cost is how much of the collector's processor one request took, in seconds.
func (m measured) cost() float64 { return m.processor / float64(m.Status[http.StatusOK].Count) }

// rung is what so many connections got accepted that ask again at once.
type rung struct {
	connections int
	measured
}

// round is the peak before and after an overload, and the overload.
type round struct {
	before, over, after measured
	offered             float64
	samples             []sample // of the collector: before the overload, in its middle, at its end
}

func (r round) share() float64 { return r.over.events() / ((r.before.events() + r.after.events()) / 2) }

const (
	times       = 3    // of the peak that is offered
	mostClients = 4000 // connections of an overload
)

func (o *overload) run() {
	o.t.Helper()
	o.closed(64, o.long/4) // to get warm
	var best rung
	for _, connections := range []int{4, 8, 16, 32, 64, 128, 256} {
		r := rung{connections, o.closed(connections, o.long/4)}
		o.rungs = append(o.rungs, r)
		if best.Result == nil || r.events() > best.events() {
			best = r
		}
	}
	o.best = best.connections
	o.calm = o.open(best.events()/2, o.long/2)
	peak := o.closed(o.best, o.long/2)
	for range 3 {
		r := round{before: peak}
		o.exceed(&r)
		peak = o.closed(o.best, o.long/2)
		r.after = peak
		o.rounds = append(o.rounds, r)
	}
}

// exceed is one overload.
func (o *overload) exceed(r *round) {
	o.t.Helper()
	look := func() { r.samples = append(r.samples, o.collector.take(o.t, 0)) }
	r.offered = times * r.before.events()
	look()
	middle, end := time.After(o.long/2), time.After(o.long*9/10)
	sending := make(chan struct{})
	go func() {
		defer close(sending)
		r.over = o.open(r.offered, o.long)
	}()
	<-middle
	look()
	<-end
	look()
	<-sending
}

// closed is what becomes of clients' requests that wait for each answer.
func (o *overload) closed(connections int, long time.Duration) measured {
	return o.crowd(crowd.Options{Connections: connections, Duration: long})
}

// open offers so many events a second, whatever becomes of them.
func (o *overload) open(events float64, long time.Duration) measured {
	return o.crowd(crowd.Options{Rate: events / float64(o.events), Connections: mostClients, Duration: long})
}

func (o *overload) crowd(c crowd.Options) measured {
	c.Addr, c.Timeout, c.Request = o.addr, 15*time.Second, o.template.request
	used := processor(o.t, o.collector.pid)
	m := measured{crowd.Run(c), o.events, 0}
	m.processor = processor(o.t, o.collector.pid) - used
	if ok := m.Status[http.StatusOK]; ok != nil {
		o.accepted += ok.Count * o.events
	}
	for status, a := range m.Status {
		if status != http.StatusOK && status != http.StatusServiceUnavailable && status != http.StatusTooManyRequests {
			o.t.Errorf("%d answers with status %d", a.Count, status)
		}
	}
	if m.NoRetry > 0 {
		o.t.Errorf("%d refusals without Retry-After", m.NoRetry)
	}
	if m.Failed > 0 {
		o.t.Errorf("%d of %d requests were not answered, such as: %v", m.Failed, m.Sent, m.Why)
	}
	o.template.from += m.Sent
	return m
}

// template is a request of which only the events' ids change.
type template struct {
	text []byte
	ids  []int // where they stand
	from int   // requests that were sent before
}

const idDigits = "000000000000"

func newTemplate(host string, each, from int) template {
	var events []string
	for i := range each {
		events = append(events, fmt.Sprintf(`{"event_id":"overload-%s-%d","event_type":"page_view","user_id":"user-%d","anonymous_id":"0190a1b2-aaaa-7bbb-8ccc-%012d",`+
			`"session_id":"0190a1b2-dddd-7eee-8fff-%012d","timestamp":%d,"page_url":"https://shop.example/products/%d?utm_source=google&utm_medium=cpc&utm_campaign=spring",`+
			`"page_title":"Product %d — the shop","referrer":"https://www.google.com/","user_agent":"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36",`+
			`"screen_resolution":"1920x1080","viewport_size":"1280x720","load_time":0.42,"properties":{"plan":"pro","price":12.5,"tags":["a","b"],"position":%d}}`,
			idDigits, i, i, i, i, time.Now().UnixMilli(), i, i, i))
	}
	body := `{"events":[` + strings.Join(events, ",") + `]}`
	t := template{from: from, text: fmt.Appendf(nil, "POST /api/v1/analytics/track/batch HTTP/1.1\r\nHost: %s\r\nX-Api-Key: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		host, halves.Key(halves.Names()[0], store.WriteKey), len(body), body)}
	for at := 0; ; {
		next := strings.Index(string(t.text[at:]), "overload-"+idDigits)
		if next < 0 {
			return t
		}
		at += next + len("overload-")
		t.ids = append(t.ids, at)
	}
}

func (t *template) request(to []byte, n int) []byte {
	to = append(to, t.text...)
	id := fmt.Appendf(make([]byte, 0, len(idDigits)), "%0*d", len(idDigits), t.from+n)
	for _, at := range t.ids {
		copy(to[at:], id)
	}
	return to
}

// judge wants at least 80 % of the peak, and no growth without bound: bodies
// and waiting events may take 384 MB as the collector is configured.
func (o *overload) judge() {
	o.t.Helper()
	const least, bound = 0.8, 512 * mb
	var shares []float64
	for i, r := range o.rounds {
		shares = append(shares, r.share())
		if end := r.samples[2]; end.rss > bound || end.goroutines > 3*mostClients {
			o.t.Errorf("overload %d: the collector takes %.0f MB and %.0f goroutines at the end", i+1, end.rss/mb, end.goroutines)
		}
	}
	if share := median(shares); share < least {
		o.t.Errorf("under overload %.2f of the peak was accepted, want %.2f: %.2f; requests of %d events", share, least, shares, o.events)
	}
}

// refusal is how much of the collector's processor one refusal takes: what is
// left when those accepted took as much as at the peak.
func (r round) refusal() time.Duration {
	each := (r.before.cost() + r.after.cost()) / 2
	ok, no := r.over.Status[http.StatusOK], r.over.Status[http.StatusServiceUnavailable]
	if ok == nil || no == nil {
		return 0
	}
	return time.Duration((r.over.processor - float64(ok.Count)*each) / float64(no.Count) * float64(time.Second))
}

func (o *overload) page() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n### Requests of %d events (%d bytes)\n\n", o.events, len(o.template.text))
	b.WriteString("| connections that ask again at once |")
	for _, r := range o.rungs {
		fmt.Fprintf(&b, " %d |", r.connections)
	}
	b.WriteString("\n| --- |" + strings.Repeat(" ---: |", len(o.rungs)) + "\n| events/s accepted |")
	for _, r := range o.rungs {
		fmt.Fprintf(&b, " %.0f |", r.events())
	}
	ok := o.calm.Status[http.StatusOK]
	fmt.Fprintf(&b, "\n\nAt half of the best, offered whether answers come or not, %.1f ms / %.1f ms (p50 / p99) passed until a request was accepted.\n\n",
		ms(ok.Took(0.5)), ms(ok.Took(0.99)))
	fmt.Fprintf(&b, "At %d times the peak, offered likewise over up to %d connections, for %s each; peaks are at %d connections:\n\n", times, mostClients, o.long, o.best)
	b.WriteString("| peak before / after, events/s | offered | accepted | of the peak | accepted after p50 / p99 | refused | refused after p50 / p99 | processor time of one accepted / refused | held back | connections | " +
		"collector MB before / in the middle / at the end | goroutines |\n| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n")
	for _, r := range o.rounds {
		ok, no, at := r.over.Status[http.StatusOK], r.over.Status[http.StatusServiceUnavailable], r.samples
		fmt.Fprintf(&b, "| %.0f / %.0f | %.0f | %.0f | **%.2f** | %.0f / %.0f ms | %.0f/s | %.0f / %.0f ms | %.0f / %.0f µs | %d | %d | %.0f / %.0f / %.0f | %.0f / %.0f / %.0f |\n",
			r.before.events(), r.after.events(), r.offered, r.over.events(), r.share(), ms(ok.Took(0.5)), ms(ok.Took(0.99)),
			r.over.PerSecond(http.StatusServiceUnavailable), ms(no.Took(0.5)), ms(no.Took(0.99)), 1e6*(r.before.cost()+r.after.cost())/2, r.refusal().Seconds()*1e6, r.over.Held, r.over.Most,
			at[0].rss/mb, at[1].rss/mb, at[2].rss/mb, at[0].goroutines, at[1].goroutines, at[2].goroutines)
	}
	return b.String()
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
