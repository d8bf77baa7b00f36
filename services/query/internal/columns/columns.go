// Package columns holds the events of each project as columns in memory, by
// UTC day. Reports read a View; nothing else reads events by time or user.
package columns

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"sort"
	"sync/atomic"

	"github.com/maidian/maidian/pkg/event"
)

// View is one project's events as they were at one moment. It never changes
// and may be read by any number of goroutines.
type View struct {
	Project string
	Newest  event.Time // the largest timestamp; zero when there is no event
	AsOf    event.Time // everything the journal named before this moment is in

	RetainedFrom event.Time // what happened before is not kept any more; zero: everything is

	days       []*edition // ascending
	identities nameList
	users      []uint32 // by identity
	table      *Table
}

// Day is what a query reads of one UTC day: runs, times and users always, the
// rest as far as it was asked for when the day was opened. Rows stand by event
// type, and within a type by user and time; equal times stand in order of
// batch id and position. It never changes, and stays whole for as long as it
// is held, whatever leaves memory meanwhile.
type Day struct {
	*core
	Number int32 // days since 1970-01-01

	edition  *edition
	sessions Codes
	refs     refs
	columns  map[string]*Column // by canonical name
}

// core is what every query reads of a day. What is worked out from it alone
// may hang on it by atomic pointers: it goes when the core goes.
type core struct {
	runs     []Run
	kinds    []uint32 // by run: its type's number
	times    []uint32
	users    []uint32
	byTime   atomic.Pointer[[]uint32]
	extracts extracts
}

// refs say where the rows' raw events are.
type refs struct {
	batches   Codes
	positions []uint16
}

// edition is one state of a day: whatever comes makes another. Of a quiet one
// all rows are sealed, and it has in memory what was asked for lately.
type edition struct {
	Number int32
	table  *Table
	quiet  *quiet

	*core               // from here on: of one that is not quiet
	identities []uint32 // users itself, unless an identity of the day was joined to another user
	sessions   []uint32
	batches    []uint32
	positions  []uint16
	ongoing    []ongoing                        // derived sessions that may reach into the next day, by user
	columns    atomic.Pointer[map[string]*held] // complete ones
	begun      map[string]begun                 // those whose older rows are still being read; fixed when the day is made
}

func newEdition(t *Table, number int32) *edition {
	return &edition{Number: number, table: t, core: &core{}}
}

// Len is the number of rows.
func (d *edition) Len() int {
	if d.quiet != nil {
		return d.quiet.day.Rows
	}
	return len(d.times)
}

// Run is the rows [Lo, Hi) of one event type.
type Run struct {
	Type   string
	Lo, Hi int
}

// Column is one field or property of a day's rows, as codes into a dictionary
// that all days of the project share. Code 0 is the absent value.
// A filter is evaluated once for each dictionary value, then looked up for each row.
//
// Codes of two columns can be compared as long as one of the *Columns is held:
// a dictionary that nobody holds may leave memory, and is numbered anew next time.
type Column struct {
	Codes  Codes         // by row
	Values []event.Value // by code; at least as long as the largest code + 1

	dictionary *dictionary
}

// At is the value of a row.
func (c *Column) At(row int) event.Value { return c.Values[c.Codes.At(row)] }

// Ref says where a row's raw event is: its batch (View.BatchID) and its place in it.
type Ref struct {
	Batch    uint32
	Position uint16
}

const dayLength = event.Time(24 * 60 * 60 * 1000)

// Start is the first moment of the day.
func (d *Day) Start() event.Time { return event.Time(d.Number) * dayLength }

// Len is the number of rows.
func (d *core) Len() int { return len(d.times) }

// Start is the first moment of the day.
func (d *edition) Start() event.Time { return event.Time(d.Number) * dayLength }

// Needs is what a query reads of its days beside runs, times and users.
type Needs struct {
	Columns  []string // fields ("page_path") and properties ("amount", "properties.amount")
	Sessions bool
	Refs     bool // places of raw events, for Ref, ByTime and RowsOfUser
}

// Open are the days that overlap [from, to], ascending, with what is needed of
// them brought into memory. Days that are not in memory are read for it.
func (v *View) Open(ctx context.Context, from, to event.Time, n Needs) ([]*Day, error) {
	editions := v.between(from, to)
	if len(editions) == 0 {
		return nil, ctx.Err()
	}
	return v.open(ctx, editions, n)
}

// OpenAll are all days that have events.
func (v *View) OpenAll(ctx context.Context, n Needs) ([]*Day, error) {
	return v.Open(ctx, math.MinInt64, math.MaxInt64, n)
}

// Starts are the first moments of the days that have events and overlap
// [from, to], ascending: for queries that open one day after the other.
func (v *View) Starts(from, to event.Time) []event.Time {
	var starts []event.Time
	for _, d := range v.between(from, to) {
		starts = append(starts, d.Start())
	}
	return starts
}

func (v *View) between(from, to event.Time) []*edition {
	lo := sort.Search(len(v.days), func(i int) bool { return v.days[i].Start()+dayLength > from })
	hi := sort.Search(len(v.days), func(i int) bool { return v.days[i].Start() > to })
	return v.days[lo:max(lo, hi)]
}

