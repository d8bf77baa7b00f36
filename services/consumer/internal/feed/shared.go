package feed

import (
	"context"
	"sync"
	"time"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/store"
)

// Shared reads the end of the journal once for all feeds of a process, however
// many projects they follow. A feed that is behind reads by itself until it has
// caught up, and from then on what Shared has put aside for it.
//
// Nothing is missed between the two: a feed asks for its part first and then
// looks back the whole overlap itself, so what it does not find there, Shared
// finds later; and what both find, it knows.
type Shared struct {
	journal Journal
	overlap time.Duration
	every   time.Duration // between two looks
	now     func() time.Time

	mu     sync.Mutex // of the look that is under way
	feed   *Feed
	looked time.Time

	tails    sync.Mutex
	of       map[string]map[*tail]struct{} // by project
	received event.Time
}

// tail is what is put aside for one feed.
type tail struct {
	entries  []store.Batch
	overflow bool // there was more: the feed has to read by itself again
	newest   event.Time
	looked   time.Time
}

// mostAside is the most entries that wait for one feed.
const mostAside = 10_000

// NewShared looks into the journal when one of its feeds asks, but not more often than every so often.
func NewShared(journal Journal, overlap, every time.Duration, now func() time.Time) *Shared {
	return &Shared{journal: journal, overlap: overlap, every: every, now: now, of: map[string]map[*tail]struct{}{}}
}

// Feed is one that shares. Whoever is done with it calls Leave.
func (s *Shared) Feed(project string, from Position) *Feed {
	f := OfProject(s.journal, project, from, s.overlap)
	f.shared, f.now = s, s.now
	return f
}

// Leave lets nothing more be put aside.
func (f *Feed) Leave() {
	if f.tail == nil {
		return
	}
	f.shared.tails.Lock()
	defer f.shared.tails.Unlock()
	delete(f.shared.of[f.project], f.tail)
	f.tail, f.atTail = nil, false
}

// follow reads by itself until it has caught up, then what was put aside.
func (f *Feed) follow(ctx context.Context, events int) ([]store.Batch, error) {
	if f.atTail && f.now().Sub(f.looked) > f.overlap/deepEvery {
		f.Leave() // it was away: what waits for it may be older than what it knows
	}
	if f.atTail {
		entries, ok, err := f.takeTail(ctx, events)
		if ok || err != nil {
			return entries, err
		}
		f.Leave()
	}
	if f.tail == nil {
		if err := f.shared.look(ctx); err != nil { // what it has found by now need not be put aside
			return nil, err
		}
		f.tail, f.deepAt, f.within = f.shared.join(f.project), time.Time{}, false
	}
	entries, err := f.read(ctx, events)
	f.atTail = err == nil && !f.within
	return entries, err
}

// takeTail is not ok when more came than was put aside.
func (f *Feed) takeTail(ctx context.Context, events int) (fresh []store.Batch, ok bool, err error) {
	if err := f.shared.look(ctx); err != nil {
		return nil, true, err
	}
	if now := f.now(); !now.Before(f.deepAt) {
		f.deepAt = now.Add(f.overlap / deepEvery)
		f.forget()
	}
	s := f.shared
	s.tails.Lock()
	defer s.tails.Unlock()
	if f.tail.overflow {
		return nil, false, nil
	}
	taken := 0
	for ; taken < len(f.tail.entries) && events > 0; taken++ {
		if entry := &f.tail.entries[taken]; entry.WrittenAt >= f.cut && f.isNew(entry) {
			fresh = append(fresh, *entry)
			events -= entry.Stored
			f.Know(fresh[len(fresh)-1:])
		}
	}
	if f.tail.entries = f.tail.entries[taken:]; len(f.tail.entries) == 0 {
		f.tail.entries, f.newest = nil, max(f.newest, f.tail.newest)
		if f.tail.looked.After(f.looked) {
			f.looked = f.tail.looked
		}
	}
	return fresh, true, nil
}

// join puts aside from now on.
func (s *Shared) join(project string) *tail {
	t := &tail{}
	s.tails.Lock()
	defer s.tails.Unlock()
	if s.of[project] == nil {
		s.of[project] = map[*tail]struct{}{}
	}
	s.of[project][t] = struct{}{}
	return t
}

// look puts aside what is new in the journal, if it was not looked at just now.
func (s *Shared) look(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		now := s.now()
		if now.Sub(s.looked) < s.every {
			return nil
		}
		if s.feed == nil || !s.feed.within && now.Sub(s.looked) > s.overlap/deepEvery { // nobody has asked for long
			s.feed = New(s.journal, At(event.TimeOf(now.Add(-s.overlap))), s.overlap)
			s.feed.now = s.now
		}
		entries, err := s.feed.Next(ctx, mostAside)
		if err != nil {
			return err
		}
		s.putAside(entries)
		if !s.feed.within {
			s.looked = s.feed.Looked()
			s.settle()
			return nil
		}
	}
}

func (s *Shared) putAside(entries []store.Batch) {
	s.tails.Lock()
	defer s.tails.Unlock()
	for i := range entries {
		s.received = max(s.received, entries[i].ReceivedAt)
		for t := range s.of[entries[i].Project] {
			if t.overflow = t.overflow || len(t.entries) == mostAside; !t.overflow {
				t.entries = append(t.entries, entries[i])
			}
		}
	}
}

// settle tells everybody how far the journal has been read.
func (s *Shared) settle() {
	s.tails.Lock()
	defer s.tails.Unlock()
	for _, tails := range s.of {
		for t := range tails {
			t.newest, t.looked = s.feed.newest, s.looked
		}
	}
}

// Received is when the newest that is stored, of any project, was received; 0 while nothing was seen.
func (s *Shared) Received() event.Time {
	s.tails.Lock()
	defer s.tails.Unlock()
	return s.received
}
