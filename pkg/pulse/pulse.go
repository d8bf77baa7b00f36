// Package pulse is how processes tell each other what they have measured, by
// way of the store that all of them have: whoever evaluates rules about the
// pipeline need not be the one who stores, or who keeps the accounts.
package pulse

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/store"
)

// Kind of the records; the ID is a name, "/", and who tells it.
const Kind = "pulse"

// What is told.
const (
	StorageErrors = "storage_errors"     // calls of the store that failed within Lately, by each consumer that stores; of no project
	Unaccounted   = "unaccounted_events" // accepted events of which nobody knows what became of them; of each project
)

// Lately is how far back something counts that is told as a rate.
const Lately = time.Minute

// keep is how long something is there that nobody tells any more.
const keep = 24 * time.Hour

// Board is where it is told.
type Board interface {
	Record(ctx context.Context, kind, project, id string) (*store.Record, error)
	Records(ctx context.Context, kind, project, after string, limit int) ([]store.Record, error)
	CreateRecord(ctx context.Context, r store.Record) error
	UpdateRecord(ctx context.Context, r store.Record) error
	DeleteRecord(ctx context.Context, r store.Record) error
}

// told is a value and the moment at which it was so.
type told struct {
	Value float64    `json:"value"`
	At    event.Time `json:"at"`
}

// Tell replaces what the same teller told before. When two tell at the same
// moment under one name, either stands.
func Tell(ctx context.Context, s Board, project, name, teller string, value float64, at event.Time) error {
	data, err := json.Marshal(told{value, at})
	if err != nil {
		return err
	}
	r, err := s.Record(ctx, Kind, project, name+"/"+teller)
	write := s.UpdateRecord
	if errors.Is(err, store.ErrNotFound) {
		r, write, err = &store.Record{Kind: Kind, Project: project, ID: name + "/" + teller}, s.CreateRecord, nil
	}
	if err == nil {
		r.Data = data
		err = write(ctx, *r)
	}
	if err != nil && !errors.Is(err, store.ErrConflict) {
		return fmt.Errorf("tell %s: %w", name, err)
	}
	return nil
}

// Sum adds up what all tell since a moment, of which nothing is known when
// nobody does. What has not been told for a day is deleted.
func Sum(ctx context.Context, s Board, project, name string, since event.Time) (sum float64, known bool, err error) {
	err = store.EachRecord(ctx, s, Kind, project, func(r *store.Record) error {
		if !strings.HasPrefix(r.ID, name+"/") {
			return nil
		}
		var t told
		if err := json.Unmarshal(r.Data, &t); err != nil {
			return fmt.Errorf("record %s: %w", r.Key(), err)
		}
		switch {
		case t.At >= since:
			sum, known = sum+t.Value, true
		case t.At < since-event.Time(keep.Milliseconds()):
			_ = s.DeleteRecord(ctx, *r) // somebody tells it again, or deletes it first
		}
		return nil
	})
	return sum, known, err
}
