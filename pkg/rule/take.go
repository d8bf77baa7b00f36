package rule

import (
	"cmp"
	"context"
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
	var ids []string
	for i := range entries {
		if entries[i].Project == e.project {
			ids = append(ids, entries[i].ID)
		}
	}
	if len(ids) == 0 {
		return 0, nil
	}
	byBatch, n := make(map[string][]event.Event, len(ids)), 0
	err := stored.EventsOfBatches(ctx, e.project, ids, func(ev *event.Event) error {
		byBatch[ev.BatchID] = append(byBatch[ev.BatchID], *ev)
		n++
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("read stored events: %w", err)
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
