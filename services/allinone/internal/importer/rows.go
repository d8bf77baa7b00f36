package importer

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// row is one line of the file. Its cells are good until the next row is read.
type row struct {
	line  int
	cells []cell
	err   error // the line cannot be read; the next one may be
}

// cell is one column's value: JSON as it stands in the file, or plain text.
type cell struct {
	column string
	text   string
	json   bool
}

// rows reads a file row by row, until io.EOF.
type rows interface{ next() (row, error) }

func newRows(s *source, format string, delimiter string) (rows, error) {
	if format == "ndjson" {
		return &jsonRows{in: s.Reader}, nil
	}
	return newCSVRows(s.Reader, delimiter)
}

// csvRows are the records of a CSV file whose first line names the columns.
type csvRows struct {
	in      *csv.Reader
	columns []string
	cells   []cell
}

func newCSVRows(in *bufio.Reader, delimiter string) (*csvRows, error) {
	r := &csvRows{in: csv.NewReader(in)}
	comma, err := comma(in, delimiter)
	if err != nil {
		return nil, err
	}
	r.in.Comma, r.in.FieldsPerRecord = comma, -1
	header, err := r.in.Read()
	if err != nil {
		return nil, fmt.Errorf("the first line must name the columns: %w", err)
	}
	for _, name := range header {
		r.columns = append(r.columns, strings.TrimSpace(name))
	}
	r.in.ReuseRecord = true
	return r, nil
}

// comma is the delimiter that was asked for, else the one that the first line has most of.
func comma(in *bufio.Reader, asked string) (rune, error) {
	if asked == `\t` {
		asked = "\t"
	}
	if r, size := utf8.DecodeRuneInString(asked); size > 0 && size == len(asked) {
		return r, nil
	}
	if asked != "" {
		return 0, fmt.Errorf("-delimiter must be one character, got %q", asked)
	}
	head, _ := in.Peek(in.Size())
	line, _, _ := bytes.Cut(head, []byte("\n"))
	best, most := ',', bytes.Count(line, []byte(","))
	for _, c := range ";\t|" {
		if n := bytes.Count(line, []byte(string(c))); n > most {
			best, most = c, n
		}
	}
	return best, nil
}

func (r *csvRows) next() (row, error) {
	record, err := r.in.Read()
	if bad := (*csv.ParseError)(nil); errors.As(err, &bad) {
		return row{line: bad.StartLine, err: bad.Err}, nil
	}
	if err != nil {
		return row{}, err
	}
	line, _ := r.in.FieldPos(0)
	if len(record) != len(r.columns) {
		return row{line: line, err: fmt.Errorf("the line has %d columns, the first line names %d", len(record), len(r.columns))}, nil
	}
	r.cells = r.cells[:0]
	for i, text := range record {
		r.cells = append(r.cells, cell{column: r.columns[i], text: text})
	}
	return row{line: line, cells: r.cells}, nil
}

// jsonRows are the objects of a file with one JSON object on each line.
type jsonRows struct {
	in    *bufio.Reader
	line  int
	long  []byte
	cells []cell
}

// mostLine is the longest line that is read: more than an event may be.
const mostLine = 1 << 20

func (r *jsonRows) next() (row, error) {
	for {
		text, err := r.readLine()
		if err != nil {
			return row{}, err
		}
		r.line++
		if len(text) > mostLine {
			return row{line: r.line, err: fmt.Errorf("the line is longer than %d bytes", mostLine)}, nil
		}
		if text = bytes.TrimSpace(text); len(text) > 0 {
			err := r.object(text)
			return row{line: r.line, cells: r.cells, err: err}, nil
		}
	}
}

// readLine keeps no more than a little over mostLine of a line.
func (r *jsonRows) readLine() ([]byte, error) {
	r.long = r.long[:0]
	for {
		part, err := r.in.ReadSlice('\n')
		if len(r.long) <= mostLine {
			r.long = append(r.long, part...)
		}
		switch {
		case err == nil, errors.Is(err, io.EOF) && len(r.long) > 0:
			return r.long, nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		}
	}
}

// object splits one JSON object into its members, in their order.
func (r *jsonRows) object(text []byte) error {
	r.cells = r.cells[:0]
	in := json.NewDecoder(bytes.NewReader(text))
	if open, err := in.Token(); err != nil || open != json.Delim('{') {
		return errors.New("the line is not a JSON object")
	}
	for in.More() {
		key, err := in.Token()
		if err != nil {
			return fmt.Errorf("the line is not JSON: %w", err)
		}
		var value json.RawMessage
		if err := in.Decode(&value); err != nil {
			return fmt.Errorf("the line is not JSON: %w", err)
		}
		if c := (cell{column: key.(string), text: string(value), json: true}); c.text != "null" {
			r.cells = append(r.cells, c)
		}
	}
	if _, err := in.Token(); err != nil {
		return fmt.Errorf("the line is not JSON: %w", err)
	}
	if _, err := in.Token(); !errors.Is(err, io.EOF) {
		return errors.New("there is more on the line than one JSON object")
	}
	return nil
}
