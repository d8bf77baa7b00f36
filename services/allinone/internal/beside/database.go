package beside

import (
	"context"
	_ "embed" // the program that runs the databases
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

//go:embed databases.js
var databasesJS []byte

// Database is another system in a process of its own, which times itself: its
// figures hold nothing of the way to it.
type Database struct {
	Name    string
	process *process
}

// OpenDatabase starts "clickhouse" or "duckdb" on its data in a place; modules
// is the folder in whose node_modules they were installed.
func OpenDatabase(ctx context.Context, modules, name, place string) (*Database, error) {
	program := filepath.Join(modules, "databases.js") // beside node_modules, where it finds them
	if err := os.WriteFile(program, databasesJS, 0o600); err != nil {
		return nil, err
	}
	p, err := startProcess(ctx, "node", program, name, place)
	if err != nil {
		return nil, err
	}
	d := &Database{name, p}
	if _, _, err := d.Ask("SELECT 1"); err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", name, err), d.Close())
	}
	return d, nil
}

// Ask runs SQL and says how long it took.
func (d *Database) Ask(sql string) (lines []string, took time.Duration, err error) {
	question, err := json.Marshal(map[string]string{"sql": sql})
	if err != nil {
		return nil, 0, err
	}
	if _, err := d.process.in.Write(append(question, '\n')); err != nil {
		return nil, 0, fmt.Errorf("%s has ended: %w", d.Name, err)
	}
	text, err := d.process.out.ReadBytes('\n')
	if err != nil {
		return nil, 0, fmt.Errorf("%s has ended: %w", d.Name, err)
	}
	var answer struct {
		MS    float64
		Rows  string
		Error string
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return nil, 0, fmt.Errorf("%s answered %q: %w", d.Name, text, err)
	}
	if answer.Error != "" {
		return nil, 0, fmt.Errorf("%s: %s: %s", d.Name, sql, answer.Error)
	}
	if rows := strings.TrimSuffix(answer.Rows, "\n"); rows != "" {
		lines = strings.Split(rows, "\n")
	}
	return lines, time.Duration(answer.MS * float64(time.Millisecond)), nil
}

// Close ends the process.
func (d *Database) Close() error { return d.process.close() }
