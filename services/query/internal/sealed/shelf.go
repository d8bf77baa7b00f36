package sealed

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/maidian/maidian/pkg/store"
	"github.com/maidian/maidian/services/query/internal/segment"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
)

// Store is what sealed days are built from and kept in.
type Store interface {
	Reader
	Batches(ctx context.Context, after store.Cursor, limit int) ([]store.Batch, error)
	PutSegments(ctx context.Context, segments []store.Segment) error
	Segments(ctx context.Context, project string, from, to int32, names []string, yield func(*store.Segment) error) error
	ErasedEvents(ctx context.Context, project string, batches []string) ([]string, error)
	DeleteSegments(ctx context.Context, project string, from, to int32, names []string) (int, error)
}

// Shelf gives the contents of sealed days, from their parts as far as these
// are sound, else from raw events.
type Shelf struct {
	Store   Store
	log     *zap.Logger
	metrics *metrics
}

// NewShelf has its metrics in registry unless that is nil.
func NewShelf(s Store, log *zap.Logger, registry prometheus.Registerer) *Shelf {
	return &Shelf{Store: s, log: log, metrics: newMetrics(registry)}
}

// ErrMoved means that the raw events of a day are not those any more that it was sealed with.
var ErrMoved = errors.New("the day has other events by now than it was sealed with")

// Content is what is needed of a sealed day. What cannot be had from its parts
// is built from raw events and sealed again; if these make another day, that is ErrMoved.
func (s *Shelf) Content(ctx context.Context, day segment.Day, n Needs) (*Content, error) {
	c, problems, err := read(ctx, s.Store, day, n)
	if err != nil {
		return nil, err
	}
	if len(problems) == 0 {
		return c, nil
	}
	s.report(day, problems)
	ids, err := s.batchesOf(ctx, day)
	if err != nil {
		return nil, err
	}
	built, err := s.Build(ctx, day.Project, day.Number, ids, n.Columns)
	if err != nil {
		return nil, err
	}
	if built.Base.Day != day {
		return nil, fmt.Errorf("day %d of project %s: %w: %d rows, sealed %d", day.Number, day.Project, ErrMoved, built.Base.Day.Rows, day.Rows)
	}
	if err := s.Put(ctx, built, missing(c, n)); err != nil {
		s.log.Warn("a day cannot be sealed again; it will be built from raw events once more", zap.Error(err))
	}
	return built, nil
}

// report counts and logs what is wrong with parts. A column that nobody has
// asked for before is not wrong, it is only not there.
func (s *Shelf) report(day segment.Day, problems map[string]error) {
	for name, problem := range problems {
		if _, column := segment.ColumnOf(name); column && errors.Is(problem, errMissing) {
			continue
		}
		s.metrics.rebuilt.WithLabelValues(reasonOf(problem)).Inc()
		s.log.Warn("a sealed part cannot be used; building it from raw events",
			zap.String("project", day.Project), zap.Int32("day", day.Number), zap.String("part", name), zap.Error(problem))
	}
}

func reasonOf(problem error) string {
	switch {
	case errors.Is(problem, errMissing):
		return "missing"
	case errors.Is(problem, segment.ErrForeign):
		return "foreign"
	case errors.Is(problem, segment.ErrStale):
		return "stale"
	}
	return "damaged"
}

// batchesOf are the ids of the batches that brought the day's events.
func (s *Shelf) batchesOf(ctx context.Context, day segment.Day) ([]string, error) {
	parts, problems, err := readParts(ctx, s.Store, day, []string{segment.BatchesName})
	if err != nil {
		return nil, err
	}
	if len(problems) == 0 {
		if batches, err := parts[segment.BatchesName].Batches(); err == nil {
			ids := make([]string, len(batches))
			for i, b := range batches {
				ids[i] = b.ID
			}
			return ids, nil
		}
	}
	entries, err := s.Entries(ctx, day.Project, func(number int32) bool { return number == day.Number })
	ids := make([]string, len(entries))
	for i, entry := range entries {
		ids[i] = entry.ID
	}
	return ids, err
}

