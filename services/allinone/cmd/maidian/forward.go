package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"text/tabwriter"

	"github.com/goccy/go-yaml"

	"github.com/maidian/maidian/services/allinone"
)

type forwarding struct {
	admin
	from, to string
}

const forwardUsage = `Usage: maidian forward [flags] list | show ID | apply FILE | delete ID | resume ID | replay ID | letters ID [resend|discard [EVENT...]]

Stored events are forwarded to destinations: webhooks, files, S3, Google Analytics, Mixpanel, ClickHouse, PostgreSQL, Kafka, BigQuery,
Snowflake. Apply creates or changes those of a YAML file ("destinations:" and a list). Replay sends what was stored since -from once
more: without -to it moves the destination there, with it the range is sent beside what is new. Letters are events that a destination
does not take: resend offers them to it again, discard forgets them, all or those that are named. A destination that refuses too much
is paused; a change resumes it, and so does resume.

`

func forwardCommand(ctx context.Context, args []string) error {
	var f forwarding
	flags := f.flags("forward", forwardUsage, allinone.DemoProject, "project whose events are forwarded")
	flags.StringVar(&f.from, "from", "", "with replay: date or `time` from which on what was stored is sent once more")
	flags.StringVar(&f.to, "to", "", "with replay: date or `time` up to which, beside what is new")
	if err := parse(flags, args, anyWords); err != nil {
		return err
	}
	words := flags.Args()
	switch {
	case len(words) == 0:
		return &usageError{"forward needs a word: list, show, apply, delete, resume, replay or letters"}
	case words[0] == "list" && len(words) == 1:
		return f.list(ctx)
	case words[0] == "letters" && len(words) > 2:
		return f.settle(ctx, words[1], words[2], words[3:])
	}
	do, known := map[string]func(context.Context, string) error{
		"show": f.show, "apply": f.apply, "delete": f.delete, "resume": f.resume, "replay": f.replay, "letters": f.letters,
	}[words[0]]
	switch {
	case !known:
		return &usageError{fmt.Sprintf("destinations can be listed, shown, applied, deleted, resumed and replayed, not %q", words[0])}
	case len(words) != 2:
		return &usageError{words[0] + " needs one argument; maidian forward -help"}
	}
	return do(ctx, words[1])
}

// route is one about a destination.
func (f *forwarding) route(id, more string) string {
	return "/destinations/" + url.PathEscape(id) + more
}

// progress is what is shown of how far a destination is.
type progress struct {
	Sent, Refused int64
	Seconds       float64 `json:"lag_seconds"`
	Events        int64   `json:"lag_events"`
	AtLeast       bool    `json:"lag_at_least"`
	Failures      int
	LastError     string `json:"last_error"`
	Paused        *struct{ Reason string }
}

// lag is how far behind it is.
func (p *progress) lag() string {
	more := ""
	if p.AtLeast {
		more = "+"
	}
	return fmt.Sprintf("%.0fs, %d%s events", p.Seconds, p.Events, more)
}

// state is what it does; trouble comes first.
func (p *progress) state(otherwise string) string {
	switch {
	case p.Paused != nil:
		return "paused: " + shortened(p.Paused.Reason)
	case p.Failures > 0:
		return fmt.Sprintf("%d failures: %s", p.Failures, shortened(p.LastError))
	}
	return otherwise
}

func (f *forwarding) list(ctx context.Context) error {
	type beside struct {
		From, To string
		Done     bool
		Progress progress
	}
	var answer struct {
		Destinations []struct {
			Definition struct {
				ID, Type string
				Enabled  bool
			}
			Progress           progress
			Backfills, Resends []beside
		}
	}
	if err := f.client.Do(ctx, http.MethodGet, f.path("/destinations"), nil, &answer); err != nil {
		return err
	}
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "destination\ttype\tsent\trefused\tlag\tstate")
	row := func(id, kind string, p *progress, lag, state string) {
		fmt.Fprintf(table, "%s\t%s\t%d\t%d\t%s\t%s\n", id, kind, p.Sent, p.Refused, lag, p.state(state))
	}
	done := map[bool]string{true: "done", false: "at work"}
	for i := range answer.Destinations {
		d := &answer.Destinations[i]
		row(d.Definition.ID, d.Definition.Type, &d.Progress, d.Progress.lag(), map[bool]string{true: "at work", false: "not enabled"}[d.Definition.Enabled])
		for _, b := range d.Backfills {
			row("  "+b.From+" – "+b.To, "once more", &b.Progress, "", done[b.Done])
		}
		for _, r := range d.Resends {
			row("  what was refused", "once more", &r.Progress, "", done[r.Done])
		}
	}
	return table.Flush()
}

