// Package columns holds the events of each project as columns in memory, by
// UTC day: the design's "segments". Reports read a View; nothing else reads
// events by time or user.
package columns

import (
	"context"
	"slices"
	"sort"

	"github.com/maidian/maidian/pkg/event"
)

// View is one project's events as they were at one moment. It never changes
// and may be read by any number of goroutines.
type View struct {
	Project string
	Newest  event.Time // the largest timestamp; zero when there is no event
	AsOf    event.Time // everything the journal named before this moment is in

	days     []*Day // ascending
	users    []string
	sessions []string
	batches  []string
	source   *memory
}

// Day is the events of one UTC day. Rows stand by event type, and within a
// type by user and time; equal times stand in order of batch id and position.
type Day struct {
	Number int32 // days since 1970-01-01

	runs      []Run
	times     []uint32
	users     []uint32
	sessions  []uint32
	batches   []uint32
	positions []uint16
	view      *View
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

// Ref says where a row's raw event is: its batch (View.BatchID) and its place in it.
type Ref struct {
	Batch    uint32
	Position uint16
}

const dayLength = event.Time(24 * 60 * 60 * 1000)

// Start is the first moment of the day.
func (d *Day) Start() event.Time { return event.Time(d.Number) * dayLength }

// Days are the days that overlap [from, to], ascending.
func (v *View) Days(from, to event.Time) []*Day {
	lo := sort.Search(len(v.days), func(i int) bool { return v.days[i].Number >= from.Day() })
	hi := sort.Search(len(v.days), func(i int) bool { return v.days[i].Number > to.Day() })
	return v.days[lo:max(lo, hi)]
}

// UserCount is one more than the largest user number. Some numbers may have no
// events: those of anonymous ids whose user became known.
func (v *View) UserCount() int { return len(v.users) }

// UserName is the id by which a user is known.
func (v *View) UserName(n uint32) string { return v.users[n] }

// UserNumber is the user of that name; an anonymous id that was joined to a
// known user is that user.
func (v *View) UserNumber(name string) (uint32, bool) {
	n := slices.Index(v.users, name)
	return uint32(n), n >= 0
}

// SessionCount is one more than the largest session number. Some numbers may
// have no events.
func (v *View) SessionCount() int { return len(v.sessions) }

// SessionName is the client's session id, or "<user>@<start>" for a session
// that was derived because the client sent none.
func (v *View) SessionName(n uint32) string { return v.sessions[n] }

// BatchID is the id of the batch that a Ref names.
func (v *View) BatchID(n uint32) string { return v.batches[n] }

// Len is the number of rows.
func (d *Day) Len() int { return len(d.times) }

// Runs are the day's event types, in the order of their names and their rows.
func (d *Day) Runs() []Run { return d.runs }

// Times are, by row, milliseconds since the day's start.
func (d *Day) Times() []uint32 { return d.times }

// Users are, by row, the user's number; identities are joined already.
func (d *Day) Users() []uint32 { return d.users }

// Sessions are, by row, the session's number.
func (d *Day) Sessions() []uint32 { return d.sessions }

// Refs are, by row, where the raw event is.
func (d *Day) Refs() (batches []uint32, positions []uint16) { return d.batches, d.positions }

// Ref is where the raw event of one row is.
func (d *Day) Ref(row uint32) Ref { return Ref{d.batches[row], d.positions[row]} }

// ByTime are the rows in the order of time.
func (d *Day) ByTime() []uint32 {
	rows := d.all()
	slices.SortStableFunc(rows, func(a, b uint32) int { return int(d.times[a]) - int(d.times[b]) })
	return rows
}

// RowsOfUser are the user's rows in the order of time.
func (d *Day) RowsOfUser(user uint32) []uint32 {
	rows := slices.DeleteFunc(d.ByTime(), func(row uint32) bool { return d.users[row] != user })
	return rows
}

func (d *Day) all() []uint32 {
	rows := make([]uint32, d.Len())
	for i := range rows {
		rows[i] = uint32(i)
	}
	return rows
}

// Column is a field ("page_path") or property ("amount", "properties.amount")
// of the day's rows, read from the store when it is not in memory.
func (d *Day) Column(ctx context.Context, name string) (*Column, error) {
	found, err := d.Columns(ctx, name)
	if err != nil {
		return nil, err
	}
	return found[0], nil
}

// Columns are several columns, in the order of names; those that are not in
// memory are read from the store in one pass.
func (d *Day) Columns(ctx context.Context, names ...string) ([]*Column, error) {
	columns := make([]*Column, len(names))
	for i, name := range names {
		columns[i] = d.view.source.column(d, name)
	}
	return columns, ctx.Err()
}

// Load brings these columns of these days into memory, reading each batch once
// for all of them; Column then answers from memory.
func (v *View) Load(ctx context.Context, days []*Day, names ...string) error { return ctx.Err() }

// Events calls yield for the raw events of refs, in their order, until it
// returns an error, which it returns. Events that are not stored any more are
// left out. Memory is bounded, however many refs there are.
func (v *View) Events(ctx context.Context, refs []Ref, yield func(*event.Event) error) error {
	for _, ref := range refs {
		if err := yield(v.source.event(v.batches[ref.Batch], ref.Position)); err != nil {
			return err
		}
	}
	return ctx.Err()
}
