package faults

import (
	"fmt"
	"os"
	"path/filepath"
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

// followedHead ends the second table and begins the third.
const followedHead = `
## What followed

Rules, a channel and destinations in every project, while two processes follow what is stored and one receiver takes what they send, or does not. A firing is *wrong* if
it is missing, is there twice or should not be there, in the store or, as a notice, in the outbox. Of the windows that rules judge, *doubtful* are those to which something came so late that
it may or may not have counted, and those from before the first firing; either is right. Told and posted are requests that the receiver answered with 200; what is not told, not posted or not in exactly one file is *missing*.
At least once is the promise: *again* are events that were posted more than once.

| fault | firings | wrong | windows | doubtful | told | missing | posted | again | missing | in files | missing or twice | requests without success |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
`

// followed is what the checker says of what followed the stored events.
type followed struct{ Firings, Windows, Doubtful, Told, Posted, Again, Filed, Unmoved int }

// sequel is one fault's line in the third table, summed over its runs.
type sequel struct {
	fault                         string
	sum                           followed
	wrong, untold, unsent, unfile int
}

func (w *sequel) add(r *report) {
	f := r.Followed
	w.sum.Firings += f.Firings
	w.sum.Windows += f.Windows
	w.sum.Doubtful += f.Doubtful
	w.sum.Told += f.Told
	w.sum.Posted += f.Posted
	w.sum.Again += f.Again
	w.sum.Filed += f.Filed
	w.sum.Unmoved += f.Unmoved
	w.wrong += r.broken("firings", "notices")
	w.untold += r.broken("told", "signed")
	w.unsent += r.broken("forwarded", "order", "twice")
	w.unfile += r.broken("files")
}

func (w *sequel) String() string {
	f := &w.sum
	return fmt.Sprintf("| %s | %d | %d | %d | %d | %d | %d | %d | %d | %d | %d | %d | %d |",
		w.fault, f.Firings, w.wrong, f.Windows, f.Doubtful, f.Told, w.untold, f.Posted, f.Again, w.unsent, f.Filed, w.unfile, f.Unmoved)
}

// lines are what one fault has in the tables; some are empty.
type lines [3]string

// write puts a fault's lines into the tables that RELIABILITY names, in the
// place of its earlier ones.
func (l lines) write(t *testing.T, fault string) {
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
	if err := os.WriteFile(path, []byte(l.in(string(old), fault)), 0o644); err != nil {
		t.Fatal(err)
	}
}

// in is the page with one fault's lines replaced.
func (l lines) in(page, fault string) (changed string) {
	heads := []string{tableHead, behaviourHead, followedHead}
	for i, head := range heads {
		table := page
		if i+1 < len(heads) {
			table, page, _ = strings.Cut(page, headline(heads[i+1]))
		}
		rows := rowsIn(table)
		if l[i] != "" {
			rows[fault] = l[i]
		}
		changed += head
		for _, row := range inOrder(rows) {
			changed += row + "\n"
		}
	}
	return changed
}

func headline(head string) string {
	line, _, _ := strings.Cut(strings.TrimPrefix(head, "\n"), "\n")
	return line
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
func inOrder(rows map[string]string) (ordered []string) {
	for _, f := range faults {
		if line, ok := rows[f.name]; ok {
			ordered = append(ordered, line)
		}
	}
	return ordered
}

func TestRowsTakeThePlaceOfTheFaultsEarlierOnes(t *testing.T) {
	rows := func(name string, stored int) lines {
		w := row{fault: name, injected: "x", stored: stored}
		b := bearing{fault: name, runs: []behaviour{{refusals: refusals{count: stored, first: 3006}}}}
		return lines{w.String(), b.String()}
	}
	followed := sequel{fault: faults[2].name, sum: followed{Firings: 7}}
	page := ""
	for i, name := range []string{faults[2].name, faults[0].name, faults[2].name} {
		l := rows(name, 70+i)
		if i == 0 {
			l[2] = followed.String()
		}
		page = l.in(page, name)
	}
	first, second := rows(faults[0].name, 71), rows(faults[2].name, 72)
	want := tableHead + first[0] + "\n" + second[0] + "\n" + behaviourHead + first[1] + "\n" + second[1] + "\n" + followedHead + followed.String() + "\n"
	if page != want {
		t.Errorf("got\n%s\nwant\n%s", page, want)
	}
	if !strings.Contains(page, "| 72 | **3.01s** |") {
		t.Errorf("a refusal after 3006 ms is not bold in\n%s", page)
	}
}
