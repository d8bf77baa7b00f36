package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
)

type deadLetters struct {
	admin
	filter map[string]string
	dry    bool
	reason string
	by     string
}

// letterFilters are what letters can be found by, as the query service calls it.
var letterFilters = []string{"reason", "from", "to", "event_type", "text"}

const deadLettersUsage = `Usage: maidian dead-letters [flags] list | show ID | replay [ID...|all] | discard ID...|all | discards

Dead letters are events, or whole messages, that cannot be stored as they are. Replay stores them under the ids that they
have, so twice is once; discard deletes them, and discards lists by whom, when and why. In place of ids, -filter chooses.

`

func deadLettersCommand(ctx context.Context, args []string) error {
	d := deadLetters{filter: map[string]string{}}
	flags := d.flags("dead-letters", deadLettersUsage, "*", "project; * is all, and those too broken to tell whose they are")
	flags.Func("filter", "`name=value`, may be given several times: "+strings.Join(letterFilters, ", "), d.addFilter)
	flags.BoolVar(&d.dry, "dry-run", false, "change nothing, say what would become of the letters")
	flags.StringVar(&d.reason, "reason", "", "with discard: `why`")
	flags.StringVar(&d.by, "by", os.Getenv("USER"), "with discard: `who` wants it")
	if err := parse(flags, args, anyWords); err != nil {
		return err
	}
	if flags.NArg() == 0 {
		return &usageError{"dead-letters needs a word: list, show, replay, discard or discards"}
	}
	do, known := map[string]func(context.Context, []string) error{
		"list": d.list, "show": d.show, "replay": d.replay, "discard": d.discard, "discards": d.discards,
	}[flags.Arg(0)]
	if !known {
		return &usageError{fmt.Sprintf("dead letters can be listed, shown, replayed and discarded, not %q", flags.Arg(0))}
	}
	return do(ctx, flags.Args()[1:])
}

func (d *deadLetters) addFilter(text string) error {
	name, value, ok := strings.Cut(text, "=")
	if !ok || !slices.Contains(letterFilters, name) {
		return fmt.Errorf("must be name=value with one of the names %s", strings.Join(letterFilters, ", "))
	}
	d.filter[name] = value
	return nil
}

func (d *deadLetters) list(ctx context.Context, words []string) error {
	if len(words) > 0 {
		return &usageError{"list takes no ids: show ID shows one, -filter chooses"}
	}
	query := url.Values{}
	for name, value := range d.filter {
		query.Set(name, value)
	}
	return d.pages(ctx, "/dead-letters", query, func(text json.RawMessage) (*string, error) {
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
		if err := json.Unmarshal(text, &page); err != nil {
			return nil, err
		}
		for _, l := range page.Letters {
			fmt.Printf("%s  project %q  %s  attempt %d\n  %s\n  %s\n", l.ID, l.Project, l.Seen, l.Attempts, l.Reason, shortened(l.Payload))
		}
		return page.Next, nil
	})
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

func (d *deadLetters) show(ctx context.Context, ids []string) error {
	if len(ids) != 1 {
		return &usageError{"show needs the id of one letter"}
	}
	return d.print(ctx, "/dead-letters/"+url.PathEscape(ids[0]))
}

func (d *deadLetters) replay(ctx context.Context, ids []string) error {
	selection, err := d.selection("replay", ids)
	if err != nil {
		return err
	}
	var done struct {
		Replayed, Stored, Duplicates, Kept int
		Failed                             []struct{ ID, Reason string }
	}
	if err := d.client.Do(ctx, http.MethodPost, d.path("/dead-letters/replay"), selection, &done); err != nil {
		return err
	}
	fmt.Printf(d.would("%d replayed: %d events stored, %d duplicates; %d letters stay\n"), done.Replayed, done.Stored, done.Duplicates, done.Kept)
	for _, f := range done.Failed {
		fmt.Printf("%s stays: %s\n", f.ID, f.Reason)
	}
	return nil
}

func (d *deadLetters) discard(ctx context.Context, ids []string) error {
	if len(ids) == 0 && len(d.filter) == 0 {
		return &usageError{"discard needs ids, a -filter, or the word all"}
	}
	if strings.TrimSpace(d.reason) == "" {
		return &usageError{`discard needs a -reason "…": it is kept when the letters are gone`}
	}
	selection, err := d.selection("discard", ids)
	if err != nil {
		return err
	}
	selection["reason"], selection["by"] = d.reason, d.by
	var done struct{ Discarded int }
	if err := d.client.Do(ctx, http.MethodPost, d.path("/dead-letters/discard"), selection, &done); err != nil {
		return err
	}
	fmt.Printf(d.would("%d discarded\n"), done.Discarded)
	return nil
}

// would says before what was counted that nothing was done.
func (d *deadLetters) would(format string) string {
	if d.dry {
		return "dry run: " + format
	}
	return format
}

// selection is which letters are meant, by ids or by the filter or all.
func (d *deadLetters) selection(word string, ids []string) (map[string]any, error) {
	all := len(ids) == 1 && ids[0] == "all" || len(ids)+len(d.filter) == 0
	switch {
	case len(ids) > 0 && len(d.filter) > 0:
		return nil, &usageError{word + " takes ids, a -filter or the word all, not two of them"}
	case all:
		return map[string]any{"all": true, "dry_run": d.dry}, nil
	case len(ids) > 0:
		return map[string]any{"ids": ids, "dry_run": d.dry}, nil
	}
	return map[string]any{"filter": d.filter, "dry_run": d.dry}, nil
}

func (d *deadLetters) discards(ctx context.Context, words []string) error {
	if len(words)+len(d.filter) > 0 {
		return &usageError{"discards lists all of them, without ids and -filter"}
	}
	return d.pages(ctx, "/discards", url.Values{}, func(text json.RawMessage) (*string, error) {
		var page struct {
			Discards []struct {
				ID      string `json:"id"`
				Project string `json:"project"`
				At      string `json:"discarded_at"`
				By      string `json:"by"`
				Address string `json:"address"`
				Reason  string `json:"reason"`
			} `json:"discards"`
			Next *string `json:"next_cursor"`
		}
		if err := json.Unmarshal(text, &page); err != nil {
			return nil, err
		}
		for _, l := range page.Discards {
			fmt.Printf("%s  project %q  %s  by %s at %s\n  %s\n", l.ID, l.Project, l.At, l.By, l.Address, l.Reason)
		}
		return page.Next, nil
	})
}
