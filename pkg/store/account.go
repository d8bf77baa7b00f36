package store

import (
	"context"
	"slices"

	"github.com/maidian/maidian/pkg/event"
)

// Account is a batch's counts for one write key and hour of receipt. Those of
// a batch add up to its own counts.
type Account struct {
	Key          string // its id; empty when the message did not say
	Hour         int32  // since 1970-01-01
	Stored       int
	Duplicates   int
	DeadLettered int
	Dropped      map[string]int `json:",omitempty"` // by reason, what the SDK had to drop, as the stored events say; nil for nothing
}

// Account is the batch's account of a key and hour, made when it has none.
func (b *Batch) Account(key string, hour int32) *Account {
	at := slices.IndexFunc(b.Accounts, func(a Account) bool { return a.Key == key && a.Hour == hour })
	if at < 0 {
		at = len(b.Accounts)
		b.Accounts = append(b.Accounts, Account{Key: key, Hour: hour})
	}
	return &b.Accounts[at]
}

// Count adds an event, what became of it, and what it says that its SDK
// dropped: only a new event says so for the first time.
func (b *Batch) Count(e *event.Event, from event.Source, became Outcome) {
	b.Receive(e.ReceivedAt)
	account := b.Account(from.Key, from.Hour)
	if became == Duplicate {
		b.Duplicates++
		account.Duplicates++
		return
	}
	b.Stored++
	account.Stored++
	if day := e.Timestamp.Day(); !slices.Contains(b.Days, day) {
		b.Days = append(b.Days, day)
	}
	account.Dropped = AddDropped(account.Dropped, e.Dropped())
}

// Receive keeps the earliest receipt.
func (b *Batch) Receive(at event.Time) {
	if at != 0 && (b.ReceivedAt == 0 || at < b.ReceivedAt) {
		b.ReceivedAt = at
	}
}

// Bury counts events as dead letters, or takes that back when there are less than none.
func (b *Batch) Bury(from event.Source) {
	b.DeadLettered += from.Events
	b.Account(from.Key, from.Hour).DeadLettered += from.Events
}

// AddDropped adds counts by reason to a sum, which is made when there is something to add.
func AddDropped(sum, dropped map[string]int) map[string]int {
	if sum == nil && len(dropped) > 0 {
		sum = make(map[string]int, len(dropped))
	}
	for reason, events := range dropped {
		sum[reason] += events
	}
	return sum
}

// Tally is what a collector has counted, the other half of the accounting.
type Tally struct {
	event.Tally
	WrittenAt event.Time // by the clock of the consumer that last wrote it
}

// Tallies are kept for each collector, project, key, hour and outcome.
type Tallies interface {
	// RaiseTallies keeps of what is there and what is given the larger number
	// of events and the later time: order and repetition do not matter.
	RaiseTallies(ctx context.Context, tallies []Tally) error

	// Tallies calls yield for a project's tallies of the hours in [from, to], in
	// the order of hours, until yield returns an error, which it returns.
	Tallies(ctx context.Context, project string, from, to int32, yield func(*Tally) error) error

	// DeleteTallies deletes those that are still as given, and says how many
	// there were: one that was raised meanwhile stays.
	DeleteTallies(ctx context.Context, tallies []Tally) (int, error)
}
