// Package table writes figures as aligned text.
package table

import (
	"io"
	"strings"
	"unicode/utf8"
)

// Table is rows of cells below a heading.
type Table struct {
	Title  string
	Header []string
	Left   int // how many columns hold words and stand to the left; the others hold figures
	rows   [][]string
}

// Add appends a row.
func (t *Table) Add(cells ...string) { t.rows = append(t.rows, cells) }

// Write writes the table, each column as wide as its widest cell.
func (t *Table) Write(w io.Writer) error {
	var out strings.Builder
	if t.Title != "" {
		out.WriteString(t.Title + "\n")
	}
	widths := t.widths()
	t.line(&out, t.Header, widths)
	rule := make([]string, len(widths))
	for i, width := range widths {
		rule[i] = strings.Repeat("-", width)
	}
	t.line(&out, rule, widths)
	for _, row := range t.rows {
		t.line(&out, row, widths)
	}
	out.WriteString("\n")
	_, err := io.WriteString(w, out.String())
	return err
}

func (t *Table) widths() []int {
	widths := make([]int, len(t.Header))
	for _, row := range append([][]string{t.Header}, t.rows...) {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	return widths
}

func (t *Table) line(out *strings.Builder, cells []string, widths []int) {
	var line strings.Builder
	for i, cell := range cells {
		pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
		if i < t.Left {
			cell += pad
		} else {
			cell = pad + cell
		}
		line.WriteString("  " + cell)
	}
	out.WriteString(strings.TrimRight(line.String(), " ") + "\n")
}
