package beside

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/uuid"

	"github.com/maidian/maidian/pkg/store/sqlite"
	"github.com/maidian/maidian/pkg/testenv/seeded"
)

// small is the set at a size for tests; somebody is online in it.
var small = Set{Events: 80_000, Users: 1600, Days: 90}

// The answers through HTTP, from a store that was filled as the consumer fills
// it, are those of plain loops over the same events. BENCH_CLICKHOUSE names the
// folder in whose node_modules chdb is; then ClickHouse has to agree as well.
func TestAnswersAreThoseOfAPlainLoop(t *testing.T) {
	dir := t.TempDir()
	fill(t, dir)
	client := NewClient(serving(t, dir).Query)
	s := &Server{Client: client}
	if _, _, err := s.FirstAnswer(t.Context()); err != nil {
		t.Fatal(err)
	}
	h, clickhouse := historyOf(small), smallClickHouse(t, dir)
	for _, q := range Questions() {
		t.Run(q.Name, func(t *testing.T) {
			oracle := oracles[q.Name]
			if oracle == nil {
				t.Fatal("no plain loop answers this question")
			}
			for turn := range 3 {
				answer, _, err := client.Ask(t.Context(), q.Route, q.Body(turn))
				if err != nil {
					t.Fatal(err)
				}
				lines, err := q.Lines(answer)
				if err != nil {
					t.Fatal(err)
				}
				if err := compare(lines, oracle(h, turn), "the plain loop"); err != nil {
					t.Fatal(err)
				}
				for _, table := range tables {
					if clickhouse == nil {
						continue
					}
					theirs, _, err := clickhouse.Ask(q.SQL(table, turn))
					if err != nil {
						t.Fatal(err)
					}
					if err := compare(lines, theirs, table+" of ClickHouse"); err != nil {
						t.Fatal(err)
					}
				}
			}
		})
	}
}

// The funnels of the full set are known from another program's loops.
func TestKnownFunnelsOfTheFullSet(t *testing.T) {
	if os.Getenv("SEEDED_FULL") == "" {
		t.Skip("skipped: SEEDED_FULL=1 makes the set of 10 million events, which takes half a minute and 2 GB")
	}
	h := historyOf(Set{seeded.Events, seeded.Users, seeded.Days})
	for fromDay, want := range map[int][]string{
		0:  {"1\t41131", "2\t33318", "3\t22985", "4\t79283"},
		60: {"1\t31862", "2\t21024", "3\t13052", "4\t40679"},
	} {
		if err := compare(h.funnel(fromDay, 0, noValue), want, "the other program"); err != nil {
			t.Errorf("from day %d: %v", fromDay, err)
		}
	}
}

func fill(t *testing.T, dir string) {
	t.Helper()
	to, err := sqlite.Open(t.Context(), filepath.Join(dir, "store"))
	if err != nil {
		t.Fatal(err)
	}
	if err := small.Fill(t.Context(), to); err != nil {
		t.Fatal(err)
	}
	if err := to.Close(); err != nil {
		t.Fatal(err)
	}
}

// serving runs the query service on the directory until the test ends.
func serving(t *testing.T, dir string) (at Addresses) {
	t.Helper()
	in, stop := io.Pipe()
	addresses, out := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := Serve(context.Background(), QueryOnly, dir, in, out)
		_ = out.CloseWithError(err)
		ended <- err
	}()
	t.Cleanup(func() {
		_ = stop.Close()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	if err := json.NewDecoder(addresses).Decode(&at); err != nil {
		t.Fatal(err)
	}
	return at
}

func smallClickHouse(t *testing.T, dir string) *Database {
	t.Helper()
	modules := os.Getenv("BENCH_CLICKHOUSE")
	if modules == "" {
		t.Log("BENCH_CLICKHOUSE is not set: ClickHouse is not asked")
		return nil
	}
	if err := small.LoadClickHouseOnce(t.Context(), modules, dir); err != nil {
		t.Fatal(err)
	}
	d, err := OpenDatabase(context.WithoutCancel(t.Context()), modules, "clickhouse", filepath.Join(dir, "clickhouse"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func TestIdsAreSortedUUIDs(t *testing.T) {
	first, second := id(seeded.Start, 7), id(seeded.Start+1, 1)
	for _, text := range []string{first, second} {
		if u, err := uuid.Parse(text); err != nil || u.Version() != 7 {
			t.Errorf("%s is no UUIDv7: %v", text, err)
		}
	}
	if first >= second {
		t.Errorf("%s stands after %s", first, second)
	}
}

func TestDifferentAnswersAreTold(t *testing.T) {
	tests := map[string]struct {
		ours, theirs []string
		same         bool
	}{
		"the same":           {[]string{"a\t1", "b\t2"}, []string{"a\t1", "b\t2"}, true},
		"in another order":   {[]string{"b\t2", "a\t1"}, []string{"a\t1", "b\t2"}, true},
		"another number":     {[]string{"a\t1", "b\t2"}, []string{"a\t1", "b\t3"}, false},
		"a line less":        {[]string{"a\t1"}, []string{"a\t1", "b\t2"}, false},
		"a line more":        {[]string{"a\t1", "b\t2"}, []string{"a\t1"}, false},
		"nothing on a side":  {nil, []string{"a\t1"}, false},
		"nothing to compare": {nil, nil, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if err := compare(tt.ours, tt.theirs, "them"); (err == nil) != tt.same {
				t.Errorf("got %v, want the same: %v", err, tt.same)
			}
		})
	}
}

func TestRequestsAreSeenOnceAnswersHoldAllThatWasSentByThen(t *testing.T) {
	s := &stream{accepted: []arrival{{needs: 20}, {needs: 60}, {needs: 60}, {needs: 80}}}
	var seen []int
	for _, total := range []int{0, 20, 59, 60, 100} {
		seen = append(seen, len(s.seen(total)))
	}
	if want := []int{0, 1, 0, 2, 1}; !slices.Equal(seen, want) || s.waiting() != 0 {
		t.Errorf("got %v and %d waiting, want %v and none", seen, s.waiting(), want)
	}
}

func TestFiguresSayWhetherTheirGoalIsReached(t *testing.T) {
	tests := map[string]struct {
		figure      Figure
		goal, state string
	}{
		"ratio reached":   {Figure{Ours: []float64{1, 2, 30}, Beside: "x", Theirs: []float64{20, 20, 20}, Goal: 0.1}, "≤ 1/10", "yes"},
		"ratio missed":    {Figure{Ours: []float64{3}, Beside: "x", Theirs: []float64{20}, Goal: 0.1}, "≤ 1/10", "no"},
		"value reached":   {Figure{Ours: []float64{15.9}, Goal: 16}, "≤ 16.0", "yes"},
		"value missed":    {Figure{Ours: []float64{16.1}, Goal: 16}, "≤ 16.0", "no"},
		"no goal":         {Figure{Ours: []float64{1}}, "", ""},
		"answers differ":  {Figure{Goal: 1, Broken: io.EOF}, "≤ 1.00", "WRONG"},
		"nothing counted": {Figure{Goal: 1, Beside: "x"}, "≤ 1.00×", "no"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if goal, state := tt.figure.goal(), tt.figure.reached(); goal != tt.goal || state != tt.state {
				t.Errorf("got %q, %q, want %q, %q", goal, state, tt.goal, tt.state)
			}
		})
	}
}
