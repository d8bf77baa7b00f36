package enrich

import (
	_ "embed"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/ua-parser/uap-go/uaparser"
	"gopkg.in/yaml.v3"
)

//go:embed families.yaml
var newerFamilies []byte

// Agents knows browsers and operating systems: the ua-parser project's patterns,
// in their order, after a short list of newer families (families.yaml).
//
// There are hundreds of patterns and most user agents match the last few of
// them, so trying each takes half a millisecond, which strangers could make us
// spend on every request. Each pattern is therefore tried only when the text
// holds one of the words without which it cannot match; and what was read is
// remembered.
type Agents struct {
	browsers []pattern[uaparser.UserAgent]
	systems  []pattern[uaparser.Os]
	cache    *memory
}

// pattern is one of the library's, behind the words that it needs.
type pattern[T any] struct {
	words []string // lower-case; the pattern needs one of them; none: always try
	match func(line string, into *T)
}

// remembered is how many user agents are kept at least; twice as many at most.
const remembered = 5000

// NewAgents compiles the patterns.
func NewAgents() (*Agents, error) {
	var all, library uaparser.RegexDefinitions
	err := errors.Join(yaml.Unmarshal(newerFamilies, &all), yaml.Unmarshal(uaparser.DefinitionYaml, &library))
	if err != nil {
		return nil, fmt.Errorf("user agent patterns: %w", err)
	}
	all.UA, all.OS = append(all.UA, library.UA...), append(all.OS, library.OS...) // device models are not stored
	parser, err := uaparser.New(uaparser.WithRegexDefinitions(all))
	if err != nil {
		return nil, fmt.Errorf("user agent patterns: %w", err)
	}
	a := &Agents{cache: newMemory(remembered)}
	for _, p := range parser.UA {
		a.browsers = append(a.browsers, pattern[uaparser.UserAgent]{needs(p.Reg), p.Match})
	}
	for _, p := range parser.OS {
		a.systems = append(a.systems, pattern[uaparser.Os]{needs(p.Reg), p.Match})
	}
	return a, nil
}

func needs(r *regexp.Regexp) []string { return neededWords(r.String()) }

func (a *Agents) browser(text, folded string) (b uaparser.UserAgent) {
	for i := range a.browsers {
		if p := &a.browsers[i]; p.possible(folded) {
			if p.match(text, &b); b.Family != "" {
				return b
			}
		}
	}
	return b
}

func (a *Agents) os(text, folded string) (o uaparser.Os) {
	for i := range a.systems {
		if p := &a.systems[i]; p.possible(folded) {
			if p.match(text, &o); o.Family != "" {
				return o
			}
		}
	}
	return o
}

func (p *pattern[T]) possible(folded string) bool {
	for _, word := range p.words {
		if strings.Contains(folded, word) {
			return true
		}
	}
	return len(p.words) == 0
}
