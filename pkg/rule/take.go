package rule

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/store"
)

// Events reads stored events back.
type Events interface {
	EventsOfBatches(ctx context.Context, project string, ids []string, yield func(*event.Event) error) error
}

// Take looks at the events of entries of the journal, which are in its order,
// and says how many there were. Those of other projects are passed over. After
// an error nothing was looked at.
func (e *Evaluator) Take(ctx context.Context, stored Events, entries []store.Batch) (int, error) {
	byBatch, n := make(map[string][]event.Event, len(entries)), 0
	err := eventsOf(ctx, stored, e.project, entries, func(ev *event.Event) error {
		byBatch[ev.BatchID] = append(byBatch[ev.BatchID], *ev)
		n++
		return nil
	})
	if err != nil {
		return 0, err
	}
	for i := range entries {
		if entries[i].Project == e.project {
			e.Advance(cmp.Or(entries[i].ReceivedAt, entries[i].WrittenAt))
			events := byBatch[entries[i].ID]
			for j := range events {
				e.Observe(&events[j])
			}
		}
	}
	return n, nil
}

// Replay evaluates what was stored from where the evaluator stands until a
// moment, as it would have been then; told is given what came out. It stops
// short, not whole, after so many events and entries of the journal, at Progress.
func (e *Evaluator) Replay(ctx context.Context, journal Journal, stored Events, until event.Time, most int, told func([]Firing)) (events int, whole bool, err error) {
	err = eachPiece(ctx, journal, e.project, e.progress, func(b *store.Batch) error {
		if b.Project == e.project {
			return spend(&most, 1+b.Stored)
		}
		return spend(&most, 1)
	}, func(entries []store.Batch) error {
		n, err := e.Take(ctx, stored, entries)
		events += n
		told(e.Firings())
		return err
	})
	if errors.Is(err, errEnough) {
		return events, false, nil
	}
	e.Advance(until)
	told(e.Firings())
	return events, err == nil, err
}

func eventsOf(ctx context.Context, stored Events, project string, entries []store.Batch, yield func(*event.Event) error) error {
	var ids []string
	for i := range entries {
		if entries[i].Project == project {
			ids = append(ids, entries[i].ID)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	if err := stored.EventsOfBatches(ctx, project, ids, yield); err != nil {
		return fmt.Errorf("read stored events: %w", err)
	}
	return nil
}
