package deliver

import (
	"cmp"
	"slices"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/store"
)

// journal is an entry for each settled message and project in it. An entry is
// a function of the message and of what the store holds, not of how often the
// message was tried: what an earlier attempt stored counts as stored, so a
// redelivery writes the same entry again.
func (g *group) journal() []store.Batch {
	var entries []store.Batch
	for i := range g.messages {
		m := &g.messages[i]
		if m.copyOf < 0 && g.settled(m) {
			entries = append(entries, g.entriesOf(m)...)
		}
	}
	return entries
}

// journalIf is the journal if this becomes of the events; it changes nothing.
func (g *group) journalIf(outcomes []store.Outcome) []store.Batch {
	as := *g
	as.fates = make([]fate, len(outcomes))
	note(as.fates, outcomes)
	return as.journal()
}

// hasLetters says whether anything in the group is known to be unstorable.
func (g *group) hasLetters() bool {
	return slices.ContainsFunc(g.messages, func(m message) bool { return len(m.lost) > 0 }) ||
		slices.ContainsFunc(g.fates, func(f fate) bool { return f.end == dead })
}

// entriesOf is one entry for nearly every message: a request belongs to one
// project, and only coalescing puts two into one message.
func (g *group) entriesOf(m *message) []store.Batch {
	var entries []store.Batch
	of := func(project string) *store.Batch {
		at := slices.IndexFunc(entries, func(b store.Batch) bool { return b.Project == project })
		if at < 0 {
			at = len(entries)
			entries = append(entries, store.Batch{ID: m.batchID, Project: project})
		}
		return &entries[at]
	}
	for i := m.lo; i < m.hi; i++ {
		e := &g.events[i]
		from := m.header.SourceOf(e.Position)
		if from.Hour == 0 {
			from.Hour = e.ReceivedAt.Hour()
		}
		count(of(e.Project), from, e, g.fates[i].end)
	}
	for _, l := range m.lost {
		for _, from := range m.runsOf(l) {
			of(cmp.Or(from.Project, l.project)).Bury(from)
		}
	}
	for i := range entries {
		slices.Sort(entries[i].Days)
	}
	return entries
}

// runsOf are the sources of the events that went with a part of the message.
func (m *message) runsOf(l lost) []event.Source {
	if l.position < 0 {
		return m.header.Runs()
	}
	from := m.header.SourceOf(l.position)
	from.Events = 1
	return []event.Source{from}
}

func count(b *store.Batch, from event.Source, e *event.Event, became end) {
	switch became {
	case stored, own:
		b.Count(e, from, store.Stored)
	case duplicate:
		b.Count(e, from, store.Duplicate)
	case dead:
		from.Events = 1
		b.Receive(e.ReceivedAt)
		b.Bury(from)
	}
}
