// Command bench-query measures the query service on the seeded set, side by
// side with ClickHouse and DuckDB, and fails when their answers differ.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/maidian/maidian/pkg/testenv/seeded"
	"github.com/maidian/maidian/services/allinone/internal/beside"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench-query:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if len(args) == 3 && args[0] == "serve" { // the program is its own server, as a process of its own
		return beside.Serve(ctx, args[1], args[2], os.Stdin, os.Stdout)
	}
	b := &beside.Bench{Log: os.Stderr}
	flags := flag.NewFlagSet("bench-query", flag.ContinueOnError)
	flags.IntVar(&b.Set.Events, "events", seeded.Events, "how many events")
	flags.IntVar(&b.Set.Users, "users", seeded.Users, "of at most how many users")
	flags.IntVar(&b.Repetitions, "repetitions", 9, "how often each is asked")
	data := flags.String("data", "data/bench", "`directory` of the stores, which are kept for the next run")
	flags.StringVar(&b.Modules, "modules", "data/bench", "`directory` in whose node_modules chdb and @duckdb/node-api are")
	flags.StringVar(&b.Only, "only", "", "measure only these `parts`: questions,start,stored,memory,live")
	if err := flags.Parse(args); err != nil {
		return err
	}
	b.Set.Days = seeded.Days
	b.Dir = filepath.Join(*data, strconv.Itoa(b.Set.Events))
	figures, err := b.Run(ctx)
	if len(figures) > 0 {
		fmt.Println()
		if err := beside.Write(os.Stdout, figures); err != nil {
			return err
		}
	}
	return err
}
