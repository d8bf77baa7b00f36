// Command maidian is the one command for people: the whole pipeline in one
// process, and the tools around it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"text/tabwriter"
	_ "time/tzdata" // time zones, where the machine has none

	"github.com/maidian/maidian/pkg/proc"
)

// command is one of the words after "maidian".
type command struct {
	name    string
	args    string
	summary string
	run     func(ctx context.Context, args []string) error
}

// commands in the order of the help text. Adding one is a file and a line here.
func commands() []command {
	return []command{
		{"serve", "", "start everything in one process", serve},
		{"import", "FILE", "send a CSV or NDJSON file's rows as events", importFile},
		{"account", "", "print what became of all events that came in", account},
		{"dead-letters", "list|show|replay|discard|discards", "look after events that cannot be stored as they are", deadLettersCommand},
		{"forward", "list|show|apply|delete|resume|replay|letters", "look after the systems that events are forwarded to", forwardCommand},
		{"rules", "check|apply FILE", "bring a file of alert rules, channels and silences to a project", rulesCommand},
		{"backup", "FILE", "copy the store into a file, while it is in use", backup},
		{"restore", "FILE", "make an empty store what it was", restore},
		{"prune", "-older-than 400d", "delete what is older than so many days", pruneCommand},
		{"segments", "verify|rebuild", "look after the columns that closed days are kept in", segmentsCommand},
		{"simulate", "", "send made-up visitors to a running system", simulate},
		{"demo", "", "start, import a shop's events, print its funnel, retention and pages", demo},
	}
}

func main() { os.Exit(run(os.Args[1:], os.Stderr)) }

// run returns the exit code: 0 after an orderly end, 1 after a failure, 2 when
// it was called wrongly.
func run(args []string, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second Ctrl-C does not wait
	err := dispatch(ctx, args, stderr)
	wrong := (*usageError)(nil)
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return 0
	case errors.As(err, &wrong):
		if wrong.text != "" {
			fmt.Fprintf(stderr, "maidian: %s\n", wrong.text)
		}
		return 2
	}
	for line := range strings.Lines(err.Error()) {
		fmt.Fprintf(stderr, "maidian: %s\n", strings.TrimSuffix(line, "\n"))
	}
	return 1
}

// usageError is a command line that means nothing.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

func dispatch(ctx context.Context, args []string, stderr io.Writer) error {
	if len(args) == 0 {
		usage(stderr)
		return &usageError{}
	}
	switch args[0] {
	case "-h", "-help", "--help", "help":
		usage(os.Stdout)
		return nil
	case "-version", "--version", "version":
		fmt.Println("maidian", proc.Version())
		return nil
	}
	for _, c := range commands() {
		if c.name == args[0] {
			return c.run(ctx, args[1:])
		}
	}
	return &usageError{fmt.Sprintf("there is no command %q; maidian -help lists them", args[0])}
}

func usage(w io.Writer) {
	fmt.Fprint(w, "Maidian takes events in, stores each once, and answers questions about them.\n\n")
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, c := range commands() {
		fmt.Fprintf(table, "  maidian %s\t%s\n", strings.TrimSpace(c.name+" "+c.args), c.summary)
	}
	fmt.Fprint(table, "  maidian version\tprint the version\n")
	_ = table.Flush()
	fmt.Fprint(w, "\nmaidian COMMAND -help lists a command's flags.\n")
}

// anyWords is how many words a command takes that counts them itself.
const anyWords = -1

// parse reads a command's flags, before and behind its words, and checks that
// there are as many words as it takes.
func parse(flags *flag.FlagSet, args []string, words int) error {
	var found []string
	for {
		if err := parseFlags(flags, args); err != nil {
			return err
		}
		if flags.NArg() == 0 {
			break
		}
		found, args = append(found, flags.Arg(0)), flags.Args()[1:]
	}
	if err := parseFlags(flags, append([]string{"--"}, found...)); err != nil {
		return err
	}
	switch {
	case flags.NArg() < words:
		return &usageError{fmt.Sprintf("%s needs %d more argument(s); maidian %s -help", flags.Name(), words-flags.NArg(), flags.Name())}
	case words != anyWords && flags.NArg() > words:
		return &usageError{fmt.Sprintf("%s does not know what to do with %q", flags.Name(), flags.Arg(words))}
	}
	return nil
}

func parseFlags(flags *flag.FlagSet, args []string) error {
	flags.SetOutput(os.Stderr)
	err := flags.Parse(args)
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		return &usageError{} // flag has said what is wrong
	}
	return err
}

// list is a flag that may be given several times.
type list []string

func (l *list) String() string     { return strings.Join(*l, " ") }
func (l *list) Set(s string) error { *l = append(*l, s); return nil }
