package enrich

import (
	"github.com/google/uuid"

	"github.com/maidian/maidian/pkg/event"
)

// identity gives the event its project, its receipt and, when the client chose
// none, its id: time-ordered, so that the store's index grows at its end.
//
// A missing session id stays missing. A session ends after 30 idle minutes, and
// a collector that is one of many, with no memory, cannot know when a visitor
// was last active; see sessions.md.
func (en *Enricher) identity(v *Visit, e *event.Event) {
	e.Project = v.Project
	e.ReceivedAt = v.ReceivedAt
	if e.EventID == "" {
		e.EventID = NewID()
	}
	if e.EventName == "" {
		e.EventName = e.EventType
	}
	if e.SDK == "" {
		e.SDK = v.SDK
	}
}

// NewID is a UUIDv7.
func NewID() string {
	id, err := uuid.NewV7()
	if err != nil { // the system has no random numbers: nothing here can go on safely
		panic(err)
	}
	return id.String()
}
