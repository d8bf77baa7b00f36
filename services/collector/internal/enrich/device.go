package enrich

import "strings"

// Device types.
const (
	desktop  = "desktop"
	mobile   = "mobile"
	tablet   = "tablet"
	tv       = "tv"
	console  = "console"
	wearable = "wearable"
	bot      = "bot"
)

// deviceTypes are looked through in order: the first whose words are in the
// user agent is its type. A television says Android or Linux as well, a tablet
// often says Mobile, so the rarer come first.
var deviceTypes = []struct {
	device string
	words  []string
}{
	{console, []string{"playstation", "xbox", "nintendo", "steam deck"}},
	{tv, []string{
		"smart-tv", "smarttv", "smart tv", "appletv", "apple tv", "googletv", "google tv", "android tv", "hbbtv", "web0s", "webos.tv",
		"netcast", "bravia", "roku", "crkey", "aftb", "aftt", "afts", "aftm", "aftn", "aftk", "aftr", "viera", "vidaa", "tizen tv", "tv safari",
		"opera tv", "philipstv", "netrange", "ce-html", "large screen", "mitv", "dtv", "tvos", "brightsign",
	}},
	{wearable, []string{"watchos", "apple watch", "wear os", "sm-r8", "glass 1", "quest 2", "quest 3", "oculusbrowser", "mobile vr"}},
	{tablet, []string{"ipad", "tablet", "kindle", "silk/", "playbook", "kfapwi", "nexus 7", "nexus 9", "nexus 10", "sm-t", "gt-p", "xoom", "ideatab", "lenovo tab", "mediapad"}},
	{mobile, []string{
		"iphone", "ipod", "mobile", "phone", "opera mini", "opera mobi", "blackberry", "bb10", "symbian", "series60", "midp", "j2me", "brew",
		"palm", "iemobile", "ucweb", "maemo", "meego", "kaios", "fennec", "docomo", "webos/",
	}},
}

func deviceType(folded string, a *Agent) string {
	if a.Bot {
		return bot
	}
	for _, t := range deviceTypes {
		for _, word := range t.words {
			if strings.Contains(folded, word) {
				return t.device
			}
		}
	}
	switch a.OS {
	case "Android":
		if strings.Contains(folded, "mozilla/") {
			return tablet // Android browsers on phones say Mobile
		}
		return mobile
	case "iOS":
		return mobile
	case "WatchOS":
		return wearable
	case "tvOS", "ATV OS X":
		return tv
	case "":
		return ""
	}
	return desktop
}
