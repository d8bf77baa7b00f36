// Package columns holds the events of each project as columns in memory, by
// UTC day: the design's "segments". Reports read a View; nothing else reads
// events by time or user.
package columns

import (
	"context"

	"github.com/maidian/maidian/pkg/event"
)

// View is one project's events as they were at one moment. It never changes
// and may be read by any number of goroutines.
type View struct {
	Project string
	Newest  event.Time // the largest timestamp
	AsOf    event.Time // everything the journal named before this moment is in
	// unexported: days, names of users and sessions
}

// Day is the events of one UTC day. Rows stand by event type, and within a
// type by user and time; equal times stand in order of batch and position.
type Day struct {
	Number int32 // days since 1970-01-01
}

// Run is the rows [Lo, Hi) of one event type.
type Run struct {
	Type   string
	Lo, Hi int
}

// Column is one field or property of a day's rows, as codes into a dictionary
// that all days of the project share. Code 0 is the absent value.
// A filter is evaluated once for each dictionary value, then looked up for each row.
type Column struct {
	Codes  []uint32
	Values []event.Value // by code; at least as long as the largest code + 1
}

// The methods that reports are written against:
//
//	func (v *View) Days(from, to event.Time) []*Day   // that overlap [from, to], ascending
//	func (v *View) UserCount() int                    // users are numbered 0 … UserCount()-1
//	func (v *View) UserName(n uint32) string
//	func (v *View) UserNumber(name string) (uint32, bool)
//	func (v *View) SessionCount() int
//	func (v *View) SessionName(n uint32) string       // the client's id, or a derived one where it sent none
//	func (d *Day) Len() int
//	func (d *Day) Runs() []Run                        // ascending by Lo
//	func (d *Day) Times() []uint32                    // by row: ms since the day's start
//	func (d *Day) Users() []uint32                    // by row: dense user number, joined identities resolved
//	func (d *Day) Sessions() []uint32                 // by row: dense session number
//	func (d *Day) Column(ctx context.Context, name string) (*Column, error) // "page_path", "amount" → property, "properties.x"
//	func (d *Day) Refs() (batches []uint32, positions []uint16)  // with View.BatchID(n): where the raw event is
//	func FromEvents(project string, events []event.Event) *View  // for tests of reports
var _ context.Context
