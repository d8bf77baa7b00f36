package columns

import (
	"cmp"
	"slices"
	"time"

	"github.com/maidian/maidian/pkg/event"
)

// FromEvents is a View of these events alone, for tests of reports. Events
// without a batch are put into one.
func FromEvents(project string, events []event.Event) *View {
	m := &memory{events: slices.Clone(events)}
	for i := range m.events {
		if m.events[i].BatchID == "" {
			m.events[i].BatchID, m.events[i].Position = "batch", i
		}
	}
	v := &View{Project: project, source: m}
	users, sessions, batches := numbers{}, numbers{}, numbers{}
	joined := joins(m.events)
	rows := make(map[int32][]row)
	started := sessionNames(m.events, joined)
	for i := range m.events {
		e := &m.events[i]
		v.Newest = max(v.Newest, e.Timestamp)
		day := e.Timestamp.Day()
		rows[day] = append(rows[day], row{e, users.of(userOf(e, joined)), sessions.of(started[i]), batches.of(e.BatchID)})
	}
	v.users, v.sessions, v.batches = users.names, sessions.names, batches.names
	v.AsOf = v.Newest
	for number, day := range rows {
		v.days = append(v.days, newDay(v, number, day))
	}
	slices.SortFunc(v.days, func(a, b *Day) int { return cmp.Compare(a.Number, b.Number) })
	return v
}

type row struct {
	event                *event.Event
	user, session, batch uint32
}

type numbers struct {
	byName map[string]uint32
	names  []string
}

func (n *numbers) of(name string) uint32 {
	if n.byName == nil {
		n.byName = make(map[string]uint32)
	}
	number, ok := n.byName[name]
	if !ok {
		number = uint32(len(n.names))
		n.byName[name] = number
		n.names = append(n.names, name)
	}
	return number
}

// joins says for each anonymous id which known user it was first seen with.
func joins(events []event.Event) map[string]string {
	first := make(map[string]*event.Event)
	for i := range events {
		e := &events[i]
		if e.UserID == "" || e.AnonymousID == "" {
			continue
		}
		if f := first[e.AnonymousID]; f == nil || cmp.Or(cmp.Compare(e.Timestamp, f.Timestamp), cmp.Compare(e.EventID, f.EventID)) < 0 {
			first[e.AnonymousID] = e
		}
	}
	joined := make(map[string]string)
	for anonymous, e := range first {
		joined[anonymous] = e.UserID
	}
	return joined
}

func userOf(e *event.Event, joined map[string]string) string {
	if e.UserID != "" {
		return e.UserID
	}
	if e.AnonymousID != "" {
		return cmp.Or(joined[e.AnonymousID], e.AnonymousID)
	}
	return cmp.Or(e.SessionID, e.EventID)
}

const sessionIdle = event.Time(30 * 60 * 1000)

func sessionNames(events []event.Event, joined map[string]string) []string {
	names := make([]string, len(events))
	derived := make(map[string][]int)
	for i := range events {
		if names[i] = events[i].SessionID; names[i] == "" {
			user := userOf(&events[i], joined)
			derived[user] = append(derived[user], i)
		}
	}
	for user, of := range derived {
		slices.SortFunc(of, func(a, b int) int { return cmp.Compare(events[a].Timestamp, events[b].Timestamp) })
		var start, last event.Time
		for k, i := range of {
			at := events[i].Timestamp
			if k == 0 || at-last > sessionIdle {
				start = at
			}
			last = at
			names[i] = user + "@" + start.Std().Format(time.RFC3339Nano)
		}
	}
	return names
}

func newDay(v *View, number int32, rows []row) *Day {
	slices.SortFunc(rows, func(a, b row) int {
		return cmp.Or(
			cmp.Compare(a.event.EventType, b.event.EventType),
			cmp.Compare(a.user, b.user),
			cmp.Compare(a.event.Timestamp, b.event.Timestamp),
			cmp.Compare(a.event.BatchID, b.event.BatchID),
			cmp.Compare(a.event.Position, b.event.Position),
		)
	})
	d := &Day{Number: number, view: v}
	for i, r := range rows {
		if n := len(d.runs); n == 0 || d.runs[n-1].Type != r.event.EventType {
			d.runs = append(d.runs, Run{Type: r.event.EventType, Lo: i})
		}
		d.runs[len(d.runs)-1].Hi = i + 1
		d.times = append(d.times, uint32(r.event.Timestamp-d.Start()))
		d.users = append(d.users, r.user)
		d.sessions = append(d.sessions, r.session)
		d.batches = append(d.batches, r.batch)
		d.positions = append(d.positions, uint16(r.event.Position))
	}
	return d
}

// memory is a store of a few events.
type memory struct{ events []event.Event }

func (m *memory) event(batch string, position uint16) *event.Event {
	i := slices.IndexFunc(m.events, func(e event.Event) bool { return e.BatchID == batch && e.Position == int(position) })
	return &m.events[i]
}

func (m *memory) column(d *Day, name string) *Column {
	c := &Column{Codes: make([]uint32, d.Len()), Values: []event.Value{{}}}
	codes := map[event.Value]uint32{{}: 0}
	for row := range c.Codes {
		value := event.ValueOf(m.event(d.view.batches[d.batches[row]], d.positions[row]), name)
		code, ok := codes[value]
		if !ok {
			code = uint32(len(c.Values))
			codes[value] = code
			c.Values = append(c.Values, value)
		}
		c.Codes[row] = code
	}
	return c
}
