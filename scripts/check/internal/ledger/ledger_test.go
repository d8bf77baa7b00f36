package ledger

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"maidian-check/internal/traffic"
)

func begin(t *testing.T) (string, *Writer) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ledger.jsonl")
	w, err := Create(path, &traffic.Plan{Seed: 7, Now: 1})
	if err != nil {
		t.Fatal(err)
	}
	return path, w
}

func TestWhatManyWroteIsReadBack(t *testing.T) {
	path, w := begin(t)
	var all sync.WaitGroup
	for b := range 50 {
		all.Go(func() {
			if err := w.Sync(Line{Batch: &Batch{ID: b, Events: []Event{{K: b, ID: fmt.Sprint(b), Hash: "h", Kind: traffic.Good}}}}); err != nil {
				t.Error(err)
			}
			if err := w.Sync(Line{Try: &Try{ID: 100 + b, Batch: b}}); err != nil {
				t.Error(err)
			}
			w.Note(Line{Done: &Done{Try: 100 + b, Status: 200 + b}})
		})
	}
	all.Wait()
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	l, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(l.Batches) != 50 || l.Plan.Seed != 7 {
		t.Fatalf("got %d batches of the plan %+v", len(l.Batches), l.Plan)
	}
	for i, b := range l.Batches {
		if tries := l.Tries[i]; len(tries) != 1 || tries[0].Done == nil || tries[0].Status != 200+b.ID {
			t.Errorf("batch %d has the tries %+v", b.ID, tries)
		}
	}
}

func TestASyncedLineIsOnTheDisk(t *testing.T) {
	path, w := begin(t)
	if err := w.Sync(Line{Batch: &Batch{ID: 1}}, Line{Try: &Try{ID: 1, Batch: 1}}); err != nil {
		t.Fatal(err)
	}
	l, err := Read(path) // while the writer is still at work, as after a kill
	if err != nil || len(l.Tries) != 1 || !l.Tries[0][0].Unknown() {
		t.Fatalf("got %+v, %v: want the try, with an unknown end", l, err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestTornAndForeignLedgers(t *testing.T) {
	for name, tt := range map[string]struct {
		text string
		ok   bool
	}{
		"the last line is cut off":     {`{"plan":{"now":1}}` + "\n" + `{"batch":{"id":1}}` + "\n" + `{"try":{"id"`, true},
		"a line in the middle is torn": {`{"plan":{"now":1}}` + "\n" + `{"bat` + "\n" + `{"batch":{"id":1}}` + "\n", false},
		"no plan":                      {`{"batch":{"id":1}}` + "\n", false},
		"a try of no batch":            {`{"plan":{"now":1}}` + "\n" + `{"try":{"id":1,"batch":9}}` + "\n", false},
		"an end of no try":             {`{"plan":{"now":1}}` + "\n" + `{"done":{"try":9}}` + "\n", false},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "l")
			if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := Read(path); (err == nil) != tt.ok {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestALedgerIsNotWrittenOver(t *testing.T) {
	path, w := begin(t)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Create(path, &traffic.Plan{}); err == nil {
		t.Error("a second ledger was begun in the place of the first")
	}
}
