package enrich

import (
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/maidian/maidian/pkg/event"
)

// campaign sets the utm fields from the query of page_url.
func (en *Enricher) campaign(v *Visit, e *event.Event) {
	v.parsed(e.PageURL)
	c := &v.campaignIs
	e.UTMSource, e.UTMMedium, e.UTMCampaign = c.source, c.medium, c.name
	e.UTMTerm, e.UTMContent = c.term, c.content
}

// campaign is what the links of advertisements and newsletters say about themselves.
type campaign struct {
	source, medium, name, term, content string
	click                               string // the first advertiser's click id by name, such as "gclid"
}

// maxCampaign is the most bytes of a utm value that are kept.
const maxCampaign = 500

func campaignOf(query string) (c campaign) {
	for query != "" {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		key, value, _ := strings.Cut(pair, "=")
		if value == "" {
			continue
		}
		switch key = strings.ToLower(key); key {
		case "utm_source":
			set(&c.source, value)
		case "utm_medium":
			set(&c.medium, value)
		case "utm_campaign":
			set(&c.name, value)
		case "utm_term":
			set(&c.term, value)
		case "utm_content":
			set(&c.content, value)
		default:
			if c.click == "" && clickChannels[key] != "" {
				c.click = key
			}
		}
	}
	return c
}

// set keeps the first of several. What cannot be decoded stays as sent.
func set(field *string, value string) {
	if *field != "" {
		return
	}
	if strings.ContainsAny(value, "%+") {
		if decoded, err := url.QueryUnescape(value); err == nil && utf8.ValidString(decoded) {
			value = decoded
		}
	}
	value = strings.TrimSpace(value)
	if len(value) > maxCampaign {
		value = strings.ToValidUTF8(value[:maxCampaign], "")
	}
	*field = value
}
