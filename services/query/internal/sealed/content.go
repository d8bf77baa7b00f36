// Package sealed keeps closed days of projects in the store as compressed
// columns: it builds a day from its raw events, writes its parts, and reads
// them back. Raw events are the truth: a part that is missing, damaged, of
// another format or of another state of the day is built again from them.
package sealed

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/services/query/internal/segment"
)

// Content is a day's rows in canonical order, with the parts that were asked for.
type Content struct {
	Base     *segment.Base
	Batches  []segment.Batch
	Refs     *segment.Refs
	Sessions *segment.Sessions
	Columns  map[string]*segment.Column // by canonical name

	sources []string // the batches it was built from, and
	erased  int      // how many of their events had been erased before; see Shelf.Put
}

// Needs is what is asked for of a day beside its base.
type Needs struct {
	Refs     bool // and batches
	Sessions bool
	Columns  []string // canonical names
}

// Reader gives raw events back by the batches that brought them.
type Reader interface {
	EventsOfBatches(ctx context.Context, project string, ids []string, yield func(*event.Event) error) error
}

const (
	dayLength     = event.Time(24 * 60 * 60 * 1000)
	batchesAtOnce = 256 // of one call of the store
)

// Fits is false for what cannot be in columns: a place beyond the largest
// message that the broker allows, or a time millions of years away.
func Fits(e *event.Event) bool {
	inDay := e.Timestamp - event.Time(e.Timestamp.Day())*dayLength
	return e.Position >= 0 && e.Position <= 1<<16-1 && inDay >= 0 && inDay < dayLength
}

