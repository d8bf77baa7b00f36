package enrich

import (
	"strings"

	"github.com/maidian/maidian/pkg/event"
)

// Channels are those of the default channel group that Google Analytics
// documents, so that figures compare, and two more.
const (
	direct          = "Direct"
	crossNetwork    = "Cross-network"
	paidShopping    = "Paid Shopping"
	paidSearch      = "Paid Search"
	paidSocial      = "Paid Social"
	paidVideo       = "Paid Video"
	display         = "Display"
	paidOther       = "Paid Other"
	organicShopping = "Organic Shopping"
	organicSocial   = "Organic Social"
	organicVideo    = "Organic Video"
	organicSearch   = "Organic Search"
	referral        = "Referral"
	email           = "Email"
	affiliates      = "Affiliates"
	audio           = "Audio"
	sms             = "SMS"
	push            = "Mobile Push Notifications"
	unassigned      = "Unassigned"

	assistants = "AI Assistants" // referred by a chat with a language model
	spam       = "Spam"          // referred by a domain that fakes visits
)

// channel says by which way the visitor came to the event's page: by what the
// link says about itself (utm, or an advertiser's click id), else by the
// referrer. Within a site, from page to page, nobody comes: then, and for
// events of no page, there is no channel. Spam counts as a bot, not as a referral.
func (en *Enricher) channel(v *Visit, e *event.Event) {
	c := &v.campaignIs
	referrer := v.refer(en.sources, e.Referrer)
	switch {
	case referrer.host != "" && en.isSpam(referrer.host):
		e.Channel, e.IsBot = spam, true
	case c.source != "" || c.medium != "" || c.name != "":
		e.Channel = en.sources.Channel(c.source, c.medium, c.name)
	case c.click != "":
		e.Channel = clickChannels[c.click]
	case referrer.host != "" && v.within(referrer.host, e.PageHost):
		e.Channel = ""
	case referrer.host != "":
		e.Channel = hostChannels[v.sourceOf]
	case e.PageURL != "":
		e.Channel = direct
	}
}

// refer takes the referrer apart, remembered for events with the same one.
func (v *Visit) refer(sources *Sources, url string) page {
	if url != v.referrerOf {
		v.referrerOf, v.referrerIs = url, parsePage(url)
		v.sourceOf = sources.Host(v.referrerIs.host)
	}
	return v.referrerIs
}

// within says whether two hosts belong to one site: www.shop.example and
// blog.shop.example do.
func (v *Visit) within(referrer, page string) bool {
	if referrer == page {
		return true
	}
	if pair := [2]string{referrer, page}; pair != v.siteOf {
		v.siteOf = pair
		v.sameSite = page != "" && registered(referrer) == registered(page)
	}
	return v.sameSite
}

// hostChannels is the channel of a visit that a host of a kind referred.
var hostChannels = map[Kind]string{
	Unlisted:   referral,
	Site:       referral,
	Search:     organicSearch,
	PaidSearch: paidSearch,
	Display:    display,
	Social:     organicSocial,
	Video:      organicVideo,
	Shopping:   organicShopping,
	Email:      email,
	Assistant:  assistants,
}

// clickChannels is the channel of a visit whose link bears an advertiser's click id.
var clickChannels = map[string]string{
	"gclid": paidSearch, "gbraid": paidSearch, "wbraid": paidSearch, // Google Ads
	"dclid":     display,       // Google Marketing Platform
	"msclkid":   paidSearch,    // Microsoft Advertising
	"yclid":     paidSearch,    // Yandex Direct
	"bd_vid":    paidSearch,    // Baidu
	"ttclid":    paidSocial,    // TikTok
	"twclid":    paidSocial,    // X
	"li_fat_id": paidSocial,    // LinkedIn
	"rdt_cid":   paidSocial,    // Reddit
	"sccid":     paidSocial,    // Snapchat
	"epik":      paidSocial,    // Pinterest
	"fbclid":    organicSocial, // Facebook puts it on every link, paid for or not
}

// Channel groups a tagged visit by what its link says. The rules stand in the
// order in which they win.
func (s *Sources) Channel(source, medium, campaign string) string {
	source, medium, campaign = fold(source), fold(medium), fold(campaign)
	kind := s.Named(source)
	paid := isPaid(medium)
	shop := isShopping(campaign)
	switch {
	case (source == "" || source == "(direct)") && campaign == "" && (medium == "" || medium == "(none)" || medium == "(not set)"):
		return direct
	case strings.Contains(campaign, "cross-network"):
		return crossNetwork
	// A tagged link on a shopping site that names no medium is an advertisement:
	// its free listings bear no tags, but for Google Shopping's.
	case kind == Shopping && (paid || medium == "" && source != "google shopping"), shop && paid:
		return paidShopping
	case (kind == Search || kind == PaidSearch) && paid:
		return paidSearch
	case kind == Social && paid:
		return paidSocial
	case kind == Video && paid:
		return paidVideo
	case isDisplay(medium), kind == Display && medium == "":
		return display
	case paid:
		return paidOther
	case kind == Shopping || shop:
		return organicShopping
	case kind == Social || isSocial(medium):
		return organicSocial
	case kind == Video || strings.Contains(medium, "video"):
		return organicVideo
	case kind == Search || medium == "organic":
		return organicSearch
	case kind == Assistant || medium == "ai-assistant":
		return assistants
	case medium == "referral" || medium == "app" || medium == "link":
		return referral
	case kind == Email || isEmail(source) || isEmail(medium):
		return email
	case medium == "affiliate" || medium == "affiliates":
		return affiliates
	case medium == "audio":
		return audio
	case source == "sms" || medium == "sms":
		return sms
	case strings.HasSuffix(medium, "push") || strings.Contains(medium, "mobile") || strings.Contains(medium, "notification") || source == "firebase":
		return push
	}
	return unassigned
}

func fold(s string) string { return strings.ToLower(strings.TrimSpace(s)) }

func isPaid(medium string) bool {
	return medium == "ppc" || medium == "retargeting" || strings.HasPrefix(medium, "paid") ||
		strings.Contains(medium, "cp")
}

func isDisplay(medium string) bool {
	switch medium {
	case "display", "banner", "expandable", "interstitial", "cpm":
		return true
	}
	return false
}

func isSocial(medium string) bool {
	switch medium {
	case "social", "social-network", "social-media", "sm", "social network", "social media":
		return true
	}
	return false
}

func isEmail(s string) bool {
	switch s {
	case "email", "e-mail", "e_mail", "e mail":
		return true
	}
	return false
}

// isShopping finds "shop" in a campaign's name, but not in "workshop" or "bishop":
// a letter before it, other than the e of "eshop", makes it another word.
func isShopping(campaign string) bool {
	if strings.Contains(campaign, "shopping") {
		return true
	}
	for i := 0; ; i += len("shop") {
		at := strings.Index(campaign[i:], "shop")
		if at < 0 {
			return false
		}
		i += at
		if i == 0 || campaign[i-1] == 'e' || campaign[i-1] < 'a' || campaign[i-1] > 'z' {
			return true
		}
	}
}
