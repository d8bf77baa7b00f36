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

// behaviourHead ends the first table and begins the second.
const behaviourHead = `
## How it behaved

Goals stand in the heads of the columns; what is beyond one is **bold**. Of several runs of a fault each column has the worst. Times are those of
the load's client, on a machine that also runs the load, the broker and the store.

Requests are refused with 503. The slowest of those that were made before the first refusal came may take the publish deadline; later ones, while
the fault lasts, find the trouble known. Accepting and storing count from the moment at which the fault was lifted; the load's clients wait as long as Retry-After says, a
second as a rule, before they ask again, and what nobody sends cannot be stored. Messages that were delivered again are counted up to the end of
the fault / in all, by the last of several consumers. Goroutines, open files and memory in use (MB, after the last collection of garbage) are those of each process
before the fault, under load → at its end → at rest, when all is over.

| fault | refused | first refusal, ≤ 3 s | later, p99 / longest, ≤ 250 ms | without Retry-After, 0 | accepting after, ≤ 3 s | storing after, ≤ 2 s | redelivered | goroutines | open files | memory |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- | --- | --- |
`

// write puts the fault's rows into the tables that RELIABILITY names, in the
// place of its earlier ones.
func (w *row) write(t *testing.T, b *bearing) {
	t.Helper()
	path := os.Getenv("RELIABILITY")
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
	if err := os.WriteFile(path, []byte(withRows(string(old), w, b)), 0o644); err != nil {
		t.Fatal(err)
	}
}

// withRows is the page with one fault's rows replaced.
func withRows(page string, w *row, b *bearing) string {
	_, headline, _ := strings.Cut(behaviourHead, "\n")
	headline, _, _ = strings.Cut(headline, "\n")
	events, behaved, _ := strings.Cut(page, headline)
	first, second := rowsIn(events), rowsIn(behaved)
	first[w.fault], second[b.fault] = w.String(), b.String()
	return tableHead + strings.Join(inOrder(first), "\n") + "\n" + behaviourHead + strings.Join(inOrder(second), "\n") + "\n"
}

// rowsIn are a table's lines by their fault, the head among them.
func rowsIn(table string) map[string]string {
	rows := map[string]string{}
	for line := range strings.Lines(table) {
		if name, _, ok := strings.Cut(strings.TrimPrefix(line, "| "), " | "); ok && name != line {
			rows[name] = strings.TrimSpace(line)
		}
	}
	return rows
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

func TestRowsTakeThePlaceOfTheFaultsEarlierOnes(t *testing.T) {
	rows := func(name string, stored int) (*row, *bearing) {
		return &row{fault: name, injected: "x", stored: stored}, &bearing{fault: name, runs: []behaviour{{refusals: refusals{count: stored, first: 3006}}}}
	}
	page := ""
	for i, name := range []string{faults[2].name, faults[0].name, faults[2].name} {
		w, b := rows(name, 70+i)
		page = withRows(page, w, b)
	}
	w0, b0 := rows(faults[0].name, 71)
	w2, b2 := rows(faults[2].name, 72)
	want := tableHead + w0.String() + "\n" + w2.String() + "\n" + behaviourHead + b0.String() + "\n" + b2.String() + "\n"
	if page != want {
		t.Errorf("got\n%s\nwant\n%s", page, want)
	}
	if !strings.Contains(page, "| 72 | **3.01s** |") {
		t.Errorf("a refusal after 3006 ms is not bold in\n%s", page)
	}
}
