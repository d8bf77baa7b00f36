// Package store says what the pipeline needs of a database: raw events that
// are stored once, the journal of batches, dead letters, and projects.
//
// Two adapters keep these promises: store/mongo (MongoDB, production) and
// store/sqlite (SQLite, one machine). storetest holds the conformance suite
// that both pass. The interface needs no more of a server than: insert, find
// by indexed fields with sort, limit and projection, replace and update by _id
// with upsert, delete by indexed fields, and create index.
package store

import (
	"context"
	"errors"

	"github.com/maidian/maidian/pkg/event"
)

// Store is everything; callers declare the part that they use.
type Store interface {
	Events
	Journal
	DeadLetters
	Projects
	Segments
	Jobs
	Tallies
	Records

	// Ping is nil when the store answers, else fault.Unavailable.
	Ping(ctx context.Context) error
	Close() error
}

// Outcome is what became of one event given to InsertEvents.
type Outcome uint8

const (
	Stored    Outcome = iota // new, stored now
	Own                      // already there, brought by an earlier attempt of this very batch and position
	Duplicate                // already there, brought by another batch or another place of this one
)

// Events are the raw events, the truth that everything else is derived from.
type Events interface {
	// InsertEvents makes events durable and says of each what became of it, in
	// the order given. An event's key is its project and event id; a second
	// copy is refused by the primary key and changes nothing. Events carry
	// their BatchID and Position. On an error any part of them may be stored;
	// calling again with the same events is safe. An error of kind
	// fault.Invalid means that at least one event can never be stored.
	InsertEvents(ctx context.Context, events []event.Event) ([]Outcome, error)

	// EventsOfBatches calls yield for every stored event of these batches of
	// the project, batch by batch in the order of ids and by position within
	// a batch, until yield returns an error, which it returns.
	EventsOfBatches(ctx context.Context, project string, ids []string, yield func(*event.Event) error) error

	// Event is one event by its id, or ErrNotFound.
	Event(ctx context.Context, project, id string) (*event.Event, error)

	// EraseEvents leaves of these events of a project nothing but tombstones:
	// key, batch id and position, by which InsertEvents goes on knowing every
	// late copy for what it is. Other methods know the events no more. The
	// entries of their batches then count all their tombstones as Erased, and
	// are written at the given time or keep their own if it is later, so that
	// those who follow the journal learn of it. Ids that are not there are left
	// out. After an error any part may be done; calling again does the rest.
	EraseEvents(ctx context.Context, project string, ids []string, at event.Time) error

	// ErasedEvents are the ids of the tombstones of these batches, in no order.
	ErasedEvents(ctx context.Context, project string, batches []string) ([]string, error)

	// PruneEvents deletes events for good: unlike erased ones they leave nothing,
	// and a later copy of one is new. Ids that are not there, and tombstones, are
	// left out. The entries of the batches then count as Pruned what of Stored is
	// not there any more, tombstones aside, and name the days of what is left. An
	// entry that was written after it was read stays as it is: prune it again.
	// After an error any part may be done; calling again does the rest.
	PruneEvents(ctx context.Context, prunings []Pruning) error
}

// Pruning is what goes of one batch.
type Pruning struct {
	Batch  Batch    // its entry as it was read
	Events []string // ids of those that go
	Days   []int32  // on which those fall that stay, ascending
}

// Batch is the journal's entry for one message and project: the proof of what
// became of its events, and the news that they can be read.
type Batch struct {
	ID           string // the batch id: the message's UUIDv7
	Project      string
	WrittenAt    event.Time // by the writing consumer's clock
	ReceivedAt   event.Time // the earliest received_at of its events
	Stored       int
	Duplicates   int
	DeadLettered int
	Erased       int     // of those stored; EraseEvents alone writes it, RecordBatches leaves it as it is
	Pruned       int     // of those stored, too old to be kept; PruneEvents alone writes it, likewise
	Days         []int32 // UTC days (since 1970-01-01) on which its stored events fall, ascending; not those of pruned ones
	Accounts     []Account
}

// Live is how many of the batch's events can be read.
func (b *Batch) Live() int { return b.Stored - b.Erased - b.Pruned }

// Journal is the list of batches, written after their events.
type Journal interface {
	// RecordBatches upserts entries by ID and Project. Recording one again that says the same of its events
	// (ReceivedAt, Stored, Duplicates, DeadLettered, Days), as after a redelivery or a lost reply, leaves it where it
	// is, so that who follows the journal meets it once; another replaces all but Erased and Pruned.
	RecordBatches(ctx context.Context, batches []Batch) error

	// Batches returns entries of all projects with (WrittenAt, ID, Project)
	// after the cursor, ascending, at most limit. The zero Cursor is the beginning.
	Batches(ctx context.Context, after Cursor, limit int) ([]Batch, error)
}

// Cursor is a place in the journal.
type Cursor struct {
	WrittenAt event.Time
	ID        string
	Project   string
}

// After is the place just behind b.
func After(b Batch) Cursor { return Cursor{b.WrittenAt, b.ID, b.Project} }

