package importer

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"time"
)

// Write tells a person what became of the file.
func (r Report) Write(w io.Writer, file string) {
	fmt.Fprintf(w, "%s: %s rows in %s\n", file, Thousands(r.Rows), r.Took.Round(10*time.Millisecond))
	fmt.Fprintf(w, "  accepted   %12s\n", Thousands(r.Accepted))
	r.writeSettled(w)
	fmt.Fprintf(w, "  rejected   %12s\n", Thousands(r.Rejected))
	r.writeReasons(w)
}

func (r Report) writeSettled(w io.Writer) {
	s := r.Settled
	fmt.Fprintf(w, "    stored   %12s   new\n", Thousands(s.Stored))
	fmt.Fprintf(w, "    duplicate%12s   stored before, nothing is stored twice\n", Thousands(s.Duplicates))
	if s.DeadLettered > 0 {
		fmt.Fprintf(w, "    dead     %12s   see: maidian dead-letters list\n", Thousands(s.DeadLettered))
	}
	switch {
	case s.Unknown != nil:
		fmt.Fprintf(w, "    (stored and duplicate are not complete: %v)\n", s.Unknown)
	case s.Mixed(r.Accepted):
		fmt.Fprintln(w, "    (others were sending to the project at the same time: stored and duplicate count their events too)")
	}
}

func (r Report) writeReasons(w io.Writer) {
	for _, f := range r.First {
		fmt.Fprintf(w, "    line %d: %s\n", f.Line, f.Reason)
	}
	byCount := slices.SortedFunc(maps.Keys(r.Reasons), func(a, b string) int {
		return cmp.Or(cmp.Compare(r.Reasons[b], r.Reasons[a]), cmp.Compare(a, b))
	})
	if r.Rejected > len(r.First) {
		fmt.Fprintln(w, "  all rejected rows by reason:")
		for _, reason := range byCount[:min(len(byCount), mostShown)] {
			fmt.Fprintf(w, "    %8s   %s\n", Thousands(r.Reasons[reason]), reason)
		}
	}
	for _, reason := range byCount {
		if hint := hint(reason); hint != "" {
			fmt.Fprintf(w, "  hint: %s\n", hint)
		}
	}
}

var required = regexp.MustCompile(`^properties\.(\w+) is required for (\S+)$`)

// hint says how rows that lack a typed property can be stored all the same.
func hint(reason string) string {
	m := required.FindStringSubmatch(reason)
	if m == nil {
		return ""
	}
	value := "unknown"
	if m[1] == "amount" {
		value = "0"
	}
	return fmt.Sprintf("rows without %[1]s are stored as well with -default %[2]s:%[1]s=%[3]s", m[1], m[2], value)
}
