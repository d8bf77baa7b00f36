package forward

import (
	"bytes"
	"path"
	"strings"

	"github.com/parquet-go/parquet-go"

	"github.com/maidian/maidian/pkg/ask"
	"github.com/maidian/maidian/pkg/destination"
	"github.com/maidian/maidian/pkg/event"
)

// layout makes files of batches: one for each hour that a batch has events of,
// named by the batch, so that the batch's repetition puts the same in the same place.
type layout struct {
	*destination.Layout
	shape  *destination.Shape
	object parquet.Node // of an event's properties in Parquet
}

// file is one that is to be written.
type file struct {
	name  string // with "/"
	items []*Item
}

const mostFileBytes = 64 << 20

func (l *layout) Limits() Limits {
	return Limits{Events: l.Events, Bytes: mostFileBytes, Linger: l.Every.Std(), Exact: true}
}

func (l *layout) Encode(e *event.Event) ([]byte, error) {
	return append(l.shape.AppendJSON(nil, e), '\n'), nil
}

// files are those of a batch, in the order of their first events.
func (l *layout) files(b Batch) (files []*file) {
	at := map[string]*file{}
	for _, item := range b.Items {
		folder := item.Event.Timestamp.Std().Format("day=2006-01-02/hour=15")
		f := at[folder]
		if f == nil {
			f = &file{name: path.Join(l.Prefix, folder, fileName(b.ID)+"."+l.Format)}
			at[folder] = f
			files = append(files, f)
		}
		f.items = append(f.items, item)
	}
	return files
}

// fileName leaves of a batch's id what every file system takes.
func fileName(id string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' {
			return r
		}
		return '_'
	}, id)
}

func (l *layout) content(f *file) ([]byte, error) {
	if l.Format == destination.Parquet {
		return parquetFile(l.shape.Columns(), f.items, l.object)
	}
	var all []byte
	for _, item := range f.items {
		all = append(all, item.Body...)
	}
	return all, nil
}

// parquetFile has a column for each of the definition's, all of them optional:
// fields of an event with the type that they have, properties as text, or JSON
// where they are no text.
func parquetFile(columns []destination.Column, items []*Item, object parquet.Node) ([]byte, error) {
	group := parquet.Group{}
	for _, c := range columns {
		node := parquetNode(c.Field)
		if c.Field != nil && c.Field.Kind == event.Object {
			node = object
		}
		group[c.Name] = parquet.Optional(node)
	}
	schema := parquet.NewSchema("event", group)
	var out bytes.Buffer
	w := parquet.NewGenericWriter[any](&out, schema, parquet.Compression(&parquet.Snappy))
	row, place := make(parquet.Row, len(columns)), make([]int, len(columns))
	for i := range columns {
		leaf, _ := schema.Lookup(columns[i].Name)
		place[i] = leaf.ColumnIndex
	}
	for _, item := range items {
		for i := range columns {
			v, defined := parquetValue(&columns[i], item.Event), 1
			if v.IsNull() {
				defined = 0
			}
			row[place[i]] = v.Level(0, defined, place[i])
		}
		if _, err := w.WriteRows([]parquet.Row{row}); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func parquetNode(f *event.Field) parquet.Node {
	if f == nil {
		return parquet.String()
	}
	switch f.Kind {
	case event.Num:
		return parquet.Leaf(parquet.DoubleType)
	case event.Moment:
		return parquet.Timestamp(parquet.Millisecond)
	case event.Flag:
		return parquet.Leaf(parquet.BooleanType)
	}
	return parquet.String()
}

func parquetValue(c *destination.Column, e *event.Event) parquet.Value {
	v := c.Value(e)
	switch {
	case v.Kind == event.Absent:
		return parquet.NullValue()
	case c.Field == nil || c.Field.Kind == event.Text || c.Field.Kind == event.Object:
		return parquet.ByteArrayValue([]byte(ask.Text(v)))
	case c.Field.Kind == event.Num:
		return parquet.DoubleValue(v.Number)
	case c.Field.Kind == event.Moment:
		return parquet.Int64Value(int64(c.Field.TimeOf(e)))
	}
	return parquet.BooleanValue(v.Number != 0)
}
