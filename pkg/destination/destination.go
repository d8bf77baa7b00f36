// Package destination says what events of a project are forwarded where: the
// definition of a destination, what becomes of an event on its way there, and
// the records in which destinations, how far they are, and what they refused
// are kept. The consumer forwards by it; the query service checks and shows it.
package destination

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/maidian/maidian/pkg/ask"
	"github.com/maidian/maidian/pkg/calendar"
	"github.com/maidian/maidian/pkg/event"
)

// Definition is one destination as it was read. As JSON it is as it was sent,
// with defaults filled in and secrets as they are kept.
type Definition struct {
	ID         string   `json:"id"`
	Name       string   `json:"name"`
	Type       string   `json:"type"`
	Enabled    bool     `json:"enabled"`
	From       string   `json:"from"`        // where a new destination begins: "now", "beginning", or a time
	Timezone   string   `json:"timezone"`    // of dates in filters
	PauseAfter int      `json:"pause_after"` // by how many refusals may outweigh what is taken; 0: by any number
	Settings   Settings `json:"settings"`
	Shape

	begin event.Time
}

// Settings are those of one type of destination.
type Settings interface {
	read(p *ask.Params)
	secrets() []Secret
}

// kind is one type of destination.
type kind struct {
	name     string
	settings func() Settings
}

// kinds in the order in which errors list them. Adding one is a file and a line
// here, and what sends to it in the consumer.
func kinds() []kind {
	return []kind{
		{"webhook", func() Settings { return &Webhook{} }},
		{"files", func() Settings { return &Files{} }},
		{"s3", func() Settings { return &S3{} }},
		{"ga4", func() Settings { return &GA4{} }},
		{"mixpanel", func() Settings { return &Mixpanel{} }},
		{"clickhouse", func() Settings { return &ClickHouse{} }},
		{"postgres", func() Settings { return &Postgres{} }},
		{"kafka", func() Settings { return &Kafka{} }},
		{"bigquery", func() Settings { return &BigQuery{} }},
		{"snowflake", func() Settings { return &Snowflake{} }},
	}
}

// Types are the names of all types.
func Types() []string {
	var names []string
	for _, k := range kinds() {
		names = append(names, k.name)
	}
	return names
}

var idPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,39}$`)

// Read reads a definition, a JSON object.
func Read(definition []byte) (*Definition, error) {
	p, err := ask.ParamsFromJSON(definition)
	if err != nil {
		return nil, err
	}
	d := &Definition{ID: p.Required("id", `1 to 40 of a-z, 0-9, _ and -, such as "warehouse"`)}
	if d.ID != "" && !idPattern.MatchString(d.ID) {
		p.Fail("id", "must be 1 to 40 of a-z, 0-9, _ and -, and begin with one of the first two, got %q", d.ID)
	}
	d.Name = p.String("name", d.ID)
	d.Enabled = p.Bool("enabled", true)
	d.PauseAfter = p.Int("pause_after", 100, 0, 1_000_000)
	var zone *time.Location
	d.Timezone, zone = p.Zone("timezone", "UTC")
	d.readFrom(p, calendar.Calendar{Zone: zone})
	d.Shape.read(p, calendar.Calendar{Zone: zone})
	d.Type = p.OneOf("type", "", Types()...)
	settings, given := p.Get("settings").(map[string]any)
	if !given {
		p.Fail("settings", "are required: an object with the settings of a %s destination", d.Type)
	}
	if err := p.Mistake(); err != nil {
		return nil, err
	}
	all := kinds()
	d.Settings = all[slices.IndexFunc(all, func(k kind) bool { return k.name == d.Type })].settings()
	s := p.Child("settings", settings)
	d.Settings.read(s)
	s.Close()
	return d, p.Done()
}

// Now and Beginning are where a destination may begin besides at a time.
const (
	Now       = "now"
	Beginning = "beginning"
)

func (d *Definition) readFrom(p *ask.Params, c calendar.Calendar) {
	if d.From = p.String("from", Now); d.From == Now || d.From == Beginning {
		return
	}
	d.begin, _, _ = p.Moment("from", c)
}

// Begin is when that is which was stored first of what a new destination is sent.
func (d *Definition) Begin(now event.Time) event.Time {
	if d.From == Now {
		return now
	}
	return d.begin
}

// texts reads a list of texts, at most so many.
func texts(p *ask.Params, name string, most int) []string {
	items := p.List(name)
	if len(items) > most {
		p.Fail(name, "must have %d entries or less, got %d", most, len(items))
		return nil
	}
	var all []string
	for _, item := range items {
		text, ok := item.(string)
		if !ok || text == "" || len(text) > 300 {
			p.Fail(name, "must be a list of texts of 1 to 300 bytes, got %s", ask.Describe(item))
			return nil
		}
		all = append(all, text)
	}
	return all
}

// pairs reads an object of texts, at most so many.
func pairs(p *ask.Params, name string, most int) map[string]string {
	v := p.Get(name)
	if v == nil {
		return nil
	}
	object, ok := v.(map[string]any)
	if !ok || len(object) > most {
		p.Fail(name, "must be an object with at most %d texts, got %s", most, ask.Describe(v))
		return nil
	}
	all := make(map[string]string, len(object))
	for key, value := range object {
		text, ok := value.(string)
		if !ok || key == "" || text == "" || len(text) > 300 {
			p.Fail(name, "must be an object of texts of 1 to 300 bytes, got %s", ask.Describe(object))
			return nil
		}
		all[key] = text
	}
	return all
}

// duration reads one that may be missing.
func duration(p *ask.Params, name, missing string, most event.Time) Duration {
	return Duration(p.Duration(name, missing, most))
}

// Duration is one as people write it: "30s".
type Duration event.Time

// MarshalJSON writes it so that it reads back.
func (d Duration) MarshalJSON() ([]byte, error) {
	return json.Marshal(ask.DurationText(event.Time(d)))
}

// Std is d as a time.Duration.
func (d Duration) Std() time.Duration { return time.Duration(d) * time.Millisecond }

// webAddress reads the address of a server; https unless plain http is named.
func webAddress(p *ask.Params, name, missing string) string {
	address := p.String(name, missing)
	if !strings.HasPrefix(address, "https://") && !strings.HasPrefix(address, "http://") {
		p.Fail(name, `must be an address such as "https://example.com/events", got %q`, address)
	}
	return address
}
