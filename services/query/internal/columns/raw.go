package columns

import (
	"context"
	"fmt"
	"slices"

	"github.com/maidian/maidian/pkg/event"
)

// rawAtOnce is how many raw events are in memory at a time.
const rawAtOnce = 2000

// Events calls yield for the raw events of refs, in their order, until it
// returns an error, which it returns. Events that are not stored any more are
// left out. Memory is bounded, however many refs there are.
func (v *View) Events(ctx context.Context, refs []Ref, yield func(*event.Event) error) error {
	for some := range slices.Chunk(refs, rawAtOnce) {
		if err := v.someEvents(ctx, some, yield); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (v *View) someEvents(ctx context.Context, refs []Ref, yield func(*event.Event) error) error {
	events, err := v.fetch(ctx, refs)
	if err != nil {
		return fmt.Errorf("read %d events of project %s: %w", len(refs), v.Project, err)
	}
	for i := range events {
		if events[i].EventID == "" { // not stored any more
			continue
		}
		if err := yield(&events[i]); err != nil {
			return err
		}
	}
	return nil
}

// fetch reads the events of refs, in their order; those that are gone stay zero.
func (v *View) fetch(ctx context.Context, refs []Ref) ([]event.Event, error) {
	events := make([]event.Event, len(refs))
	places := make(map[string]map[int][]int) // by batch id and position
	for i, ref := range refs {
		id := v.BatchID(ref.Batch)
		if places[id] == nil {
			places[id] = make(map[int][]int)
		}
		places[id][int(ref.Position)] = append(places[id][int(ref.Position)], i)
	}
	ids := make([]string, 0, len(places))
	for id := range places {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for some := range slices.Chunk(ids, batchesAtOnce) {
		err := v.table.tables.reader.EventsOfBatches(ctx, v.Project, some, func(e *event.Event) error {
			for _, i := range places[e.BatchID][e.Position] {
				events[i] = *e
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return events, nil
}