// DeadLetter is an event, or a whole message, that can never be stored as it is.
type DeadLetter struct {
	ID        string // batch id and position: writing it again is the same letter
	Project   string // empty when the payload is too broken to tell
	Key       string // id of the write key it came with, where that is known
	Hour      int32  // of its receipt since 1970-01-01, likewise
	BatchID   string
	Position  int // in the batch; -1 for a whole message
	Reason    string
	Payload   []byte // as it came off the queue
	Attempts  int
	FirstSeen event.Time
}

// DeadLetters can be listed, replayed and discarded by tools, on any broker.
type DeadLetters interface {
	// PutDeadLetters upserts by ID; FirstSeen of a letter already there stays.
	PutDeadLetters(ctx context.Context, letters []DeadLetter) error
	// DeadLetter is one by its id, or ErrNotFound.
	DeadLetter(ctx context.Context, id string) (*DeadLetter, error)
	// DeadLetters of a project ("*" for all), with ID above after, ascending by ID, at most limit.
	DeadLetters(ctx context.Context, project, after string, limit int) ([]DeadLetter, error)
	// DeleteDeadLetters returns how many there were.
	DeleteDeadLetters(ctx context.Context, ids []string) (int, error)

	// PutDiscards upserts by ID.
	PutDiscards(ctx context.Context, discards []Discard) error
	// Discards of a project ("*" for all), with ID above after, ascending by ID, at most limit.
	Discards(ctx context.Context, project, after string, limit int) ([]Discard, error)
}

// Discard says who deleted a dead letter, when and why. Of what was in the
// letter it holds nothing, nor its reason, which may quote it.
type Discard struct {
	ID        string // in the order of time
	Letter    string // its id
	Project   string // of the letter, as are the next ones
	BatchID   string
	Position  int
	FirstSeen event.Time
	At        event.Time
	By        string // as they say
	Address   string // that the request came from
	Reason    string // for discarding it
}

// IP policies of a project: how much of a visitor's address is stored.
const (
	IPFull = "full"
	IPMask = "mask" // the last octet of IPv4, the last 80 bits of IPv6 are zero
	IPDrop = "drop"
)

// Project is a site or app whose data, keys and answers never mix with another's.
type Project struct {
	ID        string
	Name      string
	Timezone  string   // IANA; empty means UTC
	Currency  string   // ISO 4217; default of purchases
	Origins   []string // allowed web origins; empty allows all
	IPPolicy  string   // IPFull, IPMask or IPDrop
	Keys      []Key
	CreatedAt event.Time
	Revision  int64 // raised by each UpdateProject

	RetentionDays int   // how long events are kept; 0: for ever
	PrunedBefore  int32 // events of days (since 1970-01-01) before it are gone, or on their way out; 0: none
}

// Kinds of key.
const (
	WriteKey = "write"
	ReadKey  = "read"
)

// Key lets somebody write or read one project. Only its SHA-256 is kept.
type Key struct {
	ID        string
	Kind      string // WriteKey or ReadKey
	Prefix    string // the first characters, so that people can tell keys apart
	Hash      string // SHA-256 of the whole key, hexadecimal
	CreatedAt event.Time
	RevokedAt event.Time // zero while it works
}

// Projects are few and small; services read them all and keep them in memory.
type Projects interface {
	Projects(ctx context.Context) ([]Project, error)
	// CreateProject fails with ErrConflict when the id is taken.
	CreateProject(ctx context.Context, p Project) error
	// UpdateProject replaces the project whose stored Revision equals p's and
	// raises it by one; ErrConflict when somebody changed it first, ErrNotFound when there is none.
	UpdateProject(ctx context.Context, p Project) error
}

// Segment is a piece of what was derived from one day's events and can be
// derived again: one column, or a part of one that is too large for one document.
type Segment struct {
	Project string
	Day     int32  // since 1970-01-01
	Name    string // of the column
	Part    int    // from 0
	Data    []byte // at most MostSegmentData
}

// MostSegmentData is the most bytes of one segment that every store takes.
const MostSegmentData = 8 << 20

// Segments are a cache beside the events: any of them may be missing, old or
// another program's. What they hold is their reader's affair.
type Segments interface {
	// PutSegments replaces what stands under the same project, day, name and
	// part. On an error any of them may be there, each as it was or as it is given.
	PutSegments(ctx context.Context, segments []Segment) error

	// Segments calls yield for the project's segments of the days in [from, to]
	// and these names (none: of every name), in the order of day, name and
	// part, until yield returns an error, which it returns. Those that are
	// written or deleted meanwhile are seen or not.
	Segments(ctx context.Context, project string, from, to int32, names []string, yield func(*Segment) error) error

	// DeleteSegments deletes what Segments would find, and says how many there were.
	DeleteSegments(ctx context.Context, project string, from, to int32, names []string) (int, error)
}

// What an answer can be besides the thing asked for.
var (
	ErrNotFound = errors.New("not found")
	ErrConflict = errors.New("changed or taken by somebody else")
)
