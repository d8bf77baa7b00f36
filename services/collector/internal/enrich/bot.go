package enrich

import "strings"

// isLibrary finds programs that send for somebody: HTTP libraries, command
// line tools, servers. They name themselves and no device. On its own none of
// this tells a crawler from a shop's backend; see userAgent.
func isLibrary(folded string, a *Agent) bool {
	if hasAny(folded, textBrowsers) {
		return false
	}
	return hasAny(folded, libraries) || a.OS == "" && !hasAny(folded, devices)
}

// isBot finds crawlers, monitors, previews and other programs that visit by
// themselves. Names of real browsers that hold one of the words are taken out first.
func isBot(folded string) bool {
	for _, name := range innocent {
		folded = strings.ReplaceAll(folded, name, "")
	}
	return hasAny(folded, botWords) || hasAny(folded, botNames)
}

func hasAny(text string, words []string) bool {
	for _, word := range words {
		if strings.Contains(text, word) {
			return true
		}
	}
	return false
}

// libraries that name a system as well, or hide behind "Mozilla".
var libraries = []string{
	"python-requests", "python-urllib", "python-httpx", "python/", "aiohttp", "go-http-client", "java/", "apache-httpclient",
	"axios", "node-fetch", "undici", "node.js", "curl/", "libcurl", "wget", "httpie", "postmanruntime", "insomnia",
	"guzzle", "ruby", "rest-client", "libwww-perl", "lwp::", "reqwest", "restsharp", "winhttp", "httpclient", "indy library",
	"powershell", "jersey/", "openai/js", "electron-fetch", "microsoft-cryptoapi",
}

// textBrowsers are used by people although they look like libraries.
var textBrowsers = []string{"lynx", "links (", "elinks", "w3m", "mosaic", "netsurf", "dillo", "browsex", "icab", "ibrowse", "amigavoyager", "netpositive", "voyager", "emacs-w3", "contiki", "retawq"}

// devices are words of phones, consoles, televisions and apps whose system the patterns do not know.
var devices = []string{
	"midp", "profile/", "configuration/cldc", "nokia", "samsung", "sonyericsson", "sec-", "lg-", "lge-", "mot-", "opera", "brew", "docomo", "up.browser",
	"mobile", "phone", "ipad", "android", "dalvik", "ios", "windows", "linux", "x11", "macintosh", "mac_", "mac os", "ppc", "unix", "amiga", "beos", "haiku",
	"tv", "crkey", "playstation", "nintendo", "xbox", "roku", "darwin", "cfnetwork", "webos", "tizen", "symbian", "series60", "palm", "netfront", "obigo", "ucweb",
	"maui", "alcatel", "huawei", "zte", "haier", "vodafone", "j2me", "semc", "philips", "panasonic", "sharp", "sagem", "benq", "sie-", "portalmmm", "blackberry", "konqueror", "ms-office", "outlook", "icedragon", "htc",
}

// botWords are what programs of all kinds call themselves and browsers do not.
var botWords = []string{
	"bot", "crawl", "spider", "scrap", "slurp", "fetch", "monitor", "checker", "preview", "headless", "archiv", "http://", "https://",
	"indexer", "validator", "scan", "synthetic", "inspect", "sitemap", "lighthouse", "favicon", "feed", "rss", "transcoder", "proxy",
	"weblight", "catchpoint", "rigor", "ptst/", "agent/", "-agent", "agent 3", "research", "verif", "mediapartners", "subscriber", "url", "uptime", "audit",
	"analyz", "optimiz", "gomez", "survey", "discover", "playwright", "selenium", "phantomjs", "cypress/", "puppeteer", "webdriver",
	"nikto", "acunetix", "openvas", "sqlmap", "nessus", "zgrab", "masscan", "nmap", "burp", "select ", "load_file", "pg_sleep", "/etc/passwd", "reader.com",
	"capture", "httrack", "linkcheck", "page speed", "gmail.com", "[at]", "(at)", "resolver", "recon", "classifier", "; +", "(+", "compatible)", "search console", "metadata", "parser",
	"-google", "google-", "googleother", "googleagent", "imageproxy", "responsive", "screenshot", "thumb", "webster", "sucker", "grab", "collect", "locally", "observatory",
}

// botNames are programs that none of the words find.
var botNames = []string{
	"statuscake", "dareboost", "gtmetrix", "linktiger", "datanyze", "printfriendly", "securityheaders", "onetrust", "hotjar", "silktide", "thousandeyes",
	"adbeat", "watchtowr", "hydra", "netcraft", "newsnow", "siteimprove", "daum", "attracta", "pageburst", "ghost inspector", "taginspector", "splash version",
	"criticalcss", "hardenize", "foregenix", "scope3", "devin/", "manus-user", "newsai", "sindup", "outbrain", "dmbrowser", "dejaclick", "cookiehub", "readable/",
	"ylt chrome", "sparkler", "collapsify", "marketgoo", "sqwatcher", "turingos", "xmco.fr", "mixnode", "morningscore", "jorgee", "xtate", "impact.com",
	"geedoshop", "appinsights", "webmoney", "bigsur", "meta-external", "externalhit", "sogou", "chatgpt-user", "perplexity-user", "claude-user", "miniature.io",
	"anonymous, ", "dlc/", "cursor/", "bw/1", "contentscan", "fwdcdn", "appengine", "wordpress", "twiceler", "teoma", "ia_archiver", "yeti", "ichiro", "heritrix", "nutch",
	"facebookcatalog", "trendsmap", "tracemyfile", "upday/", "evc-batch", "ortc.me", "poduptime", "retroliste", "montools", "dataprovider", "optimizer",
	"devtools", "pwabuilder", "site24x7", "nagios", "check_http", "netvigie", "readkit", "reeder/", "newsblur", "downcast", "igetter", "img2dataset", "grpc-",
	"clamav", "translationserver", "googlemessages", "marketingminer", "whatsapp/", "modularconnector", "swcd ", "w3c-", "ps_daily", "biglotron", "firephp",
}

// innocent are names of browsers, apps and devices in which a bot's word stands.
var innocent = []string{
	"cubot", "mozacfetch", "turbotabbee", "turbota", "caboto", "catchnotes", "gzip(gfe)", "curl_", "camscanner", "googleapp/", "messages",
}
