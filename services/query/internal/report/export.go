package report

import (
	"bufio"
	"context"
	"encoding/csv"
	"io"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/services/query/internal/columns"
)

// ExportRequest asks for all raw events of a range, as a file.
type ExportRequest struct {
	Common
	Format    string `json:"format"`
	EventType string `json:"event_type,omitempty"`
	UserID    string `json:"user_id,omitempty"`
}

// Format is a kind of file.
type Format struct {
	Name        string
	ContentType string
	// writer writes a file's head and returns what writes its events.
	writer func(w io.Writer) (exporter, error)
}

// Formats lists the kinds of file. A new one is a writer and a line here.
var Formats = []Format{
	{"csv", "text/csv; charset=utf-8", newCSVExporter},
	{"ndjson", "application/x-ndjson", newNDJSONExporter},
	{"parquet", "application/vnd.apache.parquet", newParquetExporter},
}

// exporter writes events. After flush, everything is with the writer below.
type exporter interface {
	write(e *event.Event) error
	flush() error
	close() error // writes what stands at the end of a file
}

// ReadExport reads the request.
func ReadExport(p *Params, env Env) (ExportRequest, error) {
	names := make([]string, len(Formats))
	for i, f := range Formats {
		names[i] = f.Name
	}
	r := ExportRequest{
		Common:    p.Common(env),
		Format:    p.OneOf("format", "csv", names...),
		EventType: p.String("event_type", ""),
		UserID:    p.String("user_id", ""),
	}
	return r, p.Done()
}

// Kind is the format that was asked for.
func (r *ExportRequest) Kind() Format {
	for _, f := range Formats {
		if f.Name == r.Format {
			return f
		}
	}
	return Formats[0]
}

const (
	exportChunk = 5000    // events that are fetched and handed on at a time
	exportHeld  = 100_000 // rows of the days that a chunk may come from
)

// Export writes the events of a range, oldest first. It holds a chunk of raw
// events and the days that its rows are of, however much is exported; sent is
// called when a chunk is with w.
func Export(ctx context.Context, v *columns.View, r ExportRequest, w io.Writer, sent func() error) error {
	out, err := r.Kind().writer(w)
	if err != nil {
		return err
	}
	e := &export{request: &r, view: v, out: out, sent: sent}
	starts := v.Starts(r.From, r.To)
	if r.UserID != "" {
		n, known := v.UserNumber(r.UserID)
		if e.user = &n; !known {
			starts = nil
		}
	}
	for _, start := range starts {
		if err := e.day(ctx, start); err != nil {
			return err
		}
	}
	if err := e.flush(ctx); err != nil {
		return err
	}
	if err := out.close(); err != nil {
		return err
	}
	return sent()
}

// export is a file in the making. A chunk goes over days: where a batch brought
// events of many days, as imported history does, it is not read again for each.
type export struct {
	request *ExportRequest
	view    *columns.View
	user    *uint32 // nil: all
	out     exporter
	sent    func() error
	chunk   []found
	held    int // rows of the days of the chunk
}

func (e *export) day(ctx context.Context, start event.Time) error {
	part, err := e.request.during(start, start+day-1).open(ctx, e.view, listed)
	if err != nil {
		return err
	}
	d := part.days[0]
	rows := d.ByTime()
	if e.user != nil {
		rows = d.RowsOfUser(*e.user)
	}
	keep := part.passing(0)
	for _, row := range rows {
		if !keep.has(int(row)) || (e.request.EventType != "" && typeOf(d, row) != e.request.EventType) {
			continue
		}
		if e.chunk = append(e.chunk, found{d, row, timeOf(d, int(row))}); len(e.chunk) == exportChunk {
			if err := e.flush(ctx); err != nil {
				return err
			}
		}
	}
	if e.held += d.Len(); e.held > exportHeld {
		return e.flush(ctx)
	}
	return nil
}

func (e *export) flush(ctx context.Context) error {
	if err := raw(ctx, e.view, e.chunk, e.out.write); err != nil {
		return err
	}
	clear(e.chunk) // lets the days go
	e.chunk, e.held = e.chunk[:0], 0
	if err := e.out.flush(); err != nil {
		return err
	}
	return e.sent()
}

// csvExporter writes a column for each field of an event; the properties stand
// in one column as JSON, because their names are not known before the last row.
type csvExporter struct {
	w    *csv.Writer
	line []string
}

func newCSVExporter(w io.Writer) (exporter, error) {
	c := &csvExporter{csv.NewWriter(w), make([]string, len(event.Fields))}
	for i, f := range event.Fields {
		c.line[i] = f.Name
	}
	return c, c.w.Write(c.line)
}

func (c *csvExporter) write(e *event.Event) error {
	for i := range event.Fields {
		c.line[i] = csvCell(&event.Fields[i], e)
	}
	return c.w.Write(c.line)
}

func (c *csvExporter) flush() error {
	c.w.Flush()
	return c.w.Error()
}

func (c *csvExporter) close() error { return c.flush() }

// ndjsonExporter writes an event a line, in the shape that events have everywhere.
type ndjsonExporter struct {
	w    *bufio.Writer
	line []byte
}

func newNDJSONExporter(w io.Writer) (exporter, error) {
	return &ndjsonExporter{w: bufio.NewWriterSize(w, 64<<10)}, nil
}

func (n *ndjsonExporter) write(e *event.Event) error {
	n.line = append(e.AppendJSON(n.line[:0]), '\n')
	_, err := n.w.Write(n.line)
	return err
}

func (n *ndjsonExporter) flush() error { return n.w.Flush() }
func (n *ndjsonExporter) close() error { return n.flush() }
