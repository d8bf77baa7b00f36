// Package feed hands out the entries of the journal in its order, each once,
// to those who do something with events once they are stored: rules and
// forwarders. Where one stands is a small value that its owner keeps, so it
// goes on after a restart and can be set back to do things again.
//
// The journal is in the order of its writers' clocks, which differ. So a look
// for news begins a little before the newest entry, and now and then a whole
// overlap before it; what was handed out already is known by its batch id.
package feed

import (
	"context"
	"errors"
	"maps"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/store"
)

// Journal is what a feed reads.
type Journal interface {
	Batches(ctx context.Context, after store.Cursor, limit int) ([]store.Batch, error)
}

// Feed is used by one goroutine.
type Feed struct {
	journal Journal
	overlap time.Duration
	now     func() time.Time

	floor  event.Time            // entries written before are not handed out
	newest event.Time            // WrittenAt of the newest entry seen
	known  map[uint64]event.Time // entries seen that a look can meet again, with their WrittenAt
	next   store.Cursor          // where the next page begins, while the end of the journal was not reached
	within bool                  // next counts
	deepAt time.Time             // when a look goes back the whole overlap
}

// DefaultOverlap is how much later than others an entry may come that was
// written at the same time: how far the clocks of consumers may differ, and
// how long one may be held up between looking at its clock and writing.
const DefaultOverlap = 5 * time.Minute

const (
	shortLook = time.Second // how far back a usual look begins
	deepEvery = 12          // looks that go back the whole overlap, in one overlap
)

// New goes on from a position; the zero Position is the beginning of the journal.
func New(journal Journal, from Position, overlap time.Duration) *Feed {
	return &Feed{journal: journal, overlap: overlap, now: time.Now, floor: from.Floor, newest: from.Newest, known: from.entries()}
}

var errEnough = errors.New("enough")

// Next are the next entries that have stored events, until these are `events`
// or more; none when there is nothing new. After an error nothing was handed out.
func (f *Feed) Next(ctx context.Context, events int) ([]store.Batch, error) {
	from := f.start()
	var fresh []store.Batch
	err := store.EachBatch(ctx, f.journal, from, func(entry *store.Batch) error {
		from = store.After(*entry)
		if _, known := f.known[hash(entry)]; known || entry.WrittenAt < f.floor || entry.Stored == entry.Erased {
			return nil
		}
		fresh = append(fresh, *entry)
		if events -= entry.Stored; events <= 0 {
			return errEnough
		}
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return nil, err
	}
	f.next, f.within = from, err != nil
	for i := range fresh {
		f.know(&fresh[i])
	}
	return fresh, nil
}

// start is where the next look begins.
func (f *Feed) start() store.Cursor {
	if f.within {
		return f.next
	}
	now := f.now()
	if now.Before(f.deepAt) {
		return store.Cursor{WrittenAt: f.before(shortLook)}
	}
	f.deepAt = now.Add(f.overlap / deepEvery)
	f.forget()
	return store.Cursor{WrittenAt: f.before(f.overlap)}
}

// before is so long before the newest entry. A writer whose clock is ahead
// must not hide the others.
func (f *Feed) before(d time.Duration) event.Time {
	return min(f.newest, event.TimeOf(f.now())) - event.Time(d.Milliseconds())
}

func (f *Feed) know(entry *store.Batch) {
	f.known[hash(entry)] = entry.WrittenAt
	f.newest = max(f.newest, entry.WrittenAt)
}

// forget drops what no look meets again.
func (f *Feed) forget() {
	oldest := f.before(f.overlap)
	maps.DeleteFunc(f.known, func(_ uint64, written event.Time) bool { return written < oldest })
}

// Position is behind all that Next has handed out.
func (f *Feed) Position() Position {
	f.forget()
	return positionOf(f.floor, f.newest, f.known)
}

func hash(entry *store.Batch) uint64 { return xxhash.Sum64String(entry.Project + "/" + entry.ID) }
