package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/maidian/maidian/services/allinone"
	"github.com/maidian/maidian/services/allinone/internal/importer"
)

func importFile(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("import", flag.ContinueOnError)
	o := importer.Options{Progress: os.Stderr}
	var accounts importer.QueryAccounts
	flags.StringVar(&o.Collector, "collector", "http://"+allinone.DefaultListen, "`address` of the collector")
	flags.StringVar(&o.Key, "key", allinone.DemoWriteKey, "write key of the project")
	flags.StringVar(&accounts.URL, "query", "http://"+allinone.DefaultQueryListen, "`address` of the query service, which knows duplicates; empty: do not ask")
	flags.StringVar(&accounts.Key, "read-key", allinone.DemoReadKey, "read key of the project")
	flags.StringVar(&o.Format, "format", "", "csv or ndjson (default: what the file looks like)")
	flags.StringVar(&o.Delimiter, "delimiter", "", "`character` between CSV columns (default: what the first line has most of)")
	flags.Var((*list)(&o.Columns.Map), "map", "`column=field`: what a column is: an event field, properties.x, or - to leave it out; may be repeated")
	flags.Var((*list)(&o.Columns.Set), "set", "`field=value` for every event; may be repeated")
	flags.Var((*list)(&o.Columns.Default), "default", "`[event_type:]field=value` for events that have none; may be repeated")
	flags.StringVar(&o.Columns.Zone, "timezone", "UTC", "IANA `zone` of times that name none")
	flags.StringVar(&o.Columns.Layout, "time-layout", "", "`layout` of times, as Go writes 2006-01-02 15:04:05; common ones are known")
	flags.IntVar(&o.Batch, "batch", 500, "events in a request, up to 1000")
	flags.IntVar(&o.InFlight, "in-flight", 4, "requests at the same time")
	flags.DurationVar(&o.Patience, "patience", 2*time.Minute, "how long a request that fails is tried again")
	flags.Usage = func() { importUsage(flags) }
	if err := parse(flags, args, 1); err != nil {
		return err
	}
	o.File = flags.Arg(0)
	if accounts.URL != "" {
		o.Accounts = &accounts
	}
	report, err := importer.Import(ctx, o)
	if report.Rows > 0 || err == nil {
		report.Write(os.Stdout, o.File)
	}
	if err != nil {
		return fmt.Errorf("the import is not complete: %w (import the file again when that is put right: nothing is stored twice)", err)
	}
	return nil
}

func importUsage(flags *flag.FlagSet) {
	w := flags.Output()
	fmt.Fprint(w, `Usage: maidian import [flags] FILE

Sends each row of a CSV or NDJSON file, plain or gzipped ("-" is standard
input), to the collector as an event.

Columns are known by the names of event fields (event_type, user_id,
timestamp, page_url, ...) and by common others (event, user, time, url, ...).
The rest become properties. A row without an event_id gets one made from its
line, so importing a file again stores nothing twice.

`)
	flags.PrintDefaults()
	fmt.Fprint(w, `
For example:
  maidian import -map who=user_id -map what=event_type -timezone Europe/Berlin visits.csv.gz
  maidian import -default product_view:product_id=unknown -default purchase:amount=0 shop.csv
`)
}
