package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"maidian-check/internal/load"
	"maidian-check/internal/traffic"
	"maidian-check/internal/verdict"
	"maidian-check/internal/watch"
)

type report = verdict.Report

// settings are all flags.
type settings struct {
	ledger   string
	projects projects
	amqp     string
	queue    string

	plan       traffic.Plan
	options    load.Options
	collectors string
	sizes      string

	store  string
	query  string
	report string
	quiet  time.Duration
	limit  time.Duration
	since  string

	admin    watch.Admin
	watched  string
	watch    watch.Plan
	rate     float64
	listen   string
	arrivals string
	manner   string
	files    string
	skew     time.Duration
	breaks   int
	within   time.Duration
	grace    time.Duration
}

// projects are given as name=write key,read key.
type projects struct {
	names       []string
	write, read map[string]string
}

func (p *projects) String() string { return strings.Join(p.names, " ") }

func (p *projects) Set(text string) error {
	name, keys, ok := strings.Cut(text, "=")
	write, read, both := strings.Cut(keys, ",")
	if !ok || !both {
		return fmt.Errorf("a project is name=write key,read key, got %q", text)
	}
	if p.write == nil {
		p.write, p.read = map[string]string{}, map[string]string{}
	}
	p.names = append(p.names, name)
	p.write[name], p.read[name] = write, read
	return nil
}

func (s *settings) common(f *flag.FlagSet) {
	f.StringVar(&s.ledger, "ledger", "ledger.jsonl", "`file` of all attempts; sending begins a new one")
	f.Var(&s.projects, "project", "a project and its keys, `name=wk_…,rk_…`; may be given several times")
	f.StringVar(&s.amqp, "amqp", "", "`addresses` of RabbitMQ, of all nodes of a cluster separated by commas, to put poison on the queue and to see it empty")
	f.StringVar(&s.queue, "queue", "analytics_events", "`name` of the queue")
}

func (s *settings) loading(f *flag.FlagSet) {
	o := &s.options
	f.StringVar(&s.collectors, "collector", "http://127.0.0.1:8080", "`addresses` of collectors, separated by commas")
	f.Uint64Var(&s.plan.Seed, "seed", uint64(time.Now().UnixNano()%1_000_000), "the same `number` sends the same events")
	f.IntVar(&s.plan.Users, "users", 500, "`number` of made-up people in each project")
	f.IntVar(&s.plan.Days, "days", 7, "`number` of days over which the events are spread")
	f.Float64Var(&s.plan.Invalid, "invalid", 0.01, "`share` of events that must be refused")
	f.Float64Var(&s.plan.Pills, "pills", 0, "`share` of events of the type "+traffic.PillType+", for builds that choke on it")
	f.Float64Var(&o.Rate, "rate", 0, "`events` a second; 0: as fast as it goes")
	f.IntVar(&o.Concurrency, "concurrency", 16, "`requests` at a time")
	f.DurationVar(&o.Duration, "duration", 10*time.Second, "how long new events are sent")
	f.IntVar(&o.Events, "events", 0, "`number` of events after which nothing new is sent; 0: only the time ends it")
	f.StringVar(&s.sizes, "batch", "1,5,20,100", "`sizes` of batches, each as likely")
	f.Float64Var(&o.Resend, "resend", 0.05, "`share` of batches that are sent 2 to 6 times at once")
	f.Float64Var(&o.Repeat, "repeat", 0.02, "`share` of events that were in an earlier batch already")
	f.Float64Var(&o.Abandon, "abandon", 0.01, "`share` of requests whose answer nobody waits for")
	f.Float64Var(&o.GiveUp, "give-up", 0.05, "`share` of batches that are not tried again when there is no answer, or a 5xx")
	f.Float64Var(&o.Skew, "skew", 0.2, "`share` of batches from devices whose clocks are wrong, by up to ten years")
	f.Float64Var(&o.Poison, "poison", 0, "`share` of batches beside which an unreadable message is put on the queue; needs -amqp")
	f.DurationVar(&o.Patience, "patience", time.Minute, "how long batches without an answer are tried again after the end")
	f.DurationVar(&o.Timeout, "timeout", 15*time.Second, "of one request")
	f.DurationVar(&o.MaxWait, "most-wait", time.Second, "longest that a Retry-After is obeyed")
}