// Entries are those of the project's journal that have, or may have, events of these days.
func (s *Shelf) Entries(ctx context.Context, project string, of func(day int32) bool) (entries []store.Batch, err error) {
	err = store.EachBatch(ctx, s.Store, store.Cursor{}, func(entry *store.Batch) error {
		if entry.Project == project && entry.Live() > 0 && (len(entry.Days) == 0 || slices.ContainsFunc(entry.Days, of)) {
			entries = append(entries, *entry)
		}
		return nil
	})
	return entries, err
}

// Sound says whether a day's parts, and those of these columns, are in the store as they should be.
func (s *Shelf) Sound(ctx context.Context, day segment.Day, columns []string) (bool, error) {
	n := Needs{Refs: true, Sessions: true, Columns: columns}
	_, problems, err := readParts(ctx, s.Store, day, n.names())
	return err == nil && len(problems) == 0, err
}

// Clear deletes what is left in the store of earlier states of a day: nobody
// would read it again, and it may tell of events that were erased since.
func (s *Shelf) Clear(ctx context.Context, day segment.Day) error {
	if _, err := s.Store.DeleteSegments(ctx, day.Project, day.Number, day.Number, nil); err != nil {
		return fmt.Errorf("clear day %d of project %s: %w", day.Number, day.Project, err)
	}
	return nil
}

// Build makes the content of a day from raw events, to be Put.
func (s *Shelf) Build(ctx context.Context, project string, day int32, batches, columns []string) (*Content, error) {
	erased, err := s.erased(ctx, project, batches)
	if err != nil {
		return nil, err
	}
	c, err := Build(ctx, s.Store, project, day, batches, columns)
	if err == nil {
		c.sources, c.erased = batches, erased
	}
	return c, err
}

// erased is how many events of these batches were erased.
func (s *Shelf) erased(ctx context.Context, project string, batches []string) (n int, err error) {
	for ids := range slices.Chunk(batches, batchesAtOnce) {
		events, err := s.Store.ErasedEvents(ctx, project, ids)
		if err != nil {
			return 0, fmt.Errorf("look for erased events of project %s: %w", project, err)
		}
		n += len(events)
	}
	return n, nil
}

// Put seals these parts of the content, or all that it has when none is named.
// If events of it were erased since it was built, it is taken back: whoever
// erased them may have deleted the day's parts before these were written. That is ErrMoved.
func (s *Shelf) Put(ctx context.Context, c *Content, names []string) error {
	parts, err := c.Seal(names)
	if err != nil {
		return err
	}
	return s.write(ctx, c, parts)
}

func (s *Shelf) write(ctx context.Context, c *Content, parts []Part) error {
	day := c.Base.Day
	for _, part := range parts {
		if err := s.put(ctx, day.Project, day.Number, part.Name, part.Data); err != nil {
			return err
		}
	}
	erased, err := s.erased(ctx, day.Project, c.sources)
	if err != nil || erased == c.erased {
		return err
	}
	return errors.Join(ErrMoved, s.Clear(ctx, day))
}

func (s *Shelf) put(ctx context.Context, project string, day int32, name string, data []byte) error {
	var segments []store.Segment
	for i, piece := range segment.Split(data) {
		segments = append(segments, store.Segment{Project: project, Day: day, Name: name, Part: i, Data: piece})
	}
	if err := s.Store.PutSegments(ctx, segments); err != nil {
		return fmt.Errorf("write %s of day %d of project %s: %w", name, day, project, err)
	}
	s.metrics.written.Add(float64(len(data)))
	return nil
}

// Part is a sealed part with its name.
type Part struct {
	Name string
	Data []byte
}

// Seal makes these parts of the content, or all that it has when none is named.
func (c *Content) Seal(names []string) (parts []Part, err error) {
	add := func(name string, seal func() ([]byte, error)) {
		if err != nil || len(names) > 0 && !slices.Contains(names, name) {
			return
		}
		var data []byte
		if data, err = seal(); err == nil {
			parts = append(parts, Part{name, data})
		}
	}
	b := c.Base
	add(segment.BaseName, b.Seal)
	if c.Refs != nil {
		add(segment.BatchesName, func() ([]byte, error) { return segment.SealBatches(b.Day, c.Batches) })
		add(segment.RefsName, func() ([]byte, error) { return b.SealRefs(c.Batches, c.Refs) })
	}
	if c.Sessions != nil {
		add(segment.SessionsName, func() ([]byte, error) { return b.SealSessions(c.Sessions) })
	}
	for name, column := range c.Columns {
		add(segment.ColumnName(name), func() ([]byte, error) { return b.SealColumn(name, column) })
	}
	return parts, err
}

