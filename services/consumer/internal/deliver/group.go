package deliver

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/maidian/maidian/pkg/bus"
	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/fault"
	"github.com/maidian/maidian/pkg/store"
)

// group is the deliveries of one call. The events of all its messages stand in
// one slice, so that one insert carries many messages.
type group struct {
	messages []message
	events   []event.Event
	fates    []fate // of each event
	recorded bool   // the journal is written
}

// message is one delivery and where its events are.
type message struct {
	bus.Delivery
	header  event.Header
	batchID string
	lo, hi  int // its events in the group's
	lost    []lost
	later   bool // a newer consumer may be able to read it: not now, not dead either
	copyOf  int  // index of the same message earlier in the group, or -1
}

// lost is a part of a message that cannot be read.
type lost struct {
	position int // -1: the whole message
	project  string
	payload  []byte
	reason   string
}

// fate is what became of one event.
type fate struct {
	end    end
	reason string // of a dead one
}

type end uint8

const (
	pending   end = iota // nothing yet
	stored               // new
	own                  // stored by an earlier attempt of this very message
	duplicate            // stored by another message
	dead                 // can never be stored
	stuck                // the store fails on it, but not in a way that says "never"
)

var newline = []byte("\n")

// unpack reads the deliveries. Whatever is in them, it returns.
func unpack(ds []bus.Delivery) *group {
	lines := 0
	for i := range ds {
		lines += bytes.Count(ds[i].Body, newline)
	}
	g := &group{messages: make([]message, 0, len(ds)), events: make([]event.Event, 0, lines)}
	seen := make(map[string]int, len(ds))
	for i, delivery := range ds {
		m := message{Delivery: delivery, batchID: delivery.ID, lo: len(g.events), copyOf: -1}
		if first, ok := seen[delivery.ID]; ok && bytes.Equal(ds[first].Body, delivery.Body) {
			m.copyOf = first // a publisher that was not sure sent it twice
		} else {
			seen[delivery.ID] = i
			g.read(&m)
		}
		m.hi = len(g.events)
		g.messages = append(g.messages, m)
	}
	g.fates = make([]fate, len(g.events))
	g.condemnIncomplete()
	return g
}

// read appends a message's events to the group, and to the message what of it is lost.
func (g *group) read(m *message) {
	header, events, bad, err := decode(m.Body)
	m.header = header
	if err != nil {
		m.unreadable(header, err)
		return
	}
	m.batchID = header.BatchID
	g.events = append(g.events, events...)
	for _, b := range bad {
		m.lost = append(m.lost, lost{b.Position, cmp.Or(header.SourceOf(b.Position).Project, projectIn(b.Payload)), []byte(b.Payload), b.Err.Error()})
	}
}

// decode is event.DecodeMessage in which even a bug costs no more than one message.
func decode(body []byte) (h event.Header, events []event.Event, bad []event.Bad, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic while reading: %v", p)
		}
	}()
	return event.DecodeMessage(body)
}

// unreadable decides between later and never. During an upgrade new collectors
// may be up before the last old consumer has left, and then a newer version is
// no mistake: the message goes back to the queue, for a consumer that knows it.
// Only when it has come round for half an hour is there no such consumer; then
// it is kept as a dead letter, to be replayed after the upgrade, rather than
// left to run into the broker's own limit.
func (m *message) unreadable(h event.Header, err error) {
	if fault.KindOf(err) == fault.Unsupported && m.Attempt < newerAttempts {
		m.later = true
		return
	}
	switch {
	case h.BatchID != "":
		m.batchID = h.BatchID
	case m.batchID == "":
		sum := sha256.Sum256(m.Body) // a stranger's message without id: the same bytes are the same letter
		m.batchID = "body-" + hex.EncodeToString(sum[:16])
	}
	m.lost = append(m.lost, lost{-1, projectOf(h.Runs()), m.Body, err.Error()})
}

// projectOf is the project that all of a message's events are of, if there is one.
func projectOf(runs []event.Source) string {
	for _, s := range runs {
		if s.Project != runs[0].Project {
			return ""
		}
	}
	return runs[0].Project
}

// newerAttempts is how often a message of a newer version goes back to the
// queue: for about half an hour, and half as often as the broker bears.
const newerAttempts = 500

// projectIn finds the project that a broken line names, for those who look
// for its letter; a line is written with the project first.
func projectIn(line string) string {
	_, rest, _ := strings.Cut(line, `"project":"`)
	name, _, whole := strings.Cut(rest, `"`)
	if !whole || len(name) > 40 || strings.Contains(name, `\`) {
		return ""
	}
	return name
}

// condemnIncomplete marks events that lack what nothing can be stored without.
func (g *group) condemnIncomplete() {
	for i := range g.events {
		if name := g.events[i].Lacks(); name != "" {
			g.fates[i] = fate{dead, name + " is missing"}
		}
	}
}

func (g *group) stamp(now event.Time) {
	for i := range g.events {
		g.events[i].StoredAt = now
	}
}

// settled says whether the message can be acknowledged once the journal has it.
func (g *group) settled(m *message) bool {
	return !m.later && !slices.ContainsFunc(g.fates[m.lo:m.hi], func(f fate) bool {
		return f.end == stuck || f.end == pending
	})
}

func (g *group) outcomes() []bus.Outcome {
	out := make([]bus.Outcome, len(g.messages))
	for i := range g.messages {
		m := &g.messages[i]
		switch {
		case m.copyOf >= 0:
			out[i] = out[m.copyOf]
		case g.settled(m):
			out[i] = bus.Done
		}
	}
	return out
}

// deadLetters are those of the settled messages; the others' come when they are settled.
func (g *group) deadLetters(now event.Time) (letters []store.DeadLetter) {
	for i := range g.messages {
		if m := &g.messages[i]; g.settled(m) {
			letters = g.lettersOf(m, now, letters)
		}
	}
	return letters
}

func (g *group) lettersOf(m *message, now event.Time, letters []store.DeadLetter) []store.DeadLetter {
	add := func(position int, project, reason string, payload []byte) {
		from := m.header.SourceOf(position) // of a whole message each run has its own, and the payload says them
		letters = append(letters, store.DeadLetter{
			ID: m.batchID + "/" + strconv.Itoa(position), Project: project, Key: from.Key, Hour: from.Hour, BatchID: m.batchID, Position: position,
			Reason: reason, Payload: payload, Attempts: max(m.Attempt, 1), FirstSeen: now,
		})
	}
	for _, l := range m.lost {
		add(l.position, l.project, l.reason, l.payload)
	}
	for i := m.lo; i < m.hi; i++ {
		if f := g.fates[i]; f.end == dead {
			e := g.events[i]
			e.StoredAt = 0 // as it came off the queue
			add(e.Position, e.Project, f.reason, e.AppendWire(nil))
		}
	}
	return letters
}