func (s *settings) judging(f *flag.FlagSet) {
	f.StringVar(&s.store, "store", "", "`address` of the store: sqlite:<file> or mongodb://<host>/<database>")
	f.StringVar(&s.query, "query", "", "`address` of the query service, such as http://127.0.0.1:8081; without it reports are not compared")
	f.StringVar(&s.report, "report", "", "`file` for the findings as JSON")
	f.DurationVar(&s.quiet, "quiet", 10*time.Second, "how long nothing must change before the store is read")
	f.DurationVar(&s.limit, "quiet-within", 5*time.Minute, "when to give up waiting for that")
	f.StringVar(&s.watched, "watch", "", "`file` that define wrote: what came of the stored events is judged as well; needs -query, -admin-key, -arrivals and -files")
	f.StringVar(&s.admin.Key, "admin-key", "", "`key` of an administrator")
	f.StringVar(&s.arrivals, "arrivals", "", "`file` that receive writes")
	f.StringVar(&s.files, "files", "", "`folder` that the consumer's FORWARD_FILES names")
	f.DurationVar(&s.skew, "skew-of-servers", 0, "how far the clocks of the system's processes may differ")
	f.IntVar(&s.breaks, "interruptions", -1, "`number` of times that those who forward were interrupted and went on by themselves: they may have begun anew so often besides when another took their place; below 0: any")
	f.DurationVar(&s.within, "follow-within", 3*time.Minute, "how long what follows the stored events may take until it is complete")
	f.StringVar(&s.since, "resumed-after", "", "RFC 3339 `time` after which the first 200 and the first stored event are looked for")
}

func (s *settings) defining(f *flag.FlagSet) {
	w := &s.watch
	f.StringVar(&s.query, "query", "http://127.0.0.1:8081", "`address` of the query service")
	f.StringVar(&s.admin.Key, "admin-key", "", "`key` of an administrator")
	f.StringVar(&w.Receiver, "receiver", "", "`address` that the consumer reaches receive at, such as http://127.0.0.1:9000; its OUTGOING_ variables must allow it")
	f.StringVar(&s.watched, "watch", "watch.json", "`file` for what was made")
	f.Float64Var(&s.rate, "rate", 1000, "`events` a second that are to come: it decides how many are many")
	f.Float64Var(&w.Large, "large", 900, "`amount` from which on purchases are told")
	f.IntVar(&s.plan.Days, "days", 7, "`number` of days over which the events are spread")
	f.DurationVar(&s.grace, "grace", 10*time.Second, "how late events may come and still count in a window")
}

func (s *settings) receiving(f *flag.FlagSet) {
	f.StringVar(&s.watched, "watch", "watch.json", "`file` that define wrote")
	f.StringVar(&s.listen, "listen", "127.0.0.1:9000", "`address` to listen on")
	f.StringVar(&s.arrivals, "arrivals", "arrivals.jsonl", "`file` for what arrives; it is added to")
	f.StringVar(&s.manner, "manner", "", "`file` with a word that says how badly to answer: 500, 429, hang, cut, break or any")
}

// loadOptions are the flags as the load wants them.
func (s *settings) loadOptions() (load.Options, error) {
	o := s.options
	o.Collectors, o.AMQP, o.Queue = strings.Split(s.collectors, ","), s.amqp, s.queue
	o.WriteKeys = s.projects.write
	for size := range strings.SplitSeq(s.sizes, ",") {
		n, err := strconv.Atoi(size)
		if err != nil || n < 1 || n > 1000 {
			return o, fmt.Errorf("-batch is a list of 1 to 1000, got %q", s.sizes)
		}
		o.Sizes = append(o.Sizes, n)
	}
	switch {
	case len(s.projects.names) == 0:
		return o, errors.New("-project is needed at least once, such as -project demo=wk_demo,rk_demo")
	case o.Poison > 0 && s.amqp == "":
		return o, errors.New("-poison needs -amqp")
	case o.Concurrency < 1 || s.plan.Users < 1 || s.plan.Days < 1:
		return o, errors.New("-concurrency, -users and -days must be 1 or more")
	}
	if _, err := os.Stat(s.ledger); err == nil {
		return o, fmt.Errorf("the ledger %s is there already: every load has its own", s.ledger)
	}
	return o, nil
}
