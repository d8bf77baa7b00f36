// Package verdict holds the ledger against the store.
package verdict

import (
	"context"
	"encoding/json"
	"fmt"
	"sort"
	"strconv"
	"time"

	"maidian-check/internal/ledger"
	"maidian-check/internal/stored"
	"maidian-check/internal/sums"
	"maidian-check/internal/traffic"
)

// Report is what was found.
type Report struct {
	Attempted    int `json:"attempted"`     // events
	Acknowledged int `json:"acknowledged"`  // answered with 200 at least once
	Rejected     int `json:"rejected"`      // refused for good at every attempt
	Stored       int `json:"stored"`        // of the attempted ones
	Recovered    int `json:"recovered"`     // stored though never acknowledged
	DeadLettered int `json:"dead_lettered"` // letters
	Lost         int `json:"lost"`          // acknowledged and neither stored nor a dead letter
	Duplicated   int `json:"duplicated"`    // copies too many
	Altered      int `json:"altered"`       // stored otherwise than sent
	Unexpected   int `json:"unexpected"`    // stored, but never sent or refused for good

	Requests map[string]Answers `json:"requests"` // by status, or by why there was no answer
	Findings []Finding          `json:"findings"` // none: the promise was kept
	Resumed  *Resumed           `json:"resumed,omitempty"`
	Followed *Followed          `json:"followed,omitempty"` // where that was asked for
}

// Followed says what came of the stored events.
type Followed struct {
	Firings  int `json:"firings"`  // in the store
	Windows  int `json:"windows"`  // of groups, that were judged
	Doubtful int `json:"doubtful"` // of these: what came late may or may not have counted
	Told     int `json:"told"`     // requests that told of a firing, answered with 200
	Posted   int `json:"posted"`   // requests that brought events, answered with 200
	Again    int `json:"again"`    // events that were posted more than once
	Filed    int `json:"filed"`    // events in files
	Unmoved  int `json:"unmoved"`  // requests that were answered otherwise, or not at all
}

// Answers are those of one kind.
type Answers struct {
	Count   int   `json:"count"`
	Longest int64 `json:"longest_ms"`
}

// Finding is one broken promise.
type Finding struct {
	Rule     string   `json:"rule"`
	Count    int      `json:"count"`
	Examples []string `json:"examples"`
}

// Resumed says how long after a moment things worked again.
type Resumed struct {
	Accepting int64 `json:"accepting_ms"` // the first 200
	Storing   int64 `json:"storing_ms"`   // the first event stored
}

// The rules, by which findings are named.
const (
	Lost       = "lost"
	Duplicated = "duplicated"
	Altered    = "altered"
	Unexpected = "unexpected"
	Letters    = "dead letters"
	Journal    = "journal"
	Place      = "place"
	Query      = "query"
	Queue      = "queue"
	Unsettled  = "unsettled"
	Firings    = "firings"
	Notices    = "notices"
	Told       = "told"
	Signed     = "signed"
	Forwarded  = "forwarded"
	Order      = "order"
	Twice      = "twice"
	Files      = "files"
)

const mostExamples = 5

// Found notes broken promises of one rule.
func (r *Report) Found(rule string, examples ...string) {
	for i := range r.Findings {
		if f := &r.Findings[i]; f.Rule == rule {
			f.Count += len(examples)
			f.Examples = append(f.Examples, examples[:min(len(examples), mostExamples-len(f.Examples))]...)
			return
		}
	}
	if len(examples) > 0 {
		r.Findings = append(r.Findings, Finding{rule, len(examples), examples[:min(len(examples), mostExamples)]})
	}
}

// fact is what the ledger says of one event, and what the store has of it.
type fact struct {
	ledger.Event
	project string
	batches []int32 // places in the ledger
	acked   bool
	maybe   bool // it may have got in without anybody being told
	sends   int  // how often it may have got in
	copies  int
	letters int
}

// court is the case of one ledger.
type court struct {
	report  Report
	book    *ledger.Ledger
	facts   map[string]*fact // by project and id
	poison  map[string]*pill // by the payload's hash
	places  map[string]string
	people  map[string]*sums.Project
	rows    map[string]int // stored events by project
	since   int64
	earlier int64
}

// pill is a payload that must become a dead letter.
type pill struct {
	acked   bool
	letters int
}

// Judge reads the store and compares. People are the stored events by project,
// for the query service to be compared with.
func Judge(ctx context.Context, book *ledger.Ledger, s stored.Store, since time.Time) (*Report, map[string]*sums.Project, error) {
	c := &court{
		book: book, facts: map[string]*fact{}, poison: map[string]*pill{}, places: map[string]string{},
		people: map[string]*sums.Project{}, rows: map[string]int{},
	}
	if !since.IsZero() {
		c.since = since.UnixMilli()
	}
	for _, project := range book.Plan.Projects {
		c.people[project] = &sums.Project{}
	}
	c.hear()
	for _, step := range []func(context.Context, stored.Store) error{c.events, c.letters, c.journal} {
		if err := step(ctx, s); err != nil {
			return nil, nil, fmt.Errorf("read the store: %w", err)
		}
	}
	c.conclude()
	for _, p := range c.people {
		p.Prepare()
	}
	sort.Slice(c.report.Findings, func(i, j int) bool { return c.report.Findings[i].Rule < c.report.Findings[j].Rule })
	return &c.report, c.people, nil
}

