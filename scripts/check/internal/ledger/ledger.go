// Package ledger writes down what is about to be sent before it is sent, and
// reads it back: the only witness that is believed against the store.
package ledger

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"maidian-check/internal/traffic"
)

// Line is one record: exactly one of its parts is there.
type Line struct {
	Plan  *traffic.Plan `json:"plan,omitempty"`
	Batch *Batch        `json:"batch,omitempty"`
	Try   *Try          `json:"try,omitempty"`
	Done  *Done         `json:"done,omitempty"`
}

// Batch is what is sent together: the events of a request, or a message that
// is put on the queue directly with parts that cannot be read.
type Batch struct {
	ID      int      `json:"id"`
	Project string   `json:"project"`
	Events  []Event  `json:"events"`
	Letters []string `json:"letters,omitempty"` // hashes of payloads that must become dead letters
}

// Event is what is known of an event before it is sent.
type Event struct {
	K    int          `json:"k"` // its number in the plan's project
	ID   string       `json:"id"`
	Hash string       `json:"hash"`
	Kind traffic.Kind `json:"kind"`
}

// Try is one attempt to send a batch, written before it is made.
type Try struct {
	ID     int   `json:"id"`
	Batch  int   `json:"batch"`
	At     int64 `json:"at"`                // epoch milliseconds
	SentAt int64 `json:"sent_at,omitempty"` // as told to the collector
}

// Done is what became of an attempt, as far as the sender could see.
type Done struct {
	Try      int    `json:"try"`
	At       int64  `json:"at"`
	Took     int64  `json:"took,omitempty"` // milliseconds from the request to its answer; At less the try's has the ledger's sync in it
	Status   int    `json:"status"`         // 0: no answer
	Accepted int    `json:"accepted,omitempty"`
	Rejected []int  `json:"rejected,omitempty"` // places in the batch
	Wait     int    `json:"wait,omitempty"`     // Retry-After, seconds
	Error    string `json:"error,omitempty"`    // when there is no answer
}

// Writer appends lines. Those of all callers that wait at the same time go to
// the disk with one sync.
type Writer struct {
	file *os.File
	in   chan entry
	done chan error
}

type entry struct {
	lines  []Line
	synced chan error // nil: nobody waits
}

// Create begins a ledger; one that is there already is not written over.
func Create(path string, plan *traffic.Plan) (*Writer, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("begin the ledger: %w", err)
	}
	w := &Writer{file: f, in: make(chan entry, 1024), done: make(chan error, 1)}
	go func() { w.done <- w.run() }()
	return w, w.Sync(Line{Plan: plan})
}

// Sync returns once the lines are on the disk.
func (w *Writer) Sync(lines ...Line) error {
	synced := make(chan error, 1)
	w.in <- entry{lines, synced}
	return <-synced
}

// Note writes lines that nobody waits for: what they say only weakens what
// the ledger demands when it is lost.
func (w *Writer) Note(lines ...Line) { w.in <- entry{lines, nil} }

// Close syncs the rest.
func (w *Writer) Close() error {
	close(w.in)
	return errors.Join(<-w.done, w.file.Close())
}

func (w *Writer) run() error {
	buffer := bufio.NewWriterSize(w.file, 1<<20)
	out := json.NewEncoder(buffer)
	var failed error
	for first := range w.in {
		group := []entry{first}
		for more := true; more; {
			select {
			case e, ok := <-w.in:
				if more = ok; ok {
					group = append(group, e)
				}
			default:
				more = false
			}
		}
		if failed == nil {
			failed = write(w.file, buffer, out, group)
		}
		for _, e := range group {
			if e.synced != nil {
				e.synced <- failed
			}
		}
	}
	return failed
}

func write(f *os.File, buffer *bufio.Writer, out *json.Encoder, group []entry) error {
	waited := false
	for _, e := range group {
		waited = waited || e.synced != nil
		for i := range e.lines {
			if err := out.Encode(&e.lines[i]); err != nil {
				return err
			}
		}
	}
	if err := buffer.Flush(); err != nil || !waited {
		return err
	}
	return f.Sync()
}

// Ledger is a ledger that was read.
type Ledger struct {
	Plan    traffic.Plan
	Batches []Batch
	Tries   [][]Attempt // of each batch, in the order of Batches
}

// Attempt is a try and what became of it; without an end when the sender was killed.
type Attempt struct {
	Try
	*Done
}

// Unknown says that the attempt may have had its effect, but nobody was told.
func (a *Attempt) Unknown() bool {
	return a.Done == nil || a.Status == 0 || a.Status >= 500
}

// Read reads a ledger. A last line that was cut off when the sender was
// killed was never acted upon.
func Read(path string) (*Ledger, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the ledger: %w", err)
	}
	defer f.Close()
	l := &reading{batches: map[int]int{}, tries: map[int][2]int{}}
	in := bufio.NewReaderSize(f, 1<<20)
	for number := 1; ; number++ {
		text, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = l.take(text)
		}
		if err != nil {
			return nil, fmt.Errorf("read the ledger %s, line %d: %w", path, number, err)
		}
	}
	if l.Plan.Now == 0 {
		return nil, fmt.Errorf("read the ledger %s: it has no plan", path)
	}
	return &l.Ledger, nil
}

type reading struct {
	Ledger
	batches map[int]int    // place in Batches by id
	tries   map[int][2]int // places in Tries by id
}

func (l *reading) take(text []byte) error {
	var line Line
	if err := json.Unmarshal(text, &line); err != nil {
		return err
	}
	switch {
	case line.Plan != nil:
		l.Plan = *line.Plan
	case line.Batch != nil:
		l.batches[line.Batch.ID] = len(l.Batches)
		l.Batches = append(l.Batches, *line.Batch)
		l.Tries = append(l.Tries, nil)
	case line.Try != nil:
		at, ok := l.batches[line.Try.Batch]
		if !ok {
			return fmt.Errorf("a try of batch %d, of which nothing is known", line.Try.Batch)
		}
		l.tries[line.Try.ID] = [2]int{at, len(l.Tries[at])}
		l.Tries[at] = append(l.Tries[at], Attempt{Try: *line.Try})
	case line.Done != nil:
		at, ok := l.tries[line.Done.Try]
		if !ok {
			return fmt.Errorf("the end of try %d, of which nothing is known", line.Done.Try)
		}
		l.Tries[at[0]][at[1]].Done = line.Done
	}
	return nil
}

// Now is the moment as ledgers write it.
func Now() int64 { return time.Now().UnixMilli() }
