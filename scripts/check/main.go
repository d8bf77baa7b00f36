// Command maidian-check proves that what a running system accepted is stored
// exactly once: it sends events, writes every attempt into a ledger before it
// is made, and holds the ledger against the store.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"text/tabwriter"
)

const usage = `maidian-check proves that what a running system accepted is stored exactly once.

  maidian-check run    [flags]   send, wait until all is quiet, and judge
  maidian-check load   [flags]   only send: a system can be hurt meanwhile
  maidian-check verify [flags]   wait until all is quiet, and judge

What comes of the stored events is judged as well when, before the load,

  maidian-check define  [flags]  has made rules, a channel and destinations in every project
  maidian-check receive [flags]  listens where these send to

Each has -help. The exit code is 0 when every promise was kept, 1 when one was
broken, 2 when something could not be asked.
`

// errBroken: a promise was broken; the report says which.
var errBroken = errors.New("a promise was broken")

func main() { os.Exit(exit(os.Args[1:])) }

func exit(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	switch err := command(ctx, args, os.Stdout); {
	case errors.Is(err, errBroken):
		return 1
	case err != nil && !errors.Is(err, flag.ErrHelp):
		fmt.Fprintln(os.Stderr, "maidian-check:", err)
		return 2
	}
	return 0
}

func command(ctx context.Context, args []string, out io.Writer) error {
	if len(args) == 0 {
		fmt.Fprint(out, usage)
		return flag.ErrHelp
	}
	var s settings
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	s.common(flags)
	var steps []func(context.Context) error
	judge := func(ctx context.Context) error { return s.judge(ctx, out) }
	switch args[0] {
	case "load":
		s.loading(flags)
		steps = append(steps, s.load)
	case "verify":
		s.judging(flags)
		steps = append(steps, judge)
	case "run":
		s.loading(flags)
		s.judging(flags)
		steps = append(steps, s.load, judge)
	case "define":
		s.defining(flags)
		steps = append(steps, s.define)
	case "receive":
		s.receiving(flags)
		steps = append(steps, s.receive)
	default:
		fmt.Fprint(out, usage)
		return flag.ErrHelp
	}
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected %q; see -help", flags.Arg(0))
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// print shows the report as a table, and writes it as JSON where it is wanted.
func (s *settings) print(out io.Writer, r *report) error {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, row := range []struct {
		name string
		n    int
	}{
		{"attempted", r.Attempted},
		{"acknowledged", r.Acknowledged},
		{"rejected", r.Rejected},
		{"stored", r.Stored},
		{"recovered", r.Recovered},
		{"dead-lettered", r.DeadLettered},
		{"lost", r.Lost},
		{"duplicated", r.Duplicated},
		{"altered", r.Altered},
		{"unexpected", r.Unexpected},
	} {
		fmt.Fprintf(t, "%s\t%d\n", row.name, row.n)
	}
	for name, a := range r.Requests {
		fmt.Fprintf(t, "requests %s\t%d\tlongest %d ms\n", name, a.Count, a.Longest)
	}
	if r.Resumed != nil {
		fmt.Fprintf(t, "resumed\taccepting after %d ms\tstoring after %d ms\n", r.Resumed.Accepting, r.Resumed.Storing)
	}
	if f := r.Followed; f != nil {
		fmt.Fprintf(t, "followed\t%d firings\t%d windows, %d of them doubtful\n", f.Firings, f.Windows, f.Doubtful)
		fmt.Fprintf(t, "\ttold %d times\tposted %d times, %d events again\t%d in files\t%d requests without success\n", f.Told, f.Posted, f.Again, f.Filed, f.Unmoved)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, f := range r.Findings {
		fmt.Fprintf(out, "BROKEN %s: %d\n", f.Rule, f.Count)
		for _, example := range f.Examples {
			fmt.Fprintln(out, "  ", example)
		}
	}
	if s.report == "" {
		return nil
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(s.report, append(text, '\n'), 0o644)
}
