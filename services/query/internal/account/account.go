// Package account sets what collectors say they have accepted against what the
// journal says has become of it.
package account

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/store"
)

// Store has both sides of the accounts.
type Store interface {
	Batches(ctx context.Context, after store.Cursor, limit int) ([]store.Batch, error)
	Tallies(ctx context.Context, project string, from, to int32, yield func(*store.Tally) error) error
}

// Totals are sums of the journal.
type Totals struct {
	Stored       int `json:"stored"`
	Duplicates   int `json:"duplicates"`
	DeadLettered int `json:"dead_lettered"`
	Erased       int `json:"erased"`
	Pruned       int `json:"pruned"`
}

// Counts are of events. In each
// accepted = stored + duplicates + dead_lettered + queued − unclaimed + difference.
type Counts struct {
	Accepted     int            `json:"accepted"`
	Stored       int            `json:"stored"`
	Duplicates   int            `json:"duplicates"`
	DeadLettered int            `json:"dead_lettered"`
	Rejected     map[string]int `json:"rejected"` // by the code of the problem
	Queued       int            `json:"queued"`
	Unclaimed    int            `json:"unclaimed"`
	Difference   int            `json:"difference"`
	DroppedBySDK map[string]int `json:"dropped_by_sdk"` // by reason; never among those accepted
}

// Row is the counts of one write key in one hour of receipt.
type Row struct {
	Key  string     `json:"key"` // its id; empty when nobody said
	Hour event.Time `json:"hour"`
	Counts
}

// Sheet is a project's accounts of some hours.
type Sheet struct {
	Counts       // sums of the rows
	Erased int   `json:"erased"` // events of batches that have any in these hours
	Pruned int   `json:"pruned"` // likewise: stored, and deleted because the project keeps them no longer
	Rows   []Row `json:"rows"`   // by hour and key
}

// Grace is how long after a tally what it counts may be on its way still: it
// came through the same queue, so all that it counts was ahead of it, but for
// messages that were given back and wait for another try.
const Grace = 10 * time.Minute

// slack is how far the clock of a consumer may be behind a collector's.
const slack = 1 // hours

// Since adds up what the journal says of a project from a moment on.
func Since(ctx context.Context, s Store, project string, since event.Time) (*Totals, error) {
	sum := &Totals{}
	return sum, journal(ctx, s, since, func(b *store.Batch) {
		if b.Project == project {
			sum.Stored, sum.Duplicates, sum.DeadLettered = sum.Stored+b.Stored, sum.Duplicates+b.Duplicates, sum.DeadLettered+b.DeadLettered
			sum.Erased += b.Erased
			sum.Pruned += b.Pruned
		}
	})
}

// Of is a project's sheet of the hours in [from, to]. The tallies are read
// first: what they count stands in the journal by then, or is still to come.
func Of(ctx context.Context, s Store, project string, from, to int32, now event.Time) (*Sheet, error) {
	b, sheet := book{}, &Sheet{Rows: []Row{}}
	if err := b.tallies(ctx, s, project, from, to); err != nil {
		return nil, err
	}
	err := journal(ctx, s, event.TimeOfHour(from-slack), func(entry *store.Batch) {
		within := false
		for _, a := range accountsOf(entry) {
			if entry.Project == project && from <= a.Hour && a.Hour <= to {
				b.at(place{project, a.Key, a.Hour}).add(a)
				within = true
			}
		}
		if within {
			sheet.Erased += entry.Erased
			sheet.Pruned += entry.Pruned
		}
	})
	if err != nil {
		return nil, err
	}
	sheet.fill(b, now)
	return sheet, nil
}

func (s *Sheet) fill(b book, now event.Time) {
	s.Counts = noCounts()
	for at, sum := range b {
		sum.balance(now)
		s.Rows = append(s.Rows, Row{at.key, event.TimeOfHour(at.hour), sum.Counts})
		s.Counts.plus(&sum.Counts)
	}
	slices.SortFunc(s.Rows, func(a, b Row) int { return cmp.Or(cmp.Compare(a.Hour, b.Hour), cmp.Compare(a.Key, b.Key)) })
}

func (c *Counts) plus(d *Counts) {
	c.Accepted += d.Accepted
	c.Stored += d.Stored
	c.Duplicates += d.Duplicates
	c.DeadLettered += d.DeadLettered
	c.Queued += d.Queued
	c.Unclaimed += d.Unclaimed
	c.Difference += d.Difference
	for code, n := range d.Rejected {
		c.Rejected[code] += n
	}
	store.AddDropped(c.DroppedBySDK, d.DroppedBySDK)
}

// book is sums by what events are counted by.
type book map[place]*sum

type place struct {
	project, key string
	hour         int32
}

type sum struct {
	Counts
	told event.Time // when more were last said to be accepted
}

func (b book) at(p place) *sum {
	if b[p] == nil {
		b[p] = &sum{Counts: noCounts()}
	}
	return b[p]
}

// noCounts has maps, so that none is null in an answer.
func noCounts() Counts { return Counts{Rejected: map[string]int{}, DroppedBySDK: map[string]int{}} }

func (b book) tallies(ctx context.Context, s Store, project string, from, to int32) error {
	err := s.Tallies(ctx, project, from, to, func(y *store.Tally) error {
		b.at(place{project, y.Key, y.Hour}).tally(y)
		return nil
	})
	if err != nil {
		err = fmt.Errorf("read the tallies of %s: %w", project, err)
	}
	return err
}

func (s *sum) tally(y *store.Tally) {
	if y.Outcome != event.Accepted {
		s.Rejected[y.Outcome] += y.Events
		return
	}
	s.Accepted += y.Events
	s.told = max(s.told, y.WrittenAt)
}

func (s *sum) add(a store.Account) {
	s.Stored += a.Stored
	s.Duplicates += a.Duplicates
	s.DeadLettered += a.DeadLettered
	store.AddDropped(s.DroppedBySDK, a.Dropped)
}

// fresh says whether some of what was accepted may be on its way still.
func (s *sum) fresh(now event.Time) bool { return now-s.told < event.Time(Grace.Milliseconds()) }

// missing is how many accepted events the journal does not have; below 0 it has more.
func (s *sum) missing() int { return s.Accepted - s.Stored - s.Duplicates - s.DeadLettered }

// balance says what became of those that are accepted and not in the journal,
// or why the journal has more.
func (s *sum) balance(now event.Time) {
	missing := s.missing()
	switch {
	case missing < 0:
		s.Unclaimed = -missing
	case s.fresh(now):
		s.Queued = missing
	default:
		s.Difference = missing
	}
}

// accountsOf is whose an entry's events are. An entry without accounts is of
// an older consumer, an account without an hour of an older collector's message.
func accountsOf(b *store.Batch) []store.Account {
	accounts := slices.Clone(b.Accounts)
	if len(accounts) == 0 {
		accounts = []store.Account{{Stored: b.Stored, Duplicates: b.Duplicates, DeadLettered: b.DeadLettered}}
	}
	for i := range accounts {
		accounts[i].Hour = cmp.Or(accounts[i].Hour, b.ReceivedAt.Hour(), b.WrittenAt.Hour())
	}
	return accounts
}

// journal calls yield for every entry that was written since a moment, of all projects.
func journal(ctx context.Context, s Store, since event.Time, yield func(*store.Batch)) error {
	return store.EachBatch(ctx, s, store.Cursor{WrittenAt: since}, func(entry *store.Batch) error {
		yield(entry)
		return nil
	})
}
