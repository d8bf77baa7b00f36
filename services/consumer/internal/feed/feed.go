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
	"time"

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
	project string // whose entries are handed out; empty: those of all
	overlap time.Duration
	now     func() time.Time

	floor  event.Time   // entries written before are not handed out
	newest event.Time   // WrittenAt of the newest entry seen, whoever's
	known  marks        // of entries handed out that a look can meet again
	cut    event.Time   // what was written before is not known any more
	next   store.Cursor // where the next page begins, while the end of the journal was not reached
	within bool         // next counts
	deepAt time.Time    // when a look goes back the whole overlap
	looked time.Time    // see Looked

	shared *Shared // reads the end of the journal for all its feeds; nil: this one does so itself
	tail   *tail   // what it has read for this feed
	atTail bool    // nothing has to be read but that
}

// DefaultOverlap is how much later than others an entry may come that was
// written at the same time: how far the clocks of consumers may differ, and
// how long one may be held up between looking at its clock and writing.
const DefaultOverlap = 5 * time.Minute

const (
	shortLook = time.Second // how far back a usual look begins
	deepEvery = 12          // looks that go back the whole overlap, in one overlap
)

// New goes on from a position with the entries of all projects; the zero
// Position is the beginning of the journal.
func New(journal Journal, from Position, overlap time.Duration) *Feed {
	return OfProject(journal, "", from, overlap)
}

// OfProject goes on with the entries of one project, and knows no others.
func OfProject(journal Journal, project string, from Position, overlap time.Duration) *Feed {
	return &Feed{
		journal: journal, project: project, overlap: overlap, now: time.Now,
		floor: from.Floor, newest: from.Newest, known: from.marks(),
	}
}

var errEnough = errors.New("enough")

// Next are the next entries that have stored events, until these are `events`
// or more; none when there is nothing new. After an error nothing was handed out.
func (f *Feed) Next(ctx context.Context, events int) ([]store.Batch, error) {
	if f.shared == nil {
		return f.read(ctx, events)
	}
	return f.follow(ctx, events)
}

// read looks into the journal itself.
func (f *Feed) read(ctx context.Context, events int) ([]store.Batch, error) {
	asked := f.now()
	from := f.start(asked)
	newest := f.newest
	var fresh []store.Batch
	err := store.EachBatch(ctx, f.journal, from, func(entry *store.Batch) error {
		from = store.After(*entry)
		newest = max(newest, entry.WrittenAt)
		if !f.isNew(entry) {
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
	if f.newest = newest; !f.within {
		f.looked = asked
	}
	f.Know(fresh)
	return fresh, nil
}

func (f *Feed) isNew(entry *store.Batch) bool {
	if f.project != "" && entry.Project != f.project || entry.WrittenAt < f.floor || entry.Live() <= 0 {
		return false
	}
	return !f.known.has(entry)
}

// Looked is the moment at which the last look began that came to the end of
// the journal: what was written before has been handed out.
func (f *Feed) Looked() time.Time { return f.looked }

// start is where the next look begins.
func (f *Feed) start(now time.Time) store.Cursor {
	if f.within {
		return f.next
	}
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

// Know takes entries for handed out.
func (f *Feed) Know(entries []store.Batch) {
	for i := range entries {
		f.known.add(&entries[i])
		f.newest = max(f.newest, entries[i].WrittenAt)
	}
}

// forget drops what no look meets again, and nothing that was put aside since the last time.
func (f *Feed) forget() {
	f.cut = f.before(f.overlap + f.overlap/deepEvery)
	f.known.forget(f.cut)
}

// Position is behind all that Next has handed out.
func (f *Feed) Position() Position {
	f.forget()
	return Position{f.floor, f.newest, f.known.append(nil)}
}
