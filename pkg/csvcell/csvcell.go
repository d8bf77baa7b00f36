// Package csvcell keeps text in CSV cells from being run: spreadsheets take a
// cell that begins in certain ways for a formula, and what visitors send must
// not run on an analyst's machine.
package csvcell

import (
	"strings"
	"unicode/utf8"
)

// formulaStarts begin a formula in one spreadsheet program or another; the wide
// forms do in Chinese and Japanese ones.
const formulaStarts = "=+-@\t\r\n＝＋－＠"

// Guard is text as it stands in a CSV cell: one that begins like a formula gets
// an apostrophe before it, numbers below zero too. One that begins with
// apostrophes before such a start gets one more, so that Bare always gives the
// text as it was.
func Guard(text string) string {
	if startsFormula(text) {
		return "'" + text
	}
	return text
}

// Bare takes the apostrophe away that Guard put there.
func Bare(cell string) string {
	if strings.HasPrefix(cell, "'") && startsFormula(cell) {
		return cell[1:]
	}
	return cell
}

func startsFormula(text string) bool {
	first, size := utf8.DecodeRuneInString(strings.TrimLeft(text, "'"))
	return size > 0 && strings.ContainsRune(formulaStarts, first)
}
