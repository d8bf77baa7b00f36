package columns

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/store"
)

// FromEvents is a View of these events alone, for tests of reports. Events
// without a batch are put into batches in their order.
func FromEvents(project string, events []event.Event) *View {
	m := newMemory(events)
	tables := NewTables(m, math.MaxInt64, nil)
	table := tables.Project(project)
	for _, id := range slices.Sorted(maps.Keys(m.batches)) {
		table.Add([]store.Batch{{ID: id, Project: project, Stored: len(m.batches[id])}}, m.batches[id])
	}
	tables.SetAsOf(table.newest)
	return table.View()
}

// memory is a reader of a few events.
type memory struct{ batches map[string][]event.Event }

func newMemory(events []event.Event) *memory {
	m := &memory{batches: make(map[string][]event.Event)}
	for i, e := range events {
		if e.BatchID == "" {
			e.BatchID, e.Position = fmt.Sprintf("events-%05d", i/1000), i%1000
		}
		m.batches[e.BatchID] = append(m.batches[e.BatchID], e)
	}
	for _, batch := range m.batches {
		slices.SortStableFunc(batch, func(a, b event.Event) int { return cmp.Compare(a.Position, b.Position) })
	}
	return m
}

func (m *memory) EventsOfBatches(ctx context.Context, _ string, ids []string, yield func(*event.Event) error) error {
	for _, id := range ids {
		for i := range m.batches[id] {
			if err := yield(&m.batches[id][i]); err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}
