package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/maidian/maidian/services/allinone"
	"github.com/maidian/maidian/services/allinone/internal/ask"
)

// deadLetters asks the query service, which any holder of the admin key may.
type deadLetters struct {
	client ask.Client
	path   string
	dry    bool
}

func deadLettersCommand(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("dead-letters", flag.ContinueOnError)
	query := flags.String("query", "http://"+allinone.DefaultQueryListen, "`address` of the query service")
	key := flags.String("key", cmp.Or(os.Getenv("QUERY_ADMIN_KEY"), allinone.DemoAdminKey), "admin key")
	project := flags.String("project", "*", "project; * is all, and those too broken to tell whose they are")
	dry := flags.Bool("dry-run", false, "change nothing, say how many letters it would be")
	flags.Usage = func() {
		fmt.Fprint(flags.Output(), "Usage: maidian dead-letters [flags] list | replay [ID...] | discard ID...|all\n\n"+
			"Dead letters are events, or whole messages, that cannot be stored as they are.\n\n")
		flags.PrintDefaults()
	}
	if err := parse(flags, args, anyWords); err != nil {
		return err
	}
	if flags.NArg() == 0 {
		return &usageError{"dead-letters needs a word: list, replay or discard"}
	}
	d := deadLetters{ask.Client{URL: *query, Key: *key}, "/api/v1/admin/projects/" + url.PathEscape(*project) + "/dead-letters", *dry}
	ids := flags.Args()[1:]
	switch flags.Arg(0) {
	case "list":
		return d.list(ctx)
	case "replay":
		return d.replay(ctx, ids)
	case "discard":
		return d.discard(ctx, ids)
	}
	return &usageError{fmt.Sprintf("dead-letters can be listed, replayed and discarded, not %q", flags.Arg(0))}
}

func (d deadLetters) list(ctx context.Context) error {
	for cursor := ""; ; {
		var page struct {
			Letters []struct {
				ID       string `json:"id"`
				Project  string `json:"project"`
				Reason   string `json:"reason"`
				Payload  string `json:"payload"`
				Attempts int    `json:"attempts"`
				Seen     string `json:"first_seen"`
			} `json:"dead_letters"`
			Next *string `json:"next_cursor"`
		}
		if err := d.client.Do(ctx, http.MethodGet, d.path+"?cursor="+url.QueryEscape(cursor), nil, &page); err != nil {
			return err
		}
		for _, l := range page.Letters {
			fmt.Printf("%s  project %q  %s  attempt %d\n  %s\n  %s\n", l.ID, l.Project, l.Seen, l.Attempts, l.Reason, shortened(l.Payload))
		}
		if page.Next == nil {
			return nil
		}
		cursor = *page.Next
	}
}

// shortened fits a payload on a few lines of a terminal.
func shortened(text string) string {
	const most = 300
	text = strings.ReplaceAll(strings.TrimSpace(text), "\n", " ")
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + " …"
	}
	return text
}

func (d deadLetters) replay(ctx context.Context, ids []string) error {
	var done struct {
		Replayed, Stored, Duplicates int
		Failed                       []struct{ ID, Reason string }
	}
	if err := d.client.Do(ctx, http.MethodPost, d.path+"/replay", map[string]any{"ids": ids, "all": len(ids) == 0, "dry_run": d.dry}, &done); err != nil {
		return err
	}
	if d.dry {
		fmt.Printf("%d can be read and would be tried\n", done.Replayed)
	} else {
		fmt.Printf("%d replayed: %d events stored, %d duplicates\n", done.Replayed, done.Stored, done.Duplicates)
	}
	for _, f := range done.Failed {
		fmt.Printf("%s stays: %s\n", f.ID, f.Reason)
	}
	return nil
}

func (d deadLetters) discard(ctx context.Context, ids []string) error {
	if len(ids) == 0 {
		return &usageError{"discard needs ids, or the word all"}
	}
	selection := map[string]any{"ids": ids}
	if len(ids) == 1 && ids[0] == "all" {
		selection = map[string]any{"all": true}
	}
	selection["dry_run"] = d.dry
	var done struct{ Discarded int }
	if err := d.client.Do(ctx, http.MethodPost, d.path+"/discard", selection, &done); err != nil {
		return err
	}
	if d.dry {
		fmt.Printf("%d would be discarded\n", done.Discarded)
	} else {
		fmt.Printf("%d discarded\n", done.Discarded)
	}
	return nil
}
