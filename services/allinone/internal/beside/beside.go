// Package beside asks the query service and other databases the same questions
// about the seeded set, in turn, holds their answers against each other, and
// says how long each took.
package beside

import (
	"fmt"
	"slices"
	"strings"
)

// compare says where two answers, each a list of lines, differ first.
func compare(ours, theirs []string, who string) error {
	ours, theirs = slices.Sorted(slices.Values(ours)), slices.Sorted(slices.Values(theirs))
	for i := range max(len(ours), len(theirs)) {
		a, b := at(ours, i), at(theirs, i)
		if a != b {
			return fmt.Errorf("answers differ: of %d lines, in order, line %d is %q, that of %s (%d lines) is %q", len(ours), i, a, who, len(theirs), b)
		}
	}
	if len(ours) == 0 {
		return fmt.Errorf("both answers, ours and that of %s, are empty: nothing was compared", who)
	}
	return nil
}

func at(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return "(none)"
}

// line is a row of an answer, as databases print it.
func line(cells ...any) string {
	texts := make([]string, len(cells))
	for i, cell := range cells {
		texts[i] = fmt.Sprint(cell)
	}
	return strings.Join(texts, "\t")
}
