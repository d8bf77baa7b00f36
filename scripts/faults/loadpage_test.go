package faults

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/maidian/maidian/pkg/testenv"
)

const pageHead = `# Under load

Written by the runs themselves (` + "`make overload`, `make slow-clients`, `make soak`" + `), each into its own section, the last time that it was done.
Senders, broker, store and services share the processors of one machine: compare ratios, not seconds.
`

// sections of the page, in their order.
var sections = []string{"Overload", "Slow clients", "Soak"}

// writeSection puts what a run found into the page that LOAD_PAGE names, in
// the place of what the last one found.
func writeSection(t *testing.T, title, text string) {
	t.Helper()
	t.Log("\n" + text)
	path := os.Getenv("LOAD_PAGE")
	if path == "" {
		return
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(testenv.Root(t), path)
	}
	old, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	run := fmt.Sprintf("%s, %d processors, %s.\n\n", time.Now().UTC().Format(time.DateOnly), runtime.NumCPU(), runtime.Version())
	if err := os.WriteFile(path, []byte(withSection(string(old), title, run+text)), 0o644); err != nil {
		t.Fatal(err)
	}
}

// withSection is the page with one section replaced.
func withSection(page, title, text string) string {
	texts := map[string]string{}
	for _, part := range strings.Split(page, "\n## ")[1:] {
		name, rest, _ := strings.Cut(part, "\n")
		texts[name] = strings.Trim(rest, "\n")
	}
	texts[title] = strings.Trim(text, "\n")
	page = pageHead
	for _, name := range sections {
		if text, ok := texts[name]; ok {
			page += "\n## " + name + "\n\n" + text + "\n"
		}
	}
	return page
}

func TestASectionTakesThePlaceOfTheOneBefore(t *testing.T) {
	page := withSection("", "Soak", "first\n")
	page = withSection(page, "Overload", "| a |\n| b |")
	page = withSection(page, "Soak", "\nsecond\n\nmore\n")
	if want := pageHead + "\n## Overload\n\n| a |\n| b |\n\n## Soak\n\nsecond\n\nmore\n"; page != want {
		t.Errorf("got\n%s\nwant\n%s", page, want)
	}
}
