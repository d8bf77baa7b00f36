package faults

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/maidian/maidian/pkg/testenv"
)

// row is one fault's line in the table, summed over its runs.
type row struct {
	fault, injected                                                            string
	runs                                                                       int
	attempted, acknowledged, stored, recovered, lost, duplicated, deadLettered int
	accepting, storing                                                         int64 // longest, ms
}

func (w *row) add(r *report) {
	w.runs++
	w.attempted += r.Attempted
	w.acknowledged += r.Acknowledged
	w.stored += r.Stored
	w.recovered += r.Recovered
	w.lost += r.Lost
	w.duplicated += r.Duplicated
	w.deadLettered += r.DeadLettered
	w.accepting = max(w.accepting, r.Resumed.Accepting)
	w.storing = max(w.storing, r.Resumed.Storing)
}

func (w *row) String() string {
	return fmt.Sprintf("| %s | %s | %d | %d | %d | %d | %d | %d | %d | %d | %.1f s / %.1f s |",
		w.fault, w.injected, w.runs, w.attempted, w.acknowledged, w.stored, w.recovered, w.lost, w.duplicated, w.deadLettered,
		float64(w.accepting)/1000, float64(w.storing)/1000)
}

const tableHead = `# What happened under each fault

Written by the runs themselves (` + "`make faults`" + `): a row is what maidian-check found, summed over the runs, the last time that
all runs of the fault were done. Every run has the load of a difficult client: retries at once, repeated and repacked events,
abandoned requests, devices with wrong clocks, events that must be refused, unreadable messages on the queue.

Acknowledged events were answered with 200. Recovered ones were never acknowledged to the client and are stored all the same, once.
Dead letters are the injected poison. The last column is the longest time after the fault was lifted until the first event was
accepted / was stored.

| fault | injected | runs | attempted | acknowledged | stored | recovered | lost | duplicated | dead-lettered | resumed after |
| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
`

// write puts the row into the table that RELIABILITY names, in the place of
// the fault's earlier one.
func (w *row) write(t *testing.T) {
	t.Helper()
	path := os.Getenv("RELIABILITY")
	if path == "" {
		return
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(testenv.Root(t), path)
	}
	rows := map[string]string{}
	if text, err := os.ReadFile(path); err == nil {
		for line := range strings.Lines(string(text)) {
			if cells := strings.Split(line, " | "); len(cells) == 11 {
				rows[strings.TrimPrefix(cells[0], "| ")] = strings.TrimSpace(line)
			}
		}
	}
	rows[w.fault] = w.String()
	text := tableHead + strings.Join(inOrder(rows), "\n") + "\n"
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// inOrder are the rows in the order of the faults; what is no fault any more is left out.
func inOrder(rows map[string]string) (lines []string) {
	for _, f := range faults {
		if line, ok := rows[f.name]; ok {
			lines = append(lines, line)
		}
	}
	return slices.Clip(lines)
}
