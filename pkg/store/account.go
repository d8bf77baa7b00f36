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
}
