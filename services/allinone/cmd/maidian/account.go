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
	devices := flags.Bool("devices", false, "list the devices whose events have most gaps in their numbers")
	flags.Usage = func() {
		fmt.Fprint(flags.Output(), "Usage: maidian account [flags]\n\n"+
			"Prints what became of the events that came in, by write key and hour (UTC). Fails if any is unaccounted for.\n\n")
		flags.PrintDefaults()
	}
	if err := parse(flags, args, 0); err != nil {
		return err
	}
	question["devices"] = *devices
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
	Gaps gaps `json:"sequence_gaps"`
}

// gaps are what the numbers that SDKs give events say.
type gaps struct {
	Devices         int `json:"devices"`
	DevicesWithGaps int `json:"devices_with_gaps"`
	Missing         int `json:"missing"`
	ReportedDropped int `json:"reported_dropped"`
	Worst           []struct {
		ID              string `json:"anonymous_id"`
		First           int    `json:"first"`
		Last            int    `json:"last"`
		Events          int    `json:"events"`
		Missing         int    `json:"missing"`
		ReportedDropped int    `json:"reported_dropped"`
	} `json:"worst"`
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
	if err := s.Gaps.print(); err != nil {
		return err
	}
	if s.Difference != 0 {
		return fmt.Errorf("%d accepted events are neither stored nor duplicates nor dead letters", s.Difference)
	}
	return nil
}

func (g *gaps) print() error {
	if g.Devices == 0 {
		return nil
	}
	fmt.Printf("%d devices number their events; of %d of them, %d numbers are missing, of which they say that %d were dropped\n\n",
		g.Devices, g.DevicesWithGaps, g.Missing, g.ReportedDropped)
	if len(g.Worst) == 0 {
		return nil
	}
	worst := table.Table{Header: []string{"device", "first", "last", "events", "missing", "dropped"}, Left: 1}
	for _, d := range g.Worst {
		cells := []string{d.ID}
		for _, n := range []int{d.First, d.Last, d.Events, d.Missing, d.ReportedDropped} {
			cells = append(cells, strconv.Itoa(n))
		}
		worst.Add(cells...)
	}
	return worst.Write(os.Stdout)
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
