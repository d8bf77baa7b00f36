// Package watch has rules, channels and destinations made, by the admin API, of
// which it is known what must come of the events that are stored.
package watch

import (
	"encoding/json"
	"fmt"
	"os"
	"time"
)

// Plan says what was made in every project. It is kept in a file.
type Plan struct {
	At       int64    `json:"at"` // when it was made, epoch milliseconds
	Projects []string `json:"projects"`
	Receiver string   `json:"receiver"` // where the checker's own server listens, as an URL
	Secrets  []string `json:"secrets"`  // that all that arrives there must be signed with

	Large float64 `json:"large"` // purchases of so much must each be told
	Old   int64   `json:"old"`   // unless they happened so many milliseconds before they came

	Many   int   `json:"many"`   // so many events on a page in a window must be told
	Window int64 `json:"window"` // milliseconds, judged at each whole second
	Grace  int64 `json:"grace"`  // milliseconds in which what is late still counts
	Every  int64 `json:"every"`  // milliseconds over which events are gathered for a file
}

// The names of what is made.
const (
	LargeRule = "check-large"
	ManyRule  = "check-many"
	Channel   = "check-people"
	Posted    = "check-posted" // a destination that events are posted to
	Filed     = "check-filed"  // one that writes them into files
)

// Told and Forwarded are the receiver's paths, with the project behind them.
const (
	Told      = "/told/"
	Forwarded = "/forwarded/"
)

func text(ms int64) string { return time.Duration(ms * int64(time.Millisecond)).String() }

func seconds(ms int64) string { return fmt.Sprintf("%ds", ms/1000) }

// made is what a project gets, in this order: the rule about single events comes
// last, so that whoever tells of it has taken up the others.
func (p *Plan) made(project string) []thing {
	return []thing{
		{"channels", object{
			"id": Channel, "type": "webhook",
			"settings": object{"url": p.Receiver + Told + project}, "secrets": object{"secret": p.Secrets},
		}},
		{"destinations", object{
			"id": Posted, "type": "webhook", "from": "beginning",
			"settings": object{"url": p.Receiver + Forwarded + project, "secrets": p.Secrets, "batch": 100},
		}},
		{"destinations", object{
			"id": Filed, "type": "files", "from": "beginning",
			"settings": object{"format": "ndjson", "prefix": project, "every": text(p.Every)},
		}},
		{"rules", object{
			"id": ManyRule, "kind": "threshold", "event": "*", "group_by": "page_path", "metric": "count", "op": "gte", "value": p.Many,
			"window": seconds(p.Window), "grace": seconds(p.Grace), "channels": []string{Channel},
		}},
		{"rules", object{
			"id": LargeRule, "kind": "event", "grace": seconds(p.Old), "channels": []string{Channel},
			"event": object{"event": "purchase", "filters": []object{{"property": "amount", "op": "gte", "value": p.Large}}},
		}},
	}
}

type object = map[string]any

type thing struct {
	where      string
	definition object
}

// Write keeps the plan.
func (p *Plan) Write(path string) error {
	content, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(content, '\n'), 0o600)
}

// Read reads a plan that was kept.
func Read(path string) (*Plan, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read what is watched: %w", err)
	}
	var p Plan
	if err := json.Unmarshal(content, &p); err != nil {
		return nil, fmt.Errorf("read what is watched: %w", err)
	}
	return &p, nil
}

// Firing is one as the store, the API and receivers have it.
type Firing struct {
	ID       string   `json:"id"`
	Rule     string   `json:"rule"`
	Project  string   `json:"project"`
	Channels []string `json:"channels"`
	Group    string   `json:"group"`
	State    string   `json:"state"`
	Value    float64  `json:"value"`
	Window   struct {
		From time.Time `json:"from"`
		To   time.Time `json:"to"`
	} `json:"window"`
	Event struct {
		ID string `json:"event_id"`
	} `json:"event"`
}

// Name is what a firing is about: two of the same name are one too many,
// whatever their ids.
func (f *Firing) Name() string {
	if f.Rule == LargeRule {
		return f.Project + "/" + f.Rule + "/" + f.Event.ID
	}
	return fmt.Sprintf("%s/%s%s/%s/%s", f.Project, f.Rule, f.Group, f.State, f.Window.To.UTC().Format("15:04:05"))
}

// Notice is one firing on its way through one channel, as the API has it.
type Notice struct {
	ID        string `json:"id"`
	Channel   string `json:"channel"`
	Firing    Firing `json:"firing"`
	State     string `json:"state"`
	Attempts  int    `json:"attempts"`
	LastError string `json:"last_error"`
}

// Destination is one as the API has it.
type Destination struct {
	Definition struct {
		ID string `json:"id"`
	} `json:"definition"`
	Progress struct {
		Sent      int64   `json:"sent"`
		Refused   int64   `json:"refused"`
		Lag       float64 `json:"lag_seconds"`
		LastError string  `json:"last_error"`
	} `json:"progress"`
}
