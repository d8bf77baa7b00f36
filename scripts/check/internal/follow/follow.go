// Package follow judges what came of events once they were stored: firings and
// notices of them, what people were told, and what destinations were sent.
package follow

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"maidian-check/internal/receiver"
	"maidian-check/internal/stored"
	"maidian-check/internal/traffic"
	"maidian-check/internal/verdict"
	"maidian-check/internal/watch"
)

// Case is all that is known of one system.
type Case struct {
	Plan     *watch.Plan
	Skew     int64          // how far the clocks of its processes may differ, milliseconds
	Breaks   int            // how often whoever forwards was interrupted besides by another; below 0: not known
	Holders  map[string]int // how many processes have forwarded what is posted, one after the other, by project
	Events   map[string][]*Event
	Firings  []watch.Firing
	Notices  map[string][]watch.Notice
	Targets  map[string][]watch.Destination
	Arrivals []receiver.Arrival
	Files    []File

	stored map[string]*Event // by project and id
	report *verdict.Report
	sums   verdict.Followed
}

// Event is what is needed of one that is stored.
type Event struct {
	Project, ID, Type, Page string
	Amount                  float64
	At, Received, Stored    int64 // epoch milliseconds; At is never after Received
	Written                 int64 // of its journal entry
	Batch                   string
	Position                int
	Hash                    string

	first int // the place among the arrivals that first brought it, from 1 on
	files int
}

// there is when it could be read, as the journal says: an insert may take its time.
func (e *Event) there() int64 { return max(e.Stored, e.Written) }

// Read reads the events and the journal.
func (c *Case) Read(ctx context.Context, s stored.Store) error {
	messages, err := s.Messages(ctx)
	if err != nil {
		return err
	}
	written := map[string]int64{}
	for _, m := range messages {
		written[m.Project+"/"+m.Batch] = m.Written
	}
	return s.Events(ctx, func(e *stored.Event) error {
		one := eventOf(e)
		one.Written = written[e.Project+"/"+e.Batch]
		c.Add(one)
		return nil
	})
}

// Add takes one event more.
func (c *Case) Add(e *Event) {
	if c.stored == nil {
		c.Events, c.stored = map[string][]*Event{}, map[string]*Event{}
	}
	c.Events[e.Project] = append(c.Events[e.Project], e)
	c.stored[e.Project+"/"+e.ID] = e
}

func eventOf(e *stored.Event) *Event {
	text := func(name string) string { s, _ := e.Fields[name].(string); return s }
	moment := func(name string) int64 { n, _ := e.Fields[name].(json.Number); at, _ := n.Int64(); return at }
	one := &Event{
		Project: e.Project, ID: e.ID, Batch: e.Batch, Position: e.Position,
		Type: text("event_type"), Page: text("page_path"), Received: moment("received_at"), Stored: moment("stored_at"),
	}
	one.At = min(moment("timestamp"), one.Received)
	properties, _ := e.Fields["properties"].(map[string]any)
	if n, ok := properties["amount"].(json.Number); ok {
		one.Amount, _ = n.Float64()
	}
	if e.Fields["is_bot"] == false {
		delete(e.Fields, "is_bot")
	}
	one.Hash = traffic.Hash(e.Fields)
	return one
}

// FiringsOf reads those that the store has.
func FiringsOf(ctx context.Context, s stored.Store) (all []watch.Firing, err error) {
	records, err := s.Records(ctx, "firing")
	for _, r := range records {
		var f watch.Firing
		if err := json.Unmarshal(r.Data, &f); err != nil {
			return nil, fmt.Errorf("firing %s: %w", r.ID, err)
		}
		all = append(all, f)
	}
	return all, err
}

// HoldersOf reads from the leases how often another one has begun to post.
func HoldersOf(ctx context.Context, s stored.Store) (map[string]int, error) {
	holders := map[string]int{}
	records, err := s.Records(ctx, "lease")
	for _, r := range records {
		var l struct{ Term int }
		if err := json.Unmarshal(r.Data, &l); err != nil {
			return nil, fmt.Errorf("lease %s: %w", r.ID, err)
		}
		if r.ID == "forward/"+watch.Posted {
			holders[r.Project] = l.Term
		}
	}
	return holders, err
}

// Judge says what is wrong, and how much was looked at.
func (c *Case) Judge() ([]verdict.Finding, verdict.Followed) {
	c.report, c.sums = &verdict.Report{}, verdict.Followed{}
	for _, e := range c.stored {
		e.first, e.files = 0, 0
	}
	for _, project := range c.Plan.Projects {
		c.firings(project)
		c.notices(project)
		c.told(project)
		c.posted(project)
		c.filed(project)
		c.targets(project)
	}
	slices.SortFunc(c.report.Findings, func(a, b verdict.Finding) int { return strings.Compare(a.Rule, b.Rule) })
	return c.report.Findings, c.sums
}

func (c *Case) found(rule, format string, args ...any) {
	c.report.Found(rule, fmt.Sprintf(format, args...))
}
