package intake

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/trace"
)

// FuzzSplit makes messages of requests of any sizes, within any limits: each
// event stands in exactly one message, whole and beside its own source; a
// request's events keep their order; no message is larger than it may be, and no
// request that fits into one is torn. plan holds, two bytes each, the padding of
// an event and, in its top bit, whether a new request begins with it.
func FuzzSplit(f *testing.F) {
	f.Add([]byte{0, 1, 0x80, 2, 0, 3}, uint16(2), uint32(0), true)
	f.Add(bytes.Repeat([]byte{0x7f, 0xff}, 40), uint16(500), uint32(0), false)
	f.Add(bytes.Repeat([]byte{0x80, 9, 0, 9, 0x4f, 0xf0}, 60), uint16(7), uint32(3_000), true)
	f.Add(bytes.Repeat([]byte{0x80, 0}, 300), uint16(1000), uint32(100_000), false)
	f.Fuzz(func(t *testing.T, plan []byte, most uint16, more uint32, busy bool) {
		requests := planned(plan[:min(len(plan), 400)])
		// The least that a line of the largest event and its header need, and what is above.
		limits := Limits{Events: 1 + int(most)%1000, Bytes: 12_000 + int(more)%200_000, Waiting: 1 << 30, Deadline: wide.Deadline, Eager: 1, InFlight: 2}
		if !busy {
			limits.Eager, limits.InFlight = 4, 128
		}
		b := &broker{}
		c := newCoalescer(b, limits, newCounts(prometheus.NewRegistry()))
		var waiting []*batch
		for _, r := range requests {
			joined, err := c.enqueue(trace.Span{}, r.source, r.lines.bytes, r.lines.ends)
			if err != nil {
				t.Fatal(err)
			}
			if fits := len(r.lines.ends) <= limits.Events && headerRoom+2*sourceRoom+len(r.lines.bytes) <= limits.Bytes; fits && len(joined) > 1 {
				t.Fatalf("%d events of %d bytes are torn over %d messages, with %+v", len(r.lines.ends), len(r.lines.bytes), len(joined), limits)
			}
			waiting = append(waiting, joined...)
		}
		for _, b := range waiting {
			<-b.settled
		}
		if err := c.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		wholeAndOnce(t, b, limits, requests)
	})
}

// asked is one request: its lines, and whose they are.
type asked struct {
	source event.Source
	lines  encoded
}

func planned(plan []byte) (requests []asked) {
	for n := 0; len(plan) >= 2; n++ {
		size := binary.BigEndian.Uint16(plan)
		plan = plan[2:]
		if n == 0 || size&0x8000 != 0 {
			key := fmt.Sprintf("%036d", len(requests)%3) // as long as a key's id
			requests = append(requests, asked{source: event.Source{Project: strings.Repeat("p", 40), Key: key, Hour: 490896}})
		}
		r := &requests[len(requests)-1]
		e := event.Event{Project: r.source.Project, EventID: fmt.Sprintf("%d.%d", len(requests)-1, len(r.lines.ends)), EventType: "x", UserID: r.source.Key, PageTitle: strings.Repeat("é", int(size&0x7fff)/8)}
		r.lines.add(&e)
	}
	return requests
}

// wholeAndOnce reads the messages with encoding/json alone.
func wholeAndOnce(t *testing.T, b *broker, limits Limits, requests []asked) {
	t.Helper()
	lines := map[string]string{} // by event id
	for r := range requests {
		from := 0
		for i, to := range requests[r].lines.ends {
			lines[fmt.Sprintf("%d.%d", r, i)] = string(requests[r].lines.bytes[from:to])
			from = to
		}
	}
	for _, m := range b.messages {
		first, rest, _ := strings.Cut(string(m.Body), "\n")
		var header struct {
			Batch   string
			Events  int
			Sources []struct {
				Key    string
				Events int
			}
		}
		if err := json.Unmarshal([]byte(first), &header); err != nil || header.Batch != m.ID {
			t.Fatalf("%s of message %s: %v", first, m.ID, err)
		}
		inMessage := strings.SplitAfter(rest, "\n")
		inMessage = inMessage[:len(inMessage)-1] // behind the last newline is nothing
		if n := len(inMessage); n == 0 || n != header.Events || n > limits.Events || len(m.Body) > limits.Bytes {
			t.Fatalf("a message of %d events (%d said) and %d bytes, with %+v", n, header.Events, len(m.Body), limits)
		}
		last := map[string]int{} // by request: the position of its event before
		for i, line := range inMessage {
			var e struct {
				ID  string `json:"event_id"`
				Key string `json:"user_id"`
			}
			if err := json.Unmarshal([]byte(line), &e); err != nil || lines[e.ID] != line {
				t.Fatalf("event %q stands in a message altered, or a second time: %v", e.ID, err)
			}
			delete(lines, e.ID)
			var position int
			request, number, _ := strings.Cut(e.ID, ".")
			fmt.Sscan(number, &position)
			if before, has := last[request]; has && position != before+1 {
				t.Fatalf("event %s follows event %d of its request", e.ID, before)
			}
			last[request] = position
			for len(header.Sources) > 0 && header.Sources[0].Events == 0 {
				header.Sources = header.Sources[1:]
			}
			if len(header.Sources) == 0 || header.Sources[0].Key != e.Key {
				t.Fatalf("event %d, %s, is said to be of %+v, and came with key %s", i, e.ID, header.Sources, e.Key)
			}
			header.Sources[0].Events--
		}
	}
	if len(lines) > 0 {
		t.Fatalf("%d events stand in no message", len(lines))
	}
}