func key(project, id string) string { return project + "/" + id }

// hear takes what the ledger says.
func (c *court) hear() {
	c.report.Requests = map[string]Answers{}
	first := int64(0)
	for at := range c.book.Batches {
		b := &c.book.Batches[at]
		for i := range c.book.Tries[at] {
			t := &c.book.Tries[at][i]
			if b.ID >= 0 {
				c.count(t)
			}
			if ok := t.Done != nil && t.Status == 200 && t.Try.At >= c.since && b.ID >= 0; ok && (first == 0 || t.Done.At < first) {
				first = t.Done.At
			}
			c.hearTry(b, at, t)
		}
	}
	if c.since != 0 {
		c.report.Resumed = &Resumed{Accepting: -1, Storing: -1}
		if first != 0 {
			c.report.Resumed.Accepting = first - c.since
		}
	}
}

func (c *court) count(t *ledger.Attempt) {
	name, took := "no end", int64(0)
	if t.Done != nil {
		took = t.Done.At - t.Try.At
		if name = t.Error; t.Status != 0 {
			name = strconv.Itoa(t.Status)
		}
	}
	a := c.report.Requests[name]
	c.report.Requests[name] = Answers{a.Count + 1, max(a.Longest, took)}
}

func (c *court) hearTry(b *ledger.Batch, at int, t *ledger.Attempt) {
	rejected := map[int]bool{}
	if t.Done != nil {
		for _, i := range t.Rejected {
			rejected[i] = true
		}
	}
	acked := t.Done != nil && t.Status == 200
	for i, e := range b.Events {
		f := c.facts[key(b.Project, e.ID)]
		if f == nil {
			f = &fact{Event: e, project: b.Project}
			c.facts[key(b.Project, e.ID)] = f
		}
		if n := len(f.batches); n == 0 || f.batches[n-1] != int32(at) {
			f.batches = append(f.batches, int32(at))
		}
		in := acked && !rejected[i]
		f.acked, f.maybe = f.acked || in, f.maybe || t.Unknown()
		if in || t.Unknown() {
			f.sends++
		}
	}
	for _, hash := range b.Letters {
		p := c.poison[hash]
		if p == nil {
			p = &pill{}
			c.poison[hash] = p
		}
		p.acked = p.acked || acked
	}
}

// events compares every stored event.
func (c *court) events(ctx context.Context, s stored.Store) error {
	return s.Events(ctx, func(e *stored.Event) error {
		c.rows[e.Project]++
		c.place(e)
		c.see(e)
		f := c.facts[key(e.Project, e.ID)]
		switch {
		case f == nil:
			c.report.Found(Unexpected, fmt.Sprintf("%s was never sent: %.300v", key(e.Project, e.ID), e.Fields))
			return nil
		case f.Kind != traffic.Good:
			c.report.Found(Unexpected, fmt.Sprintf("%s is %s and stored", key(e.Project, e.ID), f.Kind))
		case !f.acked && !f.maybe:
			c.report.Found(Unexpected, fmt.Sprintf("%s was refused at every attempt and is stored", key(e.Project, e.ID)))
		}
		if f.copies++; f.copies > 1 {
			c.report.Found(Duplicated, fmt.Sprintf("%s is stored %d times", key(e.Project, e.ID), f.copies))
			return nil
		}
		for _, difference := range c.compare(f, e) {
			c.report.Found(Altered, key(e.Project, e.ID)+": "+difference)
		}
		return nil
	})
}

// place: a message has one event at a place.
func (c *court) place(e *stored.Event) {
	at := fmt.Sprintf("%s/%d", e.Batch, e.Position)
	if other := c.places[at]; other != "" {
		c.report.Found(Place, fmt.Sprintf("%s and %s both stand at place %d of message %s", other, key(e.Project, e.ID), e.Position, e.Batch))
	}
	c.places[at] = key(e.Project, e.ID)
}

// see keeps what the reports are worked out from.
func (c *court) see(e *stored.Event) {
	if p := c.people[e.Project]; p != nil {
		text := func(name string) string { s, _ := e.Fields[name].(string); return s }
		p.Add(sums.Act{User: text("user_id"), Device: text("anonymous_id"), Session: text("session_id"), Type: text("event_type"), At: millis(e.Fields["timestamp"])})
	}
	if at := millis(e.Fields["stored_at"]); c.since != 0 && at >= c.since && (c.earlier == 0 || at < c.earlier) {
		c.earlier = at
		c.report.Resumed.Storing = at - c.since
	}
}

