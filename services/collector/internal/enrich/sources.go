package enrich

import (
	_ "embed"
	"fmt"
	"strings"

	"golang.org/x/net/publicsuffix"
)

//go:embed sources.txt
var sourceList string

// Kind is what a source of visits is.
type Kind string

// Kinds of source, as the sections of sources.txt are named.
const (
	Unlisted   Kind = ""
	Search     Kind = "search"
	PaidSearch Kind = "paid_search"
	Display    Kind = "display"
	Social     Kind = "social"
	Video      Kind = "video"
	Shopping   Kind = "shopping"
	Email      Kind = "email"
	Assistant  Kind = "assistant" // chat with a language model
	Site       Kind = "referral"  // explicitly nothing of the above
)

// Sources are the listed names of sources.
type Sources struct {
	names   map[string]Kind // utm_source, lower-case, and hosts
	anyEnds map[string]Kind // "google" for google.*
}

func readSources(list string) (*Sources, error) {
	s := &Sources{names: map[string]Kind{}, anyEnds: map[string]Kind{}}
	var kind Kind
	for line := range strings.Lines(list) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			kind = Kind(strings.Trim(line, "[]"))
			continue
		}
		if strings.HasPrefix(line, "#") {
			continue
		}
		for _, entry := range strings.Fields(line) {
			if err := s.add(strings.ReplaceAll(entry, "_", " "), kind); err != nil {
				return nil, err
			}
		}
	}
	return s, nil
}

func (s *Sources) add(entry string, kind Kind) error {
	into, name := s.names, entry
	if stem, ok := strings.CutSuffix(entry, ".*"); ok {
		into, name = s.anyEnds, stem
	}
	if other, twice := into[name]; twice {
		return fmt.Errorf("sources.txt: %q stands under %s and %s", entry, other, kind)
	}
	into[name] = kind
	return nil
}

// Named is the kind of a utm_source.
func (s *Sources) Named(source string) Kind {
	source = strings.ToLower(strings.TrimSpace(source))
	if kind, ok := s.names[source]; ok {
		return kind
	}
	if kind, ok := s.anyEnds[source]; ok {
		return kind
	}
	if strings.IndexByte(source, '.') > 0 {
		return s.listed(source)
	}
	return Unlisted
}

// Host is the kind of a referring host. A host that is not listed but whose
// own name says so is a mailbox (webmail.example.fr) or a search page (search.example).
func (s *Sources) Host(host string) Kind {
	if kind := s.listed(host); kind != Unlisted {
		return kind
	}
	for label := range strings.SplitSeq(strings.TrimSuffix(host, registered(host)), ".") {
		switch {
		case strings.Contains(label, "mail") || strings.HasPrefix(label, "messagerie"):
			return Email
		case label == "search" || label == "suche" || label == "recherche" || label == "buscar":
			return Search
		}
	}
	if strings.HasPrefix(host, "deref-") { // German mailboxes forward clicks through such hosts
		return Email
	}
	return Unlisted
}

// listed looks for the longest entry: the host, then each host above it, then
// its name under any public suffix.
func (s *Sources) listed(host string) Kind {
	for part := host; ; {
		if kind, ok := s.names[part]; ok && strings.IndexByte(part, '.') >= 0 {
			return kind
		}
		_, above, ok := strings.Cut(part, ".")
		if !ok {
			break
		}
		part = above
	}
	name, _, _ := strings.Cut(registered(host), ".")
	return s.anyEnds[name]
}

// registered is the part of a host that somebody registered: shop.co.uk of
// www.shop.co.uk; the host itself where that cannot be told.
func registered(host string) string {
	if site, err := publicsuffix.EffectiveTLDPlusOne(host); err == nil {
		return site
	}
	return host
}
