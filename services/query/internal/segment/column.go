package segment

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/maidian/maidian/pkg/event"
)

// Column is one field or property of a day's rows.
type Column struct {
	Values []event.Value // distinct; the first is the absent one
	Codes  []uint32      // by row: an index into Values
}

// A column is written as the rank of each row's value among the frequent ones,
// in whichever of four ways is shortest: a property that only one type of event
// has is nearly nothing in canonical order, and one that stays the same for a
// visitor is in the order of visits, where it is told once.
const (
	byVisit  = 1 << iota // in the order of identity and time, not in the canonical one
	repeated             // an identity's value that is as in the row before is told so
	columnWays
)

// Ranks: values that occur once are not numbered, they stand in their order.
const (
	once   = iota // the next of the values that occur once
	ranked        // and above: frequent values, the most frequent first
)

// SealColumn makes the part with a column of the base's rows. Values that no row has are left out.
func (b *Base) SealColumn(name string, c *Column) ([]byte, error) {
	if err := b.checkColumn(c); err != nil {
		return nil, fmt.Errorf("seal column %s of day %d of %q: %w", name, b.Day.Number, b.Day.Project, err)
	}
	var best []byte
	w := &writer{}
	for way := byte(0); way < columnWays; way++ {
		w.b, w.least = nil, 0
		w.column(b, c, way)
		if body := w.body(); best == nil || len(body) < len(best) {
			best = body
		}
	}
	return Seal(b.Day, ColumnName(name), best), nil
}

func (b *Base) checkColumn(c *Column) error {
	if len(c.Codes) != len(b.Times) {
		return fmt.Errorf("%d rows, the base has %d", len(c.Codes), len(b.Times))
	}
	if len(c.Values) == 0 || c.Values[0] != (event.Value{}) {
		return fmt.Errorf("the first of its values is not the absent one")
	}
	seen := make(map[event.Value]bool, len(c.Values))
	for i, v := range c.Values {
		if kind, text := partsOf(v); seen[v] || valueOf(kind, text) != v {
			return fmt.Errorf("value %d, %+v, is there twice or is none that an event can have", i, v)
		}
		seen[v] = true
	}
	for row, code := range c.Codes {
		if int(code) >= len(c.Values) {
			return fmt.Errorf("row %d has value %d of %d", row, code, len(c.Values))
		}
	}
	return nil
}

// order is the rows in the order of this way.
func (b *Base) order(way byte) []uint32 {
	if way&byVisit != 0 {
		return b.byIdentity().rows
	}
	rows := make([]uint32, len(b.Times))
	for i := range rows {
		rows[i] = uint32(i)
	}
	return rows
}

func (w *writer) column(b *Base, c *Column, way byte) {
	order := b.order(way)
	ranks := rank(c, order)
	symbols := make([]uint32, len(order))
	for i, row := range order {
		code := c.Codes[row]
		symbols[i] = ranks.of[code]
		if way&repeated == 0 {
			continue
		}
		symbols[i]++
		if i > 0 && b.Identity[row] == b.Identity[order[i-1]] && code == c.Codes[order[i-1]] {
			symbols[i] = 0
		}
	}
	w.b = append(w.b, way)
	w.uvarint(uint64(len(ranks.frequent)))
	w.uvarint(uint64(len(ranks.single)))
	writeInts(w, symbols)
	w.values(c, append(ranks.frequent, ranks.single...))
}

// ranks are a column's values, as far as rows have them.
type ranks struct {
	of       []uint32 // by code
	frequent []uint32 // codes, by rank
	single   []uint32 // codes of values that occur once, as they come
}

func rank(c *Column, order []uint32) ranks {
	counts := make([]uint32, len(c.Values))
	r := ranks{of: make([]uint32, len(c.Values))}
	for _, row := range order {
		counts[c.Codes[row]]++
	}
	met := make([]bool, len(c.Values))
	for _, row := range order {
		code := c.Codes[row]
		switch {
		case counts[code] == 1:
			r.single = append(r.single, code)
		case !met[code]:
			met[code] = true
			r.frequent = append(r.frequent, code)
		}
	}
	slices.SortStableFunc(r.frequent, func(x, y uint32) int { return int(counts[y]) - int(counts[x]) })
	for i, code := range r.frequent {
		r.of[code] = ranked + uint32(i)
	}
	return r
}

// The kinds of values as they are written.
const (
	absentValue = iota
	falseValue
	trueValue
	numericValue // and those after it have a text
	stringValue
	compoundValue
)

