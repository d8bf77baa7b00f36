// Package importer sends a file's rows to a collector as events: each row an
// event, whose id is the row's own or made from the row, so that sending the
// same file again changes nothing.
package importer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/maidian/maidian/services/allinone/internal/send"
)

// Options say what is imported, how its columns are meant, and where it goes.
type Options struct {
	File      string // "-" is standard input
	Format    string // csv or ndjson; empty: what it looks like
	Delimiter string // of CSV; empty: what the first line has most of
	Columns   Columns

	Collector string // address, such as http://127.0.0.1:8080
	Key       string // write key
	Accounts  Accounts

	Batch    int           // events in a request
	InFlight int           // requests at the same time
	Patience time.Duration // how long a request that fails is tried again
	Progress io.Writer
}

// Report is what became of the rows.
type Report struct {
	Rows     int
	Accepted int // by the collector: they are in the queue or further
	Rejected int
	First    []Rejection    // the first rejected rows, by line
	Reasons  map[string]int // all rejected rows by what was wrong
	From, To time.Time      // the first and last time in the file; zero when it has none
	Took     time.Duration

	Settled Settled // what the consumers made of the accepted ones
}

// Rejection is one row that is no event, and why.
type Rejection struct {
	Line   int
	Reason string
}

// mostShown is how many rejected rows are named.
const mostShown = 10

// mostBytes is the JSON of a batch, unpacked: well under the collector's limit of 4 MiB.
const mostBytes = 2 << 20

// Import sends the file and waits until the events it accepted have been
// stored, as far as the accounts tell. With an error the report says how far it came.
func Import(ctx context.Context, o Options) (Report, error) {
	job, err := newJob(o)
	if err != nil {
		return Report{}, err
	}
	defer job.source.file.Close()
	before, known := job.before(ctx)
	start := time.Now()
	err = job.run(ctx)
	report := job.finish()
	report.Took = time.Since(start)
	if err == nil && known == nil {
		report.Settled, known = job.settle(ctx, before, report.Accepted)
	}
	report.Settled.Unknown = known
	return report, err
}

// job is one import on its way.
type job struct {
	Options
	source  *source
	rows    rows
	mapping *mapping
	sender  *send.Sender

	read atomic.Int64 // rows

	mu      sync.Mutex
	report  Report
	trouble string // why the collector does not take events now
}

// batch is a request's events, each with the line it comes from.
type batch struct {
	events [][]byte
	lines  []int
	bytes  int
}

func newJob(o Options) (*job, error) {
	if o.Batch < 1 || o.Batch > 1000 {
		return nil, fmt.Errorf("-batch must be 1 to 1000, got %d", o.Batch)
	}
	if o.InFlight < 1 {
		return nil, fmt.Errorf("-in-flight must be 1 or more, got %d", o.InFlight)
	}
	mapping, err := newMapping(o.Columns)
	if err != nil {
		return nil, err
	}
	source, err := open(o.File)
	if err != nil {
		return nil, err
	}
	format, err := source.format(o.Format)
	if err != nil {
		return nil, errors.Join(err, source.file.Close())
	}
	rows, err := newRows(source, format, o.Delimiter)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", o.File, err), source.file.Close())
	}
	j := &job{Options: o, source: source, rows: rows, mapping: mapping, report: Report{Reasons: map[string]int{}}}
	j.sender = send.New(o.Collector, o.Key, o.InFlight, o.Patience, j.pausing)
	return j, nil
}

// run reads rows into batches and sends several of them at a time. The first
// one that cannot be sent ends it.
func (j *job) run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer j.showProgress(ctx)()
	batches := make(chan *batch)
	var senders sync.WaitGroup
	for range j.InFlight {
		senders.Go(func() {
			for b := range batches {
				if err := j.deliver(ctx, b); err != nil {
					cancel(err)
				}
			}
		})
	}
	err := j.readAll(ctx, batches)
	close(batches)
	senders.Wait()
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return err
}

func (j *job) readAll(ctx context.Context, batches chan<- *batch) error {
	b := &batch{}
	flush := func() error {
		if len(b.events) == 0 {
			return nil
		}
		select {
		case batches <- b:
			b = &batch{}
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for {
		row, err := j.rows.next()
		if errors.Is(err, io.EOF) {
			return flush()
		}
		if err != nil {
			return errors.Join(fmt.Errorf("read %s: %w", j.File, err), flush())
		}
		j.read.Add(1)
		j.add(b, row)
		if len(b.events) >= j.Batch || b.bytes >= mostBytes {
			if err := flush(); err != nil {
				return err
			}
		}
	}
}

func (j *job) add(b *batch, r row) {
	var e []byte
	if r.err == nil {
		e, r.err = j.mapping.event(nil, r)
	}
	if r.err != nil {
		j.reject(r.line, r.err.Error())
		return
	}
	b.events, b.lines, b.bytes = append(b.events, e), append(b.lines, r.line), b.bytes+len(e)
}

func (j *job) deliver(ctx context.Context, b *batch) error {
	a, err := j.sender.Send(ctx, b.events)
	if err != nil {
		return err
	}
	if a.Accepted+a.Rejected != len(b.events) {
		return fmt.Errorf("the collector answered for %d of %d events", a.Accepted+a.Rejected, len(b.events))
	}
	j.mu.Lock()
	j.report.Accepted += a.Accepted
	j.trouble = ""
	j.mu.Unlock()
	j.rejected(b, a.Errors)
	return nil
}

// rejected notes each rejected event once, with the first thing that is wrong with it.
func (j *job) rejected(b *batch, problems []send.Problem) {
	last := -1
	for _, p := range problems {
		if p.Index == last || p.Index < 0 || p.Index >= len(b.lines) {
			continue
		}
		last = p.Index
		j.reject(b.lines[p.Index], strings.TrimSpace(p.Field+" "+p.Message))
	}
}

func (j *job) reject(line int, reason string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.report.Rejected++
	j.report.Reasons[reason]++
	j.report.First = insertSorted(j.report.First, Rejection{line, reason})
}

// insertSorted keeps the first rejections by line, in whatever order they come.
func insertSorted(first []Rejection, r Rejection) []Rejection {
	at := len(first)
	for at > 0 && first[at-1].Line > r.Line {
		at--
	}
	first = append(first[:at], append([]Rejection{r}, first[at:]...)...)
	return first[:min(len(first), mostShown)]
}

func (j *job) pausing(why string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.trouble = why
}

func (j *job) finish() Report {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.report.Rows = int(j.read.Load())
	if j.mapping.last > 0 {
		j.report.From, j.report.To = time.UnixMilli(j.mapping.first).UTC(), time.UnixMilli(j.mapping.last).UTC()
	}
	return j.report
}