func millis(v any) int64 {
	n, _ := v.(json.Number)
	at, _ := n.Int64()
	return at
}

// letters must be exactly the poison.
func (c *court) letters(ctx context.Context, s stored.Store) error {
	letters, err := s.Letters(ctx)
	c.report.DeadLettered = len(letters)
	for _, l := range letters {
		if p := c.poison[traffic.HashText(l.Payload)]; p != nil {
			if p.letters++; p.letters > 1 {
				c.report.Found(Letters, fmt.Sprintf("%s: the same payload is a letter %d times", l.ID, p.letters))
			}
			continue
		}
		c.event(l)
	}
	return err
}

// event is the letter of a single event.
func (c *court) event(l stored.Letter) {
	var e struct {
		Project string `json:"project"`
		ID      string `json:"event_id"`
	}
	_ = json.Unmarshal(l.Payload, &e) // what cannot be read is nobody's event
	f := c.facts[key(e.Project, e.ID)]
	switch {
	case f == nil:
		c.report.Found(Letters, fmt.Sprintf("%s is nothing that was sent (%s): %.200q", l.ID, l.Reason, l.Payload))
		return
	case f.Kind != traffic.Pill:
		c.report.Found(Letters, fmt.Sprintf("%s holds the innocent event %s: %s", l.ID, key(e.Project, e.ID), l.Reason))
	}
	f.letters++
}

// journal must say of each project as many stored events as there are, and
// account for every event that was accepted, and for no more than were sent.
func (c *court) journal(ctx context.Context, s stored.Store) error {
	said, err := s.Journal(ctx)
	if err != nil {
		return err
	}
	least, most := c.accepted()
	for _, project := range c.book.Plan.Projects {
		j := said[project]
		if j.Stored != c.rows[project] {
			c.report.Found(Journal, fmt.Sprintf("%s: it says %d events were stored, there are %d", project, j.Stored, c.rows[project]))
		}
		// A letter of a whole message belongs to no project, so the poison is left out.
		if all := j.Stored + j.Duplicates + j.DeadLettered; all < least[project] || all > most[project] {
			c.report.Found(Journal, fmt.Sprintf("%s: it accounts for %d events (%d stored, %d duplicates, %d dead letters), but %d to %d got in",
				project, all, j.Stored, j.Duplicates, j.DeadLettered, least[project], most[project]))
		}
	}
	return nil
}

// accepted is how many events got in by each project, counted as often as they
// were taken: for certain, and at most.
func (c *court) accepted() (least, most map[string]int) {
	least, most = map[string]int{}, map[string]int{}
	for at := range c.book.Batches {
		b := &c.book.Batches[at]
		for i := range c.book.Tries[at] {
			t := &c.book.Tries[at][i]
			switch {
			case t.Unknown():
				most[b.Project] += len(b.Events) + len(b.Letters)
			case t.Status == 200:
				least[b.Project] += t.Accepted
				most[b.Project] += t.Accepted + len(b.Letters)
			}
		}
	}
	return least, most
}

// conclude counts what was not there.
func (c *court) conclude() {
	r := &c.report
	for name, f := range c.facts {
		r.Attempted++
		switch {
		case f.acked:
			r.Acknowledged++
		case !f.maybe:
			r.Rejected++
		}
		if f.copies > 0 {
			r.Stored++
			if !f.acked {
				r.Recovered++
			}
		}
		if f.acked && f.copies+f.letters == 0 {
			r.Found(Lost, name+c.story(f))
		}
		if f.letters > f.sends { // each time that it got in is a letter of its own
			r.Found(Letters, fmt.Sprintf("%s is in %d letters, but got in at most %d times", name, f.letters, f.sends))
		}
		if f.letters > 0 && f.copies > 0 {
			r.Found(Letters, name+" is stored and a dead letter as well")
		}
	}
	for hash, p := range c.poison {
		if p.acked && p.letters == 0 {
			r.Found(Letters, "the poison with hash "+hash+" is no dead letter")
		}
	}
	for _, f := range r.Findings {
		switch f.Rule {
		case Lost:
			r.Lost = f.Count
		case Duplicated:
			r.Duplicated = f.Count
		case Altered:
			r.Altered = f.Count
		case Unexpected:
			r.Unexpected = f.Count
		}
	}
}

// story tells an event's attempts, for whoever looks for it.
func (c *court) story(f *fact) (text string) {
	for _, at := range f.batches {
		for i := range c.book.Tries[at] {
			t := &c.book.Tries[at][i]
			text += fmt.Sprintf("; sent %s", time.UnixMilli(t.Try.At).UTC().Format("15:04:05.000"))
			if t.Done != nil {
				text += fmt.Sprintf(", %s %d%s", time.UnixMilli(t.Done.At).UTC().Format("15:04:05.000"), t.Status, t.Error)
			}
		}
	}
	return text
}
