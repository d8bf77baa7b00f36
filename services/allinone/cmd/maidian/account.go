package main

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/maidian/maidian/services/allinone"
	"github.com/maidian/maidian/services/allinone/internal/ask"
	"github.com/maidian/maidian/services/allinone/internal/table"
)

// counts are events, as the query service accounts for them.
type counts struct {
	Accepted     int            `json:"accepted"`
	Stored       int            `json:"stored"`
	Duplicates   int            `json:"duplicates"`
	DeadLettered int            `json:"dead_lettered"`
	Rejected     map[string]int `json:"rejected"`
	Queued       int            `json:"queued"`
	Unclaimed    int            `json:"unclaimed"`
	Difference   int            `json:"difference"`
	DroppedBySDK map[string]int `json:"dropped_by_sdk"`
}

func account(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("account", flag.ContinueOnError)
	client := ask.Client{}
	flags.StringVar(&client.URL, "query", "http://"+allinone.DefaultQueryListen, "`address` of the query service")
	flags.StringVar(&client.Key, "key", allinone.DemoReadKey, "read key of the project, or the admin key with -project")
	question := map[string]any{}
	for name, what := range map[string]string{
		"project":  "project, with the admin key",
		"from":     "first `moment`: a date, or a time such as 2026-06-01T12:00:00Z",
		"to":       "last `moment` (default: today)",
		"timezone": "IANA `zone` of dates (default: the project's)",
	} {
		flags.Func(name, what, func(text string) error { question[name] = text; return nil })
	}
	days := flags.Int("days", 1, "without -from, so `many` days up to the last")
	flags.Usage = func() {
		fmt.Fprint(flags.Output(), "Usage: maidian account [flags]\n\n"+
			"Prints what became of the events that came in, by write key and hour (UTC). Fails if any is unaccounted for.\n\n")
		flags.PrintDefaults()
	}
	if err := parse(flags, args, 0); err != nil {
		return err
	}
	if question["from"] == nil {
		question["days"] = *days
	}
	var sheet sheet
	if err := client.Post(ctx, "accounting", question, &sheet); err != nil {
		return err
	}
	return sheet.print()
}

// sheet is the query service's answer.
type sheet struct {
	counts
	Rows []struct {
		Key  string    `json:"key"`
		Hour time.Time `json:"hour"`
		counts
	} `json:"rows"`
}

func (s *sheet) print() error {
	accounts := table.Table{
		Header: []string{"hour", "key", "accepted", "stored", "duplicates", "dead-lettered", "queued", "unclaimed", "difference", "rejected", "dropped by SDK"},
		Left:   2,
	}
	for _, r := range s.Rows {
		accounts.Add(append([]string{r.Hour.Format("2006-01-02 15:04"), r.Key}, r.cells()...)...)
	}
	accounts.Add(append([]string{"all", ""}, s.cells()...)...)
	if err := accounts.Write(os.Stdout); err != nil {
		return err
	}
	for _, reasons := range []struct {
		title  string
		events map[string]int
	}{{"rejected for", s.Rejected}, {"dropped by SDK for", s.DroppedBySDK}} {
		if err := printReasons(reasons.title, reasons.events); err != nil {
			return err
		}
	}
	if s.Difference != 0 {
		return fmt.Errorf("%d accepted events are neither stored nor duplicates nor dead letters", s.Difference)
	}
	return nil
}

func printReasons(title string, events map[string]int) error {
	if len(events) == 0 {
		return nil
	}
	reasons := table.Table{Header: []string{title, "events"}, Left: 1}
	for _, reason := range slices.Sorted(maps.Keys(events)) {
		reasons.Add(reason, strconv.Itoa(events[reason]))
	}
	return reasons.Write(os.Stdout)
}

func (c *counts) cells() []string {
	var cells []string
	for _, n := range []int{c.Accepted, c.Stored, c.Duplicates, c.DeadLettered, c.Queued, c.Unclaimed, c.Difference, sum(c.Rejected), sum(c.DroppedBySDK)} {
		cells = append(cells, strconv.Itoa(n))
	}
	return cells
}

func sum(events map[string]int) (n int) {
	for _, of := range events {
		n += of
	}
	return n
}
