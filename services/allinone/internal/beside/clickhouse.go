package beside

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/maidian/maidian/pkg/testenv/seeded"
)

// tables are the two orders in which ClickHouse may keep the events; each
// question is asked of the one that answers it faster. Beside them stand the
// same ones packed, as small as its codecs make them.
var tables = []string{"seeded.by_day", "seeded.by_user"}

const (
	rowFormat = `ts DateTime64(3, 'UTC'), user_id UInt64, session_id UInt64, event String, page String, country String, platform String, amount Float64`

	// Users and sessions stay numbers here, which suits ClickHouse better than text.
	plainColumns = `ts DateTime64(3, 'UTC'), user_id UInt64, session_id UInt64, event LowCardinality(String), page LowCardinality(String),
		country LowCardinality(String), platform LowCardinality(String), amount Float64`
	packedColumns = `ts DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(3)), user_id UInt64 CODEC(ZSTD(3)), session_id UInt64 CODEC(ZSTD(3)),
		event LowCardinality(String) CODEC(ZSTD(3)), page LowCardinality(String) CODEC(ZSTD(3)), country LowCardinality(String) CODEC(ZSTD(3)),
		platform LowCardinality(String) CODEC(ZSTD(3)), amount Float64 CODEC(ZSTD(3))`

	// A file for each column, however few rows: so that each has a size.
	byDay  = `ENGINE = MergeTree PARTITION BY toYYYYMM(ts) ORDER BY (toDate(ts), event, user_id) SETTINGS min_bytes_for_wide_part = 0`
	byUser = `ENGINE = MergeTree ORDER BY (user_id, ts) SETTINGS min_bytes_for_wide_part = 0`
)

// LoadClickHouseOnce makes the tables in dir/clickhouse unless they are there,
// and, for DuckDB, the file dir/events.parquet.
func (s Set) LoadClickHouseOnce(ctx context.Context, modules, dir string) (err error) {
	place := filepath.Join(dir, "clickhouse")
	if _, err := os.Stat(place); err == nil {
		return nil
	}
	unfinished := place + ".unfinished"
	if err := os.RemoveAll(unfinished); err != nil {
		return err
	}
	rows := filepath.Join(dir, "events.rowbinary")
	defer func() { err = errors.Join(err, os.Remove(rows)) }()
	if err := s.writeRows(rows); err != nil {
		return err
	}
	d, err := OpenDatabase(ctx, modules, "clickhouse", unfinished)
	if err != nil {
		return err
	}
	parquet := filepath.Join(dir, "events.parquet")
	for _, sql := range []string{
		`CREATE DATABASE seeded ENGINE = Atomic`,
		`CREATE TABLE seeded.by_day (` + plainColumns + `) ` + byDay,
		`CREATE TABLE seeded.by_user (` + plainColumns + `) ` + byUser,
		`CREATE TABLE seeded.by_day_packed (` + packedColumns + `) ` + byDay,
		`CREATE TABLE seeded.by_user_packed (` + packedColumns + `) ` + byUser,
		`INSERT INTO seeded.by_day SELECT * FROM file(` + quoted(rows) + `, 'RowBinary', ` + quoted(rowFormat) + `) SETTINGS max_partitions_per_insert_block = 200`,
		`INSERT INTO seeded.by_user SELECT * FROM seeded.by_day`,
		`INSERT INTO seeded.by_day_packed SELECT * FROM seeded.by_day`,
		`INSERT INTO seeded.by_user_packed SELECT * FROM seeded.by_day`,
		`OPTIMIZE TABLE seeded.by_day FINAL`,
		`OPTIMIZE TABLE seeded.by_user FINAL`,
		`OPTIMIZE TABLE seeded.by_day_packed FINAL`,
		`OPTIMIZE TABLE seeded.by_user_packed FINAL`,
		`SELECT * FROM seeded.by_day ORDER BY ts INTO OUTFILE ` + quoted(parquet) + ` TRUNCATE FORMAT Parquet`,
	} {
		if _, _, err := d.Ask(sql); err != nil {
			return errors.Join(err, d.Close())
		}
	}
	if err := d.Close(); err != nil {
		return err
	}
	return os.Rename(unfinished, place)
}

// LoadDuckDBOnce makes the file dir/events.duckdb out of dir/events.parquet unless it is there.
func LoadDuckDBOnce(ctx context.Context, modules, dir string) error {
	place := filepath.Join(dir, "events.duckdb")
	if _, err := os.Stat(place); err == nil {
		return nil
	}
	unfinished := place + ".unfinished"
	if err := os.RemoveAll(unfinished); err != nil {
		return err
	}
	d, err := OpenDatabase(ctx, modules, "duckdb", unfinished)
	if err != nil {
		return err
	}
	_, _, err = d.Ask(`CREATE TABLE events AS SELECT * REPLACE (timezone('UTC', ts) AS ts) FROM read_parquet(` + quoted(filepath.Join(dir, "events.parquet")) + `) ORDER BY ts`)
	if err == nil {
		_, _, err = d.Ask(`CHECKPOINT`)
	}
	if err := errors.Join(err, d.Close()); err != nil {
		return err
	}
	return os.Rename(unfinished, place)
}

func quoted(text string) string {
	return `'` + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(text) + `'`
}

// writeRows writes the set as ClickHouse's RowBinary.
func (s Set) writeRows(name string) (err error) {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := bufio.NewWriterSize(f, 1<<20)
	var row []byte
	for r := range seeded.Rows(s.Events, s.Users, s.Days) {
		row = binary.LittleEndian.AppendUint64(row[:0], uint64(r.Timestamp))
		row = binary.LittleEndian.AppendUint64(row, r.User())
		row = binary.LittleEndian.AppendUint64(row, r.Session())
		for _, text := range []string{r.Type(), r.Page(), r.Country(), r.Platform()} {
			row = append(binary.AppendUvarint(row, uint64(len(text))), text...)
		}
		row = binary.LittleEndian.AppendUint64(row, math.Float64bits(r.Amount))
		if _, err := w.Write(row); err != nil {
			return err
		}
	}
	return w.Flush()
}

// StoredByClickHouse is how many bytes on disk an event takes in the smallest
// of its tables, in the columns that are named.
func StoredByClickHouse(d *Database, columns ...string) (float64, error) {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = quoted(c)
	}
	lines, _, err := d.Ask(`SELECT min(bytes) FROM (SELECT table, sum(column_bytes_on_disk) / (SELECT count() FROM seeded.by_day) AS bytes
		FROM system.parts_columns WHERE active AND database = 'seeded' AND column IN (` + strings.Join(names, ",") + `) GROUP BY table)`)
	if err != nil {
		return 0, err
	}
	if len(lines) != 1 {
		return 0, fmt.Errorf("clickhouse says of its parts %q", lines)
	}
	return strconv.ParseFloat(lines[0], 64)
}
