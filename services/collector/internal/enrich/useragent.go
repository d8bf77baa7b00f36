package enrich

import (
	"strings"

	"github.com/maidian/maidian/pkg/event"
)

// userAgent sets browser, os, device_type and is_bot from the user agent.
//
// A program's user agent that the event itself bears is its visitor's, and a
// program that visits is a bot. But one that only the request bears is the
// sender's: servers report their users' events with such libraries, and those
// users are no bots.
func (en *Enricher) userAgent(v *Visit, e *event.Event) {
	if e.UserAgent == "" {
		return
	}
	if e.UserAgent != v.agentOf {
		v.agentOf, v.agent = e.UserAgent, en.agents.Parse(e.UserAgent)
	}
	a := &v.agent
	e.Browser, e.BrowserVersion = a.Browser, a.BrowserVersion
	e.OS, e.OSVersion = a.OS, a.OSVersion
	e.DeviceType, e.IsBot = a.Device, a.Bot
	if a.Library && v.agentHeader {
		e.DeviceType, e.IsBot = "", false
	}
}

// Agent is what a user agent says about itself. What it does not say is empty.
type Agent struct {
	Browser, BrowserVersion string // families as the ua-parser project names them
	OS, OSVersion           string
	Device                  string // one of the device types of device.go
	Bot                     bool
	Library                 bool // an HTTP library or tool, with no visitor of its own
}

// longest is the most bytes of a user agent that are looked at; real ones are
// shorter, and patterns take time by length.
const longest = 1024

// Parse reads a user agent, or remembers what it read before.
func (a *Agents) Parse(text string) Agent {
	if len(text) > longest {
		text = text[:longest]
	}
	if known, ok := a.cache.get(text); ok {
		return known
	}
	text = strings.Clone(text) // not the request that it is a part of
	agent := a.read(text)
	a.cache.put(text, agent)
	return agent
}

func (a *Agents) read(text string) Agent {
	folded := strings.ToLower(text)
	browser := a.browser(text, folded)
	os := a.os(text, folded)
	agent := Agent{
		Browser: known(browser.Family), BrowserVersion: version(browser.Major, browser.Minor, browser.Patch),
		OS: known(os.Family), OSVersion: version(os.Major, os.Minor, os.Patch, os.PatchMinor),
	}
	crawler := isBot(folded)
	agent.Library = !crawler && isLibrary(folded, &agent)
	agent.Bot = crawler || agent.Library
	agent.Device = deviceType(folded, &agent)
	return agent
}

// known is a family's name, or nothing where the patterns found none.
func known(family string) string {
	if family == "Other" {
		return ""
	}
	return family
}

func version(parts ...string) string {
	n := 0
	for n < len(parts) && parts[n] != "" {
		n++
	}
	return strings.Join(parts[:n], ".")
}
