package storetest

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/fault"
	"github.com/maidian/maidian/pkg/store"
)

// placeVariable, when set, makes a test binary the writer that will be killed.
const placeVariable = "STORETEST_WRITE_TO"

// Main runs a package's tests; or, in the process that a crash test starts,
// the writer that it kills. Call it from TestMain with the harness' Open.
func Main(m *testing.M, open func(ctx context.Context, place string) (store.Store, error)) {
	place := os.Getenv(placeVariable)
	if place == "" {
		os.Exit(m.Run())
	}
	fmt.Fprintln(os.Stderr, "writer:", write(context.Background(), open, place))
	os.Exit(1)
}

const killedBatch = 25

// write stores batch after batch for ever and prints the number of each one that was acknowledged.
func write(ctx context.Context, open func(context.Context, string) (store.Store, error), place string) error {
	s, err := open(ctx, place)
	if err != nil {
		return err
	}
	for n := 0; ; n++ {
		id := fmt.Sprintf("k%05d", n)
		if _, err := s.InsertEvents(ctx, batchOf(id, id, killedBatch)); err != nil {
			return err
		}
		if err := s.RecordBatches(ctx, []store.Batch{{ID: id, Project: "demo", WrittenAt: event.Time(n + 1), Stored: killedBatch}}); err != nil {
			return err
		}
		fmt.Println(n)
	}
}

func killedWriter(t *testing.T, h Harness) {
	if h.Volatile {
		t.Skip("skipped: nothing of this store outlives its process")
	}
	place := h.Place(t)
	for _, kill := range []int{1, 10, 30} {
		last := runAndKill(t, place, kill)
		checkKilled(t, h.open(t, place), last)
	}
}

// runAndKill starts a writer, ends it as kill -9 does once it has printed so
// many numbers, and returns the last number it printed.
func runAndKill(t *testing.T, place string, lines int) int {
	t.Helper()
	writer := exec.Command(os.Args[0], "-test.run=^$")
	writer.Env = append(os.Environ(), placeVariable+"="+place)
	var stderr strings.Builder
	writer.Stderr = &stderr
	stdout, err := writer.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := writer.Start(); err != nil {
		t.Fatal(err)
	}
	last := -1
	for output := bufio.NewScanner(stdout); output.Scan(); { // to the end: it may have printed more before it died
		n, err := strconv.Atoi(output.Text())
		if err != nil {
			break // half a line
		}
		if last = n; n == lines-1 {
			writer.Process.Kill()
		}
	}
	writer.Wait()
	if last < lines-1 {
		t.Fatalf("the writer ended by itself after %d batches: %s", last+1, stderr.String())
	}
	return last
}

// checkKilled wants every acknowledged batch in the journal and in the events,
// and the unfinished one to be accepted again without a duplicate. It closes the store.
func checkKilled(t *testing.T, s store.Store, last int) {
	t.Helper()
	defer s.Close()
	recorded := map[string]int{}
	for _, b := range journal(t, s, store.Cursor{}, 1_000_000) {
		recorded[b.ID] = b.Stored
	}
	for n := range last + 1 {
		id := fmt.Sprintf("k%05d", n)
		wantEvents(t, read(t, s, "demo", id), batchOf(id, id, killedBatch))
		if recorded[id] != killedBatch {
			t.Fatalf("the journal says %d events for acknowledged batch %s", recorded[id], id)
		}
	}
	id := fmt.Sprintf("k%05d", last+1)
	for i, o := range insert(t, s, batchOf(id, id, killedBatch)) {
		if o == store.Duplicate {
			t.Fatalf("event %d of the unfinished batch is a duplicate of itself", i)
		}
	}
}

// killedServer goes on storing while the server is killed and started again,
// as the consumer does: what fails as unavailable is tried again.
func killedServer(t *testing.T, h Harness) {
	if h.Restart == nil {
		t.Skip("skipped: this store has no server of ours to kill")
	}
	s := h.fresh(t)
	const batches = 40
	begun, finished := make(chan struct{}), make(chan error, 1)
	go func() { finished <- storeThrough(t.Context(), s, batches, begun) }()
	<-begun
	h.Restart(t)
	if err := <-finished; err != nil {
		t.Fatal(err)
	}
	for n := range batches {
		id := fmt.Sprintf("s%05d", n)
		wantEvents(t, read(t, s, "demo", id), batchOf(id, id, 10))
	}
	if err := s.Ping(t.Context()); err != nil {
		t.Error(err)
	}
}

// storeThrough stores batches whatever happens to the server; begun is closed when some of them are there.
func storeThrough(ctx context.Context, s store.Store, batches int, begun chan struct{}) error {
	defer func() {
		if begun != nil {
			close(begun)
		}
	}()
	for n := range batches {
		if n == batches/4 {
			close(begun)
			begun = nil
		}
		id := fmt.Sprintf("s%05d", n)
		got, err := s.InsertEvents(ctx, batchOf(id, id, 10))
		for fault.KindOf(err) == fault.Unavailable {
			got, err = s.InsertEvents(ctx, batchOf(id, id, 10))
		}
		if err != nil {
			return fmt.Errorf("batch %s: got %w, want nothing but fault.Unavailable", id, err)
		}
		if slices.Contains(got, store.Duplicate) {
			return fmt.Errorf("batch %s: an event is a duplicate of itself: %v", id, got)
		}
	}
	return nil
}