func (v *View) open(ctx context.Context, editions []*edition, n Needs) ([]*Day, error) {
	n.Columns = canonicals(n.Columns)
	days, whole := make([]*Day, len(editions)), make([]*edition, 0, len(editions))
	for i, e := range editions {
		days[i] = &Day{Number: e.Number, edition: e, columns: make(map[string]*Column, len(n.Columns))}
		if e.quiet == nil {
			days[i].core, days[i].sessions, days[i].refs = e.core, CodesOf(e.sessions), refs{CodesOf(e.batches), e.positions}
			whole = append(whole, e)
		}
	}
	if err := v.openQuiet(ctx, days, n); err != nil {
		return nil, fmt.Errorf("open days of project %s: %w", v.Project, err)
	}
	if len(n.Columns) == 0 {
		return days, ctx.Err()
	}
	found, err := v.table.columns(ctx, whole, n.Columns)
	if err != nil {
		return nil, err
	}
	for _, d := range days {
		if d.edition.quiet != nil {
			continue
		}
		for j, name := range n.Columns {
			d.columns[name] = found[0][j]
		}
		found = found[1:]
	}
	return days, ctx.Err()
}

// Column is a column that was asked for when the day was opened.
func (d *Day) Column(name string) *Column { return d.columns[canonical(name)] }

// UserCount is one more than the largest user number. Some numbers may have no
// events: those of anonymous ids whose user became known.
func (v *View) UserCount() int { return v.identities.len() }

// UserName is the id by which a user is known.
func (v *View) UserName(n uint32) string { return unpack(v.identities.at(n)) }

// UserNumber is the user of that name; an anonymous id that was joined to a
// known user is that user.
func (v *View) UserNumber(name string) (uint32, bool) {
	if v.table == nil {
		return 0, false
	}
	n, ok := v.table.find(name, len(v.users))
	if !ok {
		return 0, false
	}
	return v.users[n], true
}

// SessionCount is one more than the largest session number of the days that
// were opened until now: it grows as days come into memory. Some numbers may
// have no events.
func (v *View) SessionCount() int { return v.table.sessions.names.shown.Load().len() }

// SessionName is the client's session id, or "<user>@<start>" for a session
// that was derived because the client sent none.
func (v *View) SessionName(n uint32) string {
	b := v.table.sessions.names.shown.Load().at(n)
	if b[0] != derived {
		return unpack(b)
	}
	start := event.Time(binary.BigEndian.Uint64(b[5:]))
	return v.UserName(binary.BigEndian.Uint32(b[1:])) + "@" + start.String()
}

// BatchID is the id of the batch that a Ref names.
func (v *View) BatchID(n uint32) string { return unpack(v.table.batches.shown.Load().at(n)) }

// Runs are the day's event types, in the order of their names and their rows.
func (d *core) Runs() []Run { return d.runs }

// Times are, by row, milliseconds since the day's start.
func (d *core) Times() []uint32 { return d.times }

// Users are, by row, the user's number; identities are joined already.
func (d *core) Users() []uint32 { return d.users }

// Sessions are, by row, the session's number.
func (d *Day) Sessions() *Codes { return &d.sessions }

// Refs are, by row, where the raw event is.
func (d *Day) Refs() (batches *Codes, positions []uint16) { return &d.refs.batches, d.refs.positions }

// Ref is where the raw event of one row is.
func (d *Day) Ref(row uint32) Ref { return Ref{d.refs.batches.At(int(row)), d.refs.positions[row]} }

// compareRefs orders two rows by batch id and position.
func (d *Day) compareRefs(batches *nameList, a, b uint32) int {
	return compareRefs(batches, d.refs.batches.At(int(a)), d.refs.positions[a], d.refs.batches.At(int(b)), d.refs.positions[b])
}

// ByTime are the rows in the order of time, those of equal time by batch id
// and position. It is made on first use and must not be changed.
func (d *Day) ByTime() []uint32 {
	if rows := d.byTime.Load(); rows != nil {
		return *rows
	}
	items := make([]keyed, d.Len())
	for i, at := range d.times {
		items[i] = keyed{uint64(at), uint32(i)}
	}
	rows := make([]uint32, len(items))
	for i, item := range sortKeyed(items) {
		rows[i] = item.row
	}
	d.settleTimes(rows)
	if d.edition.quiet == nil { // else it would take memory that nobody counts
		d.byTime.Store(&rows)
	}
	return rows
}

// settleTimes orders rows of equal time by batch and position.
func (d *Day) settleTimes(rows []uint32) {
	if len(rows) == 0 {
		return
	}
	batches := d.edition.table.batches.shown.Load()
	for lo := 0; lo < len(rows); {
		hi := lo + 1
		for hi < len(rows) && d.times[rows[hi]] == d.times[rows[lo]] {
			hi++
		}
		slices.SortFunc(rows[lo:hi], func(a, b uint32) int {
			return d.compareRefs(batches, a, b)
		})
		lo = hi
	}
}

// HasUser says whether the user has a row.
func (d *Day) HasUser(user uint32) bool { return d.hasUser(user) }

func (d *core) hasUser(user uint32) bool {
	return slices.ContainsFunc(d.runs, func(run Run) bool {
		_, has := slices.BinarySearch(d.users[run.Lo:run.Hi], user)
		return has
	})
}

// RowsOfUser are the user's rows in the order of time. No index is needed:
// they stand together within each type.
func (d *Day) RowsOfUser(user uint32) []uint32 {
	var rows []uint32
	for _, run := range d.runs {
		users := d.users[run.Lo:run.Hi]
		at, _ := slices.BinarySearch(users, user)
		for ; at < len(users) && users[at] == user; at++ {
			rows = append(rows, uint32(run.Lo+at))
		}
	}
	if len(rows) < 2 {
		return rows
	}
	batches := d.edition.table.batches.shown.Load()
	slices.SortFunc(rows, func(a, b uint32) int {
		return cmp.Or(
			cmp.Compare(d.times[a], d.times[b]),
			d.compareRefs(batches, a, b),
		)
	})
	return rows
}
