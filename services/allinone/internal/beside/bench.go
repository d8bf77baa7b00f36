package beside

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/maidian/maidian/pkg/store"
)

// Bench measures the service on a set, beside others.
type Bench struct {
	Set         Set
	Dir         string // of the stores, which are filled once and kept
	Modules     string // the folder in whose node_modules the other databases are
	Repetitions int
	Only        string // the parts to run, by name, separated by commas; all when empty
	Log         io.Writer
}

// part is something to measure, and what to have before.
type part struct {
	name    string
	measure func(context.Context) ([]Figure, error)
}

func (b *Bench) parts() []part {
	return []part{
		{"questions", b.questions},
		{"start", b.starts},
		{"stored", b.stored},
		{"memory", b.memory},
		{"live", b.live},
	}
}

// Run fills what has to be filled and measures. A part that fails does not
// keep the others from being measured; the error is of all that went wrong, and
// figures whose answers differ are wrong.
func (b *Bench) Run(ctx context.Context) (figures []Figure, err error) {
	if err := b.prepare(ctx); err != nil {
		return nil, err
	}
	for _, p := range b.parts() {
		if b.Only != "" && !slices.Contains(strings.Split(b.Only, ","), p.name) {
			continue
		}
		b.say("measuring: %s", p.name)
		more, wrong := p.measure(ctx)
		if wrong != nil {
			err = errors.Join(err, fmt.Errorf("measure %s: %w", p.name, wrong))
		}
		figures = append(figures, more...)
	}
	for _, f := range figures {
		if f.Broken != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", f.Name, f.Broken))
		}
	}
	return figures, err
}

func (b *Bench) say(format string, args ...any) {
	fmt.Fprintf(b.Log, time.Now().Format(time.TimeOnly)+" "+format+"\n", args...)
}

func (b *Bench) prepare(ctx context.Context) error {
	if time.Now().Before(Now.AddDate(0, 0, 1)) {
		return fmt.Errorf("this machine's clock says %s, and the set ends on %s: its days must be over", time.Now().Format(time.DateOnly), Now.Format(time.DateOnly))
	}
	if err := os.MkdirAll(b.Dir, 0o755); err != nil {
		return err
	}
	b.say("stores of %d events in %s (filled when they are not there)", b.Set.Events, b.Dir)
	if err := b.Set.FillOnce(ctx, b.Dir); err != nil {
		return fmt.Errorf("fill the store: %w", err)
	}
	if err := b.Set.LoadClickHouseOnce(ctx, b.Modules, b.Dir); err != nil {
		return fmt.Errorf("load ClickHouse: %w", err)
	}
	if err := LoadDuckDBOnce(ctx, b.Modules, b.Dir); err != nil {
		return fmt.Errorf("load DuckDB: %w", err)
	}
	return b.seal(ctx)
}

// seal lets the service run on the store until it has sealed every day, as it
// has in a system that has been running. Later runs find the days sealed.
func (b *Bench) seal(ctx context.Context) error {
	before, err := b.sealedDays(ctx)
	if err != nil {
		return err
	}
	s, err := b.server(ctx, QueryOnly, b.Dir)
	if err != nil {
		return err
	}
	for _, q := range append(Questions(), allColumns...) { // a column is sealed once it was asked for
		if _, _, err := s.Ask(ctx, q.Route, q.Body(0)); err != nil {
			return errors.Join(err, s.Close())
		}
	}
	if before < b.Set.Days {
		b.say("%d of %d days are sealed: waiting for the service to seal the others, which it does when they have rested for some minutes", before, b.Set.Days)
		err = s.sealed(ctx, b.Set.Days-before)
	}
	if err = errors.Join(err, s.Close()); err != nil {
		return err
	}
	after, err := b.sealedDays(ctx)
	if err == nil && after < b.Set.Days {
		b.say("the service has sealed %d of %d days only: it is slower at its start than it would be", after, b.Set.Days)
	}
	return err
}

// sealedDays is how many days have segments.
func (b *Bench) sealedDays(ctx context.Context) (days int, err error) {
	seen := map[int32]bool{}
	err = b.segments(ctx, []string{base}, func(s *store.Segment) { seen[s.Day] = true })
	return len(seen), err
}

