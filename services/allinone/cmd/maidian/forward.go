package main

import (
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"text/tabwriter"

	"github.com/goccy/go-yaml"

	"github.com/maidian/maidian/services/allinone"
	"github.com/maidian/maidian/services/allinone/internal/ask"
)

// forwarding asks the query service, which any holder of the admin key may.
type forwarding struct {
	client   ask.Client
	project  string
	from, to string
}

const forwardUsage = `Usage: maidian forward [flags] list | show ID | apply FILE | delete ID | replay ID | letters ID

Stored events are forwarded to destinations: webhooks, files, S3, Google Analytics, Mixpanel, ClickHouse, PostgreSQL, Kafka. Apply
creates or changes those of a YAML file ("destinations:" and a list). Replay sends what was stored since -from once more: without -to
it moves the destination there, with it the range is sent beside what is new. Letters are events that a destination does not take.

`

func forwardCommand(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("forward", flag.ContinueOnError)
	f := forwarding{}
	flags.StringVar(&f.client.URL, "query", "http://"+allinone.DefaultQueryListen, "`address` of the query service")
	flags.StringVar(&f.client.Key, "key", cmp.Or(os.Getenv("QUERY_ADMIN_KEY"), allinone.DemoAdminKey), "admin key")
	flags.StringVar(&f.project, "project", allinone.DemoProject, "project whose events are forwarded")
	flags.StringVar(&f.from, "from", "", "with replay: date or `time` from which on what was stored is sent once more")
	flags.StringVar(&f.to, "to", "", "with replay: date or `time` up to which, beside what is new")
	flags.Usage = func() {
		fmt.Fprint(flags.Output(), forwardUsage)
		flags.PrintDefaults()
	}
	if err := parse(flags, args, anyWords); err != nil {
		return err
	}
	if flags.NArg() == 0 {
		return &usageError{"forward needs a word: list, show, apply, delete, replay or letters"}
	}
	if flags.Arg(0) == "list" && flags.NArg() == 1 {
		return f.list(ctx)
	}
	do, known := map[string]func(context.Context, string) error{
		"show": f.show, "apply": f.apply, "delete": f.delete, "replay": f.replay, "letters": f.letters,
	}[flags.Arg(0)]
	switch {
	case !known:
		return &usageError{fmt.Sprintf("destinations can be listed, shown, applied, deleted and replayed, not %q", flags.Arg(0))}
	case flags.NArg() != 2:
		return &usageError{flags.Arg(0) + " needs one argument; maidian forward -help"}
	}
	return do(ctx, flags.Arg(1))
}

// path is a route about the project's destinations.
func (f *forwarding) path(id, route string) string {
	path := "/api/v1/admin/projects/" + url.PathEscape(f.project) + "/destinations"
	if id != "" {
		path += "/" + url.PathEscape(id)
	}
	return path + route
}

// progress is what is shown of how far a destination is.
type progress struct {
	Sent, Refused int64
	Lag           float64 `json:"lag_seconds"`
	Failures      int
	LastError     string `json:"last_error"`
}

func (f *forwarding) list(ctx context.Context) error {
	var answer struct {
		Destinations []struct {
			Definition struct {
				ID, Type string
				Enabled  bool
			}
			Progress  progress
			Backfills []struct {
				ID, From, To string
				Done         bool
				Progress     progress
			}
		}
	}
	if err := f.client.Do(ctx, http.MethodGet, f.path("", ""), nil, &answer); err != nil {
		return err
	}
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "destination\ttype\tsent\trefused\tlag\tstate")
	row := func(id, kind string, p progress, state string) {
		if p.Failures > 0 {
			state = fmt.Sprintf("%d failures: %s", p.Failures, shortened(p.LastError))
		}
		fmt.Fprintf(table, "%s\t%s\t%d\t%d\t%.0fs\t%s\n", id, kind, p.Sent, p.Refused, p.Lag, state)
	}
	for _, d := range answer.Destinations {
		row(d.Definition.ID, d.Definition.Type, d.Progress, map[bool]string{true: "at work", false: "not enabled"}[d.Definition.Enabled])
		for _, b := range d.Backfills {
			row("  "+b.From+" – "+b.To, "once more", b.Progress, map[bool]string{true: "done", false: "at work"}[b.Done])
		}
	}
	return table.Flush()
}

func (f *forwarding) show(ctx context.Context, id string) error {
	var d map[string]any
	if err := f.client.Do(ctx, http.MethodGet, f.path(id, ""), nil, &d); err != nil {
		return err
	}
	out := json.NewEncoder(os.Stdout)
	out.SetIndent("", "  ")
	out.SetEscapeHTML(false)
	return out.Encode(d)
}

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
		if err := f.client.Do(ctx, http.MethodPut, f.path(id, ""), definition, &struct{}{}); err != nil {
			return fmt.Errorf("destination %s: %w", id, err)
		}
		fmt.Println(id, "applied")
	}
	return nil
}

func (f *forwarding) delete(ctx context.Context, id string) error {
	return f.client.Do(ctx, http.MethodDelete, f.path(id, ""), nil, &struct{}{})
}

func (f *forwarding) replay(ctx context.Context, id string) error {
	if f.from == "" {
		return &usageError{"replay needs -from, and -to for a range"}
	}
	body := map[string]string{"from": f.from}
	if f.to != "" {
		body["to"] = f.to
	}
	if err := f.client.Do(ctx, http.MethodPost, f.path(id, "/replay"), body, &struct{}{}); err != nil {
		return err
	}
	fmt.Println("maidian forward list tells how far it is")
	return nil
}

func (f *forwarding) letters(ctx context.Context, id string) error {
	query := url.Values{}
	for {
		var page struct {
			Letters []struct {
				EventID string `json:"event_id"`
				Reason  string
				At      string
			}
			Next *string `json:"next_cursor"`
		}
		if err := f.client.Do(ctx, http.MethodGet, f.path(id, "/letters?"+query.Encode()), nil, &page); err != nil {
			return err
		}
		for _, l := range page.Letters {
			fmt.Printf("%s  %s\n  %s\n", l.At, l.EventID, shortened(l.Reason))
		}
		if page.Next == nil {
			return nil
		}
		query.Set("cursor", *page.Next)
	}
}
