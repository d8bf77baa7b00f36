package sealed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/store"
	"github.com/maidian/maidian/services/query/internal/segment"
)

// Finding is what was found out about one sealed day of a project.
type Finding struct {
	Project string
	Day     Day      // as the manifest has it
	Parts   int      // in the store
	Bytes   int      // of all of them
	Missing []string // parts that are not there; they are built when they are asked for
	Wrong   []error  // what is not as the raw events give it
}

// Verify compares the parts of the project's sealed days in [from, to], column
// by column, with those that the raw events give, and yields a finding for
// each day until yield fails.
func (s *Shelf) Verify(ctx context.Context, project string, from, to int32, yield func(Finding) error) error {
	return s.eachSealed(ctx, project, from, to, func(f *Finding, stored map[string][]byte, built *Content) error {
		parts, err := built.Seal(nil)
		if err != nil {
			return err
		}
		if is := built.DayOf(); is != f.Day {
			f.Wrong = append(f.Wrong, fmt.Errorf("the manifest has %+v, the raw events give %+v", f.Day, is))
		}
		for _, part := range parts {
			if stored[part.Name] == nil {
				f.Missing = append(f.Missing, part.Name)
			} else if err := compare(stored[part.Name], part, built); err != nil {
				f.Wrong = append(f.Wrong, fmt.Errorf("%s: %w", part.Name, err))
			}
		}
		slices.Sort(f.Missing)
		return yield(*f)
	})
}

// Rebuild writes the parts of the project's sealed days in [from, to] anew,
// from raw events. A day whose raw events are not those it was sealed with
// loses its parts, so that the service builds and seals it as it is now.
func (s *Shelf) Rebuild(ctx context.Context, project string, from, to int32, yield func(Finding) error) error {
	return s.eachSealed(ctx, project, from, to, func(f *Finding, _ map[string][]byte, built *Content) error {
		if _, err := s.Store.DeleteSegments(ctx, project, f.Day.Number, f.Day.Number, built.needs().names()); err != nil {
			return err
		}
		f.Parts, f.Bytes = 0, 0
		if built.DayOf() != f.Day {
			f.Wrong = append(f.Wrong, ErrMoved)
			return yield(*f)
		}
		parts, err := built.Seal(nil)
		if err == nil {
			err = s.write(ctx, built, parts)
		}
		switch {
		case errors.Is(err, ErrMoved):
			f.Wrong = append(f.Wrong, err)
			return yield(*f)
		case err != nil:
			return err
		}
		f.Parts = len(parts)
		for _, part := range parts {
			f.Bytes += len(part.Data)
		}
		return yield(*f)
	})
}

// eachSealed visits the days that the project's manifest says are sealed, with
// the bytes of their parts and with what the raw events give.
func (s *Shelf) eachSealed(ctx context.Context, project string, from, to int32, visit func(*Finding, map[string][]byte, *Content) error) error {
	m, err := s.Manifest(ctx, project)
	if err != nil || m == nil {
		return err
	}
	days := slices.DeleteFunc(m.Days, func(d Day) bool { return d.Number < from || d.Number > to })
	named, err := s.named(ctx, project, days, event.Time(m.Before))
	if err != nil {
		return err
	}
	for _, day := range days {
		stored, err := s.stored(ctx, project, day.Number)
		if err != nil {
			return err
		}
		f := &Finding{Project: project, Day: day, Parts: len(stored)}
		for _, data := range stored {
			f.Bytes += len(data)
		}
		ids := slices.Concat(named[day.Number], batchesIn(stored, day.Segment(project)))
		slices.Sort(ids)
		built, err := s.Build(ctx, project, day.Number, slices.Compact(ids), columnsIn(stored))
		if err == nil {
			err = visit(f, stored, built)
		}
		if err != nil {
			return fmt.Errorf("day %d of project %s: %w", day.Number, project, err)
		}
	}
	return nil
}

// named are the batches that the journal names for each of the days, before a moment.
func (s *Shelf) named(ctx context.Context, project string, days []Day, before event.Time) (map[int32][]string, error) {
	ids := make(map[int32][]string, len(days))
	for _, day := range days {
		ids[day.Number] = nil
	}
	entries, err := s.Entries(ctx, project, func(day int32) bool { _, meant := ids[day]; return meant })
	for _, entry := range entries {
		if entry.WrittenAt >= before {
			continue // what is in of it is in the day's own list
		}
		for day := range ids {
			if len(entry.Days) == 0 || slices.Contains(entry.Days, day) {
				ids[day] = append(ids[day], entry.ID)
			}
		}
	}
	return ids, err
}

// stored are the bytes of all the day's parts, by name.
func (s *Shelf) stored(ctx context.Context, project string, day int32) (map[string][]byte, error) {
	data := make(map[string][]byte)
	err := s.Store.Segments(ctx, project, day, day, nil, func(piece *store.Segment) error {
		data[piece.Name] = append(data[piece.Name], piece.Data...)
		return nil
	})
	return data, err
}

// batchesIn are the ids of the batches that the stored parts name, if they can be read.
func batchesIn(stored map[string][]byte, day segment.Day) (ids []string) {
	p, err := openPart(stored[segment.BatchesName], day, segment.BatchesName)
	if err != nil {
		return nil
	}
	batches, err := p.Batches()
	if err != nil {
		return nil
	}
	for _, b := range batches {
		ids = append(ids, b.ID)
	}
	return ids
}

// columnsIn are the columns among the stored parts.
func columnsIn(stored map[string][]byte) (names []string) {
	for name := range stored {
		if column, ok := segment.ColumnOf(name); ok {
			names = append(names, column)
		}
	}
	slices.Sort(names)
	return names
}

var errDiffers = errors.New("it holds something else than the raw events give")

// compare says how a part differs from what it should be. Bytes that differ
// can still mean the same, where another release of the compressor wrote them:
// then they are equal once written by this one.
func compare(stored []byte, should Part, built *Content) error {
	p, err := openPart(stored, built.Base.Day, should.Name)
	if err != nil || bytes.HasPrefix(stored, should.Data) {
		return err
	}
	again, err := sealAgain(p, built)
	if err == nil && !bytes.Equal(again, should.Data) {
		err = errDiffers
	}
	return err
}

// sealAgain reads a part beside the content that it should be of, and writes it.
func sealAgain(p *segment.Part, beside *Content) ([]byte, error) {
	b := beside.Base
	switch p.Name {
	case segment.BaseName:
		base, err := p.Base()
		if err != nil {
			return nil, err
		}
		return base.Seal()
	case segment.BatchesName:
		batches, err := p.Batches()
		if err != nil {
			return nil, err
		}
		return segment.SealBatches(b.Day, batches)
	case segment.RefsName:
		refs, err := p.Refs(b, beside.Batches)
		if err != nil {
			return nil, err
		}
		return b.SealRefs(beside.Batches, refs)
	case segment.SessionsName:
		sessions, err := p.Sessions(b)
		if err != nil {
			return nil, err
		}
		return b.SealSessions(sessions)
	}
	column, err := p.Column(b)
	if err != nil {
		return nil, err
	}
	name, _ := segment.ColumnOf(p.Name)
	return b.SealColumn(name, column)
}