// sealed waits until the service has sealed so many days, or none for a while.
func (s *Server) sealed(ctx context.Context, want int) error {
	const patience = 8 * time.Minute // longer than days have to rest
	days, since := 0.0, time.Now()
	for pause := time.NewTicker(time.Second); days < float64(want) && time.Since(since) < patience; <-pause.C {
		now, err := s.metric(ctx, "maidian_query_sealed_dates_total")
		if err != nil {
			return err
		}
		if now != days {
			days, since = now, time.Now()
		}
	}
	return nil
}

// server starts a server and waits until it answers.
func (b *Bench) server(ctx context.Context, what, dir string) (*Server, error) {
	s, err := StartServer(ctx, what, dir)
	if err != nil {
		return nil, err
	}
	if _, _, err := s.FirstAnswer(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	b.say("a server answered %.1f s after its start", time.Since(s.began).Seconds())
	return s, nil
}

func (b *Bench) clickHouse(ctx context.Context) (*Database, error) {
	return OpenDatabase(ctx, b.Modules, "clickhouse", filepath.Join(b.Dir, "clickhouse"))
}

// questions asks everybody everything, in turn.
func (b *Bench) questions(ctx context.Context) (figures []Figure, err error) {
	ours, err := b.server(ctx, QueryOnly, b.Dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, ours.Close()) }()
	clickhouse, err := b.clickHouse(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, clickhouse.Close()) }()
	duckdb, err := OpenDatabase(ctx, b.Modules, "duckdb", filepath.Join(b.Dir, "events.duckdb"))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, duckdb.Close()) }()
	for _, q := range Questions() {
		d := &duel{ours: ours.Client, theirs: clickhouse, question: q}
		f, err := d.run(ctx, b.Repetitions)
		if err != nil {
			return nil, err
		}
		if q.Duck != "" {
			f.Goal = 0 // it is held against the other one
			figures = append(figures, f)
			d.theirs = duckdb
			if f, err = d.run(ctx, b.Repetitions); err != nil {
				return nil, err
			}
		}
		figures = append(figures, f)
	}
	return figures, nil
}

// duel is one question to two systems.
type duel struct {
	ours     Client
	theirs   *Database
	question Question
	turn     int
}

// warm is how often each is asked before it counts.
const warm = 2

// run asks both in turn and compares each pair of answers.
func (d *duel) run(ctx context.Context, repetitions int) (Figure, error) {
	f := Figure{Name: d.question.Name, Unit: "ms", Beside: d.theirs.Name, Goal: d.question.Goal}
	sql, err := d.faster()
	if err != nil {
		return f, err
	}
	for i := range warm + repetitions {
		d.turn++
		answer, our, err := d.ours.Ask(ctx, d.question.Route, d.question.Body(d.turn))
		if err != nil {
			return f, err
		}
		lines, err := d.question.Lines(answer)
		if err != nil {
			return f, fmt.Errorf("%s: %w in %.200s", d.question.Name, err, answer)
		}
		theirLines, their, err := d.theirs.Ask(sql(d.turn))
		if err != nil {
			return f, err
		}
		f.Broken = errors.Join(f.Broken, compare(lines, theirLines, d.theirs.Name))
		if i >= warm && f.Broken == nil {
			f.Ours, f.Theirs = append(f.Ours, milliseconds(our)), append(f.Theirs, milliseconds(their))
		}
		if f.Broken != nil {
			break
		}
	}
	return f, nil
}

// faster is the SQL on the table that answers it faster when warm.
func (d *duel) faster() (func(turn int) string, error) {
	if d.theirs.Name == "duckdb" {
		return func(int) string { return d.question.Duck }, nil
	}
	best, fastest := "", time.Duration(math.MaxInt64)
	for range warm {
		for _, t := range tables {
			_, took, err := d.theirs.Ask(d.sql(t, 0))
			if err != nil {
				return nil, err
			}
			if took < fastest {
				best, fastest = t, took
			}
		}
	}
	return func(turn int) string { return d.sql(best, turn) }, nil
}

func (d *duel) sql(table string, turn int) string {
	return d.question.SQL(table, turn) + fmt.Sprintf(" SETTINGS max_threads = %d", runtime.NumCPU())
}

// forget lets the system forget the files below a place, so that they are read from disk.
func forget(ctx context.Context, place string) error {
	out, err := exec.CommandContext(ctx, "find", place, "-type", "f", "-exec", "dd", "of={}", "oflag=nocache", "conv=notrunc,fdatasync", "count=0", "status=none", ";").CombinedOutput()
	if err != nil {
		return fmt.Errorf("forget the files of %s: %w: %s", place, err, out)
	}
	return nil
}
