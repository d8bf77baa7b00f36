package enrich

import (
	"regexp/syntax"
	"slices"
	"strings"
)

// neededWords returns lower-case words of which a text, in lower case, must
// hold at least one for the expression to match it; nil when there are none.
func neededWords(expression string) []string {
	parsed, err := syntax.Parse(expression, syntax.Perl)
	if err != nil {
		return nil
	}
	words := needed(parsed.Simplify())
	if len(words) > 200 || shortest(words) < 2 {
		return nil // too many, or too common, to save anything
	}
	slices.Sort(words)
	return slices.Compact(words)
}

func needed(r *syntax.Regexp) []string {
	switch r.Op {
	case syntax.OpLiteral:
		return literal(r)
	case syntax.OpCapture, syntax.OpPlus:
		return needed(r.Sub[0])
	case syntax.OpRepeat:
		if r.Min > 0 {
			return needed(r.Sub[0])
		}
	case syntax.OpAlternate:
		return either(r.Sub)
	case syntax.OpConcat:
		return best(r.Sub)
	}
	return nil
}

// literal folds to lower case as strings.ToLower does, but for letters whose
// lower case folds differently ("K" is also the Kelvin sign): ASCII only.
func literal(r *syntax.Regexp) []string {
	for _, c := range r.Rune {
		if c >= 0x80 {
			return nil
		}
	}
	return []string{strings.ToLower(string(r.Rune))}
}

// either needs a word of each branch.
func either(branches []*syntax.Regexp) (all []string) {
	for _, b := range branches {
		words := needed(b)
		if words == nil {
			return nil
		}
		all = append(all, words...)
	}
	return all
}

// best is the part whose shortest word is longest: it lets the fewest texts through.
func best(parts []*syntax.Regexp) (words []string) {
	for _, p := range parts {
		if w := needed(p); w != nil && shortest(w) > shortest(words) {
			words = w
		}
	}
	return words
}

func shortest(words []string) int {
	if len(words) == 0 {
		return 0
	}
	n := len(words[0])
	for _, w := range words {
		n = min(n, len(w))
	}
	return n
}