var errMissing = errors.New("it is not in the store")

// read is the content as far as it can be had from parts, and what is wrong with the others.
func read(ctx context.Context, s Store, day segment.Day, n Needs) (*Content, map[string]error, error) {
	parts, problems, err := readParts(ctx, s, day, n.names())
	if err != nil {
		return nil, nil, err
	}
	c := &Content{Columns: make(map[string]*segment.Column, len(n.Columns))}
	take := func(name string, read func(p *segment.Part) error) {
		if p := parts[name]; p != nil && (c.Base != nil || name == segment.BaseName) {
			if err := read(p); err != nil {
				problems[name] = err
			}
		}
	}
	take(segment.BaseName, func(p *segment.Part) (err error) { c.Base, err = p.Base(); return err })
	take(segment.BatchesName, func(p *segment.Part) (err error) { c.Batches, err = p.Batches(); return err })
	take(segment.RefsName, func(p *segment.Part) (err error) {
		if c.Batches != nil {
			c.Refs, err = p.Refs(c.Base, c.Batches)
		}
		return err
	})
	take(segment.SessionsName, func(p *segment.Part) (err error) { c.Sessions, err = p.Sessions(c.Base); return err })
	for _, name := range n.Columns {
		take(segment.ColumnName(name), func(p *segment.Part) error {
			column, err := p.Column(c.Base)
			if err == nil {
				c.Columns[name] = column
			}
			return err
		})
	}
	return c, problems, nil
}

// names are the parts to be read.
func (n Needs) names() []string {
	names := []string{segment.BaseName}
	if n.Refs {
		names = append(names, segment.BatchesName, segment.RefsName)
	}
	if n.Sessions {
		names = append(names, segment.SessionsName)
	}
	for _, column := range n.Columns {
		names = append(names, segment.ColumnName(column))
	}
	return names
}

// needs are all that the content has.
func (c *Content) needs() Needs {
	return Needs{Refs: c.Refs != nil, Sessions: c.Sessions != nil, Columns: slices.Sorted(maps.Keys(c.Columns))}
}

// missing are the parts that the content lacks of what was needed.
func missing(c *Content, n Needs) []string {
	return slices.DeleteFunc(n.names(), func(name string) bool {
		column, isColumn := segment.ColumnOf(name)
		switch {
		case isColumn:
			return c.Columns[column] != nil
		case name == segment.BatchesName:
			return c.Batches != nil
		case name == segment.RefsName:
			return c.Refs != nil
		case name == segment.SessionsName:
			return c.Sessions != nil
		}
		return c.Base != nil
	})
}

// readParts reads and opens parts of one day.
func readParts(ctx context.Context, s Store, day segment.Day, names []string) (map[string]*segment.Part, map[string]error, error) {
	data := make(map[string][]byte, len(names))
	err := s.Segments(ctx, day.Project, day.Number, day.Number, names, func(piece *store.Segment) error {
		data[piece.Name] = append(data[piece.Name], piece.Data...)
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("read day %d of project %s: %w", day.Number, day.Project, err)
	}
	parts, problems := make(map[string]*segment.Part, len(names)), make(map[string]error)
	for _, name := range names {
		if parts[name], err = openPart(data[name], day, name); err != nil {
			delete(parts, name)
			problems[name] = err
		}
	}
	return parts, problems, nil
}

func openPart(data []byte, day segment.Day, name string) (*segment.Part, error) {
	if data == nil {
		return nil, errMissing
	}
	p, err := segment.Open(data)
	switch {
	case err != nil:
		return nil, err
	case p.Name != name || p.Day.Project != day.Project || p.Day.Number != day.Number:
		return nil, fmt.Errorf("%w: it is %s of day %d of %q", segment.ErrForeign, p.Name, p.Day.Number, p.Day.Project)
	case p.Day != day:
		return nil, fmt.Errorf("%w: it has %d rows and fingerprint %016x, the day %d and %016x", segment.ErrStale, p.Day.Rows, p.Day.Fingerprint, day.Rows, day.Fingerprint)
	}
	return p, nil
}
