package report

import (
	"strings"
	"unicode/utf8"

	"github.com/maidian/maidian/pkg/event"
)

// formulaStarts begin a formula in one spreadsheet program or another; the wide
// forms do in Chinese and Japanese ones.
const formulaStarts = "=+-@\t\r\n＝＋－＠"

// cell is text as it stands in a CSV cell. Spreadsheets run a cell that begins
// like a formula, and what visitors send must not run on an analyst's machine:
// such a cell gets an apostrophe before it, numbers below zero too. One that
// begins with apostrophes before such a start gets one more, so that taking one
// away always gives the text as it was.
func cell(text string) string {
	if startsFormula(text) {
		return "'" + text
	}
	return text
}

func startsFormula(text string) bool {
	first, size := utf8.DecodeRuneInString(strings.TrimLeft(text, "'"))
	return size > 0 && strings.ContainsRune(formulaStarts, first)
}

// csvCell is a field of an event as it stands in a CSV cell.
func csvCell(f *event.Field, e *event.Event) string {
	switch f.Kind {
	case event.Num:
		return cell(string(f.NumberOf(e)))
	case event.Moment:
		if t := f.TimeOf(e); t != 0 {
			return t.String()
		}
		return ""
	case event.Flag:
		if f.FlagOf(e) {
			return "true"
		}
		return "false"
	}
	return cell(f.TextOf(e))
}
