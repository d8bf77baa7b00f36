package columns

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/services/query/internal/sealed"
	"golang.org/x/sync/errgroup"
)

// Restore brings the sealed days of a manifest in. Afterwards the events of
// the open batches must be added with AddOpen, then what the journal names
// from its moment on. Days whose events are not those any more that they were
// sealed with are built from raw events. After an error nothing is in.
func (t *Table) Restore(ctx context.Context, m *sealed.Manifest) (err error) {
	defer func() {
		if err != nil {
			t.forget()
		}
	}()
	retained := t.Retained()
	kept := slices.DeleteFunc(slices.Clone(m.Days), func(d sealed.Day) bool { return d.Number < retained })
	var moved []int32
	contents, err := t.readBases(ctx, kept, func(day int32) { moved = append(moved, day) })
	if err != nil {
		return fmt.Errorf("restore project %s: %w", t.project, err)
	}
	if err := t.settleBases(ctx, kept, contents); err != nil {
		return fmt.Errorf("restore project %s: %w", t.project, err)
	}
	t.mu.Lock()
	t.since = event.Time(m.Before)
	for _, o := range m.Open {
		if o.Applied != sealed.Complete {
			n := t.batchNumber(o.ID)
			t.applied[n] = uint32(o.Applied)
			t.listed.add(n)
		}
	}
	t.stale.Store(true)
	t.mu.Unlock()
	for _, day := range moved {
		t.tables.metrics.unlike.Inc()
		if err := t.rebuild(ctx, day); err != nil {
			return fmt.Errorf("rebuild day %d of project %s: %w", day, t.project, err)
		}
	}
	return nil
}

// forget leaves nothing in.
func (t *Table) forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, h := range t.days {
		if h.day.quiet != nil {
			t.retire(h.day)
		}
	}
	t.tables.metrics.rows.Sub(float64(t.rows))
	t.empty()
	t.stale.Store(true)
}

// base is what became of reading one.
type base struct {
	content *sealed.Content
	err     error
}

// known is a content with the numbers of whom and what it names.
type known struct {
	*sealed.Content
	identities, kinds []uint32
}

// readBases reads all days, several at a time, and registers in their order
// whom they name. Bases stay in memory as far as the budget allows.
func (t *Table) readBases(ctx context.Context, days []sealed.Day, moved func(day int32)) (contents []known, err error) {
	group, ctx := errgroup.WithContext(ctx)
	ahead := make(chan struct{}, 4*runtime.GOMAXPROCS(0)) // bases that wait for their turn
	read := make([]chan base, len(days))
	for i := range read {
		read[i] = make(chan base, 1)
	}
	group.Go(func() error {
		var readers errgroup.Group
		readers.SetLimit(runtime.GOMAXPROCS(0))
		defer func() { _ = readers.Wait() }()
		for i := range days {
			select {
			case ahead <- struct{}{}:
			case <-ctx.Done():
				return ctx.Err()
			}
			readers.Go(func() error {
				content, err := t.tables.shelf.Content(ctx, days[i].Segment(t.project), sealed.Needs{})
				read[i] <- base{content, err}
				return nil
			})
		}
		return nil
	})
	group.Go(func() error {
		contents, err = t.registerBases(ctx, days, read, ahead, moved)
		return err
	})
	return contents, group.Wait()
}

func (t *Table) registerBases(ctx context.Context, days []sealed.Day, read []chan base, ahead <-chan struct{}, moved func(day int32)) ([]known, error) {
	contents := make([]known, len(days))
	room := t.tables.cache.budget - t.tables.cache.total.Load()
	for i := range days {
		var b base
		select {
		case b = <-read[i]:
			<-ahead
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		switch {
		case errors.Is(b.err, sealed.ErrMoved):
			moved(days[i].Number)
			continue
		case b.err != nil:
			return nil, b.err
		}
		t.mu.Lock()
		identities, kinds := t.registerLocked(b.content.Base)
		t.rows += days[i].Rows
		t.tables.metrics.rows.Add(float64(days[i].Rows))
		t.putDay(&hot{day: newQuiet(t, days[i])})
		t.mu.Unlock()
		if room -= 8 * int64(days[i].Rows); room >= 0 {
			contents[i] = known{b.content, identities, kinds}
		}
	}
	return contents, nil
}

// settleBases puts the days in order, now that it is known who is who.
func (t *Table) settleBases(ctx context.Context, days []sealed.Day, contents []known) error {
	t.mu.Lock()
	t.people.takeMoved()
	now := t.now()
	t.mu.Unlock()
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i, content := range contents {
		if content.Content == nil {
			continue
		}
		group.Go(func() error {
			p, err := t.placeKnown(ctx, content, now.users)
			if err == nil {
				t.keep(now.edition(days[i].Number), &piece{key: pieceKey{kind: corePiece}, core: p.core})
			}
			return err
		})
	}
	return group.Wait()
}

// AddOpen adds the rows that open batches of the manifest have on days that are
// not sealed, given all their events; their other rows are in.
func (t *Table) AddOpen(m *sealed.Manifest, events []event.Event) {
	isSealed := make(map[int32]bool, len(m.Days))
	for _, day := range m.Days {
		isSealed[day.Number] = true
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.adding = time.Now()
	for id, span := range spansByBatch(events) {
		batch := t.batchNumber(id)
		if t.opened.has(batch) {
			continue
		}
		t.opened.add(batch)
		for i := span[0]; i < span[1]; i++ {
			if !isSealed[events[i].Timestamp.Day()] {
				t.addEvent(&events[i], batch)
			}
		}
	}
	t.mergeInPassing()
}
