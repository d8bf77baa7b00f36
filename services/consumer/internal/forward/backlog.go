package forward

import (
	"context"
	"slices"
	"sync"

	"github.com/maidian/maidian/pkg/destination"
	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/store"
	"github.com/maidian/maidian/services/consumer/internal/feed"
)

// backlog counts what waits for a pump: what it has in hand, and what the
// journal has behind that. A feed of its own counts while the pump does not come
// to the journal's end, beginning where the pump stands; both hand out each
// entry once, so what one has and the other has not is what waits.
type backlog struct {
	forwarder *Forwarder
	project   string

	mu     sync.Mutex
	from   feed.Position // behind all that the pump has handed out
	rested bool          // since the last count, the pump was at the journal's end
	ahead  *feed.Feed    // nil: it was, and nothing is behind what it has in hand
	hand   destination.Backlog
	behind destination.Backlog
	since  event.Time // when the oldest was written that is in hand, or was
}

// countEvery is how often it is counted, in looks at the journal.
const countEvery = 10

// newBacklog is that of a pump which begins with what its state has.
func newBacklog(f *Forwarder, project string, from feed.Position, s *destination.State) *backlog {
	b := &backlog{forwarder: f, project: project, from: from}
	if s.Pending != nil {
		b.since, b.hand = event.Time(s.WaitingAt), destination.Backlog{Entries: int64(len(s.Pending.Batches)), Events: s.Pending.Stored}
	}
	return b
}

// took says what the pump, if it has a backlog, has besides in hand now, and where in the journal it is.
func (b *backlog) took(entries []store.Batch, at feed.Position) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	found := sum(entries, b.project)
	if b.hand.Entries == 0 {
		b.since = entries[0].WrittenAt
	}
	b.from = at
	b.hand.Entries += found.Entries
	b.hand.Events += found.Events
	if b.ahead != nil {
		b.behind.Entries -= found.Entries
		b.behind.Events -= found.Events
	}
}

// sent says that the pump has nothing in hand any more.
func (b *backlog) sent() {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.hand = destination.Backlog{}
}

// none says that the pump has come to the journal's end.
func (b *backlog) none(at feed.Position) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.from, b.rested, b.ahead, b.behind, b.since = at, true, nil, destination.Backlog{}, 0
}

// mostCounted is how many events are counted at once.
const mostCounted = 100_000

// count goes on until all is counted.
func (b *backlog) count(ctx context.Context) error {
	ahead := b.runAhead()
	for ahead != nil {
		entries, err := ahead.Next(ctx, mostCounted)
		if err != nil || !b.counted(ahead, entries) {
			return err
		}
	}
	return nil
}

// runAhead is nil when that is not worth it: a new feed reads a whole overlap.
func (b *backlog) runAhead() *feed.Feed {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.rested {
		b.rested = false
		return nil
	}
	if b.ahead == nil {
		b.ahead = feed.New(b.forwarder.store, b.from, b.forwarder.overlap)
	}
	return b.ahead
}

// counted is false when there is no more to count.
func (b *backlog) counted(by *feed.Feed, entries []store.Batch) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ahead != by {
		return false
	}
	if b.behind.CountedTo = 0; len(entries) == 0 {
		return false
	}
	found := sum(entries, b.project)
	if b.since == 0 && found.Entries > 0 { // the pump has not come to it yet
		b.since = entries[slices.IndexFunc(entries, func(e store.Batch) bool { return e.Project == b.project })].WrittenAt
	}
	b.behind.Entries += found.Entries
	b.behind.Events += found.Events
	b.behind.CountedTo = int64(entries[len(entries)-1].WrittenAt)
	return true
}

func sum(entries []store.Batch, project string) (all destination.Backlog) {
	for i := range entries {
		if entries[i].Project == project {
			all.Entries++
			all.Events += int64(entries[i].Stored - entries[i].Erased)
		}
	}
	return all
}

// now is what waits, and since when; 0: nothing does.
func (b *backlog) now() (destination.Backlog, event.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return destination.Backlog{
		Entries:   b.hand.Entries + max(0, b.behind.Entries),
		Events:    b.hand.Events + max(0, b.behind.Events),
		CountedTo: b.behind.CountedTo,
	}, b.since
}
