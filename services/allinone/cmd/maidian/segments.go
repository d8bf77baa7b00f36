package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/maidian/maidian/pkg/proc"
	"github.com/maidian/maidian/services/allinone"
	"github.com/maidian/maidian/services/query"
)

// segmentsCommand works on the store itself, so it needs no running service;
// the embedded store can be open in one process only.
func segmentsCommand(ctx context.Context, args []string) (err error) {
	flags := flag.NewFlagSet("segments", flag.ContinueOnError)
	cfg, envErr := allinone.Load()
	days := query.SealedDays{Out: os.Stdout, Log: proc.Logger("warn")}
	flags.StringVar(&cfg.Dir, "data", cfg.Dir, "`directory` of the data of maidian serve, which must not be running; MONGODB_URI takes its place")
	flags.StringVar(&days.Project, "project", "", "project; empty: all")
	flags.Func("from", "first `day`, such as 2026-06-01 (UTC)", day(&days.From))
	flags.Func("to", "last `day`", day(&days.To))
	flags.Usage = func() {
		fmt.Fprint(flags.Output(), "Usage: maidian segments [flags] verify | rebuild\n\n"+
			"Segments hold the columns of closed days, so that a start need not read every event.\n"+
			"verify compares them with what the raw events give, and fails if any differ; rebuild writes them anew.\n\n")
		flags.PrintDefaults()
	}
	if err := parse(flags, args, 1); err != nil {
		return err
	}
	work, known := map[string]func(context.Context) error{"verify": days.Verify, "rebuild": days.Rebuild}[flags.Arg(0)]
	if !known {
		return &usageError{fmt.Sprintf("segments can be verified and rebuilt, not %q", flags.Arg(0))}
	}
	if envErr != nil {
		return envErr
	}
	if days.Store, err = cfg.OpenData(ctx); err != nil {
		return err
	}
	return errors.Join(work(ctx), days.Store.Close())
}

// day is a flag's value that is a day.
func day(into *time.Time) func(string) error {
	return func(text string) (err error) {
		*into, err = time.Parse(time.DateOnly, text)
		return err
	}
}
