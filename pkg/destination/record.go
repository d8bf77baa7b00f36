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
)

// Record is what is wanted of a destination. The query service writes it, the
// consumer that forwards follows it.
type Record struct {
	Definition json.RawMessage `json:"definition"`
	CreatedAt  event.Time      `json:"created_at"`
	UpdatedAt  event.Time      `json:"updated_at"`
	Start      Start           `json:"start"`
	Backfills  []Backfill      `json:"backfills"`
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

// State is how far a destination or backfill is. Only the consumer that has its
// lease writes it.
type State struct {
	Start    string          `json:"start"`             // id of the Start that was taken
	Position json.RawMessage `json:"position"`          // behind all that was handed out
	Pending  *Group          `json:"pending,omitempty"` // of that, what may not have been sent
	Done     bool            `json:"done,omitempty"`    // a backfill that has come to its end

	Sent      int64 `json:"sent"`       // events that the destination took, counted again when sent again
	LeftOut   int64 `json:"left_out"`   // events that the definition does not send
	Refused   int64 `json:"refused"`    // events that it will not take: they became letters
	StoredAt  int64 `json:"stored_at"`  // in milliseconds: the journal is done up to about here
	WaitingAt int64 `json:"waiting_at"` // since when the oldest entry waits that is being sent; 0: none

	LastSentAt  int64  `json:"last_sent_at,omitempty"`
	LastError   string `json:"last_error,omitempty"` // empty once something was sent
	LastErrorAt int64  `json:"last_error_at,omitempty"`
	Failures    int    `json:"failures,omitempty"` // in a row
}

// Group is some entries of the journal that are sent together.
type Group struct {
	ID      string   `json:"id"`
	Batches []string `json:"batches"`
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
