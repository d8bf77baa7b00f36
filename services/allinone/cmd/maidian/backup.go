package main

import (
	"context"
	"flag"
	"fmt"
	"os"

	"github.com/maidian/maidian/services/allinone"
)

func backup(ctx context.Context, args []string) error {
	return copying(ctx, "backup", "Copies the store into a new file, while it is in use. What waits in the queue is not in it.", args, (*allinone.Config).Backup)
}

func restore(ctx context.Context, args []string) error {
	return copying(ctx, "restore", "Makes an empty store what it was when FILE was made.", args, (*allinone.Config).Restore)
}

// copying runs one of the two on the embedded store, or on that of MONGODB_URI.
func copying(ctx context.Context, name, what string, args []string, do func(*allinone.Config, context.Context, string) error) error {
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	cfg, envErr := allinone.Load()
	flags.StringVar(&cfg.Dir, "data", cfg.Dir, "`directory` of the data of maidian serve; MONGODB_URI takes its place")
	flags.Usage = func() {
		fmt.Fprintf(flags.Output(), "Usage: maidian %s [flags] FILE\n\n%s\n\n", name, what)
		flags.PrintDefaults()
	}
	if err := parse(flags, args, 1); err != nil {
		return err
	}
	if envErr != nil {
		return envErr
	}
	if err := do(cfg, ctx, flags.Arg(0)); err != nil {
		return err
	}
	file, err := os.Stat(flags.Arg(0))
	if err == nil {
		fmt.Printf("%s: %d bytes\n", file.Name(), file.Size())
	}
	return err
}