func partsOf(v event.Value) (kind byte, text string) {
	switch v.Kind {
	case event.Bool:
		if v.Number != 0 {
			return trueValue, ""
		}
		return falseValue, ""
	case event.Numeric:
		return numericValue, v.Text
	case event.String:
		return stringValue, v.Text
	case event.Compound:
		return compoundValue, v.Text
	}
	return absentValue, ""
}

func valueOf(kind byte, text string) event.Value {
	switch kind {
	case falseValue:
		return event.Value{Kind: event.Bool}
	case trueValue:
		return event.Value{Kind: event.Bool, Number: 1}
	case numericValue:
		n, _ := event.Number(text).Float() // as events' own: infinite beyond what fits
		return event.Value{Kind: event.Numeric, Number: n, Text: text}
	case stringValue:
		return event.TextValue(text)
	case compoundValue:
		return event.Value{Kind: event.Compound, Text: text}
	}
	return event.Value{}
}

func (w *writer) values(c *Column, codes []uint32) {
	kinds := make([]byte, len(codes))
	var texts Names
	for i, code := range codes {
		var text string
		if kinds[i], text = partsOf(c.Values[code]); kinds[i] >= numericValue {
			texts.Add(text)
		}
	}
	w.stream(kinds)
	w.names(&texts, 0, texts.Len(), false)
}

// values reads n values behind the absent one, and the codes of all n.
func (r *reader) values(n int) (values []event.Value, codes []uint32) {
	kinds := r.stream(n)
	texts := 0
	for _, kind := range kinds {
		if kind >= numericValue {
			texts++
		}
	}
	names := r.names(texts, false)
	if r.err != nil {
		return nil, nil
	}
	values, codes = make([]event.Value, 1, n+1), make([]uint32, n)
	at := 0
	for i, kind := range kinds {
		text := ""
		if kind >= numericValue {
			text = names.Text(at)
			at++
		}
		switch {
		case kind == absentValue:
			continue
		case kind > compoundValue:
			r.fail("no value has the kind %d", kind)
		}
		codes[i] = uint32(len(values))
		values = append(values, valueOf(kind, text))
	}
	if bytes.Count(kinds, []byte{absentValue}) > 1 {
		r.fail("a value is there twice")
	}
	return values, codes
}

// Column reads a column of the base's rows. Its Values are those that rows
// have, behind the absent one.
func (p *Part) Column(b *Base) (*Column, error) {
	name, ok := ColumnOf(p.Name)
	if !ok {
		return nil, fmt.Errorf("%w: %q is no column", ErrForeign, p.Name)
	}
	r, err := p.beside(b, p.Name)
	if err != nil {
		return nil, err
	}
	c := r.column(b)
	if err := r.end(); err != nil {
		return nil, fmt.Errorf("column %s of day %d of %q: %w", name, b.Day.Number, b.Day.Project, err)
	}
	return c, nil
}

func (r *reader) column(b *Base) *Column {
	rows := len(b.Times)
	way := r.byte()
	if way >= columnWays {
		r.fail("no column is written in way %d", way)
	}
	frequent := int(r.uvarint(uint64(rows)))
	single := int(r.uvarint(uint64(rows - frequent)))
	symbols := readInts[uint32](r, rows, uint64(frequent+1))
	values, codes := r.values(frequent + single)
	if r.err != nil {
		return nil
	}
	c := &Column{Values: values, Codes: make([]uint32, rows)}
	r.codes(b, c.Codes, way, symbols, codes[:frequent], codes[frequent:])
	return c
}

// codes gives each row the code of its value.
func (r *reader) codes(b *Base, out []uint32, way byte, symbols, frequent, single []uint32) {
	before := uint32(0)
	for i, row := range b.order(way) {
		symbol := symbols[i]
		if way&repeated != 0 {
			if symbol == 0 {
				if i == 0 || b.Identity[row] != b.Identity[before] {
					r.fail("an identity's first row repeats none")
					return
				}
				out[row] = out[before]
				before = row
				continue
			}
			symbol--
		}
		before = row
		switch {
		case symbol >= ranked && int(symbol-ranked) < len(frequent):
			out[row] = frequent[symbol-ranked]
		case symbol == once && len(single) > 0:
			out[row] = single[0]
			single = single[1:]
		default:
			r.fail("row %d has no value", row)
			return
		}
	}
	if len(single) > 0 {
		r.fail("%d values of no row", len(single))
	}
}
