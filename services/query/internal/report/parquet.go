package report

import (
	"io"

	"github.com/parquet-go/parquet-go"

	"github.com/maidian/maidian/pkg/event"
)

// parquetExporter writes a column for each field of an event, in row groups
// that are small enough to be held in memory. A number that no float64 can
// hold exactly goes out as the nearest one.
type parquetExporter struct {
	w       *parquet.GenericWriter[any]
	columns []int // by field
	row     parquet.Row
	rows    int // of the row group
}

// rowGroup is how many events stand in one row group.
const rowGroup = 50_000

func newParquetExporter(w io.Writer) (exporter, error) {
	group := parquet.Group{}
	for i := range event.Fields {
		group[event.Fields[i].Name] = parquetNode(&event.Fields[i])
	}
	schema := parquet.NewSchema("event", group)
	p := &parquetExporter{
		w:       parquet.NewGenericWriter[any](w, schema, parquet.Compression(&parquet.Snappy)),
		columns: make([]int, len(event.Fields)),
		row:     make(parquet.Row, len(event.Fields)),
	}
	for i, f := range event.Fields {
		leaf, _ := schema.Lookup(f.Name)
		p.columns[i] = leaf.ColumnIndex
	}
	return p, nil
}

func parquetNode(f *event.Field) parquet.Node {
	switch f.Kind {
	case event.Num:
		return parquet.Optional(parquet.Leaf(parquet.DoubleType))
	case event.Moment:
		return parquet.Optional(parquet.Timestamp(parquet.Millisecond))
	case event.Flag:
		return parquet.Leaf(parquet.BooleanType)
	case event.Object:
		return parquet.Optional(parquet.JSON())
	}
	return parquet.Optional(parquet.String())
}

func (p *parquetExporter) write(e *event.Event) error {
	for i, column := range p.columns {
		f := &event.Fields[i]
		v, present := parquetValue(f, e)
		defined := 0
		if present && f.Kind != event.Flag {
			defined = 1
		}
		p.row[column] = v.Level(0, defined, column)
	}
	_, err := p.w.WriteRows([]parquet.Row{p.row})
	p.rows++
	return err
}

// parquetValue is a field's value, and whether there is one.
func parquetValue(f *event.Field, e *event.Event) (v parquet.Value, present bool) {
	switch f.Kind {
	case event.Num:
		n, ok := f.NumberOf(e).Float()
		if !ok {
			return parquet.NullValue(), false
		}
		return parquet.DoubleValue(n), true
	case event.Moment:
		if t := f.TimeOf(e); t != 0 {
			return parquet.Int64Value(int64(t)), true
		}
		return parquet.NullValue(), false
	case event.Flag:
		return parquet.BooleanValue(f.FlagOf(e)), true
	}
	if text := f.TextOf(e); text != "" {
		return parquet.ByteArrayValue([]byte(text)), true
	}
	return parquet.NullValue(), false
}

// flush ends a row group once it is large enough; before that, its rows stay here.
func (p *parquetExporter) flush() error {
	if p.rows < rowGroup {
		return nil
	}
	p.rows = 0
	return p.w.Flush()
}

func (p *parquetExporter) close() error { return p.w.Close() }
