package destination

import (
	"encoding/json"

	"github.com/maidian/maidian/pkg/event"
)

// Kinds of the records about destinations. A destination's own and its state
// have its id; the state of a backfill has the destination's id, "/" and its own.
const (
	Kind       = "destination"
	StateKind  = "destination_state"
	LetterKind = "destination_letter" // their ids begin with the destination's and "/"
	LeaseKind  = "lease"              // of all leases, those of other work too
)

// LeaseID is that of the lease of a destination, or of its backfill.
func LeaseID(id string) string { return "forward/" + id }

// Record is what is wanted of a destination. The query service writes it, the
// consumer that forwards follows it.
type Record struct {
	Definition json.RawMessage `json:"definition"`
	CreatedAt  event.Time      `json:"created_at"`
	UpdatedAt  event.Time      `json:"updated_at"`
	Start      Start           `json:"start"`
	Backfills  []Backfill      `json:"backfills"`
	Resends    []Resend        `json:"resends,omitempty"`
}

// Start is where in the journal forwarding begins. One with another id than was
// taken before moves a destination that is at work.
type Start struct {
	ID string `json:"id"`
	At int64  `json:"at"` // in milliseconds: what was stored from then on; 0: all there is
}

// Backfill sends what was stored in a range once more, beside what is new.
type Backfill struct {
	ID   string `json:"id"`
	From int64  `json:"from"` // in milliseconds, as are the next ones
	To   int64  `json:"to"`   // inclusive
}

// Resend offers events that the destination refused once more: to see whether
// it, or the definition, has been put right.
type Resend struct {
	ID     string   `json:"id"`
	Events []string `json:"events,omitempty"` // their ids; none: all that were refused
	Until  int64    `json:"until"`            // in milliseconds: letters that were written up to then
}

// State is how far a destination, backfill or resend is. Only the consumer that
// has its lease writes it.
type State struct {
	Start    string          `json:"start"`             // id of the Start that was taken
	Position json.RawMessage `json:"position"`          // behind all that was handed out
	Pending  *Group          `json:"pending,omitempty"` // of that, what may not have been sent
	Done     bool            `json:"done,omitempty"`    // a backfill or resend that has come to its end

	Sent      int64   `json:"sent"`       // events that the destination took, counted again when sent again
	LeftOut   int64   `json:"left_out"`   // events that the definition does not send
	Refused   int64   `json:"refused"`    // events that it will not take: they became letters
	StoredAt  int64   `json:"stored_at"`  // in milliseconds: the journal is done up to about here
	WaitingAt int64   `json:"waiting_at"` // since when the oldest entry waits that is being sent; 0: none
	Backlog   Backlog `json:"backlog"`

	LastSentAt  int64  `json:"last_sent_at,omitempty"`
	LastError   string `json:"last_error,omitempty"` // empty once something was sent
	LastErrorAt int64  `json:"last_error_at,omitempty"`
	Failures    int    `json:"failures,omitempty"` // in a row

	Refusals int    `json:"refusals,omitempty"` // by how much they outweigh, of late, what was taken
	Paused   *Pause `json:"paused,omitempty"`
	SavedAt  int64  `json:"saved_at"` // in milliseconds: when this was true
}

// Backlog is what waits in the journal, of the destination's project.
type Backlog struct {
	Entries   int64 `json:"entries"`
	Events    int64 `json:"events"`               // whether the definition sends them or not
	CountedTo int64 `json:"counted_to,omitempty"` // in milliseconds, while there is more to count; 0: that is all
}

// Pause ends forwarding until the destination's record is changed.
type Pause struct {
	Revision int64  `json:"revision"` // of that record
	Reason   string `json:"reason"`
	At       int64  `json:"at"` // in milliseconds
}

// Group is some entries of the journal, or some refused events, that are sent together.
type Group struct {
	ID      string   `json:"id"`
	Batches []string `json:"batches,omitempty"`
	Events  []string `json:"events,omitempty"`
	Stored  int64    `json:"stored,omitempty"` // events of the entries
	At      int64    `json:"at,omitempty"`     // in milliseconds: when the last of the entries was written
	Taken   *Place   `json:"taken,omitempty"`  // the destination has what stands before or here
}

// Place is that of an event among those that are stored.
type Place struct {
	Batch    string `json:"batch"`
	Position int    `json:"position"`
}

// Letter says that a destination does not take an event, and why. Of the event it
// holds nothing but where it is, so that an erased person's letters say nothing.
type Letter struct {
	EventID     string `json:"event_id"`
	BatchID     string `json:"batch_id"`
	Destination string `json:"destination"`
	Reason      string `json:"reason"` // the destination's answer
	At          int64  `json:"at"`     // in milliseconds
}

// LetterID is that of the letter about an event.
func LetterID(destination, event string) string { return destination + "/" + event }
