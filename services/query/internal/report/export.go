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

// exportChunk is how many events are fetched and handed on at a time.
const exportChunk = 5000

// Export writes the events of a range, oldest first. It holds one day's rows
// and a chunk of raw events, however much is exported; sent is called when a
// chunk is with w.
func Export(ctx context.Context, v *columns.View, r ExportRequest, w io.Writer, sent func() error) error {
	out, err := r.Kind().writer(w)
	if err != nil {
		return err
	}
	var user *uint32
	starts := v.Starts(r.From, r.To)
	if r.UserID != "" {
		n, known := v.UserNumber(r.UserID)
		if user = &n; !known {
			starts = nil
		}
	}
	for _, start := range starts {
		if err := r.exportDay(ctx, v, start, user, out, sent); err != nil {
			return err
		}
	}
	if err := out.close(); err != nil {
		return err
	}
	return sent()
}

func (r *ExportRequest) exportDay(ctx context.Context, v *columns.View, start event.Time, user *uint32, out exporter, sent func() error) error {
	part, err := r.during(start, start+day-1).open(ctx, v, listed)
	if err != nil {
		return err
	}
	d := part.days[0]
	rows := d.ByTime()
	if user != nil {
		rows = d.RowsOfUser(*user)
	}
	keep := part.passing(0)
	chunk := make([]found, 0, exportChunk)
	for _, row := range rows {
		if !keep.has(int(row)) || (r.EventType != "" && typeOf(d, row) != r.EventType) {
			continue
		}
		if chunk = append(chunk, found{d, row, timeOf(d, int(row))}); len(chunk) == exportChunk {
			if err := exportChunkOf(ctx, v, chunk, out, sent); err != nil {
				return err
			}
			chunk = chunk[:0]
		}
	}
	return exportChunkOf(ctx, v, chunk, out, sent)
}

func exportChunkOf(ctx context.Context, v *columns.View, chunk []found, out exporter, sent func() error) error {
	if err := raw(ctx, v, chunk, out.write); err != nil {
		return err
	}
	if err := out.flush(); err != nil {
		return err
	}
	return sent()
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