// Build makes the content of a day from the raw events that these batches
// brought, with these columns.
func Build(ctx context.Context, from Reader, project string, day int32, batches, columns []string) (*Content, error) {
	b := newBuilder(day, columns)
	for ids := range slices.Chunk(batches, batchesAtOnce) {
		err := from.EventsOfBatches(ctx, project, ids, func(e *event.Event) error {
			if e.Timestamp.Day() == day && Fits(e) {
				b.add(e)
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("read the events of day %d of project %s: %w", day, project, err)
		}
	}
	return b.content(project), ctx.Err()
}

// builder collects a day's events.
type builder struct {
	day      int32
	names    []string // of columns
	rows     []row
	types    index
	named    index
	visitors index
	sessions index
	batches  index
	meetings map[string]meeting
	values   []map[event.Value]uint32 // by column
	codes    [][]uint32               // by column, by row as it came
}

type row struct {
	kind, identity, time, session, batch uint32
	anonymous                            bool
	position                             uint16
	came                                 uint32
}

type meeting struct {
	time  uint32
	event string
	user  uint32 // in named
}

// index numbers texts as they come.
type index struct {
	numbers map[string]uint32
	texts   []string
}

func (x *index) number(text string) uint32 {
	n, ok := x.numbers[text]
	if !ok {
		n = uint32(len(x.texts))
		text = strings.Clone(text) // it may be a piece of a much longer one
		x.numbers[text] = n
		x.texts = append(x.texts, text)
	}
	return n
}

// sorted are the texts in order, and the place of each number among them.
func (x *index) sorted() (texts []string, places []uint32) {
	order := make([]uint32, len(x.texts))
	for i := range order {
		order[i] = uint32(i)
	}
	slices.SortFunc(order, func(a, b uint32) int { return strings.Compare(x.texts[a], x.texts[b]) })
	texts, places = make([]string, len(order)), make([]uint32, len(order))
	for place, n := range order {
		texts[place], places[n] = x.texts[n], uint32(place)
	}
	return texts, places
}

func newBuilder(day int32, columns []string) *builder {
	newIndex := func() index { return index{numbers: make(map[string]uint32)} }
	b := &builder{
		day: day, names: columns, types: newIndex(), named: newIndex(), visitors: newIndex(), sessions: newIndex(), batches: newIndex(),
		meetings: make(map[string]meeting), values: make([]map[event.Value]uint32, len(columns)), codes: make([][]uint32, len(columns)),
	}
	for i := range b.values {
		b.values[i] = map[event.Value]uint32{{}: 0}
	}
	return b
}

func (b *builder) add(e *event.Event) {
	r := row{
		kind: b.types.number(e.EventType), time: uint32(e.Timestamp - event.Time(b.day)*dayLength),
		session: segment.NoSession, batch: b.batches.number(e.BatchID), position: uint16(e.Position), came: uint32(len(b.rows)),
	}
	switch {
	case e.UserID != "":
		r.identity = b.named.number(e.UserID)
		b.meet(e, r.identity, r.time)
	case e.AnonymousID != "":
		r.identity, r.anonymous = b.visitors.number(e.AnonymousID), true
	default:
		r.identity = b.named.number(cmp.Or(e.SessionID, e.EventID))
	}
	if e.SessionID != "" {
		r.session = b.sessions.number(e.SessionID)
	}
	b.rows = append(b.rows, r)
	for i, name := range b.names {
		b.codes[i] = append(b.codes[i], b.code(i, event.ValueOf(e, name)))
	}
}

func (b *builder) meet(e *event.Event, user, time uint32) {
	if e.AnonymousID == "" {
		return
	}
	m, met := b.meetings[e.AnonymousID]
	if !met || time < m.time || time == m.time && e.EventID < m.event {
		b.meetings[strings.Clone(e.AnonymousID)] = meeting{time, strings.Clone(e.EventID), user}
	}
}

func (b *builder) code(column int, v event.Value) uint32 {
	code, ok := b.values[column][v]
	if !ok {
		v.Text = strings.Clone(v.Text)
		code = uint32(len(b.values[column]))
		b.values[column][v] = code
	}
	return code
}

// content puts what was collected into canonical order.
func (b *builder) content(project string) *Content {
	types, kindPlaces := b.types.sorted()
	names, namePlaces := b.named.sorted()
	visitors, visitorPlaces := b.visitors.sorted()
	ids, batchPlaces := b.batches.sorted()
	for i := range b.rows {
		r := &b.rows[i]
		r.kind, r.batch = kindPlaces[r.kind], batchPlaces[r.batch]
		if r.anonymous {
			r.identity = uint32(len(names)) + visitorPlaces[r.identity]
		} else {
			r.identity = namePlaces[r.identity]
		}
	}
	slices.SortFunc(b.rows, func(x, y row) int {
		return cmp.Or(cmp.Compare(x.kind, y.kind), cmp.Compare(x.identity, y.identity), cmp.Compare(x.time, y.time),
			cmp.Compare(x.batch, y.batch), cmp.Compare(x.position, y.position))
	})
	base := &segment.Base{Types: types, Identities: segment.NamesOf(slices.Concat(names, visitors)...), Anonymous: len(names)}
	c := &Content{Base: base, Refs: &segment.Refs{}, Sessions: &segment.Sessions{IDs: segment.NamesOf(b.sessions.texts...)}}
	c.Batches = make([]segment.Batch, len(ids))
	for i, id := range ids {
		c.Batches[i].ID = id
	}
	b.fill(c)
	for anonymous, m := range b.meetings {
		base.Meetings = append(base.Meetings, segment.Meeting{Anonymous: anonymous, User: namePlaces[m.user], Time: m.time, EventID: m.event})
	}
	slices.SortFunc(base.Meetings, func(x, y segment.Meeting) int { return strings.Compare(x.Anonymous, y.Anonymous) })
	base.Day = segment.Day{Project: project, Number: b.day, Rows: len(b.rows), Fingerprint: segment.Fingerprint(c.Batches)}
	return c
}

func (b *builder) fill(c *Content) {
	c.Base.Ends = make([]int, len(c.Base.Types))
	c.Base.Identity, c.Base.Times = make([]uint32, len(b.rows)), make([]uint32, len(b.rows))
	c.Refs.Batches, c.Refs.Positions = make([]uint32, len(b.rows)), make([]uint16, len(b.rows))
	c.Sessions.Of = make([]uint32, len(b.rows))
	for i, r := range b.rows {
		c.Base.Ends[r.kind] = i + 1
		c.Base.Identity[i], c.Base.Times[i] = r.identity, r.time
		c.Refs.Batches[i], c.Refs.Positions[i] = r.batch, r.position
		c.Sessions.Of[i] = r.session
		c.Batches[r.batch].Rows++
	}
	c.Columns = make(map[string]*segment.Column, len(b.names))
	for column, name := range b.names {
		c.Columns[name] = b.column(column)
	}
}

func (b *builder) column(column int) *segment.Column {
	c := &segment.Column{Values: make([]event.Value, len(b.values[column])), Codes: make([]uint32, len(b.rows))}
	for v, code := range b.values[column] {
		c.Values[code] = v
	}
	for i, r := range b.rows {
		c.Codes[i] = b.codes[column][r.came]
	}
	return c
}