func (f *forwarding) show(ctx context.Context, id string) error { return f.print(ctx, f.route(id, "")) }

// apply leaves destinations alone that the file does not name.
func (f *forwarding) apply(ctx context.Context, file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var all struct {
		Destinations []map[string]any `yaml:"destinations"`
	}
	if err := yaml.UnmarshalWithOptions(text, &all, yaml.Strict()); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	for i, definition := range all.Destinations {
		id, _ := definition["id"].(string)
		if id == "" {
			return fmt.Errorf("%s: destination %d has no id", file, i+1)
		}
		if err := f.client.Do(ctx, http.MethodPut, f.path(f.route(id, "")), definition, &struct{}{}); err != nil {
			return fmt.Errorf("destination %s: %w", id, err)
		}
		fmt.Println(id, "applied")
	}
	return nil
}

func (f *forwarding) delete(ctx context.Context, id string) error {
	return f.client.Do(ctx, http.MethodDelete, f.path(f.route(id, "")), nil, &struct{}{})
}

func (f *forwarding) resume(ctx context.Context, id string) error {
	return f.client.Do(ctx, http.MethodPost, f.path(f.route(id, "/resume")), nil, &struct{}{})
}

func (f *forwarding) replay(ctx context.Context, id string) error {
	if f.from == "" {
		return &usageError{"replay needs -from, and -to for a range"}
	}
	body := map[string]string{"from": f.from}
	if f.to != "" {
		body["to"] = f.to
	}
	if err := f.client.Do(ctx, http.MethodPost, f.path(f.route(id, "/replay")), body, &struct{}{}); err != nil {
		return err
	}
	fmt.Println("maidian forward list tells how far it is")
	return nil
}

func (f *forwarding) letters(ctx context.Context, id string) error {
	return f.pages(ctx, f.route(id, "/letters"), url.Values{}, func(text json.RawMessage) (*string, error) {
		var page struct {
			Letters []struct {
				EventID string `json:"event_id"`
				Reason  string
				At      string
			}
			Next *string `json:"next_cursor"`
		}
		if err := json.Unmarshal(text, &page); err != nil {
			return nil, err
		}
		for _, l := range page.Letters {
			fmt.Printf("%s  %s\n  %s\n", l.At, l.EventID, shortened(l.Reason))
		}
		return page.Next, nil
	})
}

// settle has refused events sent again, or their letters discarded.
func (f *forwarding) settle(ctx context.Context, id, word string, events []string) error {
	which := map[string]any{"all": true}
	if len(events) > 0 && (len(events) > 1 || events[0] != "all") {
		which = map[string]any{"event_ids": events}
	}
	switch {
	case word == "resend":
		if err := f.client.Do(ctx, http.MethodPost, f.path(f.route(id, "/letters/resend")), which, &struct{}{}); err != nil {
			return err
		}
		fmt.Println("maidian forward list tells how far it is")
		return nil
	case word == "discard" && len(events) > 0:
		var done struct{ Discarded int }
		if err := f.client.Do(ctx, http.MethodPost, f.path(f.route(id, "/letters/discard")), which, &done); err != nil {
			return err
		}
		fmt.Printf("%d discarded\n", done.Discarded)
		return nil
	case word == "discard":
		return &usageError{"discard needs the ids of events, or the word all"}
	}
	return &usageError{fmt.Sprintf("letters can be sent again (resend) and discarded, not %q", word)}
}
