// Package stored reads what a store holds, with the bare driver and from the
// tables or collections as they lie there.
package stored

import (
	"context"
	"fmt"
	"strings"
)

// Event is one stored event.
type Event struct {
	Project, ID, Batch string
	Position           int
	Fields             map[string]any // numbers as json.Number, times as epoch milliseconds
}

// Letter is one dead letter.
type Letter struct {
	ID, Project, Reason string
	Payload             []byte
}

// Entry is what the journal says of one project.
type Entry struct{ Stored, Duplicates, DeadLettered int }

// Message is one entry of the journal: a message's events of one project.
type Message struct {
	Batch, Project string
	Written        int64 // epoch milliseconds
}

// Record is one of the small documents that processes share.
type Record struct {
	Project, ID string
	Data        []byte
}

// Size tells cheaply whether anything has changed.
type Size struct{ Events, Batches, Letters int64 }

// Store is a store that is only read.
type Store interface {
	Events(ctx context.Context, yield func(*Event) error) error
	Letters(ctx context.Context) ([]Letter, error)
	Journal(ctx context.Context) (map[string]Entry, error)
	Messages(ctx context.Context) ([]Message, error)
	Records(ctx context.Context, kind string) ([]Record, error)
	Size(ctx context.Context) (Size, error)
	Close() error
}

// Open opens sqlite:<file> or mongodb://…/<database>.
func Open(ctx context.Context, at string) (Store, error) {
	if file, ok := strings.CutPrefix(at, "sqlite:"); ok {
		return openSQLite(ctx, file)
	}
	if strings.HasPrefix(at, "mongodb://") || strings.HasPrefix(at, "mongodb+srv://") {
		return openMongo(ctx, at)
	}
	return nil, fmt.Errorf("a store is sqlite:<file> or mongodb://<host>/<database>, got %q", at)
}
