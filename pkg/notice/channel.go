// Package notice is how people are told of firings: the channels they name, the
// words that are sent, the notices in the outbox, and when all is to be silent.
// The query service reads and checks what people define; the consumer sends.
package notice

import (
	"fmt"
	"net"
	"net/mail"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/maidian/maidian/pkg/ask"
	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/secret"
)

// ChannelKind is the kind of the records that channels are; Data is a Channel as JSON.
const ChannelKind = "channel"

// Channel is a way to people.
type Channel struct {
	ID        string                    `json:"id"`
	Project   string                    `json:"project"`
	Name      string                    `json:"name"`
	Type      string                    `json:"type"` // of Types
	Language  string                    `json:"language"`
	Timezone  string                    `json:"timezone"`        // that times are told in
	Title     string                    `json:"title,omitempty"` // template; empty: the language's
	Text      string                    `json:"text,omitempty"`
	Settings  map[string]string         `json:"settings"`
	Secrets   map[string][]secret.Value `json:"secrets"`
	CreatedAt event.Time                `json:"created_at"`
	UpdatedAt event.Time                `json:"updated_at"`
}

// Owner is the place that a channel's secret is sealed for.
func (c *Channel) Owner(name string) string {
	return ChannelKind + "/" + c.Project + "/" + c.ID + "/" + name
}

// Type is what channels of one type need to be told.
type Type struct {
	Name     string
	Settings []Setting
	Secrets  []Secret
}

// Setting is one that everybody may see.
type Setting struct {
	Name, Missing string // Missing stands for one that is not given
	Required      bool
	Check         func(value string) error // nil: any text
}

// Secret is one that nobody is shown.
type Secret struct {
	Name     string
	Required bool
	Most     int // above 1: several at the same time, so that they can be rotated
}

// Types are all there are; services/consumer/internal/channel has a sender for each.
var Types = []Type{
	{
		Name:     "webhook",
		Settings: []Setting{{Name: "url", Required: true, Check: isURL}},
		Secrets:  []Secret{{Name: "secret", Required: true, Most: 5}},
	},
	{Name: "slack", Secrets: []Secret{{Name: "url", Required: true}}},
	{
		Name:     "telegram",
		Settings: []Setting{{Name: "chat_id", Required: true}, {Name: "api_url", Missing: "https://api.telegram.org", Check: isURL}},
		Secrets:  []Secret{{Name: "token", Required: true}},
	},
	{Name: "dingtalk", Secrets: []Secret{{Name: "url", Required: true}, {Name: "secret"}}},
	{Name: "feishu", Secrets: []Secret{{Name: "url", Required: true}, {Name: "secret"}}},
	{Name: "wecom", Secrets: []Secret{{Name: "url", Required: true}}},
	{
		Name: "email",
		Settings: []Setting{
			{Name: "host", Required: true, Check: isHost},
			{Name: "port", Missing: "587", Check: isPort},
			{Name: "tls", Missing: "starttls", Check: oneOf("starttls", "implicit", "none")},
			{Name: "username"},
			{Name: "from", Required: true, Check: isAddress},
			{Name: "to", Required: true, Check: areAddresses},
		},
		Secrets: []Secret{{Name: "password"}},
	},
}

// typeNames are the names of Types.
func typeNames() []string {
	names := make([]string, len(Types))
	for i := range Types {
		names[i] = Types[i].Name
	}
	return names
}

// ReadChannel reads a definition; its mistakes are p's. The caller gives it an
// ID and project, and closes p.
func ReadChannel(p *ask.Params) Channel {
	c := Channel{
		Name: p.String("name", ""), Type: p.OneOf("type", "", typeNames()...),
		Language: p.OneOf("language", English, English, Chinese), Timezone: p.String("timezone", "UTC"),
		Title: template(p, "title"), Text: template(p, "text"),
		Settings: map[string]string{}, Secrets: map[string][]secret.Value{},
	}
	if len(c.Name) > maxName {
		p.Fail("name", "must have %d bytes or less, got %d", maxName, len(c.Name))
	}
	if _, err := time.LoadLocation(c.Timezone); err != nil || c.Timezone == "Local" {
		p.Fail("timezone", "must be an IANA zone such as \"Asia/Shanghai\", got %q", c.Timezone)
	}
	if i := slices.IndexFunc(Types, func(t Type) bool { return t.Name == c.Type }); i >= 0 {
		Types[i].read(&c, p)
	}
	return c
}

const maxName = 200

func (t *Type) read(c *Channel, p *ask.Params) {
	settings, secrets := child(p, "settings"), child(p, "secrets")
	for _, s := range t.Settings {
		value := settings.String(s.Name, s.Missing)
		switch {
		case value == "" && s.Required:
			settings.Fail(s.Name, "is required for %s", t.Name)
		case strings.ContainsAny(value, "\r\n\x00"):
			settings.Fail(s.Name, "must be one line")
		case value != "" && s.Check != nil:
			if err := s.Check(value); err != nil {
				settings.Fail(s.Name, "%s", err)
			}
		}
		c.Settings[s.Name] = value
	}
	for _, s := range t.Secrets {
		values := secret.ReadAll(secrets, s.Name, max(1, s.Most))
		if len(values) == 0 && s.Required {
			secrets.Fail(s.Name, "is required for %s", t.Name)
		}
		if len(values) > 0 {
			c.Secrets[s.Name] = values
		}
	}
	settings.Close()
	secrets.Close()
}

// child is a nested object, an empty one when it is missing.
func child(p *ask.Params, name string) *ask.Params {
	switch v := p.Get(name).(type) {
	case nil:
	case map[string]any:
		return p.Child(name, v)
	default:
		p.Fail(name, "must be an object, got %s", ask.Describe(v))
	}
	return p.Child(name, map[string]any{})
}

func isURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil || u.Fragment != "" {
		return fmt.Errorf("must be a URL such as \"https://example.com/hook\", without a password in it")
	}
	return nil
}

func isHost(text string) error {
	if net.ParseIP(text) == nil && (strings.ContainsAny(text, " /:@") || !strings.Contains(text, ".")) {
		return fmt.Errorf("must be the name of a server such as \"smtp.example.com\", got %.100q", text)
	}
	return nil
}

func isPort(text string) error {
	if n, err := strconv.Atoi(text); err != nil || n < 1 || n > 65535 {
		return fmt.Errorf("must be a port from 1 to 65535, got %.20q", text)
	}
	return nil
}

func oneOf(allowed ...string) func(string) error {
	return func(text string) error {
		if !slices.Contains(allowed, text) {
			return fmt.Errorf("must be one of %s, got %.100q", strings.Join(allowed, ", "), text)
		}
		return nil
	}
}

func isAddress(text string) error {
	if _, err := mail.ParseAddress(text); err != nil {
		return fmt.Errorf("must be an address such as \"ops@example.com\", got %.200q", text)
	}
	return nil
}

const maxRecipients = 50

func areAddresses(text string) error {
	list, err := mail.ParseAddressList(text)
	if err != nil || len(list) > maxRecipients {
		return fmt.Errorf("must be 1 to %d addresses with commas between, such as \"a@example.com, b@example.com\", got %.200q", maxRecipients, text)
	}
	return nil
}
